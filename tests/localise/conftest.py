"""What runs models for these tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.localise.interpreter import InterpreterProcess


@pytest.fixture(scope="session")
def interpreter() -> Iterator[InterpreterProcess]:
    """LiteRT on the CPU, in a process of its own."""
    with InterpreterProcess() as process:
        yield process
