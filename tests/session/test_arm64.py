"""arm64 boards in a run: the runner built for them, the arm64 LiteRT of the wheel, on processors that qemu emulates."""

from __future__ import annotations

import importlib.metadata
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from emulated.board.board import Board
from emulated.board.machine import CPU
from harness.devices.local import machine_name
from tests.boards import OLD_CPU, WRONG_CPU, arm64_runner, conv_2d_int8, needs_board, needs_wrong_cpu
from tests.session.conftest import Lab

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="emulated boards run on Linux only")

CPUS = {"good": CPU, "wrong": WRONG_CPU, "old": OLD_CPU}


@pytest.fixture(scope="module", autouse=True)
def runner() -> Path:
    """The runner, built before a test has a home of its own: zig keeps the C library that it makes at home."""
    needs_board()
    return arm64_runner()


@pytest.fixture
def boards(tmp_path: Path, own_home: Path, lab: Lab) -> Iterator[dict[str, Board]]:
    """Three boards of one lab, which differ in their processors only."""
    needs_wrong_cpu()
    found = {name: Board(tmp_path / name, "aarch64", cpu) for name, cpu in CPUS.items()}
    (own_home / ".ssh").mkdir(mode=0o700)
    with ExitStack() as running:
        for board in found.values():
            running.enter_context(board)
        (own_home / ".ssh" / "config").write_text("".join(board.sshd.config(name) for name, board in found.items()))
        lines = [f"  - {{name: {name}, kind: ssh, address: {name}, machine: {machine_name()}}}\n" for name in CPUS]
        lab.write("devices.yaml", f"version: 1\ndevices:\n{''.join(lines)}")
        yield found


def test_what_a_processor_does_wrong_is_a_failure_and_what_it_cannot_do_an_error(
    lab: Lab, boards: dict[str, Board]
) -> None:
    lab.models("conv_2d")
    conv_2d_int8(lab.path / "models" / "conv_2d_int8.tflite")
    lab.suite()
    result = lab.inline()
    assert lab.outcomes == {
        "conv_2d[good:cpu]": "PASS",
        "conv_2d[wrong:cpu]": "PASS",
        "conv_2d[old:cpu]": "PASS",
        "conv_2d_int8[good:cpu]": "PASS",
        "conv_2d_int8[wrong:cpu]": "FAIL",
        "conv_2d_int8[old:cpu]": "ERROR",
    }
    assert result.ret == 1
    assert {name: board.processes() for name, board in boards.items()} == {"good": [], "wrong": [], "old": []}

    cells = {cell["id"].partition("::")[2]: cell for cell in lab.matrix["cells"]}
    version = importlib.metadata.version("ai-edge-litert")
    for name, cell in cells.items():
        assert cell["runtime"]["version"] == version, name
        assert len(cell["attempts"]) == 1, "none of this is tried again"
    (right,) = cells["conv_2d_int8[good:cpu]"]["accuracy"]
    (wrong,) = cells["conv_2d_int8[wrong:cpu]"]["accuracy"]
    assert right["max_abs_of_range"] < 0.05, "reference kernels round otherwise"
    assert wrong["max_abs_of_range"] > 0.3
    failed = [gate["gate"] for gate in cells["conv_2d_int8[wrong:cpu]"]["gates"] if gate["verdict"] == "FAIL"]
    assert failed == ["max_steps"]
    error = cells["conv_2d_int8[old:cpu]"]["error"]
    assert (error["class"], error["kind"], error["signal"]) == ("runner", "crash", 4)
    for device in lab.matrix["devices"]:
        assert (device["facts"]["target"], device["emulated"]) == ("aarch64-linux", True)
        assert device["facts"]["cpu_model"] == "Neoverse-N1", "what /proc/cpuinfo says, be it true or not"
