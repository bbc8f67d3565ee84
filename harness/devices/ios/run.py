"""One job on an iPhone: placed, started, waited for through lost connections, ended."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from harness.clock import Clock
from harness.devices.budget import Budget
from harness.devices.ios.errors import (
    AppMissingError,
    CancelledError,
    DeveloperModeOffError,
    GoneError,
    IosError,
    IosProtocolError,
    IosTimeoutError,
    LockedError,
    NoDeveloperImageError,
    RefusedError,
    ToolError,
    UsbmuxdDownError,
)
from harness.devices.ios.job import AppJob
from harness.devices.ios.routes import Handle, Route
from harness.devices.ios.transport import Transport

_CALL = 15.0  # seconds for one question to the phone
_LAUNCH = 60.0  # tools make their tunnel anew for each call
_ENDING = 10.0
_RETURN = 60.0  # how long a phone may be away, whose job goes on meanwhile
_GRACE = 2.0  # between the end of a process and the sight of the last file that it wrote
_LOCK_LOOK = 15.0  # how often it is asked whether it is unlocked: a locked phone suspends its apps
_PAUSE = 0.5  # before a phone that is away is asked again
_SHORTEST, _LONGEST, _SHARE = 0.05, 1.0, 0.05  # pauses between looks: a twentieth of the time so far
_TAKEN = 8.0  # by hand: an app that is open takes a job up within a second
_NAG = 30.0
_NOBODY = 240.0  # for somebody to come, and open the app

_AWAY = (GoneError, IosTimeoutError, UsbmuxdDownError, ToolError)


@dataclass(frozen=True)
class Ended:
    """How a job ended.

    Attributes:
        seconds: from its start to the sight of its end.
        timed_out: whether its time was over first.
        gone: its process ended without saying so.
        state: of the phone just before.
    """

    seconds: float
    timed_out: bool
    gone: bool
    state: Mapping[str, Any]


class Run:
    """A job on a phone. For one thread."""

    def __init__(
        self,
        transport: Transport,
        route: Route,
        job: AppJob,
        clock: Clock,
        *,
        tell: Callable[[str], None],
        cancelled: threading.Event,
    ) -> None:
        """Prepare; nothing is asked of the phone yet.

        Args:
            transport: the phone.
            route: what starts apps on it.
            job: what to do.
            clock: time.
            tell: gets what a person has to do.
            cancelled: set when the job is to be given up.
        """
        self._transport = transport
        self._route = route
        self._job = job
        self._clock = clock
        self._tell = tell
        self._cancelled = cancelled
        self._files = transport.files(job.bundle)
        self._lost: float | None = None  # since when the phone has been away
        self._was_away = False
        self.handle = Handle()
        self.started = False
        """Whether anything may have to be ended and cleared away."""

    def do(self, budget: Budget, state: Callable[[], Mapping[str, Any]], app: str) -> Ended:
        """Run the job, holding the machine's turn.

        Args:
            budget: the job's time.
            state: reads the phone's state.
            app: the app's name, for a person who has to open it.

        Raises:
            IosError: the phone or the way to it failed, or was away for too long.
        """
        with budget.command():
            self._check()
            before = state()
            self.started = True
            self._job.place(self._files, self._route.by_hand, min(_CALL, budget.left()))
            began = self._clock.monotonic()
            self.handle = self._launch(min(_LAUNCH, budget.left()))
            if self._route.by_hand:
                self._wait_for_person(budget, app)
            timed_out, gone = self._wait(budget, began)
            return Ended(self._clock.monotonic() - began, timed_out, gone, before)

    def end(self, seconds: float = _ENDING) -> None:
        """End the job if it still runs, and clear away what it left. Raises IosError."""
        if not self.started:
            return
        if not self._was_away:
            self._route.kill(self.handle, seconds)
        self._job.clean(self._files, seconds)
        if self._was_away and not self._route.by_hand:
            # It may have been restarted, and the process number be another program's: a start without a job, which ends
            # by itself, ends the old one.
            self._route.launch(self._job.bundle, self._job.arguments_of_none, {}, seconds)
        self.started = False

    def clean(self, seconds: float = _CALL) -> None:
        """Clear away what an ended job left. Raises IosError."""
        self._job.clean(self._files, seconds)
        self.started = False

    def go_on_by(self, transport: Transport, route: Route) -> None:
        """Reach the phone another way from now on."""
        self._transport, self._route = transport, route
        self._files = transport.files(self._job.bundle)

    def _launch(self, seconds: float) -> Handle:
        """Start the app. Raises IosError, which says as exactly as the phone itself does what is wrong."""
        try:
            return self._route.launch(self._job.bundle, self._job.arguments, self._job.env, seconds)
        except ToolError:  # not every tool tells a locked phone from a missing app
            if self._transport.app(self._job.bundle, _CALL) is None:
                what = f"the app {self._job.bundle} is not installed"
                raise self._transport.subject.error(AppMissingError, what, call="launch") from None
            raise

    def _wait(self, budget: Budget, began: float) -> tuple[bool, bool]:
        """Wait for the end: whether the time was over first, and whether the process is gone without a word."""
        looked = locked = began
        while True:
            if self._ask(self._done):
                return False, False
            now = self._clock.monotonic()
            if budget.over():
                with contextlib.suppress(IosError):
                    self._route.kill(self.handle, _ENDING)
                return True, False
            if self._lost is None and now - looked >= self._route.look_seconds:
                looked = now
                if self._ended() and not self._ask(self._done_soon):
                    return False, self._gone()
            if self._lost is None and now - locked >= _LOCK_LOOK:
                locked = now
                self._ask(self._unlocked)
            pause = _PAUSE if self._lost is not None else min(max(_SHORTEST, _SHARE * (now - began)), _LONGEST)
            self._clock.wait(self._cancelled, min(pause, budget.left()))
            self._check()

    def _wait_for_person(self, budget: Budget, app: str) -> None:
        """Wait until the app has taken the job up; whoever has to open it is told again and again."""
        began = self._clock.monotonic()
        told = began + _TAKEN - _NAG
        while not self._ask(lambda: self._job.taken(self._files, _CALL)):
            now = self._clock.monotonic()
            if budget.over() or now - began > _NOBODY:
                raise self._error(
                    IosTimeoutError,
                    f"nobody opened {app} within {now - began:.0f} s",
                    "open it on the phone and leave it open: it works through all jobs by itself",
                )
            if now - told >= _NAG:
                told = now
                self._tell(f"{self._transport.subject.device}: open {app} on it, and leave it open")
            self._clock.wait(self._cancelled, min(_PAUSE, max(_SHORTEST, _SHARE * (now - began))))
            self._check()

    def _ask(self, question: Callable[[], bool]) -> bool:
        """Ask the phone something; no, while it is away. Raises IosError when it stays away."""
        try:
            answer = question()
        except _AWAY as error:
            self._check()
            now = self._clock.monotonic()
            self._lost = now if self._lost is None else self._lost
            self._was_away = self._was_away or isinstance(error, (GoneError, UsbmuxdDownError))
            if now - self._lost >= _RETURN:
                raise
            return False
        self._lost = None
        return answer

    def _done(self) -> bool:
        return self._job.done(self._files, _CALL)

    def _done_soon(self) -> bool:
        """Whether it is done after all: what it wrote last may be seen a moment after its end."""
        end = self._clock.monotonic() + _GRACE
        while not self._done():
            if self._clock.monotonic() >= end:
                return False
            self._clock.wait(self._cancelled, _SHORTEST)
            self._check()
        return True

    def _ended(self) -> bool:
        """Whether its process has ended; no, if nobody can tell or the phone is away. Raises IosError."""
        try:
            return self._ask(self._not_alive)
        except (NoDeveloperImageError, DeveloperModeOffError) as error:  # it was there when the app was started
            self._was_away = True
            todo = "unlock it, and mount its developer image again (docs/ios.md)"
            raise self._error(GoneError, "was restarted while the job ran", todo) from error

    def _not_alive(self) -> bool:
        try:
            return self._route.alive(self.handle, _CALL) is False
        except (RefusedError, IosProtocolError):
            return False

    def _unlocked(self) -> bool:
        """Asks what only an unlocked phone answers. Raises LockedError."""
        try:
            self._transport.app(self._job.bundle, _CALL)
        except LockedError as error:
            words = "was locked while the job ran, which suspends the app"
            raise self._transport.subject.error(LockedError, words, call=error.call, said=error.said) from error
        return True

    def _gone(self) -> bool:
        if self._was_away:
            raise self._error(GoneError, "was away while the job ran, and the app does not run any more")
        return True

    def _check(self) -> None:
        if self._cancelled.is_set():
            raise self._transport.subject.error(CancelledError)

    def _error(self, kind: type[IosError], what: str, todo: str = "") -> IosError:
        return self._transport.subject.error(kind, what, call="job", todo=todo)
