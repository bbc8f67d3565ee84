"""`harness baseline`: keep a run under a tag, for later ones to be compared with."""

from __future__ import annotations

import argparse
from pathlib import Path

from harness.commands import Commands


def add(commands: Commands) -> None:
    """Add the command to the program."""
    baseline = commands.add_parser(
        "baseline",
        help="keep a run under a tag, for --baseline TAG; without one, list them",
        description="Keep a copy of a run's matrix.json under a tag, for `pytest --baseline TAG` and `harness qualify"
        " --baseline TAG`. Without a tag, list those that there are.",
    )
    baseline.add_argument("tag", nargs="?", metavar="TAG", help="v2.3, ...")
    baseline.add_argument(
        "run_folder", nargs="?", type=Path, metavar="RUN", help="a run's folder; default: the newest run"
    )
    baseline.add_argument(
        "--reports", type=Path, default=Path("reports"), metavar="FOLDER", help="where tags are; default: %(default)s"
    )
    baseline.add_argument("--replace", action="store_true", help="let the tag mean another run from now on")
    baseline.set_defaults(run=_baseline)


def _baseline(options: argparse.Namespace) -> int:
    from harness.report import baselines, matrix

    if options.tag is None:
        names = baselines.tags(options.reports)
        if not names:
            print(f"no tag yet in {options.reports / baselines.FOLDER}; `harness baseline TAG` keeps the newest run")
        for name in names:
            found = matrix.load(options.reports / baselines.FOLDER / name)
            print(f"{name}  {found['run']['id']}  {found['summary']['verdict']}")
        return 0
    run = options.run_folder or options.reports / "latest"
    print(baselines.tag(options.tag, run, options.reports, replace=options.replace))
    return 0
