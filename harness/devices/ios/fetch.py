"""What a job left on an iPhone, brought back: bounded in size, no folders, no names that lead elsewhere."""

from __future__ import annotations

from pathlib import Path

from harness.devices.base import DeviceError
from harness.devices.budget import Budget
from harness.devices.ios.errors import Subject
from harness.devices.ios.files import AppFiles
from harness.devices.ios.job import AppJob
from harness.plan.cell import ErrorClass

_SECONDS = 30.0  # also of a job whose time is over
_CALL = 15.0
_LONGEST_NAME = 250  # bytes; file systems of controllers take 255, and ".part" has to fit


def fetch(subject: Subject, files: AppFiles, job: AppJob, folder: Path, *, limit: int, budget: Budget) -> int:
    """Bring the files of a job's output folder back, and those beside it.

    Args:
        subject: the phone, for errors.
        files: of the app.
        job: that ended.
        folder: on the controller.
        limit: bytes; more is an error.
        budget: of the job; a little time is there even when it is over.

    Returns:
        The number of bytes.

    Raises:
        DeviceError: there is too much, or a name that cannot be used.
        IosError: the way to the phone failed.
    """
    listing = [(f"{job.output}/{entry.name}", entry.name, entry.size)
               for entry in files.list(job.output, _CALL) if not entry.is_dir]  # fmt: skip
    for name in job.beside:
        size = files.stat(name, _CALL)
        if size is not None:
            listing.append((name, name, size))
    size = sum(size for _, _, size in listing)
    if size > limit:
        raise _at_fault(subject, f"the job left {size} bytes of output; its limit is {limit}")
    for _, name, _ in listing:
        if "/" in name or not name.isprintable() or len(name.encode()) > _LONGEST_NAME or name in (".", ".."):
            raise _at_fault(subject, f"the job left a file with the unusable name {name!r}")
    seconds = max(_SECONDS, budget.left())
    return sum(files.pull(remote, folder / name, size, seconds, turn=budget.transfer) for remote, name, size in listing)


def _at_fault(subject: Subject, what: str) -> DeviceError:
    return DeviceError(f"{subject.device}: {what}", device=subject.device, error_class=ErrorClass.RUNNER)
