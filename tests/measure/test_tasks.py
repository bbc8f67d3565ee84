from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from harness.measure import detections
from harness.measure.metrics import TASK_METRICS
from harness.measure.tasks import Agreement, agreement, top1
from harness.plan.cell import Quantization, Task, TensorSpec

NAN = float("nan")
Array = NDArray[Any]


def judge(
    task: Task, x: list[list[Array]], y: list[list[Array]], quantization: Quantization | None = None
) -> dict[str, float]:
    result = judged(task, x, y, quantization)
    assert result.note is None
    assert set(result.metrics) <= set(TASK_METRICS)
    assert all(0.0 <= value <= 1.0 for value in result.metrics.values())
    return result.metrics


def judged(
    task: Task, x: list[list[Array]], y: list[list[Array]], quantization: Quantization | None = None
) -> Agreement:
    specs = [
        TensorSpec(index, f"o{index}", one.dtype.name, one.shape, quantization=quantization)
        for index, one in enumerate(y[0])
    ]
    return agreement(task, x, y, specs)


def scores(*values: float) -> Array:
    return np.array([values], dtype=np.float32)


def test_other_has_no_figures_and_no_note() -> None:
    assert judged("other", [[scores(1, 2)]], [[scores(1, 2)]]) == Agreement({}, None)


# --- classify -------------------------------------------------------------------------------------------------------


def test_classification_is_a_share_of_samples() -> None:
    y = [[scores(0, 0, 9, 0, 0, 0, 0)], [scores(9, 0, 0, 0, 0, 0, 0)]]
    x = [[scores(0, 0, 9, 0, 0, 0, 0)], [scores(1, 6, 5, 4, 3, 2, 0)]]  # the second: sixth place
    assert judge("classify", x, y) == {"top1_agreement": 0.5, "top5_agreement": 0.5}
    x[1] = [scores(2, 6, 5, 4, 3, 1, 0)]  # fifth place
    assert judge("classify", x, y) == {"top1_agreement": 0.5, "top5_agreement": 1.0}


def test_five_classes_have_no_top5() -> None:
    assert judge("classify", [[scores(1, 2, 3, 4, 5)]], [[scores(5, 4, 3, 2, 1)]]) == {"top1_agreement": 0.0}


def test_a_tie_in_the_reference_accepts_each_of_the_tied() -> None:
    assert judge("classify", [[scores(0, 1, 0)]], [[scores(3, 3, 0)]]) == {"top1_agreement": 1.0}
    assert judge("classify", [[scores(3, 3, 0)]], [[scores(0, 1, 0)]]) == {"top1_agreement": 0.0}


def test_nan_scores_disagree_wherever_they_are_new() -> None:
    assert judge("classify", [[scores(9, NAN, 0)]], [[scores(9, 0, 0)]]) == {"top1_agreement": 0.0}
    assert judge("classify", [[scores(NAN, NAN, NAN)]], [[scores(9, 0, 0)]]) == {"top1_agreement": 0.0}
    assert judge("classify", [[scores(9, NAN, 0)]], [[scores(9, NAN, 0)]]) == {"top1_agreement": 1.0}


def test_samples_without_a_reference_answer_are_left_out() -> None:
    nothing, answer = [scores(NAN, NAN)], [scores(1, 0)]
    assert judge("classify", [nothing, answer], [nothing, answer]) == {"top1_agreement": 1.0}
    assert top1([nothing], [nothing], 0, TensorSpec(0, "", "float32", (1, 2))) is None


@pytest.mark.parametrize("shape", [(7,), (1, 7), (1, 1, 1, 7)])
def test_shapes_of_scores(shape: tuple[int, ...]) -> None:
    y = np.arange(7, dtype=np.uint8).reshape(shape)
    assert judge("classify", [[y]], [[y]]) == {"top1_agreement": 1.0, "top5_agreement": 1.0}


def test_the_worst_of_several_rows_of_scores_counts() -> None:
    y, other = scores(1, 0, 0), scores(0, 1, 0)
    assert judge("classify", [[y, other, scores(5)]], [[y, y, scores(5)]]) == {"top1_agreement": 0.0}


def test_a_task_that_does_not_fit_says_so() -> None:
    image = np.zeros((1, 8, 8, 3), np.float32)
    result = judged("classify", [[image]], [[image]])
    assert result.metrics == {}
    assert result.note is not None
    assert "task classify expects" in result.note
    assert "[1, 8, 8, 3]" in result.note
    tasks: tuple[Task, ...] = ("segment", "detect", "keypoints")
    for task in tasks:
        row = scores(1, 2)
        assert judged(task, [[row]], [[row]]).note
        assert judged(task, [[]], [[]]).note


# --- segment --------------------------------------------------------------------------------------------------------


def labels_to_scores(labels: Array, classes: int) -> Array:
    return np.eye(classes, dtype=np.float32)[labels]


def test_segmentation_by_largest_score() -> None:
    y = np.zeros((1, 4, 5), int)
    y[0, :, 3:] = 1  # 12 pixels of 0, 8 of 1
    x = y.copy()
    x[0, 0, 3] = 0
    x[0, 0, 0] = 2
    found = judge("segment", [[labels_to_scores(x, 3)]], [[labels_to_scores(y, 3)]])
    assert found["label_agreement"] == pytest.approx(18 / 20)
    # label 0: 11 shared of 12 + 1; label 1: 7 shared of 8; label 2 is none of the reference's
    assert found["mean_iou"] == pytest.approx((11 / 13 + 7 / 8) / 2)


def test_segmentation_of_integer_label_maps() -> None:
    y = np.array([[[0, 1], [2, 3]]], dtype=np.int64)
    x = np.array([[[0, 1], [2, 2]]], dtype=np.int64)
    expected = {"label_agreement": 0.75, "mean_iou": (1 + 1 + 0.5 + 0) / 4}
    assert judge("segment", [[x]], [[y]]) == pytest.approx(expected)
    assert judge("segment", [[x[..., None]]], [[y[..., None]]]) == pytest.approx(expected)


def test_one_channel_is_cut_at_a_half_or_at_zero_for_logits() -> None:
    y = np.array([0.9, 0.1, 0.6, 0.4], np.float32).reshape(1, 2, 2, 1)
    x = np.array([0.9, 0.1, 0.4, 0.4], np.float32).reshape(1, 2, 2, 1)
    assert judge("segment", [[x]], [[y]])["label_agreement"] == 0.75
    y[0, 0, 0, 0] = 3.0  # logits: only one of the others changes side at zero
    x[0, 0, 1, 0] = -0.1
    assert judge("segment", [[x]], [[y]])["label_agreement"] == 0.75


def test_probabilities_may_leave_their_range_by_rounding_and_nan_counts_as_new() -> None:
    y = np.array([-0.01, 0.2, 0.7, 1.01], np.float32).reshape(1, 2, 2, 1)
    x = np.array([0.01, 0.3, 0.8, NAN], np.float32).reshape(1, 2, 2, 1)
    assert judge("segment", [[x]], [[y]])["label_agreement"] == 0.75


def test_one_sample_of_logits_makes_all_of_them_logits() -> None:
    y = np.array([0.2, 0.7, -0.05, 0.9], np.float32).reshape(1, 2, 2, 1)
    x = np.array([0.2, 0.3, -0.05, 0.9], np.float32).reshape(1, 2, 2, 1)
    assert judge("segment", [[x], [y]], [[y], [y]])["label_agreement"] == 0.75
    assert judge("segment", [[x], [y * 10]], [[y], [y * 10]])["label_agreement"] == 1.0


def test_one_quantised_channel_is_cut_in_real_values() -> None:
    y = np.array([100, 140, 200, 0], np.uint8).reshape(1, 2, 2, 1)
    x = np.array([100, 120, 200, 0], np.uint8).reshape(1, 2, 2, 1)
    found = judge("segment", [[x]], [[y]], Quantization((1 / 256,), (0,)))
    assert found["label_agreement"] == 0.75


def test_quantised_scores_use_the_largest() -> None:
    y = np.array([[3, 1], [1, 3]], np.int8).reshape(1, 1, 2, 2)
    assert judge("segment", [[-y]], [[y]], Quantization((0.1,), (0,))) == {"label_agreement": 0.0, "mean_iou": 0.0}


def test_segmentation_ties_and_nan() -> None:
    y = np.array([[2, 2, 0], [5, 1, 1]], np.float32).reshape(1, 1, 2, 3)
    x = np.array([[0, 9, 0], [5, 1, 1]], np.float32).reshape(1, 1, 2, 3)
    assert judge("segment", [[x]], [[y]])["label_agreement"] == 1.0
    x[0, 0, 1] = NAN
    assert judge("segment", [[x]], [[y]])["label_agreement"] == 0.5


def test_segmentation_reports_its_worst_sample_of_its_largest_map() -> None:
    small, y = np.zeros((1, 2, 2, 1), np.float32), np.zeros((1, 4, 4), np.int32)
    x = y.copy()
    x[0, 0] = 1
    found = judge("segment", [[small, y], [small, x]], [[small, y], [small, y]])
    assert found["label_agreement"] == 0.75


# --- detect: finished ----------------------------------------------------------------------------------------------


def boxes_of(*rows: tuple[float, ...]) -> list[Array]:
    """(class, score, box...) rows as boxes, classes, scores, count."""
    table = np.array(rows, np.float32).reshape(len(rows), -1)
    return [
        table[None, :, 2:6],
        table[None, :, 0],
        table[None, :, 1],
        np.array([len(rows)], np.float32),
    ]


A = (1, 0.9, 0.0, 0.0, 0.5, 0.5)
B = (2, 0.8, 0.5, 0.5, 1.0, 1.0)
C = (1, 0.7, 0.5, 0.0, 1.0, 0.5)


def test_detections_match_in_any_order() -> None:
    assert judge("detect", [boxes_of(C, A, B)], [boxes_of(A, B, C)]) == {
        "detections_matched": 1.0,
        "box_iou": 1.0,
        "score_agreement": 1.0,
    }


def test_detections_need_class_and_overlap() -> None:
    other_class = (3, *B[1:])
    found = judge("detect", [boxes_of(A, other_class)], [boxes_of(A, B)])
    assert found["detections_matched"] == pytest.approx(1 / 3)  # one matched; one missing, one spurious
    moved = (1, 0.85, 0.0, 0.0, 0.5, 0.4)
    found = judge("detect", [boxes_of(moved, B)], [boxes_of(A, B)])
    assert found["detections_matched"] == 1.0
    assert found["box_iou"] == pytest.approx((0.8 + 1.0) / 2)
    assert found["score_agreement"] == pytest.approx(0.95)
    far = (1, 0.9, 0.0, 0.0, 0.5, 0.2)
    assert judge("detect", [boxes_of(far)], [boxes_of(A)])["detections_matched"] == 0.0


def test_one_measured_detection_does_not_serve_twice() -> None:
    twin = (1, 0.85, 0.0, 0.0, 0.5, 0.49)
    elsewhere = (1, 0.1, 0.8, 0.8, 0.9, 0.9)
    found = judge("detect", [boxes_of(A, elsewhere)], [boxes_of(A, twin)])
    assert found["detections_matched"] == 0.5


def test_faint_detections_are_not_asked_for_nor_held_against() -> None:
    faint = (5, 0.1, 0.2, 0.2, 0.3, 0.3)
    assert judge("detect", [boxes_of(A, B)], [boxes_of(A, faint)])["detections_matched"] == 0.5  # B is spurious
    assert judge("detect", [boxes_of(A, (7, *faint[1:]))], [boxes_of(A, faint)])["detections_matched"] == 1.0
    louder = (5, 0.46, *faint[2:])  # over half of the best, its counterpart under it
    quieter = (5, 0.44, *faint[2:])
    assert judge("detect", [boxes_of(A, louder)], [boxes_of(A, quieter)])["detections_matched"] == 1.0


def test_the_count_bounds_what_is_read() -> None:
    y, x = boxes_of(A, B), boxes_of(A, C)
    y[3], x[3] = np.array([1], np.float32), np.array([1], np.float32)
    assert judge("detect", [x], [y])["detections_matched"] == 1.0
    x[3] = np.array([NAN], np.float32)
    assert judge("detect", [x], [y])["detections_matched"] == 0.0
    assert judge("detect", [x[:3]], [y[:3]])["detections_matched"] == pytest.approx(1 / 3)  # without a count: all


def test_no_detections_on_either_side_agree() -> None:
    nothing = boxes_of(A, B)
    nothing[3] = np.array([0], np.float32)
    assert judge("detect", [nothing], [nothing])["detections_matched"] == 1.0
    assert judge("detect", [boxes_of(A, B)], [nothing])["detections_matched"] == 0.0
    assert judge("detect", [nothing], [boxes_of(A, B)])["box_iou"] == 0.0


def test_non_finite_boxes_and_scores_do_not_match() -> None:
    broken = boxes_of((1, 0.9, NAN, NAN, NAN, NAN), B)
    assert judge("detect", [broken], [boxes_of(A, B)])["detections_matched"] < 1.0
    broken = boxes_of((1, NAN, *A[2:]), B)
    assert judge("detect", [broken], [boxes_of(A, B)])["score_agreement"] == 0.0


def test_classes_and_scores_may_come_in_the_other_order() -> None:
    def swap(outputs: list[Array]) -> list[Array]:
        return [outputs[2], outputs[0], outputs[3], outputs[1]]

    assert judge("detect", [swap(boxes_of(B, A))], [swap(boxes_of(A, B))])["detections_matched"] == 1.0


def test_iou_by_hand() -> None:
    found = detections.iou(np.array([[0.0, 0, 2, 2], [1, 1, 1, 1]]), np.array([[1.0, 1, 3, 3], [5, 5, 6, 6]]))
    assert found == pytest.approx(np.array([[1 / 7, 0.0], [0.0, 0.0]]))


# --- detect: raw ----------------------------------------------------------------------------------------------------


def raw(anchors: int = 200, classes: int = 21, width: int = 4, seed: int = 0) -> list[Array]:
    rng = np.random.default_rng(seed)
    boxes = rng.standard_normal((1, anchors, width)).astype(np.float32)
    table = rng.standard_normal((1, anchors, classes)).astype(np.float32)
    if classes > 1:
        table[..., 0] += 8  # background
    return [boxes, table]


@pytest.mark.parametrize(("classes", "width"), [(21, 4), (1, 16), (1, 4)])
def test_raw_detections_survive_small_errors(classes: int, width: int) -> None:
    y = raw(classes=classes, width=width)
    assert judge("detect", [y], [y]) == {"detections_matched": 1.0, "boxes_within": 1.0, "score_agreement": 1.0}
    near = [one + np.float32(1e-3) for one in y]
    found = judge("detect", [near[::-1]], [y[::-1]])  # scores first
    assert found["detections_matched"] == found["boxes_within"] == 1.0
    assert 0.99 < found["score_agreement"] < 1.0


def test_raw_detections_notice_wrong_answers() -> None:
    y = raw()
    shifted = [y[0], np.roll(y[1], 1, axis=1)]
    assert judge("detect", [shifted], [y])["detections_matched"] < 0.5
    wrong_boxes = [y[0] + 3, y[1]]
    found = judge("detect", [wrong_boxes], [y])
    assert (found["detections_matched"], found["boxes_within"]) == (1.0, 0.0)
    silent = [y[0], np.full_like(y[1], NAN)]
    found = judge("detect", [silent], [y])
    assert found == {"detections_matched": 0.0, "boxes_within": 0.0, "score_agreement": 0.0}


def test_raw_background_is_no_detection() -> None:
    y = raw()
    x = [y[0], y[1].copy()]
    x[1][..., 0] = np.random.default_rng(9).permutation(x[1][..., 0].T).T
    assert judge("detect", [x], [y])["detections_matched"] == 1.0
    fit = detections.layout([[one.astype(np.float64) for one in y]])
    assert fit == detections.Layout(0, 1, background=True)


def test_raw_detections_without_any_certainty_agree_with_themselves() -> None:
    y = [np.zeros((1, 30, 4), np.float32), np.full((1, 30, 3), NAN, np.float32)]
    assert judge("detect", [y], [y])["detections_matched"] == 1.0


@pytest.mark.parametrize(
    "shapes", [((1, 9, 4), (1, 9, 4)), ((1, 9, 4), (1, 8, 2)), ((1, 9, 3), (1, 9, 2)), ((1, 9, 4),)]
)
def test_unclear_detection_outputs_have_no_layout(shapes: tuple[tuple[int, ...], ...]) -> None:
    assert detections.layout([[np.full(shape, 0.5) for shape in shapes]]) is None


# --- keypoints ------------------------------------------------------------------------------------------------------


def heatmap(*peaks: tuple[int, int], size: int = 9) -> Array:
    array = np.zeros((1, size, size, len(peaks)), np.float32)
    for channel, (row, column) in enumerate(peaks):
        array[0, row, column, channel] = 1
    return array


def test_heatmap_peaks_within_one_cell() -> None:
    y = heatmap((4, 4), (4, 4), (4, 4), (0, 8))
    x = heatmap((4, 4), (5, 5), (4, 6), (1, 0))  # same, diagonal neighbour, two off, next in memory but far
    assert judge("keypoints", [[x]], [[y]]) == {"keypoints_within": 0.5}


def test_heatmap_ties_and_nan() -> None:
    y = heatmap((4, 4))
    y[0, 0, 0, 0] = 1
    assert judge("keypoints", [[heatmap((0, 0))]], [[y]]) == {"keypoints_within": 1.0}
    broken = heatmap((4, 4))
    broken[0, 8, 8, 0] = NAN
    assert judge("keypoints", [[broken]], [[heatmap((4, 4))]]) == {"keypoints_within": 0.0}


def test_heatmaps_of_integers() -> None:
    y = (heatmap((4, 4), (2, 2)) * 100).astype(np.int8)
    x = (heatmap((4, 5), (7, 7)) * 90).astype(np.int8)
    assert judge("keypoints", [[x]], [[y]], Quantization((0.1,), (3,))) == {"keypoints_within": 0.5}


def test_posenet_like_outputs_use_the_map_with_an_offset_map() -> None:
    y = heatmap(*[(4, 4)] * 17)
    x = heatmap(*[(4, 4)] * 16, (0, 0))
    others = [np.zeros((1, 9, 9, channels), np.float32) for channels in (32, 32, 34)]
    assert judge("keypoints", [[*others, x]], [[*others, y]])["keypoints_within"] == pytest.approx(16 / 17)


def test_coordinate_lists() -> None:
    y = np.linspace(0, 100, 51, dtype=np.float32).reshape(1, 1, 1, 51)
    x = y.copy()
    x[..., 10] += 1.9
    x[..., 20] += 2.1
    flag = np.zeros((1, 1, 1, 1), np.float32)
    assert judge("keypoints", [[flag, x]], [[flag, y]]) == {"keypoints_within": pytest.approx(50 / 51)}
    x[..., 10] = NAN
    assert judge("keypoints", [[x]], [[y]]) == {"keypoints_within": pytest.approx(49 / 51)}


def test_coordinates_report_the_worst_sample() -> None:
    y = np.arange(8, dtype=np.float32).reshape(1, 4, 2)
    assert judge("keypoints", [[y], [y + 1]], [[y], [y]]) == {"keypoints_within": 0.0}


def test_several_maps_without_a_heatmap_do_not_fit() -> None:
    one, two = np.zeros((1, 9, 9, 3), np.float32), np.zeros((1, 9, 9, 5), np.float32)
    assert judged("keypoints", [[one, two]], [[one, two]]).note


# --- all ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(
    ("task", "shapes"),
    [
        ("classify", [(1, 1001)]),
        ("segment", [(1, 9, 7, 5)]),
        ("segment", [(1, 9, 7, 1)]),
        ("detect", [(1, 60, 4), (1, 60, 7)]),
        ("detect", [(1, 5, 16), (1, 5, 1)]),
        ("keypoints", [(1, 9, 9, 17), (1, 9, 9, 34)]),
        ("keypoints", [(1, 17, 3)]),
    ],
)
def test_every_answer_agrees_fully_with_itself(seed: int, task: Task, shapes: list[tuple[int, ...]]) -> None:
    rng = np.random.default_rng(seed)
    y = [[rng.standard_normal(shape).astype(np.float32) for shape in shapes] for _ in range(2)]
    y[1] = [np.where(rng.random(one.shape) < 0.05, np.float32(NAN), one) for one in y[1]]
    found = judge(task, y, y)
    assert found
    assert set(found.values()) == {1.0}
