"""The run as the page carries it: what is unpacked is what was measured."""

from __future__ import annotations

import base64
import gzip
import json
from typing import Any

import pytest

from harness.report.page import data
from tests.report import sample, sample_explained


def unpacked(block: str) -> Any:
    return json.loads(gzip.decompress(base64.b64decode(block)))


def rows(packed: data.Packed) -> list[dict[str, Any]]:
    return [row for block in packed.rows for row in unpacked(block)]


def test_columns_say_of_each_cell_what_the_matrix_shows() -> None:
    matrix = sample.make_matrix()
    summary = unpacked(data.pack(matrix).summary)
    columns = summary["columns"]
    assert {len(column) for column in columns.values()} == {len(matrix["cells"])}
    for index, row in enumerate(matrix["cells"]):
        assert summary["model_names"][columns["model"][index]] == row["model"]
        assert summary["device_names"][columns["device"][index]] == row["device"]
        assert summary["delegate_names"][columns["delegate"][index]] == row["delegate"]
        latency = row["latency"]
        median = latency["median_us"] if latency else None
        assert columns["median"][index] == (pytest.approx(median, rel=1e-3) if median else None)
        text = columns["reason"][index]
        assert (text is None) == (row["outcome"] == "PASS")
    worst = [index for index, count in enumerate(columns["nonfinite"]) if count]
    assert [matrix["cells"][index]["model"] for index in worst] == ["face_detection_full_range_sparse"]


def test_whole_rows_come_back_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(data, "_CHUNK", 10)
    matrix = sample.make_matrix()
    packed = data.pack(matrix)
    assert len(packed.rows) == 4
    found = rows(packed)
    assert len(found) == 36
    for now, row in zip(found, matrix["cells"], strict=True):
        assert now["gates"] == row["gates"]
        assert now["attempts"] == row["attempts"]
        assert now["artifacts"] == row["artifacts"]
        if row["latency"]:
            assert now["latency"]["rounds"] == row["latency"]["rounds"]
            assert "samples_left_out" not in now["latency"]


def test_an_id_that_is_not_made_of_its_parts_is_kept() -> None:
    matrix = sample.make_matrix()
    matrix["cells"][3]["id"] = "from an older run"
    assert unpacked(data.pack(matrix).summary)["odd_ids"] == {"3": "from an older run"}


def test_flags_tell_waived_helpers_void_timing_emulated_devices_and_software_adapters() -> None:
    matrix = sample.make_matrix()
    matrix["devices"][1]["emulated"] = True
    flags = unpacked(data.pack(matrix).summary)["columns"]["flags"]
    for bit, expected in (
        (1, lambda row: any(gate["waiver"] for gate in row["gates"])),
        (2, lambda row: row["role"] == "helper"),
        (4, lambda row: row["validity"]["void"]),
        (8, lambda row: row["device"] == "pixel-8"),
        (16, lambda row: row["device"] == "this-machine" and row["delegate"] != "cpu"),
    ):
        assert [bool(flag & bit) for flag in flags] == [bool(expected(row)) for row in matrix["cells"]], bit


def test_samples_are_thinned_evenly_and_what_is_left_out_is_told() -> None:
    latency = sample.latency_row(1000.0, count=300, rounds=2)
    brief = data.thinned(latency, 100)
    assert [len(entry["samples_us"]) for entry in brief["rounds"]] == [50, 50]
    assert brief["samples_left_out"] == 500
    assert brief["rounds"][1]["samples_us"] == latency["rounds"][1]["samples_us"][::6]
    assert (brief["median_us"], brief["max_us"], brief["count"]) == (
        latency["median_us"], latency["max_us"], latency["count"],
    )  # fmt: skip
    assert len(latency["rounds"][0]["samples_us"]) == 300


def test_in_a_large_run_a_cell_that_passes_keeps_fewer_samples_than_one_that_does_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(data, "_ALL_SAMPLES", 36)
    matrix = sample.make_matrix()
    kept: dict[str, set[int]] = {"PASS": set(), "FAIL": set()}
    for now, row in zip(rows(data.pack(matrix)), matrix["cells"], strict=True):
        if row["outcome"] in kept:
            kept[row["outcome"]].add(sum(len(entry["samples_us"]) for entry in now["latency"]["rounds"]))
    assert kept == {"PASS": {20}, "FAIL": {100}}


def test_changes_against_the_baseline_are_sparse() -> None:
    matrix = sample_explained.explained()
    changed = unpacked(data.pack(matrix).summary)["change_rows"]
    verdicts = {matrix["cells"][int(index)]["regression"]["verdict"] for index in changed}  # type: ignore[index]
    assert verdicts <= {"WORSE", "BETTER", "UNCOMPARABLE"}
    assert "WORSE" in verdicts
    assert len(changed) < len(matrix["cells"]) / 4


def test_a_value_that_json_does_not_hold_is_refused() -> None:
    matrix = sample.make_matrix()
    matrix["cells"][0]["gates"][0]["value"] = float("nan")
    with pytest.raises(ValueError, match="JSON"):
        data.pack(matrix)


def test_the_same_run_gives_the_same_blocks() -> None:
    assert data.pack(sample.make_matrix()) == data.pack(sample.make_matrix())
