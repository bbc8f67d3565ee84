"""What LiteRT's real GPU accelerator says of a model, asked through delegate_bench in a process of its own."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.plan.cell import InputPlan, ModelRef, Problem
from harness.plan.compatibility.graph import read_graph
from harness.plan.tflite_file import describe
from harness.reference.inputs import make_inputs
from harness.runners.build import build_runner

_BEFORE_COMPILED = ("load_model", "compile")


@dataclass(frozen=True)
class Told:
    """What the accelerator told.

    Attributes:
        compiled: whether the model was compiled for GPU and CPU together.
        gpu: nodes on the GPU; of a crash after the log named them, those.
        total: nodes of the subgraph that is run.
        lines: what the log says of refused operations.
        words: why it was not compiled.
    """

    compiled: bool
    gpu: int
    total: int
    lines: tuple[str, ...]
    words: str

    @property
    def crashed(self) -> bool:
        """Whether a signal ended the process."""
        return self.words.startswith("killed by signal")


def ask(path: Path, driver: Mapping[str, str]) -> Told | None:
    """Compile a model for the GPU, with the CPU for what is left; None for a file that no runner can be given.

    Args:
        path: of the model.
        driver: environment variables under which the runtime finds a GPU.
    """
    model = describe(ModelRef("model", str(path), inputs=InputPlan(samples=1)))
    inputs = make_inputs(model) if model.problem is None else None
    if inputs is None or isinstance(inputs, Problem):
        return None
    with tempfile.TemporaryDirectory() as folder:
        files = [str(file) for sample in inputs.samples for file in sample]
        record = _run(path, files, Path(folder), driver)
    error, gpu, cpu = record.get("error"), record.get("gpu_nodes"), record.get("cpu_nodes")
    compiled = error is None or error["stage"] not in _BEFORE_COMPILED
    total = len(read_graph(path, model.subgraph).nodes)
    everything = total if compiled else 0
    if gpu is not None and cpu is not None and gpu + cpu != total:
        return None  # counted over several subgraphs
    words = str(error["message"]) if error else ""
    return Told(compiled, everything if gpu is None else gpu, total, tuple(record["unsupported_ops"]), words)


def _run(path: Path, inputs: list[str], folder: Path, driver: Mapping[str, str]) -> dict[str, Any]:
    spec = importlib.util.find_spec("ai_edge_litert")
    assert spec is not None
    assert spec.origin is not None
    runtime = Path(spec.origin).parent
    command = [str(build_runner()), "--lib", str(runtime / "libLiteRt.so"), "--accel-dir", str(runtime)]
    command += ["--out", str(folder / "out"), "--run-id", "1", "--model", str(path), "--accelerator", "gpu,cpu"]
    command += [
        "--precision",
        "fp32",
        "--runs",
        "0",
        "--warmup",
        "0",
        "--timeout",
        "100",
        "--memory-limit",
        str(4 << 30),
    ]
    for file in inputs:
        command += ["--input", file]
    subprocess.run(command, env={**os.environ, **driver}, capture_output=True, check=False, timeout=120)
    found: dict[str, Any] = json.loads((folder / "out" / "result.json").read_text())
    return found
