"""Emulated iPhones in a process of their own, so that their CPU time is not the harness's. For benchmarks."""

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


class Iphones:
    """A lab of emulated iPhones in a child process; a context manager.

    Attributes:
        address: of its usbmuxd.
        udids: of the phones.
        environ: for processes that shall use that usbmuxd, and no internet.
    """

    def __init__(self, *phones: str) -> None:
        self._command = [sys.executable, __file__, *phones]

    def __enter__(self) -> Self:
        environ = {**os.environ, "PYTHONPATH": str(ROOT)}
        self._child = subprocess.Popen(
            self._command, env=environ, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        said = self._answer()
        self.address: str = said["address"]
        self.udids: list[str] = said["udids"]
        self.environ: dict[str, str] = said["environ"]
        return self

    def __exit__(self, *exception: object) -> None:
        if self._child.stdin is not None:
            self._child.stdin.close()  # which ends it
        self._child.wait(60)

    def received(self) -> list[list[tuple[str, int]]]:
        """For each phone, path and bytes of every file that it was sent so far."""
        assert self._child.stdin is not None
        self._child.stdin.write("received\n")
        self._child.stdin.flush()
        return [[(path, size) for path, size in files] for files in self._answer()["received"]]

    def devices(self) -> str:
        """The entries of a devices file, each on a machine of its own."""
        entry = '  - {{name: iphone-{}, kind: ios, udid: "{}", usbmuxd: "{}"}}\n'
        return "".join(entry.format(number, udid, self.address) for number, udid in enumerate(self.udids))

    def _answer(self) -> dict[str, Any]:
        assert self._child.stdout is not None
        line = self._child.stdout.readline()
        if not line:
            raise SystemExit("the emulated iPhones did not start")
        said: dict[str, Any] = json.loads(line)
        return said


def serve(phones: list[str]) -> None:
    """The child: answers each line with what the phones received, ends with its input."""
    from emulated.ios.lab import IosLab

    with tempfile.TemporaryDirectory(prefix="iphones-") as folder, IosLab(Path(folder)) as lab:
        added = [lab.add(name, tls=True) for name in phones]
        said = {"address": lab.address, "udids": [phone.udid for phone in added], "environ": lab.environ}
        print(json.dumps(said), flush=True)
        for _ in sys.stdin:
            print(json.dumps({"received": [list(phone.received) for phone in added]}), flush=True)


if __name__ == "__main__":
    serve(sys.argv[1:])
