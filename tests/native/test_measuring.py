"""CPU runs of real models: the outputs are LiteRT's own, and the record says what was done."""

from __future__ import annotations

import json
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter, OpResolverType

from tests.native.bench import Array, Bench

RESOLVERS = {
    "xnnpack": OpResolverType.AUTO,
    "builtin": OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
    "reference": OpResolverType.BUILTIN_REF,
}


def interpreted(model: Path, inputs: list[Array], kernels: str) -> list[Array]:
    """Outputs of the classic interpreter with the same kernels and one thread."""
    interpreter: Any = Interpreter(str(model), num_threads=1, experimental_op_resolver_type=RESOLVERS[kernels])
    interpreter.allocate_tensors()
    for detail, array in zip(interpreter.get_input_details(), inputs, strict=True):
        interpreter.set_tensor(detail["index"], array)
    interpreter.invoke()
    return [interpreter.get_tensor(detail["index"]) for detail in interpreter.get_output_details()]


@pytest.mark.parametrize("kernels", list(RESOLVERS))
@pytest.mark.parametrize(
    "name",
    [
        "float/blazeface_mlkit_v1.tflite",
        "quant/micro_speech_quantized.tflite",
        "gpu_bugs/lrn_reference_kernel_wrong.tflite",  # every kernel set gives another answer
        "gpu_bugs/pow_negative_base_driver_dependent.tflite",  # x ** y: swapped inputs would show
        "odd/reverse_signature_model.bin",  # the signature lists its outputs in another order than the graph
    ],
)
def test_outputs_are_those_of_the_interpreter(bench: Bench, models: Path, name: str, kernels: str) -> None:
    model = models / name
    inputs = bench.inputs(model)
    finished = bench.run(model, "--kernels", kernels, "--runs", "1", inputs=inputs)
    record = finished.ok()
    expected = interpreted(model, inputs[0], kernels)
    assert len(record["outputs"]) == len(expected)
    for index, array in enumerate(expected):
        output = finished.output(index)
        assert output.dtype == array.dtype
        assert output.shape == array.shape
        assert output.tobytes() == array.tobytes()


def test_every_sample_is_run_and_its_files_are_as_stated(bench: Bench, models: Path) -> None:
    model = models / "float/blazeface_mlkit_v1.tflite"
    inputs = bench.inputs(model, samples=3)
    finished = bench.run(model, "--runs", "2", inputs=inputs)
    record = finished.ok()
    assert [s["sample"] for s in record["samples"]] == [0, 1, 2]
    assert all(s["upload_us"] > 0 and s["invoke_us"] > 0 and s["read_us"] > 0 for s in record["samples"])
    assert [(o["sample"], o["index"]) for o in record["outputs"]] == [(s, i) for s in range(3) for i in range(2)]
    for entry in record["outputs"]:
        data = (finished.out / entry["file"]).read_bytes()
        assert len(data) == entry["bytes"] == np.prod(entry["shape"]) * np.dtype(entry["dtype"]).itemsize
        assert f"{zlib.crc32(data):08x}" == entry["crc32"]
    for sample, arrays in enumerate(inputs):
        assert finished.output(0, sample).tobytes() == interpreted(model, arrays, "xnnpack")[0].tobytes()


def test_the_record_of_a_cpu_run(bench: Bench, models: Path) -> None:
    model = models / "float/blazeface_mlkit_v1.tflite"
    record = bench.run(model, "--threads", "2", "--runs", "3", inputs=bench.inputs(model)).ok()
    assert record["schema"] == 1
    assert record["tool"] == "delegate_bench"
    assert (record["accelerator"], record["threads"], record["kernels"]) == ("cpu", 2, "xnnpack")
    assert "num_threads = 2" in record["cpu_options"]
    assert record["gpu_options"] is None
    assert [a["name"] for a in record["accelerators"]] == ["CpuAccelerator"], "a CPU run must not load the GPU library"
    assert record["model_bytes"] == model.stat().st_size
    assert record["runtime_bytes"] == bench.library.stat().st_size
    assert record["model_ops"] == 78
    assert record["fully_accelerated"] is True
    assert record["all_on_accelerator"] is None
    assert record["outputs_repeatable"] is True
    stages = ("dlopen_us", "environment_us", "load_us", "compile_us", "buffers_us")
    assert all(record[stage] > 0 for stage in stages)
    assert 0 < record["rss_before_compile_bytes"] < record["rss_end_bytes"] <= record["peak_rss_bytes"] < 200 << 20
    assert [(i["name"], i["dtype"], i["shape"]) for i in record["inputs"]] == [
        ("normalized_input_image_tensor", "float32", [1, 224, 128, 3])
    ]


def test_open_shapes_become_what_the_runtime_makes_of_them(bench: Bench, models: Path) -> None:
    model = models / "quant/coco_ssd_mobilenet_v1_1.0_quant_2018_06_29.tflite"  # its file states no output shapes
    record = bench.run(model, "--runs", "1", inputs=bench.inputs(model)).ok()
    assert [o["shape"] for o in record["outputs"]] == [[1, 10, 4], [1, 10], [1, 10], [1]]
    model = models / "odd/simple_add_dynamic_shape.tflite"
    record = bench.run(model, "--runs", "1", inputs=bench.inputs(model)).ok()
    assert [(i["shape"], i["dynamic"]) for i in record["inputs"]] == [([1, 128, 4], True)] * 2
    assert record["outputs"][0]["shape"] == [1, 128, 4]


def test_a_signature_is_chosen_by_its_key(bench: Bench, models: Path) -> None:
    model = models / "odd/multi_signature_model.tflite"
    described = bench.run(model, "--describe").ok()
    assert len(described["signatures"]) > 1
    key = described["signatures"][1]
    inputs = bench.inputs(model, signature=1)
    record = bench.run(model, "--signature", key, "--runs", "1", inputs=inputs).ok()
    assert (record["signature"], record["signature_index"]) == (key, 1)
    error = bench.run(model, "--signature", "nope", inputs=inputs).error
    assert error["kind"] == "input"
    assert "nope" in error["message"]


def test_describe_runs_nothing(bench: Bench, models: Path) -> None:
    record = bench.run(models / "odd/mixed_input_model.tflite", "--describe").ok()
    details = record["signature_details"][0]
    assert details["key"] == record["signatures"][0]
    assert [(t["dtype"], t["shape"]) for t in details["inputs"]] == [("int32", [1, 10]), ("float32", [1, 10])]
    assert [(t["index"], t["dtype"]) for t in details["outputs"]] == [(0, "float32")]
    assert details["ops"] == 3
    assert "samples" not in record
    assert sorted(path.name for path in bench.out.iterdir()) == ["result.json", "stderr.log"]


def test_outputs_that_change_from_run_to_run_are_noticed(bench: Bench, models: Path) -> None:
    model = models / "odd/call_once_mul.bin"  # keeps a resource variable
    record = bench.run(model, "--runs", "2", inputs=bench.inputs(model)).ok()
    assert record["outputs_repeatable"] is False


def test_runs_go_on_until_both_count_and_seconds_are_reached(bench: Bench, models: Path) -> None:
    model = models / "float/blazeface_mlkit_v1.tflite"
    inputs = bench.inputs(model)
    record = bench.run(model, "--runs", "2", "--min-seconds", "0.1", "--warmup-seconds", "0.05", inputs=inputs).ok()
    timed = sum(record["invoke_us"]) + sum(record["read_us"])
    assert len(record["invoke_us"]) == len(record["read_us"]) > 2
    assert 50_000 < timed < 1_000_000
    assert sum(record["warmup_invoke_us"]) + sum(record["warmup_read_us"]) > 25_000
    record = bench.run(model, "--runs", "100000", "--max-seconds", "0.1", inputs=inputs).ok()
    assert 1 <= len(record["invoke_us"]) < 100_000
    record = bench.run(model, "--runs", "0", "--warmup", "0", inputs=inputs).ok()
    assert (record["warmup_invoke_us"], record["invoke_us"], record["outputs_repeatable"]) == ([], [], None)


def test_of_very_many_runs_an_even_part_is_kept(bench: Bench, models: Path) -> None:
    model = models / "float/hello_world_float.tflite"
    inputs = bench.inputs(model)
    record = bench.run(model, "--runs", "1", "--min-seconds", "0.5", inputs=inputs).ok()
    total, stride = record["runs_total"], record["runs_stride"]
    kept = len(record["invoke_us"])
    assert stride == 1 or 10_000 <= kept <= 20_000
    assert kept == -(-total // stride)
    assert sum(record["invoke_us"] + record["read_us"]) * stride <= 1e6  # they stand for the half second
    record = bench.run(model, "--runs", "50001", "--max-seconds", "20", inputs=inputs).ok()
    assert (record["runs_total"], record["runs_stride"], len(record["invoke_us"])) == (50_001, 1, 50_001)


def test_progress_is_said_line_by_line(bench: Bench, models: Path) -> None:
    model = models / "float/blazeface_mlkit_v1.tflite"
    finished = bench.run(model, "--runs", "3", "--min-seconds", "0.5", inputs=bench.inputs(model))
    lines = finished.stdout.splitlines()
    assert "stage run" in lines
    runs = [line.split() for line in lines if line.startswith("run ")]
    assert 1 <= len(runs) <= 8
    assert all(int(done) > 0 and total == "3" for _, done, total in runs)
    assert finished.stderr == ""


def test_result_json_is_plain_json_whatever_the_names_are(faked: Bench, fake_model: Path) -> None:
    """Control bytes and bytes that are no UTF-8 are escaped; the runtime's name has both here."""
    inputs = [[np.zeros(2, np.float32)]]
    finished = faked.run(fake_model, inputs=inputs)
    assert finished.ok()["signature"] == "serve\u00ff\x01"
    raw = (faked.out / "result.json").read_bytes()
    assert b"\x01" not in raw
    json.loads(raw.decode("ascii"))
    assert finished.output(0).tolist() == [1.0, 1.0]
