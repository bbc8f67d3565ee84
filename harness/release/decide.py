"""Whether a release may rest on a run: the verdict of every run, under a release's policy."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from harness.measure import gates, regression, waiving
from harness.measure.verdict import GOOD, Stricter, summarise
from harness.plan.cell import Outcome
from harness.plan.qualification import Qualification
from harness.plan.row import CellRow, DeviceRow, Matrix, ModelRow, SuiteRow, SummaryRow
from harness.report.words import disqualifying_marks

_PROFILES = ("quick", "nightly", "release")
_MEASURED = GOOD | {Outcome.FAIL.value}


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
        baseline: an earlier run; cells are compared with it anew if the run itself was compared with another one.
    """
    asks = policy.asks
    compared = _against(matrix, baseline)
    cells = [cell for cell in compared["cells"] if cell["role"] == "cell"]
    disqualified = _disqualified(compared, asks, decided)
    stricter = Stricter(
        blocking=frozenset(asks.block),
        groups=_label_groups(compared, cells, asks),
        disqualified=disqualified,
        gaps=_gaps(compared, asks, baseline),
    )
    must = [cell["id"] for cell in cells] if asks.expect == "measured" else []
    summary = summarise(compared["cells"], asks.coverage.per_model, [], must, stricter)
    return Decision(compared, summary, disqualified, policy, decided, baseline, _cautions(compared, baseline))


def _against(matrix: Matrix, baseline: Matrix | None) -> Matrix:
    """The run, compared with a baseline as it would have been while it ran."""
    if baseline is None:
        return matrix
    before = {row["id"]: row for row in baseline["cells"]}
    today = matrix["run"]["started"][:10]
    rows = [copy.copy(row) for row in matrix["cells"]]
    for row in rows:
        row["gates"] = [copy.copy(gate) for gate in row["gates"] if not gate["gate"].startswith("baseline_")]
        _judge(row)
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
        "baseline": {"run": baseline["run"]["id"], "path": None},
    }


def _judge(row: CellRow) -> None:
    """The outcome that a measured cell's gates make; its words stay where it does."""
    if row["outcome"] not in _MEASURED:
        return
    judgement = gates.outcome(row["gates"])
    if judgement.outcome.value != row["outcome"]:
        row["outcome"], row["reason"] = judgement.outcome.value, judgement.reason


def _disqualified(matrix: Matrix, asks: Qualification, decided: str) -> dict[str, str]:
    """Cells whose measurement does not count, each with the first reason."""
    devices = {device["name"]: device for device in matrix["devices"]}
    models = {model["name"]: model for model in matrix["models"]}
    found: dict[str, str] = {}
    for row in matrix["cells"]:
        if row["role"] != "cell" or row["outcome"] not in _MEASURED:
            continue
        device, model = devices.get(row["device"]), models.get(row["model"])
        why = (
            _not_real(row, device, model, matrix, asks)
            or _age(row, asks, decided)
            or _unhashed(row, model, asks)
            or _not_pinned(row, model, asks)
        )
        if why:
            found[row["id"]] = why
    return found


def _not_real(
    row: CellRow, device: DeviceRow | None, model: ModelRow | None, matrix: Matrix, asks: Qualification
) -> str | None:
    marks = disqualifying_marks(row, device, matrix["delegates"])
    if marks:
        return f"measured on {' and '.join(marks)}"
    if model and asks.real_inputs and model["task"] != "other" and model.get("input_source") != "files":
        return f"measured on seeded noise, and task {model['task']} asks for real inputs"
    if row["validity"]["void"]:
        return "their timing is void"
    return None


def _age(row: CellRow, asks: Qualification, decided: str) -> str | None:
    started = [attempt["started"] for attempt in row["attempts"]]
    if not started:
        return "it is not known when they were measured"
    age = _moment(decided) - _moment(max(started))
    if age > timedelta(seconds=asks.max_age):
        return f"measured more than {_days(asks.max_age)} ago"
    return "measured in the future: a clock is wrong" if age < timedelta(hours=-1) else None


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text.replace("Z", "+00:00"))


def _days(seconds: float) -> str:
    return f"{seconds / 86400:g} days" if seconds >= 86400 else f"{seconds / 3600:g} hours"


def _hashes(row: CellRow, model: ModelRow | None) -> dict[str, str | None]:
    return {
        "models": (model["sha256"] if model else None) or None,
        "runners": row["runner"]["sha256"] if row["runner"] else None,
        "runtimes": row["runtime"]["sha256"] if row["runtime"] else None,
    }


def _unhashed(row: CellRow, model: ModelRow | None, asks: Qualification) -> str | None:
    hashes = _hashes(row, model)
    missing = [kind.removesuffix("s") for kind in asks.require_sha256 if hashes[kind] is None]
    return f"without the SHA-256 of their {' and '.join(missing)}" if missing else None


def _not_pinned(row: CellRow, model: ModelRow | None, asks: Qualification) -> str | None:
    hashes, pins = _hashes(row, model), asks.pins
    runner = row["runner"]["name"] if row["runner"] else ""
    if pins.models.get(row["model"], hashes["models"]) != hashes["models"]:
        return f"model {row['model']} is not the file that is pinned"
    if pins.runners.get(runner, hashes["runners"]) != hashes["runners"]:
        return f"runner {runner} is not the program that is pinned"
    if pins.runtimes and hashes["runtimes"] not in pins.runtimes:
        return "their runtime is none of those that are pinned"
    return None


def _label_groups(matrix: Matrix, cells: list[CellRow], asks: Qualification) -> dict[str, tuple[float, frozenset[str]]]:
    labels = {device["name"]: device.get("labels", []) for device in matrix["devices"]}
    return {
        f"label {label}": (share, frozenset(c["id"] for c in cells if label in labels.get(c["device"], [])))
        for label, share in asks.coverage.per_label.items()
    }


def _gaps(matrix: Matrix, asks: Qualification, baseline: Matrix | None) -> list[str]:
    run = matrix["run"]
    found = []
    if run["finished"] is None:
        found.append("the run did not finish")
    lowest = min((_rank(one) for one in run["profile"].split("+")), default=0)
    if lowest < _rank(asks.profile):
        found.append(f"profile {run['profile']} measures less than profile {asks.profile}, which is required")
    if baseline is None and asks.baseline == "required":
        found.append("there is no baseline to compare with (--baseline TAG)")
    for suite in matrix.get("suites") or [matrix["suite"]]:
        found += _deselected(matrix, suite)
    return found


def _rank(profile: str) -> int:
    return _PROFILES.index(profile) if profile in _PROFILES else 0


def _deselected(matrix: Matrix, suite: SuiteRow) -> list[str]:
    """Cells of the suite that were not even planned, by `-k` or `-m` say."""
    planned: dict[str, int] = {}
    prefix = f"{suite.get('name', '')}::"
    for row in matrix["cells"]:
        if row["role"] == "cell" and row["id"].startswith(prefix):
            planned[row["device"]] = planned.get(row["device"], 0) + 1
    missing = {name: count - planned.get(name, 0) for name, count in suite.get("cells", {}).items()}
    lacking = sum(count for count in missing.values() if count > 0)
    return [f"{lacking} cells of suite {suite.get('name')} were left out of the run"] if lacking else []


def _cautions(matrix: Matrix, baseline: Matrix | None) -> tuple[str, ...]:
    found = []
    git = matrix["run"]["git"]
    if git is None or git.endswith("-dirty"):
        found.append(
            "The project's files are not those of a commit." if git else "The project is in no git repository."
        )
    if baseline is not None:
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
