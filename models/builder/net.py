"""Networks with seeded random weights that behave like trained ones.

Every convolution gets normally distributed weights, runs over a few noise images in float64, and has the statistics
of its output folded into its weights and bias, as batch normalisation would leave them. Without that, a random
network answers every input alike, and every runtime would seem to agree.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.builder import forward, layers
from models.builder.forward import Window
from models.builder.graph import Graph, Tensor

Array = NDArray[np.float64]

_IMAGES = 24
# Significant bits kept of calibration statistics: far from the last bits, in which machines may differ.
_STATISTIC_BITS = 8
# No channel is scaled up by more than the inverse of this, relative to its layer: that would scale up rounding too.
_MIN_RELATIVE_STD = 0.5
# Plain random networks amplify rounding 10 to 50 times more than trained ones do, so that float16 would look far worse
# than it is. Therefore most of what a layer sees passes through: depthwise kernels are 1 in the centre plus this
# much noise, and each filter of a convolution takes this multiple of one channel plus a mixture of norm 1 of all.
_DEPTHWISE_NOISE = 0.12
_CONV_PASS = 2.0
# Where the first convolution looks at an image of so few channels, only the mixture makes its filters differ.
_MAX_COLOURS = 4
# Mean of what goes into a fused activation, in standard deviations: keeps most of it in the linear part.
_SHIFT = 1.0
# Stride of transposed convolutions.
_UP = 2


@dataclass(frozen=True)
class Feature:
    """A tensor of the graph, and what the calibration images make of it: [images, ...]."""

    tensor: Tensor
    value: Array


class Net:
    """A graph whose layers are calibrated as they are added.

    Args:
        name: of the model.
        description: what the file says about itself.
        seed: of all random numbers; RandomState, whose stream NumPy promises never to change.
        half_weights: store constants as float16 with a DEQUANTIZE each. Loses nothing: values are on that grid anyway.
    """

    def __init__(self, name: str, description: str, seed: int, *, half_weights: bool = False) -> None:
        self.graph = Graph(name, description)
        self._random = np.random.RandomState(seed)
        self._half = half_weights

    def image(self, name: str, size: int, channels: int) -> Feature:
        """The input [1, size, size, channels] for values in [-1, 1]."""
        draw = (self._smooth_image, self._white_image)
        value = np.stack([draw[number % 2](size, channels) for number in range(_IMAGES)])
        return Feature(self.graph.input(name, (1, size, size, channels)), 2.0 * value - 1.0)

    def conv(
        self, x: Feature, filters: int, name: str, *, kernel: int = 1, stride: int = 1, activation: str = "RELU6"
    ) -> Feature:
        """CONV_2D with SAME padding; outputs have about mean 1 (0 without activation) and deviation 1 per channel."""
        channels = x.tensor.shape[3]
        weights = self._normal(filters, kernel, kernel, channels) / np.sqrt(kernel * kernel * channels)
        if channels > _MAX_COLOURS:
            every = np.arange(filters)
            weights[every, kernel // 2, kernel // 2, every % channels] += _CONV_PASS
        window = Window(kernel, kernel, stride)
        scale, bias = self._fold(forward.conv2d(x.value, weights, np.zeros(filters), window), activation)
        return self._conv(x, weights * scale[:, None, None, None], bias, name, window=window, activation=activation)

    def head(
        self,
        x: Feature,
        channels: int,
        name: str,
        *,
        std: float,
        mean: float = 0.0,
        kernel: int = 1,
        padding: str = "SAME",
    ) -> Feature:
        """Linear CONV_2D for an output of the model: each channel has this mean and deviation over the images."""
        weights = self._normal(channels, kernel, kernel, x.tensor.shape[3])
        window = Window(kernel, kernel, padding=padding)
        raw = forward.conv2d(x.value, weights, np.zeros(channels), window)
        scale = _coarse(std / _deviation(raw))
        bias = _coarse(mean - raw.mean(axis=(0, 1, 2)) * scale)
        return self._conv(x, weights * scale[:, None, None, None], bias, name, window=window, activation="NONE")

    def depthwise(
        self, x: Feature, name: str, *, stride: int = 1, dilation: int = 1, activation: str = "RELU6"
    ) -> Feature:
        """DEPTHWISE_CONV_2D, 3x3 with SAME padding, calibrated as `conv` is."""
        channels = x.tensor.shape[3]
        weights = self._normal(1, 3, 3, channels) * _DEPTHWISE_NOISE
        weights[0, 1, 1] += 1.0
        window = Window(3, 3, stride, dilation)
        scale, bias = self._fold(forward.depthwise(x.value, weights, np.zeros(channels), window), activation)
        weights, bias = _half(weights * scale), _half(bias)
        value = forward.depthwise(x.value, weights, bias, window)
        tensor = layers.depthwise_conv_2d(
            self.graph,
            x.tensor,
            self._constant(f"{name}/weights", weights),
            self._constant(f"{name}/bias", bias),
            name=name,
            stride=stride,
            dilation=dilation,
            activation=activation,
        )
        return Feature(tensor, forward.activate(value, activation))

    def transpose_conv(self, x: Feature, filters: int, name: str, *, kernel: int = 2, std: float = 1.0) -> Feature:
        """TRANSPOSE_CONV with stride 2 and SAME padding; outputs have mean 0 and about this deviation per channel."""
        weights = self._normal(filters, kernel, kernel, x.tensor.shape[3])
        raw = forward.transpose_conv(x.value, weights, np.zeros(filters), _UP)
        scale, bias = self._fold(raw, "NONE")
        weights, bias = _half(weights * (std * scale)[:, None, None, None]), _half(std * bias)
        tensor = layers.transpose_conv(
            self.graph,
            x.tensor,
            self._constant(f"{name}/weights", weights),
            self._constant(f"{name}/bias", bias),
            stride=_UP,
            name=name,
        )
        return Feature(tensor, forward.transpose_conv(x.value, weights, bias, _UP))

    def prelu(self, x: Feature, name: str) -> Feature:
        """PRELU with a slope between 0.1 and 0.4 per channel."""
        slope = _half(0.1 + 0.3 * self._random.random_sample((1, 1, x.tensor.shape[3])))
        tensor = layers.prelu(self.graph, x.tensor, self._constant(f"{name}/slope", slope), name=name)
        return Feature(tensor, forward.prelu(x.value, slope))

    def add(self, a: Feature, b: Feature, name: str) -> Feature:
        """ADD of two features of one shape."""
        return Feature(layers.binary(self.graph, "ADD", a.tensor, b.tensor, name=name), a.value + b.value)

    def pad_channels(self, x: Feature, channels: int, name: str) -> Feature:
        """PAD with zero channels up to `channels`."""
        amounts = [(0, 0), (0, 0), (0, 0), (0, channels - x.tensor.shape[3])]
        return Feature(layers.pad(self.graph, x.tensor, amounts, name=name), np.pad(x.value, amounts))

    def max_pool(self, x: Feature, name: str) -> Feature:
        """MAX_POOL_2D, 2x2 with stride 2."""
        tensor = layers.pool_2d(self.graph, "MAX_POOL_2D", x.tensor, size=(2, 2), stride=2, name=name)
        return Feature(tensor, forward.max_pool(x.value, Window(2, 2, 2)))

    def global_average(self, x: Feature, name: str) -> Feature:
        """AVERAGE_POOL_2D over the whole image."""
        _, height, width, _ = x.tensor.shape
        tensor = layers.pool_2d(
            self.graph, "AVERAGE_POOL_2D", x.tensor, size=(height, width), stride=1, name=name, padding="VALID"
        )
        return Feature(tensor, forward.global_average(x.value))

    def resize(self, x: Feature, height: int, width: int, name: str) -> Feature:
        """RESIZE_BILINEAR with aligned corners."""
        tensor = layers.resize_bilinear(self.graph, x.tensor, height, width, name=name, align_corners=True)
        return Feature(tensor, forward.resize_bilinear(x.value, height, width))

    def concat(self, features: Sequence[Feature], name: str) -> Feature:
        """CONCATENATION of the channels."""
        tensor = layers.concatenation(self.graph, [feature.tensor for feature in features], 3, name=name)
        return Feature(tensor, np.concatenate([feature.value for feature in features], axis=3))

    def _conv(self, x: Feature, weights: Array, bias: Array, name: str, *, window: Window, activation: str) -> Feature:
        weights, bias = _half(weights), _half(bias)
        tensor = layers.conv_2d(
            self.graph,
            x.tensor,
            self._constant(f"{name}/weights", weights),
            self._constant(f"{name}/bias", bias),
            name=name,
            stride=window.stride,
            padding=window.padding,
            activation=activation,
        )
        return Feature(tensor, forward.activate(forward.conv2d(x.value, weights, bias, window), activation))

    def _fold(self, raw: Array, activation: str) -> tuple[Array, Array]:
        """Scale and bias per channel that a batch normalisation after the raw convolution would amount to."""
        channels = raw.shape[3]
        gain = 1.0 + 0.1 * self._normal(channels)
        shift = (0.0 if activation == "NONE" else _SHIFT) + 0.2 * self._normal(channels)
        scale = _coarse(gain / _deviation(raw))
        return scale, _coarse(shift - raw.mean(axis=(0, 1, 2)) * scale)

    def _constant(self, name: str, value: Array) -> Tensor:
        if not self._half:
            return self.graph.constant(name, value.astype(np.float32))
        stored = self.graph.constant(f"{name}/float16", value.astype(np.float16))
        return layers.dequantize(self.graph, stored, name=name)

    def _normal(self, *shape: int) -> Array:
        return self._random.standard_normal(shape)

    def _white_image(self, size: int, channels: int) -> Array:
        """Independent pixels, as random test inputs have them, over a range that differs from channel to channel."""
        width = self._random.uniform(0.5, 1.0, size=channels)
        low = (1.0 - width) * self._random.random_sample(channels)
        return low + width * self._random.random_sample((size, size, channels))

    def _smooth_image(self, size: int, channels: int) -> Array:
        """Noise of several octaves, as smooth as photos are, with a brightness and contrast of its own."""
        total = np.zeros((1, size, size, channels))
        roughness = self._random.uniform(0.5, 1.5)
        cells = 2
        while cells < size:
            octave = self._normal(1, cells, cells, channels)
            total += forward.resize_bilinear(octave, size, size) * float(cells) ** -roughness
            cells *= 2
        contrast = self._random.uniform(0.15, 0.35)
        brightness = self._random.uniform(0.3, 0.7, size=channels)
        result: Array = np.clip(brightness + contrast * total[0] / total.std(), 0.0, 1.0)
        return result


def _deviation(raw: Array) -> Array:
    """Standard deviation per channel, with a floor."""
    deviation = raw.std(axis=(0, 1, 2))
    typical = np.sqrt(np.mean(deviation**2))
    result: Array = np.maximum(deviation, _MIN_RELATIVE_STD * typical)
    return result


def _half(values: Array) -> Array:
    """Values rounded to what float16 can hold."""
    return values.astype(np.float16).astype(np.float64)


def _coarse(values: Array) -> Array:
    """Values rounded to `_STATISTIC_BITS` significant bits."""
    mantissa, exponent = np.frexp(values)
    rounded: Array = np.ldexp(np.round(mantissa * 2**_STATISTIC_BITS) / 2**_STATISTIC_BITS, exponent)
    return rounded
