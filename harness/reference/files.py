"""A user's input files as tensors: `.npy`, images, raw bytes."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from harness.errors import UsageError
from harness.plan.cell import InputFile, TensorSpec
from harness.reference.noise import FLOATS

if TYPE_CHECKING:
    from PIL.Image import Image

IMAGE_SUFFIXES = frozenset({".bmp", ".gif", ".jpeg", ".jpg", ".png", ".ppm", ".tif", ".tiff", ".webp"})
_MODES = {1: "L", 3: "RGB", 4: "RGB"}


def tensor_from_file(file: InputFile, spec: TensorSpec) -> NDArray[Any]:
    """The content of a file, as one tensor's array.

    - `.npy`: of the tensor's shape (leading ones may be missing) and dtype, or of another dtype whose values all
      survive the conversion.
    - an image, for a tensor of shape [1, H, W, C] with 1, 3 or 4 channels: resized to H x W with Pillow's bilinear
      filter, as grey or RGB. A float tensor takes (pixel - mean) / std. An 8-bit one takes the pixels as stored in
      it: 0..255 for uint8, pixel - 128 for int8. That is what the tensor's own scale and zero point give for every
      usual normalisation (0..1, -1..1 and 0..255 alike), whereas `mean` and `std` would have to repeat them. The
      fourth channel, which models use for an earlier mask, is zero: no mask.
    - anything else: the tensor's raw bytes, C order, little endian.

    Args:
        file: which file, and an image's normalisation.
        spec: the tensor.

    Returns:
        An array of `spec.shape` and dtype.

    Raises:
        UsageError: the file is missing, unreadable or does not fit; or Pillow is not installed.
    """
    path = Path(file.path)
    try:
        if path.suffix.lower() == ".npy":
            return _from_npy(path, spec)
        if path.suffix.lower() in IMAGE_SUFFIXES:
            return _from_image(file, spec)
        return _from_raw(path, spec)
    except FileNotFoundError:
        raise UsageError(f"{path} is not there") from None
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror or error}") from None


def describe(spec: TensorSpec) -> str:
    """A tensor as messages state it: `input 'image' (float32 [1, 224, 224, 3])`."""
    return f"input '{spec.name or spec.index}' ({spec.dtype} {list(spec.shape)})"


def _from_npy(path: Path, spec: TensorSpec) -> NDArray[Any]:
    try:
        array = np.load(path, allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise UsageError(f"{path} is not a readable .npy file: {error}") from None
    if not isinstance(array, np.ndarray):
        array.close()
        raise UsageError(f"{path} holds several arrays; {describe(spec)} needs one, saved with numpy.save")
    stored = f"{array.dtype.name} {list(array.shape)}"
    if _trimmed(array.shape) != _trimmed(spec.shape):
        raise UsageError(f"{path} holds {stored}; {describe(spec)} needs that shape")
    if array.dtype.kind not in "fiub":
        raise UsageError(f"{path} holds {stored}, which are not numbers; {describe(spec)} needs them")
    with np.errstate(all="ignore"):  # what does not fit is found by comparing, on the next line
        converted: NDArray[Any] = array.astype(spec.dtype)
    if not np.array_equal(converted.astype(array.dtype), array, equal_nan=array.dtype.kind == "f"):
        raise UsageError(
            f"{path} holds {stored} with values that change in {spec.dtype}; {describe(spec)} needs that type: "
            f"convert them on purpose with .astype('{spec.dtype}')"
        )
    return converted.reshape(spec.shape)


def _trimmed(shape: tuple[int, ...]) -> tuple[int, ...]:
    """A shape without its leading ones."""
    first = next((axis for axis, size in enumerate(shape) if size != 1), len(shape))
    return shape[first:]


def _from_raw(path: Path, spec: TensorSpec) -> NDArray[Any]:
    dtype = np.dtype(spec.dtype)
    needed = math.prod(spec.shape) * dtype.itemsize
    size = path.stat().st_size
    if size != needed:
        raise UsageError(f"{path} has {size} bytes; {describe(spec)} needs {needed}")
    return np.fromfile(path, dtype).reshape(spec.shape)


def _from_image(file: InputFile, spec: TensorSpec) -> NDArray[Any]:
    if len(spec.shape) != 4 or spec.shape[0] != 1 or spec.shape[3] not in _MODES:
        raise UsageError(f"{file.path} is an image; {describe(spec)} does not have the shape [1, H, W, 1 | 3 | 4]")
    if spec.dtype not in FLOATS | {"int8", "uint8"}:
        raise UsageError(f"{file.path} is an image; {describe(spec)} takes one only as floats or 8-bit integers")
    if file.std == 0:
        raise UsageError(f"{file.path}: `std` is 0; pixels become (value - mean) / std")
    _, height, width, channels = spec.shape
    pixels = _pixels(file.path, width, height, _MODES[channels]).reshape(height, width, -1)
    values = np.zeros((height, width, channels), np.float32)
    if spec.dtype in FLOATS:
        values[..., : pixels.shape[2]] = (pixels - np.float32(file.mean)) / np.float32(file.std)
        return values.astype(spec.dtype).reshape(spec.shape)
    values[..., : pixels.shape[2]] = pixels
    return (values + np.iinfo(spec.dtype).min).astype(spec.dtype).reshape(spec.shape)


def _pixels(path: str, width: int, height: int, mode: str) -> NDArray[np.float32]:
    try:
        from PIL import Image
    except ImportError:
        raise UsageError(f"{path} is an image, which needs Pillow: pip install 'delegate-harness[images]'") from None
    try:
        with Image.open(path) as image:
            return _resized(image.convert(mode), width, height)
    except (Image.DecompressionBombError, SyntaxError, ValueError) as error:
        raise UsageError(f"{path} is not a readable image: {error}") from None


def _resized(image: Image, width: int, height: int) -> NDArray[np.float32]:
    from PIL.Image import Resampling

    return np.asarray(image.resize((width, height), Resampling.BILINEAR), dtype=np.float32)
