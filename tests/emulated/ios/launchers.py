"""Tools that start apps, as a person would start them: pymobiledevice3 and go-ios, each a process of its own."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from typing_extensions import Self

from emulated.ios.lab import IosLab
from tests.ios_tools import go_ios, pymobiledevice3

SECONDS = 120


@dataclass(frozen=True)
class Launcher:
    """A tool whose words differ by command."""

    argv: Sequence[str]
    environ: Mapping[str, str]

    @classmethod
    def pymobiledevice3(cls, lab: IosLab, home: Path, *group: str) -> Self:
        """`group`: the group of commands, `developer dvt` by default. Its errors are unfolded lines."""
        plain = {"COLUMNS": "1000", "NO_COLOR": "1", "_TYPER_STANDARD_TRACEBACK": "1"}
        words = group or ("developer", "dvt")
        return cls([pymobiledevice3(), *words], {**lab.environ, "HOME": str(home), **plain})

    @classmethod
    def go_ios(cls, lab: IosLab, home: Path) -> Self:
        return cls([go_ios()], {**lab.environ, "HOME": str(home)})

    def __call__(self, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*self.argv, *words],
            env=dict(self.environ),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )
