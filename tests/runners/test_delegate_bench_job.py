"""The command line that a cell becomes."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from harness.devices.base import Job, JobPath
from harness.errors import UsageError
from harness.lab.spec import BinarySource
from harness.plan.cell import Delegate, Limits, Policy, Runs
from harness.runners.base import JobFacts
from harness.runners.binaries import Binaries
from harness.runners.delegate_bench import BINARY, DelegateBench
from harness.runners.runtimes import FOLDER, Runtime
from tests.runners.real import cell_of, facts_of

TARGET = "aarch64-linux"
PROGRAM = b"\x7fELF: a program for another machine"
SHA = hashlib.sha256(PROGRAM).hexdigest()
POLICY = Policy(
    runs=Runs(warmup_count=2, warmup_min_seconds=0.25, count=40, min_seconds=1.5, max_seconds=20.0),
    limits=Limits(memory_bytes=1 << 30, output_bytes=1 << 20, deadline_seconds=90.0),
)


@pytest.fixture
def program(tmp_path: Path) -> Path:
    path = tmp_path / "program"
    path.write_bytes(PROGRAM)
    return path


def bench(source: BinarySource) -> DelegateBench:
    return DelegateBench(Binaries({BINARY: {TARGET: source}}))


@pytest.fixture
def runner(program: Path) -> DelegateBench:
    return bench(BinarySource(path=str(program), sha256=SHA))


def job_of(
    runner: DelegateBench, delegate: Delegate, *, model: str = "add", **model_facts: Any
) -> tuple[Job, JobFacts]:
    cell = cell_of(model, delegate, POLICY)
    facts = facts_of(cell, TARGET)
    facts = replace(facts, model=replace(facts.model, **model_facts))
    return runner.jobs(cell, facts)[0], facts


def options(job: Job) -> dict[str, str]:
    """Options with their values; all of delegate_bench's take one."""
    words = [str(part) for part in job.command[1:]]
    assert all(word.startswith("--") for word in words[::2])
    return dict(zip(words[::2], words[1::2], strict=True))


def test_every_option_of_a_cpu_cell(runner: DelegateBench) -> None:
    job, facts = job_of(runner, Delegate("cpu", kernels="builtin", threads=3), model="relu")
    assert facts.runtime is not None
    library = f"{FOLDER}/{Path(facts.runtime.library).name}"
    assert options(job) == {
        "--lib": library,
        "--accel-dir": FOLDER,
        "--model": "model.tflite",
        "--out": "out",
        "--run-id": job.id,
        "--accelerator": "cpu",
        "--threads": "3",
        "--kernels": "builtin",
        "--warmup": "2",
        "--warmup-seconds": "0.25",
        "--runs": "40",
        "--min-seconds": "1.5",
        "--max-seconds": "20",
        "--timeout": "88",
        "--memory-limit": str(1 << 30),
        "--output-limit": str(1 << 20),
        "--samples": "3",
        "--input": "inputs/s2_i0.bin",
    }
    assert (job.output, job.output_bytes, dict(job.env)) == ("out", 1 << 20, {})


def test_inputs_are_named_sample_by_sample_in_order(runner: DelegateBench) -> None:
    job, facts = job_of(runner, Delegate("cpu"), model="mixed_inputs")
    words = [str(part) for part in job.command]
    named = [word for before, word in pairwise(words) if before == "--input"]
    count = len(facts.model.inputs)
    assert count > 1
    assert named == [f"inputs/s{sample}_i{index}.bin" for sample in range(3) for index in range(count)]
    sources = {file.name: file.source for file in job.files}
    assert [sources[name] for name in named] == [path for sample in facts.inputs.samples for path in sample]


@pytest.mark.parametrize(
    ("delegate", "expected"),
    [
        (Delegate("d", "gpu"), ("gpu", "default", "auto")),
        (Delegate("d", "gpu", precision="fp16"), ("gpu", "fp16", "auto")),
        (Delegate("d", "gpu", precision="fp16acc32", backend="opencl"), ("gpu", "fp16acc32", "opencl")),
        (Delegate("d", "gpu", fallback="partial", backend="webgpu"), ("gpu,cpu", "default", "webgpu")),
        (Delegate("d", "cpu", fallback="partial", precision="fp16"), ("cpu", None, None)),
    ],
)
def test_accelerator_precision_and_backend(
    runner: DelegateBench, delegate: Delegate, expected: tuple[str, str | None, str | None]
) -> None:
    found = options(job_of(runner, delegate)[0])
    assert (found["--accelerator"], found.get("--precision"), found.get("--backend")) == expected


def test_a_signature_is_named_if_the_model_has_one(runner: DelegateBench) -> None:
    assert options(job_of(runner, Delegate("d"), signature="encode")[0])["--signature"] == "encode"
    assert "--signature" not in options(job_of(runner, Delegate("d"), signature=None)[0])


def test_a_cold_start_switches_the_drivers_caches_off(runner: DelegateBench) -> None:
    env = job_of(runner, Delegate("d", "gpu", start="cold"))[0].env
    assert env["MESA_SHADER_CACHE_DISABLE"] == "true"
    assert env["__GL_SHADER_DISK_CACHE"] == "0"


def test_each_job_has_an_id_of_its_own(runner: DelegateBench) -> None:
    ids = {job_of(runner, Delegate("d"))[0].id for _ in range(5)}
    assert len(ids) == 5


def test_files_carry_the_hash_of_their_content(runner: DelegateBench) -> None:
    job, facts = job_of(runner, Delegate("d"))
    for file in job.files:
        assert hashlib.sha256(file.source.read_bytes()).hexdigest() == file.sha256, file.name
    assert [file.name for file in job.files if file.executable] == ["delegate_bench"]
    assert facts.runtime is not None
    assert {file.name for file in facts.runtime.files} < {file.name for file in job.files}
    assert len({file.name for file in job.files}) == len(job.files)


def test_every_path_of_the_command_is_a_file_of_the_job_or_its_output(runner: DelegateBench) -> None:
    job, _ = job_of(runner, Delegate("d"))
    known = {file.name for file in job.files} | {FOLDER, job.output}
    assert {part.name for part in job.command if isinstance(part, JobPath)} <= known


def test_a_short_deadline_leaves_the_runner_at_least_a_second(runner: DelegateBench) -> None:
    cell = cell_of("add", Delegate("d"), replace(POLICY, limits=Limits(deadline_seconds=1.5)))
    assert options(runner.jobs(cell, facts_of(cell, TARGET))[0])["--timeout"] == "1"


def test_an_npu_is_refused_by_name(runner: DelegateBench) -> None:
    with pytest.raises(
        UsageError, match="delegate 'edge': the runner delegate_bench drives the CPU and the GPU, no NPU"
    ):
        job_of(runner, Delegate("edge", "npu"))


def test_a_program_of_the_users_own_is_taken_and_checked(program: Path) -> None:
    assert bench(BinarySource(path=str(program))).binary(TARGET) == program
    wrong = BinarySource(path=str(program), sha256="0" * 64)
    with pytest.raises(UsageError) as caught:
        bench(wrong).binary(TARGET)
    for words in (TARGET, str(program), SHA, "0" * 64):
        assert words in str(caught.value)


def test_a_program_that_is_not_there_is_named(tmp_path: Path) -> None:
    source = BinarySource(path=str(tmp_path / "gone"))
    with pytest.raises(UsageError, match=f"runners: delegate_bench: {TARGET}: there is no file .*gone"):
        bench(source).binary(TARGET)


def test_a_target_that_nothing_can_be_built_for_is_named(runner: DelegateBench) -> None:
    assert isinstance(facts_of(cell_of("add", Delegate("d"))).runtime, Runtime)
    with pytest.raises(UsageError, match="cannot be built for 'riscv64-linux'"):
        runner.binary("riscv64-linux")
