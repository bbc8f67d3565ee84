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
from harness.plan.result import Measurement
from harness.runners.base import JobFacts, RunnerReport, check_ios

APP_RECORD = "app.json"
_SCHEMA = 1
_CLASSES = {
    "file": ErrorClass.DEVICE,  # another transfer may help
    "output": ErrorClass.DEVICE,  # its disk is full
    "interrupted": ErrorClass.DEVICE,  # somebody opened another app, or locked the phone
}
_UNKNOWN_FORM = f"left an {APP_RECORD} of an unknown form; build the app of this version of the harness"
_THROTTLED = ("serious", "critical")
_WARM_START = (
    "{} other job(s) ran in the app's process before: library and drivers were loaded already, so that the start-up "
    "times are of a warm start; peak memory is as it was seen every 20 ms"
)
_CACHED = "`start: cold` has no power over the cache of compiled kernels that iOS keeps for an app"


@dataclass(frozen=True)
class AppRecord:
    """An app's record of a job.

    Attributes:
        program: SHA-256 of the app's executable file, as it was signed.
        core: version of delegate_bench inside the app.
        runtime: {"version", "sha256"} of the LiteRT inside the app; None where it does not know.
        metal_device: name of the GPU.
        emulated: whether the phone only stands for one.
        jobs_before: runs that the app's process did before.
        hottest: highest thermal state that iOS told the app of, from before the job to its end.
        low_power: whether low-power mode was on before or after it.
        exit_code: of delegate_bench; None if it did not end by itself.
        error: {"kind", "message", "signal", "stage"} of what the app itself ran into.
    """

    program: str | None
    core: str | None
    runtime: Mapping[str, str | None]
    metal_device: str | None
    emulated: bool
    jobs_before: int
    hottest: str | None
    low_power: bool
    exit_code: int | None
    error: Mapping[str, Any] | None


def check(delegate: Delegate, runtime_version: str | None, *, require_sha256: bool) -> None:
    """Refuse what the app cannot do. Raises UsageError.

    Args:
        delegate: what is asked for.
        require_sha256: whether the suite takes exact programs only. Nobody but the app itself says which one it is.
        runtime_version: that the delegate's `runtime` stands for; None for one of unknown version.
    """
    check_ios(delegate, OWN_RUNNER)
    if require_sha256:
        words = "this suite takes exact programs only, and nothing can check the hash of an app that you signed"
        raise UsageError(
            f"delegate '{delegate.name}': {words}; say `require_sha256: false`, and look at the runner's sha256 in the "
            "rows, which the app states of itself"
        )
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
    runner = {**found.runner, "version": found.runner.get("version") or app.core, "sha256": app.program}
    completed = replace(found, runner=runner, runtime=app.runtime)
    if found.adapter is None and cell.delegate.accelerator == "gpu":  # the system names it where the runtime does not
        software = False if app.metal_device is not None and not app.emulated else None
        completed = replace(completed, adapter=app.metal_device, adapter_software=software)
    problem = _other_runtime(app, facts) or _problem(app, found, output)
    if problem is not None:
        return replace(completed, result=problem)
    if found.measurement is not None:
        return replace(completed, result=_with_notes(found.measurement, app, cell.delegate))
    return completed


def _with_notes(measured: Measurement, app: AppRecord, delegate: Delegate) -> Measurement:
    """The measurement with what a reader of its figures has to know of the app and the phone."""
    notes = []
    if app.jobs_before > 0:
        notes.append(_WARM_START.format(app.jobs_before))
    elif delegate.start == "cold" and delegate.accelerator == "gpu" and not app.emulated:
        notes.append(_CACHED)
    if app.hottest in _THROTTLED:
        notes.append(f"iOS called the phone's thermal state {app.hottest} during the job, and slows such a phone down")
    if app.low_power:
        notes.append("the phone was in low-power mode, which slows it down")
    start = "warm" if app.jobs_before > 0 else measured.start
    return replace(measured, start=start, notes=(*measured.notes, *notes))


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
        return _broken(_UNKNOWN_FORM)
    if record.get("id") != job.id:
        return _broken(f"left a stale {APP_RECORD}: it answers job '{record.get('id')}', not '{job.id}'")
    runtime, trouble, code = record.get("runtime"), record.get("error"), record.get("exit_code")
    jobs_before = record.get("jobs_before")
    if not isinstance(runtime, dict) or not isinstance(trouble, dict | None) or type(jobs_before) is not int:
        return _broken(_UNKNOWN_FORM)
    if code is not None and type(code) is not int:  # False is no 0
        return _broken(_UNKNOWN_FORM)
    stated = record.get("app")
    states = [record.get(when) for when in ("before", "after")]
    return AppRecord(
        program=_text(stated.get("sha256")) if isinstance(stated, dict) else None,
        core=_text(record.get("core")),
        runtime={key: _text(runtime.get(key)) for key in ("version", "sha256")},
        metal_device=_text(record.get("metal_device")),
        emulated=record.get("emulated") is True,
        jobs_before=jobs_before,
        hottest=_text(record.get("hottest")),
        low_power=any(isinstance(state, dict) and state.get("low_power_mode") is True for state in states),
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
        said_more = found.problem is not None and found.problem.kind not in ("broken_result", "timeout")
        if said_more and kind != "interrupted":  # which is why the program failed, if it did
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
