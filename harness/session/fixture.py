"""The `cell` fixture: a user's own assertion about a measured cell, queued with all the others.

@pytest.mark.cell(model="models/my.tflite", delegate="gpu-fp16")
def test_sums_to_one(cell):
assert cell.outputs[0][0].sum() == pytest.approx(1.0, abs=1e-2)
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pytest

from harness.engine.judge import CellResult
from harness.engine.tensors import load_samples
from harness.errors import UsageError
from harness.plan.cell import Cell, Outcome
from harness.plan.expand import expand
from harness.plan.load import marker_suite
from harness.plan.row import CellRow

if TYPE_CHECKING:
    from harness.session.session import LabSession

_KEYS = ("model", "delegate")


@dataclass(frozen=True)
class MeasuredCell:
    """What a test gets: the numbers and tensors of one measured cell.

    Attributes:
        result: everything that is known of it.
    """

    result: CellResult

    @property
    def row(self) -> CellRow:
        """The cell's row of the matrix: latency, accuracy against the reference, delegation, ..."""
        return self.result.row

    @property
    def device(self) -> str:
        """The device's name."""
        return self.result.cell.device

    @property
    def median_us(self) -> float:
        """Median latency in microseconds."""
        latency = self.row["latency"]
        return latency["median_us"] if latency else float("nan")

    @cached_property
    def outputs(self) -> list[list[npt.NDArray[np.generic]]]:
        """Measured outputs: `outputs[sample][index]`, in the model's shapes and types."""
        measurement = self.result.measurement
        return load_samples(measurement.outputs) if measurement else []

    @cached_property
    def reference(self) -> list[list[npt.NDArray[np.generic]]]:
        """Reference outputs for the same inputs: `reference[sample][index]`."""
        return load_samples(self.result.reference)

    @cached_property
    def inputs(self) -> list[list[npt.NDArray[np.generic]]]:
        """The inputs: `inputs[sample][index]`."""
        found = self.result.inputs
        return [list(found.arrays(sample)) for sample in range(len(found.samples))] if found else []


def measured_cell(request: pytest.FixtureRequest) -> MeasuredCell:
    """The finished cell of a test; skips or fails the test when the cell has no measurement."""
    lab: LabSession = request.config.pluginmanager.getplugin("harness-lab")
    cell = getattr(request, "param", None)
    if not isinstance(cell, Cell):
        pytest.fail("the fixture `cell` needs a marker: @pytest.mark.cell(model=..., delegate=...)", pytrace=False)
    result = lab.results.get(cell.id)
    if result is None:
        pytest.fail(f"{cell.id} was not measured: the run ended before", pytrace=False)
    if result.outcome is Outcome.UNSUPPORTED:
        pytest.skip(f"UNSUPPORTED: {result.row['reason']}")
    if result.measurement is None or result.row["error"] is not None:
        pytest.fail(f"{result.outcome.value}: {result.row['reason']}", pytrace=False)
    return MeasuredCell(result)


def parametrize(metafunc: pytest.Metafunc, marker: pytest.Mark, lab: LabSession) -> None:
    """Run a test with a `cell` marker once for each device of the lab. Raises UsageError for a wrong marker."""
    where = f"{metafunc.definition.path.name}::{metafunc.definition.name}"
    unknown = [key for key in marker.kwargs if key not in _KEYS]
    if marker.args or unknown or set(_KEYS) - set(marker.kwargs):
        raise UsageError(f"{where}: the marker is written cell(model=..., delegate=...)")
    model, delegate = marker.kwargs["model"], marker.kwargs["delegate"]
    if not isinstance(model, (str, os.PathLike)) or not isinstance(delegate, (str, Mapping)):
        raise UsageError(f"{where}: model is a name or a path, delegate a name or a mapping of a delegate's keys")
    folders = (metafunc.definition.path.parent, lab.root)
    suite = marker_suite(os.fspath(model), delegate, folders, where)
    cells = expand(suite, list(lab.specs.values()))
    lab.add_suite(suite)
    lab.add_cells(cells)
    metafunc.parametrize("cell", cells, indirect=True, ids=[f"{cell.device}:{cell.delegate.name}" for cell in cells])
