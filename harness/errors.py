"""Errors that a user can cause, and that end a run before anything was measured."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class UsageError(Exception):
    """A mistake in a command line or a file: one message, no traceback, exit code 4.

    The message names file, line and key where there are any, says what was expected, and what to do.
    """


def nearest(word: str, choices: Iterable[str]) -> str:
    """A "; did you mean 'x'?" suffix for a misspelt word, or "" when nothing is near."""
    found = difflib.get_close_matches(word, list(choices), n=1, cutoff=0.6)
    return f"; did you mean '{found[0]}'?" if found else ""
