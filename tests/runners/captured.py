"""Captured runs of the real benchmark_model, as if a device had brought them back."""

from __future__ import annotations

import shlex
import shutil
from pathlib import Path
from typing import NamedTuple

import pytest

from harness.devices.base import Job, JobOutput
from harness.lab.spec import BinarySource
from harness.plan.cell import Accelerator, Cell, Delegate, Fallback, Model, ModelRef, Policy, Runs, TensorSpec
from harness.reference.inputs import InputSet
from harness.runners.base import JobFacts, RunnerReport
from harness.runners.benchmark_model import BenchmarkModel
from harness.runners.binaries import UPSTREAM, Binaries
from tests.conftest import ROOT

SAMPLES = ROOT.parent / "shared" / "samples" / "benchmark_model"
TARGET = "x86_64-linux"


class Tensors(NamedTuple):
    """A model of the captured runs: inputs, outputs, nodes (0: not known here)."""

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    nodes: int = 0


def _specs(*tensors: tuple[str, str, tuple[int, ...]], dynamic: bool = False) -> tuple[TensorSpec, ...]:
    return tuple(TensorSpec(i, name, dtype, shape, dynamic) for i, (name, dtype, shape) in enumerate(tensors))


_MOBILENET = Tensors(
    _specs(("serving_default_image:0", "float32", (1, 224, 224, 3))), _specs(("scores", "float32", (1, 1000))), 31
)
_PAIR = _specs(("a", "float32", (1, 8)), ("b", "float32", (1, 8)))
MODELS = {
    "mobilenet_v1": _MOBILENET,
    "mobilenet_v1_he": _MOBILENET,
    "blazeface": Tensors(
        _specs(("normalized_input_image_tensor", "float32", (1, 224, 128, 3))),
        _specs(("regressors", "float32", (1, 564, 16)), ("classificators", "float32", (1, 564, 1))),
    ),
    "reverse_signature_model": Tensors(
        _specs(("serving_default_y:0", "float32", (1, 8)), ("serving_default_x:0", "float32", (1, 8))), _PAIR
    ),
    "noncommutative_2in_2out": Tensors(_specs(("x", "float32", (1, 8)), ("y", "float32", (1, 8))), _PAIR),
    "gather_string": Tensors(
        _specs(("input", "string", (10,)), ("indices", "int64", (3,))), _specs(("output", "string", (3,)))
    ),
    "simple_add_dynamic_shape": Tensors(
        _specs(("arg0", "float32", (1, 128, 4)), ("arg1", "float32", (1, 128, 4)), dynamic=True),
        _specs(("sum", "float32", (1, 128, 4)), dynamic=True),
    ),
    "multi_signatures": Tensors(_specs(("x", "float32", (1,))), _specs(("output_0", "float32", (1,)))),
}


def names() -> list[str]:
    """All captured runs; none where they are not beside the repository."""
    return sorted(path.name for path in SAMPLES.iterdir()) if SAMPLES.is_dir() else []


def need_samples() -> None:
    """Skip the test where the captured runs are not."""
    if not SAMPLES.is_dir():
        pytest.skip("needs the captured runs in ../shared/samples/benchmark_model")


def stream(name: str, which: str = "stdout") -> str:
    """A stream of a captured run."""
    need_samples()
    return (SAMPLES / name / which).read_text()


def command(name: str) -> list[str]:
    """The words of a captured run's command line."""
    return shlex.split((SAMPLES / name / "cmd").read_text())


def runner(folder: Path, content: bytes = b"no program") -> BenchmarkModel:
    """A runner whose program is a file of this content."""
    program = folder / "program"
    program.write_bytes(content)
    return BenchmarkModel(Binaries({UPSTREAM: {TARGET: BinarySource(path=str(program))}}))


def cell_of(model: Model, delegate: Delegate, count: int = 20) -> Cell:
    """A cell for a model."""
    return Cell("s", "d", model.ref, delegate, Policy(runs=Runs(count=count)))


def model_of(words: list[str]) -> Model:
    """The model that a command line names."""
    graph = next((word.partition("=")[2] for word in words if word.startswith("--graph=")), "none")
    name = Path(graph).stem
    tensors = MODELS.get(name, Tensors((), ()))
    return Model(ModelRef(name, graph), inputs=tensors.inputs, outputs=tensors.outputs, nodes=tensors.nodes)


def facts_for(model: Model, samples: tuple[tuple[Path, ...], ...] = ((),)) -> JobFacts:
    """What a runner needs for a model."""
    return JobFacts(model, InputSet("", model.inputs, samples), None, TARGET, 60.0)


def report(name: str, folder: Path, fallback: Fallback = "forbid", **stdout_edit: str) -> RunnerReport:
    """What the runner makes of a captured run.

    Args:
        name: of the run.
        folder: a new one, for the copy.
        fallback: of the GPU delegate.
        stdout_edit: "old" and "new": a part of stdout that is replaced.
    """
    need_samples()
    words = command(name)
    out = folder / "out"
    out.mkdir()
    for file in (SAMPLES / name).iterdir():
        if file.name not in ("cmd", "exit", "stdout", "stderr"):
            shutil.copy(file, out / file.name)
    kind: Accelerator = "gpu" if "--use_gpu=true" in words else "cpu"
    delegate = Delegate("x", accelerator=kind, fallback=fallback)
    model = model_of(words)
    stdout = stream(name)
    if stdout_edit:
        assert stdout_edit["old"] in stdout
        stdout = stdout.replace(stdout_edit["old"], stdout_edit["new"])
    code = int((SAMPLES / name / "exit").read_text())
    output = JobOutput(out, code, stdout, stream(name, "stderr"), 1.0, 0)
    job = Job("1", (), tuple(words))
    return runner(folder).report(cell_of(model, delegate), [job], facts_for(model), [output])
