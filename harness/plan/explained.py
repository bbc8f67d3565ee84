"""Rows of `matrix.json` that explain others: whose error it is, what a GPU refuses, where an output goes wrong."""

from __future__ import annotations

from typing import Any

from typing_extensions import TypedDict


class DiagnosisRow(TypedDict):
    """Whose error it is, in words: "delegate", "model" (golden and the device's CPU disagree), "both" or "none"."""

    kind: str
    words: str
    cpu_max_abs_of_range: float | None
    delegate_max_abs_of_range: float | None


class RefusedOpRow(TypedDict):
    """Nodes that a GPU profile leaves to the CPU, and why; `nodes` are their positions in the subgraph that is run."""

    op: str
    version: int
    why: str
    nodes: list[int]


class PredictionRow(TypedDict):
    """What a GPU profile should do with a model; `checked`: its rules were held against the real accelerator."""

    profile: str
    checked: bool
    compiles: bool
    why: str | None
    nodes_total: int
    nodes_delegated: int
    partitions: int
    refused: list[RefusedOpRow]


class CompatibilityRow(TypedDict):
    """A GPU cell: what was predicted beside what happened; `agrees` is null where the runner does not tell."""

    predicted: PredictionRow
    nodes_delegated: int | None
    partitions: int | None
    agrees: bool | None
    differences: list[str]


class CulpritRow(TypedDict):
    """An operation of a model: position, type, version, name of its first output, shapes."""

    index: int
    type: str
    version: int
    name: str
    inputs: list[list[int]]
    outputs: list[list[int]]


class LocalisationRow(TypedDict):
    """Where an output first goes wrong.

    `status`: "culprit" (one operation), "gradual" (no jump: precision), "segment" (narrowed down to the operations
    from `first` to `last`), "not_found", "gave_up" (time or number of cells), "refused" (with words). Errors are
    max_abs_of_range of the tensors before and after the operation, on the device against its own reference side.
    `cuts`: [{"op", "error", "status"}] in the order tried. `bundle`: path of the reproduction, relative to the run.
    """

    status: str
    words: str
    op: CulpritRow | None
    first: int | None
    last: int | None
    error_before: float | None
    error_after: float | None
    growth: str | None
    reference: str
    invocations: int
    seconds: float
    cuts: list[dict[str, Any]]
    bundle: str | None


class ConformanceRow(TypedDict):
    """One single-operation case on one device and delegate.

    `verdict`: "exact", "fp16" (within what half precision may do), "wrong", "crashes", "unsupported", "not measured".
    """

    device: str
    delegate: str
    op: str
    version: int
    case: str
    values: str
    verdict: str
    error: float | None
    reason: str | None
    cell: str
