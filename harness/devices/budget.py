"""What is left of a job's time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

from harness.clock import Clock
from harness.devices.base import Turns


class Budget:
    """What is left of a job's time. Waiting for turns is no part of it."""

    def __init__(self, clock: Clock, seconds: float, turns: Turns) -> None:
        """Begin.

        Args:
            clock: time.
            seconds: of the job.
            turns: see `Device.execute`.
        """
        self._clock = clock
        self._end = clock.monotonic() + seconds
        self._turns = turns

    def left(self) -> float:
        """Seconds that are left; a little when there are none, so that what is begun then fails by its deadline."""
        return max(0.1, self._end - self._clock.monotonic())

    def over(self) -> bool:
        """Whether none are left."""
        return self._clock.monotonic() >= self._end

    @contextmanager
    def _waiting(self, turn: AbstractContextManager[object]) -> Iterator[None]:
        began = self._clock.monotonic()
        with turn:
            self._end += self._clock.monotonic() - began
            yield

    def command(self) -> AbstractContextManager[None]:
        """Wait for the machine's turn, and hold it."""
        return self._waiting(self._turns.command())

    def transfer(self) -> AbstractContextManager[None]:
        """Wait until the controller is not timed, and keep it so."""
        return self._waiting(self._turns.transfer())
