"""The phone there, unlocked and ready: waited for as long as a person may need, and told what to do meanwhile."""

from __future__ import annotations

import threading
from collections.abc import Callable

from harness.clock import Clock
from harness.devices.ios.errors import (
    CancelledError,
    DeveloperModeOffError,
    GoneError,
    IosTimeoutError,
    LockedError,
    NoDeveloperImageError,
    UsbmuxdDownError,
)
from harness.devices.ios.routes import Route
from harness.devices.ios.transport import Lockdown, Transport

_CALL = 15.0
_POLL = 0.5


def reach(
    transport: Transport,
    bundle: str,
    clock: Clock,
    tell: Callable[[str], None],
    cancelled: threading.Event,
    *,
    locked_seconds: float,
    gone_seconds: float,
) -> Lockdown:
    """What the phone says about itself, once it is there and unlocked.

    Args:
        transport: the phone.
        bundle: of an app, installed or not: a locked phone does not tell of its apps.
        clock: time.
        tell: gets what a person has to do, once.
        cancelled: ends the waiting.
        locked_seconds: how long it may stay locked.
        gone_seconds: how long it may stay away.

    Raises:
        IosError: it stays as it is, or something is wrong that no waiting mends.
    """
    began, told = clock.monotonic(), set()
    while True:
        try:
            values = transport.preflight(_CALL)
            transport.app(bundle, _CALL)
            return values
        except (GoneError, LockedError, IosTimeoutError, UsbmuxdDownError) as error:
            patience = locked_seconds if isinstance(error, LockedError) else gone_seconds
            if clock.monotonic() - began >= patience:
                raise
            if patience == max(locked_seconds, gone_seconds) and type(error) not in told:
                told.add(type(error))
                tell(str(error))
        if clock.wait(cancelled, _POLL):
            raise transport.subject.error(CancelledError)


def check_ready(transport: Transport, route: Route, values: Lockdown) -> None:
    """Whether what starts apps on a phone can start them.

    Raises:
        DeveloperModeOffError: that mode is off.
        NoDeveloperImageError: tidevice needs the image, and it is not mounted.
        IosError: it does not answer.
    """
    if route.by_hand:
        return
    if values.developer_mode is False:
        raise transport.subject.error(DeveloperModeOffError, call="connect")
    if route.name == "tidevice" and not transport.developer_image(_CALL):
        raise transport.subject.error(NoDeveloperImageError, call="connect")
