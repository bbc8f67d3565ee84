"""Android phones behind a host: through the real adb, server and sshd."""

from __future__ import annotations

import hashlib
import threading
from pathlib import Path

import pytest

from harness.devices.base import DeviceError
from harness.plan.cell import ErrorClass
from tests.devices.hosts.conftest import MakeRack, Rack
from tests.devices.jobs import until

LARGE = bytes(range(256)) * 4096
NAME = hashlib.sha256(LARGE).hexdigest()


def test_a_phone_behind_a_host_does_jobs(rack: Rack) -> None:
    bench = rack.bench(rack.phones.add("pixel-8"))
    facts = bench.connect()
    assert (facts["host"], facts["emulated"]) == ("rack", True)
    output = bench.run("echo hello; echo 42 >out/answer; echo again >out/another")
    assert (output.exit_code, output.stdout.strip()) == (0, "hello")
    assert sorted(path.read_text() for path in output.folder.iterdir()) == ["42\n", "again\n"]
    assert bench.device.state()["battery_percent"] > 0
    bench.device.close()


def test_large_files_cross_the_link_once_for_all_phones_of_a_host(rack: Rack) -> None:
    benches = [rack.bench(rack.phones.add(kind)) for kind in ("pixel-8", "galaxy-s23")]
    for bench in benches:
        bench.connect()
    moved: list[int] = []

    def run(number: int) -> None:
        output = benches[number].run("wc -c <data.bin", benches[number].file(LARGE))
        assert output.stdout.strip() == str(len(LARGE))
        moved.append(output.transfer_bytes)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(len(benches))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(moved) == len(benches)
    assert all(len(LARGE) <= size < 2 * len(LARGE) for size in moved), "what moved to a phone"
    assert rack.host.cache.problem == ""
    assert rack.kept[NAME] == len(LARGE)
    assert rack.host.bytes_led()[0] < len(LARGE) / 2, "not through the ports"
    for bench in benches:
        assert NAME in bench.stored
        bench.device.close()


def test_what_the_host_has_is_not_sent_again(rack: Rack) -> None:
    for kind in ("pixel-8", "galaxy-s23"):
        rack.open()
        bench = rack.bench(rack.phones.add(kind))
        bench.connect()
        bench.run("true", bench.file(LARGE))
        bench.device.close()
        rack.hosts[-1].close()
        path = rack.sshd.home / ".cache" / "harness" / "sha256" / NAME
        path.chmod(0o444)  # which nobody who sends it again would leave so
    assert (path.stat().st_mode & 0o777, NAME in bench.stored) == (0o444, True)


def test_a_file_that_changed_on_the_host_is_sent_again(rack: Rack) -> None:
    path = rack.sshd.home / ".cache" / "harness" / "sha256" / NAME
    path.parent.mkdir(parents=True)
    path.write_bytes(b"something else")
    bench = rack.bench(rack.phones.add("pixel-8"))
    bench.connect()
    output = bench.run("wc -c <data.bin", bench.file(LARGE))
    assert output.stdout.strip() == str(len(LARGE))
    assert path.read_bytes() == LARGE
    bench.device.close()


@pytest.mark.parametrize("reason", ["no adb", "no home", "another version"])
def test_a_host_that_cannot_push_is_no_obstacle(make_rack: MakeRack, reason: str, tmp_path: Path) -> None:
    rack = make_rack(adb=reason == "no home")
    if reason == "no home":
        (rack.sshd.home / ".cache").write_text("a file where a folder should be")
    if reason == "another version":
        sdk = rack.sshd.home / "Android" / "Sdk" / "platform-tools"
        sdk.mkdir(parents=True)
        (sdk / "adb").write_text("#!/bin/sh\necho Android Debug Bridge version 1.0.39\n")
        (sdk / "adb").chmod(0o755)
    bench = rack.bench(rack.phones.add("pixel-8"))
    bench.connect()
    output = bench.run("wc -c <data.bin", bench.file(LARGE))
    assert output.stdout.strip() == str(len(LARGE))
    assert output.transfer_bytes >= len(LARGE)
    assert rack.host.cache.problem
    assert rack.host.bytes_led()[0] > len(LARGE)
    bench.device.close()


def test_a_full_phone_says_so_itself(rack: Rack) -> None:
    phone = rack.phones.add("pixel-8")
    bench = rack.bench(phone)
    bench.connect()
    phone.faults.quota = 1 << 18
    with pytest.raises(DeviceError, match="free space") as caught:
        bench.run("true", bench.file(LARGE))
    assert caught.value.error_class is ErrorClass.DEVICE
    phone.faults.quota = None
    bench.device.close()


def test_the_hosts_adb_server_is_started_where_none_runs(rack: Rack) -> None:
    bench = rack.bench(rack.phones.add("pixel-8"))
    rack.phones.kill_server()
    bench.connect()
    assert bench.run("echo back").stdout.strip() == "back"
    bench.device.close()


def test_without_adb_server_and_adb_the_host_is_at_fault(make_rack: MakeRack) -> None:
    rack = make_rack(adb=False)
    bench = rack.bench(rack.phones.add("pixel-8"))
    rack.phones.kill_server()
    with pytest.raises(
        DeviceError, match=r"phone: rack: no adb server answers .*it has no adb program; install"
    ) as caught:
        bench.connect()
    assert caught.value.error_class is ErrorClass.HOST
    bench.device.close()


def test_a_job_is_cancelled_through_the_host(rack: Rack) -> None:
    bench = rack.bench(rack.phones.add("pixel-8"))
    bench.connect()
    running = bench.begin("exec sleep 60", deadline=60.0)
    bench.device.cancel()
    outcome = running.wait()
    assert isinstance(outcome, DeviceError)
    assert "cancelled" in str(outcome)
    bench.device.close()
    until(lambda: not bench.phone.processes())
