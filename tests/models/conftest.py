from __future__ import annotations

import pytest

from models.builder.catalog import builders
from tests.models.runtime import Answers, path_of, random_inputs, run


@pytest.fixture(scope="session")
def answers(tmp_path_factory: pytest.TempPathFactory) -> Answers:
    """Every committed model on the CPU, with XNNPACK's and with the reference kernels, two samples each."""
    models = {name: path_of(name) for name in builders()}
    inputs = {name: random_inputs(path) for name, path in models.items()}
    return run(tmp_path_factory.mktemp("answers"), models, inputs, ("xnnpack", "ref"))
