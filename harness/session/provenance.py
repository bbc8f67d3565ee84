"""Where a run comes from, and the folder it goes to."""

from __future__ import annotations

import os
import platform
import shlex
import subprocess
from collections.abc import Sequence
from pathlib import Path

from harness import __version__
from harness.clock import Clock, iso
from harness.errors import UsageError
from harness.plan.row import RunRow
from harness.plan.suite import Suite

_MOST_RUNS_A_SECOND = 100


def new_report_folder(reports: Path, suites: Sequence[Suite], clock: Clock) -> Path:
    """Make `<reports>/<UTC time>-<suite>`. Raises UsageError when that is not possible."""
    stamp = clock.now().strftime("%Y%m%dT%H%M%SZ")
    name = f"{stamp}-{'+'.join(suite.name for suite in suites)}"[:100]
    try:
        reports.mkdir(parents=True, exist_ok=True)
        for number in range(1, _MOST_RUNS_A_SECOND):
            folder = reports / (name if number == 1 else f"{name}-{number}")
            try:
                folder.mkdir()
            except FileExistsError:
                continue
            if not os.access(folder, os.W_OK):
                raise UsageError(f"the report folder {folder} is not writable; name another with --reports")
            return folder
    except OSError as error:
        raise UsageError(
            f"the report folder {reports} cannot be used: {error.strerror}; make it writable or name another with "
            "--reports"
        ) from None
    raise UsageError(f"{reports} holds too many runs of this second")


def run_row(run_id: str, suites: Sequence[Suite], clock: Clock, root: Path, arguments: Sequence[str]) -> RunRow:
    """The run's row, with `finished` still open; `arguments` are pytest's."""
    profiles = dict.fromkeys(suite.policy.profile for suite in suites)
    return {
        "id": run_id,
        "started": iso(clock.now()),
        "finished": None,
        "command": shlex.join(["pytest", *map(str, arguments)]),
        "harness_version": __version__,
        "git": _git(root),
        "host": platform.node(),
        "profile": "+".join(profiles),
    }


def _git(root: Path) -> str | None:
    """Commit of the project that is measured, with "-dirty" when files differ from it; None outside git."""
    try:
        answer = subprocess.run(
            ["git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"],
            cwd=root,
            capture_output=True,
            text=True,
            timeout=10,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return answer.stdout.strip() or None
