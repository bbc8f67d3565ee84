"""What is being waited for, so that an impatient person can end it."""

from __future__ import annotations

import threading
from collections.abc import Callable


class Ways:
    """The ways to devices that are open, so that all of them can be given up at once. Thread-safe.

    Attributes:
        cancelled: set when they are.
    """

    def __init__(self) -> None:
        self.cancelled = threading.Event()
        self._lock = threading.Lock()
        self._open: list[Callable[[], None]] = []

    def add(self, give_up: Callable[[], None]) -> None:
        """Another way.

        Args:
            give_up: ends whatever waits for an answer on it, with an error; called from another thread.
        """
        with self._lock:
            self._open.append(give_up)
        if self.cancelled.is_set():
            give_up()

    def interrupt(self) -> None:
        """Give all of them up: whoever waits for a device gets an error."""
        self.cancelled.set()
        with self._lock:
            found = list(self._open)
        for give_up in found:
            give_up()
