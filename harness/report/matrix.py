"""`matrix.json`: its schema, how it is read, and how it is written."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, NoReturn

from pydantic import TypeAdapter, ValidationError

from harness.errors import UsageError
from harness.plan.cell import Outcome
from harness.plan.row import SCHEMA_VERSION, CellRow, Matrix
from harness.report.words import counts_text, outcome_counts

FILE_NAME = "matrix.json"
_SHOWN_ERRORS = 3
Encode = Callable[[object], str]


class MatrixError(ValueError):
    """A matrix that must not be written: its sums do not add up, or it holds what JSON cannot."""


@cache
def _adapter() -> TypeAdapter[Matrix]:
    return TypeAdapter(Matrix)


def json_schema() -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of `matrix.json`; unknown fields are allowed."""
    schema = _adapter().json_schema()
    schema["properties"]["schema"]["const"] = SCHEMA_VERSION
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema, "title": "matrix.json of one run"}


def load(path: Path) -> Matrix:
    """Read the matrix of a run; fields that this version does not know are dropped.

    Args:
        path: a run's folder, its `matrix.json`, or `reports/latest` in either of its forms.

    Raises:
        UsageError: there is no such file, or it is not a matrix that this version reads.
    """
    file = _file_of(path)
    try:
        data = file.read_bytes()
    except OSError as error:
        raise UsageError(
            f"{file}: cannot be read ({error.strerror}); expected the folder of a finished run or its {FILE_NAME}"
        ) from None
    _check_version(file, data)
    try:
        return _adapter().validate_json(data, strict=True)
    except ValidationError as error:
        found = error.errors(include_url=False, include_input=False, include_context=False)
        words = "; ".join(f"{_place(item['loc'])}: {item['msg']}" for item in found[:_SHOWN_ERRORS])
        more = f"; and {len(found) - _SHOWN_ERRORS} more" if len(found) > _SHOWN_ERRORS else ""
        raise UsageError(
            f"{file}: is not a {FILE_NAME} of schema {SCHEMA_VERSION}: {words}{more}; write it again from the run"
        ) from None


def _file_of(path: Path) -> Path:
    if path.is_file() and path.name == "latest":  # the stand-in for a symbolic link, see write.point_latest
        path = path.parent / path.read_text(encoding="utf-8", errors="replace").strip()
    return path / FILE_NAME if path.is_dir() else path


def _check_version(file: Path, data: bytes) -> None:
    try:
        document = json.loads(data, parse_constant=_refuse_constant)
    except RecursionError:
        raise UsageError(f"{file}: is nested too deeply for a {FILE_NAME}") from None
    except ValueError as error:  # malformed JSON and malformed UTF-8 both
        raise UsageError(f"{file}: is not JSON ({error}); the file may have been cut short") from None
    if not isinstance(document, dict) or not isinstance(document.get("schema"), int):
        raise UsageError(f"{file}: is not a {FILE_NAME}: expected an object with a number under 'schema'")
    version = document["schema"]
    if version > SCHEMA_VERSION:
        raise UsageError(
            f"{file}: was written by a newer harness (schema {version}; this one reads {SCHEMA_VERSION}): "
            "upgrade this harness to read it"
        )
    if version < SCHEMA_VERSION:
        raise UsageError(f"{file}: schema {version} is not known; this harness reads {SCHEMA_VERSION}")


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON number")


def _place(location: tuple[int | str, ...]) -> str:
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in location)
    return text.lstrip(".") or "document"


def check_sums(matrix: Matrix) -> None:
    """Check that every planned cell has exactly one outcome.

    Raises:
        MatrixError: the outcomes do not add up to `planned`, the rows are not those that were counted, or an
            id occurs twice.
    """
    planned, counts = matrix["summary"]["planned"], outcome_counts(matrix["summary"])
    total = sum(counts.values())
    if total != planned:
        raise MatrixError(f"{planned} cells were planned, but the outcomes add up to {total}: {counts_text(counts)}")
    rows = Counter(row["outcome"] for row in matrix["cells"])
    wrong = [
        f"{outcome.value}: {counts[outcome]} in the summary, {rows[outcome.value]} rows"
        for outcome in Outcome
        if counts[outcome] != rows[outcome.value]
    ]
    unknown = sorted(set(rows) - {outcome.value for outcome in Outcome})
    if wrong or unknown:
        raise MatrixError("the summary does not match the rows: " + "; ".join(wrong + unknown))
    repeated = [cell for cell, times in Counter(row["id"] for row in matrix["cells"]).items() if times > 1]
    if repeated:
        raise MatrixError(f"{len(repeated)} cells have more than one row, {repeated[0]} among them")


def encode(matrix: Matrix) -> bytes:
    """The bytes of `matrix.json`: one line per field of a cell, so that two runs can be told apart with diff.

    Raises:
        MatrixError: a value is NaN, infinite or no JSON type; the message says where.
    """
    text: Encode = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(", ", ": ")).encode
    try:
        parts = [f"{text(key)}: {_value(key, value, text)}" for key, value in matrix.items()]
    except (ValueError, TypeError) as error:
        raise MatrixError(f"{_offender(matrix) or error}: cannot be written as JSON") from None
    # A device may send text that is no Unicode; a "?" there is better than no report.
    return ("{\n" + ",\n".join(parts) + "\n}\n").encode("utf-8", "replace")


def _value(key: str, value: object, text: Encode) -> str:
    """Cells take a line per field, other lists a line per item, everything else a line."""
    if not isinstance(value, list):
        return text(value)
    return _lines([_cell(item, text) if key == "cells" else f"  {text(item)}" for item in value])


def _lines(items: list[str]) -> str:
    return "[\n" + ",\n".join(items) + "\n]" if items else "[]"


def _cell(row: CellRow, text: Encode) -> str:
    return "  {" + ",\n   ".join(f"{text(key)}: {text(value)}" for key, value in row.items()) + "}"


def _offender(value: object, place: str = "") -> str | None:
    """Where the first value that JSON cannot hold is, and what it is."""
    if isinstance(value, dict):
        items: list[tuple[str, object]] = [(f"{place}.{key}".lstrip("."), item) for key, item in value.items()]
    elif isinstance(value, (list, tuple)):
        items = [(f"{place}[{index}]", item) for index, item in enumerate(value)]
    elif isinstance(value, float):
        return None if math.isfinite(value) else f"{place} is {value}"
    else:
        known = value is None or isinstance(value, (str, int))
        return None if known else f"{place} is a {type(value).__name__}"
    return next((found for at, item in items if (found := _offender(item, at))), None)
