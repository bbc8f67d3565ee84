"""Timed work of one machine takes turns, first come first served."""

from __future__ import annotations

import threading
from collections import defaultdict, deque
from collections.abc import Iterator
from contextlib import contextmanager


class Cancelled(Exception):
    """The run was cancelled while waiting."""


class MachineTurns:
    """Fair locks, one per machine name, that let go of their waiters when the run is cancelled."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._lines: dict[str, deque[object]] = defaultdict(deque)
        self._cancelled = False

    @contextmanager
    def turn(self, machine: str) -> Iterator[None]:
        """Wait for the machine, then hold it. Raises Cancelled instead of waiting on."""
        ticket = object()
        with self._changed:
            self._lines[machine].append(ticket)
        yield from self._hold(machine, ticket)

    def reserve(self, machine: str) -> Reservation:
        """A place at the end of the machine's line now, to be entered later, perhaps by another thread."""
        ticket = object()
        with self._changed:
            self._lines[machine].append(ticket)
        return Reservation(self, machine, ticket)

    def cancel(self) -> None:
        """Make everyone who waits, now or later, stop waiting."""
        with self._changed:
            self._cancelled = True
            self._changed.notify_all()

    def _hold(self, machine: str, ticket: object) -> Iterator[None]:
        line = self._lines[machine]
        with self._changed:
            self._changed.wait_for(lambda: self._cancelled or line[0] is ticket)
            if line[0] is not ticket or self._cancelled:
                line.remove(ticket)
                self._changed.notify_all()
                raise Cancelled(machine)
        try:
            yield
        finally:
            with self._changed:
                line.remove(ticket)
                self._changed.notify_all()


class Reservation:
    """A place in a machine's line; a context manager that waits for it, holds it and gives it up."""

    def __init__(self, turns: MachineTurns, machine: str, ticket: object) -> None:
        self._hold = contextmanager(turns._hold)(machine, ticket)

    def __enter__(self) -> None:
        self._hold.__enter__()

    def __exit__(self, *exception: object) -> bool | None:
        return self._hold.__exit__(*exception)  # type: ignore[arg-type]
