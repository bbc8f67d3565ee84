"""A stand-in for upstream's benchmark app (litert-samples, `benchmark/ios`) on an emulated iPhone.

It behaves as that app's README says: flags of LiteRT's benchmark_model as launch arguments, or, opened by a person,
from Documents/benchmark_params.json; benchmark.log with both streams, the files that the flags ask for, and last
benchmark.done with the exit status. Its log says what it is. Its times are real: it runs the model with the installed
LiteRT. A program of its own, so it needs nothing of this project.
"""

from __future__ import annotations

import json
import math
import os
import resource
import signal
import struct
import sys
import time
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

DOCUMENTS = Path(os.environ.get("HOME", ".")) / "Documents"
LOG, DONE, PARAMETERS = "benchmark.log", "benchmark.done", "benchmark_params.json"
PATHS = ("graph", "result_file_path", "model_runtime_info_output_file", "profiling_output_csv_file")
DEFAULTS = {
    "graph": "",
    "signature_to_run_for": "",
    "num_threads": "-1",
    "num_runs": "50",
    "min_secs": "1",
    "max_secs": "150",
    "warmup_runs": "1",
    "warmup_min_secs": "0.5",
    "use_cpu": "true",
    "use_gpu": "false",
    "gpu_backend": "",
    "gpu-precision": "auto",
    "require_full_delegation": "false",
    "report_peak_memory_footprint": "false",
    "result_file_path": "",
    "model_runtime_info_output_file": "",
}
"""The flags that it knows, with their values where none is given."""

_LINGER = 1.0  # as the app does, so that whoever reads its output gets all of it
_KERNEL = "LITERT_WEBGPU"


class FailedError(Exception):
    """The run ends with exit status 1."""


class Timer:
    """Times of one stretch of runs, in whole microseconds."""

    def __init__(self, run: Callable[[], None], count: int, min_seconds: float, max_seconds: float) -> None:
        """Run until both `count` and `min_seconds` are reached, or `max_seconds` are over."""
        self.times: list[int] = []
        began = time.perf_counter()
        while True:
            now = time.perf_counter() - began
            if (len(self.times) >= count and now >= min_seconds) or now > max_seconds:
                return
            before = time.perf_counter_ns()
            run()
            self.times.append((time.perf_counter_ns() - before) // 1000)

    @property
    def mean(self) -> float:
        """Of all runs; 0 without one."""
        return sum(self.times) / len(self.times) if self.times else 0.0

    @property
    def deviation(self) -> float:
        """Of the whole population."""
        return math.sqrt(sum((one - self.mean) ** 2 for one in self.times) / max(1, len(self.times)))

    def percentile(self, percent: int) -> int:
        """An element of the sorted times, nothing between two."""
        return sorted(self.times)[len(self.times) * percent // 100] if self.times else 0

    def line(self) -> str:
        """The statistics as the tool prints them."""
        parts = [f"count={len(self.times)}"]
        if self.times and min(self.times) == max(self.times):
            parts.append(f"curr={self.times[0]}{'(all same)' if len(self.times) > 1 else ''}")
        elif self.times:
            parts += [f"first={self.times[0]}", f"curr={self.times[-1]}", f"min={min(self.times)}"]
            parts += [f"max={max(self.times)}", f"avg={self.mean:g}", f"std={int(self.deviation)}"]
        named = (("p5", 5), ("median", 50), ("p95", 95))
        return " ".join(parts + [f"{name}={self.percentile(percent)}" for name, percent in named])


def main() -> int:
    """The app: one run, with all that is said in the log."""
    flags = [word for word in sys.argv[1:] if word.startswith("--")]
    launched = bool(flags)
    (DOCUMENTS / DONE).unlink(missing_ok=True)
    console = os.dup(1)
    log = os.open(DOCUMENTS / LOG, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND, 0o644)
    os.dup2(log, 1)
    os.dup2(log, 2)
    say(f"this is a stand-in for upstream's app on an emulated iPhone; it runs LiteRT {version('ai-edge-litert')}")
    if not launched:
        flags = parameters()
    status = run(flags)
    os.write(console, (DOCUMENTS / LOG).read_bytes())
    partial = DOCUMENTS / f"{DONE}.part"
    partial.write_text(f"{status}\n", encoding="utf-8")
    partial.rename(DOCUMENTS / DONE)
    if launched:
        time.sleep(_LINGER)
        return status
    while True:  # a person looks at the results until the app is closed
        signal.pause()


def parameters() -> list[str]:
    """Flags from the file that takes the place of launch arguments."""
    try:
        given = json.loads((DOCUMENTS / PARAMETERS).read_bytes())
    except (OSError, ValueError):
        return []
    return [f"--{name}={value}" for name, value in given.items()] if isinstance(given, dict) else []


def run(flags: Sequence[str]) -> int:
    """The tool: its exit status."""
    values = dict(DEFAULTS)
    unknown = []
    seen = set()
    for flag in flags:
        name, given, value = flag.removeprefix("--").partition("=")
        if not given or name not in DEFAULTS or name in seen:  # of two, the first counts
            unknown.append(flag)
            continue
        seen.add(name)
        values[name] = str(DOCUMENTS / value) if name in PATHS and value else value
    say("STARTING!")
    if unknown:
        say(f"Unconsumed cmdline flags: {' '.join(unknown)}", "WARN")
    try:
        measure(values)
    except FailedError as error:
        say(str(error), "ERROR")
        say("Benchmarking failed.", "ERROR")
        return 1
    return 0


def measure(values: dict[str, str]) -> None:
    """Compile, warm up, measure, write. Raises FailedError."""
    if not Path(values["graph"]).is_file():
        raise FailedError(f"Could not open '{values['graph']}'.")
    whole = values["require_full_delegation"] == "true"
    if whole and values["use_cpu"] == "true":
        say("Requesting full delegation and CPU acceleration are incompatible.", "FATAL")
        os.abort()  # as the tool does: nothing writes the done marker then
    try:
        limit = float(values["max_secs"])
        invoke, init_us = compiled(values)
        say(f"Initialized session in {init_us / 1e3:g}ms.")
        warmup = Timer(invoke, int(values["warmup_runs"]), float(values["warmup_min_secs"]), limit)
        say(f"{warmup.line()}\n")
        timed = Timer(invoke, int(values["num_runs"]), float(values["min_secs"]), limit)
        say(f"{timed.line()}\n")
    except (RuntimeError, ValueError, TypeError) as error:
        raise FailedError(str(error).strip().replace("\n", " ") or "the runtime does not say why") from None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024  # MB; Linux counts in kB
    peak = peak if values["report_peak_memory_footprint"] == "true" else 0.0
    report(init_us, warmup, timed, peak)
    if values["result_file_path"]:
        Path(values["result_file_path"]).write_bytes(result_message(init_us, warmup, timed, peak))
    if values["model_runtime_info_output_file"] and values["use_gpu"] == "true" and values["use_cpu"] == "false":
        nodes = node_count(Path(values["graph"]))  # compiled for the GPU alone: it has them all, or there is no model
        Path(values["model_runtime_info_output_file"]).write_bytes(info_message(nodes))


def compiled(values: dict[str, str]) -> tuple[Callable[[], None], float]:
    """One invocation of the compiled model, on random inputs; and the microseconds that compiling took."""
    import numpy as np
    from ai_edge_litert.compiled_model import CompiledModel
    from ai_edge_litert.cpu_options import CpuOptions
    from ai_edge_litert.gpu_options import GpuOptions
    from ai_edge_litert.hardware_accelerator import HardwareAccelerator
    from ai_edge_litert.options import Options

    wanted = [name for name in ("cpu", "gpu") if values[f"use_{name}"] == "true"]
    accelerators = {"cpu": HardwareAccelerator.CPU, "gpu": HardwareAccelerator.GPU}
    chosen: Any = accelerators[wanted[0]] if wanted else HardwareAccelerator.CPU
    for name in wanted[1:]:
        chosen |= accelerators[name]
    options = Options(
        hardware_accelerators=chosen,
        cpu_options=CpuOptions(num_threads=max(1, int(values["num_threads"]))),
        gpu_options=GpuOptions(enforce_f32=values["gpu-precision"] == "fp32", benchmark_mode=True),
    )
    began = time.perf_counter()
    model = CompiledModel.from_file(values["graph"], options=options)
    seconds = time.perf_counter() - began
    signature = values["signature_to_run_for"]
    index = model.get_signature_index(signature) if signature else 0
    inputs, outputs = model.create_input_buffers(index), model.create_output_buffers(index)
    random = np.random.default_rng(5489)
    for buffer in inputs:
        details = buffer.get_tensor_details()
        shape, kind = details["shape"], np.dtype(details["dtype"])
        if np.issubdtype(kind, np.floating):
            buffer.write(random.uniform(-0.5, 0.5, shape).astype(kind))
        else:
            buffer.write(random.integers(0, 100 if kind.itemsize > 1 else 2, shape).astype(kind))
    return lambda: model.run_by_index(index, inputs, outputs), seconds * 1e6


def report(init_us: float, warmup: Timer, timed: Timer, peak_mb: float) -> None:
    """The block of results, which this flavour writes to standard error."""
    lines = [
        "========== BENCHMARK RESULTS ==========",
        f"Model initialization: {init_us / 1e3:.2f} ms",
        f"Warmup (first):       {(warmup.times or [0])[0] / 1e3:.2f} ms",
        f"Warmup (avg):         {warmup.mean / 1e3:.2f} ms ({len(warmup.times)} runs)",
        f"Inference (avg):      {timed.mean / 1e3:.2f} ms ({len(timed.times)} runs)",
        f"Peak memory:          {peak_mb:.2f} MB" if peak_mb else "Peak memory usage not available.",
    ]
    for line in lines:
        say(f"[benchmark_litert_model.h:1] {line}")


def result_message(init_us: float, warmup: Timer, timed: Timer, peak_mb: float) -> bytes:
    """Message BenchmarkResult: milliseconds and MB, as float32."""
    milliseconds = {
        1: timed.mean, 2: min(timed.times), 3: max(timed.times), 4: timed.deviation, 5: timed.percentile(50),
        6: timed.percentile(5), 7: timed.percentile(95), 8: init_us, 9: (warmup.times or [0])[0], 10: warmup.mean,
    }  # fmt: skip
    latency = b"".join(_float(number, value / 1e3) for number, value in milliseconds.items())
    memory = _float(3, peak_mb) if peak_mb else b""
    misc = _integer(2, len(timed.times)) + _integer(3, len(warmup.times))
    return _bytes(2, latency) + _bytes(3, memory) + _bytes(4, misc)


def info_message(nodes: int) -> bytes:
    """Message ModelRuntimeDetails of a graph whose nodes one kernel of the GPU has all taken over."""
    replaced = b"".join(_varint(number) for number in range(nodes))
    kernel = _integer(1, nodes) + _bytes(8, _bytes(1, _KERNEL.encode()) + _bytes(2, replaced))
    graph = b"".join(_bytes(3, _integer(1, number)) for number in range(nodes)) + _bytes(3, kernel)
    return _bytes(2, graph)


def node_count(model: Path) -> int:
    """Nodes of a model's first subgraph."""
    from ai_edge_litert import schema_py_generated as schema

    return int(schema.Model.GetRootAs(model.read_bytes()).Subgraphs(0).OperatorsLength())


def say(text: str, severity: str = "INFO") -> None:
    """A line in the log, in its place among those that the runtime itself writes."""
    os.write(2 if severity in ("ERROR", "FATAL") else 1, f"{severity}: {text}\n".encode())


def _varint(value: int) -> bytes:
    low, rest = value & 0x7F, value >> 7
    return bytes([low | 0x80]) + _varint(rest) if rest else bytes([low])


def _integer(number: int, value: int) -> bytes:
    return _varint(number << 3) + _varint(value)


def _float(number: int, value: float) -> bytes:
    return _varint(number << 3 | 5) + struct.pack("<f", value)


def _bytes(number: int, value: bytes) -> bytes:
    return _varint(number << 3 | 2) + _varint(len(value)) + value


if __name__ == "__main__":
    sys.exit(main())
