"""Faults in the middle of `pytest --devices`: a lost board costs its own unfinished cells, and every row says why."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from emulated.board.board import Board
from harness.runners.build import build_runner
from tests.boards import needs_board
from tests.devices.jobs import CLOCK, until
from tests.session.conftest import RUNS, Lab, lab

__all__ = ["lab"]

pytestmark = pytest.mark.timeout(280)

LONG = "runs: {warmup: {count: 0, min_seconds: 0}, count: 3, min_seconds: 60, max_seconds: 60}\n"
"""Longer than anything waits for it."""
BOUND = 150.0


class Rack:
    """Two boards, each a machine of its own as real ones are: `sound`, and `sick`, which things happen to."""

    def __init__(self, lab: Lab, boards: dict[str, Board]) -> None:
        self.lab = lab
        self.sick = boards["sick"]
        self.models: tuple[str, ...] = ()
        entries = [f"  - {{name: {name}, kind: ssh, address: {name}, machine: {name}}}\n" for name in boards]
        lab.write("devices.yaml", "version: 1\ndevices:\n" + "".join(entries))

    def suite(self, *models: str, runs: str = RUNS) -> None:
        """What is measured, in this order on each board."""
        self.models = models
        self.lab.models(*models)
        before, _, _ = self.lab.suite().read_text().partition("runs:")
        self.lab.write("suites/smoke.yaml", before + runs)

    def run(self, during: Callable[[], object] = lambda: None) -> pytest.RunResult:
        """`pytest --devices devices.yaml`, with something happening meanwhile; bounded in time."""
        thread = threading.Thread(target=during, daemon=True)
        began = CLOCK.monotonic()
        thread.start()
        result = self.lab.inline()
        assert CLOCK.monotonic() - began < BOUND
        thread.join(10)
        assert not thread.is_alive()
        return result

    def hold(self, job: int) -> None:
        """Have this job of the sick board (1: the first) stand still, begun, until `go_on`."""
        home = self.sick.home
        self.sick.set_command(
            "timeout",
            f"echo >>{home}/begun\n"
            f"if [ $(wc -l <{home}/begun) = {job} ]; then\n"
            f"  : >{home}/held; while [ ! -e {home}/go ]; do sleep 0.05; done\n"
            "fi\n"
            'exec /usr/bin/timeout "$@"',
        )

    def until_held(self) -> None:
        """Wait until that job stands still."""
        until((self.sick.home / "held").exists, 100)

    def go_on(self) -> None:
        """What was held goes on."""
        (self.sick.home / "go").touch()

    def outcomes(self, name: str) -> list[str]:
        """Of the cells of one board, in the order of the models."""
        return [self.lab.outcomes[f"{model}[{name}:cpu]"] for model in self.models]

    def cell(self, name: str) -> dict[str, Any]:
        """A row of the matrix."""
        found: dict[str, Any] = next(row for row in self.lab.matrix["cells"] if row["id"].endswith(f"::{name}"))
        return found


def benchmarks(board: Board) -> list[int]:
    """Pids of the runner on a board."""
    found = []
    for pid in board.processes():
        with contextlib.suppress(OSError):  # it has just ended
            if Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[0].endswith(b"/delegate_bench"):
                found.append(pid)
    return found


@pytest.fixture
def rack(lab: Lab, own_cache: Path) -> Iterator[Rack]:
    """The runner is there already: its build is not what is timed here."""
    needs_board("native")
    assert own_cache.is_dir()
    build_runner()
    ssh = Path.home() / ".ssh"  # pytester has given us one
    ssh.mkdir(mode=0o700)
    boards = {name: Board(lab.path / name, "native") for name in ("sound", "sick")}
    try:
        for board in boards.values():
            board.start()
        configs = [board.sshd.config(name) for name, board in boards.items()]
        (ssh / "config").write_text("".join(configs))
        yield Rack(lab, boards)
    finally:
        for board in boards.values():
            board.stop()


def test_a_board_that_loses_its_power_costs_only_its_own_unfinished_cells(
    rack: Rack, monkeypatch: pytest.MonkeyPatch
) -> None:
    def crash() -> None:
        rack.until_held()
        rack.sick.crash()

    # Patience that a lab needs, and a test does not.
    monkeypatch.setattr("harness.devices.shell.run._RETURN", 1.0)
    monkeypatch.setattr("harness.devices.board.way._RETURN_SECONDS", 1.0)
    rack.suite("add", "conv_2d", "softmax")
    rack.hold(2)
    result = rack.run(crash)
    assert result.ret == 1
    assert rack.outcomes("sound") == ["PASS"] * 3
    assert rack.outcomes("sick") == ["PASS", "ERROR", "NOT_RUN"]
    lost = rack.cell("conv_2d[sick:cpu]")
    assert lost["error"]["class"] == "device"
    assert "sick: " in lost["reason"]
    assert "sick was lost and does not come back" in rack.cell("softmax[sick:cpu]")["reason"]


def test_a_board_that_restarts_is_given_the_cell_again(rack: Rack) -> None:
    def reboot() -> None:
        rack.until_held()
        rack.sick.reboot()

    rack.suite("add", "conv_2d")
    rack.hold(1)
    result = rack.run(reboot)
    assert rack.outcomes("sick") == rack.outcomes("sound") == ["PASS"] * 2
    ((first, second),) = (row["attempts"] for row in rack.lab.matrix["cells"] if len(row["attempts"]) > 1)
    assert (first["outcome"], second["outcome"]) == ("ERROR", "MEASURED")
    assert "restarted while the job ran" in first["reason"]
    assert result.ret == 0


def test_an_sshd_that_is_restarted_mid_run_costs_nothing(rack: Rack) -> None:
    def restart() -> None:
        rack.until_held()
        rack.sick.sshd.restart()
        rack.go_on()

    rack.suite("add", "conv_2d")
    rack.hold(1)
    result = rack.run(restart)
    assert rack.outcomes("sick") == rack.outcomes("sound") == ["PASS"] * 2
    assert [attempt["outcome"] for row in rack.lab.matrix["cells"] for attempt in row["attempts"]] == ["MEASURED"] * 4
    assert result.ret == 0


def test_a_board_with_another_key_is_an_error_of_class_host(rack: Rack) -> None:
    rack.sick.sshd.new_host_key()
    rack.sick.sshd.restart()
    rack.suite("add", "conv_2d")
    result = rack.run()
    assert rack.outcomes("sound") == ["PASS"] * 2
    assert set(rack.outcomes("sick")) <= {"ERROR", "NOT_RUN"}
    first = rack.cell("add[sick:cpu]")
    assert (first["outcome"], first["error"]["class"]) == ("ERROR", "host")
    assert "ssh-keygen" in first["reason"]
    assert result.ret == 1


def test_what_a_killed_run_left_on_a_board_is_ended_by_the_next_one(rack: Rack) -> None:
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--devices", "devices.yaml"]
    rack.suite("add", runs=LONG)
    with rack.lab.pytester.popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as run:
        until(lambda: benchmarks(rack.sick), 100)
        run.kill()
    orphans = benchmarks(rack.sick)
    assert orphans, "it measures on, for a minute"
    rack.suite("add")
    assert rack.run().ret == 0
    assert rack.outcomes("sick") == ["PASS"]
    assert set(orphans).isdisjoint(rack.sick.processes())
    assert list((rack.sick.home / ".cache" / "harness" / "jobs").iterdir()) == []
