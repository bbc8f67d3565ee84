from __future__ import annotations

import hashlib
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness.plan.cell import ErrorClass, InputFile, InputPlan, Model, ModelRef, Outcome, Problem, TensorSpec
from harness.reference.inputs import LARGEST, InputSet, make_inputs, tensor_bytes


def model(
    *specs: TensorSpec,
    files: Mapping[str, tuple[InputFile, ...]] | None = None,
    samples: int = 3,
    seed: int = 0,
) -> Model:
    plan = InputPlan(seed=seed, samples=samples, files=files or {}, origin="suites/a.yaml:7")
    return Model(ModelRef("m", "/m.tflite", inputs=plan), inputs=specs)


def made(subject: Model) -> InputSet:
    inputs = make_inputs(subject)
    assert isinstance(inputs, InputSet), inputs
    return inputs


def refused(subject: Model) -> str:
    problem = make_inputs(subject)
    assert isinstance(problem, Problem)
    assert (problem.outcome, problem.error_class, problem.kind) == (Outcome.ERROR, ErrorClass.CONFIG, "inputs")
    assert problem.reason.startswith("suites/a.yaml:7: inputs of 'm': ")
    return problem.reason


IMAGE = TensorSpec(0, "image", "float32", (1, 12, 16, 3))
TOKENS = TensorSpec(1, "tokens", "int32", (1, 20))


def one(path: Path, spec: TensorSpec, **normalisation: float) -> np.ndarray[Any, Any]:
    """The tensor that a single file gives."""
    files = {"0": (InputFile(str(path), **normalisation),)}
    return made(model(spec, files=files)).arrays(0)[0]


def why_not(path: Path, spec: TensorSpec, **normalisation: float) -> str:
    """Why a single file is refused."""
    return refused(model(spec, files={"0": (InputFile(str(path), **normalisation),)}))


class TestSeeded:
    def test_files_hold_the_tensors(self) -> None:
        inputs = made(model(IMAGE, TOKENS))
        assert [len(sample) for sample in inputs.samples] == [2, 2, 2]
        for sample, paths in enumerate(inputs.samples):
            for array, path in zip(inputs.arrays(sample), paths, strict=True):
                assert path.stem == hashlib.sha256(array.tobytes()).hexdigest()
        assert [array.dtype for array in inputs.arrays(0)] == [np.float32, np.int32]
        assert [array.shape for array in inputs.arrays(0)] == [IMAGE.shape, TOKENS.shape]
        assert inputs.notes == ("input 'tokens' (int32) holds random integers 0..9",)

    def test_same_plan_same_files_and_nothing_written_again(self) -> None:
        first = made(model(IMAGE))
        times = [path.stat().st_mtime_ns for (path,) in first.samples]
        second = made(model(IMAGE))
        assert second == first
        assert [path.stat().st_mtime_ns for (path,) in second.samples] == times

    def test_samples_and_seeds_differ(self) -> None:
        first, other = made(model(IMAGE)), made(model(IMAGE, seed=1))
        assert first.sha256 != other.sha256
        assert len({path for inputs in (first, other) for (path,) in inputs.samples}) == 6

    def test_damaged_file_is_written_again(self) -> None:
        (path,) = made(model(IMAGE)).samples[0]
        good = path.read_bytes()
        path.write_bytes(bytes(len(good)))
        made(model(IMAGE))
        assert path.read_bytes() == good

    def test_no_inputs(self) -> None:
        inputs = made(model())
        assert inputs.samples == ((),)
        assert inputs.notes == ("the model takes no inputs",)

    def test_zero_size(self) -> None:
        inputs = made(model(TensorSpec(0, "x", "float32", (0, 4))))
        assert inputs.arrays(2)[0].shape == (0, 4)

    @pytest.mark.parametrize("dtype", ["string", "complex64", "bfloat16", "int4", "resource"])
    def test_types_that_cannot_be_fed(self, dtype: str) -> None:
        problem = make_inputs(model(IMAGE, TensorSpec(1, "words", dtype, (1, 3))))
        assert isinstance(problem, Problem)
        assert problem.outcome is Outcome.UNSUPPORTED
        assert problem.error_class is None
        assert f"input 'words' ({dtype} [1, 3])" in problem.reason

    def test_too_large(self) -> None:
        spec = TensorSpec(0, "x", "float32", (1, LARGEST // 8))
        assert "3 samples of the inputs take 1536 MiB" in refused(model(spec))

    def test_tensor_bytes(self) -> None:
        outputs = (TensorSpec(0, "y", "float16", (3, 5)), TensorSpec(1, "z", "int64", ()))
        subject = Model(ModelRef("m", "/m"), inputs=(IMAGE, TOKENS), outputs=outputs)
        assert tensor_bytes(subject) == 12 * 16 * 3 * 4 + 20 * 4 + 15 * 2 + 8


class TestChoiceOfFiles:
    @pytest.fixture
    def raw(self, tmp_path: Path) -> tuple[InputFile, ...]:
        """Three files with the tokens 0..19, 1..20 and 2..21."""
        for number in range(3):
            np.arange(number, number + 20, dtype=np.int32).tofile(tmp_path / f"{number}.bin")
        return tuple(InputFile(str(tmp_path / f"{number}.bin")) for number in range(3))

    @pytest.mark.parametrize("key", ["tokens", "1"])
    def test_by_name_or_position(self, key: str, raw: tuple[InputFile, ...]) -> None:
        inputs = made(model(IMAGE, TOKENS, files={key: raw}))
        assert [inputs.arrays(sample)[1][0, 0] for sample in range(3)] == [0, 1, 2]
        assert inputs.samples[0][0] == made(model(IMAGE)).samples[0][0]
        assert inputs.notes == ()

    def test_fewer_files_than_samples(self, raw: tuple[InputFile, ...]) -> None:
        inputs = made(model(IMAGE, TOKENS, files={"tokens": raw[:2]}))
        assert len(inputs.samples) == 2
        assert inputs.notes == ("2 of 3 samples: there are no more input files",)

    def test_more_files_than_samples(self, raw: tuple[InputFile, ...]) -> None:
        inputs = made(model(IMAGE, TOKENS, files={"tokens": raw}, samples=1))
        assert len(inputs.samples) == 1
        assert inputs.notes == ("input 'tokens': 2 of 3 files are not used",)

    def test_unknown_input(self, raw: tuple[InputFile, ...]) -> None:
        reason = refused(model(IMAGE, TOKENS, files={"token": raw}))
        assert "no input 'token'; did you mean 'tokens'?; the model's inputs are: 0 'image', 1 'tokens'" in reason
        assert "no input '2'" in refused(model(IMAGE, TOKENS, files={"2": raw}))

    def test_repeated_name(self, raw: tuple[InputFile, ...]) -> None:
        specs = [TensorSpec(index, "x", "int32", (1, 20)) for index in range(2)]
        assert "2 inputs are called 'x'; use their positions [0, 1]" in refused(model(*specs, files={"x": raw}))
        assert made(model(*specs, files={"1": raw})).arrays(1)[1][0, 0] == 1

    def test_given_twice_or_empty(self, raw: tuple[InputFile, ...]) -> None:
        assert "given twice" in refused(model(IMAGE, TOKENS, files={"tokens": raw, "1": raw}))
        assert "is empty" in refused(model(IMAGE, TOKENS, files={"tokens": ()}))

    def test_missing_file(self, tmp_path: Path) -> None:
        assert f"{tmp_path / 'none.npy'} is not there" in why_not(tmp_path / "none.npy", IMAGE)
        assert f"{tmp_path / 'none.png'} is not there" in why_not(tmp_path / "none.png", IMAGE)
        assert f"{tmp_path / 'none.bin'} is not there" in why_not(tmp_path / "none.bin", IMAGE)

    def test_folder(self, tmp_path: Path) -> None:
        assert "cannot be read" in why_not(tmp_path, TensorSpec(0, "x", "uint8", (tmp_path.stat().st_size,)))


class TestNpyAndRaw:
    SPEC = TensorSpec(0, "x", "float32", (1, 2, 3))

    def save(self, folder: Path, array: object) -> Path:
        np.save(folder / "x.npy", np.asarray(array), allow_pickle=True)
        return folder / "x.npy"

    def test_same_dtype(self, tmp_path: Path) -> None:
        values = np.array([[[0.1, np.nan, -np.inf], [1, 2, 3]]], np.float32)
        assert np.array_equal(one(self.save(tmp_path, values), self.SPEC), values, equal_nan=True)

    @pytest.mark.parametrize("dtype", ["int64", "uint8", "float64", "bool", ">f4"])
    def test_dtype_that_loses_nothing(self, tmp_path: Path, dtype: str) -> None:
        values = np.array([[[0, 1, 0], [1, 1, 0]]], dtype)
        assert np.array_equal(one(self.save(tmp_path, values), self.SPEC), values)

    def test_leading_ones_may_be_missing(self, tmp_path: Path) -> None:
        path = self.save(tmp_path, np.ones((2, 3), np.float32))
        assert one(path, self.SPEC).shape == (1, 2, 3)

    def test_fortran_order(self, tmp_path: Path) -> None:
        values = np.arange(6, dtype=np.float32).reshape(1, 2, 3)
        assert np.array_equal(one(self.save(tmp_path, np.asfortranarray(values)), self.SPEC), values)

    @pytest.mark.parametrize(
        ("array", "words"),
        [
            (np.ones((1, 3, 2), np.float32), "holds float32 [1, 3, 2]; input 'x' (float32 [1, 2, 3]) needs that shape"),
            (np.ones((2, 2, 3), np.float32), "needs that shape"),
            (np.full((1, 2, 3), 0.1), "holds float64 [1, 2, 3] with values that change in float32"),
            (np.full((1, 2, 3), 1e300), "with values that change"),
            (np.full((1, 2, 3), "text"), "not numbers"),
            (np.full((1, 2, 3), None), "not a readable .npy file"),
        ],
    )
    def test_what_does_not_fit(self, tmp_path: Path, array: np.ndarray[Any, Any], words: str) -> None:
        assert words in why_not(self.save(tmp_path, array), self.SPEC)

    def test_values_out_of_range(self, tmp_path: Path) -> None:
        spec = TensorSpec(0, "x", "int8", (2,))
        assert "with values that change in int8" in why_not(self.save(tmp_path, np.array([0, 200])), spec)
        assert "with values that change in int8" in why_not(self.save(tmp_path, np.array([0, np.nan])), spec)

    def test_damaged_npy(self, tmp_path: Path) -> None:
        path = tmp_path / "x.npy"
        path.write_bytes(b"this is no array")
        assert "not a readable .npy file" in why_not(path, self.SPEC)
        path.write_bytes(b"")
        assert "not a readable .npy file" in why_not(path, self.SPEC)

    def test_several_arrays_in_one_file(self, tmp_path: Path) -> None:
        with (tmp_path / "x.npy").open("wb") as stream:
            np.savez(stream, a=np.ones(6), b=np.ones(6))
        assert "several arrays" in why_not(tmp_path / "x.npy", self.SPEC)

    def test_raw(self, tmp_path: Path) -> None:
        values = np.arange(6, dtype="<f4").reshape(1, 2, 3)
        values.tofile(tmp_path / "x.raw")
        assert np.array_equal(one(tmp_path / "x.raw", self.SPEC), values)

    def test_raw_of_wrong_size(self, tmp_path: Path) -> None:
        path = tmp_path / "x.bin"
        path.write_bytes(bytes(100))
        assert f"{path} has 100 bytes; input 'x' (float32 [1, 2, 3]) needs 24" in why_not(path, self.SPEC)


class TestImages:
    def save(self, folder: Path, mode: str, colour: object, size: tuple[int, int] = (40, 30)) -> Path:
        image = pytest.importorskip("PIL.Image", reason="needs Pillow: pip install 'delegate-harness[images]'")
        path = folder / "picture.png"
        image.new(mode, size, colour).save(path)
        return path

    def test_float(self, tmp_path: Path) -> None:
        path = self.save(tmp_path, "RGB", (0, 127, 255))
        tensor = one(path, IMAGE)
        assert tensor.shape == IMAGE.shape
        assert np.allclose(tensor[0, 5, 5], [-1, -0.5 / 127.5, 1], atol=1e-7)
        assert np.allclose(one(path, IMAGE, mean=0, std=255)[0, 5, 5], [0, 127 / 255, 1], atol=1e-7)

    def test_8_bit_tensors_take_pixels(self, tmp_path: Path) -> None:
        path = self.save(tmp_path, "RGB", (0, 127, 255))
        assert one(path, TensorSpec(0, "x", "uint8", (1, 12, 16, 3)))[0, 3, 3].tolist() == [0, 127, 255]
        assert one(path, TensorSpec(0, "x", "int8", (1, 12, 16, 3)))[0, 3, 3].tolist() == [-128, -1, 127]

    def test_height_and_width_are_not_swapped(self, tmp_path: Path) -> None:
        image = pytest.importorskip("PIL.Image")
        picture = image.new("L", (16, 12), 0)
        picture.paste(255, (0, 0, 16, 6))
        picture.save(tmp_path / "half.png")
        tensor = one(tmp_path / "half.png", TensorSpec(0, "x", "uint8", (1, 12, 16, 1)))
        assert tensor[0, :6].min() == 255
        assert tensor[0, 6:].max() == 0

    def test_grey_and_alpha(self, tmp_path: Path) -> None:
        grey = TensorSpec(0, "x", "uint8", (1, 12, 16, 1))
        assert set(one(self.save(tmp_path, "RGB", (90, 90, 90)), grey).ravel().tolist()) == {90}
        assert one(self.save(tmp_path, "L", 90), IMAGE, mean=0, std=1)[0, 0, 0].tolist() == [90, 90, 90]
        assert one(self.save(tmp_path, "RGBA", (9, 8, 7, 0)), IMAGE, mean=0, std=1)[0, 0, 0].tolist() == [9, 8, 7]

    def test_fourth_channel_is_an_empty_mask(self, tmp_path: Path) -> None:
        path = self.save(tmp_path, "RGB", (255, 255, 255))
        assert one(path, TensorSpec(0, "x", "float32", (1, 12, 16, 4)))[0, 3, 3].tolist() == [1, 1, 1, 0]
        assert one(path, TensorSpec(0, "x", "int8", (1, 12, 16, 4)))[0, 3, 3].tolist() == [127, 127, 127, -128]

    @pytest.mark.parametrize(
        ("dtype", "shape", "words"),
        [
            ("float32", (1, 3, 12, 16), "does not have the shape [1, H, W, 1 | 3 | 4]"),
            ("float32", (2, 12, 16, 3), "does not have the shape"),
            ("float32", (12, 16, 3), "does not have the shape"),
            ("int32", (1, 12, 16, 3), "only as floats or 8-bit integers"),
        ],
    )
    def test_tensors_that_take_no_image(self, tmp_path: Path, dtype: str, shape: tuple[int, ...], words: str) -> None:
        assert words in why_not(self.save(tmp_path, "L", 0), TensorSpec(0, "x", dtype, shape))

    def test_zero_std(self, tmp_path: Path) -> None:
        assert "`std` is 0" in why_not(self.save(tmp_path, "L", 0), IMAGE, std=0)

    @pytest.mark.parametrize("content", [b"", b"no picture", b"\x89PNG\r\n\x1a\n" + bytes(40)])
    def test_damaged_image(self, tmp_path: Path, content: bytes) -> None:
        pytest.importorskip("PIL.Image")
        (tmp_path / "x.png").write_bytes(content)
        assert str(tmp_path / "x.png") in why_not(tmp_path / "x.png", IMAGE)

    def test_without_pillow(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        (tmp_path / "x.png").write_bytes(b"")
        monkeypatch.setitem(sys.modules, "PIL", None)
        assert "pip install 'delegate-harness[images]'" in why_not(tmp_path / "x.png", IMAGE)
