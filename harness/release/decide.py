"""Whether a release may rest on a run: the verdict of every run, under a release's policy."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from harness import __version__
from harness.measure import gates, regression, waiving
from harness.measure.verdict import Stricter, summarise
from harness.plan.qualification import Qualification
from harness.plan.row import CellRow, Matrix, SummaryRow
from harness.release import countable
from harness.release.gaps import gaps
from harness.report.differences import differences


@dataclass(frozen=True)
class Policy:
    """A qualification policy, and where it comes from.

    Attributes:
        asks: what it asks.
        origin: file that it was read from.
        sha256: of that file.
    """

    asks: Qualification
    origin: str
    sha256: str


@dataclass(frozen=True)
class Decision:
    """What became of a qualification.

    Attributes:
        matrix: the run, each cell compared with the baseline that was asked for.
        summary: verdict and reasons under the policy, and the counts.
        disqualified: cell id -> why its measurement does not count.
        policy: what was asked.
        decided: when, ISO 8601, UTC; the ages of cells are taken from then.
        baseline: the run that this one was compared with; None without one.
        cautions: what a signer should know besides.
    """

    matrix: Matrix
    summary: SummaryRow
    disqualified: Mapping[str, str]
    policy: Policy
    decided: str
    baseline: Matrix | None
    cautions: tuple[str, ...]

    @property
    def qualifies(self) -> bool:
        """Whether the release may rest on the run."""
        return self.summary["verdict"] == "PASS"

    def record(self) -> dict[str, Any]:
        """The decision as plain data: what `harness verify` makes again."""
        return {
            "schema": 1,
            "harness": __version__,
            "verdict": self.summary["verdict"],
            "reasons": self.summary["reasons"],
            "decided": self.decided,
            "run": self.matrix["run"]["id"],
            "baseline": self.baseline["run"]["id"] if self.baseline else None,
            "policy": self.policy.asks.model_dump(mode="json"),
            "policy_origin": self.policy.origin,
            "policy_sha256": self.policy.sha256,
            "disqualified": dict(self.disqualified),
        }


def decide(matrix: Matrix, policy: Policy, decided: str, baseline: Matrix | None = None) -> Decision:
    """Hold a run against a policy.

    Args:
        matrix: the run; it is not changed.
        policy: what is asked.
        decided: the moment that ages are taken from, ISO 8601, UTC.
        baseline: an earlier run; cells are compared with it anew, whatever the run itself was compared with.

    Outcomes follow from the gates, and waivers are those that still hold on the day of the decision.
    """
    asks = policy.asks
    compared = _judged(matrix, baseline, decided[:10])
    cells = [cell for cell in compared["cells"] if cell["role"] == "cell"]
    disqualified = countable.disqualified(compared, asks, decided)
    stricter = Stricter(
        blocking=frozenset(asks.block),
        groups=_label_groups(compared, cells, asks),
        disqualified=disqualified,
        gaps=gaps(compared, asks, baseline),
    )
    must = [cell["id"] for cell in cells] if asks.expect == "measured" else []
    summary = summarise(compared["cells"], asks.coverage.per_model, [], must, stricter)
    return Decision(compared, summary, disqualified, policy, decided, baseline, _cautions(compared, policy, baseline))


def _judged(matrix: Matrix, baseline: Matrix | None, today: str) -> Matrix:
    """The run, judged as it would be today, and against this baseline, if there is one."""
    before = {row["id"]: row for row in baseline["cells"]} if baseline else {}
    rows = [copy.copy(row) for row in matrix["cells"]]
    for row in rows:
        row["gates"] = [
            {**gate, "waiver": None}
            for gate in row["gates"]
            if baseline is None or not gate["gate"].startswith("baseline_")
        ]
        _judge(row)
        if baseline is not None:
            comparison = regression.compare(row, before.get(row["id"]))
            row["regression"] = comparison.row()
            if row["error"] is None:
                row["gates"] += comparison.gate_rows()
            _judge(row)
        waiving.apply(row, matrix["waivers"], today)
    return {
        **matrix,
        "cells": rows,
        "waivers": waiving.used(matrix["waivers"], rows, today),
        "baseline": _row_of(baseline, matrix) if baseline else matrix["baseline"],
    }


def _row_of(baseline: Matrix, matrix: Matrix) -> dict[str, Any]:
    return {"run": baseline["run"]["id"], "path": None, "differences": differences(baseline, matrix)}


def _judge(row: CellRow) -> None:
    """The outcome that a measured cell's gates make; its words stay where it does."""
    if row["outcome"] not in countable.MEASURED:
        return
    judgement = gates.outcome(row["gates"])
    if judgement.outcome.value != row["outcome"]:
        row["outcome"], row["reason"] = judgement.outcome.value, judgement.reason


def is_own(asks: Qualification, matrix: Matrix) -> bool:
    """Whether a policy is one that a suite of the run had when it ran."""
    stated = [suite.get("qualification") for suite in matrix.get("suites") or [matrix["suite"]]]
    try:
        return any(Qualification.model_validate(one) == asks for one in stated if one is not None)
    except ValidationError:
        return False


def _label_groups(matrix: Matrix, cells: list[CellRow], asks: Qualification) -> dict[str, tuple[float, frozenset[str]]]:
    labels = {device["name"]: device.get("labels", []) for device in matrix["devices"]}
    return {
        f"label {label}": (share, frozenset(c["id"] for c in cells if label in labels.get(c["device"], [])))
        for label, share in asks.coverage.per_label.items()
    }


def _cautions(matrix: Matrix, policy: Policy, baseline: Matrix | None) -> tuple[str, ...]:
    found = []
    if not is_own(policy.asks, matrix):
        found.append(f"The policy is that of {policy.origin}, not the one that the run's suite had.")
    git = matrix["run"]["git"]
    if git is None or git.endswith("-dirty"):
        found.append(
            "The project's files are not those of a commit." if git else "The project is in no git repository."
        )
    if baseline is not None:
        if baseline["summary"]["verdict"] != "PASS":
            found.append(f"The baseline's own verdict is {baseline['summary']['verdict']}.")
        now = {row["id"] for row in matrix["cells"]}
        gone = [row["id"] for row in baseline["cells"] if row["role"] == "cell" and row["id"] not in now]
        if gone:
            found.append(
                f"{len(gone)} cells of the baseline are not in this run: {', '.join(gone[:5])}"
                + (" and more." if len(gone) > 5 else ".")
            )
    expired = [one["id"] for one in matrix["waivers"] if one["status"] == "expired"]
    idle = [one["id"] for one in matrix["waivers"] if one["status"] in ("unused", "unmatched")]
    if expired:
        found.append(f"Expired waivers: {', '.join(expired)}.")
    if idle:
        found.append(f"Waivers that nothing needs: {', '.join(idle)}.")
    return tuple(found)
