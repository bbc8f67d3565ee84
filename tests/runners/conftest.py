"""A lab for tests that go through pytest."""

from __future__ import annotations

import pytest

from tests.session.conftest import Lab


@pytest.fixture
def lab(pytester: pytest.Pytester) -> Lab:
    """A lab with this machine as `box`, no models and no suites."""
    return Lab(pytester)
