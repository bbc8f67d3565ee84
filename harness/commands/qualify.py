"""`harness qualify`: whether a release may rest on a run, as a document to sign and evidence behind it."""

from __future__ import annotations

import argparse
from pathlib import Path

from harness.commands import Commands


def add(commands: Commands) -> None:
    """Add the command to the program."""
    qualify = commands.add_parser(
        "qualify",
        help="decide whether a release may rest on a run; write the document",
        description="Decide whether a release may rest on a run, under the policy of its suite; write the document to"
        " sign and the evidence. Exit code: 0 if it may, 1 if not, 4 for a mistake in the command.",
    )
    qualify.add_argument("run_folder", type=Path, metavar="RUN", help="a run's folder, such as reports/latest")
    qualify.add_argument("--baseline", default=None, metavar="TAG", help="what to compare with: a tag, a run's folder")
    qualify.add_argument(
        "--policy",
        type=Path,
        default=None,
        metavar="SUITE",
        help="file whose `qualification:` holds; default: the run's",
    )
    qualify.add_argument(
        "--reports", type=Path, default=Path("reports"), metavar="FOLDER", help="where tags are; default: %(default)s"
    )
    qualify.add_argument(
        "--out", type=Path, default=None, metavar="FOLDER", help="where to write; default: the run's folder"
    )
    qualify.set_defaults(run=_qualify)


def _qualify(options: argparse.Namespace) -> int:
    from harness.clock import SystemClock, iso
    from harness.errors import UsageError
    from harness.release import decide, evidence, policy
    from harness.report import baselines, matrix

    found = matrix.load(options.run_folder)
    folder = options.run_folder if options.run_folder.is_dir() else options.run_folder.parent
    asked = policy.of_suite(options.policy) if options.policy else policy.of_run(found)
    baseline = matrix.load(baselines.find(options.baseline, options.reports)) if options.baseline else None
    decision = decide.decide(found, asked, iso(SystemClock().now()), baseline)
    try:
        written = evidence.write(decision, folder.resolve(), (options.out or folder).resolve())
    except OSError as error:
        raise UsageError(f"{error.filename or options.out}: {error.strerror}; name another --out") from None
    print("QUALIFIED" if decision.qualifies else f"NOT QUALIFIED ({decision.summary['verdict']})")
    for reason in decision.summary["reasons"]:
        print(f"  {reason}")
    for caution in decision.cautions:
        print(f"  note: {caution}")
    for path in written:
        print(path)
    return 0 if decision.qualifies else 1
