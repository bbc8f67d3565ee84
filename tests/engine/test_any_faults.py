"""Whatever goes wrong, whenever it does: every planned cell has exactly one result, and the run ends."""

from __future__ import annotations

import random
import threading
from pathlib import Path

import pytest

from harness.devices.base import DeviceError, Job
from harness.plan.cell import ErrorClass
from tests.engine.fake import FakeDevice
from tests.engine.farm import Farm, drain

DELEGATES = "delegates: {one: {accelerator: cpu}, two: {accelerator: cpu, threads: 2}, three: {accelerator: cpu}}\n"
REFERENCES = ("golden", "same_device_cpu", "d0")
GATES = ("gates: {'*': {median_us: 1.0e+9}}\n", "gates: {'*': {speedup: 0.1, median_us: 1.0e+9}}\n")
KINDS = ("crash", "timeout", "unsupported", "model", "memory", "cancelled", "something new")


class Trouble:
    """A seeded schedule of faults, for all devices of a run."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self._lock = threading.Lock()
        self.share = self._random.choice((0.0, 0.2, 0.6))
        self.stop_after = self._random.choice((None, None, 1, 4))
        self.started = 0
        self.stop = threading.Event()

    def __call__(self, device: FakeDevice, job: Job) -> str | None:
        with self._lock:
            self.started += 1
            if self.stop_after is not None and self.started > self.stop_after:
                self.stop.set()
            dice, what = self._random.random(), self._random.randrange(len(KINDS) + 4)
        if dice >= self.share:
            return None
        if what == 0:
            raise ZeroDivisionError("a mistake of ours")
        if what == 1:
            raise OSError(28, "No space left on device")
        if what in (2, 3):
            error_class = (ErrorClass.DEVICE, ErrorClass.HOST)[what - 2]
            raise DeviceError("gone for a moment", device=device.name, error_class=error_class)
        return KINDS[what - 4]


@pytest.mark.parametrize("seed", range(50))
def test_every_cell_has_one_result(seed: int, tmp_path: Path) -> None:
    dice = random.Random(seed)
    trouble = Trouble(seed)
    farm = Farm(tmp_path)
    for number in range(dice.randint(1, 4)):
        machine = dice.choice(["shared", f"m{number}"])
        absent = "no answer" if dice.random() < 0.15 else None
        device = farm.device(f"d{number}", trouble, machine=machine, fails_to_connect=absent)
        if dice.random() < 0.2:
            farm.add(device, None)  # on the controller
    text = f"{DELEGATES}reference: {dice.choice(REFERENCES)}\nadvice: {{speedup: {{over: two}}}}\n"
    run = farm.run("add", "mul", "sub", text=text, rounds=dice.choice((1, 2)), gates=dice.choice(GATES))
    threading.Thread(target=stopper, args=(trouble, run.cancel), daemon=True).start()
    run.start()
    results = drain(run.finished)
    trouble.stop.set()
    matrix = run.matrix(None)
    assert sorted(result.cell.id for result in results) == sorted(cell.id for cell in farm.cells)
    assert matrix["summary"]["planned"] == len(farm.cells)
    for row in matrix["cells"]:
        assert row["outcome"] == "PASS" or row["reason"]
        assert row["outcome"] != "NOT_RUN" or trouble.stop_after is not None or "cancelled" in str(row["reason"])
        assert row["latency"] is not None or row["outcome"] != "PASS"
    written = [(line["cell"], line["round"], line["attempt"]) for line in farm.journal()]
    assert len(set(written)) == len(written)
    reported = [(row["id"], a["round"], a["number"]) for row in matrix["cells"] for a in row["attempts"]]
    assert set(reported) <= set(written), "nothing is reported that a crash would have lost"


def stopper(trouble: Trouble, cancel: object) -> None:
    """Cancel the run when its time has come."""
    trouble.stop.wait(20)
    cancel("stopped by a test")  # type: ignore[operator]
