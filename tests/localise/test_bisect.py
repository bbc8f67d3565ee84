from __future__ import annotations

from collections.abc import Callable

import pytest

from harness.measure.bisect import START, Jump, Try, look_ahead, next_step


def search(score: Callable[[int], float | None], last: int) -> tuple[Jump | None, int]:
    """Where a search ends, and how many cuts it takes."""
    scores: dict[int, float | None] = {START: 1.0, last: score(last)}
    while True:
        step = next_step(scores)
        if not isinstance(step, Try):
            return step, len(scores) - 1
        assert step.cut not in scores
        scores[step.cut] = score(step.cut)


@pytest.mark.parametrize("fault", [0, 1, 49, 50, 98, 99])
def test_one_fault_among_a_hundred_steps(fault: int) -> None:
    found, cuts = search(lambda cut: 1.0 if cut < fault else 5000.0, 99)
    assert found == Jump(fault - 1, fault)
    assert cuts <= 8


@pytest.mark.parametrize("fault", [3, 40, 90])
def test_a_fault_above_an_error_that_grows(fault: int) -> None:
    """Half precision: the error grows to 6 times what one rounding does, a fault is 400 times as much and wears off."""
    found, cuts = search(lambda cut: 1 + cut / 20 + (400 / (1 + cut - fault) if cut >= fault else 0), 99)
    assert found == Jump(fault - 1, fault)
    assert cuts <= 14


def test_a_slow_growth_is_no_jump() -> None:
    found, cuts = search(lambda cut: float(1.03 ** (cut + 1)), 99)  # to 19
    assert found is None
    assert cuts <= 8


def test_rounding_is_no_growth() -> None:
    assert search(lambda cut: 3.9, 99) == (None, 1)


def test_the_first_of_two_faults() -> None:
    found, _ = search(lambda cut: 1.0 if cut < 20 else 800.0 if cut < 60 else 200000.0, 99)
    assert found == Jump(19, 20)


def test_cuts_that_cannot_be_run_are_left_out() -> None:
    found, _ = search(lambda cut: None if 40 < cut < 45 else 1.0 if cut < 43 else 1000.0, 99)
    assert found == Jump(40, 45)


def test_looking_ahead_is_halving() -> None:
    assert look_ahead(-1, 7) == [3, 1, 5, 0, 2, 4, 6]
    assert look_ahead(4, 5) == []
