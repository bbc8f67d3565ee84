"""Timed work of one machine takes turns, first come first served; work that is not timed only keeps out of its way."""

from __future__ import annotations

import threading
from collections import defaultdict, deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice


class Cancelled(Exception):
    """The run was cancelled while waiting."""


@dataclass(eq=False)
class _Ticket:
    """A place in a machine's line: `alone` for timed work, `first` for the preparation."""

    alone: bool
    first: bool = False
    inside: bool = False


class MachineTurns:
    """Fair locks, one per machine name, that let go of their waiters when the run is cancelled."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._lines: dict[str, deque[_Ticket]] = defaultdict(deque)
        self._cancelled = False

    @contextmanager
    def turn(self, machine: str) -> Iterator[None]:
        """Wait for the machine, then hold it alone. Raises Cancelled instead of waiting on."""
        yield from self._hold(machine, self._queue(machine, _Ticket(alone=True)))

    @contextmanager
    def share(self, machine: str) -> Iterator[None]:
        """Wait until nothing is timed on the machine, then keep it so. Raises Cancelled instead of waiting on."""
        yield from self._hold(machine, self._queue(machine, _Ticket(alone=False)))

    def reserve(self, machine: str) -> Reservation:
        """A place at the end of the machine's line now, to be entered later, perhaps by another thread.

        It keeps timed work out until it is given up; what shares the machine need not wait for it.
        """
        return Reservation(self, machine, self._queue(machine, _Ticket(alone=False, first=True)))

    @property
    def cancelled(self) -> bool:
        """Whether the run was cancelled."""
        return self._cancelled

    def cancel(self) -> None:
        """Make everyone who waits, now or later, stop waiting."""
        with self._changed:
            self._cancelled = True
            self._changed.notify_all()

    def _queue(self, machine: str, ticket: _Ticket) -> _Ticket:
        with self._changed:
            self._lines[machine].append(ticket)
        return ticket

    def _hold(self, machine: str, ticket: _Ticket) -> Iterator[None]:
        with self._changed:
            line = self._lines[machine]
            try:
                self._changed.wait_for(lambda: self._cancelled or _may_enter(line, ticket))
                if self._cancelled:
                    raise Cancelled(machine)
                ticket.inside = True
            except BaseException:
                line.remove(ticket)
                self._changed.notify_all()
                raise
        try:
            yield
        finally:
            with self._changed:
                line.remove(ticket)
                self._changed.notify_all()


def _may_enter(line: deque[_Ticket], ticket: _Ticket) -> bool:
    if ticket.alone:
        return line[0] is ticket and not any(other.inside for other in line)
    if line[0].first:  # timed work cannot begin anyway, so nobody is overtaken to his cost
        return True
    return not any(other.alone for other in islice(line, line.index(ticket)))


class Reservation:
    """A place in a machine's line; a context manager that waits for it, holds it and gives it up."""

    def __init__(self, turns: MachineTurns, machine: str, ticket: _Ticket) -> None:
        self._hold = contextmanager(turns._hold)(machine, ticket)

    def __enter__(self) -> None:
        self._hold.__enter__()

    def __exit__(self, *exception: object) -> bool | None:
        return self._hold.__exit__(*exception)  # type: ignore[arg-type]
