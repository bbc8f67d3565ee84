"""Whose turn it is: timed work alone, the rest only out of its way, nobody overtaken, everybody let go at the end."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

import pytest

from harness.engine.turns import Cancelled, MachineTurns
from tests.engine.farm import WATCHDOG, until, wait


class Visitor:
    """A thread that enters a turn, and leaves when it is told to."""

    def __init__(self, name: str, turn: AbstractContextManager[None], log: list[str]) -> None:
        self.name = name
        self.inside = threading.Event()
        self.leave = threading.Event()
        self.log = log
        self._turn = turn
        self._thread = threading.Thread(target=self._visit, daemon=True)
        self._thread.start()

    def _visit(self) -> None:
        try:
            with self._turn:
                self.log.append(self.name)
                self.inside.set()
                self.leave.wait(WATCHDOG)
        except Cancelled:
            self.log.append(f"{self.name} cancelled")

    def end(self) -> None:
        self.leave.set()
        self._thread.join(WATCHDOG)
        assert not self._thread.is_alive()


class Line:
    """Visitors of one machine, each in line before the next one comes."""

    def __init__(self) -> None:
        self.turns = MachineTurns()
        self.log: list[str] = []
        self.visitors: list[Visitor] = []

    def _come(self, name: str, turn: AbstractContextManager[None], machine: str) -> Visitor:
        places = len(self.turns._lines[machine])
        visitor = Visitor(name, turn, self.log)
        self.visitors.append(visitor)
        until(lambda: len(self.turns._lines[machine]) > places or visitor.inside.is_set())
        return visitor

    def timed(self, name: str, machine: str = "m") -> Visitor:
        return self._come(name, self.turns.turn(machine), machine)

    def shared(self, name: str, machine: str = "m") -> Visitor:
        return self._come(name, self.turns.share(machine), machine)


@pytest.fixture
def line() -> Iterator[Line]:
    made = Line()
    yield made
    for visitor in made.visitors:
        visitor.end()


def test_timed_work_is_first_come_first_served(line: Line) -> None:
    first, second, third = line.timed("first"), line.timed("second"), line.timed("third")
    wait(first.inside)
    assert line.log == ["first"]
    first.end()
    wait(second.inside)
    assert line.log == ["first", "second"]
    second.end()
    wait(third.inside)
    assert line.log == ["first", "second", "third"]


def test_machines_do_not_wait_for_each_other(line: Line) -> None:
    wait(line.timed("one", "m").inside)
    wait(line.timed("other", "n").inside)


def test_what_is_not_timed_overlaps_and_keeps_timed_work_out(line: Line) -> None:
    one, two = line.shared("one"), line.shared("two")
    wait(one.inside)
    wait(two.inside)
    timed = line.timed("timed")
    one.end()
    assert not timed.inside.is_set()
    two.end()
    wait(timed.inside)


def test_shared_work_waits_for_timed_work_and_does_not_overtake_it(line: Line) -> None:
    shared, timed = line.shared("shared"), line.timed("timed")
    wait(shared.inside)
    late = line.shared("late")
    assert not late.inside.is_set()
    shared.end()
    wait(timed.inside)
    assert not late.inside.is_set()
    timed.end()
    wait(late.inside)


def test_a_reservation_keeps_timed_work_out_before_it_is_entered_but_not_what_may_overlap(line: Line) -> None:
    reservation = line.turns.reserve("m")
    timed = line.timed("timed")
    before = line.shared("before")
    wait(before.inside)
    with reservation:
        during = line.shared("during")
        wait(during.inside)
        before.end()
        assert not timed.inside.is_set()
    assert not timed.inside.is_set(), "what overlaps the end of the reservation is still there"
    during.end()
    wait(timed.inside)


def test_cancelling_lets_go_of_all_who_wait_now_or_later(line: Line) -> None:
    holder = line.timed("holder")
    wait(holder.inside)
    waiting = [line.timed("timed"), line.shared("shared")]
    line.turns.cancel()
    for visitor in waiting:
        visitor.end()
    assert sorted(line.log[1:]) == ["shared cancelled", "timed cancelled"]
    for enter in (line.turns.turn, line.turns.share, line.turns.reserve):
        with pytest.raises(Cancelled), enter("m"):
            raise AssertionError("nobody may enter")
    holder.end()
    assert not line.turns._lines["m"]


def test_an_exception_inside_gives_the_turn_up() -> None:
    turns = MachineTurns()

    @contextmanager
    def enter() -> Iterator[None]:
        with turns.turn("m"):
            yield

    for _ in range(2):
        with pytest.raises(ZeroDivisionError), enter():
            raise ZeroDivisionError
