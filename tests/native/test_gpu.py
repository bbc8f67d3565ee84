"""GPU runs: what ran where is proven, and what cannot run there says why."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.native.bench import Array, Bench

PAIR: list[list[Array]] = [[np.zeros(2, np.float32)]]


def test_a_model_wholly_on_the_gpu(bench: Bench, models: Path, gpu: dict[str, str]) -> None:
    model = models / "odd/delegate_compatibility_test.tflite"
    inputs = bench.inputs(model, samples=2)
    expected = bench.run(model, "--runs", "0", inputs=inputs)
    expected.ok()
    reference = [expected.output(0, sample) for sample in range(2)]
    finished = bench.run(model, "--accelerator", "gpu", "--precision", "fp32", "--runs", "3", inputs=inputs, env=gpu)
    record = finished.ok()
    assert record["all_on_accelerator"] is True
    assert record["all_on_accelerator_evidence"]
    assert record["gpu_environment"] is True
    assert record["adapter"]
    assert record["adapter_type"] in record["adapter"]
    assert (record["gpu_nodes"], record["cpu_nodes"], record["unsupported_ops"]) == (None, None, [])
    assert record["cpu_options"] is None
    assert record["gpu_options"].splitlines() == ["precision = 2", "backend = 0", "wait_type = 1"]
    assert all(accelerator["hardware"] == 2 for accelerator in record["accelerators"])
    assert record["outputs_repeatable"] is True
    for sample, array in enumerate(reference):
        np.testing.assert_allclose(finished.output(0, sample), array, rtol=1e-5, atol=1e-5)
    assert reference[0].tobytes() != reference[1].tobytes()


def test_an_operation_left_over_fails_a_run_on_the_gpu_alone(bench: Bench, models: Path, gpu: dict[str, str]) -> None:
    model = models / "odd/fallback_model.tflite"
    finished = bench.run(model, "--accelerator", "gpu", inputs=bench.inputs(model), env=gpu)
    assert (finished.error["kind"], finished.error["exit_code"], finished.error["stage"]) == ("compile", 14, "compile")
    assert finished.error["litert_status_name"] == "Compilation"
    assert [line.partition(":")[0] for line in finished.record["unsupported_ops"]] == ["SCATTER_ND"]
    assert (finished.record["gpu_nodes"], finished.record["cpu_nodes"]) == (1, 1)


def test_a_mixed_run_states_its_split(bench: Bench, models: Path, gpu: dict[str, str]) -> None:
    model = models / "odd/fallback_model.tflite"
    record = bench.run(model, "--accelerator", "gpu,cpu", "--runs", "1", inputs=bench.inputs(model), env=gpu).ok()
    assert (record["gpu_nodes"], record["cpu_nodes"], record["model_ops"]) == (1, 1, 2)
    assert record["all_on_accelerator"] is False
    assert [accelerator["hardware"] for accelerator in record["accelerators"]] == [2, 1]


def test_a_model_that_claims_the_gpu_and_runs_on_the_cpu(bench: Bench, models: Path, gpu: dict[str, str]) -> None:
    model = models / "gpu_bugs/add_5d_claims_full_runs_on_cpu.tflite"
    inputs = bench.inputs(model)
    record = bench.run(model, "--accelerator", "gpu,cpu", "--runs", "1", inputs=inputs, env=gpu).ok()
    assert record["fully_accelerated"] is True, "the runtime's claim, which counts XNNPACK as an accelerator"
    assert record["all_on_accelerator"] is False
    assert (record["gpu_nodes"], record["cpu_nodes"]) == (0, 1)
    assert bench.run(model, "--accelerator", "gpu", inputs=inputs, env=gpu).error["kind"] == "compile"


def test_integer_models_run_on_the_gpu(bench: Bench, models: Path, gpu: dict[str, str]) -> None:
    model = models / "quant/micro_speech_quantized.tflite"
    finished = bench.run(model, "--accelerator", "gpu", "--runs", "1", inputs=bench.inputs(model), env=gpu)
    assert finished.ok()["all_on_accelerator"] is True
    assert finished.output(0).dtype == np.int8


def test_a_driver_crash_keeps_what_was_learnt_before(bench: Bench, models: Path, gpu: dict[str, str]) -> None:
    model = models / "float/yamnet.tflite"
    finished = bench.run(model, "--accelerator", "gpu,cpu", inputs=bench.inputs(model), env=gpu)
    if finished.code == 0:
        pytest.skip("this driver or runtime no longer crashes on yamnet")
    assert (finished.error["kind"], finished.error["signal_name"]) == ("crash", "SIGABRT")
    assert finished.error["stage"] == "compile"
    assert (finished.record["gpu_nodes"], finished.record["cpu_nodes"]) == (37, 10)
    assert len(finished.record["unsupported_ops"]) >= 2
    assert finished.record["adapter"]


def test_no_adapter_is_told_from_a_bad_model(bench: Bench, models: Path, gpu: dict[str, str]) -> None:
    """Both are the same bare failure to the runtime."""
    nothing = {"VK_ICD_FILENAMES": str(bench.folder / "nowhere.json"), "VK_DRIVER_FILES": ""}
    model = models / "odd/delegate_compatibility_test.tflite"
    inputs = bench.inputs(model)
    for accelerator in ("gpu", "gpu,cpu"):
        error = bench.run(model, "--accelerator", accelerator, inputs=inputs, env=nothing).error
        assert (error["kind"], error["exit_code"]) == ("accelerator_unavailable", 13)
    model = models / "quant/person_detect.tflite"  # its quantisation is invalid for every accelerator
    error = bench.run(model, "--accelerator", "gpu", inputs=bench.inputs(model), env=gpu).error
    assert error["kind"] == "compile"


def test_no_accelerator_library(bench: Bench, models: Path) -> None:
    model = models / "odd/delegate_compatibility_test.tflite"
    arguments = ("--accelerator", "gpu", "--accel-dir", str(bench.folder))
    error = bench.run(model, *arguments, inputs=bench.inputs(model)).error
    assert (error["kind"], error["stage"]) == ("accelerator_unavailable", "environment")
    assert str(bench.folder) in error["message"]


@pytest.mark.parametrize(("backend", "served"), [("auto", True), ("opencl", True), ("opengl", True), ("webgpu", False)])
def test_a_backend_that_the_library_does_not_have(faked: Bench, fake_model: Path, backend: str, served: bool) -> None:
    """The runtime would run its own backend without complaint. The library here calls itself OpenCL."""
    finished = faked.run(fake_model, "--accelerator", "gpu", "--backend", backend, inputs=PAIR)
    if served:
        assert finished.ok()["backend"] == backend
    else:
        assert finished.error["kind"] == "accelerator_unavailable"
        assert "GPU OpenCL" in finished.error["message"]


def test_without_an_adapter_only_the_gpu_is_missing(faked: Bench, fake_model: Path) -> None:
    finished = faked.run(fake_model, "--accelerator", "gpu", inputs=PAIR, env={"FAKE_LITERT": "no_adapter"})
    assert finished.error["kind"] == "accelerator_unavailable"
    both = {"FAKE_LITERT": "no_adapter fail_compile"}
    assert faked.run(fake_model, "--accelerator", "gpu", inputs=PAIR, env=both).error["kind"] == "compile"
    none = {"FAKE_LITERT": "cpu_only"}
    error = faked.run(fake_model, "--accelerator", "gpu", inputs=PAIR, env=none).error
    assert (error["kind"], error["stage"]) == ("accelerator_unavailable", "environment")


def test_a_silent_left_over_is_not_taken_for_the_gpu(faked: Bench, fake_model: Path) -> None:
    """A runtime that compiles for the GPU alone, says what it leaves over, and succeeds all the same."""
    finished = faked.run(fake_model, "--accelerator", "gpu", inputs=PAIR, env={"FAKE_LITERT": "left_over"})
    assert (finished.error["kind"], finished.error["exit_code"]) == ("not_fully_accelerated", 18)
    assert finished.record["all_on_accelerator"] is False
    assert finished.record["all_on_accelerator_evidence"] == "log: 5 operations on the GPU, 2 on the CPU"
    assert finished.record["unsupported_ops"] == ["FOO: no", "BAR: never"]


def test_a_crash_after_the_split_was_said(faked: Bench, fake_model: Path) -> None:
    env = {"FAKE_LITERT": "left_over abort_run"}
    finished = faked.run(fake_model, "--accelerator", "gpu,cpu", inputs=PAIR, env=env)
    assert (finished.error["kind"], finished.error["stage"]) == ("crash", "first_run")
    assert (finished.record["gpu_nodes"], finished.record["cpu_nodes"]) == (5, 2)
    assert finished.record["unsupported_ops"] == ["FOO: no", "BAR: never"]
    assert finished.record["accelerators"] == [{"name": "GPU OpenCL", "version": "1.2.3", "hardware": 2}]


def test_choices_that_an_old_runtime_would_ignore(
    faked: Bench, fake_model: Path, fake_runtime: Callable[..., Path]
) -> None:
    """The runtime here is older than 2.2.0, then older than 2.1.5."""
    error = faked.run(fake_model, "--accelerator", "gpu", "--precision", "fp16acc32", inputs=PAIR).error
    assert error["kind"] == "unsupported"
    assert "2.2.0" in error["message"]
    record = faked.run(fake_model, "--kernels", "reference", inputs=PAIR).ok()
    assert record["cpu_options"].splitlines() == ["num_threads = 1", 'kernel_mode = "reference"']
    faked.library = fake_runtime("BEFORE_215")
    error = faked.run(fake_model, "--kernels", "reference", inputs=PAIR).error
    assert error["kind"] == "unsupported"
    assert "reference kernels need LiteRT 2.1.5" in error["message"]
    assert faked.run(fake_model, inputs=PAIR).ok()["cpu_options"] == "num_threads = 1\n"


def test_an_event_left_on_an_output_is_cleared(faked: Bench, fake_model: Path) -> None:
    """OpenCL leaves one after each run, and refuses the next run while it is there."""
    record = faked.run(fake_model, "--accelerator", "gpu", "--runs", "3", inputs=PAIR).ok()
    assert len(record["invoke_us"]) == 3
    drifting = faked.run(fake_model, inputs=PAIR, env={"FAKE_LITERT": "drift"}).ok()
    assert drifting["outputs_repeatable"] is False
