from __future__ import annotations

import pytest

from harness.plan.row import GateRow
from harness.report import reasons
from tests.report import sample
from tests.report.sample import cell_row
from tests.report.sample_explained import localisation_row


def gate(name: str, value: float | None, limit: float, verdict: str = "FAIL") -> GateRow:
    return {"gate": name, "limit": limit, "value": value, "verdict": verdict, "waiver": None}


@pytest.mark.parametrize("outcome", ["FAIL", "UNSUPPORTED", "ERROR", "TIMEOUT", "NOT_RUN"])
def test_there_is_always_something_to_do_next(outcome: str) -> None:
    assert reasons.advice(cell_row(outcome=outcome), {})


def test_advice_on_fp16_and_on_full_precision_differ() -> None:
    delegates = {name: sample.delegate_entry(name) for name in sample.DELEGATES}
    wrong = cell_row(outcome="FAIL", of_range=0.1)
    assert "compare with fp32" in reasons.advice(wrong, delegates)
    wild = cell_row(outcome="FAIL", of_range=0.8)
    assert "too far off to be rounding" in reasons.advice(wild, delegates)
    exact = cell_row(delegate="gpu-fp32", outcome="FAIL", of_range=0.1)
    assert "do not ship" in reasons.advice(exact, delegates)
    broken = cell_row(outcome="FAIL", of_range=None, nonfinite=4)
    assert "range of fp16" in reasons.advice(broken, delegates)


def test_a_cell_without_a_recorded_reason_speaks_through_its_gates() -> None:
    row = cell_row(outcome="FAIL", of_range=0.5)
    assert reasons.reason(row) == "off by 50% of the output's range, 2% allowed (max_abs_of_range)"
    row["gates"] = []
    assert reasons.reason(row) == "no reason was recorded"


@pytest.mark.parametrize(
    ("row", "text"),
    [
        (gate("nonfinite", 1, 0), "1 output value is NaN or infinite (nonfinite)"),
        (gate("nonfinite", 7, 2), "7 output values are NaN or infinite, 2 allowed (nonfinite)"),
        (
            gate("max_abs_of_range", 5.6e22, 1e-3),
            "off by 5.6e24% of the output's range, 0.1% allowed (max_abs_of_range)",
        ),
        (gate("median_us", 12_300.0, 10_000.0), "median latency 12.3 ms, 10.0 ms allowed (median_us)"),
        (gate("median_us", 0.9, 1e-6), "median latency 0.900 µs, 1e-6 µs allowed (median_us)"),
        (gate("speedup", 0.8, 2.0), "0.80x as fast as its reference, 2x demanded (speedup)"),
        (gate("peak_rss_bytes", 2**30, 2**29), "peak memory 1.00 GiB, 512 MiB allowed (peak_rss_bytes)"),
        (
            gate("baseline_latency", 1.8234, 1.05),
            "takes 1.82 times as long as in the baseline, 1.05 allowed (baseline_latency)",
        ),
        (
            gate("baseline_accuracy", 3.0, 1.5),
            "3.00 times as far off as in the baseline, 1.5 allowed (baseline_accuracy)",
        ),
        (gate("baseline_outcome", None, 0), "the outcome is worse than in the baseline (baseline_outcome)"),
        (gate("max_steps", 109, 24), "off by 109 steps of the output, 24 allowed (max_steps)"),
        (gate("max_ulp", 5210.0, 4), "off by 5210 representable values, 4 allowed (max_ulp)"),
        (gate("snr_db", 12.34, 40), "signal-to-noise ratio 12.3 dB, 40 dB demanded (snr_db)"),
        (gate("label_agreement", 0.9, 0.95), "label agreement 90%, 95% demanded (label_agreement)"),
        (
            gate("cpu_copy", 1, 0),
            "outputs are bit for bit the CPU's, although an accelerator ran (cpu_copy)",
        ),
        (gate("cosine", 0.5, 0.99), "cosine 0.5, limit 0.99"),
        (gate("max_abs_of_range", None, 0.05), "max_abs_of_range does not hold, limit 0.05"),
        (gate("speedup", None, 2.0, "UNSET"), "speedup was not measured, limit 2"),
    ],
)
def test_a_gate_says_what_is_measured_what_is_allowed_and_its_name(row: GateRow, text: str) -> None:
    assert reasons.gate_text(row) == text


def test_a_failure_names_every_gate_that_does_not_hold() -> None:
    row = cell_row(outcome="FAIL", reason="whatever was recorded")
    row["gates"] = [gate("cosine", 0.5, 0.99), gate("max_abs", 1, 2, "PASS"), gate("rmse", 3, 1)]
    assert reasons.reason(row) == "cosine 0.5, limit 0.99; rmse 3, limit 1"
    assert reasons.first_clause(reasons.reason(row)) == "cosine 0.5, limit 0.99"


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (["baseline_latency"], "measure again"),
        (["baseline_latency", "baseline_accuracy"], "what changed since the baseline"),
        (["median_us", "speedup"], "ship another delegate"),
        (["delegated_nodes"], "Delegation"),
        (["median_us", "max_abs"], "compare with fp32"),
        (["max_abs", "baseline_latency"], "compare with fp32"),
    ],
)
def test_advice_on_a_failure_follows_the_gates(names: list[str], words: str) -> None:
    row = cell_row(outcome="FAIL")
    row["gates"] = [gate(name, 2.0, 1.0) for name in names]
    delegates = {name: sample.delegate_entry(name) for name in sample.DELEGATES}
    assert words in reasons.advice(row, delegates)


def test_a_command_to_run_by_hand_is_promised_only_where_there_is_one() -> None:
    row = cell_row(outcome="ERROR", reason="crash")
    row["error"] = {"class": "runner", "kind": "crash", "signal": 6, "stage": "compile"}
    assert "run by hand" in reasons.advice(row, {})
    row["runner"] = None
    assert reasons.advice(row, {}) == "read the runner's log"


def test_what_was_found_out_about_a_wrong_answer_leads_the_advice() -> None:
    row = cell_row(outcome="FAIL", of_range=0.1)
    assert "compare with fp32" in reasons.advice(row, {})
    row["localisation"] = localisation_row()
    assert "send the bundle" in reasons.advice(row, {})
    row["diagnosis"] = {
        "kind": "model",
        "words": "the CPU is as far off",
        "cpu_max_abs_of_range": 0.5,
        "delegate_max_abs_of_range": 0.5,
    }
    assert "the model's conversion" in reasons.advice(row, {})


def test_a_log_is_named_only_of_what_broke_off() -> None:
    row = cell_row(outcome="ERROR", reason="crash")
    row["artifacts"] = ["artifacts/a/result.json", "artifacts/a/stderr.log"]
    assert reasons.log_of(row) == "artifacts/a/stderr.log"
    row["artifacts"] = ["artifacts/a/result.json"]
    assert reasons.log_of(row) == "artifacts/a/result.json"
    row["artifacts"] = []
    assert reasons.log_of(row) is None
    assert reasons.log_of(cell_row(outcome="FAIL")) is None
