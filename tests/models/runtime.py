"""The repository's models, and what runtimes answer when they run them."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from numpy.typing import NDArray

Array = NDArray[Any]

MODELS = Path(__file__).parents[2] / "models"
STAND_INS = ("mobilenet_v1", "posenet", "deeplab", "mobilenet_ssd", "face_contour", "video_segmentation")
SUITE = "gpu_ops/"
"""What names of the op suite's models begin with; there are hundreds, which have tests of their own."""
SQUARE = 16
"""Side in pixels of the squares that random pictures are made of."""


def path_of(name: str) -> Path:
    return MODELS / f"{name}.tflite"


def unpacked(data: bytes) -> Any:
    """A model file as the schema's objects."""
    return schema.ModelT.InitFromPackedBuf(data, 0)


def random_inputs(path: Path, samples: int = 2) -> list[list[Array]]:
    """Values that differ from sample to sample: in [-1, 1] for floats, small integers for the others.

    Pictures are coarse squares with some noise: like photographs, and unlike white noise, no two look alike from afar.
    """
    graph = unpacked(path.read_bytes()).subgraphs[0]
    drawn = []
    for sample in range(samples):
        random = np.random.RandomState(sample)
        values: list[Array] = []
        for index in graph.inputs:
            tensor = graph.tensors[index]
            if tensor.type == schema.TensorType.FLOAT32:
                fine = random.uniform(-1.0, 1.0, tensor.shape)
                if len(tensor.shape) == 4 and min(tensor.shape[1:3]) >= 2 * SQUARE:
                    _, height, width, channels = tensor.shape
                    squares = random.uniform(-1.0, 1.0, (1, -(-height // SQUARE), -(-width // SQUARE), channels))
                    coarse = squares.repeat(SQUARE, axis=1).repeat(SQUARE, axis=2)[:, :height, :width]
                    fine = 0.8 * coarse + 0.2 * fine
                values.append(fine.astype(np.float32))
            else:
                dtype = {schema.TensorType.INT8: "int8", schema.TensorType.UINT8: "uint8"}.get(tensor.type, "int32")
                values.append(random.randint(0, 100, tensor.shape).astype(dtype))
        drawn.append(values)
    return drawn


@dataclass
class Answers:
    """Outputs by model, kernels and sample; or why there are none."""

    outputs: dict[tuple[str, str, int], list[Array]] = field(default_factory=dict)
    errors: dict[tuple[str, str], str] = field(default_factory=dict)

    def of(self, name: str, kernels: str = "xnnpack", sample: int = 0) -> list[Array]:
        assert (name, kernels) not in self.errors, self.errors[name, kernels]
        return self.outputs[name, kernels, sample]


def run(
    folder: Path, models: Mapping[str, Path], inputs: Mapping[str, Sequence[Sequence[Array]]], kernels: Sequence[str]
) -> Answers:
    """Run models with each set of kernels ("xnnpack", "ref", "gpu"), all in one child process."""
    names = list(models)
    given = {
        f"{kind}/{names.index(name)}/{sample}/{index}": value
        for kind in kernels
        for name in names
        for sample, values in enumerate(inputs[name])
        for index, value in enumerate(values)
    }
    np.savez(folder / "inputs.npz", **given)  # type: ignore[arg-type]
    command = [sys.executable, str(Path(__file__).with_name("child.py"))]
    files = [folder / "inputs.npz", folder / "outputs.npz", *models.values()]
    done = subprocess.run([*command, *map(str, files)], capture_output=True, text=True, timeout=200, check=False)
    assert done.returncode == 0, done.stderr
    answers = Answers()
    with np.load(folder / "outputs.npz") as arrays:
        for key in arrays.files:
            kind, position, *rest = key.split("/")
            name = names[int(position)]
            if rest == ["error"]:
                answers.errors[name, kind] = str(arrays[key])
            else:
                answers.outputs.setdefault((name, kind, int(rest[0])), []).append(arrays[key])
    return answers


def error_of_range(measured: Array, reference: Array) -> float:
    """Largest difference, relative to the range of the reference (to 1 if it has one value only)."""
    span = float(np.ptp(reference)) or 1.0
    return float(np.max(np.abs(measured.astype(np.float64) - reference.astype(np.float64)))) / span
