from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from harness.measure import verdict
from harness.plan.cell import Expect, Outcome
from harness.plan.row import CellRow

MakeCell = Callable[..., CellRow]
FAILED = {"gate": "max_abs", "limit": 1.0, "value": 2.0, "verdict": "FAIL", "waiver": None}
WAIVED = {**FAILED, "waiver": "JIRA-1"}


@pytest.fixture
def cells(make_cell: MakeCell) -> Callable[..., list[CellRow]]:
    """One cell per outcome given, ids c0, c1, ..."""

    def make(*outcomes: str, **fields: Any) -> list[CellRow]:
        return [make_cell(f"c{index}", outcome=outcome, **fields) for index, outcome in enumerate(outcomes)]

    return make


Cells = Callable[..., list[CellRow]]


def test_counts_add_up_helpers_included(cells: Cells, make_cell: MakeCell) -> None:
    outcomes = ["PASS", "PASS", "MARGINAL", "FAIL", "UNSUPPORTED", "ERROR", "TIMEOUT", "NOT_RUN"]
    rows = [*cells(*outcomes), make_cell("helper", role="helper", outcome="ERROR")]
    summary = verdict.summarise(rows, 0.0, [])
    assert summary.pop("reasons")
    assert summary == {
        "verdict": "FAIL",
        "planned": 9,
        "pass": 2,
        "marginal": 1,
        "fail": 1,
        "waived": 0,
        "unsupported": 1,
        "error": 2,
        "timeout": 1,
        "not_run": 1,
    }


@pytest.mark.parametrize(
    ("outcomes", "expected"),
    [
        (["PASS", "MARGINAL"], "PASS"),
        (["PASS", "UNSUPPORTED"], "PASS"),
        (["PASS", "FAIL"], "FAIL"),
        (["PASS", "ERROR"], "INCOMPLETE"),
        (["PASS", "TIMEOUT"], "INCOMPLETE"),
        (["PASS", "NOT_RUN"], "INCOMPLETE"),
        (["FAIL", "ERROR", "NOT_RUN"], "FAIL"),
    ],
)
def test_verdicts(cells: Cells, outcomes: list[str], expected: str) -> None:
    rows = cells(*outcomes)
    assert verdict.summarise(rows, 0.0, [])["verdict"] == expected
    assert bool(verdict.summarise(rows, 0.0, [])["reasons"]) == (expected != "PASS")


def test_a_helper_that_failed_is_no_failure(cells: Cells, make_cell: MakeCell) -> None:
    rows = [*cells("PASS"), make_cell("helper", role="helper", outcome="FAIL", gates=[FAILED])]
    assert verdict.summarise(rows, 1.0, [])["verdict"] == "PASS"


def test_waivers_must_cover_every_failed_gate(make_cell: MakeCell) -> None:
    waived = make_cell("a", outcome="FAIL", gates=[WAIVED, {**FAILED, "verdict": "PASS"}])
    summary = verdict.summarise([waived], 1.0, [])
    assert (summary["verdict"], summary["fail"], summary["waived"]) == ("PASS", 1, 1)
    partly = make_cell("b", outcome="FAIL", gates=[WAIVED, FAILED])
    summary = verdict.summarise([waived, partly], 1.0, [])
    assert (summary["verdict"], summary["fail"], summary["waived"]) == ("FAIL", 2, 1)
    assert not verdict.is_waived(make_cell(outcome="FAIL"))
    assert not verdict.is_waived(make_cell(outcome="ERROR", gates=[WAIVED]))


@pytest.mark.parametrize(("before", "expected"), [("PASS", "FAIL"), ("MARGINAL", "FAIL"), ("UNSUPPORTED", "PASS")])
def test_pass_turned_unsupported_is_a_failure(make_cell: MakeCell, before: str, expected: str) -> None:
    regression = {"verdict": "WORSE", "reasons": [], "outcome_before": before}
    rows = [make_cell("a"), make_cell("b", outcome="UNSUPPORTED", regression=regression)]
    assert verdict.summarise(rows, 0.0, [])["verdict"] == expected


def test_a_required_device_that_is_absent(cells: Cells) -> None:
    rows = cells("PASS")
    assert verdict.summarise(rows, 0.0, ["pixel-8"])["verdict"] == "INCOMPLETE"
    assert verdict.summarise(rows, 0.0, ["pixel-8"])["reasons"] == ["required device pixel-8 could not be reached"]
    assert verdict.summarise(cells("FAIL"), 0.0, ["pixel-8"])["verdict"] == "FAIL"


def test_unsupported_where_a_measurement_is_expected(cells: Cells) -> None:
    rows = cells("PASS", "UNSUPPORTED")
    assert verdict.summarise(rows, 0.0, [], {"c1"})["verdict"] == "INCOMPLETE"
    assert verdict.summarise(rows, 0.0, [], {"c0"})["verdict"] == "PASS"
    assert verdict.summarise(rows, 0.0, [], {"c1"})["reasons"] == [
        "1 UNSUPPORTED although a measurement is expected: c1"
    ]


def test_coverage_is_per_model_and_leaves_out_accepted_unsupported_cells(make_cell: MakeCell) -> None:
    rows = [
        make_cell("a", model="m1"),
        make_cell("b", model="m1", outcome="UNSUPPORTED"),
        make_cell("c", model="m2", outcome="UNSUPPORTED"),
    ]
    assert verdict.summarise(rows[:2], 1.0, [])["verdict"] == "PASS"
    assert verdict.summarise(rows, 0.9, [])["verdict"] == "INCOMPLETE"  # m2 was measured nowhere
    assert verdict.summarise(rows, 0.0, [])["verdict"] == "PASS"
    assert verdict.summarise(rows, 0.9, [])["reasons"] == [
        "coverage of model m2 is 0%, 90% is required: 0 of 0 cells measured, 1 more unsupported"
    ]
    short = verdict.summarise([*rows[:1], make_cell("d", model="m1", outcome="ERROR")], 0.9, [])["reasons"]
    assert short[1].startswith("coverage of model m1 is 50%, 90% is required: 1 of 2 cells measured")


def test_reasons_name_a_few_cells(cells: Cells) -> None:
    summary = verdict.summarise(cells(*["ERROR"] * 7), 0.0, [])
    assert summary["reasons"] == ["7 ERROR: c0, c1, c2, c3, c4 and 2 more", "nothing was measured"]


def test_a_run_that_measured_nothing_is_incomplete(cells: Cells) -> None:
    summary = verdict.summarise(cells("UNSUPPORTED", "UNSUPPORTED"), 0.0, [])
    assert (summary["verdict"], summary["reasons"]) == ("INCOMPLETE", ["nothing was measured"])


def test_a_cell_must_occur_once_and_have_an_outcome(cells: Cells) -> None:
    with pytest.raises(ValueError, match="more than once: c0"):
        verdict.summarise([*cells("PASS"), *cells("FAIL")], 0.0, [])
    with pytest.raises(ValueError, match="MAYBE"):
        verdict.summarise(cells("MAYBE"), 0.0, [])


@pytest.mark.parametrize(
    ("outcomes", "interrupted", "expected"),
    [
        (["PASS"], False, 0),
        (["MARGINAL", "UNSUPPORTED"], False, 0),
        (["UNSUPPORTED"], False, 1),
        ([], False, 1),
        (["FAIL"], False, 1),
        (["PASS", "ERROR"], False, 1),
        (["PASS"], True, 2),
        (["FAIL"], True, 2),
    ],
)
def test_exit_code(cells: Cells, outcomes: list[str], interrupted: bool, expected: int) -> None:
    assert verdict.exit_code(verdict.summarise(cells(*outcomes), 0.0, []), interrupted) == expected


def test_a_waived_failure_is_a_measurement(make_cell: MakeCell) -> None:
    assert verdict.exit_code(verdict.summarise([make_cell(outcome="FAIL", gates=[WAIVED])], 1.0, []), False) == 0


@pytest.mark.parametrize(
    ("outcome", "expect", "flags", "expected"),
    [
        (Outcome.PASS, "measured", {}, "passed"),
        (Outcome.MARGINAL, "measured", {}, "passed"),
        (Outcome.FAIL, "if_available", {}, "failed"),
        (Outcome.FAIL, "if_available", {"waived": True}, "xfailed"),
        (Outcome.UNSUPPORTED, "if_available", {}, "skipped"),
        (Outcome.UNSUPPORTED, "measured", {}, "failed"),
        (Outcome.ERROR, "if_available", {"waived": True, "cancelled": True}, "failed"),
        (Outcome.TIMEOUT, "if_available", {"waived": True, "cancelled": True}, "failed"),
        (Outcome.NOT_RUN, "if_available", {}, "failed"),
        (Outcome.NOT_RUN, "measured", {"cancelled": True}, "skipped"),
    ],
)
def test_pytest_status(outcome: Outcome, expect: Expect, flags: dict[str, bool], expected: str) -> None:
    assert verdict.pytest_status(outcome, expect, **flags) == expected
