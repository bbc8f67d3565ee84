from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest

from harness.plan.row import Matrix
from harness.release.decide import decide
from tests.release.releasable import DECIDED, WAIVER, baseline, policy, rows, run, wrong
from tests.report.sample import attempt_row, latency_row, sha


def verdict(matrix: Matrix, **asks: Any) -> tuple[str, str]:
    decision = decide(matrix, policy(**asks), DECIDED, baseline())
    return decision.summary["verdict"], "; ".join(decision.summary["reasons"])


def test_a_clean_run_on_a_real_phone_qualifies() -> None:
    decision = decide(run(), policy(coverage={"per_label": {"flagship": 1.0}}), DECIDED, baseline())
    assert decision.qualifies, decision.summary["reasons"]
    assert decision.disqualified == {}
    assert decision.summary["planned"] == 4


def test_a_failure_blocks_as_it_does_in_pytest() -> None:
    cells = rows()
    wrong(cells[1])
    assert verdict(run(cells)) == ("FAIL", "1 FAIL: release::blazeface_mlkit_v1[pixel-8:gpu-fp16]")


def waived() -> Matrix:
    cells = rows()
    wrong(cells[1])
    matrix = run(cells)
    matrix["waivers"] = [{**WAIVER}]
    return matrix


def test_a_waiver_lets_a_release_pass_unless_the_policy_takes_none() -> None:
    assert verdict(waived()) == ("PASS", "")
    found, why = verdict(waived(), block=["WAIVED"])
    assert found == "FAIL"
    assert "under a waiver, which this policy does not take" in why


def test_an_expired_waiver_waives_nothing_and_is_named() -> None:
    matrix = waived()
    matrix["waivers"][0]["expires"] = "2026-11-19"
    decision = decide(matrix, policy(), DECIDED, baseline())
    assert decision.summary["verdict"] == "FAIL"
    assert "Expired waivers: W-1." in decision.cautions


def spoilt(field: str) -> Matrix:
    matrix = run()
    row: Any = matrix["cells"][1]
    device: Any = matrix["devices"][0]
    model: Any = matrix["models"][0]
    edits: dict[str, Callable[[], object]] = {
        "emulated": lambda: device.update(emulated=True),
        "software": lambda: device.update(adapter_software=True),
        "noise": lambda: model.update(input_source="noise"),
        "mixed": lambda: model.update(input_source="mixed"),
        "old": lambda: row.update(attempts=[{**attempt_row(), "started": "2026-11-01T00:00:00Z"}]),
        "future": lambda: row.update(attempts=[{**attempt_row(), "started": "2026-12-01T00:00:00Z"}]),
        "moment": lambda: row.update(attempts=[{**attempt_row(), "started": "yesterday"}]),
        "never": lambda: row.update(attempts=[]),
        "void": lambda: row.update(validity={"void": True, "reasons": ["throttled"]}),
        "unjudged": lambda: row.update(accuracy=[{**row["accuracy"][0], "judged": False}]),
        "device": matrix["devices"].clear,
        "runner": lambda: row.update(runner={**row["runner"], "sha256": None}),
        "runtime": lambda: row.update(runtime={**row["runtime"], "sha256": None}),
        "model": lambda: model.update(sha256=""),
    }
    edits[field]()
    return matrix


@pytest.mark.parametrize(
    ("field", "cells", "words"),
    [
        ("emulated", 4, "measured on emulated device"),
        ("software", 2, "measured on software adapter"),
        ("noise", 2, "measured on seeded noise, and task detect asks for real inputs"),
        ("mixed", 2, "measured on seeded noise"),
        ("old", 1, "measured more than 7 days ago"),
        ("future", 1, "a clock is wrong"),
        ("void", 1, "their timing is void"),
        ("unjudged", 1, "their answers were compared with nothing"),
        ("device", 4, "the run does not describe their device"),
        ("never", 1, "it is not known when they were measured"),
        ("moment", 1, "it is not known when they were measured"),
        ("runner", 1, "without the SHA-256 of their runner"),
        ("runtime", 1, "without the SHA-256 of their runtime"),
        ("model", 2, "without the SHA-256 of their model"),
    ],
)
def test_a_measurement_that_proves_nothing_does_not_count(field: str, cells: int, words: str) -> None:
    decision = decide(spoilt(field), policy(), DECIDED, baseline())
    assert decision.summary["verdict"] == "INCOMPLETE"
    assert len(decision.disqualified) == cells
    assert any(words in reason for reason in decision.summary["reasons"])


def test_seeded_noise_is_enough_for_a_model_without_a_task() -> None:
    matrix = spoilt("noise")
    matrix["models"][0]["task"] = "other"
    assert verdict(matrix)[0] == "PASS"


@pytest.mark.parametrize(
    ("pins", "words"),
    [
        ({"models": {"yamnet": sha("another")}}, "model yamnet is not the file that is pinned"),
        ({"runners": {"delegate_bench": sha("another")}}, "runner delegate_bench is not the program that is pinned"),
        ({"runtimes": [sha("another")]}, "their runtime is none of those that are pinned"),
    ],
)
def test_pins(pins: dict[str, Any], words: str) -> None:
    found, why = verdict(run(), pins=pins)
    assert found == "INCOMPLETE"
    assert words in why
    assert verdict(run(), pins={"models": {"posenet": sha("p")}})[1] == "model posenet is pinned, but not in the run"
    right = {"models": {"yamnet": sha("yamnet")}, "runners": {"delegate_bench": sha("runner")}}
    assert verdict(run(), pins={**right, "runtimes": [sha("runtime")]})[0] == "PASS"


def test_coverage_of_a_label_that_no_device_has() -> None:
    found, why = verdict(run(), coverage={"per_label": {"tablet": 0.5}})
    assert found == "INCOMPLETE"
    assert "coverage of label tablet is 0%, 50% is required" in why


def test_unsupported_is_a_gap_where_a_measurement_is_expected() -> None:
    matrix = run()
    matrix["cells"][1]["outcome"], matrix["cells"][1]["reason"] = "UNSUPPORTED", "SQUEEZE: not supported"
    before = baseline()
    before["cells"][1]["outcome"] = "UNSUPPORTED"
    loose = {"coverage": {"per_model": 0.5}}
    found = [
        decide(matrix, policy(**asks), DECIDED, before).summary["verdict"]
        for asks in ({**loose}, {**loose, "expect": "if_available"}, {**loose, "block": ["UNSUPPORTED"]})
    ]
    assert found == ["INCOMPLETE", "PASS", "FAIL"]


def test_a_run_that_left_cells_out_does_not_qualify() -> None:
    matrix = run()
    matrix["suite"]["cells"] = {"pixel-8": 6}
    assert verdict(matrix) == ("INCOMPLETE", "2 cells of suite release were left out of the run")
    del matrix["suite"]["cells"]
    assert verdict(matrix) == ("INCOMPLETE", "it is not recorded how many cells suite release has")


def test_profile_and_baseline_are_asked_for() -> None:
    assert "profile nightly measures less than profile release" in verdict(run(profile="nightly"))[1]
    assert verdict(run(profile="nightly"), profile="nightly")[0] == "PASS"
    decision = decide(run(), policy(), DECIDED)
    assert decision.summary["reasons"] == ["there is no baseline to compare with (--baseline TAG)"]
    assert decide(run(), policy(baseline="optional"), DECIDED).qualifies


def test_a_baseline_given_later_finds_what_became_slower() -> None:
    matrix = run()
    matrix["cells"][1]["latency"] = latency_row(9_000.0)
    decision = decide(matrix, policy(), DECIDED, baseline())
    assert decision.summary["verdict"] == "FAIL"
    row = decision.matrix["cells"][1]
    assert row["regression"] is not None
    assert row["regression"]["verdict"] == "WORSE"
    assert (row["reason"] or "").startswith("baseline_latency 7.3")
    assert matrix["cells"][1]["outcome"] == "PASS", "the run itself is not changed"


@pytest.mark.parametrize("case", ["itself", "part of it", "newer", "other cells"])
def test_a_baseline_must_be_an_earlier_run_of_the_same_cells(case: str) -> None:
    matrix, before = run(), baseline()
    if case == "itself":
        before = run()
    elif case == "part of it":
        matrix["run"]["merged"] = [before["run"]["id"]]
    elif case == "newer":
        before["run"]["started"] = "2026-11-20T09:00:00Z"
    else:
        for row in before["cells"]:
            row["id"] = row["id"].replace("pixel-8", "pixel-9")
    summary = decide(matrix, policy(), DECIDED, before).summary
    words = {
        "itself": f"the baseline {before['run']['id']} is this run itself",
        "part of it": f"the baseline {before['run']['id']} is this run itself",
        "newer": f"the baseline {before['run']['id']} is newer than the run",
        "other cells": f"the baseline {before['run']['id']} has none of this run's cells",
    }
    assert (summary["verdict"], summary["reasons"]) == ("INCOMPLETE", [words[case]])


def test_a_baseline_that_did_not_pass_is_told() -> None:
    before = baseline()
    before["summary"]["verdict"] = "INCOMPLETE"
    assert "The baseline's own verdict is INCOMPLETE." in decide(run(), policy(), DECIDED, before).cautions


def test_an_outcome_is_what_the_gates_say() -> None:
    cells = rows()
    wrong(cells[1])["outcome"] = "PASS"
    loose = {"baseline": "optional"}
    assert decide(run(cells), policy(**loose), DECIDED).summary["verdict"] == "FAIL"


def test_a_waiver_that_is_in_no_list_waives_nothing() -> None:
    cells = rows()
    wrong(cells[1])["gates"][1]["waiver"] = "W-99"
    assert decide(run(cells), policy(baseline="optional"), DECIDED).summary["verdict"] == "FAIL"


def test_a_waiver_for_one_of_two_failed_gates_is_not_enough() -> None:
    matrix = waived()
    matrix["waivers"][0]["gate"] = "max_abs_of_range"
    assert decide(matrix, policy(baseline="optional"), DECIDED).qualifies
    # Against the baseline the gate baseline_accuracy fails too, and nobody waived that one.
    assert verdict(matrix) == ("FAIL", "1 FAIL: release::blazeface_mlkit_v1[pixel-8:gpu-fp16]")


def test_a_waiver_that_expired_since_the_run_waives_nothing_any_more() -> None:
    matrix = waived()
    matrix["waivers"][0]["expires"] = "2026-11-20"
    for days, expected in (("2026-11-20T23:59:59Z", "PASS"), ("2026-11-21T00:00:00Z", "FAIL")):
        assert decide(matrix, policy(), days, baseline()).summary["verdict"] == expected


def test_helpers_neither_count_nor_hide_a_cell() -> None:
    matrix = run()
    matrix["cells"][1]["role"] = "helper"
    found, why = verdict(matrix)
    assert found == "INCOMPLETE"
    assert "1 cell of suite release was left out of the run" in why


def test_a_failure_against_another_baseline_is_forgotten() -> None:
    matrix = run()
    row = matrix["cells"][1]
    row["gates"].append({"gate": "baseline_latency", "limit": 1.05, "value": 3.0, "verdict": "FAIL", "waiver": None})
    row["outcome"], row["reason"] = "FAIL", "baseline_latency 3 > 1.05"
    assert decide(copy.deepcopy(matrix), policy(baseline="optional"), DECIDED).summary["verdict"] == "FAIL"
    assert verdict(matrix)[0] == "PASS"


def test_cells_that_are_gone_since_the_baseline_are_named() -> None:
    matrix = run(rows()[:2])
    matrix["suite"]["cells"] = {"pixel-8": 2}
    decision = decide(matrix, policy(), DECIDED, baseline())
    assert decision.qualifies
    assert any("2 cells of the baseline are not in this run" in caution for caution in decision.cautions)


def test_nothing_that_counts_is_not_a_release() -> None:
    matrix = spoilt("emulated")
    found, why = verdict(matrix, coverage={"per_model": 0.0})
    assert found == "INCOMPLETE"
    assert "nothing was measured that counts" in why
