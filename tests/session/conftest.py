"""A lab in pytester's folder: this machine, small models, and whatever suite a test writes."""

from __future__ import annotations

import json
import shutil
import socket
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

# In-process runs forget the modules they imported; numpy cannot be imported twice.
import harness.session.fixture
import harness.session.measuring  # noqa: F401
from harness.plan.cell import ModelRef
from harness.plan.tflite_file import describe
from tests.conftest import MODELS

RUNS = "runs: {warmup: {count: 0, min_seconds: 0}, count: 3, min_seconds: 0, max_seconds: 5}\n"
DELEGATES = "delegates:\n  cpu: {accelerator: cpu}\n"


describe(ModelRef("add", str(MODELS / "ops" / "add.tflite")))  # imports LiteRT's schema, likewise


class Lab:
    """What tests of the session use; `pytester` runs pytest in its folder."""

    def __init__(self, pytester: pytest.Pytester) -> None:
        self.pytester = pytester
        self.path = pytester.path
        pytester.makefile(".ini", pytest="[pytest]\n")
        self.write("devices.yaml", "version: 1\ndevices:\n  - {name: box, kind: local}\n")
        (self.path / "models").mkdir()

    def write(self, name: str, text: str) -> Path:
        """A file of the lab."""
        path = self.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    def models(self, *names: str) -> None:
        """Copy single-op models into the lab."""
        for name in names:
            shutil.copy(MODELS / "ops" / f"{name}.tflite", self.path / "models")

    def suite(self, text: str = "", *, name: str = "smoke", models: str = "['*']", delegates: str = DELEGATES) -> Path:
        """A suite file; `text` adds keys."""
        return self.write(f"suites/{name}.yaml", f"version: 1\nmodels: {models}\n{delegates}{RUNS}{text}")

    def run(self, *options: str) -> pytest.RunResult:
        """`pytest --devices devices.yaml OPTIONS` in a process of its own."""
        return self.pytester.runpytest_subprocess("--devices", "devices.yaml", *options)

    def inline(self, *options: str) -> pytest.RunResult:
        """The same in this process, which is faster."""
        return self.pytester.runpytest_inprocess("--devices", "devices.yaml", *options)

    @property
    def folder(self) -> Path:
        """The newest report folder."""
        return (self.path / "reports" / "latest").resolve()

    @property
    def matrix(self) -> dict[str, Any]:
        """The newest matrix."""
        found: dict[str, Any] = json.loads((self.folder / "matrix.json").read_text())
        return found

    @property
    def outcomes(self) -> dict[str, str]:
        """Outcome of each cell of the newest run, by `model[device:delegate]`."""
        return {cell["id"].partition("::")[2]: cell["outcome"] for cell in self.matrix["cells"]}


@pytest.fixture
def adb_port(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[int]:
    """A free port for an adb server that the harness starts, with neither USB nor the network; it is ended."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    monkeypatch.setenv("ANDROID_ADB_SERVER_PORT", str(port))
    for name in ("HOME", "TMPDIR"):
        monkeypatch.setenv(name, str(tmp_path))
    yield port
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(b"0009host:kill")
        while connection.recv(100):
            pass


@pytest.fixture
def lab(pytester: pytest.Pytester) -> Lab:
    """A lab with this machine as `box`, no models and no suites."""
    return Lab(pytester)
