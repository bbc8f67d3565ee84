"""The whole way over a real device, with a script in the tool's place."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.clock import SystemClock
from harness.devices.local import LocalDevice
from harness.engine.tensors import load_samples
from harness.plan.cell import Delegate, Model, ModelRef, TensorSpec
from tests.runners import captured
from tests.runners.real import NoTurns
from tests.runners.told import measured

TOOL = """#!/bin/sh
# Stands for benchmark_model: says what it says, and gives its first input back as its output.
echo "INFO: STARTING!"
for word in "$@"; do
  case $word in
    --output_filepath=*) out=${word#*=} ;;
    --input_layer_value_files=*) in=${word##*:} ;;
    --num_runs=*) runs=${word#*=} ;;
  esac
done
[ -z "$out" ] || cat "$in" > "$out"
echo "INFO: Initialized session in 0.7ms."
echo "INFO: count=0 p5=0 median=0 p95=0"
echo "INFO: count=$runs first=7 curr=7 min=7 max=9 avg=8 std=1 p5=7 median=8 p95=9"
echo "INFO: Inference timings in us: Init: 700, First inference: 0, Warmup (avg): 0, Inference (avg): 8"
"""


@pytest.mark.parametrize("stateful", [False, True])
def test_on_a_real_device_each_sample_comes_back_as_its_own(tmp_path: Path, stateful: bool) -> None:
    spec = TensorSpec(0, "x:0", "uint8", (4,))
    (tmp_path / "m.tflite").write_bytes(b"model")
    model = Model(
        ModelRef("m", str(tmp_path / "m.tflite")), sha256="0" * 64, inputs=(spec,), outputs=(spec,), stateful=stateful
    )
    files = [tmp_path / f"sample{number}" for number in range(3)]
    for number, file in enumerate(files):
        file.write_bytes(bytes([number]) * 4)
    facts = captured.facts_for(model, tuple((file,) for file in files))
    cell = captured.cell_of(model, Delegate("x"))
    runner = captured.runner(tmp_path, TOOL.encode())
    program = runner.binary(captured.TARGET)
    program.chmod(0o755)
    device = LocalDevice("box", SystemClock())
    jobs = runner.jobs(cell, facts)
    assert len(jobs) == (4 if stateful else 3)
    outputs = []
    for number, job in enumerate(jobs):
        folder = tmp_path / f"job{number}"
        folder.mkdir()
        outputs.append(device.execute(job, folder, 30.0, NoTurns()))
    found = measured(runner.report(cell, jobs, facts, outputs))
    assert found.summary is not None
    assert (found.summary["count"], found.first_us) == (20, 7.0)
    assert [array.tolist() for (array,) in load_samples(found.outputs)] == [[0] * 4, [1] * 4, [2] * 4]
