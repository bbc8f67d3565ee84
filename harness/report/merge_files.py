"""The files of a merged run: the artifacts of its rows, and a journal of their attempts."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath

from harness.plan.row import Matrix
from harness.record import journal
from harness.report.merge import Part, own_artifacts


def write_files(parts: Sequence[Part], matrix: Matrix, origin: Mapping[str, Part], folder: Path) -> None:
    """Put the artifacts of the rows, and a journal of their attempts, into the merged run's folder.

    Raises:
        OSError: something cannot be read or written. An artifact that is gone is left out.
    """
    for part in parts:
        source = part.folder if part.folder.is_dir() else part.folder.parent
        for row in part.matrix["cells"]:
            if origin[row["id"]] is part:
                for path in own_artifacts(row["artifacts"]):
                    rest = PurePosixPath(path).relative_to("artifacts")
                    _copy(source / path, folder / "artifacts" / part.id / rest)
    _write_journal(parts, matrix, origin, folder)


def _copy(source: Path, target: Path) -> None:
    if source.is_symlink() or not source.is_file():
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(source, target)  # raw outputs are large
    except OSError:
        shutil.copyfile(source, target)


def _write_journal(parts: Sequence[Part], matrix: Matrix, origin: Mapping[str, Part], folder: Path) -> None:
    plan = {
        "type": "plan",
        "run": matrix["run"],
        "cells": [{"id": row["id"], "role": row["role"]} for row in matrix["cells"]],
    }
    with (folder / journal.NAME).open("w", encoding="utf-8") as stream:
        stream.write(json.dumps(plan) + "\n")
        for part in parts:
            source = part.folder if part.folder.is_dir() else part.folder.parent
            if not (source / journal.NAME).is_file():
                continue
            for attempt in journal.read(source / journal.NAME)[1]:
                if origin.get(attempt["cell"]) is part:
                    stream.write(json.dumps(attempt) + "\n")
