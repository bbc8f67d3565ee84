"""Pictures of outputs: which cells get them, and what they show."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from harness.engine import pictures
from harness.engine.explaining import Comparison, Evidence
from harness.engine.references import Reference
from harness.engine.rows import new_row
from harness.measure import accuracy
from harness.plan.cell import Cell, Delegate, Model, ModelRef, Policy, Task, TensorSpec
from harness.plan.row import CellRow, ReferenceRow

Array = NDArray[Any]
GOLDEN: ReferenceRow = {
    "kind": "golden",
    "device": None,
    "runtime": "r",
    "kernels": "reference",
    "fallback_reason": None,
}
RAMP = np.linspace(0, 1, 16 * 20, dtype=np.float32).reshape(1, 16, 20, 1)


def draw(folder: Path, ours: Array, theirs: Array, *, task: Task = "other", outcome: str = "FAIL") -> CellRow:
    """The row of a cell with one output, after its pictures were drawn."""
    ref = ModelRef("m", "", task)
    spec = TensorSpec(0, "o", theirs.dtype.name, theirs.shape)
    cell = Cell("s", "d", ref, Delegate("gpu", "gpu"), Policy())
    row = new_row(cell, (), None)
    row["outcome"] = outcome
    compared = accuracy.compare([[ours]], [[theirs]], [spec], task, GOLDEN)
    row["accuracy"] = [compared]
    row["artifacts"] = ["artifacts/cell/r1a1/result.json"]
    (folder / "artifacts/cell/r1a1").mkdir(parents=True)
    model = replace(Model(ref), outputs=(spec,))
    pictures.add(
        folder, cell, row, Evidence(model, [[ours]], (Comparison(Reference((), GOLDEN), [[theirs]], compared),))
    )
    return row


def shown(folder: Path, row: CellRow) -> dict[str, Array]:
    """Pixels of each picture by its kind."""
    drawn = [path for path in row["artifacts"] if path.endswith(".png")]
    return {path.rpartition("_")[2].removesuffix(".png"): np.asarray(Image.open(folder / path)) for path in drawn}


def test_reference_device_and_difference_share_a_scale(tmp_path: Path) -> None:
    ours = RAMP.copy()
    ours[0, 5, 7, 0] += 1
    ours[0, 2, 3, 0] = np.nan
    found = shown(tmp_path, draw(tmp_path, ours, RAMP))
    assert set(found) == {"reference", "device", "difference"}
    assert {pixels.shape for pixels in found.values()} == {(16 * 12, 20 * 12, 3)}, "enlarged by a whole factor"
    small = {name: pixels[::12, ::12] for name, pixels in found.items()}
    assert small["reference"][0, 0].tolist() == [0, 0, 0]
    assert small["reference"][15, 19].tolist() == [255, 255, 255]
    assert small["device"][5, 7].tolist() == [255, 255, 255]
    assert small["device"][2, 3].tolist() == small["difference"][2, 3].tolist() == [255, 0, 255]
    assert np.argwhere(small["difference"].any(axis=2)).tolist() == [[2, 3], [5, 7]]


def test_segments_are_labels_in_colours_even_where_the_cell_passes(tmp_path: Path) -> None:
    scores = np.zeros((1, 16, 16, 3), np.float32)
    scores[0, :, 8:, 1] = 1
    ours = scores.copy()
    ours[0, 0, 0, 2] = 2
    found = shown(tmp_path, draw(tmp_path, ours, scores, task="segment", outcome="PASS"))
    small = {name: pixels[::16, ::16] for name, pixels in found.items()}
    assert len(np.unique(small["reference"].reshape(-1, 3), axis=0)) == 2
    assert small["difference"].any(axis=2).sum() == 1


def test_large_outputs_are_thinned_out(tmp_path: Path) -> None:
    large = np.zeros((1, 1100, 1300, 1), np.float32)
    large[0, 0, 0, 0] = 1
    found = shown(tmp_path, draw(tmp_path, large * 2, large))
    assert all(max(pixels.shape) <= pictures.SIDE for pixels in found.values())


@pytest.mark.parametrize(
    ("shape", "outcome"),
    [
        ((1, 16, 20, 1), "PASS"),
        ((1, 400, 16), "FAIL"),
        ((1, 100), "FAIL"),
        ((1, 4, 4, 9), "FAIL"),
        ((2, 16, 16, 1), "FAIL"),
    ],
    ids=["passes", "a list", "a vector", "too small", "a batch"],
)
def test_what_is_not_drawn(tmp_path: Path, shape: tuple[int, ...], outcome: str) -> None:
    theirs = np.linspace(0, 1, int(np.prod(shape)), dtype=np.float32).reshape(shape)
    assert shown(tmp_path, draw(tmp_path, theirs + 1, theirs, outcome=outcome)) == {}


def test_without_pillow_there_is_a_note(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "PIL.Image", None)
    row = draw(tmp_path, RAMP + 1, RAMP)
    assert not any(path.endswith(".png") for path in row["artifacts"])
    assert "pip install 'delegate-harness[images]'" in row["notes"][-1]
