"""What a program inherits while pytest changes the environment in another thread."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from harness.environment import inherited
from tests.devices.test_local import Bench, bench

__all__ = ["bench"]


class Changing(dict[str, str]):
    """An environment out of which a variable is taken once its names were listed."""

    def __iter__(self) -> Iterator[str]:
        yield "GONE"
        yield from super().__iter__()

    def keys(self) -> list[str]:  # type: ignore[override]
        return list(self)


def test_a_variable_that_is_removed_meanwhile(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "environ", Changing(HERE="here"))
    with pytest.raises(KeyError):
        dict(os.environ)
    assert inherited() == {"HERE": "here"}


def test_a_job_that_starts_meanwhile(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "environ", Changing({**os.environ, "HERE": "here"}))
    assert bench.run("echo $HERE").stdout == "here\n"
