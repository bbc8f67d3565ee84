"""iPhones that things go wrong with."""

from __future__ import annotations

from tests.devices.ios.bench import plug
from tests.devices.ios.conftest import homes, lab

__all__ = ["homes", "lab", "plug"]
