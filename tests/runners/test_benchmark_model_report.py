"""Runs that look fine and are not: fallbacks that nobody announces, and runs that ended early."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.plan.cell import ErrorClass, Fallback, Model, ModelRef, Outcome, TensorSpec
from harness.plan.result import Delegation
from tests.runners.told import (
    NONE,
    OPENCL,
    PART,
    REFUSED,
    REPLACED,
    TIMINGS,
    TWO,
    WARMED,
    WHOLE,
    gpu,
    measured,
    problem,
    reported,
    text,
)

# Silent fallbacks.


def test_a_gpu_run_without_a_word_about_the_gpu_is_no_measurement(tmp_path: Path) -> None:
    found = problem(reported(tmp_path, text(), gpu()))
    assert (found.outcome, found.error_class, found.kind) == (Outcome.ERROR, ErrorClass.RUNNER, "delegation_unknown")


def test_xnnpacks_verdict_says_nothing_about_the_gpu(tmp_path: Path) -> None:
    assert problem(reported(tmp_path, text(WHOLE.replace("GPU", "XNNPACK")), gpu())).kind == "delegation_unknown"


@pytest.mark.parametrize("fallback", ["forbid", "partial"])
def test_no_node_on_the_gpu_is_unsupported(tmp_path: Path, fallback: Fallback) -> None:
    found = problem(reported(tmp_path, text(NONE), gpu(fallback), stderr=REFUSED))
    assert (found.outcome, found.kind) == (Outcome.UNSUPPORTED, "no_node_delegated")
    assert found.unsupported_ops == ("CUMSUM: Operation is not supported.",)
    assert found.reason.endswith("it does not take CUMSUM")


def test_a_part_on_the_cpu_under_forbid(tmp_path: Path) -> None:
    found = problem(reported(tmp_path, text(PART), gpu(), stderr=REFUSED))
    assert (found.outcome, found.kind) == (Outcome.UNSUPPORTED, "not_fully_accelerated")
    assert found.reason == "1 of 3 operations ran on the CPU, which `fallback: forbid` rules out: CUMSUM"


def test_a_part_on_the_cpu_under_partial_is_measured_with_its_split(tmp_path: Path) -> None:
    found = measured(reported(tmp_path, text(PART), gpu("partial"), stderr=f"{OPENCL}\n{REFUSED}")).delegation
    words = PART.removeprefix("INFO: ").removesuffix(".")
    refused = ("CUMSUM: Operation is not supported.",)
    assert found == Delegation(3, 2, 2, True, refused, f"{words}; through OpenCL")


def test_required_full_delegation_that_fails_names_the_operations(tmp_path: Path) -> None:
    log = f"{REFUSED}\nERROR: Disallowed CPU fallback detected.\nERROR: Benchmarking failed."
    found = problem(reported(tmp_path, "INFO: STARTING!", gpu(), stderr=log, code=1))
    assert (found.outcome, found.kind) == (Outcome.UNSUPPORTED, "not_fully_accelerated")
    assert found.reason.endswith(": CUMSUM")


def test_the_backend_that_ran_is_recorded(tmp_path: Path) -> None:
    log = "ERROR: No OpenCL device.\nERROR: Falling back to OpenGL\nINFO: Initialized OpenGL-based API."
    found = measured(reported(tmp_path, text(WHOLE), gpu(), stderr=log))
    assert found.delegation.evidence.endswith("; through OpenGL, after OpenCL had failed")


def test_a_refusal_by_opengl_is_not_laid_on_the_missing_opencl(tmp_path: Path) -> None:
    log = "ERROR: Can not open OpenCL library on this device\nERROR: Falling back to OpenGL\n"
    log += "INFO: Initialized OpenGL-based API.\n"
    refused = f"{log}{REFUSED}\nERROR: Disallowed CPU fallback detected.\nERROR: Benchmarking failed."
    found = problem(reported(tmp_path, "INFO: STARTING!", gpu(), stderr=refused, code=1))
    assert (found.outcome, found.kind) == (Outcome.UNSUPPORTED, "not_fully_accelerated")
    assert found.reason.endswith(": CUMSUM")
    (tmp_path / "run").mkdir()
    broken = f"{log}ERROR: Node number 3 (TfLiteGpuDelegateV2) failed to invoke."
    found = problem(reported(tmp_path / "run", text(WHOLE), gpu(), stderr=broken, code=1))
    assert (found.outcome, found.kind) == (Outcome.ERROR, "run")


def test_nodes_that_the_runtime_took_back_are_no_proof(tmp_path: Path) -> None:
    log = f"{REPLACED.format('TfLiteGpuDelegateV2')}\nERROR: Restored original execution plan after delegate"
    assert problem(reported(tmp_path, text(), gpu("partial"), stderr=log)).kind == "delegation_unknown"


def test_nodes_of_another_signature_are_no_proof(tmp_path: Path) -> None:
    model = Model(ModelRef("m", "m"), nodes=3, outputs=TWO, subgraph=1, signature="b", signatures=("a", "b"))
    first = REPLACED.format("TfLiteGpuDelegateV2")
    assert problem(reported(tmp_path, text(), gpu(), stderr=first, model=model)).kind == "delegation_unknown"
    (tmp_path / "own").mkdir()
    own = first.replace("subgraph 0", "subgraph 1")
    assert measured(reported(tmp_path / "own", text(), gpu(), stderr=own, model=model)).delegation.nodes_total == 3


def test_nodes_of_other_subgraphs_are_not_counted(tmp_path: Path) -> None:
    body = REFUSED.replace("2 operations will", "5 operations will")
    found = measured(reported(tmp_path, text(PART), gpu("partial"), stderr=f"{REFUSED}\n{body}")).delegation
    assert (found.nodes_total, found.nodes_delegated) == (3, 2)
    (tmp_path / "body").mkdir()
    found = measured(reported(tmp_path / "body", text(WHOLE), gpu(), stderr=body)).delegation
    assert (found.nodes_total, found.nodes_delegated) == (3, 3)


def test_another_backend_than_asked_for_is_no_measurement(tmp_path: Path) -> None:
    found = problem(
        reported(tmp_path, text(WHOLE), gpu(backend="opencl"), stderr="INFO: Initialized OpenGL-based API.")
    )
    assert (found.outcome, found.reason) == (Outcome.UNSUPPORTED, "OpenCL was asked for and OpenGL was used")


def test_every_run_has_to_prove_itself(tmp_path: Path) -> None:
    assert problem(reported(tmp_path, [text(WHOLE), text()], gpu(), samples=2)).kind == "delegation_unknown"


def test_the_runtimes_own_line_is_proof_enough(tmp_path: Path) -> None:
    line = REPLACED.format("TfLiteGpuDelegateV2")
    found = measured(reported(tmp_path, text(), gpu(), stderr=line)).delegation
    assert (found.nodes_total, found.nodes_delegated, found.fallback) == (3, 3, False)
    other = REPLACED.format("TfLiteXNNPackDelegate")
    (tmp_path / "other").mkdir()
    assert problem(reported(tmp_path / "other", text(), gpu(), stderr=other)).kind == "delegation_unknown"


def test_a_flag_that_older_builds_lack_is_no_loss(tmp_path: Path) -> None:
    line = "WARN: Unconsumed cmdline flags: --result_file_path=out/result.pb --report_peak_memory_footprint=true"
    found = measured(reported(tmp_path, text(line), program=b"result_file_path\0report_peak_memory_footprint"))
    assert found.summary is not None
    assert found.summary["mean_us"] == 12.5


def test_a_flag_that_matters_is(tmp_path: Path) -> None:
    found = problem(reported(tmp_path, text("WARN: Unconsumed cmdline flags: --gpu_backend=cl", WHOLE), gpu()))
    assert (found.error_class, found.kind) == (ErrorClass.CONFIG, "unknown_flag")
    assert "no flag --gpu_backend" in found.reason


# Runs that ended early.


def test_the_deadline(tmp_path: Path) -> None:
    found = problem(reported(tmp_path, "INFO: STARTING!", code=-9, timed_out=True))
    assert (found.outcome, found.kind) == (Outcome.TIMEOUT, "timeout")


@pytest.mark.parametrize("code", [-11, 139])
def test_a_signal(tmp_path: Path, code: int) -> None:
    found = problem(reported(tmp_path, text(), code=code))
    assert (found.error_class, found.kind, found.signal) == (ErrorClass.RUNNER, "crash", 11)
    assert "SIGSEGV" in found.reason


def test_an_exit_code_that_is_no_signal(tmp_path: Path) -> None:
    found = problem(reported(tmp_path, "INFO: STARTING!", code=255, stderr="adbd: odd"))
    assert (found.kind, found.signal, found.reason) == ("run", None, "benchmark_model failed: adbd: odd")


@pytest.mark.parametrize(
    ("code", "stderr"),
    [
        (-6, 'CANNOT LINK EXECUTABLE "./benchmark_model": library "libx.so" not found: needed by main executable'),
        (134, 'CANNOT LINK EXECUTABLE "./benchmark_model": library "libx.so" not found: needed by main executable'),
        (127, "./benchmark_model: error while loading shared libraries: libx.so: cannot open shared object file"),
        (1, "./benchmark_model: /lib/libc.so.6: version `GLIBC_2.99' not found (required by ./benchmark_model)"),
    ],
)
def test_a_program_that_cannot_be_loaded_names_what_it_lacks(tmp_path: Path, code: int, stderr: str) -> None:
    found = problem(reported(tmp_path, "", gpu(), code=code, stderr=f"WARNING: linker: odd\n{stderr}"))
    assert (found.error_class, found.kind) == (ErrorClass.CONFIG, "unloadable")
    assert stderr in found.reason


def test_full_results_and_exit_code_1(tmp_path: Path) -> None:
    log = "ERROR: gather index out of bounds\nERROR: Node number 0 (GATHER) failed to invoke."
    found = problem(reported(tmp_path, text(), stderr=log, code=1))
    assert (found.kind, found.reason) == ("run", "an inference failed: gather index out of bounds")


@pytest.mark.parametrize("kept", ["INFO: STARTING!", f"INFO: STARTING!\n{WARMED}", text().replace(TIMINGS, "")])
def test_exit_code_0_without_results(tmp_path: Path, kept: str) -> None:
    found = problem(reported(tmp_path, kept))
    assert (found.error_class, found.kind) == (ErrorClass.RUNNER, "broken_result")


def test_a_log_without_its_beginning_may_hide_what_was_ignored(tmp_path: Path) -> None:
    assert "lacks its beginning" in problem(reported(tmp_path, text().removeprefix("INFO: STARTING!\n"))).reason


def test_a_job_that_was_never_done(tmp_path: Path) -> None:
    found = problem(reported(tmp_path, [text()], samples=3))
    assert (found.outcome, found.kind) == (Outcome.TIMEOUT, "timeout")
    assert "the deadline passed after 1 of 3 runs" in found.reason


def test_a_failure_in_a_later_run(tmp_path: Path) -> None:
    found = problem(reported(tmp_path, [text(), text()], samples=3, code=-6, stderr="FATAL: no such file"))
    assert found.reason == "benchmark_model aborted: no such file"


@pytest.mark.parametrize("data", [b"", b"123", b"12345"])
def test_outputs_of_another_size(tmp_path: Path, data: bytes) -> None:
    found = problem(reported(tmp_path, text(), files={"out.bin": data}))
    assert f"wrote {len(data)} bytes of outputs; the model's outputs take 4" in found.reason


def test_who_measured_is_recorded(tmp_path: Path) -> None:
    report = reported(tmp_path, text())
    assert report.runner["name"] == "benchmark_model"
    assert report.runner["context"] == "shell"
    assert str(report.runner["command"]).startswith("benchmark_model --graph=model.tflite ")
    assert len(str(report.runner["sha256"])) == 64


def test_the_runners_record_survives_a_problem(tmp_path: Path) -> None:
    assert reported(tmp_path, "", code=1).runner["sha256"] is not None


def test_another_tensor_at_an_inputs_place(tmp_path: Path) -> None:
    spec = TensorSpec(0, "x", "uint8", (1,))
    model = Model(ModelRef("m", "m"), inputs=(spec,), outputs=TWO)
    warning = "WARN: Tensor # 7 is named y but flags call it x"
    assert problem(reported(tmp_path, text(warning), model=model)).kind == "inputs"


def test_a_signatures_own_names_are_no_mistake(tmp_path: Path) -> None:
    spec = TensorSpec(0, "x", "uint8", (1,))
    model = Model(ModelRef("m", "m"), inputs=(spec,), outputs=TWO, signature="s", signatures=("s",))
    warning = "WARN: Tensor # 7 is named serving_default_x:0 but flags call it x"
    assert measured(reported(tmp_path, text(warning), model=model)).outputs
