"""pytest's loop in completion order: items never wait, they run when their cell is finished."""

from __future__ import annotations

import queue
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING, NoReturn

import pytest

if TYPE_CHECKING:
    from harness.engine.judge import CellResult


class _Barrier(pytest.Item):
    """Stands for "some later item": session fixtures live on, narrower ones are torn down.

    pytest tears down whatever the next item does not share with this one, and asserts that the promise was kept.
    In completion order the next item may be unknown, and a wrong promise is an error in the next item's setup.
    """

    def runtest(self) -> NoReturn:
        """Never run."""
        raise AssertionError("the barrier is no test")


def run_items(
    session: pytest.Session,
    waiting: dict[str, list[pytest.Item]],
    others: Sequence[pytest.Item],
    finished: queue.Queue[CellResult | None],
    on_finished: Callable[[CellResult], None],
) -> None:
    """Run every item when its cell is finished, then the items that wait for no cell.

    Args:
        session: pytest's.
        waiting: cell id -> its items.
        others: items that need no cell; run last, so that they do not disturb timed work on this machine.
        finished: finished cells in completion order, None after the last.
        on_finished: told of every finished cell before its items run.

    Raises:
        session.Failed: enough failures (`-x`, `--maxfail`).
        session.Interrupted: something asked pytest to stop.
    """
    barrier = _Barrier.from_parent(session, name="barrier")
    ready: deque[pytest.Item] = deque()
    measuring = True
    left = sum(len(items) for items in waiting.values()) + len(others)
    while left:
        while not ready:
            if not measuring:
                return  # the engine ended early; what is left stays unreported, as with any interrupted run
            result = finished.get()
            if result is None:
                measuring = False
                ready.extend(others)
            else:
                on_finished(result)
                ready.extend(waiting.pop(result.cell.id, ()))
        item = ready.popleft()
        left -= 1
        following = ready[0] if ready else (barrier if left else None)
        item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
        if session.shouldfail:
            raise session.Failed(session.shouldfail)
        if session.shouldstop:
            raise session.Interrupted(session.shouldstop)
    while measuring:  # helper cells have no item
        result = finished.get()
        measuring = result is not None
        if result is not None:
            on_finished(result)


@contextmanager
def terminated_like_interrupted() -> Iterator[None]:
    """While inside, SIGTERM ends the run as Ctrl-C does: children are ended and the report is written."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def interrupt(number: int, frame: FrameType | None) -> NoReturn:
        raise KeyboardInterrupt(f"signal {number}")

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
