"""Crash reports on an iPhone: which ones are new since somebody last looked."""

from __future__ import annotations

from harness.devices.ios.errors import IosError
from harness.devices.ios.transport import Transport

_CALL = 15.0
_NAMED = 2


class CrashReports:
    """Remembers those that are known. They are named, and stay on the phone. Never raises."""

    def __init__(self, transport: Transport) -> None:
        """Bind it; nothing is asked yet."""
        self._transport = transport
        self._known: set[str] = set()

    def new(self, executable: str) -> list[str]:
        """Names of those that came since the last look, at most two; of one program, if any of them are its."""
        try:
            found = self._transport.crash_reports(_CALL)
        except IosError:
            return []
        new = [name for name in found if name not in self._known]
        self._known.update(new)
        return ([name for name in new if name.startswith(executable)] or new)[-_NAMED:]
