from __future__ import annotations

from typing import Any

from harness.plan.row import CellRow
from harness.report import words
from tests.report import sample
from tests.report.sample import cell_row, matrix_of
from tests.report.test_reasons import gate


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


def test_devices_with_the_same_mark_share_a_caution() -> None:
    matrix = matrix_of([cell_row(device=name, delegate="cpu") for name in ("a", "b", "c", "d", "e")])
    matrix["devices"] = [{**matrix["devices"][0], "name": name, "emulated": True} for name in ("a", "b", "c", "d", "e")]
    assert words.cautions(matrix) == [
        "5 cells on 5 devices (a, b, c and 2 more) come from an emulated device: cannot qualify a release."
    ]


def test_a_run_that_measured_nothing_does_not_speak_of_gates() -> None:
    assert words.headline(matrix_of([unsupported()])) == "Nothing was measured; 1 cell is unsupported."


def test_what_is_worse_than_the_baseline_is_counted_apart() -> None:
    slow = cell_row(outcome="FAIL")
    slow["gates"] = [gate("baseline_latency", 1.4, 1.05)]
    both = cell_row("m2", outcome="FAIL", of_range=0.5)
    both["gates"].append(gate("baseline_latency", 1.4, 1.05))
    assert words.headline(matrix_of([slow, both], verdict="FAIL")) == (
        "1 cell does not hold its gates and 1 cell is worse than in the baseline."
    )


def test_only_what_is_surely_slower_and_right_is_advised_against() -> None:
    slow, fast = cell_row("slow", speedup=0.5), cell_row("fast", speedup=2.0)
    unsure, wrong, void = (cell_row(name, speedup=0.5) for name in ("unsure", "wrong", "void"))
    assert unsure["speedup"] is not None
    unsure["speedup"]["ci95"] = (0.4, 1.1)
    wrong["outcome"] = "FAIL"
    void["validity"]["void"] = True
    (found,) = words.slower(matrix_of([slow, fast, unsure, wrong, void]))
    assert [row["model"] for row in found.rows] == ["slow"]
    plain = "gpu-fp16 on pixel-8 is slower than cpu for 1 of the 3 models it gets right: ship cpu there"
    assert found.text == f"{plain} (provisional: measured by a shell's program, and an app's timing can differ)"
    assert slow["runner"] is not None
    slow["runner"]["context"] = "app"
    (found,) = words.slower(matrix_of([slow, fast]))
    assert not found.provisional


def test_only_phones_tell_a_shell_from_an_app() -> None:
    matrix = matrix_of([cell_row(speedup=0.5)])
    matrix["devices"][0]["kind"] = "local"
    (found,) = words.slower(matrix)
    assert not found.provisional


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


def test_a_good_cell_that_was_only_timed_is_cautioned() -> None:
    timed, compared = cell_row("timed"), cell_row("compared")
    timed["accuracy"] = []
    assert words.cautions(matrix_of([timed, compared])) == [
        "The accuracy of 1 cell was not measured; see the notes there."
    ]
