from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness.clock import SystemClock
from harness.errors import UsageError
from harness.plan.cell import ErrorClass, InputPlan, Limits, Outcome, Problem
from harness.reference import child
from harness.reference.golden import Golden, GoldenRunner
from harness.reference.inputs import InputSet
from tests.reference.computing import arrays, computed, failed, inputs_of, pretender, runner
from tests.reference.real_models import ours, read, repacked, shared

__all__ = ["runner"]

TFLITE_RUNTIME_PYTHON = os.environ.get("HARNESS_TFLITE_RUNTIME_PYTHON")


class TestOutputs:
    def test_they_are_right(self, runner: GoldenRunner) -> None:
        model = read(ours("ops/softmax"))
        inputs = inputs_of(model)
        result = computed(runner, model, inputs)
        for sample in range(2):
            (logits,) = inputs.arrays(sample)
            expected = np.exp(logits - logits.max(-1, keepdims=True))
            expected /= expected.sum(-1, keepdims=True)
            assert np.allclose(arrays(result, sample)[0], expected, atol=1e-6)

    def test_order_is_that_of_the_model(self, runner: GoldenRunner) -> None:
        model = read(shared("odd/reverse_signature_model.bin"))
        inputs = inputs_of(model)
        y, x = inputs.arrays(0)
        total, product = arrays(computed(runner, model, inputs), 0)
        assert [spec.name for spec in model.outputs] == ["sum", "prod"]
        assert np.array_equal(total, x + y)
        assert np.array_equal(product, x * y)

    @pytest.mark.parametrize("signature", ["add", "mul", "sub"])
    def test_chosen_signature(self, runner: GoldenRunner, signature: str) -> None:
        model = read(shared("odd/multi_signature_model.tflite"), signature=signature)
        inputs = inputs_of(model)
        b, a = inputs.arrays(1)
        assert np.array_equal(
            arrays(computed(runner, model, inputs), 1)[0], {"add": a + b, "mul": a * b, "sub": a - b}[signature]
        )

    def test_row(self, runner: GoldenRunner) -> None:
        row = computed(runner, read(ours("ops/add"))).row()
        assert row["kind"] == "golden"
        assert row["device"] is None
        assert str(row["runtime"]).startswith("ai-edge-litert 2")
        assert row["kernels"] == "reference"
        assert row["fallback_reason"] is None

    @pytest.mark.parametrize(
        "name", ["mobilenet_v1", "posenet", "deeplab", "mobilenet_ssd", "face_contour", "video_segmentation"]
    )
    def test_every_family_of_ours(self, runner: GoldenRunner, name: str) -> None:
        model = read(ours(name))
        result = computed(runner, model)
        assert result.kernels == "reference"
        stated = [(spec.name, spec.dtype, spec.shape) for spec in model.outputs]
        for sample in range(2):
            written = [(file.name, file.dtype, file.shape) for file in result.outputs if file.sample == sample]
            assert written == stated
            assert all(np.isfinite(array).all() for array in arrays(result, sample))
        first, second = arrays(result, 0), arrays(result, 1)
        assert not any(np.array_equal(a, b) for a, b in zip(first, second, strict=True))

    @pytest.mark.parametrize(
        "name", ["float/blazeface_mlkit_v1.tflite", "quant/micro_speech_quantized.tflite", "odd/lstm.bin"]
    )
    def test_public_models(self, runner: GoldenRunner, name: str) -> None:
        model = read(shared(name))
        result = computed(runner, model)
        assert len(result.outputs) == 2 * len(model.outputs)
        assert (result.kernels, result.fallback_reason) == ("reference", None)

    def test_real_shapes_of_dynamic_outputs(self, runner: GoldenRunner) -> None:
        model = read(shared("odd/add_unknown_dimensions.bin"))
        assert model.outputs[0].shape == ()
        assert computed(runner, model).outputs[0].shape == (1, 1, 3, 3)

    def test_scalars_empty_tensors_and_no_tensors(self, runner: GoldenRunner) -> None:
        scalars = computed(runner, read(shared("odd/multi_subgraphs_while.bin")))
        assert [(file.dtype, file.shape) for file in scalars.outputs[:2]] == [("float32", ()), ("int32", ())]
        empty = computed(runner, read(shared("odd/test_min_runtime.bin")))
        assert [(file.shape, file.bytes) for file in empty.outputs] == [((0,), 0)] * 2
        assert computed(runner, read(shared("odd/empty_model.bin"))).outputs == ()


class TestFallback:
    @pytest.mark.parametrize(
        ("name", "reason"),
        [
            ("mlperftiny_kws_hybrid", "dynamic-range model: reference kernels round differently"),
            ("selfie_segmenter", "reference kernels lack the custom operation Convolution2DTransposeBias"),
        ],
    )
    def test_public_models(self, runner: GoldenRunner, name: str, reason: str) -> None:
        result = computed(runner, read(shared(f"float/{name}.tflite")))
        assert (result.kernels, result.fallback_reason) == ("xnnpack", reason)

    def test_operation_that_reference_kernels_lack(self, runner: GoldenRunner) -> None:
        model = read(ours("ops/elu"))
        inputs = inputs_of(model)
        result = computed(runner, model, inputs)
        assert (result.kernels, result.fallback_reason) == ("xnnpack", "reference kernels lack ELU version 1")
        (x,) = inputs.arrays(0)
        assert np.allclose(arrays(result, 0)[0], np.where(x > 0, x, np.expm1(x)), atol=1e-5)


class TestState:
    def test_every_sample_starts_afresh(self, runner: GoldenRunner) -> None:
        # y = variable * x, then variable = x: a kept variable would make the second answer x0 * x1.
        model = read(shared("odd/call_once_mul.bin"))
        inputs = inputs_of(model)
        result = computed(runner, model, inputs)
        ratios = [float(arrays(result, sample)[0] / inputs.arrays(sample)[0]) for sample in range(2)]
        assert ratios[0] == pytest.approx(ratios[1], rel=1e-6)

    def test_lstm_does_not_depend_on_the_order_of_samples(self, runner: GoldenRunner) -> None:
        model = read(shared("float/mnist_lstm_float.tflite"))
        inputs = inputs_of(model)
        turned = InputSet(inputs.sha256[::-1], inputs.specs, inputs.samples[::-1])
        forward, backward = computed(runner, model, inputs), computed(runner, model, turned)
        assert np.array_equal(arrays(forward, 0)[0], arrays(backward, 1)[0])
        assert np.array_equal(arrays(forward, 1)[0], arrays(backward, 0)[0])


class TestCache:
    def test_hit_starts_no_process(self, runner: GoldenRunner, monkeypatch: pytest.MonkeyPatch) -> None:
        model = read(ours("ops/add"))
        first = computed(runner, model)

        def forbidden(*_: object, **__: object) -> None:
            raise AssertionError("a process was started")

        monkeypatch.setattr(subprocess, "Popen", forbidden)
        assert computed(GoldenRunner(SystemClock()), model) == first

    def test_nothing_but_the_entry_is_left(self, runner: GoldenRunner, cache: Path) -> None:
        computed(runner, read(ours("ops/add")))
        (entry,) = (cache / "golden").glob("*/*")
        assert sorted(path.name for path in entry.iterdir()) == [
            "meta.json",
            "result.json",
            "s0_o0.bin",
            "s1_o0.bin",
            "stage",
        ]

    @pytest.mark.parametrize("damage", ["flipped", "shortened", "missing", "no meta", "odd meta", "partial meta"])
    def test_damaged_entry_is_computed_again(self, runner: GoldenRunner, damage: str) -> None:
        model = read(ours("ops/add"))
        first = computed(runner, model)
        output = Path(first.outputs[1].path)
        meta = output.with_name("meta.json")
        good = output.read_bytes()
        if damage == "flipped":
            output.write_bytes(bytes([good[0] ^ 1]) + good[1:])
        elif damage == "shortened":
            output.write_bytes(good[:-4])
        elif damage == "missing":
            output.unlink()
        elif damage == "no meta":
            meta.unlink()
        elif damage == "odd meta":
            meta.write_text('["not", "an", "object"]')
        else:
            meta.write_text(json.dumps({"outputs": [{"file": output.name}]}))
        again = computed(runner, model)
        assert again == first
        assert output.read_bytes() == good

    def test_other_inputs_signature_or_model_are_other_entries(self, runner: GoldenRunner) -> None:
        path = shared("odd/multi_signature_model.tflite")
        seeds = [computed(runner, read(path, InputPlan(seed=seed))) for seed in (0, 1)]
        chosen = computed(runner, read(path, InputPlan(), signature="mul"))
        assert len({result.outputs[0].path for result in (*seeds, chosen)}) == 3


class TestFailures:
    def test_killed_child(self, tmp_path: Path) -> None:
        script = 'echo "something odd" >&2\nkill -SEGV $$'
        problem = failed(GoldenRunner(SystemClock(), python=pretender(tmp_path, script)), read(ours("ops/add")))
        assert (problem.outcome, problem.error_class) == (Outcome.ERROR, ErrorClass.MODEL)
        assert (problem.kind, problem.signal) == ("reference_crash", signal.SIGSEGV)
        assert "killed by SIGSEGV" in problem.reason
        assert "something odd" in problem.reason

    def test_child_that_ends_without_a_result(self, tmp_path: Path) -> None:
        problem = failed(GoldenRunner(SystemClock(), python=pretender(tmp_path, "exit 0")), read(ours("ops/add")))
        assert problem.kind == "reference_crash"
        assert problem.signal is None

    def test_deadline(self, tmp_path: Path) -> None:
        script = f"echo $$ > {shlex.quote(str(tmp_path / 'pid'))}\nexec sleep 60"
        runner = GoldenRunner(SystemClock(), python=pretender(tmp_path, script))
        problem = failed(runner, read(ours("ops/add")), Limits(deadline_seconds=0.5))
        assert (problem.outcome, problem.kind) == (Outcome.TIMEOUT, "reference_timeout")
        assert "after 0.5 s" in problem.reason
        with pytest.raises(ProcessLookupError):
            os.kill(int((tmp_path / "pid").read_text()), 0)

    def test_cancel(self, tmp_path: Path) -> None:
        os.mkfifo(tmp_path / "started")
        script = f"echo go > {shlex.quote(str(tmp_path / 'started'))}\nexec sleep 60"
        runner = GoldenRunner(SystemClock(), python=pretender(tmp_path, script))
        model = read(ours("ops/add"))
        inputs = inputs_of(model)
        results: list[Golden | Problem] = []
        thread = threading.Thread(target=lambda: results.append(runner.compute(model, inputs, Limits())))
        thread.start()
        (tmp_path / "started").read_text()
        runner.cancel()
        thread.join(10)
        assert not thread.is_alive()
        results.append(runner.compute(model, inputs, Limits()))
        for result in results:
            assert isinstance(result, Problem)
            assert (result.outcome, result.kind) == (Outcome.NOT_RUN, "cancelled")

    @pytest.mark.skipif(sys.platform != "linux", reason="the limit of address space is only set on Linux")
    def test_memory_bomb(self, runner: GoldenRunner, tmp_path: Path) -> None:
        model = read(shared("odd/conv3d_huge_im2col.bin"))
        paths = []
        for spec in model.inputs:
            paths.append(tmp_path / f"{spec.index}.bin")
            with paths[-1].open("wb") as stream:
                stream.truncate(4 * int(np.prod(spec.shape)))  # a hole: 345 MB that take no space
        inputs = InputSet("0" * 64, model.inputs, (tuple(paths),))
        problem = failed(runner, model, Limits(memory_bytes=1 << 30), inputs)
        assert (problem.outcome, problem.error_class) == (Outcome.ERROR, ErrorClass.MODEL)
        assert problem.kind == "reference_memory"
        assert "1024 MiB" in problem.reason

    @pytest.mark.skipif(sys.platform != "linux", reason="the limit of address space is only set on Linux")
    @pytest.mark.parametrize("mebibytes", [40, 80])
    def test_too_little_memory_to_start(self, runner: GoldenRunner, mebibytes: int) -> None:
        problem = failed(runner, read(ours("ops/add")), Limits(memory_bytes=mebibytes << 20))
        assert problem.kind == "reference_memory"

    def test_outputs_over_the_limit(self, runner: GoldenRunner) -> None:
        problem = failed(runner, read(ours("ops/add")), Limits(output_bytes=100))
        assert (problem.error_class, problem.kind) == (ErrorClass.CONFIG, "reference_output_bytes")

    @pytest.mark.parametrize(
        ("name", "operation"),
        [
            ("quant/mobilenet_v1_0.25_128_quant_edgetpu.tflite", "the custom operation edgetpu-custom-op"),
            ("odd/multi_add_flex.bin", "TensorFlow (Flex) operations"),
        ],
    )
    def test_operations_that_nobody_has(self, runner: GoldenRunner, name: str, operation: str) -> None:
        problem = failed(runner, read(shared(name)))
        assert (problem.outcome, problem.kind) == (Outcome.UNSUPPORTED, "reference_unsupported")
        assert f"no kernel for {operation}" in problem.reason

    def test_output_that_is_not_numbers(self, runner: GoldenRunner, tmp_path: Path) -> None:
        def keep_the_strings_inside(model: Any) -> None:
            # A tensor of strings is stored as their number, where each one starts and the last one ends, and they.
            ends = np.arange(11, dtype=np.int32) + 4 * 12
            packed = np.int32(10).tobytes() + ends.tobytes() + b"abcdefghij"
            strings, indices = model.subgraphs[0].inputs
            model.buffers[model.subgraphs[0].tensors[strings].buffer].data = np.frombuffer(packed, np.uint8)
            model.subgraphs[0].inputs = [indices]

        model = read(repacked(shared("odd/gather_string.tflite"), tmp_path / "m.tflite", keep_the_strings_inside))
        problem = failed(runner, model)
        assert (problem.outcome, problem.kind) == (Outcome.UNSUPPORTED, "reference_unsupported")
        assert "output 'output' does not hold numbers" in problem.reason

    def test_model_that_the_runtime_refuses(self, runner: GoldenRunner) -> None:
        problem = failed(runner, read(shared("odd/segment_sum_invalid_buffer.bin")))
        assert (problem.error_class, problem.kind) == (ErrorClass.MODEL, "reference_error")
        assert "Input tensor 2 lacks data" in problem.reason


class TestRuntimes:
    def test_unknown(self) -> None:
        with pytest.raises(UsageError, match="did you mean 'tflite-runtime'"):
            GoldenRunner(SystemClock(), runtime="tflite_runtime")  # type: ignore[arg-type]

    def test_python_that_is_not_there(self, tmp_path: Path) -> None:
        problem = failed(GoldenRunner(SystemClock(), python=str(tmp_path / "python")), read(ours("ops/add")))
        assert (problem.error_class, problem.kind) == (ErrorClass.CONFIG, "reference_runtime")
        assert "cannot be started" in problem.reason

    @pytest.mark.parametrize("elsewhere", [False, True])
    def test_not_installed(self, tmp_path: Path, elsewhere: bool, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(child.RUNTIMES, "tflite-absent", "tflite_absent.interpreter")
        python = pretender(tmp_path, "exit 9") if elsewhere else sys.executable
        runner = GoldenRunner(SystemClock(), runtime="tflite-absent", python=python)  # type: ignore[arg-type]
        problem = failed(runner, read(ours("ops/add")))
        assert (problem.error_class, problem.kind) == (ErrorClass.CONFIG, "reference_runtime")
        assert "tflite-absent is not installed for" in problem.reason

    @pytest.mark.skipif(int(np.__version__.split(".")[0]) < 2, reason="needs numpy 2")
    def test_tflite_runtime_with_numpy_2(self, tmp_path: Path) -> None:
        request = {
            "runtime": "tflite-runtime",
            "folder": str(tmp_path),
            "cpu_seconds": 60,
            "memory_bytes": 1 << 30,
            "kernels": ["reference"],
        }
        (tmp_path / "request.json").write_text(json.dumps(request))
        subprocess.run([sys.executable, child.__file__, str(tmp_path / "request.json")], check=True)
        error = json.loads((tmp_path / "result.json").read_text())["error"]
        assert error["kind"] == "runtime"
        assert "tflite-runtime needs numpy 1" in error["message"]

    @pytest.mark.skipif(
        TFLITE_RUNTIME_PYTHON is None,
        reason="needs HARNESS_TFLITE_RUNTIME_PYTHON: python3.11 -m venv V; "
        "V/bin/pip install 'tflite-runtime==2.14.0' 'numpy<2'; HARNESS_TFLITE_RUNTIME_PYTHON=V/bin/python",
    )
    @pytest.mark.parametrize("name", ["mobilenet_v1", "ops/conv_2d_uint8", "ops/elu"])
    def test_tflite_runtime_agrees(self, runner: GoldenRunner, name: str) -> None:
        assert TFLITE_RUNTIME_PYTHON is not None
        older = GoldenRunner(SystemClock(), runtime="tflite-runtime", python=TFLITE_RUNTIME_PYTHON)
        model = read(ours(name))
        ours_, theirs = computed(runner, model), computed(older, model)
        assert theirs.runtime.startswith("tflite-runtime 2")
        assert theirs.kernels == ours_.kernels
        for sample in range(2):
            for a, b in zip(arrays(ours_, sample), arrays(theirs, sample), strict=True):
                assert np.allclose(a, b, atol=0 if ours_.kernels == "reference" else 1e-6, rtol=0)
