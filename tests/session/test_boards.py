"""Boards in a run: through OpenSSH's sshd, with the real runner and runtime, on this computer's own processor."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from emulated.board.board import Board
from harness.devices.local import host_target, machine_name
from tests.boards import needs_board
from tests.session.conftest import Lab

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="emulated boards run on Linux only")


@pytest.fixture
def board(lab: Lab, tmp_path: Path) -> Iterator[Board]:
    """A board that ssh knows as `board`."""
    needs_board("native")
    ssh = Path.home() / ".ssh"  # that of pytester, which `lab` is made of
    ssh.mkdir(mode=0o700)
    with Board(tmp_path / "board", "native") as board:
        (ssh / "config").write_text(board.ssh_config.read_text())
        yield board


def devices(lab: Lab, *entries: str) -> None:
    lines = "".join(f"  - {{{entry}, machine: {machine_name()}}}\n" for entry in entries)
    lab.write("devices.yaml", f"version: 1\ndevices:\n{lines}")


def test_this_machine_and_a_board_in_one_matrix(lab: Lab, board: Board) -> None:
    devices(lab, "name: box, kind: local", "name: bench, kind: ssh, address: board")
    lab.models("add", "conv_2d")
    lab.suite()
    result = lab.run()
    assert lab.outcomes == {f"{model}[{name}:cpu]": "PASS" for model in ("add", "conv_2d") for name in ("box", "bench")}
    assert result.ret == 0
    found = {device["name"]: device for device in lab.matrix["devices"]}["bench"]
    assert (found["kind"], found["emulated"], found["serial"]) == ("ssh", True, "board")
    assert found["facts"]["target"] == host_target()
    for cell in lab.matrix["cells"]:
        if cell["device"] == "bench":
            assert cell["runner"]["context"] == "shell"
            assert cell["accuracy"][0]["nonfinite"] == 0
            assert cell["device_state"]["before"]["temperature_c"] == 41.0
    assert board.processes() == []
    assert list((board.home / ".cache" / "harness" / "jobs").iterdir()) == []
    result.stdout.fnmatch_lines(["2 cells on bench come from an emulated device: cannot qualify a release."])


def test_a_second_run_moves_no_file_again(lab: Lab, board: Board) -> None:
    devices(lab, "name: bench, kind: ssh, address: board")
    lab.models("add")
    lab.suite()
    assert lab.inline().ret == 0
    (first,) = lab.matrix["cells"]
    assert first["attempts"][0]["transfer_bytes"] > 1 << 20, "runner and runtime"
    assert lab.inline().ret == 0
    (second,) = lab.matrix["cells"]
    assert second["attempts"][0]["transfer_bytes"] < 1 << 20


def test_a_board_that_is_switched_off_is_named_in_each_of_its_cells(
    lab: Lab, board: Board, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("harness.devices.ssh.connection._ABSENT_SECONDS", 1.0)
    devices(lab, "name: box, kind: local", "name: bench, kind: ssh, address: board")
    board.stop()
    lab.models("add")
    lab.suite()
    result = lab.inline()
    assert lab.outcomes == {"add[box:cpu]": "PASS", "add[bench:cpu]": "ERROR"}
    gone = next(cell for cell in lab.matrix["cells"] if cell["device"] == "bench")
    assert (gone["error"]["class"], gone["error"]["kind"]) == ("device", "connect")
    assert "cannot be reached" in gone["reason"]
    assert result.ret == 1


def test_a_board_whose_key_nobody_has_checked_is_an_error_of_class_host(lab: Lab, board: Board) -> None:
    devices(lab, "name: box, kind: local", "name: bench, kind: ssh, address: board")
    board.known_hosts.write_text("")
    lab.models("add")
    lab.suite()
    result = lab.inline()
    assert lab.outcomes == {"add[box:cpu]": "PASS", "add[bench:cpu]": "ERROR"}
    cell = next(cell for cell in lab.matrix["cells"] if cell["device"] == "bench")
    assert cell["error"]["class"] == "host"
    assert "SHA256:" in cell["reason"]
    assert "ssh-keyscan" in cell["reason"]
    assert result.ret == 1
