"""`harness ...`: what is not a test run."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from harness import __version__
from harness.errors import UsageError


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command. Exit codes: 0 good, 1 the answer is no, 2 interrupted, 4 a mistake in what was typed or a file."""
    parser = _parser()
    options = parser.parse_args(arguments)
    try:
        return int(options.run(options))
    except UsageError as error:
        print(f"harness: {error}", file=sys.stderr)
        return 4
    except BrokenPipeError:
        return 0
    except KeyboardInterrupt:
        print("harness: interrupted", file=sys.stderr)
        return 2


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """As argparse does, but 2 is the exit code of what was interrupted."""
        self.print_usage(sys.stderr)
        self.exit(4, f"{self.prog}: {message}\n")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
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

    fetch = commands.add_parser("fetch", help="get delegate_bench and LiteRT for phones into the cache")
    fetch.add_argument("what", choices=("android",))
    fetch.add_argument("--from", dest="source", default=None, metavar="URL|FOLDER", help="a release's files")
    fetch.add_argument("--aar", default=None, type=Path, metavar="FILE", help="take LiteRT out of this Android archive")
    fetch.add_argument("--runner", default=None, type=Path, metavar="FILE", help="take this delegate_bench")
    fetch.add_argument("--abi", default=[], nargs="+", help="arm64-v8a, ...; default: all there are")
    fetch.add_argument("--yes", action="store_true", help="download without asking")
    fetch.set_defaults(run=_fetch)

    doctor = commands.add_parser("doctor", help="say what a lab lacks before it can measure, and what mends it")
    doctor.add_argument(
        "--devices", metavar="FILE|auto", help="the lab; else devices.yaml, else whatever is plugged in"
    )
    doctor.add_argument("--device", metavar="NAME", help="look at this device alone")
    doctor.add_argument(
        "--record", type=Path, metavar="FILE", help="write a phone's replies, without what names it or its owner"
    )
    doctor.set_defaults(run=_doctor)

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


def _fetch(options: argparse.Namespace) -> int:
    from harness.runners import fetch

    plan = fetch.plan(options.source, options.aar, options.runner, options.abi)
    for line in plan.lines():
        print(line)
    if plan.asks and not options.yes:
        if not sys.stdin.isatty():
            raise UsageError("nothing was downloaded: there is no terminal to ask on; --yes agrees beforehand")
        try:
            answer = input(f"Download {plan.total()}? [y/N] ")
        except EOFError:
            answer = ""
        if answer.strip().lower() not in {"y", "yes"}:
            print("Nothing was downloaded.")
            return 1
    for line in fetch.carry_out(plan):
        print(line)
    return 0


def _doctor(options: argparse.Namespace) -> int:
    import os

    from harness.clock import SystemClock
    from harness.devices.base import DeviceError
    from harness.doctor.examine import Lab, inventory_of
    from harness.doctor.findings import show_end, show_section
    from harness.report.terminal import surface_of

    surface = surface_of(sys.stdout, os.environ)
    sections = []
    try:
        with Lab(inventory_of(options.devices), SystemClock()) as lab:
            if options.record is not None:
                print(lab.record(options.device, options.record))
                return 0
            for section in lab.sections(options.device):
                sections.append(section)
                print(show_section(section, surface), flush=True)
    except DeviceError as error:
        print(f"harness: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 2
    print(show_end(sections, surface), end="")
    return 1 if any(section.missing for section in sections) else 0


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
