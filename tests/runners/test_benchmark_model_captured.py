"""Every captured run of the real tool is read as ../shared/facts/benchmark_model_observed.md says."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import pytest

from harness.engine.tensors import load_samples
from harness.plan.cell import ErrorClass, Outcome
from tests.runners import captured

# Run -> timed runs, their median and mean, initialisation, first run (all in microseconds), as the text prints them.
MEASURED: dict[str, tuple[int, float, float, float, float]] = {
    "a1_plain_2threads": (137, 7435, 7226.36, 16494, 6013),
    "a2_plain_2threads_short": (20, 5677, 5679.35, 17313, 6350),
    "a3_verbose": (20, 5694, 5709.1, 17192, 6082),
    "a6_run_delay_prefix_name": (20, 9845, 8803.3, 14131, 5940),
    "a7_zero_warmup": (5, 5660, 5660.6, 15472, 0),
    "a8_max_secs_cut": (177, 5561, 5639.23, 14421, 5969),
    "a9_result_proto": (20, 5555, 5551.4, 14265, 5984),
    "b10_partial_default": (20, 30, 29.85, 621, 71),
    "b12_partial_max_partitions_1": (20, 30, 29.75, 576, 67),
    "b1_xnnpack_true": (20, 5543, 5540.85, 14744, 5781),
    "b2_xnnpack_false": (20, 27269, 28502.1, 397, 58173),
    "b3_xnnpack_true_require_full": (20, 5535, 5654.2, 13952, 5779),
    "b5_xnnpack_fp16_cache": (20, 8842, 8825.65, 32844, 9168),
    "b6_xnnpack_partial": (20, 357, 361.95, 3047, 428),
    "b8_xnnpack_weight_cache_only": (20, 5500, 5496.45, 37526, 5827),
    "c10_runtime_info": (20, 5672, 5687.45, 14175, 5933),
    "c1_profile_csv": (20, 5795, 5799.55, 25137, 5860),
    "c2_profile_csv_old_flag": (20, 5696, 5697.35, 14617, 6161),
    "c3_profile_csv_xnn_false": (20, 26929, 27064.1, 574, 66563),
    "c4_profile_stdout": (20, 5818, 5864.65, 14408, 5984),
    "c5_profile_proto": (20, 5758, 5758.15, 16192, 6011),
    "c6_profile_csv_to_stdout": (20, 5655, 5651.3, 14361, 5961),
    "c7_profile_csv_unwritable": (20, 5673, 5724.4, 14469, 5946),
    "c9_profile_csv_xnn_explicit": (20, 5629, 5637.5, 14431, 5835),
    "d1_peak_memory": (80, 12054, 12542.2, 14482, 5986),
    "d2_peak_memory_5ms": (20, 17230, 18463.0, 21831, 17033),
    "d4_peak_memory_profile_all": (20, 12262, 12373.5, 14484, 11596),
    "e14_colon_layer_name_no_files": (20, 11295, 12829.9, 15340, 11114),
    "e15_two_inputs": (20, 0, 0.2, 861, 11),
    "e17_random_input_outputs_1": (20, 613, 619.25, 2109, 730),
    "e18_random_input_outputs_2": (20, 626, 1440.6, 3735, 694),
    "e1_mobilenet_io": (20, 25263, 26607.5, 15333, 27193),
    "e1_mobilenet_io_xnn_false": (20, 69623, 68229.6, 477, 145558),
    "e1_mobilenet_io_xnn_true": (20, 13583, 18175.1, 14664, 15034),
    "e21_mobilenet_he_io": (20, 16491, 17865.3, 34526, 22132),
    "e21_mobilenet_he_io_xnn_false": (20, 68455, 68538.6, 379, 120387),
    "e21_mobilenet_he_io_xnn_true": (20, 19833, 18446.7, 35632, 16544),
    "e21_mobilenet_he_io_xnn_true_fp16": (20, 29532, 29047.0, 39773, 30700),
    "e22_output_is_of_last_run_1run": (1, 24946, 24946.0, 18794, 0),
    "e24_two_inputs_in_order": (20, 0, 0.25, 677, 18),
    "e26_two_inputs_files_swapped": (20, 0, 0.3, 567, 10),
    "e27_one_value_file_other_random": (20, 0, 0.25, 511, 10),
    "e2_blazeface_io": (20, 664, 1320.7, 2244, 813),
    "e2_blazeface_io_xnn_false": (20, 12274, 11845.0, 496, 16947),
    "e2_blazeface_io_xnn_true": (20, 682, 2367.05, 6408, 705),
    "e3_blazeface_io_proto": (20, 617, 602.45, 2257, 705),
    "e7_wrong_layer_name": (20, 611, 1432.9, 2127, 667),
    "f20_float_int": (20, 19266, 18670.5, 14487, 11530),
    "f22_zero_threads": (20, 15653, 17105.5, 27627, 20873),
    "g11_single_sig_explicit_xnn_true": (20, 14795, 17767.3, 14187, 11619),
    "g1_dynamic_no_shape": (20, 0, 0.15, 520, 10),
    "g6_multi_sig_run": (20, 0, 0.05, 581, 9),
    "g9_single_sig_explicit": (20, 11743, 12643.6, 14354, 11709),
    "gpu-g_gpu_blazeface": (20, 9519, 9726.25, 2847638, 5438466),
    "gpu-g_gpu_blazeface_fp32": (20, 9454, 10123.2, 752574, 20570),
    "gpu-g_gpu_mobilenet": (20, 66568, 66170.9, 410862, 76477),
    "gpu-g_gpu_mobilenet_fp32": (20, 67238, 66629.5, 420882, 60691),
    "gpu-g_gpu_partial_require_full": (20, 114, 118.05, 222595, 625),
    "gpu-g_gpu_peak_memory": (20, 67513, 63607.1, 466880, 56248),
    "gpu-g_gpu_require_full": (20, 52679, 52935.9, 462505, 56379),
    "gpu-g_gpu_serialize": (20, 52666, 53573.6, 1722902, 60259),
    "gpu-g_gpu_xnnpack_false": (20, 53141, 53520.0, 474846, 63651),
    "gpu-n_verbose_defaults": (20, 11783, 11777.8, 20716, 15704),
    "gpustub-a2_plain_2threads_short": (20, 11726, 15519.1, 18531, 11945),
    "gpustub-b1_xnnpack_true": (20, 14258, 14773.8, 15348, 12028),
}


class Bad(NamedTuple):
    """What must come instead of a measurement; `words` stand in the reason."""

    outcome: Outcome
    error_class: ErrorClass | None
    kind: str
    words: str
    signal: int | None = None


def runner(kind: str, words: str) -> Bad:
    return Bad(Outcome.ERROR, ErrorClass.RUNNER, kind, words)


def aborted(words: str) -> Bad:
    return Bad(Outcome.ERROR, ErrorClass.RUNNER, "abort", f"aborted: {words}", 6)


def model(words: str, kind: str = "model") -> Bad:
    return Bad(Outcome.ERROR, ErrorClass.MODEL, kind, words)


def config(words: str, kind: str = "unknown_flag") -> Bad:
    return Bad(Outcome.ERROR, ErrorClass.CONFIG, kind, words)


def unsupported(kind: str, words: str) -> Bad:
    return Bad(Outcome.UNSUPPORTED, None, kind, words)


NO_GPU = config("was built without a GPU delegate for this platform", "runner_without_gpu")
NOT_THE_TOOL = runner("broken_result", "log lacks its beginning")
PROBLEMS = {
    "a5_dry_run": runner("broken_result", "no timed run (count=0)"),
    "b4_require_full_no_delegate": runner("run", "Disallowed CPU fallback"),
    "b7_xnnpack_true_require_full_partial_model": runner("run", "Disallowed CPU fallback"),
    "e10_wrong_rank": runner("usage", "Input tensor #188 should have 4 dimensions!"),
    "e12_output_unwritable": runner("broken_result", "wrote no output file"),
    "e13_layer_without_shape": runner("usage", "must match the number of items in --input_layer"),
    "e16_two_inputs_swapped_order": runner("inputs", "'serving_default_y:0' where 'serving_default_x:0' was expected"),
    "e20_string_output": unsupported("output_dtype", "'output' has type string"),
    "e23_value_range_int": unsupported("output_dtype", "'output' has type string"),
    "e4_colon_unescaped": runner("usage", "contains more than one delimiter"),
    "e5_wrong_size_file": aborted("The size of /data/local/tmp/in/short.bin is 10 bytes"),
    "e6_missing_value_file": aborted("Failed to read the input_layer_value_file"),
    "e8_value_file_for_unlisted_layer": aborted("Cannot find the corresponding input_layer name(other)"),
    "e9_value_files_without_input_layer": aborted("Cannot find the corresponding input_layer name"),
    "eval-h1_default": NOT_THE_TOOL,
    "eval-h2_xnnpack": NOT_THE_TOOL,
    "eval-h3_gpu": NOT_THE_TOOL,
    "eval-h8_two_outputs": NOT_THE_TOOL,
    "eval-h10_use_xnnpack_true": NOT_THE_TOOL,
    "eval-h4_bad_delegate": runner("run", "failed"),
    "eval-h5_missing_model": runner("run", "failed"),
    "eval-h6_no_args": runner("run", "failed"),
    "eval-h7_help": runner("usage", "usage: "),
    "eval-h9_unknown_flag": config("no flag --nope"),
    "eval-h11_garbage": runner("run", "should be 'TFL3'"),
    "eval-h12_string_model": runner("run", "failed"),
    "f1_missing_model": model("Could not open '/nonexistent/model.tflite'"),
    "f2_garbage_model": model("not a valid Flatbuffer"),
    "f3_unknown_flag": config("no flags --no_such_flag, stray"),
    "f4_use_gpu": config("no flag --use_gpu"),
    "f10_truncated_model": model("not a valid Flatbuffer"),
    "f11_empty_model": model("mmap of size 0"),
    "f12_directory_model": model("error '19'"),
    "f13_flag_space_form": config("no flags --num_threads, 2"),
    "f16_use_nnapi": config("no flag --use_nnapi"),
    "f17_use_gpu_require_full": config("no flag --use_gpu"),
    "f18_custom_op_unresolved": unsupported("compile", "unresolved custom op: Normalize"),
    "f21_invoke_fails": runner("run", "an inference failed: "),
    "f23_minus2_threads": runner("usage", "num_threads should be >= 0"),
    "f24_graph_twice_empty": runner("run", "Please specify the name of your TF Lite input file"),
    "f25_bad_shape_text": aborted("Incorrect size string specified: 1,a,b,3"),
    "f26_zero_dim": unsupported("output_shape", "0 bytes of outputs"),
    "f27_huge_dim": model("Failed to allocate tensors", "compile"),
    "f28_random_int_index_fails": runner("run", "an inference failed: "),
    "g2_dynamic_with_shape": unsupported("output_shape", "10240 bytes of outputs"),
    "g3_dynamic_minus1": runner("run", "Any unknown sizes in the shapes"),
    "g4_multi_sig_no_flag": model("Signature not specified"),
    "g5_multi_sig_list": runner("run", "failed"),
    "g7_multi_sig_bad_key": model("Signature not specified or incorrect"),
    "g8_sig_on_no_sig_model": model("does not have any signatures"),
    "g10_single_sig_list": runner("run", "failed"),
    "g12_dynamic_with_shape_xnn_true": unsupported("output_shape", "10240 bytes of outputs"),
    "gpu-g_gpu_partial_topk": unsupported("no_node_delegated", "it does not take TOPK_V2"),
    "gpu-g_gpu_string_model": unsupported("compile", "tensors of dynamic size"),
    "gpu-g_xnnpack_then_gpu": unsupported("no_node_delegated", "DELEGATE TfLiteXNNPackDelegate"),
    "gpu-n_gpu_no_opencl_lib_cl": unsupported("accelerator_unavailable", "Can not open OpenCL library"),
    "gpustub-f4_use_gpu": NO_GPU,
    "gpustub-f17_use_gpu_require_full": NO_GPU,
}


def test_every_captured_run_has_an_expectation() -> None:
    captured.need_samples()
    assert sorted([*MEASURED, *PROBLEMS]) == captured.names()


@pytest.mark.parametrize("name", MEASURED)
def test_measured(name: str, tmp_path: Path) -> None:
    count, median, mean, init, first = MEASURED[name]
    report = captured.report(name, tmp_path)
    found = report.measurement
    assert found is not None, report.problem
    assert found.summary is not None
    assert (found.summary["count"], found.summary["median_us"]) == (count, median)
    assert found.summary["mean_us"] == pytest.approx(mean, rel=1e-5)
    assert (
        found.summary["min_us"]
        <= found.summary["p5_us"]
        <= median
        <= found.summary["p95_us"]
        <= found.summary["max_us"]
    )
    assert found.init_us == init
    assert found.samples_us == ()
    assert found.scope == "benchmark_model"
    asked = any(word.startswith("--output_filepath=") for word in captured.command(name))
    assert bool(found.outputs) == asked
    if first:
        assert found.first_us == first
    if name.startswith("gpu-g"):
        assert found.delegation.fallback is False
        assert found.delegation.partitions == 1
        assert found.delegation.evidence.endswith("completely executed by the delegate; through OpenCL")
        assert found.delegation.nodes_total == found.delegation.nodes_delegated


@pytest.mark.parametrize("name", PROBLEMS)
def test_not_measured(name: str, tmp_path: Path) -> None:
    report = captured.report(name, tmp_path)
    assert report.measurement is None
    found = report.problem
    assert found is not None
    expected = PROBLEMS[name]
    assert (found.outcome, found.error_class, found.kind) == (expected.outcome, expected.error_class, expected.kind)
    assert expected.words in found.reason
    assert found.signal == expected.signal
    assert not found.retried


def test_warm_up_off_leaves_the_first_timed_run(tmp_path: Path) -> None:
    found = captured.report("a7_zero_warmup", tmp_path).measurement
    assert found is not None
    assert found.first_us == 5790


def test_a_single_run_has_no_spread(tmp_path: Path) -> None:
    found = captured.report("e22_output_is_of_last_run_1run", tmp_path).measurement
    assert found is not None
    assert found.summary is not None
    assert (found.summary["stdev_us"], found.summary["min_us"], found.summary["max_us"]) == (0.0, 24946.0, 24946.0)
    assert "1 of 20 runs were timed before `max_seconds` was over" in found.notes


def test_peak_memory_is_bytes(tmp_path: Path) -> None:
    found = captured.report("d1_peak_memory", tmp_path).measurement
    assert found is not None
    assert found.peak_rss_bytes == round(48.8984 * (1 << 20))


def test_the_result_file_refines_the_mean(tmp_path: Path) -> None:
    found = captured.report("d4_peak_memory_profile_all", tmp_path).measurement
    assert found is not None
    assert found.summary is not None
    assert found.summary["mean_us"] == 12373.55  # the text has 12373.5 or 12373.6


def test_the_graph_after_delegation_is_evidence(tmp_path: Path) -> None:
    found = captured.report("c10_runtime_info", tmp_path).measurement
    assert found is not None
    assert found.delegation.evidence == "the graph after delegation: TfLiteXNNPackDelegate"


def test_outputs_are_split_in_the_subgraphs_order(tmp_path: Path) -> None:
    found = captured.report("e2_blazeface_io", tmp_path).measurement
    assert found is not None
    whole = (captured.SAMPLES / "e2_blazeface_io" / "out.bin").read_bytes()
    ((regressors, scores),) = load_samples(found.outputs)
    assert (regressors.shape, scores.shape) == ((1, 564, 16), (1, 564, 1))
    assert regressors.tobytes() + scores.tobytes() == whole
    assert [file.bytes for file in found.outputs] == [36096, 2256]
    assert not (tmp_path / "out" / "out.bin").exists()
    assert all(len(file.crc32) == 8 for file in found.outputs)


def test_the_log_is_kept_as_evidence(tmp_path: Path) -> None:
    captured.report("gpustub-f4_use_gpu", tmp_path)
    kept = (tmp_path / "out" / "log.txt").read_text()
    assert kept == captured.stream("gpustub-f4_use_gpu") + captured.stream("gpustub-f4_use_gpu", "stderr")


@pytest.mark.parametrize("name", ["a1_plain_2threads", "gpu-g_gpu_blazeface", "d1_peak_memory"])
def test_a_log_cut_anywhere_is_a_measurement_only_from_its_results_on(name: str, tmp_path: Path) -> None:
    lines = captured.stream(name).splitlines(keepends=True)
    results = next(number for number, line in enumerate(lines) if "Inference timings" in line)
    for kept in range(len(lines)):
        folder = tmp_path / str(kept)
        folder.mkdir()
        report = captured.report(name, folder, old="".join(lines[kept:]), new="")
        assert (report.measurement is not None) == (kept > results)
        if report.problem is not None:
            assert report.problem.outcome is Outcome.ERROR


def test_a_log_that_lost_lines_from_its_beginning_is_no_measurement(tmp_path: Path) -> None:
    lines = captured.stream("a1_plain_2threads").splitlines(keepends=True)
    for lost in range(1, len(lines)):
        folder = tmp_path / str(lost)
        folder.mkdir()
        assert captured.report("a1_plain_2threads", folder, old="".join(lines[:lost]), new="").measurement is None
