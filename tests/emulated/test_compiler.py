"""C sources of emulated devices are compiled once, and what is wrong is said in words."""

from __future__ import annotations

from pathlib import Path

import pytest

from emulated.compiler import Source, compiled
from harness.errors import UsageError

FAKE = 'echo "$@" >>"{calls}"; while [ "$1" != -o ]; do shift; done; echo made >"$2"'


@pytest.fixture
def source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Source:
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / "cache"))
    for name in ("a.c", "a.h"):
        (tmp_path / name).write_text("first")
    return Source("thing", "the thing", (tmp_path / "a.c",), (tmp_path / "a.h",), ("-O2",), ("-lm",))


def environ(folder: Path, body: str, name: str = "cc") -> dict[str, str]:
    """Names a program as the C compiler."""
    program = folder / name
    program.write_text(f"#!/bin/sh\n{body}\n")
    program.chmod(0o755)
    return {"CC": f"{program} -x", "PATH": "/usr/bin:/bin"}


def test_it_is_compiled_once_for_what_it_is_made_from(tmp_path: Path, source: Source) -> None:
    calls = tmp_path / "calls"
    env = environ(tmp_path, FAKE.format(calls=calls))
    made = compiled(source, env)
    assert made.read_text() == "made\n"
    assert compiled(source, env) == made
    (call,) = calls.read_text().splitlines()
    assert call.startswith(f"-x -O2 {tmp_path / 'a.c'} -o ")
    assert call.endswith("/thing -lm")
    (tmp_path / "a.h").write_text("other")
    assert compiled(source, env) != made
    assert compiled(source, environ(tmp_path, FAKE.format(calls=calls), "other-cc")) != made
    assert [path.name for path in made.parent.iterdir()] == ["thing"], "no scratch is left"


def test_a_compiler_that_fails_says_why(tmp_path: Path, source: Source) -> None:
    with pytest.raises(UsageError) as failed:
        compiled(source, environ(tmp_path, "echo a.c:1: no such thing >&2; exit 3"))
    assert str(failed.value) == (
        f"the thing cannot be built: {tmp_path / 'cc'} ended with exit code 3:\na.c:1: no such thing"
    )
    with pytest.raises(UsageError, match=r"the thing cannot be built: .*No such file"):
        compiled(source, {"CC": str(tmp_path / "absent")})


def test_a_computer_without_a_compiler_is_told_what_to_install(source: Source, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(UsageError, match="the thing cannot be built without a C compiler: apt install build-essential"):
        compiled(source, {"PATH": ""})
