"""An iPhone as a device: connected, given jobs for its apps, and left as it was."""

from __future__ import annotations

import contextlib
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from harness.clock import Clock
from harness.devices.base import DeviceError, Job, JobOutput, Turns, controller_fault
from harness.devices.budget import Budget
from harness.devices.ios.crashes import CrashReports
from harness.devices.ios.errors import AppMissingError, IosError, IosTimeoutError, NoFileSharingError
from harness.devices.ios.facts import facts_of
from harness.devices.ios.fetch import fetch
from harness.devices.ios.job import AppJob, app_job, read_record, wrong_files
from harness.devices.ios.probe import OwnTurns, probe_job
from harness.devices.ios.reach import check_ready, reach
from harness.devices.ios.routes import Choice, Route, choose, open_route
from harness.devices.ios.run import Ended, Run
from harness.devices.ios.state import app_state, battery_state
from harness.devices.ios.store import Store
from harness.devices.ios.transport import AppInfo, Lockdown, Transport
from harness.environment import inherited
from harness.lab.spec import IOS_TARGET, IosSpec
from harness.plan.cell import ErrorClass

_CALL = 15.0
_UNLOCK = 60.0  # to find the phone and unlock it
_BLINK = 3.0  # a cable that blinks
_RETURN = 60.0  # for a phone that was lost
_PROBE = 90.0
_PROBE_BY_HAND = 300.0  # for somebody to find the phone and open the app
_TRIES = 3
_STATE = 5.0
_RECENT = 2.0  # the state after a job is the one before the next, if that follows at once
_CLOSING = 5.0


class IosDevice:
    """An iPhone or iPad, reached through usbmuxd."""

    def __init__(self, spec: IosSpec, clock: Clock) -> None:
        """Stand for the phone; nothing is opened.

        Args:
            spec: its entry in devices.yaml, with a UDID.
            clock: time.

        Raises:
            UsageError: tidevice is not installed, or `usbmuxd` is no address.
        """
        self.name = spec.name
        self._spec = spec
        self._clock = clock
        self._transport = Transport(spec, clock)
        self._subject = self._transport.subject
        self._cancelled = threading.Event()
        self._tell: Callable[[str], None] = lambda _: None
        self._choice: Choice | None = None
        self._route: Route | None = None
        self._apps: dict[str, AppInfo] = {}
        self._stores: dict[str, Store] = {}
        self._crashes = CrashReports(self._transport)
        self._unfinished: Run | None = None
        self._last_state: tuple[float, Mapping[str, Any]] = (-_RECENT, {})

    @property
    def target(self) -> str:
        """Platform of its programs, all of which are inside apps."""
        return IOS_TARGET

    def connect(self, tell: Callable[[str], None]) -> Mapping[str, Any]:
        """Reach the phone, have the app do nothing once, and return its facts; see `facts.facts_of`, and `env`.

        Raises:
            DeviceError: it cannot be reached, or cannot be used as devices.yaml says; the message says what to do.
        """
        self._tell = tell
        with self._errors():
            values = self._reach(_BLINK)
            self._choice = choose(self._spec, values.version, inherited())
            self._route = open_route(self._choice, self._spec, self._transport)
            check_ready(self._transport, self._route, values)
            app = self._installed(self._spec.bundle)
            record: Mapping[str, Any] = {}
            if app is not None:
                record = self._probe()
            elif self._installed(self._spec.benchmark_bundle) is None:
                raise self._missing(self._spec.bundle)
            facts = facts_of(values, app, record, self._choice.name)
            if self._spec.env:
                facts["env"] = sorted(self._spec.env)  # names alone: a value may be a secret
            return facts

    def execute(self, job: Job, folder: Path, deadline: float, turns: Turns) -> JobOutput:
        """Do a job; see `Device.execute`. Bringing back the output takes up to 30 s more than the deadline.

        Raises:
            UsageError: the job names no app: an iPhone starts no programs.
        """
        with self._errors():
            wanted = app_job(job, self._spec)
            return self._execute(job, wanted, folder, Budget(self._clock, deadline, turns))

    def state(self) -> Mapping[str, Any]:
        """State right now; see `state.battery_state`. Empty when the phone does not answer."""
        try:
            return battery_state(self._transport.battery(_STATE))
        except DeviceError:
            return {}

    def recover(self) -> None:
        """Wait for the phone to be there and unlocked again, and end what a job may have left. Raises DeviceError."""
        with self._errors():
            self._forget()
            self._reach(_RETURN)
            with contextlib.suppress(IosError):  # the next start ends it too
                self._end_unfinished()

    def cancel(self) -> None:
        """End the running job now, and refuse further ones."""
        self._cancelled.set()
        self._transport.cancel()
        if self._route is not None:
            self._route.cancel()

    def close(self) -> None:
        """End what may still run, and let go of the phone."""
        with contextlib.suppress(DeviceError):
            self._end_cancelled() if self._cancelled.is_set() else self._end_unfinished(_CLOSING)
        self._transport.close()

    def _reach(self, gone_seconds: float) -> Lockdown:
        return reach(
            self._transport,
            self._spec.bundle,
            self._clock,
            self._tell,
            self._cancelled,
            locked_seconds=_UNLOCK,
            gone_seconds=gone_seconds,
        )

    def _installed(self, bundle: str) -> AppInfo | None:
        """An app, if it is there; one that is has to share its files. Raises IosError."""
        app = self._transport.app(bundle, _CALL)
        if app is None:
            self._apps.pop(bundle, None)
            return None
        if not app.file_sharing:
            what = f"the app {bundle} does not share its Documents folder"
            raise self._subject.error(NoFileSharingError, what, call="connect")
        self._apps[bundle] = app
        return app

    def _missing(self, bundle: str) -> AppMissingError:
        return self._subject.error(AppMissingError, f"the app {bundle} is not installed", call="connect")

    def _probe(self) -> Mapping[str, Any]:
        """What the app says about itself. Raises DeviceError when it does not run."""
        assert self._route is not None
        self._crashes.new("")
        job = probe_job()
        seconds = _PROBE_BY_HAND if self._route.by_hand else _PROBE
        turns = OwnTurns(self._spec, self._clock, self._tell, self._cancelled)
        if self._route.by_hand:
            self._tell(f"{self.name}: open {self._title(self._spec.bundle)} on it and leave it open: it works through "
                       "all jobs by itself")  # fmt: skip
        with tempfile.TemporaryDirectory(prefix="harness-probe-") as place:
            folder = Path(place)
            wanted = app_job(job, self._spec)
            output = self._execute(job, wanted, folder, Budget(self._clock, seconds, turns))
            record = read_record(folder, job.id)
        if output.timed_out:
            what = f"{self._title(self._spec.bundle)} was started, and did not answer within {seconds:.0f} s"
            raise self._subject.error(IosTimeoutError, what, call="probe")
        if not record or record.get("error"):
            words = output.stderr or "it says nothing"
            raise self._at_fault(f"{self._title(self._spec.bundle)} does not work: {words}")
        return record

    def _execute(self, job: Job, wanted: AppJob, folder: Path, budget: Budget) -> JobOutput:
        self._check_cancelled()
        if self._route is None:
            raise self._at_fault("it was not connected")
        if wanted.bundle not in self._apps and self._installed(wanted.bundle) is None:
            raise self._missing(wanted.bundle)
        run = Run(self._transport, self._route, wanted, self._clock, tell=self._tell, cancelled=self._cancelled)
        self._unfinished = run
        try:
            moved, ended = self._run(run, job, wanted, folder, budget)
            output = self._output(wanted, folder, ended, moved)
        except BaseException:
            with contextlib.suppress(DeviceError):
                self._end_unfinished(_CLOSING)
            raise
        self._unfinished = None
        return output

    def _run(self, run: Run, job: Job, wanted: AppJob, folder: Path, budget: Budget) -> tuple[int, Ended]:
        """Have the files there, run the job, and bring its output back; bytes moved, and how it ended."""
        files = self._transport.files(wanted.bundle)
        store = self._stores.setdefault(wanted.bundle, Store(lambda: files, self._clock, self._subject))
        moved = 0
        for left in reversed(range(_TRIES)):
            moved += store.ensure(wanted.files, budget)
            ended = run.do(budget, self._recent_state, self._title(wanted.bundle))
            moved += fetch(self._subject, files, wanted, folder, limit=job.output_bytes, budget=budget)
            wrong = wrong_files(wanted, folder)
            if not (wrong and left):
                break
            store.remove(wrong, _CALL)  # the app found another content than the file's name says, or nothing
            store.forget()
        with contextlib.suppress(IosError):  # the output is here; what is left goes before the next job
            run.clean()
        return moved, ended

    def _output(self, wanted: AppJob, folder: Path, ended: Ended, moved: int) -> JobOutput:
        record = read_record(folder, wanted.id)
        after = self.state()
        self._last_state = (self._clock.monotonic(), after)
        error = record.get("error")
        said = [str(error.get("message") or error.get("kind"))] if isinstance(error, dict) else []
        if ended.gone:
            app = self._apps.get(wanted.bundle)
            reports = self._crashes.new(app.executable or "" if app else "")
            said.append("the app's process ended during the job, without a word")
            said += [f"crash report on the phone: {name}" for name in reports]
            self._forget()  # an app that was installed anew meanwhile has another folder than the one that is open
        return JobOutput(
            folder,
            1 if ended.gone else wanted.exit_code(folder),
            "",
            "; ".join(said),
            ended.seconds,
            moved,
            ended.timed_out,
            state_before={**app_state(record.get("before")), **ended.state},
            state_after={**app_state(record.get("after")), **after},
        )

    def _forget(self) -> None:
        """Know nothing of what is on the phone, and ask anew."""
        self._transport.reset()
        for store in self._stores.values():
            store.forget()

    def _recent_state(self) -> Mapping[str, Any]:
        read, state = self._last_state
        return state if state and self._clock.monotonic() - read < _RECENT else self.state()

    def _title(self, bundle: str) -> str:
        """An app, as a person finds it on the home screen."""
        app = self._apps.get(bundle)
        return f"the app {app.executable or bundle}" if app else f"the app {bundle}"

    def _end_unfinished(self, seconds: float = _CALL) -> None:
        if self._unfinished is not None:
            self._unfinished.end(seconds)
        self._unfinished = None

    def _end_cancelled(self) -> None:
        """End what a cancelled job left running, by a way of its own: the one that was cancelled does nothing more."""
        run, choice = self._unfinished, self._choice
        if run is None or choice is None:
            return
        transport = Transport(self._spec, self._clock)
        try:
            run.go_on_by(transport, open_route(choice, self._spec, transport))
            run.end(_CLOSING)
        finally:
            transport.close()
        self._unfinished = None

    def _at_fault(self, what: str) -> DeviceError:
        return DeviceError(f"{self.name}: {what}", device=self.name, error_class=ErrorClass.RUNNER)

    @contextlib.contextmanager
    def _errors(self) -> Iterator[None]:
        """Around all that a caller waits for: a cancelled device says so, a fault of the controller is one."""
        try:
            self._check_cancelled()
            yield
        except DeviceError as error:
            self._check_cancelled(error)
            raise
        except OSError as error:
            raise controller_fault(self.name, error) from error

    def _check_cancelled(self, cause: Exception | None = None) -> None:
        if self._cancelled.is_set():
            raise DeviceError(f"{self.name}: cancelled", device=self.name) from cause
