"""The process in which a model runs for its reference outputs: `python child.py REQUEST.json`.

A model can end the process it runs in, or take all memory; this one is there to be lost. It is a plain script that
needs numpy and the runtime, nothing of the harness, so that another Python (one with the older tflite-runtime, say)
can run it. `python child.py --about RUNTIME` prints the runtime's version instead. `python child.py --serve RUNTIME`
loads the runtime once and then forks a process for each line of its input, {"request": FILE, "log": FILE}; when that
process has ended, a line says its exit code (negative: by that signal).

The request is an object: `runtime`, `kernels` (to try, in this order), `model`, `signature` (or null), `fresh`
(whether each sample gets a new interpreter), `inputs` [{name, dtype, shape}], `samples` [[file, ...], ...], `outputs`
[name, ...], `folder` (for the results), `memory_bytes`, `output_bytes`, `cpu_seconds`.

In the folder it leaves one file per output and sample, `stage` (what it was doing last) and, as its last act,
`result.json`: {"kernels", "fallback_reason", "outputs": [{sample, index, name, dtype, shape, file, bytes}]} or
{"error": {kind, message}}.
"""

from __future__ import annotations

import json
import os
import re
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

RUNTIMES = {"ai-edge-litert": "ai_edge_litert.interpreter", "tflite-runtime": "tflite_runtime.interpreter"}

# What a runtime says when its kernels lack an operation, and what to make of it.
_MISSING = (
    (r"Didn't find op for builtin opcode '(\w+)' version '(\d+)'", "{0} version {1}"),
    (r"Encountered unresolved custom op: ([^\s.]+)", "the custom operation {0}"),
    (r"(?:Select|Regular) TensorFlow op", "TensorFlow (Flex) operations"),
)


class Failure(Exception):
    """The run ended without outputs, for a reason in words."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


class _Run:
    """One request, done with one kind of kernels."""

    def __init__(self, request: dict[str, Any], module: Any, kernels: str) -> None:  # noqa: ANN401 - either runtime
        self._request = request
        self._folder = Path(request["folder"])
        self._module = module
        self._kernels = kernels
        self._interpreter: Any = None
        self._bytes = 0
        self.stage = "load"

    def outputs(self) -> list[dict[str, Any]]:
        """Run every sample; what was written, in order."""
        written = []
        for number, files in enumerate(self._request["samples"]):
            tensors = [_load(file, spec) for file, spec in zip(files, self._request["inputs"], strict=True)]
            if self._interpreter is None or self._request["fresh"]:
                self._load_model()
            for index, array in enumerate(self._invoke(tensors)):
                written.append(self._write(number, index, array))
        return written

    def _enter(self, stage: str) -> None:
        self.stage = stage
        (self._folder / "stage").write_text(f"{stage} {self._kernels}")

    def _load_model(self) -> None:
        self._enter("load")
        resolvers = self._module.OpResolverType
        resolver = resolvers.BUILTIN_REF if self._kernels == "reference" else resolvers.AUTO
        self._interpreter = self._module.Interpreter(
            model_path=self._request["model"], num_threads=1, experimental_op_resolver_type=resolver
        )
        if self._request["signature"] is None:
            details = self._interpreter.get_input_details()
            for detail, spec in zip(details, self._request["inputs"], strict=True):
                if list(detail["shape"]) != spec["shape"]:
                    self._interpreter.resize_tensor_input(detail["index"], spec["shape"])
        self._enter("allocate")
        self._interpreter.allocate_tensors()

    def _invoke(self, tensors: list[Any]) -> list[Any]:
        if self._request["signature"] is not None:
            runner = self._interpreter.get_signature_runner(self._request["signature"])
            names = [spec["name"] for spec in self._request["inputs"]]
            self._enter("run")
            results = runner(**dict(zip(names, tensors, strict=True)))
            return [results[name] for name in self._request["outputs"]]
        for detail, array in zip(self._interpreter.get_input_details(), tensors, strict=True):
            self._interpreter.set_tensor(detail["index"], array)
        self._enter("run")
        self._interpreter.invoke()
        self._enter("read")
        return [self._interpreter.get_tensor(detail["index"]) for detail in self._interpreter.get_output_details()]

    def _write(self, sample: int, index: int, array: Any) -> dict[str, Any]:  # noqa: ANN401 - numpy is not loaded yet
        self._enter("write")
        name = self._request["outputs"][index]
        if array.dtype.kind not in "fiubc" and array.dtype.name != "bfloat16":
            raise Failure("unsupported", f"output '{name or index}' does not hold numbers ({array.dtype.name})")
        self._bytes += array.nbytes
        if self._bytes > self._request["output_bytes"]:
            limit = self._request["output_bytes"]
            raise Failure("output_bytes", f"the outputs of all samples take more than {limit} bytes (`output_bytes:`)")
        file = self._folder / f"s{sample}_o{index}.bin"
        file.write_bytes(array.tobytes())
        return {
            "sample": sample,
            "index": index,
            "name": name,
            "dtype": array.dtype.name,
            "shape": list(array.shape),
            "file": file.name,
            "bytes": array.nbytes,
        }


def _load(file: str, spec: dict[str, Any]) -> Any:  # noqa: ANN401 - numpy is not loaded yet
    import numpy as np

    return np.fromfile(file, np.dtype(spec["dtype"])).reshape(spec["shape"])


def _limit_time(seconds: int) -> None:
    import resource

    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    # So that this process ends even if the one that would kill it is gone.
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))


def _limit_memory(size: int) -> None:
    import resource

    if sys.platform == "linux":  # elsewhere the limit is not enforced, or counts what is merely mapped
        resource.setrlimit(resource.RLIMIT_AS, (size, size))


def _import(runtime: str) -> Any:  # noqa: ANN401 - either runtime
    import importlib

    try:
        import numpy as np

        if runtime == "tflite-runtime" and int(np.__version__.split(".")[0]) > 1:
            raise Failure("runtime", f"tflite-runtime needs numpy 1, and {sys.executable} has numpy {np.__version__}")
        return importlib.import_module(RUNTIMES[runtime])
    except ImportError as error:
        raise Failure("runtime", f"{sys.executable} cannot import {runtime}: {error}") from None


def _lacking(message: str) -> str | None:
    """Which operation the kernels lack, if that is what the runtime says."""
    for pattern, words in _MISSING:
        found = re.search(pattern, message)
        if found:
            return words.format(*found.groups())
    return None


def _attempt(request: dict[str, Any]) -> dict[str, Any]:
    """Run with the first kind of kernels that can."""
    module = _import(request["runtime"])
    # Not earlier: short of memory, the BLAS of some numpy versions tries again for ever while it is loaded.
    _limit_memory(request["memory_bytes"])
    reason = None
    for kernels in request["kernels"]:
        run = _Run(request, module, kernels)
        try:
            return {"kernels": kernels, "fallback_reason": reason, "outputs": run.outputs()}
        except (RuntimeError, ValueError) as error:
            message = " ".join(str(error).split())
            if not message:  # which is all that a failed allocation of the tensors' arena says
                raise Failure("memory", "memory ran out") from error
            lacking = _lacking(message)
            last = kernels == request["kernels"][-1]
            if last and lacking:
                raise Failure("unsupported", f"no kernel for {lacking}") from error
            if last or not (lacking or run.stage in {"load", "allocate"}):
                raise Failure("error", message) from error
            reason = f"{kernels} kernels lack {lacking}" if lacking else f"{kernels} kernels refuse it: {message[:200]}"
    raise Failure("error", "no kernels were asked for")


def _serve(runtime: str) -> int:
    """Run models, each in a fork, until the input ends. Linux: elsewhere what is loaded may not survive a fork."""
    try:
        _import(runtime)
    except Failure:
        return 1  # a process of its own says it in words
    for line in sys.stdin:
        work = json.loads(line)
        pid = os.fork()
        if pid == 0:
            _become(work["log"])
            try:
                code = main([work["request"]])
            except BaseException:  # nothing may return into the loop
                code = 1
            os._exit(code)
        status = os.waitpid(pid, 0)[1]
        sys.stdout.write(f"{os.waitstatus_to_exitcode(status)}\n")
        sys.stdout.flush()
    return 0


def _become(log: str) -> None:
    """Leave the server's pipes to the server."""
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(file, 1)
    os.dup2(file, 2)


def main(arguments: list[str]) -> int:
    """Do what the arguments say; the exit code is 0 whenever there is a result, good or bad."""
    if arguments[0] == "--serve":
        return _serve(arguments[1])
    if arguments[0] == "--about":
        try:
            sys.stdout.write(metadata.version(arguments[1]))
        except metadata.PackageNotFoundError:
            sys.stderr.write(f"{arguments[1]} is not installed for {sys.executable}")
            return 1
        return 0
    request = json.loads(Path(arguments[0]).read_text())
    folder = Path(request["folder"])
    (folder / "stage").write_text("start")
    _limit_time(request["cpu_seconds"])
    try:
        result = _attempt(request)
    except Failure as failure:
        result = {"error": {"kind": failure.kind, "message": str(failure)}}
    except MemoryError:
        result = {"error": {"kind": "memory", "message": "memory ran out"}}
    except Exception as error:  # whatever a runtime raises is told, not printed
        result = {"error": {"kind": "error", "message": f"{type(error).__name__}: {error}"}}
    (folder / "result.part").write_text(json.dumps(result))
    (folder / "result.part").replace(folder / "result.json")
    return 0


if __name__ == "__main__":
    # Run by path, the script's own folder comes first and its modules could be taken for someone else's.
    if sys.path and Path(sys.path[0] or ".").resolve() == Path(__file__).resolve().parent:
        del sys.path[0]
    sys.exit(main(sys.argv[1:]))
