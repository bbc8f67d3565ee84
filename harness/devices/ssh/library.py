"""paramiko, imported when it is needed: runs without SSH pay nothing for it."""

from __future__ import annotations

import logging
from typing import Any

from harness.errors import UsageError


def paramiko() -> Any:  # noqa: ANN401 it has no types
    """The module.

    Raises:
        UsageError: it is not installed.
    """
    try:
        import paramiko as module
    except ImportError as error:
        raise UsageError(
            "devices and hosts that are reached through ssh need paramiko: pip install 'delegate-harness[ssh]'"
        ) from error
    # What it logs as errors becomes an error of ours; without a handler Python would print it as well.
    logger = logging.getLogger("paramiko")
    if not logger.handlers:
        logger.addHandler(logging.NullHandler())
    return module
