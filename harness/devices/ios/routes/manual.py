"""Any iOS version, without any tool: a person opens the app, which works through all jobs by itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from harness.devices.ios.routes.base import Handle


class ManualRoute:
    """Starts nothing, ends nothing, and knows nothing of processes: only what the app writes tells how it goes."""

    name = "manual"
    by_hand = True
    look_seconds = 60.0

    def launch(self, bundle: str, args: Sequence[str], env: Mapping[str, str], seconds: float) -> Handle:
        """Nothing: the app takes the job up as soon as it sees it."""
        return Handle()

    def alive(self, handle: Handle, seconds: float) -> bool | None:
        """Nobody can tell."""
        return None

    def kill(self, handle: Handle, seconds: float) -> None:
        """Nothing: the app ends a job at the job's own time limit."""

    def cancel(self) -> None:
        """Nothing."""
