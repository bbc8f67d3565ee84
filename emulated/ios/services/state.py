"""What the services of one phone remember between their clients."""

from __future__ import annotations

import asyncio


class ServiceState:
    """State of one phone's services; the lab's thread writes it, any thread may read.

    Attributes:
        actions: What clients did to the phone, in order: "Sleep", "Restart", "Shutdown", "MountImage", "UnmountImage",
            "Install BUNDLE", "Uninstall BUNDLE".
        reported: Pid and start of each process whose crash was reported.
        image_signature: The signature that the mounted image was sent with.
    """

    def __init__(self) -> None:
        self.actions: list[str] = []
        self.reported: set[tuple[int, float]] = set()
        self.image_signature = b"emulated"
        self._observers: set[asyncio.Queue[str]] = set()

    def observe(self) -> asyncio.Queue[str]:
        """A queue that gets the name of each notification from now on, until `forget`. On the lab's thread."""
        queue: asyncio.Queue[str] = asyncio.Queue()
        self._observers.add(queue)
        return queue

    def forget(self, queue: asyncio.Queue[str]) -> None:
        """Put nothing into a queue any more."""
        self._observers.discard(queue)

    def notify(self, name: str) -> None:
        """Tell all who observe that something happened. On the lab's thread."""
        for queue in self._observers:
            queue.put_nowait(name)
