"""Outputs that are images, as PNGs that a person can look at: the reference's, the device's, and where they differ.

Drawn are the outputs of cells that are not PASS, and of all cells that segment or find keypoints: at most
`MOST_OUTPUTS` outputs of one sample each, none larger than `SIDE` pixels. Reference and device share one scale, that of
the reference, so that equal values look equal.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from harness.engine.explaining import Evidence, worst_sample
from harness.measure.tensors import Array, numbers
from harness.plan.cell import Cell, Outcome, TensorSpec
from harness.plan.row import CellRow

if TYPE_CHECKING:
    from PIL.Image import Image

FOLDER = "pictures"
MOST_OUTPUTS = 2
SIDE = 512
"""Pixels; larger outputs are thinned out, smaller ones enlarged by whole factors."""

_SMALLEST = 8  # height and width from which on an output may be an image
_LONGEST = 4  # times as long as wide
_MOST_CHANNELS = 256
_LOOKED_AT = frozenset({"segment", "keypoints"})
_PASSED = frozenset({Outcome.PASS.value, Outcome.MARGINAL.value})
_NONFINITE = (255, 0, 255)
_GOLDEN_ANGLE = 0.61803398875  # of a turn: neighbouring labels get colours far apart

Pixels = NDArray[np.uint8]
Plane = NDArray[np.float64]


def add(folder: Path, cell: Cell, row: CellRow, evidence: Evidence) -> None:
    """Draw what is to be looked at, name the files in the row's artifacts; a note where Pillow is not installed.

    Args:
        folder: the report folder.
        cell: that was judged.
        row: of the cell; its artifacts say where its files are.
        evidence: its outputs and its references.
    """
    if row["outcome"] in _PASSED and cell.model.task not in _LOOKED_AT:
        return
    images = [spec for spec in evidence.model.outputs if _is_image(spec, evidence)]
    images.sort(key=lambda spec: _error(row, spec), reverse=True)
    if not images or not row["artifacts"]:
        return
    try:
        import PIL.Image  # noqa: F401 - whether it is there
    except ImportError:
        row["notes"].append("no pictures of the outputs: they need Pillow: pip install 'delegate-harness[images]'")
        return
    place = f"{row['artifacts'][0].rpartition('/')[0]}/{FOLDER}"
    (folder / place).mkdir(exist_ok=True)
    for spec in images[:MOST_OUTPUTS]:
        sample = worst_sample(row["accuracy"][0]["outputs"][spec.index], row["accuracy"][0])
        theirs = evidence.comparisons[0].arrays[sample][spec.index]
        drawn = _drawn(cell, spec, evidence.measured[sample][spec.index], theirs)
        for name, pixels in zip(("reference", "device", "difference"), drawn, strict=True):
            path = f"{place}/output{spec.index}_sample{sample}_{name}.png"
            _sized(pixels).save(folder / path, optimize=False)
            row["artifacts"].append(path)


def _error(row: CellRow, spec: TensorSpec) -> tuple[int, float]:
    output = row["accuracy"][0]["outputs"][spec.index]
    return output["nonfinite"], output["max_abs_of_range"] or 0.0


def _is_image(spec: TensorSpec, evidence: Evidence) -> bool:
    """[1,H,W,C] or [1,H,W], of numbers; a long and narrow one is a list of something."""
    array = evidence.measured[0][spec.index]
    shape = array.shape
    if array.dtype.kind not in "fiub" or len(shape) not in (3, 4) or shape[0] != 1:
        return False
    low, high = sorted(shape[1:3])
    return low >= _SMALLEST and high <= _LONGEST * low and (len(shape) == 3 or shape[3] <= _MOST_CHANNELS)


def _drawn(cell: Cell, spec: TensorSpec, ours: Array, theirs: Array) -> tuple[Pixels, Pixels, Pixels]:
    """Reference, device, difference."""
    x, y = _planes(ours, spec), _planes(theirs, spec)
    with np.errstate(all="ignore"):
        if cell.model.task == "segment" and (y.shape[2] > 1 or (theirs.dtype.kind in "iu" and not spec.quantization)):
            return _labels(y), _labels(x), _two_colours(_indices(x) != _indices(y))
        if y.shape[2] == 3 and cell.model.task == "other":
            low, high = _span(y)
            return _scaled(y, low, high), _scaled(x, low, high), _difference(x, y)
        if cell.model.task == "keypoints":
            one, other = y.max(axis=2, keepdims=True), x.max(axis=2, keepdims=True)  # all heat maps in one
        else:
            channel = _worst_channel(x, y)
            one, other = y[:, :, channel : channel + 1], x[:, :, channel : channel + 1]
        low, high = _span(one)
        return _scaled(one, low, high), _scaled(other, low, high), _difference(x, y)


def _planes(array: Array, spec: TensorSpec) -> Plane:
    """[H,W,C], thinned out to what will be drawn."""
    values = numbers(array, spec)[0]
    step = max(1, -(-max(values.shape[:2]) // SIDE))
    thin: Plane = values[::step, ::step].astype(np.float64)
    return thin if thin.ndim == 3 else thin[:, :, np.newaxis]


def _span(values: Plane) -> tuple[float, float]:
    finite = values[np.isfinite(values)]
    return (float(finite.min()), float(finite.max())) if finite.size else (0.0, 1.0)


def _worst_channel(x: Plane, y: Plane) -> int:
    gap = np.abs(x - y)
    gap[x == y] = 0.0
    return int(np.nan_to_num(gap, nan=np.inf).max(axis=(0, 1)).argmax())


def _scaled(values: Plane, low: float, high: float) -> Pixels:
    """Grey (one channel) or colour (three) from `low`, black, to `high`, white; non-finite values stand out."""
    share = np.clip((values - low) / ((high - low) or 1.0), 0.0, 1.0)
    pixels = np.broadcast_to(np.nan_to_num(share) * 255.0 + 0.5, (*values.shape[:2], 3)).astype(np.uint8)
    pixels[~np.isfinite(values).all(axis=2)] = _NONFINITE
    return pixels


def _difference(x: Plane, y: Plane) -> Pixels:
    """The largest difference of each pixel: black, over red and yellow to white at the reference's range."""
    gap = np.abs(x - y)
    gap[x == y] = 0.0
    low, high = _span(y)
    share = np.clip(np.nan_to_num(gap, nan=np.inf).max(axis=2) / ((high - low) or 1.0), 0.0, 1.0) * 3.0
    heat = np.stack([np.clip(share - start, 0.0, 1.0) for start in range(3)], axis=2)
    pixels: Pixels = (heat * 255.0 + 0.5).astype(np.uint8)
    pixels[(np.isfinite(x) != np.isfinite(y)).any(axis=2)] = _NONFINITE
    return pixels


def _indices(values: Plane) -> NDArray[np.int64]:
    if values.shape[2] > 1:
        best: NDArray[np.int64] = np.where(np.isnan(values), -np.inf, values).argmax(axis=2)
        return best
    return values[:, :, 0].astype(np.int64)


def _labels(values: Plane) -> Pixels:
    """A colour for each label; the first one is black."""
    labels = _indices(values)
    hue = (labels * _GOLDEN_ANGLE % 1.0)[:, :, np.newaxis]
    colours = np.abs((hue * 6.0 + np.array([0.0, 4.0, 2.0])) % 6.0 - 3.0) - 1.0
    pixels: Pixels = (np.clip(colours, 0.15, 1.0) * 255.0).astype(np.uint8)
    pixels[labels == 0] = 0
    return pixels


def _two_colours(differs: NDArray[np.bool_]) -> Pixels:
    pixels = np.zeros((*differs.shape, 3), np.uint8)
    pixels[differs] = 255
    return pixels


def _sized(pixels: Pixels) -> Image:
    from PIL import Image

    factor = max(1, SIDE // 2 // max(pixels.shape[:2]))
    enlarged = pixels.repeat(factor, axis=0).repeat(factor, axis=1)
    return Image.fromarray(np.ascontiguousarray(enlarged), "RGB")
