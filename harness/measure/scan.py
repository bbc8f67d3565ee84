"""One pass over one output of one sample: all figures that are computed element by element.

Both tensors are read once, in chunks; formulas are in `accuracy`, `ulp`, `divergence` and `percentile`. What a chunk
needs is kept in buffers that are used again, so memory does not grow with the tensor, but for the percentile's 4 %.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from harness.measure import divergence, ulp
from harness.measure.percentile import Percentile99
from harness.measure.scale import CHUNK, TINY, Scale, bounded, chunks
from harness.measure.tensors import Array, numbers
from harness.plan.cell import TensorSpec

Floats = NDArray[np.float64]

POSITIONS = 8
"""How many positions of differing non-finite elements are kept per output."""


@dataclass
class Nonfinite:
    """Elements that are NaN or infinite on each side; `positions` are flat, of those whose kind differs."""

    nan_measured: int = 0
    nan_reference: int = 0
    inf_measured: int = 0
    inf_reference: int = 0
    positions: list[int] = field(default_factory=list)

    def __bool__(self) -> bool:
        """Whether there are any."""
        return bool(self.nan_measured or self.nan_reference or self.inf_measured or self.inf_reference)


@dataclass(frozen=True)
class Figures:
    """The figures of one output of one sample, or the worst of several."""

    nonfinite: int
    max_abs: float | None = None
    max_abs_of_range: float | None = None
    mean_abs: float | None = None
    rmse: float | None = None
    max_rel: float | None = None
    p99_rel: float | None = None
    max_ulp: float | None = None
    max_steps: float | None = None
    cosine: float | None = None
    psnr_db: float | None = None
    snr_db: float | None = None
    kl: float | None = None


def scan(measured: Array, reference: Array, spec: TensorSpec, scale: Scale) -> tuple[Figures, Nonfinite]:
    """All figures of one output of one sample; both arrays as stored, of one shape, perhaps mapped from files."""
    sums = _Sums(measured, reference, spec, scale)
    with np.errstate(over="ignore", invalid="ignore"):
        for ours, theirs in zip(chunks(measured, spec), chunks(reference, spec), strict=True):
            sums.add(ours, theirs)
    return sums.figures(), sums.nonfinite


class _Sums:
    """What a pass has gathered so far."""

    def __init__(self, measured: Array, reference: Array, spec: TensorSpec, scale: Scale) -> None:
        self.nonfinite = Nonfinite()
        self._scale = scale
        self._rows = reference.size // scale.probabilities.row if scale.probabilities else 0
        self._unit = ulp.unit_of(measured, reference, spec)
        kinds = [numbers(array.reshape(-1)[:0], spec).dtype.kind for array in (measured, reference)]
        self._steps = kinds[0] in "iu" and measured.dtype.kind != "b"
        self._wide = kinds[0] in "iu" and max(measured.itemsize, reference.itemsize) == 8
        size = measured.size * (2 if measured.dtype.kind == "c" else 1)
        self._relative = Percentile99(size, CHUNK)
        self._zero = _zero_point(spec) if kinds[0] in "iu" else 0.0
        self._buffers = [np.empty(CHUNK) for _ in range(4)]
        self._read = self._count = self._different = 0
        self._top = self._top_rel = self._total = self._squares = self._divergence = self._far = 0.0
        self._xy = self._xx = self._yy = 0.0

    def add(self, ours: Array, theirs: Array) -> None:
        """Take in a chunk of each side."""
        x, y, error = (buffer[: ours.size] for buffer in self._buffers[:3])
        np.copyto(x, ours)
        np.copyto(y, theirs)
        if self._wide:
            error = _wide_distance(ours, theirs, x, y)
        else:
            np.subtract(x, y, out=error)
            np.abs(error, out=error)
        if self._zero:
            np.subtract(x, self._zero, out=x)
            np.subtract(y, self._zero, out=y)
        start, self._read = self._read, self._read + ours.size
        peak = float(error.max())
        if not math.isfinite(peak):
            both = self._nonfinite_in(x, y, start)
            x, y, error, ours, theirs = x[both], y[both], error[both], ours[both], theirs[both]
            if not x.size:
                return
            peak = float(error.max())
        self._count += x.size
        squares = float(y @ y)
        self._yy += squares
        if peak == 0.0:
            self._xx += squares
            self._xy += squares
            self._relative.add(error, 0.0)
            return
        self._top = max(self._top, peak)
        self._total += float(error.sum())
        self._squares += float(error @ error)
        self._xx += float(x @ x)
        self._xy += float(x @ y)
        if self._unit:
            self._far = max(self._far, ulp.largest(ours, theirs, self._unit))
        self._add_relative(y, error)
        if self._scale.probabilities:
            self._divergence += divergence.total(x, y, self._scale.probabilities)

    def _add_relative(self, y: Floats, error: Floats) -> None:
        """Take in relative errors; `error` is overwritten."""
        size = np.abs(y, out=self._buffers[3][: y.size])
        np.maximum(size, self._scale.floor, out=size)
        np.divide(error, size, out=error)
        peak = float(error.max())
        self._top_rel = max(self._top_rel, peak)
        self._relative.add(error, peak)

    def _nonfinite_in(self, x: Floats, y: Floats, start: int) -> NDArray[np.bool_]:
        """Count the non-finite elements of a chunk that begins at element `start`; where both sides are finite."""
        finite_x, finite_y = np.isfinite(x), np.isfinite(y)
        both: NDArray[np.bool_] = finite_x & finite_y
        found = self.nonfinite
        nan_x, nan_y = np.isnan(x), np.isnan(y)
        nans = int(np.count_nonzero(nan_x)), int(np.count_nonzero(nan_y))
        found.nan_measured += nans[0]
        found.nan_reference += nans[1]
        found.inf_measured += int(x.size - np.count_nonzero(finite_x)) - nans[0]
        found.inf_reference += int(y.size - np.count_nonzero(finite_y)) - nans[1]
        where = np.flatnonzero(~(both | (nan_x & nan_y) | (x == y)))
        self._different += where.size
        room = POSITIONS - len(found.positions)
        found.positions += [start + int(place) for place in where[:room]]
        return both

    def figures(self) -> Figures:
        """The figures of all that was taken in."""
        if not self._count:
            return Figures(self._different)
        scale, identical = self._scale, self._top == 0.0
        rmse = bounded(math.sqrt(self._squares / self._count))
        relative = self._relative.value()
        return Figures(
            nonfinite=self._different,
            max_abs=bounded(self._top),
            max_abs_of_range=bounded(self._top / scale.denominator),
            mean_abs=bounded(self._total / self._count),
            rmse=rmse,
            max_rel=bounded(self._top_rel),
            p99_rel=bounded(relative) if relative is not None else None,
            max_ulp=self._far if self._unit else None,
            max_steps=bounded(self._top) if self._steps else None,
            cosine=_cosine(self._xy, self._xx, self._yy, identical),
            psnr_db=decibels(scale.denominator, rmse),
            snr_db=decibels(bounded(math.sqrt(self._yy / self._count)), rmse),
            kl=bounded(max(self._divergence, 0.0) / self._rows) if self._rows else None,
        )


def _zero_point(spec: TensorSpec) -> float:
    """The stored value of a real zero, where all elements share one."""
    zeros = spec.quantization.zero_points if spec.quantization else ()
    return float(zeros[0]) if len(zeros) == 1 else 0.0


def _wide_distance(ours: Array, theirs: Array, x: Floats, y: Floats) -> Floats:
    """abs(ours - theirs) of 64-bit integers; x and y are the same as float64, which they need not fit."""
    wide = np.result_type(ours, theirs)
    if wide.kind == "f":  # int64 against uint64 has no common integer type
        return np.abs(x - y)
    a, b = ours.astype(wide), theirs.astype(wide)
    # Modulo 2**64 the difference of the larger and the smaller is exact.
    gap: Array = np.maximum(a, b).view(np.uint64) - np.minimum(a, b).view(np.uint64)
    return gap.astype(np.float64)


def _cosine(xy: float, xx: float, yy: float, identical: bool) -> float | None:
    if xx == 0.0 and yy == 0.0:
        return None
    if identical:
        return 1.0  # rounding of the sums must not say otherwise
    if xx == 0.0 or yy == 0.0:
        return 0.0  # an output of zeros alone has nothing in common with one that is not
    value = xy / (math.sqrt(xx) * math.sqrt(yy))
    return max(-1.0, min(1.0, value)) if math.isfinite(value) else None


def decibels(signal: float, error: float) -> float | None:
    """Ratio of two amplitudes in dB; None where there is no error."""
    return 20.0 * (math.log10(max(signal, TINY)) - math.log10(error)) if error > 0.0 else None
