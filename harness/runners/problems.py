"""From delegate_bench's typed errors to outcomes, with a sentence that says what to do."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from harness.lab.spec import IOS_TARGET
from harness.plan.cell import Delegate, ErrorClass, Outcome, Problem

# What LiteRT prints when the model asks for code that this runtime does not have.
_MISSING_CODE = ("unresolved custom op", "Select TensorFlow op", "Regular TensorFlow ops are not supported")

_ADAPTER_ADVICE = (
    "install a Vulkan loader and driver (Debian: libvulkan1 and mesa-vulkan-drivers 25 or newer, or the vendor's), "
    "or name one with VK_ICD_FILENAMES under the device's `env:`"
)

_PHONE_ADVICE = (
    "the phone has no GPU driver that a program of adb's shell may load: try another `backend` (opencl, opengl, "
    "webgpu), or measure inside an app (`context: app`)"
)

_IOS_ADVICE = (
    "the app needs LiteRT's GPU accelerator for iOS in its Frameworks folder (libLiteRtMetalAccelerator.dylib), and a "
    "device that has Metal: see docs/ios-app.md"
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


# Lines of the log that tell a crash's cause, best first; each with what introduces it.
_LAST_WORDS = (re.compile(r"^F\d{4} .*?\] (.*)"), re.compile(r"^(terminate called .*)"), re.compile(r"^ERROR: (.*)"))
_UNLOADABLE = re.compile(r"CANNOT LINK EXECUTABLE|error while loading shared libraries|version `\S+' not found")
_NO_CAUSE = "Following operations are not supported"
_PLAIN_REFUSAL = "Operation is not supported."


def problem_of(record: Mapping[str, Any], delegate: Delegate, target: str) -> Problem:
    """The problem that an error record of delegate_bench on a platform describes."""
    error = record.get("error") or {}
    kind = str(error.get("kind") or "unknown")
    message = str(error.get("message") or "no message")
    stage = error.get("stage")
    unsupported = tuple(str(line).strip() for line in record.get("unsupported_ops") or ())
    log = str(record.get("stderr_tail") or "")
    outcome, reason, error_class = Outcome.ERROR, f"{message}{_cause(log)}", _CLASSES.get(kind, ErrorClass.RUNNER)
    missing = _missing_code(log) if kind in ("compile", "run", "model") else None
    if kind == "cancelled":
        outcome, reason = Outcome.NOT_RUN, "cancelled while it ran"
    elif kind == "timeout":
        outcome, reason = Outcome.TIMEOUT, f"the deadline passed during '{stage}'"
    elif kind == "accelerator_unavailable":
        advice = _IOS_ADVICE if target == IOS_TARGET else _ADAPTER_ADVICE
        advice = _PHONE_ADVICE if target.endswith("android") else advice
        advice = f"; {advice}" if "adapter" in message or target == IOS_TARGET else ""
        outcome, reason = Outcome.UNSUPPORTED, f"{message}{advice}"
    elif kind == "unsupported":
        outcome, reason = Outcome.UNSUPPORTED, message
    elif missing is not None:
        outcome, reason = Outcome.UNSUPPORTED, f"the runtime lacks an operation of this model: {missing}"
    elif kind == "crash":
        name = error.get("signal_name") or "unknown"
        reason = f"the runner crashed with signal {error.get('signal')} ({name}) during '{stage}'{_cause(log)}"
    elif kind in ("compile", "not_fully_accelerated"):
        outcome, reason, error_class = _not_compiled(delegate, unsupported, reason)
    elif kind == "memory":
        reason = f"the runner passed the memory limit during '{stage}': {message}"
    return Problem(
        outcome,
        reason,
        error_class if outcome is Outcome.ERROR else None,
        kind,
        error.get("signal"),
        stage,
        unsupported,
    )


def unloadable(stderr: str) -> Problem | None:
    """The problem of a program that never began, for want of libraries: Android's linker and Linux' say which."""
    line = next((line.strip() for line in stderr.splitlines() if _UNLOADABLE.search(line)), None)
    if line is None:
        return None
    words = f"the device cannot load the runner's program: {line[:300]}"
    return Problem(Outcome.ERROR, words, ErrorClass.CONFIG, "unloadable")


def operations(unsupported: Sequence[str]) -> str:
    """Lines "OP: why" as one phrase; a reason that says no more than the fact itself is left out."""
    found: dict[str, str] = {}
    for line in unsupported:
        name, _, why = (part.strip() for part in line.partition(":"))
        found[name] = found.get(name) or ("" if why == _PLAIN_REFUSAL else why)
    return ", ".join(f"{name} ({why})" if why else name for name, why in found.items())


def _not_compiled(delegate: Delegate, unsupported: tuple[str, ...], message: str) -> tuple[Outcome, str, ErrorClass]:
    accelerator = delegate.accelerator.upper()
    if unsupported:
        return Outcome.UNSUPPORTED, f"the {accelerator} does not take {operations(unsupported)}", ErrorClass.MODEL
    if delegate.accelerator == "cpu":
        return Outcome.ERROR, f"the model does not compile: {message}", ErrorClass.MODEL
    return Outcome.UNSUPPORTED, f"the {accelerator} accelerator refuses the model: {message}", ErrorClass.MODEL


def _missing_code(log: str) -> str | None:
    found = next((line for line in log.splitlines() if any(mark in line for mark in _MISSING_CODE)), None)
    return found.strip().removeprefix("ERROR:").strip()[:300] if found else None


def _cause(log: str) -> str:
    """What the runtime's log names as the cause: "; words", or nothing."""
    for pattern in _LAST_WORDS:
        for line in reversed(log.splitlines()):
            match = pattern.match(line)
            if match and _NO_CAUSE not in line:
                return f"; {match[1].strip()[:300]}"
    return ""
