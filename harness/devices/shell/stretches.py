"""Copying in stretches, so that others have their turn in between."""

from __future__ import annotations

import contextlib
from types import TracebackType

from typing_extensions import Self

from harness.devices.shell.deadline import Deadline
from harness.devices.shell.way import Portion

PORTION = 4 << 20
"""Bytes of one stretch."""

_AHEAD = (256 << 10) + 64  # what is sent at once


class Stretches:
    """Keeps `portion` entered while bytes move, anew after every 4 MiB; waiting for it does not count as time."""

    def __init__(self, portion: Portion | None, deadline: Deadline) -> None:
        """Prepare.

        Args:
            portion: what to enter; None for nothing.
            deadline: put off by the time that entering took.
        """
        self._portion = portion or contextlib.nullcontext
        self._deadline = deadline
        self._entered = contextlib.ExitStack()
        self._size = 0

    def __enter__(self) -> Self:
        """Begin the first stretch."""
        self._begin()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the last one."""
        self._entered.close()

    def moved(self, size: int) -> None:
        """Count bytes, and let others have their turn when it is time."""
        self._size += size
        if self._size > PORTION - _AHEAD:  # what is sent next may not fit any more
            self._entered.close()
            self._begin()

    def _begin(self) -> None:
        self._size = 0
        before = self._deadline.now()
        self._entered.enter_context(self._portion())
        self._deadline.extend(self._deadline.now() - before)
