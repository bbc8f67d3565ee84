"""Where a qualification policy comes from: the suite that ran, as it was then, or a suite's file."""

from __future__ import annotations

from pathlib import Path

from pydantic import ValidationError

from harness.errors import UsageError
from harness.plan.load import load_suite
from harness.plan.qualification import Qualification
from harness.plan.row import Matrix
from harness.release.decide import Policy


def of_run(matrix: Matrix) -> Policy:
    """The policy that a run's suite had.

    Raises:
        UsageError: it had none, or several suites ran with different ones.
    """
    suites = [suite for suite in matrix.get("suites") or [matrix["suite"]] if suite.get("qualification")]
    if not suites:
        raise UsageError("the run's suite has no section `qualification:`; name a suite that has one with --policy")
    if any(suite["qualification"] != suites[0]["qualification"] for suite in suites):
        raise UsageError("the run's suites have different sections `qualification:`; name one suite with --policy")
    try:
        asks = Qualification.model_validate(suites[0]["qualification"])
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(map(str, first["loc"]))
        raise UsageError(
            f"the run's policy cannot be read: {place}: {first['msg']}; name a suite with --policy"
        ) from None
    return Policy(asks, suites[0]["path"] or "the run's suite", suites[0]["sha256"])


def of_suite(path: Path) -> Policy:
    """The policy in a suite's file. Raises UsageError: the file is wrong, or has none."""
    suite = load_suite(path)
    if suite.qualification is None:
        raise UsageError(f"{path}: has no section `qualification:`; docs/release.md shows one")
    return Policy(suite.qualification, str(path), suite.sha256)
