"""`harness report`: print a run, write its files anew, put runs together, show a folder of runs in a browser."""

from __future__ import annotations

import argparse
import contextlib
import sys
from pathlib import Path

from harness.commands import Commands
from harness.errors import UsageError

ACTIONS = ("show", "merge", "serve")
"""What `harness report` can do; `show`, which may be left out, is the first."""


def add(commands: Commands) -> None:
    """Add the command to the program."""
    report = commands.add_parser("report", help="print a run, write its files anew; merge runs; serve a folder of runs")
    actions = report.add_subparsers(title="actions", required=True, metavar="[ACTION]")

    words = "print the matrix of a run (`harness report RUN` does it too)"
    show = actions.add_parser("show", help=words, description=f"{words[0].upper()}{words[1:]}.")
    show.add_argument(
        "run_folder", nargs="?", default="reports/latest", type=Path, metavar="RUN", help="default: %(default)s"
    )
    show.add_argument("--write", action="store_true", help="write every file but matrix.json again")
    show.add_argument(
        "--format",
        choices=("terminal", "markdown", "csv", "json", "openmetrics", "github"),
        default="terminal",
        help="what to print; default: %(default)s",
    )
    show.set_defaults(run=_show)

    merge = actions.add_parser(
        "merge",
        help="put partial runs together: shards, hosts, re-runs",
        description="Make a run of its own out of partial ones. A measured cell wins over one that was not, the newer"
        " of two over the older. Exit code: 0 if the verdict is PASS, 1 if not, 4 if they do not fit together.",
    )
    merge.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="folders of runs, in any order")
    merge.add_argument(
        "--reports",
        type=Path,
        default=Path("reports"),
        metavar="FOLDER",
        help="where the result goes; default: %(default)s",
    )
    merge.set_defaults(run=_merge)

    serve = actions.add_parser(
        "serve",
        help="show a folder of runs, with trends, in a browser of this computer",
        description="Show the runs of a folder, and how each cell developed, at an address that only this computer"
        " reaches. Nothing is written.",
    )
    serve.add_argument(
        "folder", nargs="?", type=Path, default=Path("reports"), metavar="FOLDER", help="default: %(default)s"
    )
    serve.add_argument("--port", type=int, default=8321, help="0 takes a free one; default: %(default)s")
    serve.set_defaults(run=_serve)


def _show(options: argparse.Namespace) -> int:
    import os

    from harness.report import csvfile, github, markdown, matrix, openmetrics, surface, terminal, write

    found = matrix.load(options.run_folder)
    folder = options.run_folder if options.run_folder.is_dir() else options.run_folder.parent
    if options.write:
        for path in write.write_views(found, folder):
            print(path)
        return 0
    match options.format:
        case "markdown":
            text = markdown.render(found)
        case "csv":
            text = csvfile.render(found)
        case "json":
            text = matrix.encode(found).decode()
        case "openmetrics":
            text = openmetrics.render(found)
        case "github":
            text = "\n".join([*github.workflow_commands(found), ""])
        case _:
            text = terminal.render(found, surface.surface_of(sys.stdout, os.environ), folder)
    print(text, end="")
    return 0


def _merge(options: argparse.Namespace) -> int:
    import shlex

    from harness.clock import SystemClock
    from harness.report import merge, merge_files, write

    parts = merge.read(options.runs)
    options.reports.mkdir(parents=True, exist_ok=True)
    run_id = f"{SystemClock().now().strftime('%Y%m%dT%H%M%SZ')}-merged"
    folder = options.reports / run_id
    try:
        folder.mkdir()
    except FileExistsError:
        raise UsageError(f"{folder}: exists already; try again in a second") from None
    command = shlex.join(["harness", "report", "merge", *map(str, options.runs)])
    matrix, origin = merge.merge(parts, run_id, command)
    merge_files.write_files(parts, matrix, origin, folder)
    for path in write.write_all(matrix, folder):
        print(path)
    print(f"{matrix['summary']['verdict']}: {len(matrix['cells'])} cells from {len(parts)} runs")
    return 0 if matrix["summary"]["verdict"] == "PASS" else 1


def _serve(options: argparse.Namespace) -> int:
    from harness.report.serve.server import RunsServer

    with RunsServer(options.folder, options.port) as server:
        print(f"{options.folder}: {server.address} (Ctrl-C ends it)", flush=True)
        with contextlib.suppress(KeyboardInterrupt):
            server.serve_forever()
    return 0
