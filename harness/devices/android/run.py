"""One job on a phone: started, waited for through lost connections, ended for certain."""

from __future__ import annotations

import contextlib
import math
import re
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from harness.clock import Clock
from harness.devices.adb.errors import AdbError, DeviceLostError, DeviceTimeoutError
from harness.devices.android.remote import Remote, Reply
from harness.devices.android.scripts import (
    CLEAN_SCRIPT,
    END_SCRIPT,
    EXIT_MISSING,
    WAIT_SCRIPT,
    Launch,
    run_script,
)
from harness.devices.android.state import parse_state
from harness.devices.base import DeviceError
from harness.devices.budget import Budget
from harness.plan.cell import ErrorClass

_GRACE = 15.0  # for state, links and leftovers, before and after the command
_ANSWER = 5.0  # for a phone whose job must have ended
_RETURN = 60.0  # how long a lost phone may be away; adb servers give up one on the network after as long
_HEAD = 1000  # bytes at most of the variables that go with a script
_PAUSE = 0.5  # before a phone that drops every call is asked again
_CLEANING = 30.0
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
    """A job on a phone. Methods are called from one thread, in this order: `prepare`, `run`, `clean`."""

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
            remote: the phone.
            launch: what to do there.
            clock: time.
            tell: gets what a person has to do when the phone has to be reached anew.
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
        self._script = run_script(launch)
        self.started = False
        """Whether anything may have to be cleared away."""

    def prepare(self, budget: Budget) -> None:
        """Push what should not be pushed while the machine's turn is held. Raises AdbError."""
        with budget.transfer():
            self._remote.place(self._script, budget.left(), _HEAD)

    def run(self, budget: Budget, recent: Callable[[], Mapping[str, Any]]) -> Ended | Missing:
        """Run the command, holding the machine's turn.

        Args:
            budget: the job's time.
            recent: the device's state if it is known from a moment ago, else nothing: then it is read.

        Raises:
            AdbError: the way to the device failed for longer than the job's time, or the device was restarted.
            DeviceError: a process of an earlier job cannot be ended.
        """
        with budget.command():
            if self._cancelled.is_set():
                raise self._remote.subject.error(DeviceLostError, "cancelled before the job was started")
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
            except DeviceTimeoutError as error:
                if not self._launch.detached:
                    return Ended(-_SIGKILL, self._clock.monotonic() - began, timed_out=True, state=known)
                reply = self._rejoin(error, _ANSWER, 0.0)
            except DeviceLostError as error:
                if not self._launch.detached or self._cancelled.is_set():
                    raise
                reply = self._rejoin(error, _RETURN, began + limit + _GRACE)
            return self._ended(reply, self._clock.monotonic() - began, limit, known)

    def _ended(self, reply: Reply, seconds: float, limit: int, known: Mapping[str, Any]) -> Ended | Missing:
        if reply.exit_code == EXIT_MISSING and "started" not in reply.sections:
            return Missing(tuple(reply.words("missing")))
        if "stuck" in reply.sections:
            raise self._stuck(reply.words("stuck"), "an earlier job")
        state = known or parse_state(reply.sections.get("state", ""))
        numbers = reply.words("rc")
        if len(numbers) != 3 or not numbers[0].isdigit():
            if "started" not in reply.sections:
                raise self._remote.refused("the job could not be started", reply.said)
            return Ended(_signed(reply.exit_code), seconds, timed_out=False, state=state)
        code = int(numbers[0])
        with contextlib.suppress(ValueError):
            seconds = float(numbers[2]) - float(numbers[1])
        timed_out = code in _TIMEOUT_CODES and seconds >= limit - _CLOCK_ERROR
        return Ended(_signed(code), seconds, timed_out, state)

    def _rejoin(self, error: AdbError, away: float, until: float) -> Reply:
        """Wait for the job, which goes on by itself, through a new connection.

        Args:
            error: what ended the old one; raised when the phone does not come back.
            away: seconds that the phone may be away at a stretch.
            until: when the job must have ended, by the clock; something earlier than now asks once.
        """
        lost = self._clock.monotonic()
        while True:
            try:
                self._remote.adb.connect(away, self._tell, self._cancelled)
            except AdbError as again:
                if self._clock.monotonic() - lost >= away or self._clock.wait(self._cancelled, _PAUSE):
                    raise error from again
                continue
            try:
                reply = self._call(WAIT_SCRIPT, max(_ANSWER, until - self._clock.monotonic()))
            except (DeviceLostError, DeviceTimeoutError) as again:
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
            raise self._remote.subject.error(DeviceLostError, what, todo="if it happens again, watch `adb logcat`")

    def clean(self) -> Rest:
        """End the job if it still runs, and remove its folder; one service on the device.

        Raises:
            AdbError: the way to the device failed.
            DeviceError: a process of the job cannot be ended.
        """
        try:
            reply = self._clear(CLEAN_SCRIPT, _CLEANING)
        except (DeviceLostError, DeviceTimeoutError):
            if self._cancelled.is_set():
                raise
            self._remote.adb.connect(_CLEANING, self._tell, self._cancelled)
            reply = self._clear(CLEAN_SCRIPT, _CLEANING)
        stdout, stderr, state = (reply.sections.get(name, "") for name in ("stdout", "stderr", "state"))
        return Rest(stdout, stderr, parse_state(state))

    def end(self, seconds: float) -> None:
        """End the job if it still runs, and remove its folder, after a fault: in a short time or not at all.

        Raises:
            AdbError: the way to the device failed.
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
        numbers = ", ".join(pids) or "unknown"
        return DeviceError(
            f"{self._remote.name}: process {numbers} of {whose} cannot be ended, not even by SIGKILL: it hangs in the "
            "kernel, as with a driver that does not answer; restart the phone",
            device=self._remote.name,
        )


def core_mask(cores: Sequence[int] | Literal["big"], facts: Mapping[str, Any]) -> str | None:
    """Mask for `taskset`, as it takes it on Android: hexadecimal, without a prefix; None for all cores.

    "big" is the fastest cluster, by the cores' highest frequencies; of three clusters and more, all but the slowest,
    since the single fastest core of such phones is meant for short peaks.

    Args:
        cores: numbers of cores, "big", or nothing.
        facts: `cores`, `core_max_mhz`; see `facts.parse_facts`.

    Raises:
        ValueError: with what is wrong, for a person.
    """
    fastest: Sequence[int] = facts.get("core_max_mhz", ())
    if cores == "big":
        if not fastest:
            raise ValueError("the phone does not tell the speeds of its cores: give their numbers instead of 'big'")
        clusters = sorted(set(fastest))
        if len(clusters) == 1:
            return None
        slowest = clusters[-1] if len(clusters) == 2 else clusters[1]
        chosen = [number for number, speed in enumerate(fastest) if speed >= slowest]
    else:
        chosen = [number for number in cores if isinstance(number, int)]
        count = facts.get("cores")
        missing = [number for number in chosen if count is not None and number >= count]
        if missing:
            raise ValueError(f"the phone has no core {', '.join(map(str, missing))}; it has {count}, counted from 0")
    return f"{sum(1 << number for number in set(chosen)):x}" if chosen else None


def _signed(code: int) -> int:
    """A shell's exit code: 128 + n stands for signal n."""
    return 128 - code if 128 < code <= 192 else code
