"""Every model file that this repository builds, by name."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

from models.builder import blaze, detectors, mobilenets, ops
from models.builder.graph import Graph
from models.builder.op_suite import cases

_OPS_FOLDER = "ops"
_SUITE_FOLDER = "gpu_ops"


def builders() -> dict[str, Callable[[], bytes]]:
    """For each model, "deeplab", "ops/add" or "gpu_ops/add.odd", the function that makes its file's content."""
    made: dict[str, Callable[[], bytes]] = {
        "mobilenet_v1": mobilenets.mobilenet_v1,
        "posenet": mobilenets.posenet,
        "deeplab": mobilenets.deeplab,
        "mobilenet_ssd": detectors.mobilenet_ssd,
        "face_contour": blaze.face_contour,
        "video_segmentation": blaze.video_segmentation,
    }
    for name, graph in {**ops.GPU_OPS, **ops.ODD_OPS}.items():
        made[f"{_OPS_FOLDER}/{name}"] = partial(_pack, graph)
    for name, content in cases.builders().items():
        made[f"{_SUITE_FOLDER}/{name}"] = content
    return made


def path_of(name: str, folder: Path) -> Path:
    """Where the model of this name lies below the models' folder."""
    return folder / f"{name}.tflite"


def _pack(graph: Callable[[], Graph]) -> bytes:
    return graph().to_bytes()
