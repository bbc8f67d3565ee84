"""Which measurements count for a release: real devices and inputs, known hashes, fresh, compared with a reference."""

from __future__ import annotations

from datetime import datetime, timedelta

from harness.measure.verdict import GOOD
from harness.plan.cell import Outcome
from harness.plan.qualification import Qualification
from harness.plan.row import CellRow, DeviceRow, Matrix, ModelRow
from harness.report.words import disqualifying_marks

MEASURED = GOOD | {Outcome.FAIL.value}
"""Outcomes of a cell that was measured."""
_SKEW = timedelta(hours=1)


def disqualified(matrix: Matrix, asks: Qualification, decided: str) -> dict[str, str]:
    """Cells whose measurement does not count, each with the first reason."""
    devices = {device["name"]: device for device in matrix["devices"]}
    models = {model["name"]: model for model in matrix["models"]}
    found: dict[str, str] = {}
    for row in matrix["cells"]:
        if row["role"] != "cell" or row["outcome"] not in MEASURED:
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
    if device is None or model is None:
        return f"the run does not describe their {'model' if device else 'device'}"
    marks = disqualifying_marks(row, device, matrix["delegates"])
    if marks:
        return f"measured on {' and '.join(marks)}"
    if asks.real_inputs and model["task"] != "other" and model.get("input_source") != "files":
        return f"measured on seeded noise, and task {model['task']} asks for real inputs"
    if row["validity"]["void"]:
        return "their timing is void"
    if not any(entry.get("judged", True) for entry in row["accuracy"]):
        return "their answers were compared with nothing"
    return None


def _age(row: CellRow, asks: Qualification, decided: str) -> str | None:
    try:
        age = moment(decided) - max(moment(attempt["started"]) for attempt in row["attempts"])
    except (ValueError, TypeError):  # no attempt; no moment; one without a time zone
        return "it is not known when they were measured"
    if age > timedelta(seconds=asks.max_age):
        return f"measured more than {_days(asks.max_age)} ago"
    return "measured in the future: a clock is wrong" if age < -_SKEW else None


def moment(text: str) -> datetime:
    """A moment as matrices have it: ISO 8601, UTC. Raises ValueError."""
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
