"""Predictions against LiteRT's real GPU accelerator; `benchmarks/compatibility.py` does this for every model."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.plan.compatibility import predict, profiles
from tests.drivers import swiftshader
from tests.plan.compatibility.accelerator import ask
from tests.plan.compatibility.probes import PROBES
from tests.reference.real_models import ours

CHOSEN = (
    "relu.v2",
    "relu.v3",
    "strided_slice.shrink",
    "gather.2d",
    "mul.constant_int64",
    "cast.to_int64",
    "fully_connected.uint8",
    "reshape.computed",
    "reshape.concatenated",
    "reshape.packed",
    "halves.all",
    "halves.partial",
    "islands",
    "branches",
)


@pytest.mark.parametrize("name", CHOSEN)
def test_a_probe(name: str, tmp_path: Path) -> None:
    path = tmp_path / "probe.tflite"
    path.write_bytes(PROBES[name]())
    check(path)


@pytest.mark.parametrize("name", ["mobilenet_v1", "ops/add_squeeze", "ops/arg_max_int64", "ops/add_dynamic_batch"])
def test_a_model_of_the_repository(name: str) -> None:
    check(ours(name))


def check(path: Path) -> None:
    told = ask(path, swiftshader())
    assert told is not None
    row = predict(path, 0, next(profile.name for profile in profiles() if profile.checked))
    assert (row["compiles"], row["nodes_delegated"], row["nodes_total"]) == (told.compiled, told.gpu, told.total), told
