"""`harness verify`: whether an evidence bundle is whole, and says what follows from what is in it."""

from __future__ import annotations

import argparse
from pathlib import Path

from harness.commands import Commands

_MOST = 20


def add(commands: Commands) -> None:
    """Add the command to the program."""
    verify = commands.add_parser(
        "verify",
        help="check an evidence bundle: every hash, and that its verdict follows",
        description="Check an evidence bundle without unpacking it. Exit code: 0 if all is right, 1 if something is"
        " wrong, 4 if the file is no bundle.",
    )
    verify.add_argument("bundle", type=Path, metavar="BUNDLE", help="evidence.zip, or the folder that it is in")
    verify.set_defaults(run=_verify)


def _verify(options: argparse.Namespace) -> int:
    from harness.release.verify import verify

    checks = verify(options.bundle)
    for check in checks:
        print(f"{'WRONG' if check.wrong else 'ok   '}  {check.what}")
        for line in check.wrong[:_MOST]:
            print(f"       {line}")
        if len(check.wrong) > _MOST:
            print(f"       and {len(check.wrong) - _MOST} more")
    return 1 if any(check.wrong for check in checks) else 0
