"""What goes wrong is told apart: each mistake has its kind, its exit code and a sentence."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.native.bench import RUN_ID, Array, Bench

PAIR: list[list[Array]] = [[np.array([1, 2], np.float32)]]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--sped", "1"], "unknown option '--sped'"),
        (["--threads"], "its value is missing"),
        (["--threads", "0"], "--threads needs a whole number from 1"),
        (["--threads", "1.5"], "--threads needs a whole number"),
        (["--threads", "two"], "not 'two'"),
        (["--runs", "-1"], "--runs needs"),
        (["--timeout", "nan"], "--timeout needs"),
        (["--timeout", "0"], "--timeout needs"),
        (["--min-seconds", "0x10"], "--min-seconds needs"),
        (["--accelerator", "npu"], "--accelerator does not know 'npu'"),
        (["--kernels", "fast"], "--kernels does not know 'fast'"),
        (["--precision", "fp16"], "for the GPU"),
        (["--input"], "--input needs a file"),
        (["stray"], "unexpected 'stray'"),
        (["--signature", ""], "--signature is empty"),
    ],
)
def test_a_wrong_command_line_is_exit_code_2_and_the_usage(
    faked: Bench, fake_model: Path, arguments: list[str], words: str
) -> None:
    finished = faked.run(fake_model, *arguments)
    assert finished.code == 2
    assert words in finished.stderr
    assert "usage: delegate_bench" in finished.stderr
    assert finished.record == {}


def test_help_and_version(faked: Bench) -> None:
    shown = faked.finish([str(faked.binary), "--help"])
    assert (shown.code, shown.stderr) == (0, "")
    readme = (Path(__file__).parents[2] / "native" / "README.md").read_text(encoding="utf-8")
    flags = set(re.findall(r"--[a-z-]+", shown.stdout))
    assert len(flags) > 20
    assert [flag for flag in sorted(flags) if f"`{flag}" not in readme] == [], "flags that the README does not explain"
    assert faked.finish([str(faked.binary), "--version"]).stdout.startswith("delegate_bench ")
    assert faked.finish([str(faked.binary), "--out", "x"]).code == 2


def test_a_runtime_that_is_none(bench: Bench, fake_model: Path, fake_runtime: Callable[..., Path]) -> None:
    bench.library = bench.folder / "absent.so"
    error = bench.run(fake_model).error
    assert (error["kind"], error["exit_code"], error["stage"]) == ("runtime_library", 10, "load_runtime")
    assert "absent.so" in error["message"]
    bench.library = fake_runtime("NO_RUN")
    error = bench.run(fake_model).error
    assert (error["kind"], error["exit_code"]) == ("abi", 11)
    assert "LiteRtRunCompiledModel" in error["message"]
    bench.library = fake_runtime("TYPED_OPTIONS")
    error = bench.run(fake_model).error
    assert error["kind"] == "abi"
    assert "2.1.3" in error["message"]


@pytest.mark.parametrize(("macros", "abi"), [((), "env-first"), (("MODEL_FIRST",), "model-first")])
def test_both_forms_of_the_api_are_served(
    bench: Bench, fake_model: Path, fake_runtime: Callable[..., Path], macros: tuple[str, ...], abi: str
) -> None:
    bench.library = fake_runtime(*macros)
    finished = bench.run(fake_model, inputs=PAIR)
    assert finished.ok()["runtime_abi"] == abi
    assert finished.output(0).tolist() == [2.0, 3.0]


def test_cpu_options_are_sent_under_both_ids(faked: Bench, fake_model: Path) -> None:
    """The accelerator reads one id and the interpreter the other."""
    log = faked.run(fake_model, "--kernels", "xnnpack", "--threads", "3", inputs=PAIR).ok()["stderr_tail"]
    assert log.splitlines() == ["options xnnpack: num_threads = 3", "options cpu_delegate: num_threads = 3"]


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("odd/invalid_model.bin", "no 'TFL3' mark"),
        ("odd/test_model_broken.bin", "not a TFLite model"),
        ("odd/no_subgraphs.bin", "no signature"),
        ("odd/absent.tflite", "cannot be read"),
        ("odd", "Is a directory"),
    ],
)
def test_a_broken_model(bench: Bench, models: Path, name: str, words: str) -> None:
    error = bench.run(models / name).error
    assert (error["kind"], error["exit_code"], error["stage"]) == ("model", 12, "load_model")
    assert words in error["message"]


def test_a_truncated_model_does_not_crash_the_runtime(bench: Bench, models: Path) -> None:
    whole = (models / "float/blazeface_mlkit_v1.tflite").read_bytes()
    for size in (0, 7, 8, 100, len(whole) // 2, len(whole) - 1):
        cut = bench.folder / "cut.tflite"
        cut.write_bytes(whole[:size])
        assert bench.run(cut).error["kind"] == "model", size


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("odd/string_input_model.bin", "tensor of strings"),
        ("odd/lstm.bin", "variable tensors"),
        ("odd/custom_sinh.bin", "custom operation 'Sinh'"),
        ("odd/multi_add_flex.bin", "Flex"),
    ],
)
def test_what_the_runtime_can_never_run_is_unsupported(bench: Bench, models: Path, name: str, words: str) -> None:
    model = models / name
    described = bench.run(model, "--describe")
    inputs: list[list[Array]] = []
    if described.code == 0 and "string" not in str(described.record["signature_details"]):
        inputs = bench.inputs(model)
    error = bench.run(model, inputs=inputs).error
    assert (error["kind"], error["exit_code"]) == ("unsupported", 20)
    assert words in error["message"]


def test_wrong_inputs(bench: Bench, models: Path) -> None:
    model = models / "odd/mixed_input_model.tflite"  # int32[1,10], float32[1,10]
    good = bench.inputs(model)
    error = bench.run(model, inputs=[[good[0][0]]]).error
    assert (error["kind"], error["exit_code"], error["stage"]) == ("input", 15, "inputs")
    assert "1 input files were given; 1 samples of 2 inputs need 2" in error["message"]
    error = bench.run(model, inputs=[[good[0][0], good[0][1].astype(np.float64)]]).error
    assert "has 80 bytes; input 1" in error["message"]
    assert error["message"].endswith("has 40")
    error = bench.run(model, "--input", "nowhere.bin", str(bench.folder / "s0_i1.bin")).error
    assert "nowhere.bin cannot be read: No such file" in error["message"]


def test_failures_inside_the_runtime_carry_its_status(faked: Bench, fake_model: Path) -> None:
    for where, kind, code, stage in [
        ("environment", "runtime_library", 10, "environment"),
        ("model", "model", 12, "load_model"),
        ("compile", "compile", 14, "compile"),
        ("buffer", "run", 16, "buffers"),
        ("lock", "run", 16, "first_run"),
        ("run", "run", 16, "first_run"),
    ]:
        error = faked.run(fake_model, inputs=PAIR, env={"FAKE_LITERT": f"fail_{where}"}).error
        assert (error["kind"], error["exit_code"], error["stage"]) == (kind, code, stage)
        assert (error["litert_status"], error["litert_status_name"]) == (3, "RuntimeFailure")
        assert "RuntimeFailure" in error["message"]


def test_shapes_that_only_the_data_decides(faked: Bench, fake_model: Path) -> None:
    error = faked.run(fake_model, inputs=PAIR, env={"FAKE_LITERT": "open_shape"}).error
    assert error["kind"] == "run"
    assert "depends on the data" in error["message"]
    error = faked.run(fake_model, inputs=PAIR, env={"FAKE_LITERT": "small_buffer"}).error
    assert "depends on the data" in error["message"]
    error = faked.run(fake_model, inputs=PAIR, env={"FAKE_LITERT": "unranked"}).error
    assert error["kind"] == "unsupported"


def test_the_output_limit_is_kept_before_anything_runs(faked: Bench, fake_model: Path) -> None:
    finished = faked.run(fake_model, "--output-limit", "15", inputs=[*PAIR, *PAIR])
    assert (finished.error["kind"], finished.error["exit_code"]) == ("output_limit", 19)
    assert finished.record["samples"] == []
    assert faked.run(fake_model, "--output-limit", "16", inputs=[*PAIR, *PAIR]).ok()


def test_a_stale_record_is_replaced(faked: Bench, fake_model: Path) -> None:
    faked.out.mkdir()
    stale = faked.out / "result.json"
    stale.write_text('{"status": "ok", "run_id": "yesterday"}')
    assert faked.run(fake_model, inputs=PAIR, env={"FAKE_LITERT": "abort_compile"}).record["run_id"] == RUN_ID
    stale.write_text('{"status": "ok", "run_id": "yesterday"}')
    finished = faked.run(fake_model, "--describe")
    assert finished.ok()["run_id"] == RUN_ID


def test_outputs_that_cannot_be_written(faked: Bench, fake_model: Path) -> None:
    faked.out.write_text("a file where the folder should be")
    finished = faked.run(fake_model, inputs=PAIR)
    assert finished.code == 17
    assert "cannot write in" in finished.stderr
    faked.out.unlink()
    (faked.out / "s0_o0.bin").mkdir(parents=True)
    error = faked.run(fake_model, inputs=PAIR).error
    assert (error["kind"], error["exit_code"]) == ("output", 17)
    assert "s0_o0.bin" in error["message"]
