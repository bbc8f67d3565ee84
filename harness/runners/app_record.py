"""What our app on an iPhone adds to delegate_bench's record: `app.json`, written before the done marker.

The app holds the program and its runtime, so this is where the runtime's version comes from, and what kept the
program from running at all: a file that is not what was sent, a job that it cannot read, an end without a record.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from harness.devices.base import Job, JobOutput
from harness.errors import UsageError
from harness.lab.spec import OWN_RUNNER
from harness.plan.cell import Cell, Delegate, ErrorClass, Outcome, Problem
from harness.runners.base import JobFacts, RunnerReport, check_ios

APP_RECORD = "app.json"
_SCHEMA = 1
_CLASSES = {
    "file": ErrorClass.DEVICE,  # another transfer may help
    "output": ErrorClass.DEVICE,  # its disk is full
}


@dataclass(frozen=True)
class AppRecord:
    """An app's record of a job.

    Attributes:
        core: version of delegate_bench inside the app.
        runtime: {"version", "sha256"} of the LiteRT inside the app; None where it does not know.
        metal_device: name of the GPU.
        emulated: whether the phone only stands for one.
        exit_code: of delegate_bench; None if it did not end by itself.
        error: {"kind", "message", "signal", "stage"} of what the app itself ran into.
    """

    core: str | None
    runtime: Mapping[str, str | None]
    metal_device: str | None
    emulated: bool
    exit_code: int | None
    error: Mapping[str, Any] | None


def check(delegate: Delegate, runtime_version: str | None) -> None:
    """Refuse what the app cannot do. Raises UsageError.

    Args:
        delegate: what is asked for.
        runtime_version: that the delegate's `runtime` stands for; None for one of unknown version.
    """
    check_ios(delegate, OWN_RUNNER)
    if delegate.runtime is not None and runtime_version is None:
        words = f"delegate '{delegate.name}': on iOS the runtime is inside the app, and can only be told by its version"
        raise UsageError(f"{words}; name one (`runtime: 2.2.0`) instead of '{delegate.runtime}', or leave it out")


def completed(found: RunnerReport, cell: Cell, job: Job, facts: JobFacts, output: JobOutput) -> RunnerReport:
    """What delegate_bench's own record says, checked against the app's and completed with it.

    Args:
        found: what the program's record says by itself.
        cell: that was measured.
        job: that was done.
        facts: that it was made from.
        output: of the job.
    """
    app = _read(job, output)
    if isinstance(app, Problem):
        # A program that crashed may have left its own record, which says more; nothing else counts without the app's.
        stated = found.problem is not None and found.problem.kind != "broken_result"
        return found if stated else replace(found, result=app)
    runner = {**found.runner, "version": found.runner.get("version") or app.core}
    completed = replace(found, runner=runner, runtime=app.runtime)
    if found.adapter is None and cell.delegate.accelerator == "gpu":  # the system names it where the runtime does not
        software = False if app.metal_device is not None and not app.emulated else None
        completed = replace(completed, adapter=app.metal_device, adapter_software=software)
    problem = _other_runtime(app, facts) or _problem(app, found, output)
    return completed if problem is None else replace(completed, result=problem)


def _read(job: Job, output: JobOutput) -> AppRecord | Problem:
    try:
        record = json.loads((output.folder / APP_RECORD).read_bytes())
    except FileNotFoundError:
        return _without_record(output)
    except OSError as error:
        return _broken(f"left an {APP_RECORD} that cannot be read: {error.strerror}")
    except ValueError:
        return _broken(f"left an {APP_RECORD} that is not JSON")
    if not isinstance(record, dict) or record.get("schema") != _SCHEMA:
        return _broken(f"left an {APP_RECORD} of an unknown form; build the app of this version of the harness")
    if record.get("id") != job.id:
        return _broken(f"left a stale {APP_RECORD}: it answers job '{record.get('id')}', not '{job.id}'")
    runtime, trouble, code = record.get("runtime"), record.get("error"), record.get("exit_code")
    if not isinstance(runtime, dict) or not isinstance(trouble, dict | None) or not isinstance(code, int | None):
        return _broken(f"left an {APP_RECORD} of an unknown form")
    return AppRecord(
        core=_text(record.get("core")),
        runtime={key: _text(runtime.get(key)) for key in ("version", "sha256")},
        metal_device=_text(record.get("metal_device")),
        emulated=record.get("emulated") is True,
        exit_code=code,
        error=trouble or None,
    )


def _without_record(output: JobOutput) -> Problem:
    if output.timed_out:
        return Problem(Outcome.TIMEOUT, "the deadline passed and the app had to be ended", kind="timeout")
    said = (output.stderr.strip().splitlines() or ["nothing says why"])[-1]
    words = f"the app ended during this job and left no record; {said}"
    return Problem(Outcome.ERROR, words, ErrorClass.RUNNER, "crash")


def _problem(app: AppRecord, found: RunnerReport, output: JobOutput) -> Problem | None:
    """What the app's record makes of the program's; None if they go together."""
    if app.error is not None:
        kind = str(app.error.get("kind") or "unknown")
        if found.problem is not None and found.problem.kind not in ("broken_result", "timeout"):
            return None  # the program's own record says more of the same
        if output.timed_out or kind == "timeout":
            return Problem(Outcome.TIMEOUT, "the deadline passed and the app had to be ended", kind="timeout")
        words = f"the app reports: {app.error.get('message') or 'no message'}"
        signal, stage = app.error.get("signal"), _text(app.error.get("stage"))
        number = signal if isinstance(signal, int) else None
        return Problem(Outcome.ERROR, words, _CLASSES.get(kind, ErrorClass.RUNNER), kind, number, stage)
    if found.measurement is not None and app.exit_code != 0:
        return _broken(f"wrote an 'ok' result but its {APP_RECORD} has exit code {app.exit_code}")
    return None


def _other_runtime(app: AppRecord, facts: JobFacts) -> Problem | None:
    wanted, found = facts.runtime_version, app.runtime.get("version")
    if wanted is None or wanted == found:
        return None
    held = f"LiteRT {found}" if found else "a LiteRT of unknown version"
    words = f"the app holds {held}, and the delegate asks for {wanted}"
    return Problem(Outcome.ERROR, f"{words}; build the app with that one", ErrorClass.CONFIG, "other_runtime")


def _broken(what: str) -> Problem:
    return Problem(Outcome.ERROR, f"the app {what}", ErrorClass.RUNNER, "broken_result")


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None
