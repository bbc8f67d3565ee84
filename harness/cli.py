"""`harness ...`: what is not a test run. The commands themselves are in `harness/commands/`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import NoReturn

from harness import __version__
from harness.commands import baseline, build_runner, doctor, fetch, plan, qualify, report, schema, verify
from harness.errors import UsageError

_COMMANDS = (schema, build_runner, fetch, doctor, plan, report, baseline, qualify, verify)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command. Exit codes: 0 good, 1 the answer is no, 2 interrupted, 4 a mistake in what was typed or a file."""
    parser = _parser()
    options = parser.parse_args(_with_action(sys.argv[1:] if arguments is None else arguments))
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


def _with_action(arguments: Sequence[str]) -> list[str]:
    """`harness report RUN` is short for `harness report show RUN`."""
    first, second = [*arguments, "", ""][:2]
    if first != "report" or second in (*report.ACTIONS, "-h", "--help"):
        return list(arguments)
    return [first, report.ACTIONS[0], *arguments[1:]]


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

    for command in _COMMANDS:
        command.add(commands)
    return parser
