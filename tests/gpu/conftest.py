"""The lab of the session tests, with a software GPU."""

from __future__ import annotations

from tests.session.conftest import Lab, lab

__all__ = ["Lab", "lab"]
