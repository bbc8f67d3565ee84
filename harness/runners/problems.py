"""From delegate_bench's typed errors to outcomes, with a sentence that says what to do."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from harness.plan.cell import Delegate, ErrorClass, Outcome, Problem

# What LiteRT prints when the model asks for code that this runtime does not have.
_MISSING_CODE = ("unresolved custom op", "Select TensorFlow op", "Regular TensorFlow ops are not supported")

_NO_ADAPTER = (
    "the runtime found no GPU adapter; install a Vulkan loader and driver for this machine (Debian: libvulkan1 and "
    "mesa-vulkan-drivers 25 or newer, or the vendor's driver), or name a software one with VK_ICD_FILENAMES under "
    "`env:` of the device"
)

_CLASSES = {
    "usage": ErrorClass.RUNNER,
    "runtime_library": ErrorClass.CONFIG,
    "abi": ErrorClass.CONFIG,
    "model": ErrorClass.MODEL,
    "input": ErrorClass.CONFIG,
    "run": ErrorClass.RUNNER,
    "output": ErrorClass.HOST,
    "output_limit": ErrorClass.CONFIG,
    "crash": ErrorClass.RUNNER,
    "memory": ErrorClass.RUNNER,
}


def problem_of(record: Mapping[str, Any], delegate: Delegate) -> Problem:
    """The problem that an error record of delegate_bench describes."""
    error = record.get("error") or {}
    kind = str(error.get("kind") or "unknown")
    message = str(error.get("message") or "no message")
    stage = error.get("stage")
    signal = error.get("signal")
    unsupported = tuple(str(line) for line in record.get("unsupported_ops") or ())
    log = str(record.get("stderr_tail") or "")

    def make(outcome: Outcome, reason: str, error_class: ErrorClass | None = None) -> Problem:
        return Problem(outcome, reason, error_class, kind, signal, stage, unsupported)

    if kind == "cancelled":
        return make(Outcome.NOT_RUN, "cancelled while it ran")
    if kind == "timeout":
        return make(Outcome.TIMEOUT, f"the deadline passed during '{stage}'")
    if kind == "accelerator_unavailable":
        return make(Outcome.UNSUPPORTED, _NO_ADAPTER)
    if kind == "unsupported":
        return make(Outcome.UNSUPPORTED, message)
    if kind == "crash":
        name = error.get("signal_name") or "unknown"
        reason = f"the runner crashed with signal {signal} ({name}) during '{stage}'"
        return make(Outcome.ERROR, reason + _last_words(log), ErrorClass.RUNNER)
    missing = next((line.strip() for line in log.splitlines() if any(mark in line for mark in _MISSING_CODE)), None)
    if missing is not None and kind in ("compile", "run", "model"):
        return make(Outcome.UNSUPPORTED, f"the runtime lacks an operation of this model: {_clean(missing)}")
    if kind in ("compile", "not_fully_accelerated"):
        return _not_compiled(make, delegate, unsupported, message + _last_words(log))
    if kind == "memory":
        return make(Outcome.ERROR, f"the runner passed the memory limit during '{stage}': {message}", ErrorClass.RUNNER)
    return make(Outcome.ERROR, f"{message}{_last_words(log)}", _CLASSES.get(kind, ErrorClass.RUNNER))


def _not_compiled(make: Any, delegate: Delegate, unsupported: tuple[str, ...], message: str) -> Problem:  # noqa: ANN401
    accelerator = delegate.accelerator.upper()
    if unsupported:
        reason = f"the {accelerator} does not take: " + "; ".join(unsupported)
        problem: Problem = make(Outcome.UNSUPPORTED, reason)
    elif delegate.accelerator == "cpu":
        problem = make(Outcome.ERROR, f"the model does not compile: {message}", ErrorClass.MODEL)
    else:
        problem = make(Outcome.UNSUPPORTED, f"the {accelerator} accelerator refuses the model: {message}")
    return problem


def _last_words(log: str) -> str:
    """The last error line of the runtime's log, which is usually the cause."""
    lines = [line for line in log.splitlines() if line.startswith("ERROR") or "error" in line.lower()]
    return f"; {_clean(lines[-1])}" if lines else ""


def _clean(line: str) -> str:
    return line.strip().removeprefix("ERROR:").strip()[:300]
