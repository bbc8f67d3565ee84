"""The jobs of some cells on one iPhone, by tidevice's own calls alone: what a person would write by hand.

Started by ios_cells.py, in a process of its own: tidevice keeps files in the home directory. Reads
{"address", "udid", "bundle", "jobs": [{"id", ...}]} from standard input; the jobs' files are on the phone already.
Prints the seconds from the first job's start to the last job's. One connection for files and one for processes serve
all jobs: tidevice's own `app_start` would make the second one anew for each job.
"""

from __future__ import annotations

import json
import sys
import time
import warnings
from typing import Any

import tidevice
from tidevice._instruments import ServiceInstruments
from tidevice._sync import Sync

PAUSE = 0.02


def main() -> None:
    """All jobs, one after the other."""
    warnings.simplefilter("ignore")
    order = json.load(sys.stdin)
    device = tidevice.Device(order["udid"], order["address"])
    files = device.app_sync(order["bundle"])
    processes = device.connect_instruments()
    starts = []
    for job in order["jobs"]:
        starts.append(time.perf_counter())
        one(processes, files, order["bundle"], job)
    print(json.dumps(starts[-1] - starts[0]))


def one(processes: ServiceInstruments, files: Sync, bundle: str, job: dict[str, Any]) -> None:
    """One job: told, started, waited for, its output fetched and cleared away."""
    out = f"/Documents/out/{job['id']}"
    files.remove("/Documents/done")
    files.push_content("/Documents/job.json", json.dumps(job).encode())
    processes.app_launch(bundle, args=["--once", job["id"]])
    while not files.exists("/Documents/done") or files.pull_content("/Documents/done").strip() != job["id"].encode():
        time.sleep(PAUSE)
    fetched = {name: files.pull_content(f"{out}/{name}") for name in files.listdir(out)}
    if json.loads(fetched["result.json"])["status"] != "ok":
        raise SystemExit("a job of the bare loop failed")
    for name in fetched:
        files.remove(f"{out}/{name}")
    files.remove(out)
    files.remove("/Documents/job.json")


if __name__ == "__main__":
    main()
