"""Emulated boards, and ssh's own programs as clients of theirs."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Protocol

import pytest

from emulated.board.board import Board
from emulated.board.machine import CPU, Arch
from harness.clock import SystemClock
from tests.boards import needs_board

CLOCK = SystemClock()
SECONDS = 60.0


class MakeBoard(Protocol):
    """Starts a board for the test."""

    def __call__(self, arch: Arch = "native", cpu: str = CPU) -> Board: ...


@pytest.fixture
def make_board(tmp_path: Path) -> Iterator[MakeBoard]:
    """Starts boards; at the end nothing of them may be left."""
    made: list[Board] = []

    def make(arch: Arch = "native", cpu: str = CPU) -> Board:
        needs_board(arch)
        board = Board(tmp_path / f"board-{len(made)}", arch, cpu)
        made.append(board)
        running.enter_context(board)
        return board

    with ExitStack() as running:
        yield make
    assert [board.processes() for board in made] == [[] for _ in made]


def ssh(board: Board, command: str) -> subprocess.CompletedProcess[str]:
    """`ssh board COMMAND`, as a user has it."""
    argv = ["ssh", "-F", str(board.ssh_config), "board", command]
    return subprocess.run(argv, capture_output=True, text=True, timeout=SECONDS, check=False, stdin=subprocess.DEVNULL)


def says(board: Board, command: str) -> str:
    """What a command prints; it must succeed."""
    done = ssh(board, command)
    assert (done.returncode, done.stderr) == (0, ""), (command, done)
    return done.stdout
