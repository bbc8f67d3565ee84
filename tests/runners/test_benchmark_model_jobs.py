"""The command lines that a cell becomes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from harness.devices.base import Job, JobPath
from harness.errors import UsageError
from harness.lab.spec import IOS_TARGET
from harness.plan.cell import Delegate, Limits, Model, ModelRef, Policy, Runs, TensorSpec
from harness.runners.base import JobFacts
from harness.runners.benchmark_model import BenchmarkModel
from harness.runners.upstream.command import input_flags
from harness.runners.upstream.flavour import EXTRAS, flavour_of
from tests.runners import captured

RUNS = Runs(warmup_count=2, warmup_min_seconds=0.25, count=40, min_seconds=1.5, max_seconds=20.0)
POLICY = Policy(runs=RUNS, limits=Limits(output_bytes=1 << 20))
NEW = "\0".join(["text", *EXTRAS, "more text"]).encode()
LITERT = NEW + b"\0gpu-precision\0"
X = TensorSpec(0, "x", "float32", (1, 8))
Y = TensorSpec(1, "serving_default_y:0", "int32", (3,))


def jobs_of(folder: Path, delegate: Delegate, program: bytes = b"old", samples: int = 3, **facts: Any) -> list[Job]:
    """The jobs of a model of two inputs."""
    model = replace(
        Model(ModelRef("m", str(folder / "m.tflite")), sha256="a" * 64, inputs=(X, Y), outputs=(X,)), **facts
    )
    sets = tuple((folder / f"{n}{'0' * 62}0", folder / f"{n}{'0' * 62}1") for n in range(samples))
    runner = captured.runner(folder, program)
    return list(runner.jobs(replace(captured.cell_of(model, delegate), policy=POLICY), captured.facts_for(model, sets)))


def flags(job: Job) -> dict[str, str]:
    """Flags with their values, each given once; all have the only form that the tool reads."""
    words = [str(word) for word in job.command[1:]]
    assert all(word.startswith("--") and "=" in word and " " not in word for word in words)
    found = {word[2:].partition("=")[0]: word.partition("=")[2] for word in words}
    assert len(found) == len(words)
    return found


CPU = {"num_threads": "1", "use_xnnpack": "true"}
GPU = {
    "num_threads": "1", "use_gpu": "true", "gpu_precision_loss_allowed": "true", "require_full_delegation": "true",
    "use_xnnpack": "false",
}  # fmt: skip
LITERT_GPU = {
    "num_threads": "1", "use_gpu": "true", "use_cpu": "false", "gpu-precision": "auto",
    "require_full_delegation": "true",
}  # fmt: skip
CLASSIC_FLAGS: list[tuple[Delegate, dict[str, str]]] = [
    (Delegate("d", threads=4), {**CPU, "num_threads": "4"}),
    (Delegate("d", kernels="builtin"), {**CPU, "use_xnnpack": "false"}),
    (Delegate("d", "gpu"), GPU),
    (Delegate("d", "gpu", precision="fp16"), GPU),
    (Delegate("d", "gpu", precision="fp32"), {**GPU, "gpu_precision_loss_allowed": "false"}),
    (Delegate("d", "gpu", backend="opencl"), {**GPU, "gpu_backend": "cl"}),
    (Delegate("d", "gpu", backend="opengl"), {**GPU, "gpu_backend": "gl"}),
]
LITERT_FLAGS: list[tuple[Delegate, dict[str, str]]] = [
    (Delegate("d"), {"num_threads": "1", "use_cpu": "true", "use_gpu": "false"}),
    (Delegate("d", "gpu"), LITERT_GPU),
    (Delegate("d", "gpu", precision="fp32"), {**LITERT_GPU, "gpu-precision": "fp32"}),
    (Delegate("d", "gpu", backend="webgpu"), {**LITERT_GPU, "gpu_backend": "webgpu"}),
]
TIMED = {"warmup_runs": "2", "warmup_min_secs": "0.25", "num_runs": "40", "min_secs": "1.5", "max_secs": "20"}
ONCE = {"warmup_runs": "0", "warmup_min_secs": "0", "num_runs": "1", "min_secs": "0", "max_secs": "20"}
INPUTS = {
    "input_layer": "x,serving_default_y:0",
    "input_layer_shape": "1,8:3",
    "input_layer_value_files": "x:inputs/i0.bin,serving_default_y::0:inputs/i1.bin",
}
FED = {"graph": "model.tflite", **INPUTS, "output_filepath": "out/out.bin"}


@pytest.mark.parametrize(("delegate", "expected"), CLASSIC_FLAGS)
def test_classic(tmp_path: Path, delegate: Delegate, expected: dict[str, str]) -> None:
    timed, *others = jobs_of(tmp_path, delegate)
    assert flags(timed) == {**FED, **expected, **TIMED}
    assert [flags(job) for job in others] == [{**FED, **expected, **ONCE}] * 2
    assert timed.command[0] == JobPath("benchmark_model")
    assert timed.files[0].executable


@pytest.mark.parametrize(("delegate", "expected"), LITERT_FLAGS)
def test_litert_times_only(tmp_path: Path, delegate: Delegate, expected: dict[str, str]) -> None:
    (job,) = jobs_of(tmp_path, delegate, LITERT)
    given = flags(job)
    for extra in EXTRAS:
        del given[extra]
    assert given == {"graph": "model.tflite", **expected, **TIMED}
    assert [file.name for file in job.files] == ["benchmark_model", "model.tflite"]


def test_leftovers_of_the_gpu_go_to_xnnpack_after_it(tmp_path: Path) -> None:
    words = [str(word) for word in jobs_of(tmp_path, Delegate("d", "gpu", fallback="partial"))[0].command]
    assert words.index("--use_gpu=true") < words.index("--use_xnnpack=true")
    assert not any("require_full" in word for word in words)
    litert = flags(jobs_of(tmp_path, Delegate("d", "gpu", fallback="partial"), LITERT)[0])
    assert litert["use_cpu"] == "true"
    assert "require_full_delegation" not in litert  # with the CPU the program aborts


def test_each_sample_has_its_own_files(tmp_path: Path) -> None:
    for number, job in enumerate(jobs_of(tmp_path, Delegate("d"))):
        assert [file.name for file in job.files[2:]] == ["inputs/i0.bin", "inputs/i1.bin"]
        assert [file.source.name for file in job.files[2:]] == [f"{number}{'0' * 62}{index}" for index in (0, 1)]
        assert [file.sha256 for file in job.files[2:]] == [file.source.name for file in job.files[2:]]
    ids = {job.id for job in jobs_of(tmp_path, Delegate("d"))}
    assert len(ids) == 3


def test_a_model_with_state_gives_outputs_from_fresh_processes_only(tmp_path: Path) -> None:
    timed, *others = jobs_of(tmp_path, Delegate("d"), stateful=True)
    assert "output_filepath" not in flags(timed)
    assert len(others) == 3
    assert all({**flags(job), **ONCE, "output_filepath": "out/out.bin"} == flags(job) for job in others)
    assert [job.files[2].source.name[0] for job in others] == ["0", "1", "2"]


def test_newer_builds_write_more_in_the_timed_run_alone(tmp_path: Path) -> None:
    timed, *others = jobs_of(tmp_path, Delegate("d"), NEW)
    extra = {
        "result_file_path": "out/result.pb",
        "export_model_runtime_info": "true",
        "model_runtime_info_output_file": "out/rt.pb",
        "report_peak_memory_footprint": "true",
    }
    assert extra.items() <= flags(timed).items()
    assert not any(extra.keys() & flags(job).keys() for job in others)


def test_a_signature_is_named_where_there_is_a_choice(tmp_path: Path) -> None:
    one = jobs_of(tmp_path, Delegate("d"), signature="add", signatures=("add",))[0]
    two = jobs_of(tmp_path, Delegate("d"), signature="add", signatures=("add", "sub"))[0]
    assert "signature_to_run_for" not in flags(one)
    assert flags(two)["signature_to_run_for"] == "add"


def test_a_cold_start_switches_the_drivers_caches_off(tmp_path: Path) -> None:
    assert jobs_of(tmp_path, Delegate("d"))[0].env == {}
    assert jobs_of(tmp_path, Delegate("d", start="cold"))[0].env["MESA_SHADER_CACHE_DISABLE"] == "true"


def test_accelerator_libraries_beside_litert_go_with_it(tmp_path: Path) -> None:
    (tmp_path / "libLiteRtGpuAccelerator.so").write_bytes(b"library")
    (job,) = jobs_of(tmp_path, Delegate("d", "gpu"), LITERT)
    assert [file.name for file in job.files] == ["benchmark_model", "model.tflite", "libLiteRtGpuAccelerator.so"]
    assert job.env == {"LD_LIBRARY_PATH": "."}
    assert "libLiteRtGpuAccelerator.so" not in {file.name for file in jobs_of(tmp_path, Delegate("d", "gpu"))[0].files}


@pytest.mark.parametrize(
    ("name", "shown"),
    [("", "input0"), ("a,b", "input0"), ("a b", "input0"), ("a\n", "input0"), ("b", "input0"), ("a:0", "a:0")],
)
def test_names_that_cannot_be_written(name: str, shown: str) -> None:
    specs = (TensorSpec(0, name, "float32", (2,)), TensorSpec(1, "b", "float32", (3, 4)))
    layers, shapes, files = input_flags(specs, ["f0", "f1"])
    other = "b" if shown == name else "input1"
    assert layers == f"--input_layer={shown},{other}"
    assert shapes == "--input_layer_shape=2:3,4"
    assert files == f"--input_layer_value_files={shown.replace(':', '::')}:f0,{other}:f1"


def test_a_scalar_cannot_be_fed() -> None:
    with pytest.raises(UsageError, match="input 'gain' has no dimensions"):
        input_flags((TensorSpec(0, "gain", "float32", ()),), ["f"])


def test_a_model_without_inputs_gets_no_flags_for_them() -> None:
    assert input_flags((), []) == []


@pytest.mark.parametrize(
    ("delegate", "program", "words"),
    [
        (Delegate("mine", "npu"), b"", "delegate 'mine': .* no NPU"),
        (Delegate("mine", context="app"), b"", "use android_app"),
        (
            Delegate("mine", kernels="reference"),
            b"",
            r"\(classic\) knows the kernels xnnpack, builtin, not 'reference'",
        ),
        (Delegate("mine", kernels="builtin"), LITERT, r"\(LiteRT\) knows the kernels xnnpack, not 'builtin'"),
        (Delegate("mine", "gpu", backend="webgpu"), b"", "backends auto, opencl, opengl, not 'webgpu'"),
        (Delegate("mine", "gpu", backend="opencl"), LITERT, "backends auto, opengl, webgpu, not 'opencl'"),
        (Delegate("mine", "gpu", precision="fp16acc32"), b"", "precisions default, fp16, fp32, not 'fp16acc32'"),
    ],
)
def test_what_it_cannot_do_is_refused(tmp_path: Path, delegate: Delegate, program: bytes, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        jobs_of(tmp_path, delegate, program)


def test_an_iphone_starts_no_programs(tmp_path: Path) -> None:
    model = Model(ModelRef("m", "m"))
    facts = replace(captured.facts_for(model), target=IOS_TARGET)
    with pytest.raises(UsageError, match=r"aarch64-ios starts apps only: upstream's is ios_app"):
        captured.runner(tmp_path).jobs(captured.cell_of(model, Delegate("mine")), facts)


def test_a_missing_program_is_a_usage_error(tmp_path: Path) -> None:
    model = Model(ModelRef("m", "m"))
    runner: BenchmarkModel = captured.runner(tmp_path)
    facts: JobFacts = replace(captured.facts_for(model), target="armv7-linux")
    with pytest.raises(UsageError, match="there is no benchmark_model for armv7-linux yet"):
        runner.jobs(captured.cell_of(model, Delegate("d")), facts)


@pytest.mark.parametrize(
    "mark", ["gpu-precision", "benchmark_litert_model", "gpu_wait_for_weights_conversion_complete"]
)
def test_litert_is_known_by_any_of_its_words(tmp_path: Path, mark: str) -> None:
    program = tmp_path / "p"
    program.write_bytes(b"\0" * 5000 + mark.encode())
    assert flavour_of(program).litert


def test_a_classic_program(tmp_path: Path) -> None:
    program = tmp_path / "p"
    program.write_bytes(b"use_gpu\0gpu_precision_loss_allowed\0result_file_path")
    found = flavour_of(program)
    assert (found.litert, set(found.extras)) == (False, {"result_file_path"})
    program.write_bytes(b"")
    assert flavour_of(program).extras == frozenset()
