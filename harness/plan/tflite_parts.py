"""What every reader of a `.tflite` file needs: its bytes, its root, names of tensor types and operations."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from harness.plan.cell import ErrorClass

if TYPE_CHECKING:
    from types import ModuleType

    from ai_edge_litert import schema_py_generated as tfl

SCHEMA_VERSION = 3

# What reading past the end, or reading one thing as another, raises.
DAMAGE = (struct.error, TypeError, IndexError, KeyError, ValueError, AttributeError, OverflowError, MemoryError)


class Refused(Exception):
    """The file cannot be used, for a reason in words that follow its name."""

    def __init__(self, reason: str, error_class: ErrorClass = ErrorClass.MODEL) -> None:
        super().__init__(reason)
        self.error_class = error_class


def read_bytes(path: Path) -> bytes:
    """The content of a file that looks like a model. Raises Refused."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise Refused("is not there") from None
    except IsADirectoryError:
        raise Refused("is a folder, not a model file") from None
    except PermissionError:
        raise Refused("cannot be read: permission denied") from None
    except OSError as error:
        raise Refused(f"cannot be read: {error.strerror}") from None
    if not data:
        raise Refused("is empty")
    if data.startswith(b"version https://git-lfs."):
        raise Refused("is a Git LFS pointer, not the model itself: run `git lfs pull`")
    if len(data) < 8:
        raise Refused(f"has only {len(data)} bytes: truncated, or not a TFLite file")
    if data[4:8] != b"TFL3":
        raise Refused("is not a TFLite file: the identifier TFL3 is missing at byte 4")
    return data


def open_root(schema: ModuleType, data: bytes) -> tfl.Model:
    """The root of a file. Raises Refused for another schema version, and what is in DAMAGE."""
    root: tfl.Model = schema.Model.GetRootAs(data, 0)
    if root.Version() != SCHEMA_VERSION:
        raise Refused(f"has schema version {root.Version()}; this runtime reads version {SCHEMA_VERSION}")
    return root


def checked_count(length: int, data: bytes) -> int:
    """The length of a vector, refused when the file could not hold so many 4-byte elements."""
    if length > len(data) // 4:
        raise Refused("is damaged or truncated: a list in it is longer than the file")
    return length


def text(value: bytes | None) -> str:
    """A string of the file; what is no UTF-8 is replaced."""
    return (value or b"").decode("utf-8", errors="replace")


def dtype_names(schema: ModuleType) -> dict[int, str]:
    """Names of the tensor types by code: "float32", "int8", "string", ..."""
    return {value: name.lower() for name, value in vars(schema.TensorType).items() if isinstance(value, int)}


class OpCode(NamedTuple):
    """An operation of a file. A custom one goes by its own name."""

    name: str
    version: int
    custom: bool


def operator_codes(schema: ModuleType, root: tfl.Model, data: bytes) -> list[OpCode]:
    """The operator codes of a file, in its order."""
    names = {value: name for name, value in vars(schema.BuiltinOperator).items() if isinstance(value, int)}
    codes = []
    for i in range(checked_count(root.OperatorCodesLength(), data)):
        code = root.OperatorCodes(i)
        # Codes above 127 do not fit the older field, which then holds 127.
        number = max(code.BuiltinCode(), code.DeprecatedBuiltinCode())
        name = names.get(number, f"BUILTIN_{number}")
        custom = name == "CUSTOM"
        codes.append(OpCode(text(code.CustomCode()) or name if custom else name, code.Version(), custom))
    return codes
