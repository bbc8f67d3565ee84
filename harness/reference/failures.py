"""What a reference run's end means, in words."""

from __future__ import annotations

import signal
from dataclasses import dataclass
from pathlib import Path

from harness.plan.cell import ErrorClass, Limits, Outcome, Problem

_DOING = {
    "start": "starting",
    "load": "loading the model",
    "allocate": "preparing the model",
    "run": "running the model",
    "read": "reading the outputs",
    "write": "writing the outputs",
}
_OUT_OF_MEMORY = (
    "Cannot allocate memory",
    "Memory allocation still failed",  # numpy's BLAS
    "MemoryError",
    "bad_alloc",
    "failed to map segment",  # the dynamic loader
    "failed with error '12'",  # ENOMEM, where LiteRT maps the model
    "out of memory",
)
_INSTALL = {
    "ai-edge-litert": "pip install ai-edge-litert",
    "tflite-runtime": "in a virtual environment of Python 3.10 or 3.11: pip install 'tflite-runtime==2.14.0' 'numpy<2'",
}
_LONGEST = 300  # characters of somebody else's message that are passed on
_LAST_WORDS = 4000  # bytes of a log that are looked at


@dataclass(frozen=True)
class Ending:
    """How a reference run ended.

    Attributes:
        runtime: name and version.
        limits: what it was allowed.
        stage: where it was, as the child wrote it.
        log: what it printed.
    """

    runtime: str
    limits: Limits
    stage: str
    log: Path

    @classmethod
    def of(cls, runtime: str, limits: Limits, folder: Path, log: Path) -> Ending:
        """Read the stage that a child left in its folder."""
        try:
            stage = (folder / "stage").read_text()
        except OSError:
            stage = "start"
        return cls(runtime, limits, stage, log)

    def timeout(self) -> Problem:
        """It was killed at the deadline."""
        seconds = f"{self.limits.deadline_seconds:g} s"
        return self._problem(
            Outcome.TIMEOUT, None, "timeout", f"{self.runtime} was still {self._doing} after {seconds}"
        )

    def crash(self, code: int | None) -> Problem:
        """It ended with exit code `code` (negative: by that signal) and without a result."""
        said = last_line(self.log)
        if _names_memory(_words(self.log)):
            return self.failure("memory", said)
        if code is not None and code < 0:
            how = f"was killed by {_signal_name(-code)} while {self._doing}"
        else:
            how = f"ended with exit code {code} while {self._doing}"
        reason = f"{self.runtime} {how}" + (f"; its last words: {said}" if said else "")
        number = -code if code is not None and code < 0 else None
        return self._problem(Outcome.ERROR, ErrorClass.MODEL, "crash", reason, number)

    def failure(self, kind: str, message: str) -> Problem:
        """It said itself why it failed."""
        if kind == "memory" or _names_memory(message):
            allowed = f"{self.limits.memory_bytes / 2**20:.0f} MiB (`limits: {{memory: ...}}`)"
            reason = f"{self.runtime} ran out of memory while {self._doing}; the limit is {allowed}"
            return self._problem(Outcome.ERROR, ErrorClass.MODEL, "memory", reason)
        if kind == "unsupported":
            return self._problem(Outcome.UNSUPPORTED, None, kind, f"{self.runtime}: {message}")
        if kind == "output_bytes":
            return self._problem(Outcome.ERROR, ErrorClass.CONFIG, kind, message)
        if kind == "runtime":
            return no_runtime(message)
        return self._problem(
            Outcome.ERROR, ErrorClass.MODEL, kind, f"{self.runtime}, {self._doing}: {message[:_LONGEST]}"
        )

    @property
    def _doing(self) -> str:
        stage, _, kernels = self.stage.partition(" ")
        doing = _DOING.get(stage, stage)
        return f"{doing} with {kernels} kernels" if kernels else doing

    def _problem(
        self, outcome: Outcome, error_class: ErrorClass | None, kind: str, reason: str, number: int | None = None
    ) -> Problem:
        stage = self.stage.partition(" ")[0]
        return Problem(outcome, f"no reference outputs: {reason}", error_class, f"reference_{kind}", number, stage)


def no_runtime(message: str) -> Problem:
    """The Python that was asked for does not have the runtime."""
    hint = next((f"; {hint}" for runtime, hint in _INSTALL.items() if runtime in message), "")
    reason = f"no reference outputs: {message}{hint}"
    return Problem(Outcome.ERROR, reason, ErrorClass.CONFIG, "reference_runtime", stage="start")


def cancelled() -> Problem:
    """The run was cancelled."""
    return Problem(Outcome.NOT_RUN, "cancelled before the reference outputs were there", kind="cancelled")


def last_line(log: Path) -> str:
    """The last line of a child's words that says something, cut to a readable length."""
    lines = [line.strip() for line in _words(log).splitlines() if not line.startswith("INFO:")]
    said = [line for line in lines if line]
    return said[-1][:_LONGEST] if said else ""


def _names_memory(text: str) -> bool:
    return any(words in text for words in _OUT_OF_MEMORY)


def _words(log: Path) -> str:
    try:
        return log.read_bytes()[-_LAST_WORDS:].decode(errors="replace")
    except OSError:
        return ""


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
