"""Why an output that fails looks the way it does: known mistakes, recognised by what they do to a tensor.

Each is a hypothesis that is tried on the numbers: were the outputs exchanged (the layout another, the picture moved),
then undoing it must leave almost nothing of the error. A hint explains a FAIL; only `cpu_copy` makes one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness.measure.tensors import Array, Samples, describe, numbers
from harness.plan.cell import Model, TensorSpec

MIN_SUMS = 5
"""Operations that sum products from which on a float model's bits cannot be the same on two kinds of processor."""

MIN_VALUES = 32
"""Different values that outputs must hold for their bits to tell anything."""

FLOAT16_MAX = 65504.0
LARGEST = 1 << 22
"""Elements of a tensor from which on only constant and non-finite outputs are looked for."""

_SUMS = frozenset({"BATCH_MATMUL", "CONV_2D", "CONV_3D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "TRANSPOSE_CONV"})
_EXPLAINED = 0.1  # share of the error that a hypothesis may leave
_RIGHT = 0.05  # share of the range that a right answer may be off in float16
_MANY = 0.25  # share of the elements
_FAR = 2  # pixels
_PLACES = 3  # named, of non-finite elements

Numbers = NDArray[np.float64]


@dataclass(frozen=True)
class _Output:
    """One output that fails, of the sample where it is worst, as numbers."""

    position: int
    sample: int
    spec: TensorSpec
    x: Numbers
    y: Numbers
    range: float

    @property
    def name(self) -> str:
        return describe(self.spec)

    @property
    def astray(self) -> bool:
        """Whether it is another answer altogether: no constant, and off in many places, not only in some."""
        off = np.abs(self.x - self.y) > _RIGHT * self.range
        return bool(np.ptp(self.x) != 0.0 and off.mean() >= _MANY)

    def error(self, x: Numbers, y: Numbers) -> float:
        """Largest error as a share of the range; infinite where an element is."""
        gap = np.abs(x - y)
        gap[(x == y) | (np.isnan(x) & np.isnan(y))] = 0.0
        worst = float(gap.max(initial=0.0)) / self.range
        return float("inf") if np.isnan(worst) else worst

    def explains(self, x: Numbers, y: Numbers) -> bool:
        """Whether x against y leaves almost nothing of the error, though neither is constant."""
        if y.size < 2 or np.ptp(y) == 0.0:
            return False
        return self.error(x, y) <= min(_RIGHT, _EXPLAINED * self.error(self.x, self.y))


def find(
    measured: Samples,
    reference: Samples,
    outputs: Sequence[TensorSpec],
    wrong: Mapping[int, int],
    stale: Mapping[int, str],
) -> list[str]:
    """What may be the matter with outputs that fail, in words, the surest first; empty where nothing is recognised.

    Args:
        measured: per sample, per output.
        reference: likewise, same shapes.
        outputs: their specs.
        wrong: outputs that fail, by position, with the sample where each is worst.
        stale: outputs that are byte for byte an earlier cell's of another model, by position, with that cell's id.

    Raises:
        ValueError: tensors that do not hold numbers.
    """
    words = []
    with np.errstate(all="ignore"):
        for position, sample in wrong.items():
            found = _output(measured, reference, outputs[position], position, sample)
            if position in stale and found.astray:
                words.append(f"{found.name} is byte for byte that of an earlier cell, {stale[position]}: stale")
            elif text := next(_said(found, measured, reference, outputs), None):
                words.append(text)
    return list(dict.fromkeys(words))


def _output(measured: Samples, reference: Samples, spec: TensorSpec, position: int, sample: int) -> _Output:
    x = numbers(measured[sample][position], spec).astype(np.float64)
    y = numbers(reference[sample][position], spec).astype(np.float64)
    finite = y[np.isfinite(y)]
    spread = float(np.ptp(finite)) if finite.size else 0.0
    return _Output(position, sample, spec, x, y, spread or float(np.abs(finite).max(initial=0.0)) or 1.0)


def _said(found: _Output, measured: Samples, reference: Samples, outputs: Sequence[TensorSpec]) -> Iterator[str]:
    """Hypotheses about one output, in words, the simplest first."""
    yield from _nonfinite(found)
    yield from _saturated(found)
    yield from _constant(found)
    if found.x.size > LARGEST:
        return
    yield from _exchanged(found, reference, outputs)
    yield from _late(found, measured, reference)
    yield from _layout(found)
    yield from _shifted(found)
    yield from _out_of_range(found)


def _nonfinite(found: _Output) -> Iterator[str]:
    odd = np.flatnonzero(~np.isfinite(found.x) & np.isfinite(found.y))
    lost = np.flatnonzero(np.isfinite(found.x) & ~np.isfinite(found.y))
    if odd.size:
        kinds = (
            "NaN" if np.isnan(found.x.flat[odd]).all() else "infinite" if np.isinf(found.x.flat[odd]).all() else None
        )
        text = f"{found.name} is {kinds or 'NaN or infinite'} {_places(found, odd)}, where the reference is finite"
        largest = float(np.abs(found.y[np.isfinite(found.y)]).max(initial=0.0))
        if largest > FLOAT16_MAX:
            text += f"; the reference reaches {largest:.3g}, and float16 ends at {FLOAT16_MAX:.0f}"
        yield text
    elif lost.size:
        kind = "NaN" if np.isnan(found.y.flat[lost]).all() else "NaN or infinite"
        value = float(found.x.flat[lost[0]])
        yield f"{found.name} is finite ({value:g}) {_places(found, lost)}, where the reference is {kind}"


def _places(found: _Output, flat: Array) -> str:
    shown = [str([int(i) for i in np.unravel_index(place, found.x.shape)]) for place in flat[:_PLACES]]
    more = f" and {flat.size - _PLACES} more places" if flat.size > _PLACES else ""
    return f"at {', '.join(shown)}{more} of sample {found.sample}"


def _saturated(found: _Output) -> Iterator[str]:
    """Sums that end where float16 does."""
    beyond = np.abs(found.y) > FLOAT16_MAX * (1 + _RIGHT)
    if beyond.any() and bool((np.abs(found.x[beyond]) <= FLOAT16_MAX * (1 + _RIGHT)).all()):
        largest = float(np.abs(found.y[beyond]).max())
        yield f"{found.name} stops at {FLOAT16_MAX:.0f}, where float16 ends; the reference reaches {largest:.3g}"


def _constant(found: _Output) -> Iterator[str]:
    if found.x.size < 2 or np.ptp(found.x) != 0.0 or np.ptp(found.y) == 0.0:
        return
    value = float(found.x.flat[0])
    yield f"{found.name} is all zeros" if value == 0.0 else f"{found.name} holds nothing but {value:g}"


def _exchanged(found: _Output, reference: Samples, outputs: Sequence[TensorSpec]) -> Iterator[str]:
    for other, spec in enumerate(outputs):
        theirs = reference[found.sample][other]
        if other == found.position or theirs.size != found.x.size:
            continue
        if found.explains(found.x.reshape(-1), numbers(theirs, spec).reshape(-1).astype(np.float64)):
            yield f"outputs {min(other, found.position)} and {max(other, found.position)} are exchanged"


def _late(found: _Output, measured: Samples, reference: Samples) -> Iterator[str]:
    for sample, theirs in enumerate(reference):
        if sample == found.sample:
            continue
        y = numbers(theirs[found.position], found.spec).astype(np.float64)
        if found.explains(found.x, y):
            if np.array_equal(measured[sample][found.position], measured[found.sample][found.position]):
                yield f"{found.name} of sample {found.sample} is that of sample {sample}: stale"
            else:
                yield f"{found.name} of sample {found.sample} answers sample {sample}: samples are exchanged"


def _layout(found: _Output) -> Iterator[str]:
    """A tensor [N,H,W,C] whose bytes are in the order of another layout; [N,H,W] likewise."""
    shape = found.x.shape
    if len(shape) not in (3, 4) or sum(size > 1 for size in shape[1:]) < 2:
        return
    orders: dict[str, tuple[int, ...]] = {"height and width are exchanged": (0, 2, 1, 3)[: len(shape)]}
    if len(shape) == 4:
        orders = {"its bytes are laid out NCHW, not NHWC": (0, 3, 1, 2), **orders}
        orders["it is NHWC data taken for NCHW and turned once too often"] = (0, 2, 3, 1)
    for words, order in orders.items():
        stored = tuple(shape[axis] for axis in order)
        back = np.argsort(order)
        if found.explains(found.x.reshape(stored).transpose(back), found.y):
            yield f"{found.name}: {words}"


def _shifted(found: _Output) -> Iterator[str]:
    """A picture [N,H,W,C] (or [N,H,W]) that is moved; the border that has no counterpart is left out."""
    shape = found.x.shape
    if len(shape) not in (3, 4) or min(shape[1], shape[2]) < 2 * _FAR + 2:
        return
    steps = range(-_FAR, _FAR + 1)
    moves = sorted(((down, right) for down in steps for right in steps if down or right), key=_distance)
    for down, right in moves:
        x = found.x[:, _FAR + down : shape[1] - _FAR + down, _FAR + right : shape[2] - _FAR + right]
        y = found.y[:, _FAR : shape[1] - _FAR, _FAR : shape[2] - _FAR]
        if found.explains(x, y):
            ways = [_way(down, "down", "up"), _way(right, "right", "left")]
            yield f"{found.name} is shifted by {' and '.join(filter(None, ways))}"
            return


def _distance(move: tuple[int, int]) -> int:
    return abs(move[0]) + abs(move[1])


def _way(pixels: int, positive: str, negative: str) -> str:
    if not pixels:
        return ""
    count = abs(pixels)
    return f"{'one pixel' if count == 1 else f'{count} pixels'} {positive if pixels > 0 else negative}"


def _out_of_range(found: _Output) -> Iterator[str]:
    """Integers that are no steps of a scale: indices, counts, labels."""
    if found.spec.quantization is not None or not np.issubdtype(np.dtype(found.spec.dtype), np.integer):
        return
    highest, known = int(found.x.max()), int(found.y.max())
    if highest > known:
        yield f"{found.name} reaches {highest}; the reference stays within {int(found.y.min())}..{known}"


def cpu_copy(measured: Samples, cpu: Samples, model: Model) -> bool:
    """Whether a GPU's outputs are the CPU's bit for bit where that is not credible: the GPU cannot have made them.

    Two kinds of processor add products in another order, or fuse them. Short sums may round to the same bits, those
    of five layers and more do not (docs/references.md has what was seen). So only float models with `MIN_SUMS` such
    operations are looked at, and only outputs with `MIN_VALUES` different values.

    Args:
        measured: outputs of a cell all of whose nodes ran on the GPU.
        cpu: outputs of the same device's CPU cell.
        model: of both.
    """
    sums = sum(op.count for op in model.ops if op.name in _SUMS)
    if model.quantized or model.hybrid or sums < MIN_SUMS:
        return False
    floats = [spec.index for spec in model.outputs if spec.dtype in ("float32", "float16")]
    pairs = [(ours[i], theirs[i]) for ours, theirs in zip(measured, cpu, strict=True) for i in floats]
    if not pairs or not all(np.array_equal(x, y, equal_nan=True) for x, y in pairs):
        return False
    return sum(np.unique(x).size for x, _ in pairs) >= MIN_VALUES
