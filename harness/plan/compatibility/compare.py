"""What was predicted beside what happened."""

from __future__ import annotations

from collections.abc import Iterable

from harness.plan.compatibility.predict import NOT_REFUSED
from harness.plan.explained import CompatibilityRow, PredictionRow
from harness.plan.row import DelegationRow


def compare(prediction: PredictionRow, delegation: DelegationRow | None, *, refused: bool = False) -> CompatibilityRow:
    """Hold a prediction against what a runner told of a GPU cell.

    Args:
        prediction: for the cell's model and GPU.
        delegation: the cell's row; None where the runner did not come that far.
        refused: whether the runtime would not compile the model at all.

    Returns:
        `agrees` is None where the runner tells neither node counts nor refused operations.
    """
    row: CompatibilityRow = {
        "predicted": prediction,
        "nodes_delegated": delegation["nodes_delegated"] if delegation else None,
        "partitions": delegation["partitions"] if delegation else None,
        "agrees": None,
        "differences": [],
    }
    told = _differences(prediction, delegation, refused)
    if told is not None:
        row["agrees"], row["differences"] = not told, told
    return row


def _differences(prediction: PredictionRow, delegation: DelegationRow | None, refused: bool) -> list[str] | None:
    lines = _lines(delegation["unsupported_ops"]) if delegation else set()
    counted = delegation is not None and delegation["nodes_delegated"] is not None
    if refused and not lines and not counted:
        return ["the runtime did not compile the model, and nothing foretold that"] if prediction["compiles"] else []
    if delegation is None or not (counted or lines):
        return None
    if not prediction["compiles"]:
        return [f"the model was not to compile: {prediction['why']}"]
    if counted:
        return _counts(prediction, delegation)
    foretold = {entry["op"] for entry in prediction["refused"] if entry["why"] not in NOT_REFUSED}
    return [
        *(f"{op} was to be taken, and was refused" for op in sorted(lines - foretold)),
        *(f"{op} was to be refused, and was not" for op in sorted(foretold - lines)),
    ]


def _counts(prediction: PredictionRow, delegation: DelegationRow) -> list[str] | None:
    total, taken, parts = delegation["nodes_total"], delegation["nodes_delegated"], delegation["partitions"]
    if total is not None and total != prediction["nodes_total"]:
        return None  # the runner counts over several subgraphs
    found = []
    if taken != prediction["nodes_delegated"]:
        found.append(f"{prediction['nodes_delegated']} nodes were to be on the GPU, {taken} were")
    if parts is not None and parts != prediction["partitions"]:
        found.append(f"{prediction['partitions']} partition(s) were to be on the GPU, {parts} were")
    return found


def _lines(unsupported: Iterable[str]) -> set[str]:
    """Operations that a log names; float16 constants that are widened on the CPU have no reason there."""
    named = set()
    for line in unsupported:
        op, _, why = line.partition(":")
        if why.strip():
            named.add(op.strip().removeprefix("CUSTOM").strip())
    return named
