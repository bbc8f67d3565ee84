"""Default limits take the place of the one that nobody wrote; what a suite wrote stays."""

from __future__ import annotations

from harness.plan.cell import GateRule
from harness.plan.gating import DEFAULT_GATES, DEFAULT_ORIGIN, with_defaults

NOBODY = tuple(GateRule(name, limit, origin=DEFAULT_ORIGIN) for name, limit in DEFAULT_GATES["*"].items())
FOUND = {"nonfinite": 0.0, "max_abs_of_range": 0.01, "label_agreement": None, "box_iou": None}


def limits(rules: tuple[GateRule, ...]) -> dict[str, float]:
    return {rule.metric: rule.limit for rule in rules}


def test_limits_for_what_was_measured_replace_the_assumed_one() -> None:
    found = with_defaults(NOBODY, {"max_steps": 12.0, "max_abs_of_range": 0.1}, {**FOUND, "max_steps": 3.0})
    assert limits(found) == {"nonfinite": 0.0, "max_steps": 12.0, "max_abs_of_range": 0.1}
    assert {rule.origin for rule in found} == {DEFAULT_ORIGIN}


def test_what_a_suite_wrote_stays() -> None:
    written = (NOBODY[0], GateRule("max_abs_of_range", 0.3, origin="suites/x.yaml:9"))
    assert with_defaults(written, {"max_abs_of_range": 1e-4}, FOUND) == written
    assert with_defaults(NOBODY[:1], {"max_abs_of_range": 1e-4}, FOUND) == NOBODY[:1]


def test_a_limit_on_a_figure_that_is_not_there_is_left_out() -> None:
    found = with_defaults(NOBODY, {"max_abs_of_range": 0.25, "label_agreement": 0.95}, FOUND)
    assert limits(found) == {"nonfinite": 0.0, "max_abs_of_range": 0.25}


def test_some_limit_is_always_left() -> None:
    """A cell without any figure must come out as an ERROR, not as a PASS."""
    assert with_defaults(NOBODY, {"label_agreement": 0.95}, FOUND) == NOBODY
    assert with_defaults(NOBODY, {}, FOUND) == NOBODY


def test_the_numbers_of_finished_detections_are_not_compared() -> None:
    made = {"max_abs_of_range": 0.1, "box_iou": 0.8}
    assert limits(with_defaults(NOBODY, made, {**FOUND, "box_iou": 0.9})) == {"nonfinite": 0.0, "box_iou": 0.8}
    assert limits(with_defaults(NOBODY, made, FOUND)) == {"nonfinite": 0.0, "max_abs_of_range": 0.1}
