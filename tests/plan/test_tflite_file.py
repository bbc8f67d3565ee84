from __future__ import annotations

import hashlib
import random
from pathlib import Path
from typing import Any

import pytest

from harness.plan.cell import ErrorClass, ModelRef, OpCount, Outcome, Problem, Quantization
from harness.plan.tflite_file import describe
from tests.reference.real_models import ours, read, repacked, shared


def problem_of(path: Path, signature: str | None = None) -> Problem:
    model = describe(ModelRef("m", str(path), signature=signature, origin="suites/a.yaml:4"))
    assert model.problem is not None
    assert model.problem.outcome is Outcome.ERROR
    assert str(path) in model.problem.reason
    assert "suites/a.yaml:4" in model.problem.reason
    return model.problem


class TestUnusableFiles:
    @pytest.mark.parametrize(
        ("name", "words"),
        [
            ("test_model_broken.bin", "not a TFLite file"),
            ("invalid_model.bin", "not a TFLite file"),
            ("transpose.bin", "schema version 2; this runtime reads version 3"),
            ("no_subgraphs.bin", "no subgraph"),
        ],
    )
    def test_real_broken_files(self, name: str, words: str) -> None:
        problem = problem_of(shared(f"odd/{name}"))
        assert problem.error_class is ErrorClass.MODEL
        assert problem.kind == "model"
        assert words in problem.reason

    @pytest.mark.parametrize(
        ("content", "words"),
        [
            (b"", "is empty"),
            (b"TFL", "has only 3 bytes"),
            (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n", "git lfs pull"),
            (b"PK\x03\x04" + bytes(200), "not a TFLite file"),
            (b"\x1c\x00\x00\x00TFL3" + bytes(122), "damaged|schema version 0"),
            (b"\xff\xff\xff\x7fTFL3" + bytes(122), "damaged"),
        ],
    )
    def test_content_that_is_no_model(self, tmp_path: Path, content: bytes, words: str) -> None:
        path = tmp_path / "m.tflite"
        path.write_bytes(content)
        problem = problem_of(path)
        assert problem.error_class is ErrorClass.MODEL
        assert any(word in problem.reason for word in words.split("|")), problem.reason

    def test_missing_file(self, tmp_path: Path) -> None:
        problem = problem_of(tmp_path / "nothing.tflite")
        assert problem.error_class is ErrorClass.MODEL
        assert "is not there" in problem.reason

    def test_folder(self, tmp_path: Path) -> None:
        assert "is a folder" in problem_of(tmp_path).reason

    def test_unreadable(self, tmp_path: Path) -> None:
        loop = tmp_path / "loop.tflite"
        loop.symlink_to(loop)
        assert "cannot be read" in problem_of(loop).reason

    @pytest.mark.parametrize("share", [0.02, 0.3, 0.6, 0.9])
    def test_truncated(self, tmp_path: Path, share: float) -> None:
        data = ours("mobilenet_v1").read_bytes()
        path = tmp_path / "cut.tflite"
        path.write_bytes(data[: int(len(data) * share)])
        problem = problem_of(path)
        assert problem.error_class is ErrorClass.MODEL
        assert "truncated" in problem.reason or "damaged" in problem.reason

    def test_no_damage_raises(self, tmp_path: Path) -> None:
        dice = random.Random(7)
        data = ours("ops/conv_2d").read_bytes()
        path = tmp_path / "damaged.tflite"
        refused = 0
        for _ in range(300):
            damaged = bytearray(data)
            for _ in range(dice.choice([1, 8, 60])):
                damaged[dice.randrange(8, len(data))] = dice.choice([0, 1, 127, 255, dice.randrange(256)])
            path.write_bytes(damaged)
            model = describe(ModelRef("m", str(path)))
            assert model.size == len(data)
            refused += model.problem is not None
        assert refused > 50

    def test_signature_that_leaves_an_input_out(self, tmp_path: Path) -> None:
        def drop_input(model: Any) -> None:
            del model.signatureDefs[0].inputs[0]

        path = repacked(shared("odd/multi_signature_model.tflite"), tmp_path / "m.tflite", drop_input)
        assert "inputs are not those of its subgraph" in problem_of(path).reason


class TestSignatures:
    def test_inputs_and_outputs_follow_the_subgraph(self) -> None:
        # LiteRT's CompiledModel lists 'y', 'x' -> 'sum', 'prod'; the signature itself says 'x', 'y' -> 'prod', 'sum'.
        model = read(shared("odd/reverse_signature_model.bin"))
        assert [spec.name for spec in model.inputs] == ["y", "x"]
        assert [spec.name for spec in model.outputs] == ["sum", "prod"]
        assert [spec.index for spec in model.outputs] == [0, 1]

    def test_order_is_that_of_the_compiled_model(self) -> None:
        from ai_edge_litert.compiled_model import CompiledModel
        from ai_edge_litert.hardware_accelerator import HardwareAccelerator

        path = shared("odd/reverse_signature_model.bin")
        listed = CompiledModel.from_file(str(path), HardwareAccelerator.CPU).get_signature_by_index(0)
        model = read(path)
        assert [spec.name for spec in model.inputs] == listed["inputs"]
        assert [spec.name for spec in model.outputs] == listed["outputs"]

    def test_first_of_several_with_a_note(self) -> None:
        model = read(shared("odd/multi_signature_model.tflite"))
        assert model.signature == "add"
        assert model.signatures == ("add", "mul", "sub")
        assert model.notes == ("signature 'add' of 3 (add, mul, sub) is run; choose another with `signature:`",)
        assert model.nodes == 1
        assert {count.name for count in model.ops} == {"ADD", "MUL", "SUB"}

    def test_chosen(self) -> None:
        model = read(shared("odd/multi_signature_model.tflite"), signature="sub")
        assert model.signature == "sub"
        assert model.subgraph == 2
        assert model.notes == ()

    def test_unknown(self) -> None:
        problem = problem_of(shared("odd/multi_signature_model.tflite"), signature="mull")
        assert problem.error_class is ErrorClass.CONFIG
        assert "no signature 'mull'; it has: add, mul, sub; did you mean 'mul'?" in problem.reason

    def test_chosen_where_there_are_none(self) -> None:
        problem = problem_of(ours("ops/add"), signature="serving_default")
        assert problem.error_class is ErrorClass.CONFIG
        assert "remove `signature: serving_default`" in problem.reason


class TestFacts:
    def test_plain_model(self) -> None:
        path = ours("mobilenet_v1")
        model = read(path)
        assert model.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
        assert model.size == path.stat().st_size
        assert [(spec.dtype, len(spec.shape), spec.dynamic) for spec in model.inputs] == [("float32", 4, False)]
        assert model.nodes == sum(count.count for count in model.ops)
        assert {"CONV_2D", "DEPTHWISE_CONV_2D", "SOFTMAX"} <= {count.name for count in model.ops}
        assert (model.hybrid, model.stateful, model.notes) == (False, False, ())

    @pytest.mark.parametrize(
        ("name", "expected"),
        [("ops/conv_2d", False), ("ops/conv_2d_uint8", True), ("ops/fully_connected_hybrid", False)],
    )
    def test_quantised_models(self, name: str, expected: bool) -> None:
        assert read(ours(name)).quantized is expected

    def test_the_most_frequent_operation_comes_first(self) -> None:
        counts = [count.count for count in read(ours("face_contour")).ops]
        assert counts == sorted(counts, reverse=True)
        assert counts[0] > 1

    def test_versions(self) -> None:
        counts = read(shared("float/mobilenet_v2_035_96_embedder_hybrid.tflite")).ops
        assert {(count.name, count.version) for count in counts} >= {("CONV_2D", 5), ("DEPTHWISE_CONV_2D", 6)}

    def test_custom_operations_have_their_own_name(self) -> None:
        assert OpCount("Convolution2DTransposeBias", 1, 1) in read(shared("float/selfie_segmenter.tflite")).ops

    def test_quantisation(self) -> None:
        (spec,) = read(ours("ops/conv_2d_uint8")).inputs
        assert spec.dtype == "uint8"
        assert isinstance(spec.quantization, Quantization)
        assert spec.quantization.scales[0] > 0
        assert len(spec.quantization.scales) == len(spec.quantization.zero_points) == 1
        assert read(ours("ops/add")).inputs[0].quantization is None

    @pytest.mark.parametrize(
        ("name", "hybrid"),
        [
            ("float/mlperftiny_kws_hybrid.tflite", True),
            ("float/mobilenet_v2_035_96_embedder_hybrid.tflite", True),
            ("quant/mobilenet_v1_0.25_128_quant.tflite", False),
            ("quant/posenet_257_integer_quant.tflite", False),
            ("float/face_detection_front.tflite", False),  # float16 weights behind DEQUANTIZE
            ("float/yamnet.tflite", False),  # int8 weights behind DEQUANTIZE
        ],
    )
    def test_hybrid(self, name: str, hybrid: bool) -> None:
        assert read(shared(name)).hybrid is hybrid

    @pytest.mark.parametrize(
        ("name", "stateful"),
        [
            ("float/mnist_lstm_float.tflite", True),
            ("quant/dtln_noise_suppression.tflite", True),
            ("odd/call_once_mul.bin", True),
            ("odd/multi_subgraphs_while.bin", False),
        ],
    )
    def test_stateful(self, name: str, stateful: bool) -> None:
        assert read(shared(name)).stateful is stateful

    def test_hybrid_model_of_ours(self) -> None:
        assert read(ours("ops/fully_connected_hybrid")).hybrid
        assert not read(ours("ops/fully_connected")).hybrid

    def test_dynamic_dimensions_become_one(self) -> None:
        model = read(shared("odd/simple_add_dynamic_shape.tflite"))
        assert [spec.shape for spec in model.inputs] == [(1, 128, 4), (1, 128, 4)]
        assert all(spec.dynamic for spec in model.inputs)
        assert model.notes == ("dynamic dimensions run at size 1",)

    def test_zero_size_input_is_noted(self) -> None:
        assert read(shared("odd/test_min_runtime.bin")).notes == ("input 'input1' has zero size ([0])",)

    def test_no_names_no_inputs_no_operations(self) -> None:
        assert [spec.name for spec in read(shared("odd/no_signatures_no_tensor_names.bin")).inputs] == ["", ""]
        model = read(shared("odd/empty_model.bin"))
        assert (model.inputs, model.outputs, model.ops, model.nodes) == ((), (), (), 0)

    def test_other_dtypes(self) -> None:
        assert [spec.dtype for spec in read(shared("odd/gather_string.tflite")).inputs] == ["string", "int64"]
        assert [spec.dtype for spec in read(shared("odd/torchaudio_conformer.tflite")).inputs] == ["float32", "bool"]
        assert read(ours("ops/arg_max_int64")).outputs[0].dtype == "int64"
