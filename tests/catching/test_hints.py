"""What hints say of tensors, and when they say nothing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from harness.measure import hints
from harness.plan.cell import Model, ModelRef, OpCount, TensorSpec

Array = NDArray[Any]
DICE = np.random.default_rng(5)
IMAGE = DICE.uniform(-1, 1, (1, 10, 12, 6)).astype(np.float32)
SQUARE = DICE.uniform(-1, 1, (1, 9, 9, 4)).astype(np.float32)
NOISE = (DICE.uniform(-1, 1, IMAGE.shape) * 1e-3).astype(np.float32)


def spec(array: Array, index: int = 0) -> TensorSpec:
    """What a model would say of an output."""
    return TensorSpec(index, "", array.dtype.name, array.shape)


def found(measured: Array, reference: Array, stale: str | None = None) -> list[str]:
    """Hints of the only output of the only sample."""
    named = {0: stale} if stale else {}
    return hints.find([[measured]], [[reference]], [spec(reference)], {0: 0}, named)


def moved(array: Array, down: int, right: int) -> Array:
    """A picture that wraps around."""
    return np.roll(array, (down, right), axis=(1, 2))


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (np.zeros_like, "output 0 is all zeros"),
        (lambda y: np.full_like(y, 2.5), "output 0 holds nothing but 2.5"),
        (lambda y: moved(y, 1, 0), "output 0 is shifted by one pixel down"),
        (lambda y: moved(y, 0, -2), "output 0 is shifted by 2 pixels left"),
        (lambda y: moved(y, -1, 1), "output 0 is shifted by one pixel up and one pixel right"),
        (lambda y: y.transpose(0, 3, 1, 2).reshape(y.shape), "output 0: its bytes are laid out NCHW, not NHWC"),
        (
            lambda y: y.transpose(0, 2, 3, 1).reshape(y.shape),
            "output 0: it is NHWC data taken for NCHW and turned once too often",
        ),
        (lambda y: y.transpose(0, 2, 1, 3).reshape(y.shape), "output 0: height and width are exchanged"),
    ],
)
@pytest.mark.parametrize("picture", [IMAGE, SQUARE], ids=["oblong", "square"])
def test_a_known_mistake_is_named(spoil: Callable[[Array], Array], words: str, picture: Array) -> None:
    assert found(spoil(picture), picture) == [words]


def test_it_is_named_beside_rounding_as_well() -> None:
    assert found(moved(IMAGE, 1, 0) + NOISE, IMAGE) == ["output 0 is shifted by one pixel down"]


@pytest.mark.parametrize(
    "measured",
    [IMAGE + NOISE, IMAGE * 2, DICE.uniform(-1, 1, IMAGE.shape).astype(np.float32), IMAGE[:, ::-1]],
    ids=["rounding", "scale", "noise", "upside down"],
)
def test_what_is_not_recognised_gets_no_hint(measured: Array) -> None:
    assert found(measured, IMAGE) == []


def test_constant_references_explain_nothing() -> None:
    flat = np.ones_like(IMAGE)
    assert found(flat * 3, flat) == []


def test_non_finite_elements_are_placed_and_counted() -> None:
    spoiled = IMAGE.copy()
    spoiled[0, 1, 2, 3] = np.nan
    assert found(spoiled, IMAGE) == ["output 0 is NaN at [0, 1, 2, 3] of sample 0, where the reference is finite"]
    assert found(IMAGE, spoiled) == [
        f"output 0 is finite ({IMAGE[0, 1, 2, 3]:g}) at [0, 1, 2, 3] of sample 0, where the reference is NaN"
    ]
    spoiled[0, 0, 0, :5] = np.inf
    (text,) = found(spoiled, IMAGE)
    assert "is NaN or infinite" in text
    assert "and 3 more places" in text


def test_the_end_of_float16_is_named() -> None:
    large = IMAGE * 1e5
    text = "output 0 stops at 65504, where float16 ends; the reference reaches"
    assert found(np.clip(large, -65504, 65504), large)[0].startswith(text)
    endless = np.where(np.abs(large) > 65504, np.copysign(np.float32(np.inf), large), large)
    assert "float16 ends at 65504" in found(endless, large)[0]


def test_outputs_exchanged_are_named_once() -> None:
    other = DICE.uniform(-1, 1, IMAGE.shape).astype(np.float32)
    outputs = [spec(IMAGE, 0), spec(other, 1)]
    assert hints.find([[other, IMAGE]], [[IMAGE, other]], outputs, {0: 0, 1: 0}, {}) == [
        "outputs 0 and 1 are exchanged"
    ]


def test_a_mistake_that_explains_too_little_of_the_error_is_not_named() -> None:
    """A ramp of 2.5 % a pixel that is 6 % too high: a shift by two pixels would leave a sixth of the error."""
    ramp = np.broadcast_to(np.linspace(0, 1, 41, dtype=np.float32)[None, None, :, None], (1, 12, 41, 3)).copy()
    assert found(ramp + np.float32(0.06), ramp) == []
    assert found(ramp + np.float32(0.051), ramp) == ["output 0 is shifted by 2 pixels left"]


def test_samples_that_repeat_or_change_places() -> None:
    other = DICE.uniform(-1, 1, IMAGE.shape).astype(np.float32)
    outputs = [spec(IMAGE)]
    right = [[IMAGE], [other]]
    assert hints.find([[IMAGE], [IMAGE]], right, outputs, {0: 1}, {}) == [
        "output 0 of sample 1 is that of sample 0: stale"
    ]
    assert hints.find([[other], [IMAGE]], right, outputs, {0: 1}, {}) == [
        "output 0 of sample 1 answers sample 0: samples are exchanged"
    ]


def test_an_earlier_cells_outputs_are_stale_only_where_they_are_another_answer() -> None:
    other = DICE.uniform(-1, 1, IMAGE.shape).astype(np.float32)
    assert found(other, IMAGE, "a::b[c:d]") == ["output 0 is byte for byte that of an earlier cell, a::b[c:d]: stale"]
    one_off = IMAGE.copy()
    one_off[0, 0, 0, 0] = 5
    assert found(one_off, IMAGE, "a::b[c:d]") == []
    assert found(np.zeros_like(IMAGE), IMAGE, "a::b[c:d]") == ["output 0 is all zeros"]


def test_indices_out_of_range() -> None:
    labels = DICE.integers(0, 7, (1, 9, 9)).astype(np.int32)
    spoiled = labels.copy()
    spoiled[0, 0, 0] = 7
    assert found(spoiled, labels) == ["output 0 reaches 7; the reference stays within 0..6"]


def model(*, sums: int, dtype: str = "float32", quantized: bool = False) -> Model:
    """A model with this many convolutions."""
    output = TensorSpec(0, "", dtype, IMAGE.shape)
    ops = (OpCount("CONV_2D", 1, sums), OpCount("RELU", 1, 9))
    return Model(ModelRef("m", ""), outputs=(output,), ops=ops, quantized=quantized)


@pytest.mark.parametrize(
    ("measured", "of", "copied"),
    [
        (IMAGE, model(sums=5), True),
        (IMAGE + NOISE, model(sums=5), False),
        (IMAGE, model(sums=4), False),
        (IMAGE, model(sums=5, quantized=True), False),
        (IMAGE, model(sums=5, dtype="int8"), False),
    ],
    ids=["copy", "other bits", "short", "quantised", "integers"],
)
def test_the_cpus_bits_are_credible_only_of_short_sums_and_integers(measured: Array, of: Model, copied: bool) -> None:
    assert hints.cpu_copy([[measured]], [[IMAGE]], of) is copied


def test_outputs_that_saturate_may_be_the_cpus() -> None:
    flat: Sequence[Sequence[Array]] = [[np.round(np.clip(IMAGE * 9, 0, 1))]]
    assert not hints.cpu_copy(flat, flat, model(sums=5))
