"""Whether two sets of detections are the same ones, whatever their order.

Finished detections (TFLite_Detection_PostProcess: boxes, classes, scores, perhaps a count) are matched greedily, best
score first, by class and by an intersection over union (IoU) of at least 0.5 (Everingham et al., The PASCAL
Visual Object Classes Challenge, 2010). Raw ones have one row per anchor in a fixed order, with boxes encoded
relative to anchors that the model file does not hold, so there the most certain anchors and their rows are compared.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

MATCH_IOU = 0.5
"""Boxes that overlap by less are different detections."""

SCORE_SHARE = 0.5
"""Detections with less than this share of the reference's best score are not asked for: their order is noise."""

ANCHORS = 10
"""How many of the most certain anchors are compared; on the other side twice as many may hold them."""


@dataclass(frozen=True)
class Layout:
    """Which output holds what. Without `classes` the outputs are raw: one row per anchor.

    Attributes:
        boxes: position of [1,K,4], or of [1,N,4 or more].
        scores: position of [1,K], or of [1,N,C].
        classes: position of [1,K]; None for raw outputs.
        count: position of the number of valid detections; None when all are.
        background: raw outputs: whether the first column is a background class.
    """

    boxes: int
    scores: int
    classes: int | None = None
    count: int | None = None
    background: bool = False


def layout(samples: Sequence[Sequence[Floats]]) -> Layout | None:
    """What the outputs of a detection model are, from the shapes and values of its reference; None if unclear.

    Classes are told from scores by being whole numbers; a first column that wins at most anchors is a background.
    """
    shapes = [array.shape for array in samples[0]]
    for position, shape in enumerate(shapes):
        if len(shape) == 3 and shape[0] == 1 and shape[2] == 4:
            lists = [other for other, one in enumerate(shapes) if one == (1, shape[1])]
            whole = [other for other in lists if all(np.all(one[other] == np.round(one[other])) for one in samples)]
            # Both may be whole, when all scores are 0 or 1, say: the operation's own order is classes, scores.
            if len(lists) == 2 and whole:
                classes = whole[0]
                single = [other for other, array in enumerate(samples[0]) if array.size == 1 and other not in lists]
                scores = next(other for other in lists if other != classes)
                return Layout(position, scores, classes, single[0] if single else None)
    rows = [position for position, shape in enumerate(shapes) if len(shape) == 3 and shape[0] == 1]
    if len(rows) != 2 or shapes[rows[0]][1] != shapes[rows[1]][1] or shapes[rows[0]][1] == 0:
        return None
    first, second = rows
    for boxes, scores in ((first, second), (second, first)):
        wide, narrow = shapes[boxes][2], shapes[scores][2]
        if narrow and ((wide == 4 and narrow != 4) or (wide > 4 and narrow == 1)):
            wins = np.concatenate([one[scores][0].argmax(axis=1) == 0 for one in samples])
            return Layout(boxes, scores, background=narrow > 1 and bool(np.mean(wins) > 0.5))
    return None


def agreement(
    fit: Layout, measured: Sequence[Sequence[Floats]], reference: Sequence[Sequence[Floats]], within: float
) -> dict[str, float]:
    """Agreement of detections, each figure that of the worst sample.

    detections_matched = matched / (asked for + spurious): asked for are the reference's detections that matter
    (by SCORE_SHARE, or the ANCHORS best anchors), spurious are measured ones as certain that match none at all.

    Args:
        fit: which output holds what.
        measured: real values, per sample, per output.
        reference: likewise.
        within: raw outputs: share of the range of box numbers that a box number may be off.

    Returns:
        detections_matched, score_agreement, and box_iou or (raw) boxes_within.
    """
    if fit.classes is not None:
        found = [_finished(fit, ours, theirs) for ours, theirs in zip(measured, reference, strict=True)]
    else:
        spread = (
            _span(np.concatenate([one[fit.boxes][0, :, :4] for one in reference])),
            _span(np.concatenate([one[fit.scores][0] for one in reference])),
        )
        found = [_raw(fit, ours, theirs, spread, within) for ours, theirs in zip(measured, reference, strict=True)]
    return {name: min(one[name] for one in found) for name in found[0]}


def _span(values: Floats) -> float:
    finite = values[np.isfinite(values)]
    return float(np.ptp(finite)) if finite.size else 0.0


def close(x: Floats, y: Floats, room: float) -> NDArray[np.bool_]:
    """Where two arrays of one shape differ by at most `room`; infinities and NaN are close to their own kind."""
    with np.errstate(invalid="ignore", over="ignore"):
        near: NDArray[np.bool_] = (np.abs(x - y) <= room) | (x == y) | (np.isnan(x) & np.isnan(y))
    return near


def iou(boxes: Floats, others: Floats) -> Floats:
    """Intersection over union of every pair of boxes.

    Args:
        boxes: [N, 4], two opposite corners each (y, x, y, x or x, y, x, y), the smaller one first.
        others: [M, 4], likewise.

    Returns:
        [N, M], from 0 to 1; 0 where either box is empty or not finite, but 1 where both are the same numbers.
    """
    with np.errstate(invalid="ignore", over="ignore", divide="ignore"):
        low = np.maximum(boxes[:, None, :2], others[None, :, :2])
        high = np.minimum(boxes[:, None, 2:], others[None, :, 2:])
        shared = np.prod(np.maximum(high - low, 0.0), axis=2)
        areas = [np.prod(np.maximum(one[:, 2:] - one[:, :2], 0.0), axis=1) for one in (boxes, others)]
        result: Floats = shared / (areas[0][:, None] + areas[1][None, :] - shared)
    same = (boxes[:, None, :] == others[None, :, :]).all(axis=2)
    return np.where(same, 1.0, np.where(np.isfinite(result), result, 0.0))


@dataclass(frozen=True)
class _Set:
    boxes: Floats
    classes: Floats
    scores: Floats


def _read(fit: Layout, outputs: Sequence[Floats]) -> _Set:
    assert fit.classes is not None
    boxes, classes, scores = outputs[fit.boxes][0], outputs[fit.classes][0], outputs[fit.scores][0]
    stated = float(outputs[fit.count].reshape(-1)[0]) if fit.count is not None else float(len(scores))
    count = round(min(max(stated, 0.0), float(len(scores)))) if np.isfinite(stated) else 0
    order = np.argsort(-_known(scores[:count]), kind="stable")
    return _Set(boxes[order], classes[order], scores[order])


def _known(scores: Floats) -> Floats:
    """Scores with NaN as the least certain of all."""
    return np.where(np.isnan(scores), -np.inf, scores)


def _greedy(wanted: _Set, offered: _Set, indices: Sequence[int], taken: set[int]) -> list[tuple[int, int, float]]:
    """Pairs (index in wanted, index in offered, IoU), best score first; adds to `taken` what it uses of offered."""
    overlap = iou(wanted.boxes, offered.boxes)
    pairs: list[tuple[int, int, float]] = []
    for index in indices:
        row = np.where(offered.classes == wanted.classes[index], overlap[index], 0.0)
        row[list(taken)] = 0.0
        best = int(row.argmax()) if row.size else -1
        if best >= 0 and row[best] >= MATCH_IOU:
            taken.add(best)
            pairs.append((index, best, float(row[best])))
    return pairs


def _finished(fit: Layout, measured: Sequence[Floats], reference: Sequence[Floats]) -> dict[str, float]:
    ours, theirs = _read(fit, measured), _read(fit, reference)
    # A score of 0 marks a place that no detection took. Without any in the reference, all measured ones are spurious.
    bar = SCORE_SHARE * max(float(theirs.scores[0]), 0.0) if theirs.scores.size else 0.0
    asked = [index for index, score in enumerate(theirs.scores) if score >= bar and score > 0.0]
    taken: set[int] = set()
    pairs = _greedy(theirs, ours, asked, taken)
    _greedy(theirs, ours, [index for index in range(len(theirs.scores)) if index not in asked], taken)
    loud = [index for index, score in enumerate(ours.scores) if score >= bar and score > 0.0]
    spurious = sum(1 for index in loud if index not in taken)
    if not asked and not spurious:
        return {"detections_matched": 1.0, "box_iou": 1.0, "score_agreement": 1.0}
    gaps = [abs(float(theirs.scores[their] - ours.scores[our])) for their, our, _ in pairs]  # both are from 0 to 1
    return {
        "detections_matched": len(pairs) / (len(asked) + spurious),
        "box_iou": float(np.mean([overlap for _, _, overlap in pairs])) if pairs else 0.0,
        "score_agreement": _less(max(gaps, default=1.0)),
    }


def _less(gap: float) -> float:
    return 1.0 - min(gap, 1.0) if np.isfinite(gap) else 0.0


def _certainty(scores: Floats, background: bool) -> tuple[Floats, NDArray[np.intp]]:
    """Per anchor the best score and its class; [N,C] in, two [N] out."""
    columns = _known(scores[:, 1:] if background else scores)
    return columns.max(axis=1), columns.argmax(axis=1)


def _raw(
    fit: Layout, measured: Sequence[Floats], reference: Sequence[Floats], spread: tuple[float, float], within: float
) -> dict[str, float]:
    ours, our_class = _certainty(measured[fit.scores][0], fit.background)
    theirs, their_class = _certainty(reference[fit.scores][0], fit.background)
    top, reach = min(ANCHORS, len(theirs)), min(2 * ANCHORS, len(theirs))
    asked = np.argsort(-theirs, kind="stable")[:top]
    asked = asked[theirs[asked] > -np.inf]
    loud = np.argsort(-ours, kind="stable")[:top]
    our_bar, their_bar = np.sort(ours)[-reach], np.sort(theirs)[-reach]
    matched = asked[(ours[asked] >= our_bar) & (ours[asked] > -np.inf) & (our_class[asked] == their_class[asked])]
    spurious = int(np.count_nonzero(theirs[loud] < their_bar))
    if not asked.size and not spurious:
        return {"detections_matched": 1.0, "boxes_within": 1.0, "score_agreement": 1.0}
    near = close(measured[fit.boxes][0, matched, :4], reference[fit.boxes][0, matched, :4], within * spread[0])
    gap = float(np.max(np.abs(ours[matched] - theirs[matched]))) if matched.size else np.inf
    return {
        "detections_matched": len(matched) / (len(asked) + spurious),
        "boxes_within": float(np.mean(near)) if matched.size else 0.0,
        "score_agreement": _less(gap / spread[1] if gap and spread[1] else gap),
    }
