"""One job on a device: started, waited for through lost connections, ended for certain."""

from __future__ import annotations

import contextlib
import math
import re
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from harness.clock import Clock
from harness.devices.base import DeviceError
from harness.devices.budget import Budget
from harness.devices.shell.errors import WayError, WayLostError, WayTimeoutError
from harness.devices.shell.remote import Remote, Reply
from harness.devices.shell.scripts import (
    END_SCRIPT,
    EXIT_MISSING,
    WAIT_SCRIPT,
    Launch,
    clean_script,
    run_script,
)
from harness.plan.cell import ErrorClass

_GRACE = 15.0  # for state, links and leftovers, before and after the command
_ANSWER = 5.0  # for a device whose job must have ended
_RETURN = 60.0  # how long a lost device may be away; adb servers give up one on the network after as long
_HEAD = 1000  # bytes at most of the variables that go with a script
_PAUSE = 0.5  # before a device that drops every call is asked again
_CLEANING = 30.0
_UNHEARD = "what the job printed was lost with the connection, which ended as the job was cleared away\n"
_SIGKILL = 9
_TIMEOUT_CODES = (124, 128 + _SIGKILL)
_CLOCK_ERROR = 0.25  # seconds by which `timeout` may seem to have been early
_JOB_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")


@dataclass(frozen=True)
class Ended:
    """How a command ended.

    Attributes:
        exit_code: negative: killed by that signal.
        seconds: how long it ran, by the device's own clock where that can be had.
        timed_out: whether it was ended at its time limit.
        state: of the device just before.
    """

    exit_code: int
    seconds: float
    timed_out: bool
    state: Mapping[str, Any]


@dataclass(frozen=True)
class Missing:
    """Files that the device no longer has; an empty tuple: perhaps all."""

    names: tuple[str, ...]


@dataclass(frozen=True)
class Rest:
    """What a job left when it was cleared away: the ends of what it printed, and the state then."""

    stdout: str
    stderr: str
    state: Mapping[str, Any]


class RemoteJob:
    """A job on a device. Methods are called from one thread, in this order: `prepare`, `run`, `clean`."""

    def __init__(
        self,
        remote: Remote,
        launch: Launch,
        clock: Clock,
        tell: Callable[[str], None],
        cancelled: threading.Event,
    ) -> None:
        """Prepare; nothing is opened yet.

        Args:
            remote: the device.
            launch: what to do there.
            clock: time.
            tell: gets what a person has to do when the device has to be reached anew.
            cancelled: set when the job is to be given up.

        Raises:
            DeviceError: the job's id is no plain word.
        """
        if not _JOB_ID.fullmatch(launch.id):
            raise DeviceError(f"{remote.name}: job id {launch.id!r} is no plain word", device=remote.name,
                              error_class=ErrorClass.RUNNER)  # fmt: skip
        self._remote = remote
        self._launch = launch
        self._clock = clock
        self._tell = tell
        self._cancelled = cancelled
        self._script = run_script(launch, remote.kind.state_script)
        self.started = False
        """Whether anything may have to be cleared away."""

    def prepare(self, budget: Budget) -> None:
        """Push what should not be pushed while the machine's turn is held. Raises WayError."""
        with budget.transfer():
            self._remote.place(self._script, budget.left(), _HEAD)

    def run(self, budget: Budget, recent: Callable[[], Mapping[str, Any]]) -> Ended | Missing:
        """Run the command, holding the machine's turn.

        Args:
            budget: the job's time.
            recent: the device's state if it is known from a moment ago, else nothing: then it is read.

        Raises:
            WayError: the way to the device failed for longer than the job's time, or the device was restarted.
            DeviceError: a process of an earlier job cannot be ended.
        """
        with budget.command():
            if self._cancelled.is_set():
                raise self._remote.way.lost("cancelled before the job was started")
            limit = max(1, math.ceil(budget.left()))
            self.started = True
            known = recent()
            began = self._clock.monotonic()
            try:
                reply = self._call(
                    self._script,
                    limit + (_GRACE if self._launch.detached else 0.0),
                    LIMIT=limit,
                    RECENT="yes" if known else "",
                )
            except WayTimeoutError as error:
                if not self._launch.detached:
                    return Ended(-_SIGKILL, self._clock.monotonic() - began, timed_out=True, state=known)
                reply = self._rejoin(error, _ANSWER, 0.0)
            except WayLostError as error:
                if not self._launch.detached or self._cancelled.is_set():
                    raise
                reply = self._rejoin(error, _RETURN, began + limit + _GRACE)
            return self._ended(reply, self._clock.monotonic() - began, limit, known)

    def _ended(self, reply: Reply, seconds: float, limit: int, known: Mapping[str, Any]) -> Ended | Missing:
        if reply.exit_code == EXIT_MISSING and "started" not in reply.sections:
            return Missing(tuple(reply.words("missing")))
        if "stuck" in reply.sections:
            raise self._stuck(reply.words("stuck"), "an earlier job")
        state = known or self._remote.kind.parse_state(reply.sections.get("state", ""))
        numbers = reply.words("rc")
        if len(numbers) != 3 or not numbers[0].isdigit():
            if "started" not in reply.sections:
                raise self._remote.way.refused("the job could not be started", reply.said)
            return Ended(_signed(reply.exit_code), seconds, timed_out=False, state=state)
        code = int(numbers[0])
        with contextlib.suppress(ValueError):
            seconds = float(numbers[2]) - float(numbers[1])
        timed_out = code in _TIMEOUT_CODES and seconds >= limit - _CLOCK_ERROR
        return Ended(_signed(code), seconds, timed_out, state)

    def _rejoin(self, error: WayError, away: float, until: float) -> Reply:
        """Wait for the job, which goes on by itself, through a new connection.

        Args:
            error: what ended the old one; raised when the device does not come back.
            away: seconds that the device may be away at a stretch.
            until: when the job must have ended, by the clock; something earlier than now asks once.
        """
        lost = self._clock.monotonic()
        while True:
            try:
                self._remote.way.connect(away, self._tell, self._cancelled)
            except WayError as again:
                if self._clock.monotonic() - lost >= away or self._clock.wait(self._cancelled, _PAUSE):
                    raise error from again
                continue
            try:
                reply = self._call(WAIT_SCRIPT, max(_ANSWER, until - self._clock.monotonic()))
            except (WayLostError, WayTimeoutError) as again:
                lost = self._clock.monotonic()
                if lost >= until or self._clock.wait(self._cancelled, _PAUSE):
                    raise error from again
                continue
            gone = reply.words("gone")
            if not gone:
                return reply
            if gone == ["never"]:
                raise error
            what = "restarted while the job ran" if gone == ["restarted"] else "ended the job, without an exit code"
            raise self._remote.way.lost(what, todo=f"if it happens again, {self._remote.kind.watch}")

    def clean(self) -> Rest:
        """End the job if it still runs, and remove its folder; one command on the device.

        Raises:
            WayError: the way to the device failed.
            DeviceError: a process of the job cannot be ended.
        """
        script = clean_script(self._remote.kind.state_script)
        try:
            reply = self._clear(script, _CLEANING)
        except (WayLostError, WayTimeoutError):
            if self._cancelled.is_set():
                raise
            self._remote.way.connect(_CLEANING, self._tell, self._cancelled)
            reply = self._clear(script, _CLEANING)
        stdout, state = reply.sections.get("stdout", ""), reply.sections.get("state", "")
        return Rest(stdout, reply.sections.get("stderr", _UNHEARD), self._remote.kind.parse_state(state))

    def end(self, seconds: float) -> None:
        """End the job if it still runs, and remove its folder, after a fault: in a short time or not at all.

        Raises:
            WayError: the way to the device failed.
            DeviceError: a process of the job cannot be ended.
        """
        self._clear(END_SCRIPT, seconds)

    def _call(self, script: str, seconds: float, **variables: object) -> Reply:
        return self._remote.call(script, seconds, JOB=self._launch.id, **variables)

    def _clear(self, script: str, seconds: float) -> Reply:
        reply = self._call(script, seconds, SCRIPT=self._remote.place_of(self._script))
        if "stuck" in reply.sections:
            raise self._stuck(reply.words("stuck"), "the job")
        self.started = False
        return reply

    def _stuck(self, pids: Sequence[str], whose: str) -> DeviceError:
        numbers, noun = ", ".join(pids) or "unknown", self._remote.kind.noun
        return DeviceError(
            f"{self._remote.name}: process {numbers} of {whose} cannot be ended, not even by SIGKILL: it hangs in the "
            f"kernel, as with a driver that does not answer; restart the {noun}",
            device=self._remote.name,
        )


def _signed(code: int) -> int:
    """A shell's exit code: 128 + n stands for signal n."""
    return 128 - code if 128 < code <= 192 else code
