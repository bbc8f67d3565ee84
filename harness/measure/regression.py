"""A cell against the cell of the same id in a baseline: is it as good as it was?

Three aspects are judged on their own:

- outcome: PASS and MARGINAL are equally good; FAIL and UNSUPPORTED are worse; ERROR and TIMEOUT are worse still.
  NOT_RUN, and errors of class device or host, say nothing about the cell: not comparable.
- latency: the ratio of the medians matters when it leaves 0.95 to 1.05 (smaller changes are seldom worth a person's
  time, whatever their significance) and the two 95 % intervals do not touch. Not comparable when runner, runtime
  implementation, context or scope differ (they time different things), or when a timing is void.
- accuracy: worse when max_abs_of_range is more than 1.5 times what it was, and by more than 1e-6 (below that is
  float32 rounding); when more elements are non-finite; or when top-1 agreement is lower. Better by the same rules
  the other way round. Not comparable when reference or inputs differ.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from harness.measure.latency import intervals_apart, latency_ratio
from harness.plan.cell import RETRIED, Outcome
from harness.plan.row import AccuracyRow, CellRow, GateRow, RegressionRow, RuntimeRow

LATENCY_LIMITS = (0.95, 1.05)
"""A ratio of medians inside these is no change, whatever the intervals say."""
LATENCY_LIMITS_OF_ONE_ROUND = (0.8, 1.25)
"""Likewise where one side has a single round: its interval knows nothing of the drift between rounds."""
ACCURACY_RATIO = 1.5
ACCURACY_STEP = 1e-6

_RANK = {
    Outcome.PASS: 0,
    Outcome.MARGINAL: 0,
    Outcome.FAIL: 1,
    Outcome.UNSUPPORTED: 1,
    Outcome.ERROR: 2,
    Outcome.TIMEOUT: 2,
}
_INFRASTRUCTURE = frozenset(one.value for one in RETRIED)


@dataclass(frozen=True)
class Aspect:
    """One aspect of a comparison.

    Attributes:
        name: "outcome", "latency" or "accuracy".
        verdict: None when a side lacks the figure.
        words: why, unless SAME.
        ratio: now / before; None where none was taken.
        limit: the largest ratio that is no regression.
    """

    name: str
    verdict: Literal["SAME", "BETTER", "WORSE", "UNCOMPARABLE"] | None
    words: tuple[str, ...] = ()
    ratio: float | None = None
    limit: float = 0.0


@dataclass(frozen=True)
class Comparison:
    """A cell against its baseline; without one (`outcome_before` None) it is NEW and has no aspects."""

    aspects: tuple[Aspect, ...] = ()
    outcome_before: str | None = None

    @property
    def verdict(self) -> Literal["SAME", "BETTER", "WORSE", "NEW", "UNCOMPARABLE"]:
        """NEW without a baseline; else WORSE beats UNCOMPARABLE beats BETTER beats SAME."""
        if self.outcome_before is None:
            return "NEW"
        verdicts = {aspect.verdict for aspect in self.aspects}
        order: tuple[Literal["WORSE", "UNCOMPARABLE", "BETTER"], ...] = ("WORSE", "UNCOMPARABLE", "BETTER")
        return next((one for one in order if one in verdicts), "SAME")

    def row(self) -> RegressionRow:
        """As matrix.json has it; each reason says its aspect and what became of it ("latency worse: ...")."""
        ratios = {aspect.name: aspect.ratio for aspect in self.aspects}
        reasons = [
            f"{aspect.name} {aspect.verdict.lower()}: {words}"
            for aspect in self.aspects
            if aspect.verdict
            for words in aspect.words
        ]
        return {
            "verdict": self.verdict,
            "reasons": ["not in the baseline"] if self.outcome_before is None else reasons,
            "outcome_before": self.outcome_before,
            "latency_ratio": ratios.get("latency"),
            "accuracy_ratio": ratios.get("accuracy"),
        }

    def gate_rows(self) -> list[GateRow]:
        """Gates baseline_outcome, baseline_latency and baseline_accuracy: FAIL for each aspect that is worse.

        There is no row for what was not compared, so none for a NEW cell. A row's value is its ratio, null where
        the verdict rests on more than that number.
        """
        rows: list[GateRow] = []
        for aspect in self.aspects:
            if aspect.verdict in (None, "UNCOMPARABLE"):
                continue
            limit = aspect.limit
            worse = aspect.verdict == "WORSE"
            telling = aspect.ratio is not None and (aspect.ratio > limit) == worse
            rows.append(
                {
                    "gate": f"baseline_{aspect.name}",
                    "limit": limit,
                    "value": aspect.ratio if telling else None,
                    "verdict": "FAIL" if worse else "PASS",
                    "waiver": None,
                }
            )
        return rows


def compare(now: CellRow, before: CellRow | None) -> Comparison:
    """Compare a cell with the baseline's.

    Args:
        now: the cell, its outcome by its own gates included.
        before: the baseline's cell of the same id; None when it has none.
    """
    if before is None:
        return Comparison()
    aspects = (_outcome(now, before), _latency(now, before), _accuracy(now, before))
    return Comparison(aspects, before["outcome"])


def timing_differences(
    one: CellRow, other: CellRow, names: tuple[str, str] = ("this cell's", "the other's")
) -> list[str]:
    """Why the latencies of two cells must not be compared, in words; empty when they may.

    The version of runner and runtime may differ: comparing those is what baselines are for.

    Args:
        one: a cell.
        other: the cell to compare it with.
        names: whose timing each one's is, for the words.
    """
    found: list[str] = []
    if one["runner"] and other["runner"]:
        for key in ("name", "context"):
            ours, theirs = str(one["runner"].get(key)), str(other["runner"].get(key))
            if ours != theirs:
                found.append(f"runner {key} '{ours}' against '{theirs}'")
    ours, theirs = _implementation(one["runtime"]), _implementation(other["runtime"])
    if ours and theirs and ours != theirs:
        found.append(f"runtime '{ours}' against '{theirs}'")
    if one["latency"] and other["latency"] and one["latency"]["scope"] != other["latency"]["scope"]:
        found.append(f"latency scope '{one['latency']['scope']}' against '{other['latency']['scope']}'")
    for cell, whose in zip((one, other), names, strict=True):
        if cell["validity"]["void"]:
            found.append(f"{whose} timing is void ({', '.join(cell['validity']['reasons'])})")
    return found


def _implementation(runtime: RuntimeRow | None) -> str:
    """What stands before the number in a version such as "litert 2.3.0"; "" for a bare number."""
    version = runtime["version"] if runtime else None
    match = re.match(r"[a-z][a-z_]*", (version or "").lower())
    return match.group() if match else ""


def _outcome(now: CellRow, before: CellRow) -> Aspect:
    for cell, when in ((now, "now"), (before, "in the baseline")):
        if _says_nothing(cell):
            return Aspect(
                "outcome", "UNCOMPARABLE", (f"{cell['outcome']} {when}: {cell['reason'] or 'no reason given'}",)
            )
    lost = _RANK[Outcome(now["outcome"])] - _RANK[Outcome(before["outcome"])]
    if not lost:
        return Aspect("outcome", "SAME")
    return Aspect("outcome", "WORSE" if lost > 0 else "BETTER", (f"{before['outcome']} before, {now['outcome']} now",))


def _says_nothing(cell: CellRow) -> bool:
    error = cell["error"]
    return cell["outcome"] == Outcome.NOT_RUN.value or (
        cell["outcome"] == Outcome.ERROR.value and error is not None and error["class"] in _INFRASTRUCTURE
    )


def _latency(now: CellRow, before: CellRow) -> Aspect:
    ours, theirs = now["latency"], before["latency"]
    if ours is None or theirs is None:
        return Aspect("latency", None)
    differences = timing_differences(now, before, ("the new", "the baseline's"))
    if differences:
        return Aspect("latency", "UNCOMPARABLE", tuple(differences))
    try:
        ratio = latency_ratio(ours, theirs)
    except ValueError as error:
        return Aspect("latency", "UNCOMPARABLE", (str(error),))
    single = min(len(ours["rounds"]), len(theirs["rounds"])) < 2
    low, high = LATENCY_LIMITS_OF_ONE_ROUND if single else LATENCY_LIMITS
    if low <= ratio <= high or not intervals_apart(ours, theirs):
        return Aspect("latency", "SAME", (), ratio, high)
    words = f"median {theirs['median_us']:.6g} us before, {ours['median_us']:.6g} us now ({ratio:.3g} times)"
    return Aspect("latency", "WORSE" if ratio > high else "BETTER", (words,), ratio, high)


def _accuracy(now: CellRow, before: CellRow) -> Aspect:
    if not now["accuracy"] and before["accuracy"] and now["latency"]:
        return Aspect("accuracy", "UNCOMPARABLE", ("outputs were compared in the baseline, and not now",))
    if not now["accuracy"] or not before["accuracy"]:
        return Aspect("accuracy", None)
    if now["inputs_sha256"] is None or now["inputs_sha256"] != before["inputs_sha256"]:
        return Aspect("accuracy", "UNCOMPARABLE", ("the inputs differ, or are not known to be the same",))
    pairs = _same_reference(judged(now["accuracy"]), judged(before["accuracy"]))
    if not pairs:
        return Aspect("accuracy", "UNCOMPARABLE", ("the references differ",))
    worse: list[str] = []
    better: list[str] = []
    ratios: list[float] = []
    for ours, theirs in pairs:
        for words, direction in _changes(ours, theirs):
            (worse if direction > 0 else better).append(words)
        ratio = _ratio(ours["max_abs_of_range"], theirs["max_abs_of_range"])
        if ratio is not None:
            ratios.append(ratio)
    value = max(ratios, default=None)
    if worse:
        return Aspect("accuracy", "WORSE", tuple(worse), value, ACCURACY_RATIO)
    return Aspect("accuracy", "BETTER" if better else "SAME", tuple(better), value, ACCURACY_RATIO)


def judged(rows: Sequence[AccuracyRow]) -> list[AccuracyRow]:
    """The rows that gates and baselines look at; others only explain."""
    return [row for row in rows if row.get("judged", True)]


def _same_reference(
    ours: Sequence[AccuracyRow], theirs: Sequence[AccuracyRow]
) -> list[tuple[AccuracyRow, AccuracyRow]]:
    """Pairs of rows against the same kind of reference: same device and kernels; its version may differ."""
    keyed = {_key(row): row for row in theirs}
    return [(row, keyed[_key(row)]) for row in ours if _key(row) in keyed]


def _key(row: AccuracyRow) -> tuple[str, str | None, str | None]:
    reference = row["reference"]
    return reference["kind"], reference["device"], reference["kernels"]


def _changes(now: AccuracyRow, before: AccuracyRow) -> list[tuple[str, int]]:
    """What changed, in words, with 1 for worse and -1 for better."""
    found: list[tuple[str, int]] = []
    if now["nonfinite"] != before["nonfinite"]:
        words = f"{before['nonfinite']} non-finite elements before, {now['nonfinite']} now"
        found.append((words, 1 if now["nonfinite"] > before["nonfinite"] else -1))
    ours, theirs = now["max_abs_of_range"], before["max_abs_of_range"]
    if ours is not None and theirs is not None:
        words = f"max_abs_of_range {theirs:.3g} before, {ours:.3g} now"
        if _exceeds(ours, theirs):
            found.append((words, 1))
        elif _exceeds(theirs, ours):
            found.append((words, -1))
    mine, former = now["top1_agreement"], before["top1_agreement"]
    if mine is not None and former is not None and mine != former:
        found.append((f"top1_agreement {former:.3g} before, {mine:.3g} now", 1 if mine < former else -1))
    return found


def _exceeds(value: float, other: float) -> bool:
    return value > ACCURACY_RATIO * other and value - other > ACCURACY_STEP


def _ratio(now: float | None, before: float | None) -> float | None:
    """Ratio now / before; 1 when both are 0, None when only the latter is or one is unknown."""
    if now is None or before is None:
        return None
    if before == 0.0:
        return 1.0 if now == 0.0 else None
    ratio = now / before
    return ratio if math.isfinite(ratio) else None
