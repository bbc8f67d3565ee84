"""An emulated board on this computer's own processor, and what it takes to give it jobs."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from emulated.board.board import Board
from harness.devices.board.device import BoardDevice
from harness.lab.spec import SshSpec
from tests.boards import needs_board
from tests.devices import jobs
from tests.devices.jobs import CLOCK, until

NAME = "board"

Add = Callable[..., "Bench"]


@dataclass
class Bench(jobs.Bench):
    """A board, and a device of the harness for it."""

    device: BoardDevice
    board: Board

    @property
    def root(self) -> Path:
        return self.board.home / ".cache" / "harness"

    def another(self, **keys: Any) -> Bench:
        """The same board for another run of the harness."""
        return Bench(device(**keys), self.folder, self.board)

    def programs(self) -> list[int]:
        """Pids of what jobs run on it, and of nothing else."""
        found = []
        for pid in self.board.processes():
            with contextlib.suppress(OSError):  # it has just ended
                if b"HARNESS_JOB=" in Path(f"/proc/{pid}/environ").read_bytes():
                    found.append(pid)
        return found


def device(**keys: Any) -> BoardDevice:
    """The board as a device of the harness."""
    return BoardDevice(SshSpec(**{"kind": "ssh", "name": NAME, "address": NAME, **keys}), CLOCK)


@pytest.fixture
def add(own_home: Path, tmp_path: Path) -> Iterator[Add]:
    """Makes a board; afterwards nothing may go on running on it."""
    needs_board("native")
    (own_home / ".ssh").mkdir(mode=0o700)
    benches: list[Bench] = []

    def add(*, max_sessions: int | None = None, **keys: Any) -> Bench:
        board = Board(tmp_path / "board", "native", max_sessions=max_sessions)
        board.start()
        (own_home / ".ssh" / "config").write_text(board.ssh_config.read_text())
        benches.append(Bench(device(**keys), tmp_path, board))
        return benches[-1]

    yield add
    try:
        for bench in benches:
            bench.device.close()
            until(lambda bench=bench: not bench.programs())  # type: ignore[misc]
    finally:
        for bench in benches:
            bench.board.stop()


@pytest.fixture
def bench(add: Add) -> Bench:
    """A connected board."""
    bench = add()
    bench.connect()
    return bench
