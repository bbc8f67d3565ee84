"""Agreement of label maps: which class each pixel has, whatever the model's last layer made of it.

- label_agreement: share of pixels with the reference's label (pixel accuracy).
- mean_iou: for each label of the reference, pixels that have it on both sides / pixels that have it on either; the
  mean over these labels (Everingham et al., The PASCAL Visual Object Classes Challenge, 2010; Long et al., Fully
  Convolutional Networks for Semantic Segmentation, 2015).

Maps are read in blocks of pixels, so memory does not grow with them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.measure.tensors import Array, Samples, numbers, real
from harness.plan.cell import TensorSpec

_BLOCK = 1 << 16  # elements
_DENSE = 1 << 12  # labels up to this, and as close together, are counted by position, others by sorting


def agreement(measured: Samples, reference: Samples, outputs: Sequence[TensorSpec]) -> dict[str, float]:
    """`label_agreement` and `mean_iou` of the largest map, each of the worst sample; empty without a map."""
    sizes = [array.size if _is_map(array, spec) else 0 for array, spec in zip(reference[0], outputs, strict=True)]
    if not any(sizes):
        return {}
    position = int(np.argmax(sizes))
    spec = outputs[position]
    cut = _cut([one[position] for one in reference], spec)
    found = [_sample(x[position], y[position], spec, cut) for x, y in zip(measured, reference, strict=True)]
    return {"label_agreement": min(share for share, _ in found), "mean_iou": min(overlap for _, overlap in found)}


def _is_map(array: Array, spec: TensorSpec) -> bool:
    if array.ndim == 4:
        return array.size > 0 and int(array.shape[1]) * int(array.shape[2]) > 1
    return array.ndim == 3 and array.size > 1 and array.dtype.kind in "iu" and spec.quantization is None


def _blocks(array: Array) -> Iterator[Array]:
    """Pixels of a map with their scores, or with their label alone: [pixels, scores or 1] at a time."""
    pixels = array.reshape(-1, array.shape[-1] if array.ndim == 4 else 1)
    step = max(1, _BLOCK // pixels.shape[1])
    return (pixels[start : start + step] for start in range(0, len(pixels), step))


def _cut(references: Sequence[Array], spec: TensorSpec) -> float | None:
    """Where a single score becomes foreground: 0.5 for probabilities, 0 for logits; None if pixels hold no such score.

    Probabilities may leave 0 to 1 by a tenth, as rounding and quantisation make them do.
    """
    first = references[0]
    if first.ndim == 3 or first.shape[-1] != 1 or (first.dtype.kind in "iu" and spec.quantization is None):
        return None
    for block in (block for one in references for block in _blocks(one)):
        values = real(block, spec)
        if not np.all((values >= -0.1) & (values <= 1.1) | np.isnan(values)):
            return 0.0
    return 0.5


def _sample(measured: Array, reference: Array, spec: TensorSpec, cut: float | None) -> tuple[float, float]:
    """Share of agreeing pixels, and mean intersection over union, of one map."""
    pixels = 0
    ours_count, theirs_count, both = Counter[int](), Counter[int](), Counter[int]()
    for x, y in zip(_blocks(measured), _blocks(reference), strict=True):
        ours, theirs = _labels(x, y, spec, cut)
        pixels += theirs.size
        _count(ours, ours_count)
        _count(theirs, theirs_count)
        _count(theirs[ours == theirs], both)
    # A measured label that the reference lacks needs no term: its pixels are missing from the others' overlap.
    overlaps = [both[label] / (count + ours_count[label] - both[label]) for label, count in theirs_count.items()]
    return both.total() / pixels, sum(overlaps) / len(overlaps)


def _count(labels: NDArray[Any], into: Counter[int]) -> None:
    if not labels.size:
        return
    low, high = int(labels.min()), int(labels.max())
    if high - low < _DENSE and high < _DENSE:
        counts = np.bincount(labels.astype(np.intp) - low)  # wide enough: bytes would wrap
        found = np.flatnonzero(counts)
        into.update({low + int(label): int(counts[label]) for label in found})
    else:
        into.update(
            {int(label): int(count) for label, count in zip(*np.unique(labels, return_counts=True), strict=True)}
        )


def _labels(measured: Array, reference: Array, spec: TensorSpec, cut: float | None) -> tuple[Array, Array]:
    """Labels of pixels, flat; -1 where a measured score is NaN and the reference's is not."""
    if cut is not None:
        x, y = real(measured, spec)[:, 0], real(reference, spec)[:, 0]
        foreground = np.where(np.isnan(x) & ~np.isnan(y), np.int8(-1), (x > cut).astype(np.int8))
        return foreground, (y > cut).astype(np.int8)
    x, y = numbers(measured, spec), numbers(reference, spec)
    if x.shape[1] == 1:
        return x[:, 0], y[:, 0]
    ours, theirs = x.argmax(axis=1), y.argmax(axis=1)
    every = np.arange(len(y))
    odd = np.isnan(x[every, ours]) & ~np.isnan(y[every, theirs])  # a NaN counts as the largest
    # Where the reference itself has a tie, each of the tied labels is right.
    other = np.flatnonzero(ours != theirs)
    tied = other[y[other, ours[other]] == y[other, theirs[other]]]
    ours[tied] = theirs[tied]
    ours[odd] = -1
    return ours, theirs
