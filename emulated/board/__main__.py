"""`python -m emulated.board`: an emulated board to try the harness on, until Ctrl-C."""

from __future__ import annotations

import argparse
import signal
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from emulated.board.board import Board
from emulated.board.machine import CPU
from harness.devices.local import machine_name
from harness.errors import UsageError
from harness.yamlfile import display

_ENDS = (signal.SIGTERM, signal.SIGINT)


def main(arguments: Sequence[str] | None = None) -> int:
    """Start the board, write its devices.yaml, and stay until SIGINT or SIGTERM; the exit code."""
    parser = argparse.ArgumentParser(prog="python -m emulated.board", description=__doc__)
    parser.add_argument("--devices", type=Path, metavar="FILE", help="where to write the devices.yaml")
    parser.add_argument(
        "--arch",
        choices=("aarch64", "native"),
        default="aarch64",
        help="64-bit Arm under qemu, or this computer's own processor, which is faster (default: %(default)s)",
    )
    parser.add_argument(
        "--cpu", default=CPU, help="one of `qemu-aarch64-static -cpu help` (default: %(default)s; max computes wrongly)"
    )
    options = parser.parse_args(arguments)
    # Before anything is started, so that none of it is left behind by a signal that comes early.
    for number in _ENDS:
        signal.signal(number, _leave)
    try:
        with tempfile.TemporaryDirectory(prefix="emulated-board-") as folder:
            return _serve(options, Path(folder))
    except UsageError as error:
        sys.stderr.write(f"{error}\n")
        return 4
    except OSError as error:
        sys.stderr.write(f"the board cannot be started: {error}\n")
        return 1
    except _Left:
        return 0


def devices_yaml(board: Board) -> str:
    """A devices.yaml for a board; it takes turns with this computer, because they share a processor."""
    return (
        "# An emulated board, for as long as `python -m emulated.board` runs.\n"
        "version: 1\n"
        "devices:\n"
        "  - name: board\n"
        "    kind: ssh\n"
        f'    address: "{board.address}"\n'
        f'    identity: "{board.identity}"\n'
        f'    machine: "{machine_name()}"\n'
    )


class _Left(BaseException):
    """The person, or the system, has asked the board to end."""


def _leave(number: int, frame: object) -> None:
    for one in _ENDS:  # a second one must not interrupt the end
        signal.signal(one, signal.SIG_IGN)
    raise _Left


def _serve(options: argparse.Namespace, folder: Path) -> int:
    file: Path = options.devices or folder / "devices.yaml"
    board = Board(folder / "board", options.arch, options.cpu)
    try:
        board.start()
        try:
            file.write_text(devices_yaml(board), encoding="utf-8")
        except OSError as error:
            raise UsageError(f"--devices {file}: cannot be written: {error.strerror}") from None
        _say(f"An emulated board ({options.arch}) at {board.address}; Ctrl-C ends it. Let ssh know its key first:")
        _say(f"  cat {board.known_hosts} >> ~/.ssh/known_hosts")
        _say("Measure on it, in another terminal:")
        _say(f"  pytest --devices={display(file)} suites/smoke.yaml")
        _say("Look at it:")
        _say(f"  ssh -F {board.ssh_config} board")
        while True:
            signal.pause()
    finally:
        board.stop()


def _say(words: str) -> None:
    sys.stdout.write(f"{words}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    raise SystemExit(main())
