from __future__ import annotations

import pytest

from models.builder.catalog import builders
from tests.models.runtime import SUITE, Answers, path_of, random_inputs, run


@pytest.fixture(scope="session")
def answers(tmp_path_factory: pytest.TempPathFactory) -> Answers:
    """Every committed model but the op suite's on the CPU, with both sets of kernels, two samples each."""
    models = {name: path_of(name) for name in builders() if not name.startswith(SUITE)}
    inputs = {name: random_inputs(path) for name, path in models.items()}
    return run(tmp_path_factory.mktemp("answers"), models, inputs, ("xnnpack", "ref"))
