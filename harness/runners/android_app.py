"""Upstream's benchmark app: the classic benchmark_model inside an Android app, started by `am`, read from the log.

A phone schedules apps and shell programs differently, and its GPU driver may too, so the app's times are closer to
what a user sees. It only times: rows have no accuracy, and their context is "app". It gives no exit code, so only
its log tells what happened.

Written after upstream's README, and tested against stand-ins for Android's commands: no phone has run it yet.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterable, Sequence
from pathlib import Path

from harness.devices.base import Job, JobFile, JobOutput, JobPath
from harness.errors import UsageError
from harness.lab.spec import IOS_TARGET, abi_of
from harness.paths import sha256_file
from harness.plan.cell import Cell, Delegate, ErrorClass, Outcome, Problem
from harness.plan.result import Measurement
from harness.runners.base import JobFacts, RunnerReport
from harness.runners.binaries import Binaries, nightly_url
from harness.runners.upstream import command, failures, log, result

NAME = "android_app"
SCOPE = "benchmark_model"
TIMES_ONLY = "accuracy was not measured: upstream's benchmark app hands no outputs out"
PACKAGE = "org.tensorflow.lite.benchmark"
_SCRIPT = Path(__file__).with_name("android_app.sh")
_MODEL = "model.tflite"
_OUT = "out"
_GRACE = 8.0

_NOT_INSTALLED, _NOT_STARTED, _FAILED, _NOTHING, _BLANK, _NO_APPS = 3, 4, 5, 6, 7, 8
_BRIEF = re.compile(r"^([VDIWEF])/tflite\s*\(\s*(\d+)\): ?(.*)$")
_SEVERITIES = {"V": "VERBOSE", "D": "VERBOSE", "I": "INFO", "W": "WARN", "E": "ERROR", "F": "FATAL"}


class AndroidApp:
    """Runner `android_app`."""

    name = NAME

    def __init__(self, binaries: Binaries) -> None:
        """Take the programs that devices.yaml names: the app is installed, but has to be the one that is stated."""
        self._binaries = binaries

    def needs_runtime(self, target: str) -> bool:
        """No: the app holds its own."""
        return False

    def binary(self, target: str) -> Path | None:
        """Nothing: the app is installed on the phone."""
        return None

    def jobs(self, cell: Cell, facts: JobFacts) -> Sequence[Job]:
        """The one job that measures one round of a cell. Raises UsageError."""
        _check(cell.delegate, facts.target)
        if cell.policy.require_sha256 and self._binaries.stated_sha256(NAME, facts.target) is None:
            place = f"runners: {{{NAME}: {{{abi_of(facts.target) or facts.target}: {{path: APK, sha256: ...}}}}}}"
            raise UsageError(f"this suite takes exact programs only; name the app in devices.yaml: {place}")
        mark = secrets.token_hex(8)
        script = JobFile(_SCRIPT.name, _SCRIPT, sha256_file(_SCRIPT))
        model = JobFile(_MODEL, Path(facts.model.ref.path), facts.model.sha256)
        inputs = [JobFile(f"inputs/i{i}.bin", path, path.stem) for i, path in enumerate(facts.inputs.samples[0])]
        # The app's own working folder is another, so its flags need whole paths, which only the script knows.
        flags = [
            *command.model_flags(facts.model, f"@@{_MODEL}@@"),
            *command.delegate_flags(cell.delegate, litert=False),
            *command.input_flags(facts.model.inputs, [f"@@{file.name}@@" for file in inputs]),
            *command.timed_runs(cell.policy.runs),
        ]
        if any(char.isspace() for flag in flags for char in flag):
            raise UsageError(
                f"delegate '{cell.delegate.name}': {NAME} cannot pass names with blanks in them to the app"
            )
        limit = str(max(1, int(facts.deadline - _GRACE)))
        words: tuple[str | JobPath, ...] = ("sh", JobPath(script.name), mark, limit, JobPath(_OUT), *flags)
        files = (script, model, *inputs)
        return (Job(mark, files, words, output=_OUT, output_bytes=cell.policy.limits.output_bytes),)

    def report(self, cell: Cell, jobs: Sequence[Job], facts: JobFacts, outputs: Sequence[JobOutput]) -> RunnerReport:
        """What the log says: a measurement only if the whole of this job's run is in it."""
        (job,), (output,) = jobs, outputs
        apk = _text(output.folder / "apk.sha256")[:64]
        runner = {
            "name": self.name,
            "context": "app",
            "version": _text(output.folder / "version.txt").strip().removeprefix("versionName=") or None,
            "sha256": apk if re.fullmatch(r"[0-9a-f]{64}", apk) else None,
            "command": job.command_line,
        }
        expected = self._binaries.stated_sha256(NAME, facts.target)
        found = _result(cell, job, facts, output)
        if isinstance(found, Measurement) and expected not in (None, runner["sha256"]):
            words = f"the installed app has SHA-256 {runner['sha256'] or 'unknown'}, devices.yaml states {expected}"
            found = Problem(Outcome.ERROR, words, ErrorClass.CONFIG, "other_app")
        return RunnerReport(found, runner)


def _check(delegate: Delegate, target: str) -> None:
    able = f"delegate '{delegate.name}': the runner {NAME}"
    if target == IOS_TARGET:
        raise UsageError(f"{able} is an app for Android; on {target} upstream's is the runner ios_app")
    if delegate.context == "shell":
        raise UsageError(f"{able} measures inside an app: say `context: app`, or take another runner")
    command.check(delegate, NAME, litert=False)


def _result(cell: Cell, job: Job, facts: JobFacts, output: JobOutput) -> Measurement | Problem:
    if output.timed_out:
        return Problem(Outcome.TIMEOUT, "the deadline passed before the app printed results", kind="timeout")
    if output.exit_code not in (0, _FAILED):
        return _not_run(output, facts.target)
    lines = own_lines(_text(output.folder / "logcat.txt").splitlines(), f"harness {job.id}")
    said = log.parse(lines)
    # The tool's own exit code does not get out of the app. After a failed run it may print whole results.
    failed = output.exit_code == _FAILED or said.fatal is not None or any(map(failures.INVOKE.search, said.errors))
    if failed and not said.errors and said.fatal is None:
        words = "the app's process ended before it printed results, and the log does not say why"
        return Problem(Outcome.ERROR, words, ErrorClass.RUNNER, "crash")
    stderr = "\n".join(line for line in lines if line.startswith(("ERROR: ", "FATAL: ", "WARN: ")))
    problem = failures.failure(said, int(failed), False, cell.delegate, stderr)
    if problem is None and facts.model.signature is None:
        problem = failures.swapped_inputs(said, command.layer_names(facts.model.inputs))
    if problem is not None:
        return problem
    ran = result.evaluate(cell, facts.model, said, output.folder, set())
    if isinstance(ran, Problem):
        return ran
    return result.noted(result.measurement(cell, facts.model, ran, SCOPE, ()), TIMES_ONLY)


def own_lines(lines: Iterable[str], mark: str) -> list[str]:
    """The benchmark's lines of a log in logcat's format "brief", as it would print them itself.

    Any app that uses the runtime writes under the same tag: of what follows the mark, only the lines of the process
    that starts a benchmark are its.
    """
    pid: str | None = None
    marked = False
    found = []
    for line in lines:
        match = _BRIEF.match(line)
        if match is None:
            continue
        severity, process, text = match.groups()
        if not marked:
            marked = text.strip() == mark
        elif pid is None and text.startswith("STARTING!"):
            pid = process
        if pid is not None and process == pid:
            found.append(f"{_SEVERITIES[severity]}: {text}")
    return found


def _not_run(output: JobOutput, target: str) -> Problem:
    """The problem that the script's own exit code stands for."""
    code = output.exit_code
    if code == _NOT_INSTALLED:
        words = f"upstream's benchmark app ({PACKAGE}) is not installed"
        how, apk = "build it as upstream's README says", "benchmark_model.apk"
        if abi_of(target) and (url := nightly_url(target)) is not None:
            how, apk = f"get Google's nightly build (curl -fLO {url}.apk)", f"{url.rpartition('/')[2]}.apk"
        words = f"{words}; {how}, then run: adb install -r -d -g {apk}"
        return Problem(Outcome.ERROR, words, ErrorClass.CONFIG, "not_installed")
    if code == _NO_APPS:
        words = f"{NAME} starts an app, and this device has no Android that could: it has no command `pm`"
        return Problem(Outcome.ERROR, words, ErrorClass.CONFIG, "no_apps")
    if code == _NOT_STARTED:
        said = (_text(output.folder / "am.txt").strip().splitlines() or ["am said nothing"])[-1]
        return Problem(Outcome.ERROR, f"the app does not start: {said}", ErrorClass.CONFIG, "not_started")
    if code == _NOTHING:
        return Problem(Outcome.TIMEOUT, "the deadline passed before the app printed results", kind="timeout")
    said = (output.stderr.strip().splitlines() or ["nothing on stderr"])[-1]
    if code == _BLANK:
        return Problem(Outcome.ERROR, f"the app cannot be told {said}", ErrorClass.CONFIG, "config")
    words = f"the script that drives the app ended with exit code {code}: {said}"
    return Problem(Outcome.ERROR, words, ErrorClass.RUNNER, "broken_result")


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
