"""The verdict of a run, its exit code, and what pytest says of one cell. One place for all who need it.

| what there is, among cells of role "cell" | verdict |
|---|---|
| a FAIL that is not waived, or a cell that was PASS or MARGINAL in the baseline and is UNSUPPORTED now | FAIL |
| else ERROR, TIMEOUT or NOT_RUN; UNSUPPORTED where a measurement was expected; a model short of coverage; \
a required device out of reach; nothing measured at all | INCOMPLETE |
| else | PASS |

Coverage of a model: its measured cells (PASS, MARGINAL, FAIL) as a share of its planned ones. UNSUPPORTED cells are
left out of both where that is an accepted answer; a model with nothing but those has coverage 0.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from harness.plan.cell import Expect, Outcome
from harness.plan.row import CellRow, SummaryRow

PytestStatus = Literal["passed", "failed", "skipped", "xfailed"]

GOOD = frozenset({Outcome.PASS.value, Outcome.MARGINAL.value})
"""Outcomes of a cell whose gates all hold."""

_MEASURED = GOOD | {Outcome.FAIL.value}
_UNMEASURED = (Outcome.ERROR.value, Outcome.TIMEOUT.value, Outcome.NOT_RUN.value)
_LISTED = 5  # ids named in a reason before "and n more"


@dataclass(frozen=True)
class Stricter:
    """What a release asks beside what every run does; nothing, unless given.

    Attributes:
        blocking: of MARGINAL, UNSUPPORTED and WAIVED: what makes the verdict FAIL too.
        groups: name of a group of cells -> the share of them that must be measured, and their ids.
        disqualified: cell id -> why its measurement does not count; it is as good as none.
        gaps: anything else that keeps the verdict from PASS, in words.
    """

    blocking: Collection[str] = frozenset()
    groups: Mapping[str, tuple[float, Collection[str]]] = field(default_factory=dict)
    disqualified: Mapping[str, str] = field(default_factory=dict)
    gaps: Sequence[str] = ()


def is_waived(cell: CellRow) -> bool:
    """Whether a cell is a FAIL that may be: each of its failed gates names a waiver."""
    failed = [row for row in cell["gates"] if row["verdict"] == "FAIL"]
    return cell["outcome"] == Outcome.FAIL.value and bool(failed) and all(row["waiver"] for row in failed)


def summarise(
    cells: Iterable[CellRow],
    coverage: float,
    unreached: Sequence[str],
    must_measure: Collection[str] = frozenset(),
    stricter: Stricter | None = None,
) -> SummaryRow:
    """Count outcomes and decide the verdict. Helper cells are counted, but have no part in the verdict.

    Args:
        cells: all planned cells, helpers included, each once.
        coverage: share of each model's planned cells that must be measured, 0 to 1.
        unreached: names of required devices that could not be reached.
        must_measure: ids of cells with `expect: measured`.
        stricter: what a release asks beside.

    Raises:
        ValueError: a cell's id occurs twice, or its outcome is none.
    """
    planned = _planned(cells)
    counts = Counter(Outcome(cell["outcome"]) for cell in planned)
    selected = [cell for cell in planned if cell["role"] == "cell"]
    verdict, reasons = _decide(selected, coverage, unreached, must_measure, stricter or Stricter())
    summary: SummaryRow = {
        "verdict": verdict,
        "reasons": reasons,
        "planned": len(planned),
        "pass": counts[Outcome.PASS],
        "marginal": counts[Outcome.MARGINAL],
        "fail": counts[Outcome.FAIL],
        "waived": sum(is_waived(cell) for cell in planned),
        "unsupported": counts[Outcome.UNSUPPORTED],
        "error": counts[Outcome.ERROR],
        "timeout": counts[Outcome.TIMEOUT],
        "not_run": counts[Outcome.NOT_RUN],
    }
    counted = sum(summary[key] for key in ("pass", "marginal", "fail", "unsupported", "error", "timeout", "not_run"))
    assert counted == summary["planned"], f"{summary['planned']} cells planned, {counted} counted"
    return summary


def _planned(cells: Iterable[CellRow]) -> list[CellRow]:
    planned = list(cells)
    twice = [name for name, count in Counter(cell["id"] for cell in planned).items() if count > 1]
    if twice:
        raise ValueError(f"cells counted more than once: {', '.join(twice)}")
    return planned


def _decide(
    planned: Sequence[CellRow],
    coverage: float,
    unreached: Sequence[str],
    must_measure: Collection[str],
    stricter: Stricter,
) -> tuple[str, list[str]]:
    measured = {c["id"] for c in planned if c["outcome"] in _MEASURED and c["id"] not in stricter.disqualified}
    failures = _failures(planned, stricter.blocking)
    gaps: list[str] = []
    for outcome in _UNMEASURED:
        gaps += _listed("{} " + outcome, [cell["id"] for cell in planned if cell["outcome"] == outcome])
    refused = [cell["id"] for cell in planned if _refused(cell) and cell["id"] in must_measure]
    gaps += _listed("{} UNSUPPORTED although a measurement is expected", refused)
    for why in dict.fromkeys(stricter.disqualified.values()):
        ids = [cell["id"] for cell in planned if stricter.disqualified.get(cell["id"]) == why]
        gaps += _listed("{} cannot count: " + why, ids)
    gaps += _shortfalls(planned, coverage, must_measure, measured)
    for group, (share, members) in stricter.groups.items():
        gaps += _shortfall(group, share, [cell for cell in planned if cell["id"] in members], must_measure, measured)
    gaps += [f"required device {name} could not be reached" for name in unreached]
    gaps += stricter.gaps
    if not measured:
        gaps.append("nothing was measured" + (" that counts" if stricter.disqualified else ""))
    verdict = "FAIL" if failures else "INCOMPLETE" if gaps else "PASS"
    return verdict, failures + gaps


def _failures(planned: Sequence[CellRow], blocking: Collection[str]) -> list[str]:
    failed = [cell["id"] for cell in planned if cell["outcome"] == Outcome.FAIL.value and not is_waived(cell)]
    lost = [cell["id"] for cell in planned if _lost(cell)]
    found = _listed("{} FAIL", failed) + _listed("{} UNSUPPORTED that passed in the baseline", lost)
    if "WAIVED" in blocking:
        found += _listed(
            "{} FAIL under a waiver, which this policy does not take",
            [cell["id"] for cell in planned if is_waived(cell)],
        )
    for outcome in (Outcome.MARGINAL.value, Outcome.UNSUPPORTED.value):
        if outcome in blocking:
            found += _listed("{} " + outcome, [cell["id"] for cell in planned if cell["outcome"] == outcome])
    return found


def _refused(cell: CellRow) -> bool:
    return cell["outcome"] == Outcome.UNSUPPORTED.value


def _lost(cell: CellRow) -> bool:
    regression = cell["regression"]
    return _refused(cell) and regression is not None and regression["outcome_before"] in GOOD


def _listed(template: str, ids: Sequence[str]) -> list[str]:
    if not ids:
        return []
    more = f" and {len(ids) - _LISTED} more" if len(ids) > _LISTED else ""
    return [f"{template.format(len(ids))}: {', '.join(ids[:_LISTED])}{more}"]


def _shortfalls(
    planned: Sequence[CellRow], coverage: float, must_measure: Collection[str], measured: Collection[str]
) -> list[str]:
    found: list[str] = []
    for model in dict.fromkeys(cell["model"] for cell in planned):
        cells = [cell for cell in planned if cell["model"] == model]
        found += _shortfall(f"model {model}", coverage, cells, must_measure, measured)
    return found


def _shortfall(
    group: str, coverage: float, cells: Sequence[CellRow], must_measure: Collection[str], measured: Collection[str]
) -> list[str]:
    asked = [cell["id"] for cell in cells if not _refused(cell) or cell["id"] in must_measure]
    done = sum(one in measured for one in asked)
    share = done / len(asked) if asked else 0.0
    if share >= coverage:
        return []
    return [
        f"coverage of {group} is {share:.0%}, {coverage:.0%} is required:"
        f" {done} of {len(asked)} cells measured, {len(cells) - len(asked)} more unsupported"
    ]


def exit_code(summary: SummaryRow, interrupted: bool) -> int:
    """Exit code of a run: 2 interrupted, 0 for PASS with at least one measured cell, else 1."""
    if interrupted:
        return 2
    measured = summary["pass"] + summary["marginal"] + summary["fail"]
    return 0 if summary["verdict"] == "PASS" and measured else 1


def pytest_status(outcome: Outcome, expect: Expect, waived: bool = False, cancelled: bool = False) -> PytestStatus:
    """What pytest reports of a cell.

    Args:
        outcome: of the cell.
        expect: of its delegate: whether UNSUPPORTED is an accepted answer.
        waived: see `is_waived`.
        cancelled: whether the user ended the run: then NOT_RUN is no failure.
    """
    if outcome in (Outcome.PASS, Outcome.MARGINAL):
        return "passed"
    if outcome is Outcome.FAIL and waived:
        return "xfailed"
    accepted = (outcome is Outcome.UNSUPPORTED and expect == "if_available") or (
        outcome is Outcome.NOT_RUN and cancelled
    )
    return "skipped" if accepted else "failed"
