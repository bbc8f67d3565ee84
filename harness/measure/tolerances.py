"""How far a right answer may be from the reference: the limits that hold where a suite limits no accuracy figure.

They follow from what computes and in which numbers; docs/accuracy.md has the measurements behind each of them. A limit
is several times what right answers of real models showed, and far below what known wrong answers showed. A suite that
knows its model should ask for more.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import TypedDict

from typing_extensions import Unpack

from harness.measure.metrics import METRICS
from harness.plan.cell import Accelerator, Task, TensorSpec

_FLOATS = frozenset({"float16", "bfloat16", "float32", "float64", "complex64", "complex128"})
_STEPPED = frozenset({"int8", "uint8", "int4", "uint4"})

SHARE = "max_abs_of_range"
STEPS = "max_steps"

FLOAT = 1e-4
"""float32 arithmetic, on any processor; a share of the range, like all that follow but the steps."""

STORED: Mapping[str, float] = MappingProxyType({"float16": 2e-3, "bfloat16": 1.6e-2})
"""float outputs that are narrower than float32: four times the rounding of one value."""

INTEGER = 0.05
"""Integers that are no quantised values: labels, counts, indices."""

STEPS_LIKE, STEPS_UNLIKE = 3.0, 32.0
"""Steps of quantised outputs, between kernels of the same kind and, at most, between different ones."""

STEPS_OF_ONE = 4.0
"""What different kernels may differ by before any operation; each may add a step: small models have less room."""

QUANTISED_LIKE, QUANTISED_UNLIKE = 0.05, 0.3
"""float outputs of a model that computes in 8-bit integers, likewise: rounding adds up from layer to layer."""

QUANTISED_HALF = 0.4
"""The same on a GPU in half precision, which replaces the integers by floats of 11 bits."""

HYBRID = 0.1
"""Integer weights with float arithmetic around them, where the two sides round the activations differently."""

LABELS, LABELS_ROUGH = 0.999, 0.95
"""Share of a map's pixels with the reference's label: on the border of two labels they may flip, and more of them in
half precision and after quantisation."""

DETECTIONS: Mapping[str, float] = MappingProxyType({"detections_matched": 0.8, "box_iou": 0.8, "score_agreement": 0.9})
DETECTIONS_ROUGH: Mapping[str, float] = MappingProxyType({"detections_matched": 0.5, "score_agreement": 0.7})
"""Detections that are found on both sides, and after quantisation. Lists of finished ones may come in another order, so
their numbers are not compared."""

HALF: Mapping[Task, float] = MappingProxyType(
    {"classify": 0.1, "detect": 0.1, "keypoints": 0.25, "segment": 0.25, "other": 0.05}
)
"""Half precision on a GPU, by task: maps of many pixels have the largest single errors."""


@dataclass(frozen=True)
class Tolerance:
    """Limits by the names of `metrics`, and what they were chosen for."""

    limits: Mapping[str, float]
    words: str


class Circumstances(TypedDict):
    """What limits depend on, beside the type of an output; see `default_limits`."""

    quantized: bool
    hybrid: bool
    accelerator: Accelerator
    precision: str
    adapter_fp16: bool | None
    reference_kernels: bool
    task: Task
    nodes: int


def default_limits(
    *,
    dtype: str,
    scaled: bool,
    quantized: bool,
    hybrid: bool,
    accelerator: Accelerator,
    precision: str,
    adapter_fp16: bool | None,
    reference_kernels: bool,
    task: Task,
    nodes: int,
) -> Tolerance:
    """The limits of one output that nobody limited.

    Args:
        dtype: the output's element type.
        scaled: whether it has a scale; integers with one are quantised values, others labels or counts, in any model.
        quantized: whether the model computes in integers.
        hybrid: whether it is dynamic-range quantised.
        accelerator: what executed it.
        precision: as the delegate asks for it.
        adapter_fp16: whether the adapter computes in half precision if it may; None if unknown, which counts as yes.
        reference_kernels: whether the reference comes from reference kernels, which round in their own way.
        task: what the outputs mean.
        nodes: operations of the model: rounding adds up from one to the next.

    Returns:
        Limits on figures, of which some are not defined for every output (`label_agreement`, say): leave those out;
        `harness.plan.gating.with_defaults` does.
    """
    # What asks for half precision stores in it, even on an adapter that cannot compute in it.
    half = precision.startswith("fp16") or (precision == "default" and adapter_fp16 is not False)
    half = half and accelerator != "cpu"
    unlike = accelerator != "cpu" or reference_kernels
    quantised_share = QUANTISED_HALF if half else QUANTISED_UNLIKE if unlike else QUANTISED_LIKE
    limits: dict[str, float] = {}
    kind = dtype
    if dtype in _FLOATS:
        limits[SHARE] = max(FLOAT, STORED.get(dtype, 0.0), HALF[task] if half else 0.0)
        if hybrid and unlike:
            limits[SHARE], kind = max(limits[SHARE], HYBRID), f"{dtype} of a hybrid model"
        elif quantized:
            limits[SHARE] = max(limits[SHARE], quantised_share)
            kind = f"{dtype} of a quantised model"
    elif scaled and dtype in _STEPPED:
        limits[STEPS] = min(STEPS_UNLIKE, STEPS_OF_ONE + nodes) if unlike else STEPS_LIKE
        kind = f"quantised {dtype}"
    elif scaled:
        limits[SHARE], kind = quantised_share, f"quantised {dtype}"
    elif task != "segment":
        limits[SHARE] = INTEGER
    if task == "segment":
        limits["label_agreement"] = LABELS_ROUGH if half or quantized or hybrid else LABELS
    if task == "detect":
        limits.update(DETECTIONS)
        if quantized or hybrid:
            limits.update(DETECTIONS_ROUGH)
    where = "CPU" if accelerator == "cpu" else f"{accelerator.upper()} in {'half' if half else 'single'} precision"
    beside = ", against reference kernels" if reference_kernels and unlike and kind != dtype else ""
    return Tolerance(limits, f"{kind}, {where}{beside}{'' if task == 'other' else f', task {task}'}")


def for_outputs(outputs: Sequence[TensorSpec], **circumstances: Unpack[Circumstances]) -> Tolerance:
    """The limits of a model that nobody limited: a cell's figures are the worst of its outputs, so the loosest hold.

    Args:
        outputs: of the model.
        circumstances: as for `default_limits`.
    """
    found = [
        default_limits(dtype=spec.dtype, scaled=spec.quantization is not None, **circumstances) for spec in outputs
    ]
    limits: dict[str, float] = {}
    for one in found:
        for name, limit in one.limits.items():
            loosest = max if METRICS[name].direction == "max" else min
            limits[name] = loosest(limit, limits.get(name, limit))
    if any(not {SHARE, STEPS} & set(one.limits) for one in found):
        limits.pop(SHARE, None)  # one label that flips is off by as much as a label may be
    return Tolerance(limits, "; ".join(dict.fromkeys(one.words for one in found)))
