"""Two small protocol-buffer messages of benchmark_model, decoded from the wire by hand.

Field numbers are those of upstream's benchmark_result.proto and model_runtime_info.proto (proto2). A library for
this would be larger than the code, and unknown fields are skipped as the format demands.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_VARINT_BYTES = 10

Value = int | float | bytes


@dataclass(frozen=True)
class BenchmarkResult:
    """Message BenchmarkResult, in our units: microseconds and bytes; None for what is not set.

    Stored as float32 milliseconds: whole microseconds survive up to 16 s, the mean has seven digits.
    """

    runs: int | None
    mean_us: float | None
    min_us: float | None
    max_us: float | None
    median_us: float | None
    init_us: float | None
    first_us: float | None
    peak_bytes: int | None


@dataclass(frozen=True)
class DelegateNode:
    """A node that stands for nodes that a delegate took over."""

    delegate: str
    replaced: int


@dataclass(frozen=True)
class RuntimeInfo:
    """What message ModelRuntimeDetails says of the subgraph that runs.

    Attributes:
        nodes: of the model, those that delegates took over included.
        delegates: one for each partition.
    """

    nodes: int
    delegates: tuple[DelegateNode, ...]


def benchmark_result(data: bytes) -> BenchmarkResult:
    """Decode a result file. Raises ValueError for bytes that are no such message."""
    message = _fields(data)
    latency = _fields(_message(message, 2))
    memory = _fields(_message(message, 3))
    misc = _fields(_message(message, 4))
    peak = _number(memory, 3)
    runs = _number(misc, 2)
    return BenchmarkResult(
        runs=None if runs is None else int(runs),
        mean_us=_microseconds(latency, 1),
        min_us=_microseconds(latency, 2),
        max_us=_microseconds(latency, 3),
        median_us=_microseconds(latency, 5),
        init_us=_microseconds(latency, 8),
        first_us=_microseconds(latency, 9),
        peak_bytes=round(peak * (1 << 20)) if peak else None,
    )


def runtime_info(data: bytes, subgraph: int = 0) -> RuntimeInfo:
    """Decode a runtime-info file.

    Args:
        data: the file's content.
        subgraph: position of the subgraph that runs; the others are bodies of control flow and other signatures.

    Raises:
        ValueError: bytes that are no such message, or one without that subgraph.
    """
    subgraphs = [_fields(part) for part in _messages(_fields(data), 2)]
    if subgraph >= len(subgraphs):
        raise ValueError(f"no subgraph {subgraph}" if subgraph else "no subgraph")
    nodes = [_fields(part) for part in _messages(subgraphs[subgraph], 3)]
    delegates = []
    for node in nodes:
        for part in _messages(node, 8):
            details = _fields(part)
            name = _message(details, 1).decode("utf-8", "replace")
            delegates.append(DelegateNode(name, len(_integers(details.get(2, [])))))
    return RuntimeInfo(len(nodes) - len(delegates), tuple(delegates))


def _microseconds(fields: dict[int, list[Value]], number: int) -> float | None:
    value = _number(fields, number)
    return None if value is None else value * 1e3


def _number(fields: dict[int, list[Value]], number: int) -> float | None:
    found = fields.get(number)
    if not found:
        return None
    if isinstance(found[-1], bytes):
        raise ValueError(f"field {number} is no number")
    return found[-1]


def _message(fields: dict[int, list[Value]], number: int) -> bytes:
    parts = _messages(fields, number)
    return parts[-1] if parts else b""


def _messages(fields: dict[int, list[Value]], number: int) -> list[bytes]:
    found = []
    for value in fields.get(number, []):
        if not isinstance(value, bytes):
            raise ValueError(f"field {number} is no message")
        found.append(value)
    return found


def _integers(values: list[Value]) -> list[int]:
    """A repeated integer field, packed or not."""
    found = []
    for value in values:
        if isinstance(value, bytes):
            position = 0
            while position < len(value):
                number, position = _varint(value, position)
                found.append(number)
        else:
            found.append(int(value))
    return found


def _fields(data: bytes) -> dict[int, list[Value]]:
    found: dict[int, list[Value]] = {}
    for number, value in _walk(data):
        found.setdefault(number, []).append(value)
    return found


def _walk(data: bytes) -> Iterator[tuple[int, Value]]:
    """Fields of a message in wire order: 32-bit ones as float, since these messages have no others."""
    position = 0
    while position < len(data):
        key, position = _varint(data, position)
        number, kind = key >> 3, key & 7
        value: Value
        if number == 0:
            raise ValueError("field number 0")
        if kind == _VARINT:
            value, position = _varint(data, position)
        else:
            if kind == _BYTES:
                size, position = _varint(data, position)
            elif kind in (_FIXED32, _FIXED64):
                size = 4 if kind == _FIXED32 else 8
            else:
                raise ValueError(f"wire type {kind}")
            value = data[position : position + size]
            if len(value) != size:
                raise ValueError("cut short")
            position += size
            if kind != _BYTES:
                value = float(struct.unpack("<f" if kind == _FIXED32 else "<d", value)[0])
        yield number, value


def _varint(data: bytes, position: int) -> tuple[int, int]:
    value = 0
    for index, byte in enumerate(data[position : position + _VARINT_BYTES]):
        value |= (byte & 0x7F) << (7 * index)
        if byte < 0x80:
            return value, position + index + 1
    raise ValueError("cut short")
