from __future__ import annotations

import csv
import io

import pytest

from harness.report import csvfile
from tests.report import sample
from tests.report.sample_explained import EXPLAINED, explained


def records(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text, newline="")))


def test_one_record_per_cell_with_its_figures() -> None:
    content = sample.make_matrix()
    found = records(csvfile.render(content))
    assert [record["id"] for record in found] == [row["id"] for row in content["cells"]]
    row = next(row for row in content["cells"] if row["delegate"] == "gpu-fp16" and row["device"] == "pixel-8")
    record = next(record for record in found if record["id"] == row["id"])
    assert row["latency"] is not None
    assert row["speedup"] is not None
    assert float(record["median_us"]) == row["latency"]["median_us"]
    assert float(record["median_ci95_high_us"]) == row["latency"]["median_ci95_us"][1]
    assert float(record["speedup"]) == row["speedup"]["value"]
    assert float(record["max_abs_of_range"]) == row["accuracy"][0]["max_abs_of_range"]
    assert record["adapter"] == "Mali-G715"
    assert record["adapter_software"] == "false"
    assert record["attempts"] == "2"


def test_what_was_not_measured_is_empty_but_has_its_reason() -> None:
    record = next(one for one in records(csvfile.render(sample.make_matrix())) if one["outcome"] == "NOT_RUN")
    assert record["median_us"] == record["nonfinite"] == record["nodes_total"] == record["runtime_version"] == ""
    assert record["reason"] == "pixel-8 was quarantined after 3 faults in a row"


def test_lines_end_as_rfc_4180_says_and_odd_text_is_quoted() -> None:
    row = sample.cell_row(outcome="FAIL", reason='a "quoted", two-line\nreason')
    text = csvfile.render(sample.matrix_of([row], verdict="FAIL"))
    assert text.endswith("\r\n")
    assert '"a ""quoted"", two-line\nreason"' in text
    assert records(text)[0]["reason"] == 'a "quoted", two-line\nreason'


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r"])
def test_no_text_becomes_a_formula(start: str) -> None:
    row = sample.cell_row(outcome="FAIL", reason=f"{start}HYPERLINK(1)")
    record = records(csvfile.render(sample.matrix_of([row], verdict="FAIL")))[0]
    assert record["reason"] == f"'{start}HYPERLINK(1)"


def test_negative_numbers_stay_numbers() -> None:
    row = sample.cell_row()
    assert row["latency"] is not None
    row["latency"]["median_ci95_us"] = (-1.5, 2.0)
    assert records(csvfile.render(sample.matrix_of([row])))[0]["median_ci95_low_us"] == "-1.5"


def test_explanations_have_columns() -> None:
    found = {record["id"]: record for record in records(csvfile.render(explained()))}
    record = found[EXPLAINED]
    assert (record["waivers"], record["waived"]) == ("W-12", "true")
    assert (record["regression"], record["outcome_before"], record["latency_ratio"]) == ("WORSE", "PASS", "1.31")
    assert record["culprit"].startswith("from here on the device's answer is off")
    assert (record["diagnosis"], record["predicted_nodes"], record["prediction_agrees"]) == ("delegate", "162", "false")
    assert (record["p99_rel"], record["max_ulp"], record["snr_db"], record["kl"]) == ("0.02", "5210.0", "41.2", "")
    other = next(record for name, record in found.items() if name != EXPLAINED)
    assert other["waivers"] == other["culprit"] == other["predicted_nodes"] == ""


def test_columns_that_scripts_know_stay_where_they_are() -> None:
    first = ("id", "device", "model", "delegate", "role", "outcome", "waived", "reason", "median_us")
    assert csvfile.COLUMNS[: len(first)] == first
    assert csvfile.COLUMNS.index("attempts") == 32
