"""The seam between an iPhone and what starts apps on it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class Handle:
    """An app that was started; `pid` is None where nobody tells it."""

    pid: int | None = None


class Route(Protocol):
    """Starts, watches and ends apps. Methods are called from one thread at a time, except `cancel`.

    Attributes:
        name: as `launcher` in devices.yaml calls it.
        by_hand: whether a person opens the app.
        look_seconds: how often `alive` may be asked while a job is timed: some ways cost this computer a second.
    """

    name: str
    by_hand: bool
    look_seconds: float

    def launch(self, bundle: str, args: Sequence[str], env: Mapping[str, str], seconds: float) -> Handle:
        """Start an app, ending one that runs already. Raises IosError."""

    def alive(self, handle: Handle, seconds: float) -> bool | None:
        """Whether it still runs; None: nobody can tell. Raises IosError."""

    def kill(self, handle: Handle, seconds: float) -> None:
        """End it; it may have ended already. Raises IosError."""

    def cancel(self) -> None:
        """Have the call that another thread is in fail at once."""
