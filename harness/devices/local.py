"""This machine as a device. Several entries may stand for it, one per GPU driver, through `env:`."""

from __future__ import annotations

import contextlib
import os
import platform
import shutil
import signal
import subprocess
import tempfile
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from harness.clock import Clock
from harness.devices.base import DeviceError, Job, JobOutput, JobPath, Turns, controller_fault
from harness.environment import inherited
from harness.plan.cell import ErrorClass

_TEXT_KEPT = 64 << 10
_DEATH_SECONDS = 30.0
_KILL_GRACE = 2.0


class LocalDevice:
    """Runs jobs as child processes of the controller, each in a session of its own.

    Nothing is copied: a job's folder holds links to the controller's files, and the output folder is the
    caller's own.
    """

    def __init__(
        self, name: str, clock: Clock, env: Mapping[str, str] | None = None, cores: Sequence[int] = ()
    ) -> None:
        """Stand for this machine.

        Args:
            name: of the device.
            clock: time.
            env: environment variables of the runner.
            cores: numbers of the CPU cores to run on; empty for all. Linux only.
        """
        self.name = name
        self.target = host_target()
        self._clock = clock
        self._env = dict(env or {})
        self._cores = tuple(cores)
        self._lock = threading.Lock()
        self._running: tuple[int, threading.Event] | None = None
        self._cancelled = False

    def connect(self, tell: Callable[[str], None]) -> Mapping[str, Any]:
        """Facts of this machine: CPU model, cores, memory in bytes, operating system and kernel.

        Raises:
            DeviceError: `cores` names one that is not there.
        """
        self._check_cores()
        facts: dict[str, Any] = {
            "cpu_model": _cpu_model(),
            "cores": os.cpu_count(),
            "os": _os_name(),
            "kernel": f"{platform.system()} {platform.release()}",
            "architecture": platform.machine(),
        }
        with contextlib.suppress(ValueError, OSError):
            facts["memory_bytes"] = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
        if self._cores:
            facts["pinned_to_cores"] = sorted(self._cores)
        if self._env:
            facts["env"] = sorted(self._env)  # names alone: a value may be a secret
        return facts

    def execute(self, job: Job, folder: Path, deadline: float, turns: Turns) -> JobOutput:
        """Run the job's command; see `Device.execute`."""
        started = self._clock.monotonic()
        work = Path(tempfile.mkdtemp(prefix="harness-job-"))
        try:
            self._place(job, work, folder)
            argv = [
                *self._pinning(),
                *(str(work / part.name) if isinstance(part, JobPath) else part for part in job.command),
            ]
            spent = self._clock.monotonic() - started
            with turns.command():
                before = self.state()
                began = self._clock.monotonic()
                code, out, err, timed_out = self._run(argv, work, job.env, max(0.1, deadline - spent))
                seconds = self._clock.monotonic() - began
                after = self.state()
        except OSError as error:
            raise controller_fault(self.name, error) from error
        finally:
            shutil.rmtree(work, ignore_errors=True)
        size = sum(entry.stat().st_size for entry in folder.rglob("*") if entry.is_file())
        if size > job.output_bytes:
            raise DeviceError(
                f"{self.name}: the job left {size} bytes of output; its limit is {job.output_bytes}",
                device=self.name,
                error_class=ErrorClass.RUNNER,
            )
        return JobOutput(folder, code, out, err, seconds, 0, timed_out, state_before=before, state_after=after)

    def state(self) -> Mapping[str, Any]:
        """Load, CPU frequency (MHz) and temperature (degrees Celsius), as far as they can be read."""
        state: dict[str, Any] = {}
        with contextlib.suppress(OSError):
            state["load_1min"] = round(os.getloadavg()[0], 2)
        frequencies = _read_numbers("/sys/devices/system/cpu", "cpu[0-9]*/cpufreq/scaling_cur_freq")
        if frequencies:
            state["cpu_mhz"] = round(max(frequencies) / 1000)
        elif (mhz := _cpuinfo("cpu MHz")) is not None:
            with contextlib.suppress(ValueError):
                state["cpu_mhz"] = round(float(mhz))
        temperatures = _read_numbers("/sys/class/thermal", "thermal_zone*/temp")
        if temperatures:
            state["temperature_c"] = max(temperatures) / 1000
        return state

    def recover(self) -> None:
        """End what may still run; there is nothing else to mend on one's own machine."""
        self._end(signal.SIGKILL)

    def cancel(self) -> None:
        """End the running job now, and refuse further ones."""
        self._cancelled = True
        self._end(signal.SIGTERM)

    def close(self) -> None:
        """End what may still run."""
        self._end(signal.SIGKILL)

    def _check_cores(self) -> None:
        """Linux binds a process to those of the cores that exist, and says nothing of the others."""
        known = Path("/sys/devices/system/cpu")
        missing = [core for core in self._cores if known.is_dir() and not (known / f"cpu{core}").is_dir()]
        if missing:
            raise DeviceError(
                f"{self.name}: this machine has no core {', '.join(map(str, missing))} (`cores` in devices.yaml); "
                f"it has {os.cpu_count()} cores, counted from 0",
                device=self.name,
                error_class=ErrorClass.CONFIG,
            )

    def _pinning(self) -> list[str]:
        """A command in front of the job's that binds it to the device's cores."""
        if not self._cores:
            return []
        if shutil.which("taskset") is None:
            raise DeviceError(
                f"{self.name}: `cores` needs the program taskset (Debian: util-linux)",
                device=self.name,
                error_class=ErrorClass.CONFIG,
            )
        return ["taskset", "--cpu-list", ",".join(map(str, self._cores))]

    def _place(self, job: Job, work: Path, folder: Path) -> None:
        for file in job.files:
            destination = work / file.name
            destination.parent.mkdir(parents=True, exist_ok=True)
            destination.symlink_to(file.source.resolve(strict=True))
        (work / job.output).symlink_to(folder.resolve(), target_is_directory=True)

    def _run(self, argv: list[str], work: Path, env: Mapping[str, str], seconds: float) -> tuple[int, str, str, bool]:
        environment = {**inherited(), **self._env, **env}
        # Files, not pipes: a process that the program leaves behind would keep a pipe open until the deadline.
        with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
            with self._lock:
                if self._cancelled:
                    raise DeviceError(f"{self.name}: cancelled", device=self.name)
                process = subprocess.Popen(
                    argv,
                    cwd=work,
                    env=environment,
                    stdin=subprocess.DEVNULL,
                    stdout=out,
                    stderr=err,
                    start_new_session=True,
                )
                ended = threading.Event()
                self._running = (process.pid, ended)
            threading.Thread(target=_watch, args=(process, ended), name=f"harness-job-{self.name}", daemon=True).start()
            try:
                timed_out = not self._clock.wait(ended, seconds)
            finally:
                # Also ends whatever the program left behind in its session.
                _kill_group(process.pid, signal.SIGKILL)
                gone = self._clock.wait(ended, _DEATH_SECONDS)
                with self._lock:
                    self._running = None
            if not gone:
                raise DeviceError(
                    f"{self.name}: process {process.pid} cannot be ended, not even by SIGKILL: it hangs in the kernel, "
                    "as with a driver that does not answer; restart this machine",
                    device=self.name,
                    error_class=ErrorClass.HOST,
                )
            return process.returncode, _tail(out), _tail(err), timed_out

    def _end(self, number: signal.Signals) -> None:
        with self._lock:
            running = self._running
        if running is None:
            return
        pid, ended = running
        _kill_group(pid, number)
        if number is not signal.SIGKILL and not self._clock.wait(ended, _KILL_GRACE):
            _kill_group(pid, signal.SIGKILL)


def _watch(process: subprocess.Popen[bytes], ended: threading.Event) -> None:
    process.wait()
    ended.set()


def host_target() -> str:
    """Target name of this machine, such as "x86_64-linux" or "aarch64-macos"."""
    machine = platform.machine().lower()
    machine = {"amd64": "x86_64", "arm64": "aarch64", "armv7l": "armv7", "armv8l": "armv7"}.get(machine, machine)
    system = {"darwin": "macos"}.get(platform.system().lower(), platform.system().lower())
    return f"{machine}-{system}"


def machine_name() -> str:
    """Name of the controller's own machine."""
    return platform.node() or "localhost"


def _kill_group(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, number)


def _tail(stream: IO[bytes]) -> str:
    """The last part of what was written, as text."""
    size = stream.seek(0, os.SEEK_END)
    stream.seek(max(0, size - _TEXT_KEPT))
    return stream.read().decode("utf-8", "replace")


def _cpuinfo(key: str) -> str | None:
    with contextlib.suppress(OSError), Path("/proc/cpuinfo").open(encoding="utf-8", errors="replace") as stream:
        for line in stream:
            name, _, value = line.partition(":")
            if name.strip() == key:
                return value.strip()
    return None


def _cpu_model() -> str:
    if (model := _cpuinfo("model name")) is not None:
        return model
    if platform.system() == "Darwin":
        with contextlib.suppress(OSError, subprocess.SubprocessError):
            answer = subprocess.run(
                ["sysctl", "-n", "machdep.cpu.brand_string"], capture_output=True, text=True, timeout=5, check=True
            )
            return answer.stdout.strip()
    return platform.processor() or "unknown"


def _os_name() -> str:
    if platform.system() == "Darwin":
        return f"macOS {platform.mac_ver()[0]}"
    try:
        return platform.freedesktop_os_release().get("PRETTY_NAME", platform.platform())
    except OSError:
        return platform.platform()


def _read_numbers(folder: str, pattern: str) -> list[int]:
    numbers = []
    for path in Path(folder).glob(pattern):
        with contextlib.suppress(OSError, ValueError):
            numbers.append(int(path.read_text()))
    return numbers
