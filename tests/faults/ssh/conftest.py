"""A board that things go wrong with."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from emulated.board.board import Board
from emulated.ssh.sshd import keygen
from harness.devices.board.way import SshWay
from tests.devices.board.conftest import Bench, add
from tests.devices.jobs import Running, until

__all__ = ["Rig", "add"]

TAKEN = 2 << 20
"""Bytes that a board's file server takes which stands still after that."""


@dataclass
class Rig:
    """A board, and what can be done to it."""

    bench: Bench

    @property
    def board(self) -> Board:
        return self.bench.board

    @property
    def config(self) -> Path:
        """The controller's ~/.ssh/config."""
        return Path.home() / ".ssh" / "config"

    def files_through(self, line: str) -> None:
        """Have the board's file server started by this shell command, which calls the real one "$SERVER"."""
        sshd = self.board.sshd
        self.board.set_command("file-server", line)
        command = re.findall(r"^ForceCommand (.*)", (sshd.folder / "sshd_config").read_text(), re.MULTILINE)[-1]
        server = 'SERVER="$SSH_ORIGINAL_COMMAND" exec file-server'
        sshd.options = f'ForceCommand case "$SSH_ORIGINAL_COMMAND" in */sftp-server) {server};; esac; {command}'
        sshd.restart()

    def files_as_before(self) -> None:
        """Its file server is the real one again."""
        self.board.sshd.options = ""
        self.board.sshd.restart()

    def other_key(self) -> None:
        """The controller shows a key that the board does not know."""
        key = self.config.parent / "id_other"
        keygen(key)
        self.config.write_text(self.config.read_text().replace(str(self.board.identity), str(key)))

    def until_noticed(self) -> None:
        """Wait until the harness has heard that the connection ended."""
        way = self.bench.device._way
        assert isinstance(way, SshWay)
        until(lambda: not way._connection.up)

    def pushing(self, deadline: float) -> Running:
        """A job whose file is on its way, and does not arrive: the board's file server stands still in the middle."""
        self.files_through(f'{{ dd bs=32k count={TAKEN} iflag=count_bytes status=none; sleep 1000; }} | "$SERVER"')
        running = Running(self.bench, self.bench.job("true", self.bench.file(bytes(4 * TAKEN))), Path("/"), deadline)
        running.thread.start()
        until(lambda: running.outcome or self._arriving())
        return running

    def _arriving(self) -> bool:
        parts = (self.bench.root / "sha256").glob("*.part-*")
        return any(path.stat().st_size > TAKEN // 2 for path in parts)


@pytest.fixture
def asking(monkeypatch: pytest.MonkeyPatch) -> None:
    """Asked often, a sound link is never silent for so long that a test takes it for a stalled one."""
    monkeypatch.setattr("harness.devices.ssh.transport._ASK_SECONDS", 0.5)


@contextmanager
def impatience(seconds: float | None, *, stalls: bool) -> Iterator[None]:
    """Patience that a lab needs, and a test does not, for as long as the board is not to be had.

    Args:
        seconds: how long the harness waits for it; None: as ever, because it comes back.
        stalls: whether a silent link is given up early.
    """
    with pytest.MonkeyPatch.context() as patch:
        if stalls:
            patch.setattr("harness.devices.ssh.transport.STALL_SECONDS", 2)
        if seconds is not None:
            patch.setattr("harness.devices.ssh.connection._ABSENT_SECONDS", seconds)
            patch.setattr("harness.devices.shell.run._RETURN", seconds)
            patch.setattr("harness.devices.shell.device._ENDING_SECONDS", seconds)
        yield
