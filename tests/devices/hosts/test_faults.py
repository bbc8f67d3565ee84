"""What goes wrong between the controller and a host is the host's fault, and never the end of it."""

from __future__ import annotations

import hashlib
import secrets
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.devices.base import DeviceError, JobOutput
from harness.plan.cell import ErrorClass
from tests.devices.hosts.conftest import Bench, Rack
from tests.devices.jobs import CLOCK, until

pytestmark = pytest.mark.timeout(200)

BOUND = 90.0


@pytest.fixture
def bench(rack: Rack) -> Bench:
    bench = rack.bench(rack.phones.add("pixel-8"))
    bench.connect()
    return bench


def the_error(act: Callable[[], object]) -> DeviceError:
    """What it raises, in bounded time."""
    began = CLOCK.monotonic()
    with pytest.raises(DeviceError) as caught:
        act()
    assert CLOCK.monotonic() - began < BOUND
    return caught.value


def test_a_link_that_is_cut_while_a_job_runs_costs_nothing(rack: Rack, bench: Bench) -> None:
    running = bench.begin("sleep 2; echo done >out/done")
    rack.sshd.drop()
    output = running.output()
    assert output.exit_code == 0
    assert (output.folder / "done").read_text() == "done\n"
    assert rack.host.connection.made == 2
    bench.device.close()


def test_an_sshd_that_is_restarted_while_a_job_runs_costs_nothing(rack: Rack, bench: Bench) -> None:
    running = bench.begin("sleep 2")
    rack.sshd.restart()
    assert running.output().exit_code == 0
    bench.device.close()


def test_a_host_that_stays_away_is_at_fault_and_recovered_when_it_is_back(rack: Rack, bench: Bench) -> None:
    with pytest.MonkeyPatch.context() as patience:
        patience.setattr("harness.devices.shell.run._RETURN", 2.0)
        patience.setattr("harness.devices.hosts.host._CONNECT_SECONDS", 3.0)
        running = bench.begin("sleep 60", deadline=60.0)
        rack.sshd.kill()
        outcome = running.wait()
        assert isinstance(outcome, DeviceError)
        assert outcome.error_class is ErrorClass.HOST
        assert str(outcome).startswith("phone: ")
        assert "rack" in str(outcome)
        assert the_error(bench.device.recover).error_class is ErrorClass.HOST
        assert bench.device.state() == {}
    rack.sshd.start()
    bench.device.recover()
    until(lambda: not bench.phone.processes())
    assert bench.run("echo again").stdout.strip() == "again"
    bench.device.close()


def test_a_link_that_is_cut_while_files_are_copied_is_the_hosts_fault(rack: Rack, bench: Bench) -> None:
    """And what was copied by then does no harm: the next try has the whole file."""
    content = secrets.token_bytes(48 << 20)
    name = hashlib.sha256(content).hexdigest()
    file = bench.file(content)
    outcomes: list[JobOutput | DeviceError] = []

    def run() -> None:
        try:
            outcomes.append(bench.run("wc -c <data.bin", file, deadline=100.0))
        except DeviceError as error:
            outcomes.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    until(lambda: any(other.startswith(name) and size > 0 for other, size in rack.kept.items()) or outcomes, 30)
    rack.sshd.drop()
    thread.join(BOUND)
    (outcome,) = outcomes
    if isinstance(outcome, DeviceError):  # else it was faster than we were
        assert outcome.error_class is ErrorClass.HOST
        bench.device.recover()
    assert bench.run("wc -c <data.bin", file, deadline=100.0).stdout.strip() == str(len(content))
    assert name in bench.stored
    bench.device.close()


def test_a_link_on_which_nothing_comes_any_more_is_given_up(rack: Rack, bench: Bench) -> None:
    """No packet says that it is dead: it has to be noticed, in about 15 s."""
    rack.sshd.stall()
    began = CLOCK.monotonic()
    until(lambda: not rack.host.connection.up, 60)
    assert CLOCK.monotonic() - began < 60
    rack.sshd.resume()
    bench.device.recover()
    assert bench.run("echo again").stdout.strip() == "again"
    bench.device.close()


def test_a_host_key_that_changed_is_an_error_with_the_way_out(rack: Rack, home: Path) -> None:
    bench = rack.bench(rack.phones.add("pixel-8"))
    known = rack.sshd.known_hosts.read_text()
    rack.sshd.stop()
    rack.sshd.new_host_key()
    rack.sshd.start()
    rack.sshd.known_hosts.write_text(known)
    error = the_error(bench.connect)
    assert error.error_class is ErrorClass.HOST
    assert "SHA256:" in str(error)
    assert "ssh-keygen -R" in str(error)
    bench.device.close()


def test_a_phone_that_is_unplugged_is_its_own_fault(rack: Rack, bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harness.devices.shell.run._RETURN", 2.0)
    running = bench.begin("sleep 60", deadline=60.0)
    bench.phone.unplug()
    outcome = running.wait()
    assert isinstance(outcome, DeviceError)
    assert outcome.error_class is ErrorClass.DEVICE
    bench.phone.plug()
    bench.device.recover()
    bench.device.close()


def test_closing_does_not_wait_for_a_host_that_is_gone(rack: Rack, bench: Bench) -> None:
    rack.sshd.kill()
    until(lambda: not rack.host.connection.up)
    began = CLOCK.monotonic()
    bench.device.close()
    rack.hosts[-1].close()
    assert CLOCK.monotonic() - began < 20
