"""Maps that are larger than a block; small ones are in test_tasks."""

from __future__ import annotations

import numpy as np
import pytest

from harness.measure import labels
from harness.plan.cell import TensorSpec


def agreement(
    x: np.ndarray[tuple[int, ...], np.dtype[np.generic]], y: np.ndarray[tuple[int, ...], np.dtype[np.generic]]
) -> tuple[float, float]:
    spec = TensorSpec(0, "", y.dtype.name, y.shape)
    found = labels.agreement([[x]], [[y]], [spec])
    return found["label_agreement"], found["mean_iou"]


def written_out(
    ours: np.ndarray[tuple[int, ...], np.dtype[np.generic]], theirs: np.ndarray[tuple[int, ...], np.dtype[np.generic]]
) -> tuple[float, float]:
    overlaps = [
        np.sum((ours == label) & (theirs == label)) / np.sum((ours == label) | (theirs == label))
        for label in np.unique(theirs)
    ]
    return float(np.mean(ours == theirs)), float(np.mean(overlaps))


@pytest.mark.parametrize("classes", [2, 21])
def test_scores(classes: int) -> None:
    rng = np.random.default_rng(0)
    y = rng.standard_normal((1, 150, 151, classes)).astype(np.float32)
    x = y + rng.standard_normal(y.shape).astype(np.float32)
    assert agreement(x, y) == pytest.approx(written_out(x.argmax(-1), y.argmax(-1)), rel=1e-12)


@pytest.mark.parametrize(
    "labels_there", [[0, 1, 2], [-5, 7, 255], [0, 10**6, 2**40]], ids=["dense", "negative", "far apart"]
)
def test_integer_labels(labels_there: list[int]) -> None:
    rng = np.random.default_rng(0)
    y = rng.choice(labels_there, (1, 300, 301))
    x = np.where(rng.random(y.shape) < 0.9, y, rng.choice(labels_there, y.shape))
    assert agreement(x, y) == pytest.approx(written_out(x, y), rel=1e-12)


def test_bytes_over_their_whole_range() -> None:
    rng = np.random.default_rng(0)
    y = rng.integers(-128, 128, (1, 300, 301)).astype(np.int8)
    x = np.where(rng.random(y.shape) < 0.9, y, rng.integers(-128, 128, y.shape).astype(np.int8))
    assert agreement(x, y) == pytest.approx(written_out(x, y), rel=1e-12)
