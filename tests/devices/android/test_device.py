from __future__ import annotations

import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from harness.devices.base import Device, DeviceError
from harness.devices.local import host_target
from harness.devices.shell.scripts import prepare_script
from harness.plan.cell import Delegate, ErrorClass
from harness.runners.binaries import Binaries
from harness.runners.delegate_bench import DelegateBench
from tests.devices.android.conftest import CLOCK, Add, Bench, NoTurns, until
from tests.drivers import absent
from tests.runners.real import cell_of, facts_of


def test_facts_and_target(add: Add) -> None:
    bench = add()
    device: Device = bench.device
    assert bench.device.target is None
    facts = bench.connect()
    assert facts["model"] == "Pixel 8"
    assert facts["emulated"] is True
    assert device.target == facts["target"] == host_target()
    assert (bench.root / "jobs").is_dir()
    assert bench.told == []


def test_state(pixel: Bench) -> None:
    assert pixel.device.state()["battery_percent"] == 87
    pixel.phone.unplug()
    assert pixel.device.state() == {}


def test_state_while_a_job_runs(pixel: Bench) -> None:
    running = pixel.begin("while [ ! -e go ]; do sleep 0.1; done")
    assert pixel.device.state()["battery_percent"] == 87
    (running.started.parent.parent / "go").touch()
    assert running.output().exit_code == 0


def test_a_root_where_nothing_can_be_made(add: Add) -> None:
    bench = add(root="/proc/harness")
    with pytest.raises(DeviceError, match=r"/proc/harness and executed there: .*`root` in devices.yaml") as caught:
        bench.connect()
    assert caught.value.error_class is ErrorClass.CONFIG


def test_a_root_that_was_there_keeps_its_permissions(add: Add) -> None:
    bench = add(root="/data/local/tmp")
    place = bench.phone.root / "data/local/tmp"
    place.chmod(0o771)
    bench.connect()
    assert bench.run("echo fine").stdout == "fine\n"
    assert place.stat().st_mode & 0o777 == 0o771
    bench.device.close()


def test_a_root_where_nothing_can_be_executed(tmp_path: Path) -> None:
    place = tmp_path / "sdcard"
    place.mkdir()
    mount = f"mount -t tmpfs -o noexec none {place} || exit 77; ROOT={place}/harness; TOKEN=t\n"
    script = mount + prepare_script(("sh", "nosuch"))
    answer = subprocess.run(["unshare", "-rm", "sh", "-c", script], capture_output=True, text=True, check=False)
    if answer.returncode == 77 or "unshare" in answer.stderr:
        absent("needs user namespaces: `unshare -rm true` fails here")
    assert "@@t tools\nsh\n" in answer.stdout
    assert "ermission denied" in answer.stdout.partition("@@t refused")[2]
    assert "@@t ready" not in answer.stdout


def test_cores_that_the_phone_does_not_have(add: Add) -> None:
    bench = add(cores=(0, 99))
    with pytest.raises(
        DeviceError, match=r"phone: the device has no core 99; it has \d+, counted from 0 \(`cores`"
    ) as caught:
        bench.connect()
    assert caught.value.error_class is ErrorClass.CONFIG


def test_big_cores(add: Add) -> None:
    pinned = add(cores="big").connect()["pinned_to_cores"]
    assert pinned == [4, 5, 6, 7, 8]


def test_a_phone_that_cannot_pin(add: Add) -> None:
    bench = add(cores=(0,))
    (bench.phone.root / "system/bin/taskset").unlink()
    with pytest.raises(DeviceError, match="has no command taskset"):
        bench.connect()


def test_a_phone_of_an_unknown_kind(add: Add) -> None:
    bench = add()
    for name in ("ro.harness.target", "ro.harness.emulated"):
        bench.phone.set_property(name, "")
    for name in ("ro.product.cpu.abilist", "ro.product.cpu.abi"):
        bench.phone.set_property(name, "mips")
    with pytest.raises(DeviceError, match="mips") as caught:
        bench.connect()
    assert caught.value.error_class is ErrorClass.CONFIG


def test_a_file_that_is_not_here(pixel: Bench) -> None:
    job = pixel.job("exit 0", pixel.file("x"))
    job.files[1].source.unlink()
    with pytest.raises(DeviceError, match="No such file") as caught:
        pixel.run(job)
    assert caught.value.error_class is ErrorClass.HOST


class Watched(NoTurns):
    """Turns that take a while to come, and tell when they are held."""

    def __init__(self, bench: Bench, wait: float) -> None:
        self.bench = bench
        self.wait = wait
        self.held: list[tuple[str, int, int]] = []

    @contextmanager
    def command(self) -> Iterator[None]:
        yield from self._hold("command")

    @contextmanager
    def transfer(self) -> Iterator[None]:
        yield from self._hold("transfer")

    def _hold(self, kind: str) -> Iterator[None]:
        CLOCK.sleep(self.wait)
        services, received = len(self.bench.phone.opened), self.bench.phone.received_bytes
        yield
        services, received = len(self.bench.phone.opened) - services, self.bench.phone.received_bytes - received
        self.held.append((kind, services, received))


def test_turns(pixel: Bench, tmp_path: Path) -> None:
    turns = Watched(pixel, wait=0.3)
    output = pixel.device.execute(pixel.job("echo 1", pixel.file(b"x" * 9_000_000)), tmp_path, 1.5, turns)
    assert (output.stdout, output.timed_out) == ("1\n", False), "waiting for turns is no part of the deadline"
    assert [held for held in turns.held if held[0] == "command"] == [("command", 1, 0)], "one call, nothing is pushed"
    kinds = [kind for kind, *_ in turns.held]
    # look; three stretches of pushing; accept; what does not fit into the call; run; pull
    assert kinds == ["transfer"] * 6 + ["command", "transfer"]


def test_closing_twice_and_without_connection(add: Add) -> None:
    bench = add()
    bench.device.close()
    bench.connect()
    bench.device.close()
    bench.device.close()


def test_closing_a_phone_that_is_gone(add: Add) -> None:
    bench = add()
    bench.connect()
    bench.phone.unplug()
    began = CLOCK.monotonic()
    bench.device.close()
    assert CLOCK.monotonic() - began < 5


def test_closing_a_phone_that_hangs(pixel: Bench) -> None:
    pixel.phone.faults.hung = True
    began = CLOCK.monotonic()
    pixel.device.close()
    assert CLOCK.monotonic() - began < 6
    pixel.phone.faults.hung = False


def test_connecting_to_a_phone_that_hangs_can_be_cancelled(add: Add) -> None:
    bench = add()
    bench.phone.faults.hung = True
    caught: list[BaseException] = []

    def connect() -> None:
        try:
            bench.connect()
        except DeviceError as error:
            caught.append(error)

    thread = threading.Thread(target=connect)
    thread.start()
    CLOCK.sleep(0.5)
    bench.device.cancel()
    thread.join(5)
    assert not thread.is_alive()
    assert [str(error) for error in caught] == ["phone: cancelled"]


def test_a_call_that_fails_does_not_quote_the_script(pixel: Bench) -> None:
    pixel.phone.faults.refuse_open = True
    with pytest.raises(DeviceError) as caught:
        pixel.run("exit 0")
    assert "refused to open 'a script of the harness': closed" in str(caught.value)
    pixel.phone.faults.refuse_open = False


def test_a_phone_that_dies_while_files_are_pushed(pixel: Bench) -> None:
    pixel.run("exit 0")
    pixel.phone.faults.drop_after = 200_000
    with pytest.raises(DeviceError):
        pixel.run("exit 0", pixel.file(b"y" * 3_000_000))
    pixel.device.recover()
    assert pixel.run("cat data.bin | wc -c", pixel.file(b"y" * 3_000_000)).stdout.strip() == "3000000"


def test_output_is_brought_back_through_a_second_connection(pixel: Bench) -> None:
    running = pixel.begin("while [ ! -e go ]; do sleep 0.1; done; head -c 3000000 /dev/zero >out/large")
    pixel.phone.faults.drop_after = 1_000_000
    (running.started.parent.parent / "go").touch()
    output = running.output()
    assert (output.folder / "large").stat().st_size == 3_000_000
    until(lambda: pixel.phone.faults.drop_after is None)


def test_real_inference(bench: Bench, tmp_path: Path) -> None:
    cell = cell_of("add", Delegate("cpu"))
    facts = facts_of(cell, bench.device.target)
    runner = DelegateBench(Binaries({}))
    (job,) = runner.jobs(cell, facts)
    output = bench.device.execute(job, tmp_path, 60.0, NoTurns())
    report = runner.report(cell, [job], facts, [output])
    assert report.measurement is not None, report.problem
    assert len(report.measurement.samples_us) == 3
    assert output.transfer_bytes > 1_000_000
    (tmp_path / "again").mkdir()
    (job,) = runner.jobs(cell, facts)
    assert bench.device.execute(job, tmp_path / "again", 60.0, NoTurns()).transfer_bytes < 100_000
