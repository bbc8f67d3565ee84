"""What GitHub Actions shows of a run: the step summary, and annotations on the workflow's page."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from harness.plan.row import Matrix
from harness.report import figures, markdown, words

MOST = 10
"""Annotations of one step that GitHub keeps, per kind."""
_LEVELS = {"FAIL": "error", "ERROR": "error", "TIMEOUT": "error", "NOT_RUN": "warning"}
_LARGEST_SUMMARY = 1 << 20


def active(environ: Mapping[str, str]) -> bool:
    """Whether this is a step of a GitHub workflow."""
    return environ.get("GITHUB_ACTIONS") == "true"


def workflow_commands(matrix: Matrix) -> list[str]:
    """Annotations, worst first: one per group of cells that are not right for one reason; waived ones warn."""
    lines: list[str] = []
    kept = {"error": 0, "warning": 0}
    for group in words.not_passing(matrix):
        level = "warning" if group.waived else _LEVELS.get(group.outcome)
        if level is None or kept[level] >= MOST:
            continue
        kept[level] += 1
        title = f"{group.outcome}{' (waived)' if group.waived else ''} {words.cell_names(group.rows, 3)}"
        advice = f" Next: {group.advice}." if group.advice else ""
        path = matrix["suite"]["path"]
        file = f"file={_property(os.path.relpath(path))}," if path and Path(path).is_file() else ""
        lines.append(f"::{level} {file}title={_property(title)}::{_data(group.reason.rstrip('.') + '.' + advice)}")
    return lines


def _data(text: str) -> str:
    return figures.plain(text).replace("%", "%25")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")


def write_summary(matrix: Matrix, environ: Mapping[str, str]) -> None:
    """Append the Markdown summary to the step's, if there is room for it.

    Raises:
        OSError: the file that GitHub names cannot be written.
    """
    name = environ.get("GITHUB_STEP_SUMMARY")
    if not name:
        return
    data = markdown.render(matrix).encode("utf-8", "replace")
    with Path(name).open("ab") as stream:
        if stream.tell() + len(data) <= _LARGEST_SUMMARY:
            stream.write(data + b"\n")
