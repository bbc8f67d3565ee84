"""Seeded input values that are the same on every platform and with every version of numpy.

Random words come from our own SplitMix64, because numpy may change the streams of its distributions. From there
on only integer arithmetic and single IEEE additions, multiplications and divisions are used: no logarithms or
sines, whose last bits depend on the machine.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.plan.cell import TensorSpec, Values
from harness.reference.hurting import hurt

INTEGER_RANGE = 10
"""Random integers are 0..9: small enough to be a valid index or token in nearly every model."""

FLOATS = frozenset({"float16", "float32", "float64"})
"""Floating-point types of tensors that can be fed."""

SMALL_INTEGERS = frozenset({"int32", "int64", "uint16", "uint32", "uint64"})
"""Types that hold indices, tokens or counts more often than a signal."""

DTYPES = FLOATS | SMALL_INTEGERS | {"bool", "int8", "int16", "uint8"}
"""Types of tensors that can be fed."""

_MASK = (1 << 64) - 1
_GOLDEN = 0x9E3779B97F4A7C15  # SplitMix64's increment: 2**64 / golden ratio, made odd
_CHUNK = 1 << 20  # elements made at a time: bounds the memory that intermediate arrays take
_PICTURE_CHANNELS = (1, 3, 4)
_PICTURE_SMALLEST = 8
_FADE = np.float32(0.7)  # amplitude of each octave relative to the coarser one
_SHARED_LIGHT = 0.7  # of each channel comes from a pattern common to all, as in photographs


def values(spec: TensorSpec, seed: int, sample: int, recipe: Values = "ordinary") -> NDArray[Any]:
    """Random values for one input tensor.

    Floats of a picture's shape ([N, H, W, 1 | 3 | 4], both sides at least 8) are smooth noise of several octaves
    over the whole of [-1, 1]: natural images have such spectra, so that activations are in a realistic regime.
    Other floats are even in [-1, 1), the range of sound and of most normalised features. 8-bit tensors take the
    same noise, spread over all their 256 values: through any scale and zero point that is the whole real range
    they can express. 16-bit signed ones take it at a quarter of full scale. Other integers are 0..9, booleans
    true or false with equal chance.

    Args:
        spec: the tensor: its index, dtype (one of `DTYPES`) and shape.
        seed: of the input plan.
        sample: which input set; every (seed, spec.index, sample) has its own stream, whatever the model.
        recipe: of floats: what becomes of the ordinary ones, see `hurting.hurt`. Other types stay as they are.

    Returns:
        An array of `spec.shape` and dtype.
    """
    key = _mix(_mix(_mix(seed & _MASK) + spec.index) + sample)
    if spec.dtype in FLOATS:
        ordinary: NDArray[Any] = _noise(spec.shape, key).astype(spec.dtype)
        return ordinary if recipe == "ordinary" else hurt(ordinary, _words(_mix(key), 0, ordinary.size), recipe)
    if spec.dtype in {"int8", "uint8"}:
        levels = np.floor((_noise(spec.shape, key) + np.float32(1)) * np.float32(128))
        stored: NDArray[Any] = (np.clip(levels, 0, 255) + np.iinfo(spec.dtype).min).astype(spec.dtype)
        return stored
    if spec.dtype == "int16":
        quarter: NDArray[Any] = np.rint(_noise(spec.shape, key) * np.float32(8192)).astype(np.int16)
        return quarter
    array = np.empty(spec.shape, spec.dtype)
    for part, words in _chunks(array, key):
        part[:] = words % np.uint64(2 if spec.dtype == "bool" else INTEGER_RANGE)
    return array


def _mix(word: int) -> int:
    """SplitMix64's output function. Source: Steele, Lea, Flood, OOPSLA 2014, with Stafford's variant 13."""
    word = (word + _GOLDEN) & _MASK
    word = ((word ^ (word >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    word = ((word ^ (word >> 27)) * 0x94D049BB133111EB) & _MASK
    return word ^ (word >> 31)


def _words(key: int, start: int, count: int) -> NDArray[np.uint64]:
    """`count` words of the stream `key`, from position `start`: `_mix` over an array."""
    word = np.arange(start + 1, start + 1 + count, dtype=np.uint64) * np.uint64(_GOLDEN) + np.uint64(key)
    word = (word ^ (word >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    word = (word ^ (word >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return word ^ (word >> np.uint64(31))


def _chunks(array: NDArray[Any], key: int) -> Iterator[tuple[NDArray[Any], NDArray[np.uint64]]]:
    """Flat parts of a new, contiguous array, and a random word for every element."""
    flat = array.reshape(-1)
    for start in range(0, flat.size, _CHUNK):
        part = flat[start : start + _CHUNK]
        yield part, _words(key, start, part.size)


def _noise(shape: tuple[int, ...], key: int) -> NDArray[np.float32]:
    """Noise within [-1, 1]."""
    return _picture(shape, key) if _is_picture(shape) else _even(shape, key)


def _even(shape: tuple[int, ...], key: int) -> NDArray[np.float32]:
    """Independent values, even in [-1, 1): 24 random bits each, which float32 holds exactly."""
    even = np.empty(shape, np.float32)
    for part, words in _chunks(even, key):
        part[:] = (words >> np.uint64(40)).astype(np.float32) * np.float32(2**-23) - np.float32(1)
    return even


def _is_picture(shape: tuple[int, ...]) -> bool:
    return len(shape) == 4 and shape[3] in _PICTURE_CHANNELS and min(shape[1:3]) >= _PICTURE_SMALLEST and shape[0] > 0


def _picture(shape: tuple[int, ...], key: int) -> NDArray[np.float32]:
    """Smooth noise in [-1, 1] of shape [N, H, W, C]; both ends are reached in every picture."""
    return np.stack([_one_picture(shape[1], shape[2], shape[3], _mix(key + n)) for n in range(shape[0])])


def _one_picture(height: int, width: int, channels: int, key: int) -> NDArray[np.float32]:
    """Value noise: random lattices of 2, 4, 8... cells, interpolated and added with falling amplitude."""
    picture = np.zeros((height, width, channels), np.float32)
    amplitude, cells = np.float32(1), 2
    while cells <= min(height, width) // 2:
        own = _lattice(cells, channels, _mix(key + 2 * cells))
        common = _lattice(cells, 1, _mix(key + 2 * cells + 1))
        lattice = own * np.float32(1 - _SHARED_LIGHT) + common * np.float32(_SHARED_LIGHT)
        picture += _stretched(_stretched(lattice, height, 0), width, 1) * amplitude
        amplitude, cells = amplitude * _FADE, cells * 2
    lowest, highest = picture.min(), picture.max()
    scaled: NDArray[np.float32] = (picture - lowest) / (highest - lowest) * np.float32(2) - np.float32(1)
    return scaled


def _lattice(cells: int, channels: int, key: int) -> NDArray[np.float32]:
    """Uniform values in [0, 1) at the corners of `cells` x `cells` cells."""
    lattice = np.empty((cells + 1, cells + 1, channels), np.float32)
    for part, words in _chunks(lattice, key):
        part[:] = (words >> np.uint64(40)) / float(1 << 24)
    return lattice


def _stretched(array: NDArray[np.float32], size: int, axis: int) -> NDArray[np.float32]:
    """`array` interpolated linearly along `axis` to `size` positions."""
    position = np.arange(size) * (array.shape[axis] - 1) / size
    lower = position.astype(np.intp)
    share = (position - lower).astype(np.float32).reshape((-1,) + (1,) * (array.ndim - 1 - axis))
    between: NDArray[np.float32] = np.take(array, lower, axis) * (np.float32(1) - share)
    between += np.take(array, lower + 1, axis) * share
    return between
