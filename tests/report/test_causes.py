"""What keeps a run from passing, in few lines."""

from __future__ import annotations

from harness.plan.row import CellRow
from harness.report.causes import causes, shortfalls
from tests.report import sample_explained
from tests.report.sample import cell_row, matrix_of
from tests.report.test_reasons import gate


def failing(model: str, device: str, value: float) -> CellRow:
    row = cell_row(model, device, outcome="FAIL", of_range=value)
    row["gates"] = [gate("max_abs_of_range", limit=0.02, value=value)]
    return row


def test_cells_with_different_figures_share_a_cause_and_the_worst_is_first() -> None:
    rows = [failing("a", "one", 0.03), failing("b", "one", 0.4), failing("c", "one", 0.05), cell_row("d", "two")]
    (cause,) = causes(matrix_of(rows))
    assert [row["model"] for row in cause.rows] == ["b", "c", "a"]
    assert cause.place == "3 of 4 models on one, gpu-fp16"
    assert "off by 40%" in cause.example
    assert cause.filter == {"outcome": "FAIL", "on": "one", "by": "gpu-fp16"}


def test_all_models_and_many_devices_are_summed_up() -> None:
    rows = [failing(model, device, 0.1) for model in "ab" for device in ("p", "q", "r", "s")]
    rows += [cell_row(model, "t") for model in "ab"]
    (cause,) = causes(matrix_of(rows))
    assert cause.place == "all 2 models on 4 of 5 devices, gpu-fp16"


def test_numbers_do_not_part_alike_reasons() -> None:
    rows = [
        cell_row("a", outcome="TIMEOUT", reason="no result after 300 s", median_us=None),
        cell_row("b", outcome="TIMEOUT", reason="no result after 61.5 s", median_us=None),
    ]
    (cause,) = causes(matrix_of(rows))
    assert (cause.title, len(cause.rows)) == ("No result after 300 s", 2)


def test_non_finite_outputs_are_graver_than_distance_and_waived_failures_come_last() -> None:
    both = failing("a", "one", 0.1)
    both["gates"].append(gate("nonfinite", limit=0, value=3))
    waived = failing("b", "one", 0.9)
    waived["gates"][0]["waiver"] = "W-1"
    lost = cell_row("c", "one", outcome="NOT_RUN", reason="lost", median_us=None)
    found = causes(matrix_of([waived, lost, both]))
    assert [(cause.title, cause.waived) for cause in found] == [
        ("Outputs hold NaN or infinity", False),
        ("Lost", False),
        ("Outputs are further off the reference than allowed", True),
    ]


def test_a_gate_without_a_title_is_named() -> None:
    row = cell_row(outcome="FAIL") | {"gates": [gate("partitions", limit=1, value=3)]}
    assert causes(matrix_of([row]))[0].title == "Gate partitions does not hold"


def test_all_figures_of_accuracy_share_a_title() -> None:
    rows = [cell_row(name, outcome="FAIL") | {"gates": [gate(name, limit=5, value=9)]} for name in ("max_steps", "kl")]
    (cause,) = causes(matrix_of(rows))
    assert cause.title == "Outputs are further off the reference than allowed"


def test_what_no_cell_stands_for_is_told() -> None:
    matrix = matrix_of([cell_row()], verdict="INCOMPLETE")
    reasons = ["1 FAIL: x", "required device pixel-9 could not be reached", "2 NOT_RUN: a, b"]
    matrix["summary"]["reasons"] = reasons
    assert shortfalls(matrix) == reasons[1:2]


def test_a_run_in_which_all_pass_has_no_causes() -> None:
    assert causes(matrix_of([cell_row(), cell_row("b", outcome="MARGINAL")])) == []


def test_each_culprit_of_a_cause_is_told_once() -> None:
    found = sample_explained.localisation_row()
    rows = []
    for model, device in (("a", "one"), ("a", "two"), ("b", "one")):
        row = failing(model, device, 0.5)
        row["localisation"] = found
        rows.append(row)
    (cause,) = causes(matrix_of(rows))
    assert [[row["model"] for row in culprit.rows] for culprit in cause.culprits] == [["a", "a"], ["b"]]
    assert cause.culprits[0].words == found["words"]
