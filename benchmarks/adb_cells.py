"""Cells of 5 s on 1, 8 and 64 emulated phones at once: the makespan over the ideal one.

The makespan is that of the run, from its start (nothing is connected) to its end (every cell is judged); ideal is the
longest phone's own run time. The program is a stub that sleeps and replays a real record, so that 64 phones fit one
computer; everything else is real: pytest, engine, adb server, files, results, report. The phones run in a process of
their own and have their files from an earlier run, as a lab's phones do. What they do beside sleeping costs this
computer about 70 ms of CPU time for each cell, and twice as much when they are connected: much of what 64 of them on
two cores take longer than ideal.

Beside it, for each cell after a phone's first: adb services opened (goal 4), and CPU time of the controller (goal
10 ms), everything that the pytest process does for it included; and a hand-written shell script that does the same
cells with `adb push; adb shell; adb pull`, one per phone, all at once.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import tempfile
import time
from datetime import datetime
from pathlib import Path
from typing import Any

from common import arguments, conclude, pytest_command, timed
from lab import bare_line, make_lab, newest_matrix
from phones import Phones
from stub import MODEL, build_stub

from harness.devices.local import host_target

SECONDS = 5
GOAL, SERVICES_GOAL, CPU_GOAL_MS = 1.10, 4.0, 10.0
SUITE = """\
version: 1
models: [{model}]
delegates:
{delegates}
inputs: {{samples: 1}}
advice: {{speedup: {{over: cpu-000}}}}
runs: {{warmup: {{count: 0, min_seconds: 0}}, count: 1, min_seconds: 0}}
"""
SOURCES = """\
runners: {{delegate_bench: {{{target}: {{path: stub}}}}}}
runtimes: {{stub: {{path: runtime}}}}
"""
CPU_TIME = """\
import json, time
def pytest_unconfigure():
    open("cpu.json", "w").write(json.dumps(time.process_time()))
"""


def main() -> None:
    """Labs of growing size, then the script on the smaller ones."""
    quick = arguments(__doc__ or "")
    sizes, cells = ([8], 5) if quick else ([1, 8, 64], 20)
    figures: dict[str, float] = {}
    for count in sizes:
        with tempfile.TemporaryDirectory() as name, Phones(count) as phones:
            figures = measure(Path(name), phones, count, cells, scripted=not quick)
    if figures["services"] > SERVICES_GOAL:  # the figure that misses its goal comes last
        conclude("adb_cells_services", figures["services"], SERVICES_GOAL)
    if figures["cpu"] > CPU_GOAL_MS:
        conclude("adb_cells_cpu", figures["cpu"], CPU_GOAL_MS, "ms")
    conclude("adb_cells", figures["makespan"], GOAL)


def measure(folder: Path, phones: Phones, count: int, cells: int, scripted: bool) -> dict[str, float]:
    """A run of the harness with one cell on each phone, which brings the files, then one with all of them."""
    delegates = "\n".join(f"  cpu-{number:03}: {{accelerator: cpu, runtime: stub}}" for number in range(cells))
    make_lab(folder / "lab", SUITE.format(model=MODEL, delegates=delegates), phones.devices())
    lab = folder / "lab"
    (lab / "conftest.py").write_text(CPU_TIME)
    build_stub(lab / "stub", SECONDS)
    (lab / "runtime").mkdir()
    (lab / "runtime" / "libLiteRt.so").write_bytes(b"the stub loads no runtime")
    devices = lab / "devices.yaml"
    devices.write_text(devices.read_text() + SOURCES.format(target=host_target()))
    command = pytest_command("--devices", "devices.yaml", "suites/bench.yaml")
    one = [*command, "-k", "cpu-000"]
    timed(one, lab, phones.environ)
    opened_before, _ = phones.counts()
    timed(one, lab, phones.environ)
    opened_one, _ = phones.counts()
    cpu_one = cpu_ms_of(lab)
    wall = timed(command, lab, phones.environ)
    opened_all, _ = phones.counts()
    cpu_all = cpu_ms_of(lab)
    matrix = newest_matrix(lab)
    check(matrix, count * cells)
    ideal = float(SECONDS * cells)
    run = matrix["run"]
    makespan = (moment(run["finished"]) - moment(run["started"])).total_seconds()
    more = count * (cells - 1)
    services = ((opened_all - opened_one) - (opened_one - opened_before)) / more
    cpu = (cpu_all - cpu_one) / more
    print(
        f"{count} phones, {cells} cells each: makespan {makespan:.2f} s, ideal {ideal:.2f} s: {makespan / ideal:.3f} ",
        end="",
    )
    print(f"(goal <= {GOAL}); the whole command {wall:.2f} s")
    print(f"  each further cell: {services:.2f} adb services, {cpu:.2f} ms of the controller's CPU time", end="")
    print(f"; a run with one cell on each phone takes {cpu_one:.0f} ms")
    if scripted:
        script_wall, script_cpu = by_hand(lab, phones, matrix)
        print(f"  hand-written script: {script_wall:.2f} s ({wall / script_wall:.3f} x), ", end="")
        print(f"{script_cpu:.2f} ms of CPU time for each cell")
    sys.stdout.flush()
    return {"makespan": makespan / ideal, "services": services, "cpu": cpu}


def moment(text: str) -> datetime:
    """A time of the matrix; Python 3.10 does not read the Z."""
    return datetime.fromisoformat(text.replace("Z", "+00:00"))


def check(matrix: dict[str, Any], planned: int) -> None:
    """No figure is worth anything if the cells were not measured."""
    measured = sum(cell["outcome"] == "PASS" for cell in matrix["cells"])
    if measured != planned:
        reasons = sorted({str(cell["reason"]) for cell in matrix["cells"] if cell["reason"]})
        raise SystemExit(f"{measured} of {planned} cells passed: {'; '.join(reasons[:5])}")


def by_hand(lab: Path, phones: Phones, matrix: dict[str, Any]) -> tuple[float, float]:
    """Wall seconds, and CPU milliseconds for each cell, of one script per phone, all started at once."""
    line = bare_line(matrix["cells"][0], "out")
    cells = len(matrix["cells"]) // len(phones.serials)
    inputs = sorted({word for word in line.split() if word.startswith("inputs/")})
    script = [f"cp {MODEL} model.tflite", "mkdir -p files/inputs files/runtime", "cp model.tflite files"]
    script += ["cp stub files/delegate_bench", "cp runtime/libLiteRt.so files/runtime"]
    script += [f"head -c 576 /dev/zero > files/{path}" for path in inputs]
    subprocess.run(["sh", "-ec", "\n".join(script)], cwd=lab, check=True)
    running = []
    spent = resource.getrusage(resource.RUSAGE_CHILDREN)
    began = time.perf_counter()
    for number, serial in enumerate(phones.serials):
        adb = f"{phones.adb} -s {serial}"
        remote = "/data/local/tmp/by-hand"
        one = f"{adb} push files/. {remote} && {adb} shell 'cd {remote} && mkdir -p out && chmod +x delegate_bench && "
        one += f"{line}' && {adb} pull {remote}/out by-hand-{number}"
        text = "set -e\n" + f"{one}\nrm -r by-hand-{number}\n" * cells
        running.append(
            subprocess.Popen(
                ["sh", "-c", text], cwd=lab, env=phones.environ, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
            )
        )
    for process in running:
        _, said = process.communicate()
        if process.returncode:
            raise SystemExit(f"the hand-written script failed: {said.decode()[-2000:]}")
    wall = time.perf_counter() - began
    now = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = now.ru_utime + now.ru_stime - spent.ru_utime - spent.ru_stime
    return wall, cpu * 1e3 / len(matrix["cells"])


def cpu_ms_of(folder: Path) -> float:
    """CPU milliseconds of the last pytest process; those of its children are not in it."""
    seconds: float = json.loads((folder / "cpu.json").read_text())
    return seconds * 1000


if __name__ == "__main__":
    main()
