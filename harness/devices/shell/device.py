"""A device that is driven by its shell: connected, given jobs, and left as it was."""

from __future__ import annotations

import contextlib
import stat
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from harness.clock import Clock
from harness.devices.base import DeviceError, Job, JobOutput, Turns, controller_fault
from harness.devices.budget import Budget
from harness.devices.shell.cores import core_mask
from harness.devices.shell.errors import WayError, WayLostError
from harness.devices.shell.kind import Awake
from harness.devices.shell.remote import Remote
from harness.devices.shell.run import Ended, Missing, RemoteJob
from harness.devices.shell.scripts import JOBS, Launch, prepare_script
from harness.devices.shell.store import Store
from harness.devices.storage import StoredFile, stored
from harness.errors import UsageError
from harness.lab.spec import RemoteSpec
from harness.plan.cell import ErrorClass

_TOOLS = ("setsid", "timeout", "env", "taskset", "sha256sum", "stat")
_DETACHING = frozenset({"setsid", "timeout", "env"})

_CONNECT_SECONDS = 60.0  # to find the phone, unlock it and tap Allow
_FACTS_SECONDS = 60.0
_STATE_SECONDS = 10.0
_RECENT_SECONDS = 2.0  # the state after a job is the one before the next, if that follows at once
_ENDING_SECONDS = 10.0
_CLOSING_SECONDS = 3.0  # for a sign of life: devices are closed one after another
_FETCH_SECONDS = 30.0
_TRIES = 3
_LONGEST_NAME = 250  # bytes; file systems of controllers take 255, and ".part" has to fit
_INTERRUPTS = 5
_INTERRUPT_SECONDS = 0.1


class ShellDevice:
    """A device that programs are put on and started by its shell: the kinds `android` and `ssh`."""

    def __init__(self, spec: RemoteSpec, remote: Remote, clock: Clock, awake: Awake | None = None) -> None:
        """Stand for the device; nothing is opened.

        Args:
            spec: its entry in devices.yaml.
            remote: the way to it, and the folder there.
            clock: time.
            awake: for devices that fall asleep.
        """
        self.name = spec.name
        self._spec = spec
        self._clock = clock
        self._remote = remote
        self._way = remote.way
        self._awake = awake
        self._cancelled = threading.Event()
        self._tell: Callable[[str], None] = lambda _: None
        self._target: str | None = None
        self._tools: frozenset[str] = frozenset()
        self._mask: str | None = None
        self._store = Store(remote, self._tools)
        self._unfinished: RemoteJob | None = None
        self._last_state: tuple[float, Mapping[str, Any]] = (-_RECENT_SECONDS, {})
        self._done = threading.Event()  # nothing is on its way: at most a job is being cleared away
        self._done.set()

    @property
    def target(self) -> str | None:
        """Platform of its binaries; None before it was connected."""
        return self._target

    def connect(self, tell: Callable[[str], None]) -> Mapping[str, Any]:
        """Reach the device and return its facts; see `Kind.parse_facts`, and `pinned_to_cores`, `env`.

        Raises:
            DeviceError: it cannot be reached, or cannot be used as devices.yaml says.
        """
        self._tell = tell
        self._done.clear()
        try:
            self._check_cancelled()
            return self._connect()
        except WayError as error:
            self._check_cancelled(error)
            raise
        finally:
            self._done.set()

    def _connect(self) -> Mapping[str, Any]:
        self._way.connect(_CONNECT_SECONDS, self._tell, self._cancelled)
        try:
            return self._learn()
        except WayLostError:  # a cable or a server that blinked must not cost the device's whole run
            self._check_cancelled()
            self._way.connect(_CONNECT_SECONDS, self._tell, self._cancelled)
            return self._learn()

    def _learn(self) -> Mapping[str, Any]:
        self._prepare()
        kind = self._remote.kind
        facts = kind.parse_facts(self._remote.section(kind.facts_script, _FACTS_SECONDS))
        try:
            self._target = kind.target_of(facts)
            self._mask = core_mask(self._spec.cores, facts)
        except UsageError as error:
            raise self._unusable(f"{self.name}: {error}") from error
        except ValueError as error:
            raise self._unusable(f"{self.name}: {error} (`cores` in devices.yaml)") from error
        if self._mask and "taskset" not in self._tools:
            raise self._unusable(f"{self.name}: it has no command taskset, which `cores` in devices.yaml needs")
        if self._awake is not None:
            self._awake.keep_awake()
        if self._mask:
            facts["pinned_to_cores"] = [core for core in range(1024) if int(self._mask, 16) >> core & 1]
        if self._spec.env:
            facts["env"] = sorted(self._spec.env)  # names alone: a value may be a secret
        return facts

    def execute(self, job: Job, folder: Path, deadline: float, turns: Turns) -> JobOutput:
        """Do a job; see `Device.execute`.

        Bringing back the output of a command that used up its time takes up to 30 s more.
        """
        budget = Budget(self._clock, deadline, turns)
        try:
            self._check_cancelled()
            return self._execute(job, folder, budget)
        except WayError as error:
            self._check_cancelled(error)
            raise
        except OSError as error:
            raise controller_fault(self.name, error) from error

    def state(self) -> Mapping[str, Any]:
        """State right now; see `Kind.parse_state`. Empty when the device does not answer."""
        kind = self._remote.kind
        try:
            return kind.parse_state(self._remote.section(kind.state_script, _STATE_SECONDS))
        except DeviceError:
            return {}

    def recover(self) -> None:
        """Make the device usable again, and end what a job may have left there. Raises DeviceError."""
        if not self._way.alive():
            self._way.recover(self._cancelled)
        self._end_unfinished(_ENDING_SECONDS)

    def cancel(self) -> None:
        """End the running job now, and refuse further ones."""
        if self._cancelled.is_set():
            return
        self._cancelled.set()
        for _ in range(_INTERRUPTS):
            self._way.interrupt()
            # Whoever was between two calls just now may have begun another one.
            if self._clock.wait(self._done, _INTERRUPT_SECONDS):
                break

    def close(self) -> None:
        """End what may still run, and set settings back; of a device that hangs the next run does that."""
        left = self._unfinished is not None or (self._awake is not None and self._awake.kept)
        if left and self._way.alive(_CLOSING_SECONDS):
            self._leave()
        self._way.close()

    def _leave(self) -> None:
        with contextlib.suppress(DeviceError):
            self._end_unfinished(_ENDING_SECONDS)
        with contextlib.suppress(DeviceError):
            if self._awake is not None:
                self._awake.restore()

    def _prepare(self) -> None:
        reply = self._remote.call(prepare_script(_TOOLS), _FACTS_SECONDS)
        self._remote.root = reply.sections.get("root", "").strip("\n") or self._remote.root
        if "ready" not in reply.sections:
            said = " ".join((reply.sections.get("refused", "") or reply.said).split())
            raise self._unusable(
                f"{self.name}: programs cannot be put into {self._remote.root or 'its folder'} and executed there: "
                f"{said}; give another `root` in devices.yaml ({self._remote.kind.elsewhere})"
            )
        self._tools = frozenset(reply.words("tools"))
        missing = [tool for tool in self._remote.kind.needs if tool not in self._tools]
        if missing:
            raise self._unusable(
                f"{self.name}: it has no command {', '.join(missing)}; install util-linux and coreutils, or busybox"
            )
        self._store = Store(self._remote, self._tools)

    def _unusable(self, message: str) -> DeviceError:
        return DeviceError(message, device=self.name, error_class=ErrorClass.CONFIG)

    def _check_cancelled(self, cause: Exception | None = None) -> None:
        if self._cancelled.is_set():
            raise DeviceError(f"{self.name}: cancelled", device=self.name) from cause

    def _execute(self, job: Job, folder: Path, budget: Budget) -> JobOutput:
        files = [stored(file.source, file.sha256) for file in job.files]
        remote = RemoteJob(self._remote, self._launch(job, files), self._clock, self._tell, self._cancelled)
        self._unfinished = remote
        try:
            self._done.clear()
            try:
                if self._awake is not None:
                    self._awake.wake(self._last_state[1])
                ended, moved = self._run(remote, files, budget)
                moved += self._fetch(job, folder, budget)
            finally:
                self._done.set()
            rest = remote.clean()
            self._last_state = (self._clock.monotonic(), rest.state)
        except BaseException:
            with contextlib.suppress(DeviceError):
                self._end_unfinished(_ENDING_SECONDS)
            raise
        return JobOutput(
            folder,
            ended.exit_code,
            rest.stdout,
            rest.stderr,
            ended.seconds,
            moved,
            ended.timed_out,
            state_before=ended.state,
            state_after=rest.state,
        )

    def _run(self, remote: RemoteJob, files: Sequence[StoredFile], budget: Budget) -> tuple[Ended, int]:
        """Have the files there, and run the command; how it ended, and the number of bytes moved."""
        moved = 0
        for _ in range(_TRIES):
            moved += self._store.ensure(files, budget)
            remote.prepare(budget)
            ended = remote.run(budget, self._recent_state)
            if not isinstance(ended, Missing):
                return ended, moved
            self._store.forget(ended.names or [file.sha256 for file in files])
        raise self._way.refused(f"files vanish from {self._remote.root} as soon as they are there")

    def _recent_state(self) -> Mapping[str, Any]:
        read, state = self._last_state
        return state if self._clock.monotonic() - read < _RECENT_SECONDS else {}

    def _launch(self, job: Job, files: Sequence[StoredFile]) -> Launch:
        return Launch(
            id=job.id,
            links=tuple((link.name, file.sha256, file.size) for link, file in zip(job.files, files, strict=True)),
            output=job.output,
            command=job.command,
            env={**self._spec.env, **job.env},
            mask=self._mask,
            detached=self._tools >= _DETACHING,
            sizes="stat" in self._tools,
        )

    def _fetch(self, job: Job, folder: Path, budget: Budget) -> int:
        """Bring the output back, also if the connection is lost once; the number of bytes."""
        try:
            return self._pull(job, folder, budget)
        except WayLostError:
            self._check_cancelled()
            self._way.connect(_FETCH_SECONDS, self._tell, self._cancelled)
            return self._pull(job, folder, budget)

    def _pull(self, job: Job, folder: Path, budget: Budget) -> int:
        """Bring the files in the output folder back. Folders and links in it are not followed."""
        place = f"{self._remote.root}/{JOBS}/{job.id}/{job.output}"
        seconds = max(_FETCH_SECONDS, budget.left())
        with budget.transfer(), self._way.sync(seconds) as session:
            listing = [(name, entry.size) for name, entry in session.list(place) if stat.S_ISREG(entry.mode)]
            size = sum(size for _, size in listing)
            if size > job.output_bytes:
                raise self._at_fault(f"the job left {size} bytes of output; its limit is {job.output_bytes}")
            for name, _ in listing:
                if "/" in name or not name.isprintable() or len(name.encode()) > _LONGEST_NAME:
                    raise self._at_fault(f"the job left a file with the unusable name {name!r}")
            return sum(session.pull(f"{place}/{name}", folder / name, size) for name, size in listing)

    def _at_fault(self, what: str) -> DeviceError:
        return DeviceError(f"{self.name}: {what}", device=self.name, error_class=ErrorClass.RUNNER)

    def _end_unfinished(self, seconds: float) -> None:
        if self._unfinished is not None and self._unfinished.started:
            self._unfinished.end(seconds)
        self._unfinished = None
