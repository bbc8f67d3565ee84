"""Process control: apps are started, watched and ended.

Errors have the form that owners of iPhones have reported to tidevice (alibaba/tidevice issue 173): what failed, and
below it the reason of FrontBoard, which starts apps.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Mapping, Sequence
from typing import Any

from emulated.ios.apps import AppError
from emulated.ios.dtx.archiver import Error
from emulated.ios.dtx.auxiliary import Int32, Int64
from emulated.ios.dtx.channels import CallError, Link, Method
from emulated.ios.phone import Phone

NAME = "com.apple.instruments.server.services.processcontrol"
TERMINATION = "com.apple.instruments.client.processcontrol.capability.terminationCallback"
"""Capability of clients that want to hear how an observed process ended; others are never told."""

_REASONS: Mapping[str, tuple[int, str, str]] = {
    "missing": (4, "NotFound", 'Application info provider (FBSApplicationLibrary) returned nil for "{bundle}"'),
    "locked": (7, "Locked", "Unable to launch {bundle} because the device was not, or could not be, unlocked."),
    "failed": (1, "Unspecified", "{words}"),
}


class ProcessControl:
    """Process control on one channel."""

    def __init__(self, phone: Phone, link: Link, channel: int) -> None:
        self._phone = phone
        self._link = link
        self._channel = channel
        self._output = phone.processes.follow()
        self._heard: set[int] = set()
        self._observed: dict[int, asyncio.Task[None]] = {}
        self._forwarding = asyncio.ensure_future(self._forward())

    @property
    def methods(self) -> Mapping[str, Method]:
        """Selector -> what it does."""
        return {
            "launchSuspendedProcessWithDevicePath:bundleIdentifier:environment:arguments:options:": self._launch,
            "killPid:": self._kill,
            "sendSignal:toPid:": self._signal,
            "startObservingPid:": self._observe,
            "stopObservingPid:": self._ignore,
            "processIdentifierForBundleIdentifier:": self._running,
            "requestDisableMemoryLimitsForPid:": self._unlimited,
        }

    async def close(self) -> None:
        """Stop telling of processes; they go on."""
        self._phone.processes.unfollow(self._output)
        tasks = [self._forwarding, *self._observed.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _launch(
        self,
        _path: str,
        bundle: str,
        environment: Mapping[str, Any] | None,
        arguments: Sequence[Any] | None,
        options: Mapping[str, Any] | None,
    ) -> int:
        env = {str(key): str(value) for key, value in (environment or {}).items()}
        try:
            pid = await self._phone.start_app(
                bundle,
                [str(argument) for argument in arguments or ()],
                env,
                kill_existing=bool((options or {}).get("KillExisting")),
            )
        except AppError as error:
            raise CallError(_refusal(error)) from error
        self._heard.add(pid)
        return pid

    async def _kill(self, pid: int) -> None:
        self._phone.processes.kill(pid)

    async def _signal(self, number: int, pid: int) -> None:
        if not self._phone.processes.alive(pid):
            raise CallError(Error("NSPOSIXErrorDomain", 3, {"NSLocalizedDescription": f"There is no process {pid}."}))
        if number not in signal.valid_signals():
            raise CallError(
                Error("NSPOSIXErrorDomain", 22, {"NSLocalizedDescription": f"There is no signal {number}."})
            )
        self._phone.processes.signal(pid, number)

    async def _running(self, bundle: str) -> int:
        return self._phone.processes.running(bundle) or 0

    async def _unlimited(self, pid: int) -> bool:
        return self._phone.processes.alive(pid)

    async def _observe(self, pid: int) -> None:
        self._heard.add(pid)
        if TERMINATION in self._link.capabilities and pid not in self._observed:
            self._observed[pid] = asyncio.ensure_future(self._tell_end(pid))

    async def _ignore(self, pid: int) -> None:
        self._heard.discard(pid)
        task = self._observed.pop(pid, None)
        if task is not None:
            task.cancel()

    async def _forward(self) -> None:
        while True:
            pid, _, line = await self._output.get()
            if pid in self._heard:
                now = Int64(asyncio.get_running_loop().time() * 1_000_000_000)
                await self._link.tell(self._channel, "outputReceived:fromProcess:atTime:", f"{line}\n", Int32(pid), now)

    async def _tell_end(self, pid: int) -> None:
        status = await self._phone.processes.wait(pid)
        code, number = (status, None) if status >= 0 else (None, -status)
        selector = "processWithPID:terminatedWithExitCode:orCrashingSignal:"
        await self._link.tell(self._channel, selector, pid, code, number)


def _refusal(error: AppError) -> Error:
    code, name, words = _REASONS[error.trouble]
    words = words.format(bundle=error.bundle, words=error)
    below = Error(
        "FBSOpenApplicationErrorDomain", code, {"BSErrorCodeDescription": name, "NSLocalizedFailureReason": words}
    )
    details = {
        "NSLocalizedDescription": f"Request to launch {error.bundle} failed.",
        "NSLocalizedFailureReason": (
            f"The operation could not be completed. {words} : "
            f"Failed to launch process with bundle identifier '{error.bundle}'."
        ),
        "NSUnderlyingError": below,
    }
    return Error("com.apple.dt.deviceprocesscontrolservice", 2, details)
