"""Faults in the middle of a job: what goes on, goes on; what has to end, ends; nothing is left on the phone."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.devices.adb.errors import AdbError, DeviceLostError, DeviceTimeoutError, RemoteError
from harness.devices.android.device import AndroidDevice
from harness.devices.base import DeviceError
from harness.lab.spec import AndroidSpec
from tests.devices.android.conftest import Bench, Running
from tests.faults.conftest import BACKENDS, CLOCK, Plug, Rig

pytestmark = pytest.mark.timeout(120)

JOB = ("sleep", "100")
BOUND = 60.0
"""Seconds, far above what any of these takes: a guard against what hangs."""


@pytest.fixture(params=BACKENDS)
def rig(request: pytest.FixtureRequest, plug: Plug) -> Rig:
    return plug(request.param)


@pytest.fixture
def bench(rig: Rig, tmp_path: Path) -> Iterator[Bench]:
    """The rig's phone as a device of the harness; nothing may run on it in the end."""
    spec = AndroidSpec(
        kind="android", name="phone", serial=rig.phone.serial, adb_server=f"localhost:{rig.lab.server_port}"
    )
    bench = Bench(AndroidDevice(spec, CLOCK), tmp_path, rig.phone, rig.lab.server_port)
    bench.connect()
    yield bench
    bench.device.close()
    rig.until(lambda: rig.phone.processes() == [])


@contextlib.contextmanager
def bounded() -> Iterator[None]:
    began = CLOCK.monotonic()
    yield
    assert CLOCK.monotonic() - began < BOUND


STEPS = "i=0; while [ $i -lt 6 ]; do sleep 0.25; i=$((i + 1)); done; echo finished; echo 6 >out/result"
"""A second and a half of work that leave something."""


def finished(running: Running) -> None:
    """The job's result is whole, as if nothing had happened."""
    output = running.output()
    assert (output.exit_code, output.timed_out) == (0, False)
    assert output.stdout == "finished\n"
    assert (output.folder / "result").read_text() == "6\n"


def test_a_dropped_connection_costs_nothing(rig: Rig, bench: Bench) -> None:
    with bounded():
        running = bench.begin(STEPS)
        rig.phone.drop()
        finished(running)


def test_a_killed_server_costs_nothing(rig: Rig, bench: Bench) -> None:
    with bounded():
        running = bench.begin(STEPS)
        rig.lab.restart_server()
        finished(running)


def test_a_server_that_hangs_for_a_while_costs_nothing(rig: Rig, bench: Bench) -> None:
    with bounded():
        running = bench.begin(STEPS)
        rig.lab.stop_server()
        CLOCK.sleep(0.7)
        rig.lab.continue_server()
        finished(running)


def test_a_pulled_cable_costs_nothing_if_it_is_back_soon(rig: Rig, bench: Bench) -> None:
    with bounded():
        running = bench.begin(STEPS)
        rig.phone.unplug()
        CLOCK.sleep(0.5)
        rig.phone.plug()
        finished(running)


def test_a_phone_that_hangs_for_a_while_costs_nothing(rig: Rig, bench: Bench) -> None:
    with bounded():
        running = bench.begin(STEPS)
        rig.phone.faults.hung = True
        CLOCK.sleep(0.7)
        rig.phone.faults.hung = False
        finished(running)


def test_a_phone_that_dies_says_so(rig: Rig, bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harness.devices.shell.run._RETURN", 2.0)
    with bounded():
        running = bench.begin("sleep 100")
        rig.phone.crash()
        error = running.wait()
    assert type(error) is DeviceLostError
    assert rig.phone.processes() == []
    rig.phone.plug()


def test_a_phone_that_restarts_says_so(rig: Rig, bench: Bench) -> None:
    with bounded():
        running = bench.begin("sleep 100")
        rig.phone.reboot()
        error = running.wait()
    assert isinstance(error, DeviceLostError)
    assert rig.running(*JOB) == []


def test_a_phone_that_hangs_for_good_is_given_up_and_the_job_ended_when_it_is_back(
    rig: Rig, bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("_GRACE", "_RETURN", "_CLEANING"):
        monkeypatch.setattr(f"harness.devices.shell.run.{name}", 1.0)
    monkeypatch.setattr("harness.devices.shell.device._ENDING_SECONDS", 1.0)
    job = bench.job("echo yes >out/started; sleep 100")
    started = bench.root / "jobs" / job.id / "out" / "started"

    def hang() -> None:
        rig.until(started.exists)
        rig.phone.faults.hung = True

    with bounded():
        rig.later(0.1, hang)
        with pytest.raises(AdbError) as caught:
            bench.run(job, deadline=4.0)
    assert isinstance(caught.value, (DeviceTimeoutError, DeviceLostError))
    rig.phone.faults.hung = False
    assert bench.run("echo next").stdout == "next\n"
    assert rig.running(*JOB) == []


def test_a_job_that_takes_too_long_is_ended_on_the_phone(rig: Rig, bench: Bench) -> None:
    with bounded():
        output = bench.run("sleep 100", deadline=1.0)
    assert output.timed_out
    assert rig.running(*JOB) == []


def test_a_job_that_talks_too_much_keeps_its_end(rig: Rig, bench: Bench) -> None:
    with bounded():
        output = bench.run("head -c 3000000 /dev/zero | tr '\\0' x; echo; echo the end")
    assert output.exit_code == 0
    assert output.stdout.endswith("x\nthe end\n")
    assert len(output.stdout) < 1 << 20


def test_a_cancelled_job_ends_at_once(rig: Rig, bench: Bench) -> None:
    running = bench.begin("sleep 100")
    began = CLOCK.monotonic()
    bench.device.cancel()
    error = running.wait()
    assert CLOCK.monotonic() - began < 15
    assert isinstance(error, DeviceError)
    assert "cancelled" in str(error)
    bench.device.close()
    rig.until(lambda: rig.running(*JOB) == [])


def test_what_a_killed_controller_left_is_ended_by_the_next_one(rig: Rig, bench: Bench) -> None:
    """A controller that is killed says nothing any more; its job goes on, until another controller comes."""
    running = bench.begin("sleep 100")
    pid = running.pid
    bench.device._way.interrupt()
    bench.device._cancelled.set()
    assert rig.running(*JOB)
    next_one = bench.another()
    next_one.connect()
    assert next_one.run("echo next").stdout == "next\n"
    assert rig.running(*JOB) == []
    assert pid > 0
    running.wait()
    next_one.device.close()


def test_a_full_disk_is_told_with_figures_before_anything_is_pushed(plug: Plug, tmp_path: Path) -> None:
    rig = plug("emulated")
    assert "quota" in rig.phone.can
    rig.phone.faults.quota = 1 << 20
    spec = AndroidSpec(
        kind="android", name="phone", serial=rig.phone.serial, adb_server=f"localhost:{rig.lab.server_port}"
    )
    bench = Bench(AndroidDevice(spec, CLOCK), tmp_path, rig.phone, rig.lab.server_port)
    bench.connect()
    with pytest.raises(RemoteError) as caught:
        bench.run("echo hello", bench.file(bytes(8 << 20)))
    assert "need 40 MiB of free space" in str(caught.value)
    assert bench.stored == set()
    rig.phone.faults.quota = None
    assert bench.run("echo hello", bench.file(bytes(8 << 20))).stdout == "hello\n"
    bench.device.close()


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("end", ["timeout", "interrupt", "server"])
def test_a_command_in_exec_form_dies_with_its_connection(plug: Plug, backend: str, end: str) -> None:
    """Without `exec` the program may go on: adbd hangs up on the shell alone."""
    rig = plug(backend)
    caught: list[BaseException] = []

    def call() -> None:
        try:
            rig.device.shell("cd /data/local/tmp && exec sleep 100", 1.5 if end == "timeout" else 60.0)
        except AdbError as error:
            caught.append(error)

    thread = threading.Thread(target=call)
    thread.start()
    rig.until(lambda: rig.running(*JOB) != [])
    if end == "interrupt":
        rig.device.interrupt()
    elif end == "server":
        rig.lab.kill_server()
    thread.join(20)
    assert [type(error) for error in caught] == [DeviceTimeoutError if end == "timeout" else DeviceLostError]
    rig.until(lambda: rig.running(*JOB) == [])


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_command_that_ignores_the_hang_up_is_an_orphan(plug: Plug, backend: str) -> None:
    """Why jobs are ended by a process id on file, and that the tests above would see one that is not.

    adbd hangs up on the shell alone. mksh passes that on to its children, dash does not.
    """
    rig = plug(backend)
    with pytest.raises(DeviceTimeoutError):
        rig.device.shell("trap '' HUP; sleep 100; true", 1.0)
    CLOCK.sleep(1.5)  # mksh gives its children a second
    (orphan,) = rig.running(*JOB)
    rig.device.shell(f"kill -9 {orphan}", 10)
    rig.until(lambda: rig.phone.processes() == [])
