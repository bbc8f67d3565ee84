"""The job that does nothing: it proves that the app starts, and brings what the app says about itself."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

from harness.clock import Clock
from harness.devices.base import DeviceError, Job
from harness.devices.local import machine_name
from harness.errors import UsageError
from harness.lab.lease import DeviceBusyError, Leases, lease_keys
from harness.lab.spec import OWN_RUNNER, IosSpec
from harness.plan.cell import ErrorClass

_POLL = 0.1
_TOLD_AFTER = 5.0


def probe_job() -> Job:
    """A job without arguments, for our app."""
    return Job(secrets.token_hex(8), (), (), app=OWN_RUNNER)


class OwnTurns:
    """Turns of a job that nobody gave any: only other runs on this computer are kept away, as jobs keep them away."""

    def __init__(self, spec: IosSpec, clock: Clock, tell: Callable[[str], None], cancelled: threading.Event) -> None:
        """Prepare; nothing is held yet.

        Args:
            spec: the phone.
            clock: time.
            tell: told who is waited for.
            cancelled: ends the waiting.
        """
        self._spec = spec
        self._clock = clock
        self._tell = tell
        self._cancelled = cancelled

    def transfer(self) -> AbstractContextManager[object]:
        """Nothing: there is nothing to move."""
        return nullcontext()

    @contextmanager
    def command(self) -> Iterator[None]:
        """Hold the phone against other runs; wait for one that has it, for as long as its command runs."""
        held = Leases(lease_keys(self._spec, machine_name()), self._clock, "pytest --devices")
        try:
            self._wait_for(held)
            yield
        finally:
            held.release()

    def _wait_for(self, held: Leases) -> None:
        began, told = self._clock.monotonic(), False
        while True:
            try:
                return held.acquire(waiting=True)
            except DeviceBusyError as busy:
                if not told and self._clock.monotonic() - began > _TOLD_AFTER:
                    told = True
                    self._tell(f"{self._spec.name}: waiting: {busy}")
            except UsageError as error:
                raise DeviceError(str(error), device=self._spec.name, error_class=ErrorClass.CONFIG) from error
            if self._clock.wait(self._cancelled, _POLL):
                raise DeviceError(f"{self._spec.name}: cancelled", device=self._spec.name)
