"""The environment that programs are started with."""

from __future__ import annotations

import os


def inherited() -> dict[str, str]:
    """This process's environment variables, from any thread.

    A plain copy of os.environ fails with KeyError when another thread removes a variable meanwhile, as pytest does with
    PYTEST_CURRENT_TEST after each test.
    """
    return {name: value for name in list(os.environ) if (value := os.environ.get(name)) is not None}
