"""Jobs as the apps on a phone have them: files in Documents, launch arguments, markers.

Two apps are known: ours, whose folder native/README.md and docs/ios-app.md describe, and upstream's benchmark app
(litert-samples, benchmark/ios), which takes flags and knows no job ids.
"""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from harness.devices.base import DeviceError, Job, JobPath
from harness.devices.ios.files import AppFiles
from harness.devices.storage import StoredFile, stored
from harness.errors import UsageError
from harness.lab.spec import OWN_RUNNER, IosSpec
from harness.plan.cell import ErrorClass

UPSTREAM = "ios_app"
RECORD = "app.json"
_STORE, _OUT = "store", "out"
_JOB, _DONE, _RUNNING = "job.json", "done", "running"
_LOG, _EXIT, _PARAMETERS = "benchmark.log", "benchmark.done", "benchmark_params.json"
_SCHEMA = 1
_MARKER = 256  # bytes: more is no marker
_JOB_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")


class AppJob(Protocol):
    """A job for one app. Paths are relative to the app's Documents; `seconds` are for each call.

    Attributes:
        id: of the job.
        bundle: of the app.
        files: that have to be in its store.
        arguments: the app's launch arguments.
        arguments_of_none: those with which it does nothing, once the job is cleared away.
        env: variables to launch it with.
        output: the folder that is brought back.
        beside: files beside that folder that are brought back too, where they are.
    """

    id: str
    bundle: str
    files: Sequence[StoredFile]
    arguments: Sequence[str]
    arguments_of_none: Sequence[str]
    env: Mapping[str, str]
    output: str
    beside: Sequence[str]

    def place(self, files: AppFiles, by_hand: bool, seconds: float) -> None:
        """Write what the app reads; what could be mistaken for this job's goes first."""

    def taken(self, files: AppFiles, seconds: float) -> bool:
        """Whether the app is at work on it, or was."""

    def done(self, files: AppFiles, seconds: float) -> bool:
        """Whether the app says that it has ended."""

    def clean(self, files: AppFiles, seconds: float) -> None:
        """Remove what is not kept for other jobs."""

    def exit_code(self, folder: Path) -> int:
        """How it ended, by the files that were brought back."""


class OwnJob:
    """A job for our app, which tells by its id whose results lie there."""

    beside: Sequence[str] = ()

    def __init__(self, job: Job, spec: IosSpec) -> None:
        """Prepare. Raises OSError for a file of the controller that is not there."""
        self.id = job.id
        self.bundle = spec.bundle
        self.env: Mapping[str, str] = {}  # the job's own stands in job.json
        self.files: Sequence[StoredFile] = [stored(file.source, file.sha256) for file in job.files]
        self.arguments: Sequence[str] = ("--once", job.id)
        self.arguments_of_none: Sequence[str] = self.arguments
        self.output = f"{_OUT}/{job.id}"
        places = _places(job, self.output)
        content = {
            "schema": _SCHEMA,
            "id": job.id,
            "arguments": [places[part.name] if isinstance(part, JobPath) else part for part in job.command],
            "files": [
                {"path": f"{_STORE}/{name}", "bytes": size, "sha256": name}
                for name, size in {file.sha256: file.size for file in self.files}.items()
            ],
            "env": {**spec.env, **job.env},
        }
        self._content = json.dumps(content).encode()
        self._placed = False

    def place(self, files: AppFiles, by_hand: bool, seconds: float) -> None:
        """See `AppJob.place`. What other jobs left means nothing: markers and folders bear their ids."""
        if self._placed:
            files.remove(_DONE, seconds)
        self._placed = True
        files.write(_JOB, self._content, seconds)

    def taken(self, files: AppFiles, seconds: float) -> bool:
        """See `AppJob.taken`."""
        return self._says(files, _RUNNING, seconds) or self.done(files, seconds)

    def done(self, files: AppFiles, seconds: float) -> bool:
        """See `AppJob.done`."""
        return self._says(files, _DONE, seconds)

    def clean(self, files: AppFiles, seconds: float) -> None:
        """See `AppJob.clean`."""
        files.remove(_JOB, seconds)
        files.remove(_RUNNING, seconds)  # of an app that was killed
        files.remove_tree(_OUT, seconds)  # with what earlier jobs left that could not be cleared away

    def exit_code(self, folder: Path) -> int:
        """See `AppJob.exit_code`: the core's own."""
        code = read_record(folder, self.id).get("exit_code")
        return code if isinstance(code, int) else 1

    def _says(self, files: AppFiles, marker: str, seconds: float) -> bool:
        content = files.read(marker, _MARKER, seconds)
        return content is not None and content.strip() == self.id.encode()


class UpstreamJob:
    """A job for upstream's app, whose marker is of whichever job ended last: it goes before each launch."""

    beside: Sequence[str] = (_LOG, _EXIT)
    arguments_of_none: Sequence[str] = ()

    def __init__(self, job: Job, spec: IosSpec) -> None:
        """Prepare. Raises OSError for a file of the controller that is not there."""
        self.id = job.id
        self.bundle = spec.benchmark_bundle
        self.files: Sequence[StoredFile] = [stored(file.source, file.sha256) for file in job.files]
        self.output = f"{_OUT}/{job.id}"
        self.env: Mapping[str, str] = {**spec.env, **job.env}
        places = _places(job, self.output)
        self.arguments: Sequence[str] = tuple(
            places[part.name]
            if isinstance(part, JobPath)
            else re.sub(r"@@([^@]+)@@", lambda match: places.get(match[1], match[0]), part)
            for part in job.command
        )

    def place(self, files: AppFiles, by_hand: bool, seconds: float) -> None:
        """See `AppJob.place`."""
        for name in (_PARAMETERS, _EXIT, _LOG):
            files.remove(name, seconds)
        files.remove_tree(_OUT, seconds)
        files.mkdir(self.output, seconds)  # the app makes no folders
        if by_hand:
            flags = (flag.removeprefix("--").partition("=") for flag in self.arguments)
            files.write(_PARAMETERS, json.dumps({name: value for name, _, value in flags}).encode(), seconds)

    def taken(self, files: AppFiles, seconds: float) -> bool:
        """See `AppJob.taken`."""
        return files.stat(_LOG, seconds) is not None or self.done(files, seconds)

    def done(self, files: AppFiles, seconds: float) -> bool:
        """See `AppJob.done`: once its status is in it."""
        return bool(files.stat(_EXIT, seconds))

    def clean(self, files: AppFiles, seconds: float) -> None:
        """See `AppJob.clean`."""
        for name in (_PARAMETERS, _EXIT, _LOG):
            files.remove(name, seconds)
        files.remove_tree(self.output, seconds)

    def exit_code(self, folder: Path) -> int:
        """See `AppJob.exit_code`: the number in benchmark.done."""
        with contextlib.suppress(OSError, ValueError):
            return int((folder / _EXIT).read_text())
        return 1


def app_job(job: Job, spec: IosSpec) -> AppJob:
    """A job for the app that it names.

    Raises:
        UsageError: it names none, or one that is not known.
        DeviceError: its id is no plain word.
        OSError: a file of the controller is not there.
    """
    if not _JOB_ID.fullmatch(job.id):
        words = f"{spec.name}: job id {job.id!r} is no plain word"
        raise DeviceError(words, device=spec.name, error_class=ErrorClass.RUNNER)
    if job.app == OWN_RUNNER:
        return OwnJob(job, spec)
    if job.app == UPSTREAM:
        return UpstreamJob(job, spec)
    raise UsageError(
        f"{spec.name}: an iPhone starts apps and no programs: the runners {OWN_RUNNER} and {UPSTREAM} work on it"
    )


def read_record(folder: Path, job_id: str) -> Mapping[str, Any]:
    """The app's app.json among the files that were brought back; empty if it is absent, broken or another job's."""
    try:
        record = json.loads((folder / RECORD).read_bytes())
    except (OSError, ValueError):
        return {}
    return record if isinstance(record, dict) and record.get("id") == job_id else {}


def wrong_files(job: AppJob, folder: Path) -> list[str]:
    """Hashes of files that the app found absent or of another content than they should have; all if it names none."""
    error = read_record(folder, job.id).get("error")
    if not isinstance(error, dict) or error.get("kind") != "file":
        return []
    named = [file.sha256 for file in job.files if error.get("path") == f"{_STORE}/{file.sha256}"]
    return named or [file.sha256 for file in job.files]


def _places(job: Job, output: str) -> Mapping[str, str]:
    """Name of each file of the job, and of its output folder -> its path in Documents."""
    return {**{file.name: f"{_STORE}/{file.sha256}" for file in job.files}, job.output: output}
