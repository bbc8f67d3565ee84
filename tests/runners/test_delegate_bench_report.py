"""What a record is worth: a whole one is a measurement, anything else a problem with words."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from harness.devices.base import JobOutput
from harness.engine.tensors import load_samples
from harness.plan.cell import Delegate, ErrorClass, Outcome, Problem
from harness.runners.base import RunnerReport
from harness.runners.bench_record import RESULT
from harness.runners.binaries import Binaries
from harness.runners.delegate_bench import DelegateBench
from tests.runners.real import Measured, cell_of, measured

Record = dict[str, Any]
GPU = Delegate("gpu", "gpu")
PARTIAL = Delegate("gpu", "gpu", fallback="partial")


class Doctor:
    """A copy of a real measurement, and what the runner makes of it after it was tampered with."""

    def __init__(self, real: Measured, folder: Path) -> None:
        self.real = real
        self.folder = folder
        shutil.copytree(real.output.folder, folder)
        self.record = real.record

    def report(self, delegate: Delegate | None = None, **changes: Any) -> RunnerReport:
        """The report of the record as it is now; `changes` are those of the job's output."""
        (self.folder / RESULT).write_text(json.dumps(self.record))
        return self.read(delegate, **changes)

    def read(self, delegate: Delegate | None = None, **changes: Any) -> RunnerReport:
        """The report of the files as they are."""
        output: JobOutput = replace(self.real.output, folder=self.folder, **changes)
        cell = replace(self.real.cell, delegate=delegate) if delegate else self.real.cell
        return DelegateBench(Binaries({})).report(cell, [self.real.job], self.real.facts, [output])

    def problem(self, delegate: Delegate | None = None, **changes: Any) -> Problem:
        """The problem that must be there instead of a measurement."""
        report = self.report(delegate, **changes)
        assert report.measurement is None
        assert report.problem is not None
        return report.problem


@pytest.fixture
def doctor(tmp_path: Path) -> Doctor:
    return Doctor(measured(), tmp_path / "out")


def broken(problem: Problem | None) -> str:
    """Words of a record that cannot be trusted."""
    assert problem is not None
    assert (problem.outcome, problem.error_class, problem.kind) == (Outcome.ERROR, ErrorClass.RUNNER, "broken_result")
    assert not problem.retried
    return problem.reason


def test_a_real_record_is_a_measurement(doctor: Doctor) -> None:
    report = doctor.read()
    assert report.problem is None
    found = report.measurement
    assert found is not None
    record = doctor.record
    assert found.samples_us == tuple(a + b for a, b in zip(record["invoke_us"], record["read_us"], strict=True))
    assert len(found.samples_us) == 3
    assert all(sample > 0 for sample in found.samples_us)
    assert found.scope == "invoke+read"
    assert found.init_us is not None
    assert found.init_us > 0
    assert found.first_us is not None
    assert found.first_us > 0
    assert found.peak_rss_bytes is not None
    assert found.peak_rss_bytes > 1 << 20
    assert found.repeatable is True
    assert found.delegation.nodes_total == found.delegation.nodes_delegated == 1
    assert report.runner["name"] == "delegate_bench"
    assert report.runner["sha256"] == doctor.real.job.files[0].sha256
    assert "--accelerator cpu" in str(report.runner["command"])
    assert doctor.real.job.id in str(report.runner["command"])
    samples = load_samples(found.outputs)
    assert len(samples) == 3
    assert samples[0][0].shape == doctor.real.facts.model.outputs[0].shape


def test_outputs_of_the_same_inputs_differ_between_samples(doctor: Doctor) -> None:
    report = doctor.read()
    assert report.measurement is not None
    samples = load_samples(report.measurement.outputs)
    assert (samples[0][0] != samples[1][0]).any()


def test_a_stale_record_names_both_jobs(doctor: Doctor) -> None:
    doctor.record["run_id"] = "0123456789abcdef"
    reason = broken(doctor.problem())
    assert "stale" in reason
    assert "0123456789abcdef" in reason
    assert doctor.real.job.id in reason


@pytest.mark.parametrize("kept", [0, 1, 100, -2])
def test_a_truncated_record(doctor: Doctor, kept: int) -> None:
    data = (doctor.folder / RESULT).read_bytes().rstrip()
    (doctor.folder / RESULT).write_bytes(data[:kept])
    assert "truncated" in broken(doctor.read().problem)


@pytest.mark.parametrize("data", ["[]", "7", "null", '"ok"', '{"schema": 2}', "{}", '{"schema": "1"}'])
def test_a_record_of_another_form(doctor: Doctor, data: str) -> None:
    (doctor.folder / RESULT).write_text(data)
    assert "unknown form" in broken(doctor.read().problem)


def test_bytes_that_are_no_text(doctor: Doctor) -> None:
    (doctor.folder / RESULT).write_bytes(b"\xff\xfe\x00{")
    assert "truncated" in broken(doctor.read().problem)


def test_no_record_and_the_runner_said_why(doctor: Doctor) -> None:
    (doctor.folder / RESULT).unlink()
    reason = broken(doctor.read(exit_code=127, stderr="first\nlibfoo.so: cannot open\n").problem)
    assert "exit code 127" in reason
    assert reason.endswith("libfoo.so: cannot open")
    assert "nothing on stderr" in broken(doctor.read(exit_code=0, stderr=" \n").problem)


@pytest.mark.parametrize("code", [-6, 127])
def test_a_program_that_cannot_be_loaded_names_what_it_lacks(doctor: Doctor, code: int) -> None:
    (doctor.folder / RESULT).unlink()
    said = 'CANNOT LINK EXECUTABLE "delegate_bench": library "libx.so" not found: needed by main executable'
    found = doctor.read(exit_code=code, stderr=f"{said}\n").problem
    assert found is not None
    assert (found.error_class, found.kind) == (ErrorClass.CONFIG, "unloadable")
    assert said in found.reason


def test_no_record_because_of_a_signal(doctor: Doctor) -> None:
    (doctor.folder / RESULT).unlink()
    problem = doctor.read(exit_code=-9).problem
    assert problem is not None
    assert (problem.outcome, problem.error_class, problem.kind, problem.signal) == (
        Outcome.ERROR,
        ErrorClass.RUNNER,
        "crash",
        9,
    )


def test_no_record_because_of_the_deadline(doctor: Doctor) -> None:
    (doctor.folder / RESULT).unlink()
    problem = doctor.read(exit_code=-9, timed_out=True).problem
    assert problem is not None
    assert (problem.outcome, problem.kind) == (Outcome.TIMEOUT, "timeout")


def test_a_record_that_cannot_be_read(doctor: Doctor) -> None:
    (doctor.folder / RESULT).unlink()
    (doctor.folder / RESULT).mkdir()
    assert "cannot be read: Is a directory" in broken(doctor.read().problem)


@pytest.mark.parametrize("code", [1, -11])
def test_an_ok_that_does_not_fit_the_exit_code(doctor: Doctor, code: int) -> None:
    assert f"'ok' result but ended with exit code {code}" in broken(doctor.problem(exit_code=code))


def first_output(record: Record) -> Record:
    entry: Record = record["outputs"][0]
    return entry


def test_an_output_file_that_is_not_there(doctor: Doctor) -> None:
    name = first_output(doctor.record)["file"]
    (doctor.folder / name).unlink()
    assert f"named the output file {name}, which is not there" in broken(doctor.problem())


def test_an_output_file_of_another_size(doctor: Doctor) -> None:
    path = doctor.folder / first_output(doctor.record)["file"]
    path.write_bytes(path.read_bytes()[:-1])
    assert f"bytes to {path.name} and stated" in broken(doctor.problem())


def test_an_output_file_of_another_content(doctor: Doctor) -> None:
    path = doctor.folder / first_output(doctor.record)["file"]
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    assert f"wrote {path.name} with another checksum than stated" in broken(doctor.problem())


def test_an_output_file_elsewhere_is_never_read(doctor: Doctor) -> None:
    outside = doctor.folder.parent / "outside.bin"
    entry = first_output(doctor.record)
    shutil.copy(doctor.folder / entry["file"], outside)
    entry["file"] = "../outside.bin"
    assert "which is not there" in broken(doctor.problem())


def drop(key: str) -> Callable[[Record], None]:
    def change(record: Record) -> None:
        del record[key]

    change.__name__ = f"no-{key}"
    return change


def put(key: str, value: object) -> Callable[[Record], None]:
    def change(record: Record) -> None:
        record[key] = value

    change.__name__ = f"{key}={value}"
    return change


NEEDED = ["invoke_us", "read_us", "samples", "outputs", "compile_us", "load_us"]
UNREADABLE = [
    *map(drop, NEEDED),
    put("invoke_us", []),
    put("invoke_us", [1.0]),
    put("invoke_us", ["fast", "faster", "fastest"]),
    put("invoke_us", None),
    put("samples", []),
    put("samples", [{}]),
    put("compile_us", None),
    put("outputs", [{}]),
    put("outputs", None),
]


@pytest.mark.parametrize("change", UNREADABLE, ids=lambda change: change.__name__)
def test_a_record_that_lacks_something(doctor: Doctor, change: Callable[[Record], None]) -> None:
    change(doctor.record)
    assert "cannot be read" in broken(doctor.problem())


@pytest.mark.parametrize("number", [float("nan"), float("inf"), -1.0])
def test_times_that_no_clock_measures(doctor: Doctor, number: float) -> None:
    doctor.record["invoke_us"][1] = number
    assert "cannot be read" in broken(doctor.problem())


def test_a_record_without_a_status_is_no_measurement(doctor: Doctor) -> None:
    del doctor.record["status"]
    problem = doctor.problem()
    assert problem.outcome is Outcome.ERROR


@pytest.mark.parametrize("numbers", [[], [0, 1], [0, 1, 1], [0, 1, 2, 2], [1, 2, 3]])
def test_every_sample_has_its_outputs_once(doctor: Doctor, numbers: list[int]) -> None:
    entry = first_output(doctor.record)
    doctor.record["outputs"] = [{**entry, "sample": number} for number in numbers]
    assert f"named {len(numbers)} outputs; 3 were expected" in broken(doctor.problem())


# -- where it ran ------------------------------------------------------------------------------------------


def gpu(doctor: Doctor, delegate: Delegate = GPU, **facts: object) -> RunnerReport:
    doctor.record |= {"gpu_nodes": None, "cpu_nodes": None, "all_on_accelerator": None, "unsupported_ops": []}
    doctor.record |= {"adapter": "llvmpipe, arch=x, vendor=y", "adapter_type": "CPU", **facts}
    return doctor.report(delegate)


def test_all_nodes_on_the_gpu_by_its_own_log(doctor: Doctor) -> None:
    report = gpu(doctor, gpu_nodes=66, cpu_nodes=0)
    assert report.measurement is not None
    found = report.measurement.delegation
    assert (found.nodes_total, found.nodes_delegated, found.partitions, found.fallback) == (66, 66, 1, False)
    assert (report.adapter, report.adapter_software) == ("llvmpipe", True)


def test_some_nodes_on_the_cpu(doctor: Doctor) -> None:
    report = gpu(doctor, PARTIAL, gpu_nodes=60, cpu_nodes=6, unsupported_ops=["CUMSUM: no"])
    assert report.measurement is not None
    found = report.measurement.delegation
    assert (found.nodes_total, found.nodes_delegated, found.partitions, found.fallback) == (66, 60, None, True)
    assert found.unsupported_ops == ("CUMSUM: no",)


def test_counts_of_several_signatures_prove_nothing_about_one(doctor: Doctor) -> None:
    facts = doctor.real.facts
    doctor.real = replace(doctor.real, facts=replace(facts, model=replace(facts.model, signatures=("a", "b"))))
    mixed = gpu(doctor, PARTIAL, gpu_nodes=60, cpu_nodes=6)
    assert mixed.problem is not None
    assert (mixed.problem.outcome, mixed.problem.kind) == (Outcome.ERROR, "delegation_unknown")
    assert gpu(doctor, PARTIAL, gpu_nodes=66, cpu_nodes=0).measurement is not None


@pytest.mark.parametrize("delegate", [GPU, PARTIAL])
def test_a_gpu_cell_without_a_gpu_node_is_unsupported(doctor: Doctor, delegate: Delegate) -> None:
    report = gpu(doctor, delegate, gpu_nodes=0, cpu_nodes=4, unsupported_ops=["EXP: no"])
    assert report.measurement is None
    assert report.problem is not None
    assert (report.problem.outcome, report.problem.kind) == (Outcome.UNSUPPORTED, "no_node_delegated")
    assert "EXP (no)" in report.problem.reason
    assert report.adapter == "llvmpipe"


@pytest.mark.parametrize("delegate", [GPU, PARTIAL])
def test_the_runtimes_word_counts_where_there_is_no_log(doctor: Doctor, delegate: Delegate) -> None:
    report = gpu(doctor, delegate, all_on_accelerator=True)
    assert report.measurement is not None
    assert report.measurement.delegation.nodes_delegated == doctor.record["model_ops"]
    assert report.measurement.delegation.fallback is False


@pytest.mark.parametrize("word", [None, False])
def test_without_evidence_a_gpu_result_is_no_gpu_result(doctor: Doctor, word: bool | None) -> None:
    report = gpu(doctor, all_on_accelerator=word)
    assert report.measurement is None
    assert report.problem is not None
    assert (report.problem.outcome, report.problem.kind) == (Outcome.ERROR, "delegation_unknown")


def test_nodes_on_the_cpu_are_no_result_where_fallback_is_forbidden(doctor: Doctor) -> None:
    report = gpu(doctor, GPU, gpu_nodes=3, cpu_nodes=1, unsupported_ops=["EXP: no"])
    assert report.measurement is None
    assert report.problem is not None
    assert report.problem.outcome is Outcome.UNSUPPORTED


def test_an_error_record_keeps_the_adapter(doctor: Doctor) -> None:
    doctor.record = {
        "schema": 1,
        "run_id": doctor.real.job.id,
        "status": "error",
        "adapter": "Mali-G710, arch=valhall",
        "adapter_type": "IntegratedGPU",
        "error": {"kind": "compile", "message": "refused", "stage": "compile"},
    }
    report = doctor.report(GPU, exit_code=1)
    assert (report.adapter, report.adapter_software) == ("Mali-G710", False)
    assert report.problem is not None
    assert report.problem.outcome is Outcome.UNSUPPORTED


def test_notes_of_the_model_and_of_unrepeatable_outputs_are_kept(doctor: Doctor) -> None:
    doctor.record["outputs_repeatable"] = False
    report = doctor.report()
    assert report.measurement is not None
    assert report.measurement.repeatable is False
    assert any("other outputs" in note for note in report.measurement.notes)
    assert cell_of("add", GPU).delegate is GPU
