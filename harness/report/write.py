"""Writes the reports of a run into its folder."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from types import MappingProxyType

from harness.paths import write_atomically
from harness.plan.row import Matrix
from harness.report import csvfile, html, markdown, openmetrics
from harness.report import matrix as matrix_file

LATEST = "latest"


def _utf8(render: Callable[[Matrix], str], matrix: Matrix) -> bytes:
    return render(matrix).encode("utf-8", "replace")


_VIEWS: Mapping[str, Callable[[Matrix], bytes]] = MappingProxyType(
    {
        "matrix.csv": partial(_utf8, csvfile.render),
        "matrix.md": partial(_utf8, markdown.render),
        "metrics.prom": partial(_utf8, openmetrics.render),
        "index.html": partial(_utf8, html.render),
    }
)


class ReportError(OSError):
    """Some reports could not be written.

    Attributes:
        written: those that were.
        failures: file and what went wrong.
    """

    def __init__(self, written: list[Path], failures: list[tuple[Path, Exception]]) -> None:
        lines = [f"{path}: {_words(error)}" for path, error in failures]
        kept = ", ".join(path.name for path in written) or "nothing"
        super().__init__(f"could not write {'; '.join(lines)} (written: {kept})")
        self.written = written
        self.failures = failures


def _words(error: Exception) -> str:
    return (isinstance(error, OSError) and error.strerror) or str(error) or type(error).__name__


def write_all(matrix: Matrix, folder: Path) -> list[Path]:
    """Write `matrix.json`, `matrix.csv`, `matrix.md`, `metrics.prom` and `index.html`, each whole or not at all.

    One that fails does not keep the others from being written. The folder is made if absent.

    Returns:
        The files, `matrix.json` first.

    Raises:
        MatrixError: not every planned cell has exactly one outcome; nothing is written.
        ReportError: after all were tried, if any failed.
    """
    return _write(matrix, folder, {matrix_file.FILE_NAME: matrix_file.encode, **_VIEWS})


def write_views(matrix: Matrix, folder: Path) -> list[Path]:
    """Write what `write_all` writes, except `matrix.json`: the views of one that was read, which stays as it is."""
    return _write(matrix, folder, _VIEWS)


def _write(matrix: Matrix, folder: Path, encoders: Mapping[str, Callable[[Matrix], bytes]]) -> list[Path]:
    matrix_file.check_sums(matrix)
    folder.mkdir(parents=True, exist_ok=True)
    written: list[Path] = []
    failures: list[tuple[Path, Exception]] = []
    for name, encoder in encoders.items():
        path = folder / name
        try:
            write_atomically(path, encoder(matrix))
        except Exception as error:
            failures.append((path, error))
        else:
            written.append(path)
    if failures:
        raise ReportError(written, failures) from failures[0][1]
    return written


def point_latest(reports_dir: Path, run_dir: Path) -> Path:
    """Make `latest` in `reports_dir` point at a run, in one step.

    Where symbolic links are not possible `latest` is a text file that holds the run's path.

    Raises:
        OSError: neither can be made, or `latest` is a real folder.
    """
    latest = reports_dir / LATEST
    target = os.path.relpath(run_dir, reports_dir)
    temporary = reports_dir / f".{LATEST}.{os.getpid()}"
    try:
        temporary.unlink(missing_ok=True)
        temporary.symlink_to(target, target_is_directory=True)
    except (OSError, NotImplementedError):
        write_atomically(latest, f"{target}\n".encode())
        return latest
    try:
        temporary.replace(latest)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise
    return latest
