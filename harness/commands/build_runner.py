"""`harness build-runner`: build delegate_bench for a target."""

from __future__ import annotations

import argparse

from harness.commands import Commands


def add(commands: Commands) -> None:
    """Add the command to the program."""
    build = commands.add_parser("build-runner", help="build delegate_bench for a target and print where it is")
    build.add_argument("--target", default=None, help="x86_64-linux, aarch64-linux, aarch64-android, ...")
    build.set_defaults(run=_build_runner)


def _build_runner(options: argparse.Namespace) -> int:
    from harness.runners.build import build_runner

    print(build_runner(options.target))
    return 0
