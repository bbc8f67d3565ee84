#!/usr/bin/env python3
"""Runs every model file of a folder tree through the harness, one warm-up and three runs each, on CPU and GPU.

    python models/sweep.py ../shared/models --devices devices.yaml [PYTEST OPTIONS]

It writes a suite for all files that suites/real_models.yaml does not name (`--all`: for all), and runs it. Made for
looking at: a sweep has no expected outcome; read its report.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SUFFIXES = (".tflite", ".bin")
SUITE = """\
# Written by models/sweep.py.
version: 1
models:
{models}
delegates:
  cpu: {{accelerator: cpu}}
  gpu: {{accelerator: gpu, precision: fp32}}
  gpu-partial: {{accelerator: gpu, precision: fp32, fallback: partial}}
runs: {{warmup: {{count: 1, min_seconds: 0}}, count: 3, min_seconds: 0}}
inputs: {{samples: 2}}
limits: {{memory: 2GiB, deadline: 120s}}
"""


def main() -> int:
    """Write the suite, run pytest on it; the exit code is pytest's."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="searched for .tflite and .bin files")
    parser.add_argument("--devices", required=True, help="a devices file, or auto")
    parser.add_argument("--all", action="store_true", help="also the models of suites/real_models.yaml")
    options, rest = parser.parse_known_args()
    known = "" if options.all else (ROOT / "suites" / "real_models.yaml").read_text()
    files = sorted(path for path in options.folder.resolve().rglob("*") if path.suffix in SUFFIXES)
    chosen = [path for path in files if f"/{path.name}" not in known]
    if not chosen:
        sys.exit(f"no model files in {options.folder}")
    suite = ROOT / "reports" / "suites" / "sweep.yaml"
    suite.parent.mkdir(parents=True, exist_ok=True)
    suite.write_text(SUITE.format(models="\n".join(f"  - {path}" for path in chosen)))
    print(f"{len(chosen)} of {len(files)} files: {suite.relative_to(ROOT)}", flush=True)
    command = [sys.executable, "-m", "pytest", f"--devices={options.devices}", str(suite), *rest]
    return subprocess.run(command, cwd=ROOT, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
