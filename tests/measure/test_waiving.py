from __future__ import annotations

import copy

import pytest

from harness.measure import waiving
from harness.measure.verdict import is_waived, summarise
from harness.plan.row import CellRow, GateRow, WaiverRow
from tests.report.sample import make_matrix

TODAY = "2026-11-20"


def waiver(**changes: str) -> WaiverRow:
    row: WaiverRow = {
        "id": "W-1",
        "owner": "vision team",
        "reason": "known",
        "ticket": "VIS-12",
        "expires": "2026-11-20",
        "model": "*",
        "device": "*",
        "delegate": "*",
        "gate": "*",
        "status": "unmatched",
        "cells": [],
        "origin": "waivers.yaml:3",
    }
    row.update(changes)  # type: ignore[typeddict-item]
    return row


def gate(name: str, verdict: str = "FAIL") -> GateRow:
    return {"gate": name, "limit": 0.1, "value": 0.2, "verdict": verdict, "waiver": None}


def failing(*gates: GateRow) -> CellRow:
    row = copy.deepcopy(make_matrix()["cells"][0])
    row["outcome"], row["role"], row["gates"] = "FAIL", "cell", list(gates)
    return row


def test_only_failed_gates_that_match_are_waived() -> None:
    row = failing(gate("max_abs"), gate("nonfinite"), gate("cosine", "PASS"))
    waiving.apply(row, [waiver(gate="max_*")], TODAY)
    assert [one["waiver"] for one in row["gates"]] == ["W-1", None, None]
    assert not is_waived(row)
    waiving.apply(row, [waiver(gate="max_*"), waiver(id="W-2", gate="nonfinite")], TODAY)
    assert [one["waiver"] for one in row["gates"]] == ["W-1", "W-2", None]
    assert is_waived(row)
    assert row["outcome"] == "FAIL"


@pytest.mark.parametrize("scope", ["model", "device", "delegate"])
def test_another_scope_waives_nothing(scope: str) -> None:
    row = failing(gate("max_abs"))
    waiving.apply(row, [waiver(**{scope: "another-*"})], TODAY)
    assert row["gates"][0]["waiver"] is None


def test_a_waiver_holds_through_its_last_day() -> None:
    for today, expected in (("2026-11-20", "W-1"), ("2026-11-21", None)):
        row = failing(gate("max_abs"))
        waiving.apply(row, [waiver()], today)
        assert row["gates"][0]["waiver"] == expected


@pytest.mark.parametrize("outcome", ["ERROR", "TIMEOUT", "UNSUPPORTED", "NOT_RUN"])
def test_what_is_no_fail_cannot_be_waived(outcome: str) -> None:
    row = failing(gate("max_abs"))
    row["outcome"] = outcome
    waiving.apply(row, [waiver()], TODAY)
    assert row["gates"][0]["waiver"] is None


def test_waivers_that_are_not_needed_are_told_apart() -> None:
    row, good = failing(gate("max_abs")), failing(gate("max_abs", "PASS"))
    good["outcome"], good["id"], good["model"] = "PASS", "another", "another"
    waivers = [
        waiver(),
        waiver(id="W-2", model="another"),
        waiver(id="W-3", model="nowhere"),
        waiver(id="W-4", model=row["model"], expires="2026-01-01"),
    ]
    waiving.apply(row, waivers, TODAY)
    found = waiving.used(waivers, [row, good], TODAY)
    assert [one["status"] for one in found] == ["used", "unused", "unmatched", "expired"]
    assert [one["cells"] for one in found] == [[row["id"]], [], [], []]
    good["outcome"] = "UNSUPPORTED"
    assert waiving.used(waivers[1:2], [row, good], TODAY)[0]["status"] == "untested"
    row["gates"][0]["waiver"] = None
    assert waiving.used(waivers[3:], [row, good], TODAY)[0]["cells"] == [row["id"]]


def test_a_waived_failure_is_counted_as_one_and_keeps_the_verdict() -> None:
    row = failing(gate("max_abs"))
    assert summarise([row], 0.0, [])["verdict"] == "FAIL"
    waiving.apply(row, [waiver()], TODAY)
    summary = summarise([row], 0.0, [])
    assert (summary["verdict"], summary["fail"], summary["waived"], summary["pass"]) == ("PASS", 1, 1, 0)
