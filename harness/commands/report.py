"""`harness report`: print the matrix of a run, or write its files anew."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from harness.commands import Commands


def add(commands: Commands) -> None:
    """Add the command to the program."""
    report = commands.add_parser("report", help="print the matrix of a run, or write its files anew")
    report.add_argument("run_folder", nargs="?", default="reports/latest", type=Path, metavar="RUN")
    report.add_argument("--write", action="store_true", help="write index.html, matrix.csv and matrix.md again")
    report.set_defaults(run=_report)


def _report(options: argparse.Namespace) -> int:
    import os

    from harness.report import matrix, terminal, write

    found = matrix.load(options.run_folder)
    folder = options.run_folder if options.run_folder.is_dir() else options.run_folder.parent
    if options.write:
        for path in write.write_views(found, folder):
            print(path)
        return 0
    print(terminal.render(found, terminal.surface_of(sys.stdout, os.environ), folder), end="")
    return 0
