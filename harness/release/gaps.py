"""What is missing in a run as a whole before a release may rest on it."""

from __future__ import annotations

from harness.plan.qualification import Qualification
from harness.plan.row import Matrix, SuiteRow
from harness.release.countable import moment

_PROFILES = ("quick", "nightly", "release")


def gaps(matrix: Matrix, asks: Qualification, baseline: Matrix | None) -> list[str]:
    """What keeps a run from carrying a release, in words.

    Args:
        matrix: the run, its cells compared with the baseline.
        asks: the policy.
        baseline: the earlier run; None without one.
    """
    run = matrix["run"]
    found = []
    if run["finished"] is None:
        found.append("the run did not finish")
    lowest = min((_rank(one) for one in run["profile"].split("+")), default=0)
    if lowest < _rank(asks.profile):
        found.append(f"profile {run['profile']} measures less than profile {asks.profile}, which is required")
    if baseline is not None:
        found += _no_baseline_for(matrix, baseline)
    elif asks.baseline == "required":
        found.append("there is no baseline to compare with (--baseline TAG)")
    for suite in matrix.get("suites") or [matrix["suite"]]:
        found += _deselected(matrix, suite)
    known = {model["name"] for model in matrix["models"]}
    found += [f"model {name} is pinned, but not in the run" for name in asks.pins.models if name not in known]
    return found


def _no_baseline_for(matrix: Matrix, baseline: Matrix) -> list[str]:
    """Why a baseline is none for this run."""
    run, before = matrix["run"], baseline["run"]
    if before["id"] in (run["id"], *run.get("merged", ())):
        return [f"the baseline {before['id']} is this run itself"]
    if moment(before["started"]) > moment(run["started"]):
        return [f"the baseline {before['id']} is newer than the run"]
    compared = [row["regression"] for row in matrix["cells"] if row["role"] == "cell" and row["regression"]]
    if all(one["verdict"] == "NEW" for one in compared):
        return [f"the baseline {before['id']} has none of this run's cells"]
    return []


def _rank(profile: str) -> int:
    return _PROFILES.index(profile) if profile in _PROFILES else 0


def _deselected(matrix: Matrix, suite: SuiteRow) -> list[str]:
    """Cells of the suite that were not even planned, by `-k` or `-m` say."""
    name = suite.get("name") or suite["path"] or "without a name"
    if not suite.get("cells"):
        return [f"it is not recorded how many cells suite {name} has"]
    planned: dict[str, int] = {}
    prefix = f"{suite.get('name', '')}::"
    for row in matrix["cells"]:
        if row["role"] == "cell" and row["id"].startswith(prefix):
            planned[row["device"]] = planned.get(row["device"], 0) + 1
    missing = {name: count - planned.get(name, 0) for name, count in suite["cells"].items()}
    lacking = sum(count for count in missing.values() if count > 0)
    left_out = "1 cell" if lacking == 1 else f"{lacking} cells"
    return [f"{left_out} of suite {name} {'was' if lacking == 1 else 'were'} left out of the run"] if lacking else []
