"""Golden outputs as the tests of them ask for them."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from harness.clock import SystemClock
from harness.paths import cache_dir
from harness.plan.cell import Limits, Model, Problem
from harness.reference.golden import Golden, GoldenRunner
from harness.reference.inputs import InputSet, make_inputs


@pytest.fixture(scope="module")
def runner() -> Iterator[GoldenRunner]:
    """As a run has it, for all tests of a module: one server, which whatever they do must leave usable."""
    runner = GoldenRunner(SystemClock(), serve=True)
    yield runner
    runner.close()


def inputs_of(model: Model) -> InputSet:
    inputs = make_inputs(model)
    assert isinstance(inputs, InputSet), inputs
    return inputs


def computed(runner: GoldenRunner, model: Model, inputs: InputSet | None = None) -> Golden:
    result = runner.compute(model, inputs or inputs_of(model), Limits())
    assert isinstance(result, Golden), result
    return result


def failed(runner: GoldenRunner, model: Model, limits: Limits | None = None, inputs: InputSet | None = None) -> Problem:
    result = runner.compute(model, inputs or inputs_of(model), limits or Limits())
    assert isinstance(result, Problem)
    assert not list(cache_dir("golden").glob("*/*"))
    return result


def arrays(result: Golden, sample: int) -> list[NDArray[Any]]:
    files = [file for file in result.outputs if file.sample == sample]
    assert [file.index for file in files] == list(range(len(files)))
    return [np.fromfile(file.path, file.dtype).reshape(file.shape) for file in files]


def pretender(folder: Path, script: str) -> str:
    """A Python that is honest about its versions, and does something else when it should run a model."""
    path = folder / "python"
    path.write_text(f'#!/bin/sh\n[ "$2" = --about ] && exec {shlex.quote(sys.executable)} "$@"\n{script}\n')
    path.chmod(0o755)
    return str(path)
