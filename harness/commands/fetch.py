"""`harness fetch`: get what phones need into the cache."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from harness.commands import Commands
from harness.errors import UsageError


def add(commands: Commands) -> None:
    """Add the command to the program."""
    fetch = commands.add_parser("fetch", help="get delegate_bench and LiteRT for phones into the cache")
    fetch.add_argument("what", choices=("android",))
    fetch.add_argument("--from", dest="source", default=None, metavar="URL|FOLDER", help="a release's files")
    fetch.add_argument("--aar", default=None, type=Path, metavar="FILE", help="take LiteRT out of this Android archive")
    fetch.add_argument("--runner", default=None, type=Path, metavar="FILE", help="take this delegate_bench")
    fetch.add_argument("--abi", default=[], nargs="+", help="arm64-v8a, ...; default: all there are")
    fetch.add_argument("--yes", action="store_true", help="download without asking")
    fetch.set_defaults(run=_fetch)


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
