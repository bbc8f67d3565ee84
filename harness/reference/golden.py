"""Golden outputs: what a model answers on this controller, computed once and kept.

True reference kernels are the first choice; XNNPACK computes where they lack an operation, and always for
dynamic-range models, whose rounding differs between the two kinds by several percent while XNNPACK agrees between
platforms. The row says which, and why.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import platform
import signal
import subprocess
import sys
import tempfile
import threading
from importlib import metadata
from pathlib import Path
from typing import Any

from harness.clock import Clock
from harness.environment import inherited
from harness.errors import UsageError, nearest
from harness.paths import cache_dir
from harness.plan.cell import GoldenRuntime, Limits, Model, Policy, Problem
from harness.reference.child import RUNTIMES
from harness.reference.failures import Ending, cancelled, last_line, no_runtime
from harness.reference.golden_cache import Golden, publish, read, read_json
from harness.reference.inputs import InputSet

__all__ = ["Golden", "GoldenRunner", "GoldenRunners"]

TFLITE_RUNTIME_PYTHON = "HARNESS_TFLITE_RUNTIME_PYTHON"
"""Environment variable: a Python that has tflite-runtime and numpy 1, if this one does not."""

HYBRID_REASON = "dynamic-range model: reference kernels round differently"

_CHILD = Path(__file__).with_name("child.py")
_CACHE_FORMAT = 1
_ABOUT_SECONDS = 60.0
_DEATH_SECONDS = 30.0  # a killed process that hangs in the kernel is left behind
_SPARE_CPU_SECONDS = 10


class GoldenRunners:
    """Golden runs with whichever runtime a suite asks for."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._runners: dict[str, GoldenRunner] = {}
        self._cancelled = False

    def compute(self, model: Model, inputs: InputSet, policy: Policy) -> Golden | Problem:
        """See `GoldenRunner.compute`; runtime and limits are the policy's."""
        with self._lock:
            runner = self._runners.get(policy.golden_runtime)
            if runner is None:
                runner = GoldenRunner(
                    self._clock, runtime=policy.golden_runtime, python=_python_for(policy.golden_runtime)
                )
                self._runners[policy.golden_runtime] = runner
            if self._cancelled:
                runner.cancel()
        return runner.compute(model, inputs, policy.limits)

    def cancel(self) -> None:
        """End what is running, and let nothing start any more."""
        with self._lock:
            self._cancelled = True
            for runner in self._runners.values():
                runner.cancel()


def _python_for(runtime: GoldenRuntime) -> str:
    """The Python that has a runtime: tflite-runtime usually needs an environment of its own."""
    named = os.environ.get(TFLITE_RUNTIME_PYTHON) if runtime == "tflite-runtime" else None
    return named or sys.executable


class GoldenRunner:
    """Computes golden outputs, each model in a process of its own.

    `compute` may be called from several threads; `cancel` from any other one.
    """

    def __init__(
        self, clock: Clock, *, runtime: GoldenRuntime = "ai-edge-litert", python: str = sys.executable
    ) -> None:
        """Choose the runtime.

        Args:
            clock: for the deadline.
            runtime: "ai-edge-litert", or the older "tflite-runtime".
            python: the Python (3.10 or later) that has the runtime and numpy; tflite-runtime also needs numpy 1
                and Python 3.11 at most, so usually one of another virtual environment.

        Raises:
            UsageError: there is no such runtime.
        """
        if runtime not in RUNTIMES:
            raise UsageError(f"there is no reference runtime '{runtime}'{nearest(runtime, RUNTIMES)}")
        self._clock = clock
        self._runtime = runtime
        self._python = python
        self._version: str | None = None
        self._lock = threading.Lock()
        self._running: set[subprocess.Popen[bytes]] = set()
        self._cancelled = False

    def compute(self, model: Model, inputs: InputSet, limits: Limits) -> Golden | Problem:
        """Run a model on every sample, or find the outputs in the cache.

        Stateful models start from their initial state for each sample.

        Args:
            model: a model without problem.
            inputs: made for it.
            limits: memory of the process, bytes of all outputs together, wall time.

        Returns:
            The outputs, or the problem: the model crashed the runtime, ran out of memory or time, has outputs that
            are not numbers, needs an operation that no kernel of the runtime has; the runtime is not there; or the
            run was cancelled.
        """
        version = self._find_version()
        if isinstance(version, Problem):
            return version
        runtime = f"{self._runtime} {version}"
        kernels = ("xnnpack",) if model.hybrid else ("reference", "xnnpack")
        facts = [_CACHE_FORMAT, model.sha256, inputs.sha256, runtime, kernels, model.signature, platform.machine()]
        key = hashlib.sha256(json.dumps(facts).encode()).hexdigest()
        entry = cache_dir("golden", key[:2]) / key
        found = read(entry)
        if found is not None:
            return found
        request = {
            "runtime": self._runtime,
            "kernels": kernels,
            "model": model.ref.path,
            "signature": model.signature,
            "fresh": model.stateful,
            "inputs": [{"name": spec.name, "dtype": spec.dtype, "shape": spec.shape} for spec in inputs.specs],
            "samples": [[str(path) for path in sample] for sample in inputs.samples],
            "outputs": [spec.name for spec in model.outputs],
            "memory_bytes": limits.memory_bytes,
            "output_bytes": limits.output_bytes,
            "cpu_seconds": math.ceil(limits.deadline_seconds) + _SPARE_CPU_SECONDS,
        }
        # Beside the entry, so that renaming publishes it.
        with tempfile.TemporaryDirectory(dir=entry.parent, prefix=".work-") as work:
            result = self._run(request, Path(work), runtime, limits)
            if isinstance(result, Problem):
                return result
            if model.hybrid:
                result["fallback_reason"] = HYBRID_REASON
            return publish(result, Path(work) / "out", entry)

    def cancel(self) -> None:
        """End what is running, and let nothing start any more."""
        with self._lock:
            self._cancelled = True
            for process in self._running:
                _kill(process)

    def _run(self, request: dict[str, Any], work: Path, runtime: str, limits: Limits) -> dict[str, Any] | Problem:
        """Have a child do a request; its output files are left in `work`/out."""
        folder = work / "out"
        folder.mkdir()
        (work / "request.json").write_text(json.dumps({**request, "folder": str(folder)}))
        process = self._spawn([str(work / "request.json")], work / "log")
        if process is None:
            return cancelled()
        in_time = self._wait(process, limits.deadline_seconds)
        if self._cancelled:
            return cancelled()
        ending = Ending.of(runtime, limits, folder, work / "log")
        if not in_time:
            return ending.timeout()
        result = read_json(folder / "result.json")
        if result is None or process.returncode != 0:
            return ending.crash(process.returncode)
        if "error" in result:
            return ending.failure(result["error"]["kind"], result["error"]["message"])
        return {**result, "runtime": runtime}

    def _find_version(self) -> str | Problem:
        """Version of the runtime; asks another Python only once."""
        if self._version is None:
            if self._python == sys.executable:
                try:
                    self._version = metadata.version(self._runtime)
                except metadata.PackageNotFoundError:
                    return no_runtime(f"{self._runtime} is not installed for {self._python}")
            else:
                found = self._ask_version()
                if isinstance(found, Problem):
                    return found
                self._version = found
        return self._version

    def _ask_version(self) -> str | Problem:
        with tempfile.TemporaryDirectory(prefix="harness-") as folder:
            log = Path(folder) / "log"
            try:
                process = self._spawn(["--about", self._runtime], log)
            except OSError as error:
                return no_runtime(f"{self._python} cannot be started: {error.strerror}")
            if process is None:
                return cancelled()
            if not self._wait(process, _ABOUT_SECONDS) or process.returncode != 0:
                return no_runtime(last_line(log) or f"{self._python} does not answer")
            return log.read_text().strip()

    def _spawn(self, arguments: list[str], log: Path) -> subprocess.Popen[bytes] | None:
        """Start a child whose words go to a file; None once cancelled."""
        # One thread computes, and the pools of numpy's BLAS would count against the limit of address space.
        env = {**inherited(), "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
        with self._lock, log.open("wb") as stream:
            if self._cancelled:
                return None
            process = subprocess.Popen(
                [self._python, str(_CHILD), *arguments],
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=stream,
                env=env,
                start_new_session=True,
            )
            self._running.add(process)
            return process

    def _wait(self, process: subprocess.Popen[bytes], seconds: float) -> bool:
        """Whether a child ended by itself within the time; it was killed if not."""
        ended = threading.Event()

        def watch() -> None:
            process.wait()
            ended.set()

        threading.Thread(target=watch, name="harness-golden", daemon=True).start()
        try:
            return self._clock.wait(ended, seconds)
        finally:  # also when this thread is interrupted
            _kill(process)
            self._clock.wait(ended, _DEATH_SECONDS)
            with self._lock:
                self._running.discard(process)


def _kill(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            return  # it ended meanwhile
