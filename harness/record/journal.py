"""The journal `cells.jsonl`: crash-safe, one line per attempt, the whole plan first."""

from __future__ import annotations

import dataclasses
import json
import os
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

from harness.plan.explained import LocalisationRow
from harness.plan.result import RoundResult

NAME = "cells.jsonl"


class JournalError(Exception):
    """The journal cannot be written; what is not on disk would be lost in a crash, so measuring must stop."""


class Journal:
    """Appends to `<folder>/cells.jsonl`, and returns only when the line is on disk. Used from several threads."""

    def __init__(self, folder: Path) -> None:
        """Open a new journal. Raises JournalError."""
        self._path = folder / NAME
        self._lock = threading.Lock()
        try:
            self._stream: IO[bytes] | None = self._path.open("xb", buffering=0)
        except OSError as error:
            raise JournalError(self._words(error)) from error

    def plan(self, header: Mapping[str, Any]) -> None:
        """The first line: config hashes and the ids of all planned cells. Raises JournalError."""
        self._append({"type": "plan", **header})

    def attempt(self, result: RoundResult) -> None:
        """One line for an attempt at a round. Raises JournalError."""
        self._append({"type": "attempt", **_fields(result)})

    def localisation(self, cell: str, row: LocalisationRow) -> None:
        """One line for what was found about a cell's wrong answer. Raises JournalError."""
        self._append({"type": "localisation", "cell": cell, **row})

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            if self._stream is not None:
                self._stream.close()
                self._stream = None

    def _append(self, entry: Mapping[str, Any]) -> None:
        line = json.dumps(entry, separators=(",", ":"), default=_plain).encode() + b"\n"
        with self._lock:
            if self._stream is None:
                return
            position = self._stream.tell()
            try:
                written = self._stream.write(line)
                if written != len(line):
                    raise OSError(28, os.strerror(28))
                os.fsync(self._stream.fileno())
            except OSError as error:
                self._drop(position)
                raise JournalError(self._words(error)) from error

    def _drop(self, position: int) -> None:
        """Take back a line that was written in part, so that a reader finds whole lines only."""
        if self._stream is None:
            return
        try:
            self._stream.truncate(position)
            self._stream.seek(position)
        except OSError:
            self._stream.close()
            self._stream = None

    def _words(self, error: OSError) -> str:
        return f"the journal {self._path} cannot be written: {error.strerror or error}"


def read(path: Path) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The plan and the attempts of a journal; a last line that a crash cut short is left out.

    Raises:
        ValueError: no journal, or a damaged line before the last one.
    """
    lines = path.read_bytes().split(b"\n")
    entries = []
    for number, line in enumerate(lines, 1):
        if not line:
            continue
        try:
            entries.append(json.loads(line))
        except ValueError:
            if number < len(lines):
                raise ValueError(f"{path}:{number}: damaged line") from None
    if not entries or not isinstance(entries[0], dict) or entries[0].get("type") != "plan":
        raise ValueError(f"{path}: the first line is not a plan")
    return entries[0], [entry for entry in entries[1:] if isinstance(entry, dict) and entry.get("type") == "attempt"]


def _fields(value: Any) -> dict[str, Any]:  # noqa: ANN401 - any dataclass
    """A dataclass's fields as they are: `asdict` would copy thousands of samples one by one."""
    return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}


def _plain(value: object) -> object:
    if dataclasses.is_dataclass(value):
        return _fields(value)
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"{type(value).__name__} has no place in a journal")
