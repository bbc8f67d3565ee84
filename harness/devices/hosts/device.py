"""A phone behind a host: reached when its host is, and never blamed for what its host does."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from harness.devices.base import Device, DeviceError, Job, JobOutput, Turns
from harness.devices.hosts.host import Host


class HostedDevice:
    """A phone, and the host that it is plugged into."""

    def __init__(self, device: Device, host: Host, ready: Callable[[threading.Event], None]) -> None:
        """Bind them; nothing is opened.

        Args:
            device: the phone, as if it were plugged into this computer.
            host: what it is plugged into.
            ready: has the host reached, and what leads to its phones up, until an event is set. Raises DeviceError.
        """
        self.name = device.name
        self._device = device
        self._host = host
        self._ready = ready
        self._cancelled = threading.Event()

    @property
    def target(self) -> str | None:
        """Platform of its binaries."""
        return self._device.target

    def connect(self, tell: Callable[[str], None]) -> Mapping[str, Any]:
        """Reach host and phone; the phone's facts, and `host`. Raises DeviceError."""
        with self._host.blamed(self.name):
            self._reach()
            return {**self._device.connect(tell), "host": self._host.name}

    def execute(self, job: Job, folder: Path, deadline: float, turns: Turns) -> JobOutput:
        """Do a job; see `Device.execute`."""
        with self._host.blamed(self.name):
            return self._device.execute(job, folder, deadline, turns)

    def state(self) -> Mapping[str, Any]:
        """State right now; empty when the phone does not answer."""
        return self._device.state()

    def recover(self) -> None:
        """Reach the host again if it was lost, and make the phone usable. Raises DeviceError."""
        with self._host.blamed(self.name):
            self._reach()
            self._device.recover()

    def cancel(self) -> None:
        """End the running job now."""
        self._cancelled.set()
        self._device.cancel()

    def close(self) -> None:
        """Let go of the phone; a host that is lost is not waited for."""
        if not self._host.connection.up:
            self._host.leave()
        self._device.close()

    def _reach(self) -> None:
        if self._cancelled.is_set():
            raise DeviceError(f"{self.name}: cancelled", device=self.name)
        self._ready(self._cancelled)
