"""When a run of benchmark_model is no measurement, and whose fault that is.

Exit code 0 proves little here: unknown flags, a GPU that the build does not have and a missing delegate library all
end with it, after a run on the CPU. Exit code 1 can come with full results. So every sign is looked at.
"""

from __future__ import annotations

import re
import signal
from collections.abc import Sequence

from harness.plan.cell import Delegate, ErrorClass, Outcome, Problem
from harness.runners.problems import operations, unloadable
from harness.runners.upstream.flavour import EXTRAS
from harness.runners.upstream.log import Log

_MISSING_CODE = re.compile(r"unresolved custom op|Select TensorFlow op|Regular TensorFlow ops are not supported")
_BAD_MODEL = re.compile(r"Failed to load model|not a valid Flatbuffer|allocation is null|Signature ")
_BAD_FLAG = re.compile(r"Failed to parse flag|--input_layer|input value file|should have \d+ dimensions|num_threads")
_NOT_APPLIED = re.compile(r"Failed to apply \w+ delegate")
_FALLBACK = re.compile(r"Disallowed CPU fallback|Some ops are not accelerated")
_NO_DEVICE = re.compile(r"Can not open OpenCL|No supported OpenCL|No EGL")
_DYNAMIC = "only supports static-sized tensors"
INVOKE = re.compile(r"failed to invoke")
"""Of the runtime's line for an inference that failed."""
_ALLOCATE = re.compile(r"Failed to allocate tensors|failed to prepare|Failed to initialize the interpreter")
# Lines that say that something failed, but not what.
_VAGUE = re.compile(r"^Benchmarking failed\.?$|^Restored original execution plan|^\d+$|^Failed to apply \w+ delegate")
_SHELL_SIGNALS = 128
_LAST_SIGNAL = 64


def failure(log: Log, exit_code: int, timed_out: bool, delegate: Delegate, stderr: str) -> Problem | None:
    """The problem of a run by its exit code and its log; None if it went through.

    Args:
        log: of the run.
        exit_code: negative, or above 128, for a signal.
        timed_out: whether the device ended it at the deadline.
        delegate: what was asked for.
        stderr: as text, for words when the log has none.
    """
    if timed_out:
        return Problem(Outcome.TIMEOUT, "the deadline passed and benchmark_model had to be killed", kind="timeout")
    if exit_code != 0 and not log.started and (found := unloadable(stderr)) is not None:
        return found
    number = -exit_code if exit_code < 0 else exit_code - _SHELL_SIGNALS
    if number > _LAST_SIGNAL:  # 255 and its like are exit codes
        number = 0
    if log.fatal is not None:
        return _error(f"benchmark_model aborted: {log.fatal}", "abort", signal_number=number if number > 0 else None)
    if number > 0:
        return _error(f"benchmark_model was killed by signal {number}{_signal_name(number)}", "crash", number)
    found = _unknown_flags(log) or _without_gpu(log, delegate)
    if found is not None:
        return found
    if exit_code != 0:
        return _failed(log, exit_code, delegate, stderr)
    return _incomplete(log)


def _unknown_flags(log: Log) -> Problem | None:
    """Arguments that were ignored, so that something else was measured than was asked for."""
    ignored = [word for word in log.unconsumed if word.lstrip("-").partition("=")[0] not in EXTRAS]
    if not ignored:
        return None
    names = ", ".join(word.partition("=")[0] for word in ignored)
    what = "flag" if len(ignored) == 1 else "flags"
    words = f"this benchmark_model has no {what} {names}: it ran without; take a build for this platform that has"
    return Problem(Outcome.ERROR, f"{words} {'it' if what == 'flag' else 'them'}", ErrorClass.CONFIG, "unknown_flag")


def _without_gpu(log: Log, delegate: Delegate) -> Problem | None:
    if delegate.accelerator == "cpu":
        return None
    if log.no_gpu:
        words = "this benchmark_model was built without a GPU delegate for this platform; take a build that has one"
        return Problem(Outcome.ERROR, words, ErrorClass.CONFIG, "runner_without_gpu")
    if log.no_library:
        words = "LiteRT's benchmark_model found no GPU accelerator: put libLiteRt*Accelerator.so beside the program"
        return Problem(Outcome.ERROR, words, ErrorClass.CONFIG, "runner_without_gpu")
    return None


def _failed(log: Log, exit_code: int, delegate: Delegate, stderr: str) -> Problem:
    """The problem of a run that ended with an error."""
    text = "\n".join(log.errors) + "\n" + stderr
    cause = _cause(log, stderr) or f"exit code {exit_code}"
    if match := next((line for line in stderr.splitlines() if _MISSING_CODE.search(line)), None):
        words = match.strip().removeprefix("ERROR:").strip()
        return Problem(Outcome.UNSUPPORTED, f"the runtime lacks an operation of this model: {words}", kind="compile")
    if delegate.accelerator != "cpu":
        refused = _refused(log, text, cause)
        if refused is not None:
            return refused
    if INVOKE.search(text):
        return _error(f"an inference failed: {cause}", "run", stage="run")
    if _BAD_MODEL.search(text):
        return Problem(Outcome.ERROR, f"the model cannot be loaded: {cause}", ErrorClass.MODEL, "model")
    if _BAD_FLAG.search(text):
        return _error(f"benchmark_model refuses its flags: {cause}", "usage")
    if _ALLOCATE.search(text):
        return Problem(
            Outcome.ERROR, f"the model does not compile: {cause}", ErrorClass.MODEL, "compile", stage="compile"
        )
    return _error(f"benchmark_model failed: {cause}", "run")


def _refused(log: Log, text: str, cause: str) -> Problem | None:
    """The problem when an accelerator, or the condition that it takes everything, is what failed."""
    ops = tuple(log.refused)
    if log.backend is None and _NO_DEVICE.search(text):  # without OpenCL, OpenGL may have served
        return Problem(Outcome.UNSUPPORTED, f"there is no usable GPU driver: {cause}", kind="accelerator_unavailable")
    if _FALLBACK.search(text):
        names = operations(ops) or "its log does not say which"
        words = f"the GPU does not take all operations, which `fallback: forbid` rules out: {names}"
        return Problem(Outcome.UNSUPPORTED, words, kind="not_fully_accelerated", unsupported_ops=ops)
    if _NOT_APPLIED.search(text):
        why = "the graph has tensors of dynamic size" if _DYNAMIC in text else operations(ops) or cause
        words = f"the GPU delegate refuses the model: {why}"
        return Problem(Outcome.UNSUPPORTED, words, kind="compile", stage="compile", unsupported_ops=ops)
    return None


def _incomplete(log: Log) -> Problem | None:
    """The problem of a run that ended with exit code 0 and did not measure."""
    if not log.started:
        return _error("benchmark_model's log lacks its beginning: what it ignored is not known", "broken_result")
    if len(log.stats) < 2 or not log.finished:
        words = "benchmark_model ended with exit code 0 before it printed its results, as some GPU drivers make it do"
        return _error(words, "broken_result")
    if log.stats[1].count == 0:
        return _error("benchmark_model made no timed run (count=0)", "broken_result")
    return None


def _cause(log: Log, stderr: str) -> str:
    """The first error that names a cause, else whatever came last on stderr."""
    telling = [line for line in log.errors if not _VAGUE.match(line) and not line.startswith("Following operations")]
    preferred = [line for line in telling if not line.startswith("Node number")]
    for candidates in (preferred, telling, log.errors, stderr.strip().splitlines()[-1:]):
        if candidates:
            return candidates[0].strip()[:300]
    return ""


def _error(words: str, kind: str, signal_number: int | None = None, stage: str | None = None) -> Problem:
    return Problem(Outcome.ERROR, words, ErrorClass.RUNNER, kind, signal_number, stage)


def _signal_name(number: int) -> str:
    try:
        return f" ({signal.Signals(number).name})"
    except ValueError:
        return ""


def swapped_inputs(log: Log, names: Sequence[str]) -> Problem | None:
    """The problem when tensors at the inputs' positions bear other names: data may have gone to the wrong ones.

    Args:
        log: of the run.
        names: the names of tensors that were given; a signature's names are others by right, so are made-up ones.
    """
    wrong = [f"'{actual}' where '{called}' was expected" for _, actual, called in log.renamed if called in names]
    if not wrong:
        return None
    return _error(f"the model's inputs are in another order than its file says: {', '.join(wrong)}", "inputs")
