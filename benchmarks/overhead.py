"""Wall time of the harness for N cells of 0.5 s, against the same delegate_bench commands in a bare shell loop.

References are warm, the report is included, and so is pytest's own start. The controller's CPU time has a goal of its
own: 25 ms for each further cell, everything that the pytest process does for it included; what a run costs once (the
CPU time of a run with one cell) is printed beside it.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

from common import ROOT, arguments, conclude, pytest_command, timed
from lab import bare_line, link_job_files, make_lab, newest_matrix

from harness.plan.cell import InputPlan

CPU_GOAL_MS = 25.0
SUITE = """\
version: 1
models: [MODELS/mobilenet_v1.tflite]
delegates:
{delegates}
runs: {{warmup: {{count: 0, min_seconds: 0}}, count: 1, min_seconds: 0.5, max_seconds: 10}}
"""
CPU_TIME = """\
import json, time
def pytest_unconfigure():
    open("cpu.json", "w").write(json.dumps(time.process_time()))
"""


def main() -> None:
    """One harness run and one shell loop over the same cells; both are dominated by the cells' own 0.5 s."""
    count = 40 if arguments(__doc__ or "") else 120
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        delegates = "\n".join(f"  cpu-{number:03}: {{accelerator: cpu}}" for number in range(count))
        make_lab(folder, SUITE.format(delegates=delegates))
        (folder / "conftest.py").write_text(CPU_TIME)
        command = pytest_command("--devices", "devices.yaml", "suites/bench.yaml")
        one = [*command, "-k", "cpu-000"]
        timed(one, folder)  # binary built, references computed, modules compiled
        timed(one, folder)
        start_ms = cpu_ms_of(folder)
        ours = timed(command, folder)
        cell_ms = (cpu_ms_of(folder) - start_ms) / (count - 1)
        cells = newest_matrix(folder)["cells"]
        work = folder / "bare"
        work.mkdir()
        link_job_files(work, ROOT / "models" / "mobilenet_v1.tflite", InputPlan())
        lines = [f"mkdir o{n}\n{bare_line(cell, f'o{n}')} > /dev/null" for n, cell in enumerate(cells)]
        (work / "loop.sh").write_text("set -e\n" + "\n".join(lines) + "\n")
        bare = timed(["sh", "loop.sh"], work)
    print(f"{count} cells: harness {ours:.2f} s, shell loop {bare:.2f} s: ratio {ours / bare:.3f} (goal <= 1.1)")
    print(
        f"controller: {cell_ms:.1f} ms of CPU time for each cell (goal <= {CPU_GOAL_MS:g} ms), {start_ms:.0f} ms once"
    )
    if cell_ms > CPU_GOAL_MS:  # the figure that misses its goal comes last
        conclude("overhead_cpu", cell_ms, CPU_GOAL_MS, "ms")
    conclude("overhead", ours / bare, 1.10)


def cpu_ms_of(folder: Path) -> float:
    """CPU milliseconds of the last pytest process; those of its children are not in it."""
    seconds: float = json.loads((folder / "cpu.json").read_text())
    return seconds * 1000


if __name__ == "__main__":
    main()
