"""What plain pytest pays for having the harness installed: milliseconds of imports, by `-X importtime`."""

from __future__ import annotations

import os
import re
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from common import arguments, conclude

LINE = re.compile(r"import time:\s+(\d+) \|\s+\d+ \|\s+(\S+)")
HEAVY = {"adbutils", "tidevice", "paramiko", "ai_edge_litert", "numpy", "pydantic", "yaml", "rich", "jinja2"}
PROBE = """
import sys
def pytest_unconfigure():
    print("MODULES", *sys.modules)
"""


def main() -> None:
    """Time the import of the plugin with pytest loaded already; check a real run for heavy modules."""
    runs = 11 if arguments(__doc__ or "") else 31
    extra = modules() - modules("-p", "no:harness")
    heavy = HEAVY & {name.partition(".")[0] for name in extra}
    if heavy:
        sys.exit(f"the plugin imports {', '.join(sorted(heavy))} without being asked to measure")
    print(f"imported because of the plugin: {', '.join(sorted(extra))}")
    conclude("import_cost", statistics.median(import_ms() for _ in range(runs)), 50.0, "ms")


def modules(*options: str) -> set[str]:
    """The modules of a plain pytest run."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "conftest.py").write_text(PROBE)
        (Path(folder) / "test_one.py").write_text("def test_one():\n    pass\n")
        command = [sys.executable, "-m", "pytest", "-s", "-p", "no:cacheprovider", *options]
        answer = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
    line = next(line for line in answer.stdout.splitlines() if line.startswith("MODULES"))
    return set(line.split()[1:])


def import_ms() -> float:
    """Milliseconds of `import harness.plugin` and all it needs, pytest not counted."""
    command = [sys.executable, "-X", "importtime", "-c", "import pytest; import harness.plugin"]
    environ = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    answer = subprocess.run(command, env=environ, capture_output=True, text=True, check=True)
    found = [(match[2], int(match[1])) for match in LINE.finditer(answer.stderr)]
    last = max(index for index, (name, _) in enumerate(found) if name == "pytest")
    ours = found[last + 1 :]
    if not any(name == "harness.plugin" for name, _ in ours):
        sys.exit("the import of harness.plugin was not seen")
    return sum(microseconds for _, microseconds in ours) / 1000


if __name__ == "__main__":
    main()
