"""What all benchmarks share: the last line, and small helpers."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def arguments(text: str) -> bool:
    """Parse the command line; whether `--quick` was given."""
    parser = argparse.ArgumentParser(description=text)
    parser.add_argument("--quick", action="store_true", help="under 50 s on two cores")
    return bool(parser.parse_args().quick)


def conclude(name: str, figure: float, limit: float, unit: str = "", *, failed: bool = False) -> None:
    """Print the last line and exit: 0 if the figure is at most the limit, and nothing else failed, else 1."""
    shown = f" {unit}" if unit else ""
    print(f"{name}: {figure:.3f}{shown} (goal <= {limit:g}{shown})")
    sys.exit(0 if figure <= limit and not failed else 1)


def timed(command: Sequence[str], cwd: Path, env: Mapping[str, str] | None = None, expect: int = 0) -> float:
    """Wall seconds of a command; shows its output and stops the benchmark when it ends otherwise than expected."""
    # Compiled modules are cached, as they are for users; the first run of a benchmark fills the cache.
    environ = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    began = time.perf_counter()
    answer = subprocess.run(
        command, cwd=cwd, env={**environ, **(env or {})}, capture_output=True, text=True, check=False
    )
    seconds = time.perf_counter() - began
    if answer.returncode != expect:
        print(answer.stdout[-4000:], answer.stderr[-4000:], sep="\n")
        sys.exit(f"exit code {answer.returncode} instead of {expect}: {' '.join(command)}")
    return seconds


def pytest_command(*options: str) -> list[str]:
    """A pytest run in this Python, without cache files."""
    return [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *options]
