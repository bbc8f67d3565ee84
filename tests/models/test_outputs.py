"""What the committed models answer: not all the same, and the same with every set of kernels."""

from __future__ import annotations

import numpy as np
import pytest

from models.builder.catalog import builders
from tests.models.runtime import STAND_INS, SUITE, Answers, error_of_range

NAMES = [name for name in builders() if not name.startswith(SUITE)]
# The reference kernels have no ELU, for which the model is there.
WITHOUT_REFERENCE = {"ops/elu"}
OVERFLOWS = "ops/exp_overflow"


@pytest.mark.parametrize("name", STAND_INS)
def test_outputs_of_stand_ins_depend_on_the_input(name: str, answers: Answers) -> None:
    for first, second in zip(answers.of(name), answers.of(name, sample=1), strict=True):
        change = np.mean(np.abs(first - second))
        assert change > 0.2 * (np.std(first) if first.size > 1 else np.abs(first).max())


@pytest.mark.parametrize("name", STAND_INS)
def test_outputs_of_stand_ins_are_finite_and_not_saturated(name: str, answers: Answers) -> None:
    for output in answers.of(name):
        assert np.isfinite(output).all()
        values, counts = np.unique(output, return_counts=True)
        assert values.size > 0.5 * min(output.size, 1000)
        assert counts.max() <= max(1, 0.05 * output.size)


def test_classifier_has_a_clear_answer_that_changes_with_the_input(answers: Answers) -> None:
    first, second = (answers.of("mobilenet_v1", sample=sample)[0][0] for sample in (0, 1))
    assert first.sum() == pytest.approx(1.0, abs=1e-5)
    assert first.max() > 3 / first.size
    assert first.argmax() != second.argmax()


def test_segmentation_sees_many_classes(answers: Answers) -> None:
    _, pixels = np.unique(answers.of("deeplab")[0].argmax(axis=-1), return_counts=True)
    assert np.count_nonzero(pixels > 0.01 * pixels.sum()) >= 8


def test_video_segmentation_sees_both_classes(answers: Answers) -> None:
    foreground = np.mean(answers.of("video_segmentation")[0][..., 1] > 0.5)
    assert 0.1 < foreground < 0.9


def test_detector_is_sure_of_a_few_boxes_only(answers: Answers) -> None:
    share = np.mean(answers.of("mobilenet_ssd")[1].max(axis=-1) > 0.5)
    assert 0.01 < share < 0.99
    assert np.mean(answers.of("mobilenet_ssd")[1] > 0.5) < 0.15


@pytest.mark.parametrize("name", [name for name in NAMES if name not in WITHOUT_REFERENCE | {OVERFLOWS}])
def test_both_sets_of_cpu_kernels_agree(name: str, answers: Answers) -> None:
    for sample in (0, 1):
        pairs = zip(answers.of(name, "xnnpack", sample), answers.of(name, "ref", sample), strict=True)
        for measured, reference in pairs:
            if reference.dtype.kind == "f":
                assert error_of_range(measured, reference) < 1e-5
            else:
                assert np.max(np.abs(measured.astype(int) - reference.astype(int))) <= 1


def test_the_reference_kernels_have_no_elu(answers: Answers) -> None:
    assert "ELU" in answers.errors["ops/elu", "ref"]
    assert np.isfinite(answers.of("ops/elu")[0]).all()


def test_the_overflowing_model_answers_infinity_for_ordinary_inputs(answers: Answers) -> None:
    output = answers.of(OVERFLOWS)[0]
    assert 0.1 < np.mean(np.isinf(output)) < 0.9
