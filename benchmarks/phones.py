"""Emulated phones in a process of their own, so that their CPU time is not the harness's. For benchmarks."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from common import ROOT
from typing_extensions import Self


class Phones:
    """A lab of emulated phones in a child process; a context manager.

    Attributes:
        port: of its private adb server.
        serials: of the phones.
        environ: for processes that shall use that server.
        adb: the adb program of the server.
    """

    def __init__(self, count: int, phone: str = "pixel-8") -> None:
        self._command = [sys.executable, __file__, str(count), phone]

    def __enter__(self) -> Self:
        environ = {**os.environ, "PYTHONPATH": str(ROOT)}
        self._child = subprocess.Popen(
            self._command, env=environ, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        said = self._answer()
        self.port: int = said["port"]
        self.serials: list[str] = said["serials"]
        self.environ: dict[str, str] = {**os.environ, "ANDROID_ADB_SERVER_PORT": str(self.port)}
        self.adb: str = said["adb"]
        return self

    def __exit__(self, *exception: object) -> None:
        if self._child.stdin is not None:
            self._child.stdin.close()  # which ends it
        self._child.wait(60)

    def counts(self) -> tuple[int, int]:
        """Services opened and bytes received by all phones together, so far."""
        assert self._child.stdin is not None
        self._child.stdin.write("counts\n")
        self._child.stdin.flush()
        said = self._answer()
        return said["opened"], said["received"]

    def devices(self, machine: str | None = None) -> str:
        """The entries of a devices file; on one machine, or each on its own."""
        place = f", machine: {machine}" if machine else ""
        entry = '  - {{name: phone-{:02}, kind: android, serial: "{}", adb_server: "127.0.0.1:{}"{}}}\n'
        return "".join(entry.format(n, serial, self.port, place) for n, serial in enumerate(self.serials))

    def _answer(self) -> dict[str, Any]:
        assert self._child.stdout is not None
        line = self._child.stdout.readline()
        if not line:
            raise SystemExit("the emulated phones did not start")
        said: dict[str, Any] = json.loads(line)
        return said


def serve(count: int, phone: str) -> None:
    """The child: answers a line "counts" with the counts, ends with its input."""
    import adbutils

    from emulated.android.lab import AdbLab

    with tempfile.TemporaryDirectory(prefix="phones-") as folder, AdbLab(Path(folder)) as lab:
        phones = [lab.add(phone) for _ in range(count)]
        serials = [one.serial for one in phones]
        print(json.dumps({"port": lab.server_port, "serials": serials, "adb": adbutils.adb_path()}), flush=True)
        for _ in sys.stdin:
            opened = sum(len(one.opened) for one in phones)
            print(json.dumps({"opened": opened, "received": sum(one.received_bytes for one in phones)}), flush=True)


if __name__ == "__main__":
    serve(int(sys.argv[1]), sys.argv[2])
