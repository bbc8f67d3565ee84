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
import sys
import tempfile
import threading
from importlib import metadata
from pathlib import Path
from typing import Any

from harness.clock import Clock
from harness.errors import UsageError, nearest
from harness.paths import cache_dir
from harness.plan.cell import GoldenRuntime, Limits, Model, Policy, Problem
from harness.reference.child import RUNTIMES
from harness.reference.failures import Ending, cancelled, last_line, no_runtime
from harness.reference.golden_cache import Golden, publish, read, read_json
from harness.reference.inputs import InputSet
from harness.reference.processes import Processes

__all__ = ["Golden", "GoldenRunner", "GoldenRunners"]

TFLITE_RUNTIME_PYTHON = "HARNESS_TFLITE_RUNTIME_PYTHON"
"""Environment variable: a Python that has tflite-runtime and numpy 1, if this one does not."""

HYBRID_REASON = "dynamic-range model: reference kernels round differently"

_CACHE_FORMAT = 1
_ABOUT_SECONDS = 60.0
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
            if self._cancelled:
                return cancelled()
            runner = self._runners.get(policy.golden_runtime)
            if runner is None:
                python = _python_for(policy.golden_runtime)
                runner = GoldenRunner(self._clock, runtime=policy.golden_runtime, python=python, serve=True)
                self._runners[policy.golden_runtime] = runner
        return runner.compute(model, inputs, policy.limits)

    def cancel(self) -> None:
        """End what is running, and let nothing start any more."""
        with self._lock:
            self._cancelled = True
            for runner in self._runners.values():
                runner.cancel()

    def close(self) -> None:
        """Nothing more is to be computed for now: give back what is kept ready."""
        with self._lock:
            for runner in self._runners.values():
                runner.close()


def _python_for(runtime: GoldenRuntime) -> str:
    """The Python that has a runtime: tflite-runtime usually needs an environment of its own."""
    named = os.environ.get(TFLITE_RUNTIME_PYTHON) if runtime == "tflite-runtime" else None
    return named or sys.executable


class GoldenRunner:
    """Computes golden outputs, each model in a process of its own.

    `compute` may be called from several threads; `cancel` from any other one.
    """

    def __init__(
        self,
        clock: Clock,
        *,
        runtime: GoldenRuntime = "ai-edge-litert",
        python: str = sys.executable,
        serve: bool = False,
    ) -> None:
        """Choose the runtime.

        Args:
            clock: for the deadline.
            runtime: "ai-edge-litert", or the older "tflite-runtime".
            python: the Python (3.10 or later) that has the runtime and numpy; tflite-runtime also needs numpy 1
                and Python 3.11 at most, so usually one of another virtual environment.
            serve: load the runtime once for many models, where that can be done; needs `close`.

        Raises:
            UsageError: there is no such runtime.
        """
        if runtime not in RUNTIMES:
            raise UsageError(f"there is no reference runtime '{runtime}'{nearest(runtime, RUNTIMES)}")
        self._runtime = runtime
        self._python = python
        self._version: str | None = None
        self._processes = Processes(clock, python, served=runtime if serve else None)

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
        self._processes.cancel()

    def close(self) -> None:
        """Nothing more is to be computed for now."""
        self._processes.close()

    def _run(self, request: dict[str, Any], work: Path, runtime: str, limits: Limits) -> dict[str, Any] | Problem:
        """Have a child do a request; its output files are left in `work`/out."""
        folder = work / "out"
        folder.mkdir()
        (work / "request.json").write_text(json.dumps({**request, "folder": str(folder)}))
        end = self._processes.model(work / "request.json", work / "log", limits.deadline_seconds)
        if end is None:
            return cancelled()
        ending = Ending.of(runtime, limits, folder, work / "log")
        if not end.in_time:
            return ending.timeout()
        result = read_json(folder / "result.json")
        if result is None or end.code != 0:
            return ending.crash(end.code)
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
                end = self._processes.run(["--about", self._runtime], log, _ABOUT_SECONDS)
            except OSError as error:
                return no_runtime(f"{self._python} cannot be started: {error.strerror}")
            if end is None:
                return cancelled()
            if not end.in_time or end.code != 0:
                return no_runtime(last_line(log) or f"{self._python} does not answer")
            return log.read_text().strip()
