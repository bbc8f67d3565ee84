"""A board: OpenSSH's sshd on loopback, whose commands run on this computer; and what it takes to give it jobs."""

from __future__ import annotations

import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from emulated.ssh import sshd as openssh
from emulated.ssh.sshd import Sshd
from harness.devices.board.device import BoardDevice
from harness.lab.spec import SshSpec
from tests.devices import jobs
from tests.devices.jobs import CLOCK, until
from tests.drivers import absent

NAME = "board"
BOOT_ID = "/proc/sys/kernel/random/boot_id"
PATH = "/usr/local/bin:/usr/bin:/bin"

Add = Callable[..., "Bench"]


@dataclass
class Bench(jobs.Bench):
    """A board, and a device of the harness for it."""

    sshd: Sshd

    @property
    def root(self) -> Path:
        return self.sshd.home / ".cache" / "harness"

    def another(self, **keys: Any) -> Bench:
        """The same board for another run of the harness."""
        return Bench(device(**keys), self.folder, self.sshd)

    def program(self, name: str, script: str) -> None:
        """A program of the board, found before this computer's of that name."""
        path = self.sshd.folder / "bin" / name
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(path.stat().st_mode | stat.S_IXUSR)

    def reboot(self) -> None:
        """What a power cycle does: everything ends, and the kernel has another boot id from now on."""
        self.sshd.stop()
        # Scripts come through `cat`, which is where they find another file to read the boot id from.
        (self.sshd.folder / "boot_id").write_text("00000000-0000-4000-8000-000000000000\n")
        self.program("cat", f"exec sed 's#{BOOT_ID}#{self.sshd.folder}/boot_id#g' \"$@\"")
        self.sshd.start()


def device(**keys: Any) -> BoardDevice:
    """The board as a device of the harness."""
    return BoardDevice(SshSpec(**{"kind": "ssh", "name": NAME, "address": NAME, **keys}), CLOCK)


@pytest.fixture
def home(own_home: Path) -> Path:
    """The controller's home, with ssh's files in it."""
    (own_home / ".ssh").mkdir(mode=0o700)
    return own_home


@pytest.fixture
def add(home: Path, tmp_path: Path) -> Iterator[Add]:
    """Makes a board; afterwards nothing may go on running on it."""
    if (why := openssh.absent()) is not None:
        absent(why)
    boards: list[Sshd] = []

    def add(*, env: dict[str, str] | None = None, command: str | None = None, **keys: Any) -> Bench:
        folder = tmp_path / "board"
        path = f"{folder / 'bin'}:{PATH}"
        sshd = Sshd(folder, env={"PATH": path, "HARNESS_EMULATED": "1"}, command=command)
        (folder / "bin").mkdir()
        boards.append(sshd)
        sshd.start()
        (home / ".ssh" / "config").write_text(sshd.config(NAME))
        bench = Bench(device(**keys), tmp_path, sshd)
        return bench

    yield add
    try:
        until(lambda: not any(leftovers(sshd) for sshd in boards), 5)
    finally:
        for sshd in boards:
            sshd.stop()


def leftovers(sshd: Sshd) -> list[int]:
    """Pids of the programs of jobs."""
    found = []
    for pid in sshd.alive():
        try:
            environ = Path(f"/proc/{pid}/environ").read_bytes()
        except OSError:  # it has just ended
            continue
        if b"HARNESS_JOB=" in environ:
            found.append(pid)
    return found


@pytest.fixture
def bench(add: Add) -> Iterator[Bench]:
    """A connected board."""
    bench = add()
    bench.connect()
    yield bench
    bench.device.close()
