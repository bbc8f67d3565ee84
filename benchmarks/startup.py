"""`pytest --devices ... --collect-only` of 10,000 cells, against bare pytest collecting 10,000 parametrised tests."""

from __future__ import annotations

import statistics
import tempfile
from pathlib import Path

from common import ROOT, arguments, conclude, pytest_command, timed

MODELS, DEVICES, DELEGATES = 100, 20, 5


def main() -> None:
    """Interleave the two, take the median of the paired ratios."""
    pairs = 15 if arguments(__doc__ or "") else 40
    with tempfile.TemporaryDirectory() as folder:
        cells = Path(folder) / "cells"
        tests = Path(folder) / "tests"
        write_cells(cells)
        tests.mkdir()
        count = MODELS * DEVICES * DELEGATES
        (tests / "test_bare.py").write_text(
            f"import pytest\n\n@pytest.mark.parametrize('number', range({count}))\ndef test_bare(number):\n    pass\n"
        )
        ours = pytest_command("--collect-only", "-q", "--devices", "devices.yaml", "suites/big.yaml")
        # The bare run does without our plugin, as in an environment that never had it.
        bare = pytest_command("--collect-only", "-q", "-p", "no:harness")
        ratios = []
        for number in range(pairs):
            mine, theirs = timed(ours, cells), timed(bare, tests)
            ratios.append(mine / theirs)
            print(f"pair {number + 1}: {count} cells {mine:.2f} s, {count} bare tests {theirs:.2f} s")
    conclude("startup", statistics.median(ratios), 1.0)


def write_cells(folder: Path) -> None:
    """A lab and a suite of 10,000 cells."""
    (folder / "suites").mkdir(parents=True)
    (folder / "models").mkdir()
    (folder / "pytest.ini").write_text("[pytest]\n")
    source = ROOT / "models" / "ops" / "add.tflite"
    for number in range(MODELS):
        (folder / "models" / f"model_{number:03}.tflite").write_bytes(source.read_bytes())
    devices = "".join(f"  - {{name: device-{number:02}, kind: local}}\n" for number in range(DEVICES))
    (folder / "devices.yaml").write_text(f"version: 1\ndevices:\n{devices}")
    delegates = "".join(f"  cpu-{number}: {{accelerator: cpu, threads: {number + 1}}}\n" for number in range(DELEGATES))
    (folder / "suites" / "big.yaml").write_text(f"version: 1\nmodels: ['model_*']\ndelegates:\n{delegates}")


if __name__ == "__main__":
    main()
