"""`harness ...`: what is not a test run."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from harness import __version__
from harness.errors import UsageError


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command. Exit codes: 0 good, 1 the answer is no, 4 a mistake in the command line or a file."""
    parser = _parser()
    options = parser.parse_args(arguments)
    try:
        return int(options.run(options))
    except UsageError as error:
        print(f"harness: {error}", file=sys.stderr)
        return 4
    except BrokenPipeError:
        return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="harness",
        description="The device-farm harness beside its test runs; those are: pytest --devices devices.yaml",
    )
    parser.add_argument("--version", action="version", version=f"harness {__version__}")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")

    schema = commands.add_parser("schema", help="print a JSON Schema, for editors and for readers of our files")
    schema.add_argument("file", choices=("devices", "suite", "matrix"))
    schema.set_defaults(run=_schema)

    build = commands.add_parser("build-runner", help="build delegate_bench for a target and print where it is")
    build.add_argument("--target", default=None, help="x86_64-linux, aarch64-linux, aarch64-android, ...")
    build.set_defaults(run=_build_runner)

    report = commands.add_parser("report", help="print the matrix of a run, or write its files anew")
    report.add_argument("run_folder", nargs="?", default="reports/latest", type=Path, metavar="RUN")
    report.add_argument("--write", action="store_true", help="write index.html, matrix.csv and matrix.md again")
    report.set_defaults(run=_report)
    return parser


def _schema(options: argparse.Namespace) -> int:
    if options.file == "devices":
        from harness.lab.spec import json_schema
    elif options.file == "suite":
        from harness.plan.suite import json_schema
    else:
        from harness.report.matrix import json_schema
    print(json.dumps(json_schema(), indent=2))
    return 0


def _build_runner(options: argparse.Namespace) -> int:
    from harness.runners.build import build_runner

    print(build_runner(options.target))
    return 0


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
