"""Wall time of the harness for N cells of 0.5 s, against the same delegate_bench commands in a bare shell loop.

References are warm, the report is included, and so is pytest's own start. The controller's CPU time per cell is
printed as well and has a goal of its own: 25 ms, everything that the pytest process does included.
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
    count = 44 if arguments(__doc__ or "") else 120
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        delegates = "\n".join(f"  cpu-{number:03}: {{accelerator: cpu}}" for number in range(count))
        make_lab(folder, SUITE.format(delegates=delegates))
        (folder / "conftest.py").write_text(CPU_TIME)
        command = pytest_command("--devices", "devices.yaml", "suites/bench.yaml")
        timed([*command, "-k", "cpu-000"], folder)  # binary built, references computed
        ours = timed(command, folder)
        cpu_ms = json.loads((folder / "cpu.json").read_text()) * 1000 / count
        cells = newest_matrix(folder)["cells"]
        work = folder / "bare"
        work.mkdir()
        link_job_files(work, ROOT / "models" / "mobilenet_v1.tflite", InputPlan())
        lines = [f"mkdir o{n}\n{bare_line(cell, f'o{n}')} > /dev/null" for n, cell in enumerate(cells)]
        (work / "loop.sh").write_text("set -e\n" + "\n".join(lines) + "\n")
        bare = timed(["sh", "loop.sh"], work)
    print(f"{count} cells: harness {ours:.2f} s, shell loop {bare:.2f} s: ratio {ours / bare:.3f} (goal <= 1.1)")
    print(f"controller: {cpu_ms:.1f} ms of CPU time per cell (goal <= {CPU_GOAL_MS:g} ms)")
    if cpu_ms > CPU_GOAL_MS:  # the figure that misses its goal comes last
        conclude("overhead_cpu", cpu_ms, CPU_GOAL_MS, "ms")
    conclude("overhead", ours / bare, 1.10)


if __name__ == "__main__":
    main()
