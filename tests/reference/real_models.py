"""Where the tests find real model files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness.plan.cell import InputPlan, Model, ModelRef
from harness.plan.tflite_file import describe

REPOSITORY = Path(__file__).parents[2]
SHARED = REPOSITORY.parent / "shared" / "models"


def ours(name: str) -> Path:
    """One of the repository's own models, "mobilenet_v1" or "ops/add"."""
    return REPOSITORY / "models" / f"{name}.tflite"


def shared(name: str) -> Path:
    """One of the public models beside the repository; the test is skipped where they are not."""
    path = SHARED / name
    if not path.is_file():
        pytest.skip(f"needs the public model ../shared/models/{name}")
    return path


def read(path: Path, inputs: InputPlan | None = None, signature: str | None = None) -> Model:
    """A model that must be usable."""
    model = describe(ModelRef(path.stem, str(path), signature=signature, inputs=inputs or InputPlan(samples=2)))
    assert model.problem is None, model.problem
    return model


def repacked(source: Path, target: Path, edit: Callable[[Any], None]) -> Path:
    """A copy of a model, changed through the schema's object API."""
    import flatbuffers  # type: ignore[import-untyped]
    from ai_edge_litert import schema_py_generated as schema

    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(source.read_bytes(), 0))
    edit(model)
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    target.write_bytes(builder.Output())
    return target
