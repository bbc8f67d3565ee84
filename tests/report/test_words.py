from __future__ import annotations

from typing import Any

import pytest

from harness.plan.row import CellRow
from harness.report import words
from tests.report import sample
from tests.report.sample import cell_row, matrix_of


def regression(before: str) -> Any:
    return {
        "verdict": "WORSE",
        "reasons": [],
        "outcome_before": before,
        "latency_ratio": None,
        "accuracy_ratio": None,
    }


def unsupported(delegate: str = "gpu-fp16") -> CellRow:
    return cell_row(delegate=delegate, outcome="UNSUPPORTED", reason="no", median_us=None)


def test_the_headline_of_a_failed_run_counts_what_stands_against_it() -> None:
    assert words.headline(sample.make_matrix()) == (
        "2 cells do not hold their gates, 2 cells ended in an error, 1 cell ran past its deadline "
        "and 1 cell was not run."
    )


def test_the_headline_of_a_passed_run_says_how_much_was_measured_and_what_to_look_at() -> None:
    rows = [cell_row(delegate="cpu"), cell_row(outcome="MARGINAL"), unsupported("gpu-fp32")]
    assert words.headline(matrix_of(rows)) == (
        "2 of 3 cells measured, and every gate holds; 1 cell is close to a limit and 1 cell is unsupported."
    )


def test_a_cell_that_became_unsupported_is_named_as_such() -> None:
    row = unsupported()
    row["regression"] = regression("PASS")
    assert words.headline(matrix_of([row], verdict="FAIL")) == (
        "1 cell that passed in the baseline is unsupported now."
    )


def test_an_incomplete_run_says_what_is_missing() -> None:
    rows = [cell_row(delegate="cpu"), cell_row(outcome="NOT_RUN", reason="lost", median_us=None)]
    assert words.headline(matrix_of(rows, verdict="INCOMPLETE")) == "1 of 2 cells measured: 1 cell was not run."


def test_a_demanded_measurement_that_is_unsupported_is_said() -> None:
    matrix = matrix_of([unsupported()], verdict="INCOMPLETE")
    matrix["delegates"]["gpu-fp16"]["expect"] = "measured"
    assert "1 cell is unsupported where a measurement is expected" in words.headline(matrix)


def test_a_delegate_that_two_suites_define_differently_is_found_under_its_suite() -> None:
    matrix = matrix_of([unsupported()], verdict="INCOMPLETE")
    matrix["delegates"][f"{sample.SUITE}::gpu-fp16"] = {"accelerator": "gpu", "expect": "measured"}
    assert "where a measurement is expected" in words.headline(matrix)


def test_software_adapters_and_emulated_devices_are_cautioned_but_not_for_the_cpu() -> None:
    matrix = matrix_of([cell_row(device="this-machine", delegate=name) for name in sample.DELEGATES])
    assert words.cautions(matrix) == ["2 cells on this-machine come from a software adapter: cannot qualify a release."]
    matrix["devices"][0]["emulated"] = True
    assert "3 cells on this-machine come from an emulated device: cannot qualify a release." in words.cautions(matrix)


def test_a_quick_run_and_an_unfinished_one_are_cautioned() -> None:
    matrix = matrix_of([cell_row()], profile="quick")
    matrix["run"]["finished"] = None
    assert words.cautions(matrix) == ["The run did not finish.", "Profile quick: not for release."]


def test_a_clean_release_run_needs_no_caution() -> None:
    assert words.cautions(matrix_of([cell_row()])) == []


def test_alike_cells_share_a_group_and_others_do_not() -> None:
    groups = words.not_passing(sample.make_matrix())
    yamnet = [group for group in groups if group.outcome == "ERROR"]
    assert [len(group.rows) for group in yamnet] == [2]
    assert [group.waived for group in groups if group.outcome == "FAIL"] == [False, False, True]


@pytest.mark.parametrize("outcome", ["FAIL", "UNSUPPORTED", "ERROR", "TIMEOUT", "NOT_RUN"])
def test_there_is_always_something_to_do_next(outcome: str) -> None:
    assert words.advice(cell_row(outcome=outcome), {})


def test_advice_on_fp16_and_on_full_precision_differ() -> None:
    delegates = {name: sample.delegate_entry(name) for name in sample.DELEGATES}
    wrong = cell_row(outcome="FAIL", of_range=0.5)
    assert "compare with fp32" in words.advice(wrong, delegates)
    exact = cell_row(delegate="gpu-fp32", outcome="FAIL", of_range=0.5)
    assert "do not ship" in words.advice(exact, delegates)
    broken = cell_row(outcome="FAIL", of_range=None, nonfinite=4)
    assert "range of fp16" in words.advice(broken, delegates)


def test_a_cell_without_a_recorded_reason_speaks_through_its_gates() -> None:
    row = cell_row(outcome="FAIL", of_range=0.5)
    assert words.reason(row) == "max_abs_of_range 0.5, limit 0.02"
    row["gates"] = []
    assert words.reason(row) == "no reason was recorded"


def test_delegation_is_never_the_name_of_the_accelerator_alone() -> None:
    row = cell_row(nodes=67)
    assert row["delegation"] is not None
    row["delegation"] |= {"nodes_delegated": 66, "partitions": 2}
    delegates = {"gpu-fp16": sample.delegate_entry("gpu-fp16")}
    assert words.delegation_text(row, delegates) == "GPU 66/67 nodes, 2 partitions"
    row["delegation"] |= {"nodes_delegated": None}
    assert words.delegation_text(row, delegates) == "GPU, split unknown"


def test_long_lists_of_cells_are_cut() -> None:
    rows = [cell_row(f"m{number}") for number in range(5)]
    assert words.cell_names(rows, 2) == "m0[pixel-8:gpu-fp16], m1[pixel-8:gpu-fp16] and 3 more"
