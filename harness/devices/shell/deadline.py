"""When an operation on a device has to be over."""

from __future__ import annotations

from harness.clock import Clock


class Deadline:
    """When an operation has to be over. Shared by everything that belongs to it."""

    def __init__(self, clock: Clock, seconds: float) -> None:
        """Start counting.

        Args:
            clock: time.
            seconds: from now.
        """
        self._clock = clock
        self.seconds = seconds
        self._end = clock.monotonic() + seconds

    def left(self) -> float:
        """Seconds until it passes; negative after that."""
        return self._end - self._clock.monotonic()

    def now(self) -> float:
        """The clock's reading, in seconds."""
        return self._clock.monotonic()

    def extend(self, seconds: float) -> None:
        """Do not count `seconds` that were spent waiting for a turn."""
        self._end += seconds
