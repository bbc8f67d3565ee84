"""iOS 16 and earlier: tidevice starts apps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from harness.devices.ios.routes.base import Handle
from harness.devices.ios.transport import Transport


class TideRoute:
    """Through the same child process that files go through."""

    name = "tidevice"
    by_hand = False
    look_seconds = 1.5

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def launch(self, bundle: str, args: Sequence[str], env: Mapping[str, str], seconds: float) -> Handle:
        """See `Route.launch`."""
        return Handle(self._transport.launch(bundle, list(args), dict(env), seconds))

    def alive(self, handle: Handle, seconds: float) -> bool | None:
        """See `Route.alive`."""
        return None if handle.pid is None else self._transport.alive(handle.pid, seconds)

    def kill(self, handle: Handle, seconds: float) -> None:
        """See `Route.kill`."""
        if handle.pid is not None:
            self._transport.kill(handle.pid, seconds)

    def cancel(self) -> None:
        """Nothing: the transport is cancelled by who owns it."""
