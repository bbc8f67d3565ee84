"""Models changed in one respect: a type, a version, a rank. Most no longer fit a GPU; many no longer fit the CPU."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import flatbuffers  # type: ignore[import-untyped]
from ai_edge_litert import schema_py_generated as schema

_DTYPES = ("bool", "int16", "int32", "int64", "uint8")
_VERSIONS = (2, 3, 5)
_RANK = 5


def mutants(path: Path) -> Iterator[tuple[str, bytes]]:
    """Changed copies of a model, with their names.

    The computed float32 tensors get another type, or dimensions of size 1 in front; the operations another version.
    """
    for dtype in _DTYPES:
        model, computed = _opened(path)
        floats = [tensor for tensor in computed if tensor.type == schema.TensorType.FLOAT32]
        for tensor in floats:
            tensor.type = getattr(schema.TensorType, dtype.upper())
        if floats:
            yield f"{path.stem}.{dtype}", _packed(model)
    for version in _VERSIONS:
        model, _ = _opened(path)
        for code in model.operatorCodes:
            code.version = version
        yield f"{path.stem}.v{version}", _packed(model)
    model, computed = _opened(path)
    for tensor in computed:
        tensor.shape = [1] * (_RANK - len(tensor.shape)) + list(tensor.shape)
        tensor.shapeSignature = None
    yield f"{path.stem}.rank{_RANK}", _packed(model)


def _opened(path: Path) -> tuple[Any, list[Any]]:
    """A model through the schema's object API, and the computed tensors of its first subgraph."""
    model = schema.ModelT.InitFromPackedBuf(path.read_bytes(), 0)
    tensors = model.subgraphs[0].tensors
    return model, [tensor for tensor in tensors if not _held(model.buffers[tensor.buffer].data)]


def _held(data: Any) -> bool:
    return data is not None and len(data) > 0


def _packed(model: Any) -> bytes:
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())
