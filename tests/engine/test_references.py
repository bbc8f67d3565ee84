"""What GPU cells are compared with, and that nobody waits for what will not come. Fake outputs are zeros: all wrong."""

from __future__ import annotations

import mmap
import threading
from pathlib import Path

import numpy as np

from harness.devices.base import Job
from harness.engine.tensors import MAPPED, load_samples
from harness.plan.result import OutputFile
from harness.plan.row import CellRow
from tests.engine.fake import FakeDevice, option
from tests.engine.farm import Farm, finish, outcomes, rows, until, wait

BOTH = "delegates: {gpu: {accelerator: gpu}, cpu: {accelerator: cpu}}\n"


def references(row: CellRow) -> list[tuple[str, str | None, bool]]:
    """Kind and device of each reference, and whether it judges."""
    return [(one["reference"]["kind"], one["reference"]["device"], one.get("judged", True)) for one in row["accuracy"]]


def test_golden_judges_and_the_same_devices_cpu_explains(farm: Farm) -> None:
    farm.device("one")
    found = rows(finish(farm.run("add", text=BOTH)))
    assert references(found["add[one:gpu]"]) == [("golden", None, True), ("same_device_cpu", "one", False)]
    assert references(found["add[one:cpu]"]) == [("golden", None, True)]
    diagnosis = found["add[one:gpu]"]["diagnosis"]
    assert diagnosis is not None
    assert diagnosis["delegate_max_abs_of_range"] == 0.0


def test_the_same_devices_cpu_judges_and_golden_explains(farm: Farm) -> None:
    farm.device("one")
    found = rows(finish(farm.run("add", text=f"{BOTH}reference: same_device_cpu\n")))
    assert references(found["add[one:gpu]"]) == [("same_device_cpu", "one", True), ("golden", None, False)]
    assert references(found["add[one:cpu]"]) == [("golden", None, True)]


def test_another_device_judges_gpu_cells_and_both_others_explain(farm: Farm) -> None:
    farm.device("one")
    farm.device("two")
    found = rows(finish(farm.run("add", text=f"{BOTH}reference: one\n")))
    assert references(found["add[two:gpu]"]) == [
        ("device", "one", True),
        ("golden", None, False),
        ("same_device_cpu", "two", False),
    ]
    assert references(found["add[one:gpu]"]) == [("device", "one", True), ("golden", None, False)]


def test_only_the_reference_that_judges_is_held_against_gates(farm: Farm) -> None:
    farm.device("one")
    gates = "gates: {'*': {max_abs_of_range: 1.0e-6}}\n"
    found = rows(finish(farm.run("add", text=f"{BOTH}reference: same_device_cpu\n", gates=gates)))
    gpu, cpu = found["add[one:gpu]"], found["add[one:cpu]"]
    assert gpu["outcome"] == "PASS", "it agrees with the CPU, however wrong both are by golden"
    assert cpu["outcome"] == "FAIL"
    assert cpu["diagnosis"] is not None
    assert cpu["diagnosis"]["kind"] == "model"


def test_a_model_that_is_wrong_on_both_is_not_the_delegates_fault(farm: Farm) -> None:
    farm.device("one")
    found = rows(finish(farm.run("add", text=BOTH, gates="gates: {'*': {max_abs_of_range: 1.0e-6}}\n")))
    gpu = found["add[one:gpu]"]
    assert gpu["outcome"] == "FAIL"
    assert gpu["diagnosis"] is not None
    assert gpu["diagnosis"]["kind"] == "model"
    assert "is all zeros" in gpu["hints"][0]
    assert gpu["reason"] is not None
    assert gpu["reason"].endswith(gpu["hints"][0])


def test_a_gpu_cell_waits_for_its_cpu_cell(farm: Farm) -> None:
    go = threading.Event()

    def act(device: FakeDevice, job: Job) -> None:
        if option(job, "--accelerator") == "cpu":
            wait(go)

    farm.device("one", act)
    run = farm.run("add", text=BOTH)
    run.start()
    until(lambda: len(farm.journal()) == 1)
    assert run.finished.empty()
    go.set()
    assert set(outcomes(run.matrix(None)).values()) == {"PASS"}


def test_a_cpu_cell_that_fails_keeps_nobody_waiting(farm: Farm) -> None:
    def act(device: FakeDevice, job: Job) -> str | None:
        return "crash" if option(job, "--accelerator") == "cpu" else None

    farm.device("one", act)
    found = rows(finish(farm.run("add", text=BOTH)))
    assert found["add[one:cpu]"]["outcome"] == "ERROR"
    assert references(found["add[one:gpu]"]) == [("golden", None, True)]
    assert found["add[one:gpu]"]["diagnosis"] is None


def test_without_a_cpu_delegate_there_is_golden_alone(farm: Farm) -> None:
    farm.device("one")
    found = rows(finish(farm.run("add", text="delegates: {gpu: {accelerator: gpu}}\n")))
    assert references(found["add[one:gpu]"]) == [("golden", None, True)]


def test_large_outputs_are_mapped(tmp_path: Path) -> None:
    values = np.arange(MAPPED // 4 + 1, dtype=np.float32)
    path = tmp_path / "o.bin"
    path.write_bytes(values.tobytes())
    file = OutputFile(0, 0, "", "float32", (1, values.size), str(path), values.nbytes)
    ((loaded,),) = load_samples([file])
    base: object = loaded
    while isinstance(base, np.ndarray):
        base = base.base
    assert isinstance(base, mmap.mmap)
    assert np.array_equal(loaded[0], values)
