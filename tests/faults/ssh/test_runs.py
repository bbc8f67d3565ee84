"""Faults in the middle of `pytest --devices`: a lost board costs its own unfinished cells, and every row says why."""

from __future__ import annotations

import contextlib
import os
import signal
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
from tests.session.conftest import Lab, lab

__all__ = ["lab"]

pytestmark = pytest.mark.timeout(280)

SLOW = "runs: {warmup: {count: 0, min_seconds: 0}, count: 3, min_seconds: 1.5, max_seconds: 5}\n"
BOUND = 150.0
MODELS = ("add", "conv_2d", "softmax")


class Rack:
    """Two boards, each a machine of its own as real ones are: `sound`, and `sick`, which things happen to."""

    def __init__(self, lab: Lab, boards: dict[str, Board]) -> None:
        self.lab = lab
        self.sick = boards["sick"]
        self._seen: set[str] = set()
        entries = [f"  - {{name: {name}, kind: ssh, address: {name}, machine: {name}}}\n" for name in boards]
        lab.write("devices.yaml", "version: 1\ndevices:\n" + "".join(entries))
        lab.models(*MODELS)
        before, _, _ = lab.suite().read_text().partition("runs:")
        lab.write("suites/smoke.yaml", before + SLOW)

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

    def until_at_work(self, cells: int) -> None:
        """Wait until the sick board has begun so many jobs, and stop what measures there: it must not end meanwhile."""
        until(lambda: self._at_work(cells) and self._stopped(), 100)

    def go_on(self) -> None:
        """What was stopped goes on."""
        for pid in benchmarks(self.sick):
            os.kill(pid, signal.SIGCONT)

    def _at_work(self, cells: int) -> bool:
        folders = (self.sick.home / ".cache" / "harness" / "jobs").glob("*/pid")
        self._seen.update(path.parent.name for path in folders)
        return len(self._seen) >= cells

    def _stopped(self) -> bool:
        for pid in benchmarks(self.sick):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGSTOP)
        return benchmarks(self.sick) != []

    def outcomes(self, name: str) -> list[str]:
        """Of the cells of one board, in the order of the models."""
        return [self.lab.outcomes[f"{model}[{name}:cpu]"] for model in MODELS]

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
        rack.until_at_work(2)
        rack.sick.crash()

    # Patience that a lab needs, and a test does not.
    monkeypatch.setattr("harness.devices.shell.run._RETURN", 3.0)
    monkeypatch.setattr("harness.devices.board.way._RETURN_SECONDS", 3.0)
    result = rack.run(crash)
    assert result.ret == 1
    assert rack.outcomes("sound") == ["PASS"] * 3
    outcomes = rack.outcomes("sick")
    place = outcomes.index("ERROR")
    assert outcomes == ["PASS"] * place + ["ERROR"] + ["NOT_RUN"] * (2 - place)
    assert place > 0
    lost = rack.cell(f"{MODELS[place]}[sick:cpu]")
    assert lost["error"]["class"] == "device"
    assert "sick: " in lost["reason"]
    for model in MODELS[place + 1 :]:
        assert "sick was lost and does not come back" in rack.cell(f"{model}[sick:cpu]")["reason"]


def test_a_board_that_restarts_is_given_the_cell_again(rack: Rack) -> None:
    def reboot() -> None:
        rack.until_at_work(2)
        rack.sick.reboot()

    result = rack.run(reboot)
    assert rack.outcomes("sick") == rack.outcomes("sound") == ["PASS"] * 3
    ((first, second),) = (row["attempts"] for row in rack.lab.matrix["cells"] if len(row["attempts"]) > 1)
    assert (first["outcome"], second["outcome"]) == ("ERROR", "MEASURED")
    assert "restarted while the job ran" in first["reason"]
    assert result.ret == 0


def test_an_sshd_that_is_restarted_mid_run_costs_nothing(rack: Rack) -> None:
    def restart() -> None:
        rack.until_at_work(1)
        rack.sick.sshd.restart()
        rack.go_on()

    result = rack.run(restart)
    assert rack.outcomes("sick") == rack.outcomes("sound") == ["PASS"] * 3
    assert [attempt["outcome"] for row in rack.lab.matrix["cells"] for attempt in row["attempts"]] == ["MEASURED"] * 6
    assert result.ret == 0


def test_a_board_with_another_key_is_an_error_of_class_host(rack: Rack) -> None:
    rack.sick.sshd.new_host_key()
    rack.sick.sshd.restart()
    result = rack.run()
    assert rack.outcomes("sound") == ["PASS"] * 3
    assert set(rack.outcomes("sick")) <= {"ERROR", "NOT_RUN"}
    first = rack.cell("add[sick:cpu]")
    assert (first["outcome"], first["error"]["class"]) == ("ERROR", "host")
    assert "ssh-keygen" in first["reason"]
    assert result.ret == 1


def test_what_a_killed_run_left_on_a_board_is_ended_by_the_next_one(rack: Rack) -> None:
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--devices", "devices.yaml"]
    with rack.lab.pytester.popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as run:
        rack.until_at_work(1)
        orphans = set(benchmarks(rack.sick))
        run.kill()
    assert rack.run().ret == 0
    assert rack.outcomes("sick") == ["PASS"] * 3
    assert orphans.isdisjoint(rack.sick.processes())
    assert list((rack.sick.home / ".cache" / "harness" / "jobs").iterdir()) == []
