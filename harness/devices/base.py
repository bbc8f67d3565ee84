"""The seam between the engine and a device: a job goes in, its output comes out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from harness.plan.cell import ErrorClass

_SHOWN = 600  # characters of a device's own words in a message


@dataclass(frozen=True)
class JobPath:
    """A path inside the job's folder on the device; the device replaces it with an absolute one."""

    name: str

    def __str__(self) -> str:
        """The name alone, for records: absolute device paths mean nothing elsewhere."""
        return self.name


@dataclass(frozen=True)
class JobFile:
    """A file that must be in the job's folder before the command starts.

    Attributes:
        name: relative path in the job's folder, with forward slashes.
        source: the file on the controller.
        sha256: of its content; devices keep files by this hash and move each one once.
        executable: whether it is a program.
    """

    name: str
    source: Path
    sha256: str
    executable: bool = False


@dataclass(frozen=True)
class Job:
    """What a device is asked to do.

    Attributes:
        id: a fresh nonce; the runner repeats it in its record, so that a stale one is noticed.
        files: what has to be there.
        command: argv; `JobPath` items are made absolute by the device.
        env: environment variables for the command, added to the device's own.
        output: name of the folder (in the job's folder) whose files are brought back; made empty first.
        output_bytes: more than this in `output` is an error, not a transfer.
        app: the runner whose app does this job, on devices that start apps and not programs. The command is then what
            the app is told, and `@@NAME@@` in a word is replaced by that file's path as the app sees it.
    """

    id: str
    files: tuple[JobFile, ...]
    command: tuple[str | JobPath, ...]
    env: Mapping[str, str] = field(default_factory=dict)
    output: str = "out"
    output_bytes: int = 256 << 20
    app: str | None = None

    @property
    def command_line(self) -> str:
        """The command as a person would type it inside the job's folder."""
        return " ".join(f"'{part}'" if " " in str(part) else str(part) for part in self.command)


@dataclass(frozen=True)
class JobOutput:
    """What came back from a device.

    Attributes:
        folder: on the controller, holding what was in the job's output folder.
        exit_code: of the command; negative: killed by that signal.
        stdout: the last part of it, as text.
        stderr: likewise.
        seconds: how long the command ran.
        transfer_bytes: moved in both directions; 0 for what was there already.
        timed_out: whether the device ended the command at the deadline.
        state_before: the device's state just before the command; see `Device.state`.
        state_after: and just after it.
    """

    folder: Path
    exit_code: int
    stdout: str
    stderr: str
    seconds: float
    transfer_bytes: int
    timed_out: bool = False
    state_before: Mapping[str, Any] = field(default_factory=dict)
    state_after: Mapping[str, Any] = field(default_factory=dict)


class DeviceError(Exception):
    """The device, or the way to it, failed: an ERROR of class device or host, which may be retried."""

    def __init__(self, message: str, *, device: str, error_class: ErrorClass = ErrorClass.DEVICE) -> None:
        super().__init__(message)
        self.device = device
        self.error_class = error_class


def worded(device: str, what: str, said: str, todo: str = "") -> str:
    """An error's message: "<device>: what happened: its own words; what to do"; long words are cut."""
    shown = said if len(said) <= _SHOWN else said[:_SHOWN] + " ..."
    message = ": ".join(part for part in (device, what, " ".join(shown.split())) if part)
    return f"{message}; {todo}" if todo else message


def controller_fault(device: str, error: OSError) -> DeviceError:
    """What to raise when a file of the controller, or a process on it, is at fault: an error of class host."""
    words = f"{device}: {error.strerror or error}: {error.filename or 'no file named'}"
    return DeviceError(words, device=device, error_class=ErrorClass.HOST)


class Turns(Protocol):
    """Whose turn it is, so that no timed command is disturbed. The two are never entered inside one another."""

    def command(self) -> AbstractContextManager[object]:
        """Around the timed command: the turn of the device's machine."""

    def transfer(self) -> AbstractContextManager[object]:
        """Around copying and hashing on the controller, in portions: waits while the controller itself is timed."""


class Device(Protocol):
    """A way to one device. Methods are called from one thread at a time, except `state` and `cancel`."""

    name: str

    @property
    def target(self) -> str | None:
        """Platform of its binaries: "x86_64-linux", "aarch64-android", ...; None before it is known."""

    def connect(self, tell: Callable[[str], None]) -> Mapping[str, Any]:
        """Reach the device and return its facts. Raises DeviceError.

        Args:
            tell: gets what a person has to do meanwhile, in a sentence that names the device.

        Returns:
            What is known of it. The fact `emulated` is true for a device that only stands for one.
        """

    def execute(self, job: Job, folder: Path, deadline: float, turns: Turns) -> JobOutput:
        """Do a job and bring its output to `folder`. Raises DeviceError.

        Args:
            job: what to do.
            folder: where the output goes; made by the caller.
            deadline: seconds for everything together, waiting for turns excepted.
            turns: what to enter around the command, and around work for it on the controller.
        """

    def state(self) -> Mapping[str, Any]:
        """State right now, while a job runs too; missing figures are left out. Never raises."""

    def recover(self) -> None:
        """Make the device usable again after a fault, as gently as will do. Raises DeviceError."""

    def cancel(self) -> None:
        """End the running job now; called from another thread."""

    def close(self) -> None:
        """Let go of everything that is held."""
