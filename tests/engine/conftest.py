"""A farm for each test; real golden outputs are computed once for all of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.engine.farm import Farm


@pytest.fixture
def farm(tmp_path: Path) -> Farm:
    """Fake devices in a folder of the test's own."""
    return Farm(tmp_path)
