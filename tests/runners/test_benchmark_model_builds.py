"""Builds write differently, and newer ones write files beside their log."""

from __future__ import annotations

import hashlib
import struct
from pathlib import Path

import pytest

from harness.plan.cell import ErrorClass, Model, ModelRef
from harness.runners.upstream import proto
from tests.runners import captured
from tests.runners.told import NONE, PART, REPLACED, STATS, TIMINGS, TWO, WHOLE, gpu, measured, problem, reported, text

# Builds.


def test_a_build_without_severities(tmp_path: Path) -> None:
    plain = text(WHOLE, "WARN: nothing").replace("INFO: ", "").replace("WARN: ", "")
    found = measured(reported(tmp_path, plain, gpu()))
    assert found.summary is not None
    assert (found.summary["count"], found.summary["median_us"], found.init_us, found.first_us) == (
        20,
        12.0,
        700.0,
        60.0,
    )


def test_a_build_without_percentiles_has_no_median(tmp_path: Path) -> None:
    found = problem(reported(tmp_path, text().replace(" p5=9 median=12 p95=20", "")))
    assert (found.error_class, found.kind) == (ErrorClass.CONFIG, "no_median")


@pytest.mark.parametrize("line", ["count=20 curr=7(all same)", "count=20 curr=7(all same) p5=7 median=7 p95=7"])
def test_runs_that_all_took_the_same_time(tmp_path: Path, line: str) -> None:
    found = measured(reported(tmp_path, text().replace(STATS, line)))
    assert found.summary is not None
    assert (found.summary["count"], found.summary["min_us"], found.summary["median_us"], found.summary["stdev_us"]) == (
        20,
        7,
        7,
        0,
    )


def test_long_runs_are_printed_with_an_exponent(tmp_path: Path) -> None:
    slow = "INFO: count=3 min=7900000 max=8100000 avg=7.97999e+06 std=9 p5=7900000 median=8000000 p95=8100000"
    found = measured(reported(tmp_path, text().replace(STATS, slow)))
    assert found.summary is not None
    assert found.summary["mean_us"] == 7_979_990


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("min=9 ", "min=-9 ", "negative or not finite"),
        ("median=12", "median=21", "out of order"),
        ("max=20", "max=1e999", "negative or not finite"),
    ],
)
def test_statistics_that_cannot_be(tmp_path: Path, old: str, new: str, words: str) -> None:
    found = problem(reported(tmp_path, text().replace(STATS, STATS.replace(old, new))))
    assert (found.error_class, found.kind) == (ErrorClass.RUNNER, "broken_result")
    assert words in found.reason


@pytest.mark.parametrize("line", ["count=" + "9" * 400, "count=20 avg=1e+", "count=20 min=--1 max=.", "count=x"])
def test_numbers_that_are_none_are_no_statistics(tmp_path: Path, line: str) -> None:
    assert reported(tmp_path, text().replace(STATS, line)).measurement is None


def test_kernels_of_a_cpu_cell_are_named_or_noted(tmp_path: Path) -> None:
    whole = measured(reported(tmp_path, text(WHOLE.replace("GPU", "XNNPACK"))))
    assert not whole.notes
    for number, line in enumerate((NONE, PART, "")):
        (tmp_path / str(number)).mkdir()
        found = measured(reported(tmp_path / str(number), text(line.replace("GPU", "XNNPACK"))))
        (note,) = found.notes
        assert "built-in kernels" in note
        assert found.delegation.fallback is False


def test_litert_times_only_and_says_so(tmp_path: Path) -> None:
    log = text().replace(TIMINGS, "INFO: Initialized session in 0.7ms.")
    stderr = "INFO: [benchmark_litert_model.h:9] ========== BENCHMARK RESULTS =========="
    (tmp_path / "libLiteRtX.so").write_bytes(b"")
    found = measured(reported(tmp_path, log, stderr=stderr, program=b"gpu-precision"))
    assert found.outputs == ()
    assert f"libLiteRtX.so has SHA-256 {hashlib.sha256().hexdigest()}" in found.notes
    assert found.scope == "benchmark_litert_model"
    assert (found.init_us, found.first_us) == (700.0, 60.0)
    assert any("accuracy was not measured" in note for note in found.notes)


@pytest.mark.parametrize("proof", [True, False])
def test_litert_on_the_gpu_needs_proof_as_well(tmp_path: Path, proof: bool) -> None:
    line = REPLACED.format("LITERT_CL") if proof else ""
    stderr = f"INFO: [x:9] BENCHMARK RESULTS\n{line}"
    report = reported(tmp_path, text(), gpu(), stderr=stderr, program=b"gpu-precision")
    if proof:
        assert measured(report).delegation.evidence == "3 of 3 nodes replaced by LITERT_CL; through OpenCL"
    else:
        assert problem(report).kind == "delegation_unknown"


@pytest.mark.parametrize(("kind", "software"), [("CPU / Software", True), ("Discrete GPU", False)])
def test_litert_names_the_adapter_of_webgpu(tmp_path: Path, kind: str, software: bool) -> None:
    line = f"INFO: [y:2] Selected adapter: Some GPU (x), arch=a, vendor=v, backend=Vulkan, adapterType={kind}"
    stderr = f"INFO: [x:9] BENCHMARK RESULTS\n{REPLACED.format('LITERT_WEBGPU')}\n{line}"
    report = reported(tmp_path, text(), gpu(), stderr=stderr, program=b"gpu-precision")
    assert measured(report)
    assert (report.adapter, report.adapter_software) == ("Some GPU (x)", software)


def test_litert_without_its_gpu_library(tmp_path: Path) -> None:
    stderr = "INFO: [x:9] BENCHMARK RESULTS\nWARNING: [y:1] GPU accelerator could not be loaded and registered."
    found = problem(reported(tmp_path, text(), gpu(), stderr=stderr, program=b"gpu-precision"))
    assert (found.error_class, found.kind) == (ErrorClass.CONFIG, "runner_without_gpu")
    (tmp_path / "cpu").mkdir()
    assert measured(reported(tmp_path / "cpu", text(), stderr=stderr, program=b"gpu-precision")).summary is not None


# Files beside the log.


def field(number: int, value: bytes | int) -> bytes:
    """A field of a message; all numbers here fit one byte."""
    if isinstance(value, int):
        return bytes([number << 3, value])
    return bytes([number << 3 | 2, len(value)]) + value


def single(number: int, value: float) -> bytes:
    return bytes([number << 3 | 5]) + struct.pack("<f", value)


def result_file(runs: int = 20, median: float = 0.012) -> bytes:
    latency = single(1, 0.0123) + single(2, 0.009) + single(3, 0.02) + single(5, median)
    return field(2, latency) + field(4, field(2, runs))


def info_file(nodes: int, *kernels: tuple[str, int]) -> bytes:
    """The graph after delegation: `nodes` in all, some of them in kernels."""
    parts = b"".join(field(3, field(1, index)) for index in range(nodes))
    first = 0
    for name, count in kernels:
        ids = bytes(range(first, first + count))
        parts += field(3, field(8, field(1, name.encode()) + field(2, ids)))
        first += count
    return field(2, field(1, 0) + parts)


RESULT, INFO = b"result_file_path", b"model_runtime_info_output_file"


def test_the_result_file_has_to_be_of_the_same_runs(tmp_path: Path) -> None:
    found = measured(reported(tmp_path, text(), program=RESULT, files={"result.pb": result_file()}))
    assert found.summary is not None
    assert found.summary["mean_us"] == 12.3


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (result_file(runs=19), "19 runs in result.pb, 20 in the log"),
        (result_file(median=0.014), "14 us in result.pb, 12 us in the log"),
        (result_file()[:-1], "cut short"),
        (b"\xff" * 30, "cannot be used"),
        (b"", "None runs"),
        (None, "No such file"),
    ],
)
def test_result_files_that_cannot_be_trusted(tmp_path: Path, data: bytes | None, words: str) -> None:
    files = {} if data is None else {"result.pb": data}
    found = problem(reported(tmp_path, text(), program=RESULT, files=files))
    assert (found.error_class, found.kind) == (ErrorClass.RUNNER, "broken_result")
    assert words in found.reason


def test_the_graph_counts_more_than_the_words(tmp_path: Path) -> None:
    graph = info_file(3, ("TfLiteGpuDelegateV2", 2), ("TfLiteXNNPackDelegate", 1))
    report = reported(tmp_path, text(WHOLE), gpu(), program=INFO, files={"rt.pb": graph})
    assert problem(report).reason.startswith("1 of 3 operations ran on the CPU")


@pytest.mark.parametrize(
    ("kernels", "split"),
    [
        ([("TfLiteGpuDelegateV2", 3)], (3, 1, False)),
        ([("TfLiteGpuDelegateV2", 1), ("TfLiteGpuDelegateV2", 1)], (2, 2, True)),
        ([("LITERT_CL", 1), ("TfLiteXNNPackDelegate", 2)], (1, 1, True)),
    ],
)
def test_the_graph_gives_the_split(
    tmp_path: Path, kernels: list[tuple[str, int]], split: tuple[int, int, bool]
) -> None:
    report = reported(tmp_path, text(), gpu("partial"), program=INFO, files={"rt.pb": info_file(3, *kernels)})
    found = measured(report).delegation
    assert (found.nodes_total, found.nodes_delegated, found.partitions, found.fallback) == (3, *split)


def test_a_graph_without_a_gpu_kernel_is_unsupported(tmp_path: Path) -> None:
    graph = info_file(3, ("TfLiteXNNPackDelegate", 3))
    report = reported(tmp_path, text(WHOLE), gpu("partial"), program=INFO, files={"rt.pb": graph})
    assert problem(report).kind == "no_node_delegated"


def test_the_graph_of_the_signature_that_runs_counts(tmp_path: Path) -> None:
    model = Model(ModelRef("m", "m"), nodes=3, outputs=TWO, subgraph=1, signature="b", signatures=("a", "b"))
    on_gpu, on_cpu = info_file(3, ("TfLiteGpuDelegateV2", 3)), info_file(3)
    for number, (data, kind) in enumerate(((on_gpu + on_cpu, "no_node_delegated"), (on_gpu, "broken_result"))):
        (tmp_path / str(number)).mkdir()
        files = {"rt.pb": data}
        report = reported(tmp_path / str(number), text(), gpu("partial"), program=INFO, files=files, model=model)
        assert problem(report).kind == kind


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (("TfLiteXNNPackDelegate", 3), None),
        (("TfLiteXNNPackDelegate", 2), "took a part of the graph"),
        (("Other", 3), "took no part of the graph"),
    ],
)
def test_the_graph_names_the_kernels_of_a_cpu_cell(tmp_path: Path, data: tuple[str, int], words: str | None) -> None:
    found = measured(reported(tmp_path, text(), program=INFO, files={"rt.pb": info_file(3, data)}))
    assert [words in note for note in found.notes if words] == [True] * bool(words)
    assert bool(found.notes) == bool(words)


def test_a_damaged_graph(tmp_path: Path) -> None:
    report = reported(tmp_path, text(WHOLE), gpu(), program=INFO, files={"rt.pb": info_file(3)[:-1]})
    assert problem(report).kind == "broken_result"


def test_a_real_graph() -> None:
    captured.need_samples()
    data = (captured.SAMPLES / "c10_runtime_info" / "rt.pb").read_bytes()
    info = proto.runtime_info(data)
    assert info.nodes == 31
    assert info.delegates == (proto.DelegateNode("TfLiteXNNPackDelegate", 31),)


def test_every_cut_of_a_real_message_is_noticed_or_harmless() -> None:
    captured.need_samples()
    data = (captured.SAMPLES / "a9_result_proto" / "result.pb").read_bytes()
    whole = proto.benchmark_result(data)
    for end in range(len(data)):
        try:
            assert proto.benchmark_result(data[:end]) != whole
        except ValueError:
            continue
