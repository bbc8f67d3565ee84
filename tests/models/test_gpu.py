"""The models on a GPU accelerator, where there is a Vulkan driver for one (a software one will do)."""

from __future__ import annotations

import pytest

from models.builder.ops import GPU_OPS
from tests.drivers import swiftshader
from tests.models.runtime import STAND_INS, Answers, error_of_range, path_of, random_inputs, run

FULLY_DELEGATED = (*STAND_INS, *(f"ops/{name}" for name in GPU_OPS))
REFUSED = ("ops/squeeze", "ops/add_squeeze", "ops/arg_max_int64")


@pytest.fixture(scope="module")
def gpu_answers(tmp_path_factory: pytest.TempPathFactory) -> Answers:
    """Every model compiled for the GPU alone, in float32: that fails if one operator is left over."""
    driver = swiftshader()
    models = {name: path_of(name) for name in (*FULLY_DELEGATED, *REFUSED)}
    inputs = {name: random_inputs(path, samples=1) for name, path in models.items()}
    with pytest.MonkeyPatch.context() as patch:
        for name, value in driver.items():
            patch.setenv(name, value)
        return run(tmp_path_factory.mktemp("gpu"), models, inputs, ("gpu",))


@pytest.mark.parametrize("name", FULLY_DELEGATED)
def test_the_gpu_runs_all_of_it_and_answers_as_the_cpu_does(name: str, gpu_answers: Answers, answers: Answers) -> None:
    for measured, reference in zip(gpu_answers.of(name, "gpu"), answers.of(name), strict=True):
        assert error_of_range(measured, reference) < 1e-4


@pytest.mark.parametrize("name", REFUSED)
def test_the_gpu_refuses_what_it_cannot_run_alone(name: str, gpu_answers: Answers) -> None:
    assert "not accelerated" in gpu_answers.errors[name, "gpu"]
