"""Every fault between the controller and a board has its outcome, its class and its bound, and passes."""

from __future__ import annotations

import threading

import pytest

from harness.devices.base import DeviceError, JobOutput
from tests.devices.board.conftest import Add
from tests.devices.jobs import CLOCK, Running, until
from tests.faults.ssh.conftest import Rig, impatience
from tests.faults.ssh.rows import BOUND, ROWS, Row

pytestmark = [pytest.mark.timeout(150), pytest.mark.usefixtures("asking")]

STEPS = "while [ ! -e go ]; do sleep 0.05; done; echo finished; echo 6 >out/result"


@pytest.mark.parametrize("row", ROWS, ids=[row.name for row in ROWS])
def test_a_fault_has_its_outcome_in_time_and_passes(add: Add, row: Row) -> None:
    rig = Rig(add())
    bench = rig.bench
    began = CLOCK.monotonic()
    outcome = happening(rig, row)
    assert CLOCK.monotonic() - began < BOUND
    if row.expected is None:
        assert isinstance(outcome, JobOutput), outcome
        assert (outcome.exit_code, outcome.timed_out, outcome.stdout) == (0, False, "finished\n")
        assert (outcome.folder / "result").read_text() == "6\n"
    else:
        assert type(outcome) is row.expected, outcome
        assert outcome.error_class is row.error_class
        assert row.said in str(outcome)
        assert str(outcome).startswith("board: ")
    row.mend(rig)
    if not row.works_after:
        bench = bench.another()
    if row.when == "connecting":
        bench.connect()
    else:
        bench.device.recover()
    assert bench.run("echo $((6 * 7))", bench.file("new")).stdout == "42\n"
    bench.device.close()
    until(lambda: bench.programs() == [])
    assert bench.jobs == []
    assert [name for name in bench.stored if ".part-" in name] == []


def happening(rig: Rig, row: Row) -> JobOutput | Exception:
    """Have the fault; what the job came to."""
    bench = rig.bench
    patience = impatience(row.patience, stalls=row.stalls)
    if row.when == "connecting":
        row.cause(rig)
        with patience, pytest.raises(DeviceError) as caught:
            bench.connect()
        return caught.value
    bench.connect()
    if row.when == "running":
        running = bench.begin(STEPS, deadline=row.deadline)
        with patience:
            row.cause(rig)
            if row.expected is None:
                (running.started.parent.parent / "go").touch()
            return running.wait()
    if row.when == "pushing":
        running = rig.pushing(row.deadline)
        with patience:
            row.cause(rig)
            return running.wait()
    row.cause(rig)
    running = Running(bench, bench.job("true", bench.file(bytes(8 << 20))), bench.root, row.deadline)
    running.thread.start()
    return running.wait()


def test_one_session_at_a_time_is_enough(add: Add) -> None:
    """sshd's MaxSessions 1: a job's command has it; what else is asked meanwhile waits or is left out."""
    bench = add(max_sessions=1)
    bench.connect()
    running = bench.begin(STEPS)
    states = []
    thread = threading.Thread(target=lambda: states.append(bench.device.state()))
    thread.start()
    (running.started.parent.parent / "go").touch()
    assert running.output().stdout == "finished\n"
    thread.join(30)
    assert len(states) == 1
