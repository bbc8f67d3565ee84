"""Agreement in the terms of a model's task: would an application show the same answer?

Every figure is a share from 0 to 1, larger is better, 1 is full agreement; it compares two answers and knows
nothing of the truth. A cell's figure is that of its worst sample, for classification the share of all samples.
Which outputs hold the answer is read from their shapes:

- classify: every output with one row of two or more scores per sample ([1,C], [C], [1,1,1,C]).
- segment: the largest map, [N,H,W,C] of scores, [N,H,W,1] of a foreground score, or [N,H,W] of integer labels;
  see `labels`.
- detect: boxes [1,K,4], classes [1,K], scores [1,K] and perhaps their count (TFLite_Detection_PostProcess); or,
  before that step, one row per anchor: [1,N,4] (or longer rows that start with a box) and scores [1,N,C].
- keypoints: a heatmap [N,H,W,K], or the longest list of coordinates.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from harness.measure import detections, labels
from harness.measure.tensors import Array, Samples, numbers, real
from harness.plan.cell import Task, TensorSpec

WITHIN = 0.02
"""Share of the reference's range by which a coordinate may be off and still count as the same."""

_FITS: Mapping[str, str] = MappingProxyType(
    {
        "classify": "an output with one row of scores, such as [1,1001]",
        "segment": "an output such as [1,H,W,C] of scores or [1,H,W] of integer labels",
        "detect": "outputs such as [1,K,4], [1,K], [1,K], or [1,N,4] with [1,N,C]",
        "keypoints": "a heatmap such as [1,H,W,17], or a list of four or more coordinates",
    }
)


@dataclass(frozen=True)
class Agreement:
    """Task figures by name (see `TASK_METRICS`); empty, with a note, when the task does not fit the outputs."""

    metrics: dict[str, float]
    note: str | None = None


def agreement(task: Task, measured: Samples, reference: Samples, outputs: Sequence[TensorSpec]) -> Agreement:
    """Compare two sets of outputs in the terms of a task.

    Args:
        task: what the outputs mean; "other" has no figures.
        measured: per sample, per output; shapes equal to the reference's.
        reference: likewise.
        outputs: their specs.

    Raises:
        ValueError: tensors that do not hold numbers.
    """
    if task == "other":
        return Agreement({})
    metrics = _BY_TASK[task](measured, reference, outputs)
    if metrics:
        return Agreement(metrics)
    shapes = ", ".join(str(list(array.shape)) for array in reference[0]) or "none"
    return Agreement({}, f"task {task} expects {_FITS[task]}; the outputs are {shapes}: only numbers were compared")


def top1(measured: Samples, reference: Samples, position: int, spec: TensorSpec) -> float | None:
    """Share of samples where one output's most likely class is the reference's; None if it is no row of scores.

    Samples whose reference holds NaN only are left out; a NaN of the measured output's own is a disagreement.
    """
    return _ranked(measured, reference, position, spec, _same_best)


def _ranked(
    measured: Samples,
    reference: Samples,
    position: int,
    spec: TensorSpec,
    agrees: Callable[[NDArray[np.float64], NDArray[np.float64]], bool],
) -> float | None:
    found: list[bool] = []
    for ours, theirs in zip(measured, reference, strict=True):
        y = numbers(theirs[position], spec).reshape(-1).astype(np.float64)
        if y.size < 2 or max(theirs[position].shape) != y.size:
            return None
        x = numbers(ours[position], spec).reshape(-1).astype(np.float64)
        odd = bool(np.any(np.isnan(x) & ~np.isnan(y)))
        x, y = np.where(np.isnan(x), -np.inf, x), np.where(np.isnan(y), -np.inf, y)
        if y.max() > -np.inf:
            found.append(not odd and x.max() > -np.inf and agrees(x, y))
    return sum(found) / len(found) if found else None


def _same_best(x: NDArray[np.float64], y: NDArray[np.float64]) -> bool:
    return bool(y[x.argmax()] == y.max())


def _best_in_five(x: NDArray[np.float64], y: NDArray[np.float64]) -> bool:
    best = float(x[y == y.max()].max())
    return int(np.count_nonzero(x > best)) < 5


def _classify(measured: Samples, reference: Samples, outputs: Sequence[TensorSpec]) -> dict[str, float]:
    metrics: dict[str, float] = {}
    for position, spec in enumerate(outputs):
        for name, agrees in (("top1_agreement", _same_best), ("top5_agreement", _best_in_five)):
            share = _ranked(measured, reference, position, spec, agrees)
            trivial = name == "top5_agreement" and reference[0][position].size <= 5
            if share is not None and not trivial:
                metrics[name] = min(share, metrics.get(name, 1.0))
    return metrics


def _detect(measured: Samples, reference: Samples, outputs: Sequence[TensorSpec]) -> dict[str, float]:
    theirs = [[real(array, spec) for array, spec in zip(one, outputs, strict=True)] for one in reference]
    fit = detections.layout(theirs)
    if fit is None:
        return {}
    ours = [[real(array, spec) for array, spec in zip(one, outputs, strict=True)] for one in measured]
    return detections.agreement(fit, ours, theirs, WITHIN)


def _keypoints(measured: Samples, reference: Samples, outputs: Sequence[TensorSpec]) -> dict[str, float]:
    position = _heatmap([array.shape for array in reference[0]])
    if position is not None:
        pairs = zip(measured, reference, strict=True)
        shares = [_peaks_within(ours[position], theirs[position], outputs[position]) for ours, theirs in pairs]
        return {"keypoints_within": min(shares)}
    position = int(np.argmax([array.size for array in reference[0]])) if reference[0] else 0
    if not reference[0] or reference[0][position].size < 4 or _spread(reference[0][position].shape):
        return {}
    spec = outputs[position]
    theirs = [real(one[position], spec) for one in reference]
    finite = np.concatenate([one[np.isfinite(one)] for one in theirs])
    room = WITHIN * float(np.ptp(finite)) if finite.size else 0.0
    near = [detections.close(real(one[position], spec), y, room) for one, y in zip(measured, theirs, strict=True)]
    return {"keypoints_within": min(float(np.mean(share)) for share in near)}


def _spread(shape: tuple[int, ...]) -> bool:
    """Whether a tensor has height and width: a map, not a list."""
    return len(shape) == 4 and shape[1] > 1 and shape[2] > 1


def _heatmap(shapes: Sequence[tuple[int, ...]]) -> int | None:
    """Position of the heatmap: the only map, or, as in PoseNet, the one with another of twice its channels."""
    maps = [position for position, shape in enumerate(shapes) if _spread(shape) and min(shape) > 0]
    if len(maps) == 1:
        return maps[0]
    doubled = [
        position
        for position in maps
        if any(shapes[other] == (*shapes[position][:3], 2 * shapes[position][3]) for other in maps)
    ]
    return doubled[0] if len(doubled) == 1 else None


def _peaks_within(measured: Array, reference: Array, spec: TensorSpec) -> float:
    """Share of channels whose peak is at most one cell (also diagonally) from the reference's."""
    batch, _, width, channels = reference.shape
    x = numbers(measured, spec).reshape(batch, -1, channels)
    y = numbers(reference, spec).reshape(batch, -1, channels)
    ours, theirs = x.argmax(axis=1), y.argmax(axis=1)
    near = (np.abs(ours // width - theirs // width) <= 1) & (np.abs(ours % width - theirs % width) <= 1)
    chosen = np.take_along_axis(y, ours[:, None, :], axis=1)
    near |= (chosen == np.take_along_axis(y, theirs[:, None, :], axis=1))[:, 0, :]  # the reference's peak is a tie
    if x.dtype.kind == "f":  # the maximum of what holds a NaN is one
        near &= ~(np.isnan(x.max(axis=1)) & ~np.isnan(y.max(axis=1)))
    return float(np.mean(near))


_BY_TASK: Mapping[str, Callable[[Samples, Samples, Sequence[TensorSpec]], dict[str, float]]] = MappingProxyType(
    {"classify": _classify, "segment": labels.agreement, "detect": _detect, "keypoints": _keypoints}
)
