"""Runs that later ones are compared with, kept under a tag: `reports/baselines/<tag>/matrix.json`.

A tag's matrix is a copy: it stays when the run's folder is tidied away. It is never replaced in silence.
"""

from __future__ import annotations

import re
from pathlib import Path

from harness.errors import UsageError, nearest
from harness.paths import write_atomically
from harness.report import matrix as matrix_file
from harness.yamlmodel import NAME

FOLDER = "baselines"


def find(name: str, reports: Path) -> Path:
    """The run that a person means: a tag, a run's id, a run's folder or its matrix.json.

    Args:
        name: as it was typed.
        reports: folder of the reports; tags and run ids are looked up there.

    Raises:
        UsageError: there is none of this name.
    """
    if re.match(NAME, name) and not name.startswith("."):
        for folder in (reports / FOLDER / name, reports / name):
            if (folder / matrix_file.FILE_NAME).is_file() or folder.is_file():
                return folder
    path = Path(name)
    if path.exists():
        return path
    known = [*tags(reports), *(entry.name for entry in _folders(reports) if entry.name != FOLDER)]
    hint = nearest(name, known)
    listed = f"; tags: {', '.join(tags(reports)) or 'none yet'}"
    raise UsageError(
        f"baseline '{name}': no such tag, run or file in {reports}{hint}{listed} (harness baseline TAG RUN)"
    )


def tags(reports: Path) -> list[str]:
    """The tags there are, in alphabetical order."""
    return sorted(entry.name for entry in _folders(reports / FOLDER) if (entry / matrix_file.FILE_NAME).is_file())


def tag(name: str, run: Path, reports: Path, *, replace: bool = False) -> Path:
    """Keep a run's matrix under a tag.

    Returns:
        The file that was written.

    Raises:
        UsageError: the name is none, the tag is taken (and `replace` is false), or the run cannot be read.
    """
    if not re.match(NAME, name) or name.startswith("."):
        raise UsageError(f"tag '{name}': expected letters, digits, '.', '_' and '-'")
    matrix = matrix_file.load(run)
    file = reports / FOLDER / name / matrix_file.FILE_NAME
    if file.exists() and not replace:
        kept = matrix_file.load(file)["run"]["id"]
        raise UsageError(f"tag '{name}' is run {kept} already; --replace makes it {matrix['run']['id']}")
    file.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(file, matrix_file.encode(matrix))
    return file


def _folders(folder: Path) -> list[Path]:
    return [entry for entry in folder.iterdir() if entry.is_dir()] if folder.is_dir() else []
