"""For the whole project: the tests drive pytest itself."""

from __future__ import annotations

pytest_plugins = ["pytester"]
