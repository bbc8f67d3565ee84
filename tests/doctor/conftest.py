"""A lab of emulated phones on a private adb server, and the doctor called as a person calls it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from emulated.android.lab import AdbLab
from harness.cli import main

Doctor = Callable[..., "Said"]


class Said:
    """What the doctor printed, and its exit code."""

    def __init__(self, code: int, out: str, err: str) -> None:
        self.code = code
        self.out = out
        self.err = err

    def words(self, what: str, mark: str = "") -> str:
        """The words of the first finding about `what`, on one line; "" if there is none with that mark."""
        lines = self.out.splitlines()
        for number, line in enumerate(lines):
            if line[:2] == "  " and line[10:21].strip() == what and line[2:10].strip().startswith(mark):
                more = []
                for rest in lines[number + 1 :]:
                    if not rest.startswith(" " * 21):
                        break
                    more.append(rest.strip())
                return " ".join([line[21:].strip(), *more])
        return ""


@pytest.fixture
def phones(tmp_path: Path) -> Iterator[AdbLab]:
    with AdbLab(tmp_path / "lab") as lab:
        yield lab


@pytest.fixture
def doctor(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Doctor:
    """`harness doctor --devices FILE OPTIONS`, given the entries of the file; 80 columns wide, no terminal."""
    monkeypatch.setenv("COLUMNS", "80")

    def call(entries: list[str], *options: str) -> Said:
        file = tmp_path / "devices.yaml"
        file.write_text("version: 1\ndevices:\n" + "".join(f"  - {{{entry}}}\n" for entry in entries))
        code = main(["doctor", "--devices", str(file), *options])
        out, err = capsys.readouterr()
        return Said(code, out, err)

    return call


@pytest.fixture
def entry(phones: AdbLab) -> Callable[..., str]:
    """A line of devices.yaml for a phone of the lab."""

    def line(name: str, serial: str, more: str = "") -> str:
        return f'name: {name}, kind: android, serial: "{serial}", adb_server: "localhost:{phones.server_port}"{more}'

    return line
