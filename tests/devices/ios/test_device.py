"""An iPhone as a device: its jobs, and what becomes of those that go wrong on the phone itself."""

from __future__ import annotations

import json
import struct
import threading

import pytest

from emulated.ios.apps import OWN_BUNDLE, UPSTREAM_BUNDLE
from harness.devices.base import DeviceError, Job
from harness.devices.ios.errors import AppMissingError, DeveloperModeOffError, NoDeveloperImageError, NoFileSharingError
from harness.errors import UsageError
from harness.lab.lease import Leases, lease_keys
from harness.lab.spec import IOS_TARGET
from harness.plan.cell import ErrorClass
from tests.devices.android.conftest import until
from tests.devices.ios.bench import CLOCK, COUNT, Bench, Plug, bench, plug

__all__ = ["bench", "plug"]

pytestmark = pytest.mark.timeout(200)


def test_a_job_is_inference_on_the_phone(bench: Bench) -> None:
    job = bench.job(env={"MARK": "x"})
    output = bench.run(job)
    assert (output.exit_code, output.timed_out, output.stderr) == (0, False, "")
    record = json.loads((output.folder / "result.json").read_bytes())
    assert (record["status"], record["run_id"]) == ("ok", job.id)
    values = struct.unpack(f"<{COUNT}f", (output.folder / "s0_o0.bin").read_bytes())
    assert values == tuple(2.0 * index + 1 for index in range(COUNT))
    assert json.loads((output.folder / "app.json").read_bytes())["id"] == job.id
    assert output.seconds > 0
    for state in (output.state_before, output.state_after):
        assert (state["battery_percent"], state["thermal_state"]) == (bench.phone.battery.level, "nominal")
        assert state["temperature_sensor"] == "battery"
        assert state["footprint_bytes"] > 0
    assert bench.left == []
    assert bench.phone.processes.live == []


@pytest.mark.parametrize("name", ["iphone-8", "iphone-11"])
def test_older_versions_of_ios(plug: Plug, name: str) -> None:
    bench = plug(name, tls=True)
    assert bench.connect()["route"] == "tidevice"
    assert bench.run().exit_code == 0


def test_files_move_once(bench: Bench) -> None:
    first, second = bench.run(), bench.run()
    assert first.transfer_bytes > second.transfer_bytes > 0, "outputs come back each time"
    assert len(bench.pushed) == len(set(bench.pushed)) == len(bench.stored) == 3


def test_facts(plug: Plug) -> None:
    bench = plug("iphone-13", tls=True, env={"SECRET": "x"})
    facts = bench.connect()
    assert (facts["model"], facts["product_type"], facts["soc"]) == ("iPhone 13", "iPhone14,5", "A15 Bionic")
    assert (facts["os"], facts["os_version"], facts["route"]) == ("iOS", "16.4", "tidevice")
    assert facts["app"]["bundle"] == OWN_BUNDLE
    assert len(facts["runtime"]["sha256"]) == 64
    assert (facts["emulated"], facts["target"], bench.device.target) == (True, IOS_TARGET, IOS_TARGET)
    assert 0 < facts["free_bytes"] < facts["storage_bytes"]
    assert facts["env"] == ["SECRET"]
    assert bench.told == []


def test_a_job_for_no_app_is_refused(bench: Bench) -> None:
    for app in (None, "benchmark_model"):
        with pytest.raises(UsageError, match="starts apps and no programs"):
            bench.run(Job("0" * 16, (), ("true",), app=app))


def test_the_deadline_ends_the_app(bench: Bench) -> None:
    running = bench.begin()
    running.expire()
    assert running.output().timed_out
    until(lambda: bench.phone.processes.live == [])
    assert bench.left == []
    assert bench.run().exit_code == 0


def test_an_app_that_crashes_says_so_itself(bench: Bench) -> None:
    bench.phone.app_fault = (11, "run")
    output = bench.run(bench.job(seconds=60))
    assert output.exit_code == 30
    assert json.loads((output.folder / "app.json").read_bytes())["error"]["signal"] == 11
    bench.phone.app_fault = None
    assert bench.run().exit_code == 0


def test_an_app_that_the_system_kills_is_no_fault_of_the_phone(bench: Bench) -> None:
    bench.phone.app_fault = (9, "run")
    output = bench.run(bench.job(seconds=60))
    assert (output.exit_code, output.timed_out) == (1, False)
    assert "ended during the job" in output.stderr
    assert not (output.folder / "result.json").exists()
    bench.phone.app_fault = None
    assert bench.run().exit_code == 0


def test_an_app_that_is_installed_anew_between_jobs_costs_one_of_them_at_most(bench: Bench) -> None:
    """The folder that is open belongs to the old one; nobody may go on with it."""
    bench.run()
    old = bench.phone.apps[OWN_BUNDLE]
    bench.phone.add_app(OWN_BUNDLE, old.program, name=old.name)
    bench.run()
    assert bench.run().exit_code == 0
    assert bench.left == []


def test_a_crash_report_is_named(bench: Bench) -> None:
    running = bench.begin()
    bench.phone.kill_app(OWN_BUNDLE, 9)
    assert "ended during the job" in running.output().stderr
    bench.phone.faults.crash_at_start.add(OWN_BUNDLE)
    output = bench.run()
    assert output.exit_code == 1
    assert "crash report on the phone: DelegateBench" in output.stderr


def test_an_app_that_does_not_run_at_all_is_told_when_the_phone_is_connected(plug: Plug) -> None:
    bench = plug()
    bench.phone.faults.crash_at_start.add(OWN_BUNDLE)
    with pytest.raises(DeviceError, match=r"DelegateBench does not work: .*crash report") as caught:
        bench.connect()
    assert caught.value.error_class is ErrorClass.RUNNER


def test_a_file_with_another_content_is_pushed_once_more(bench: Bench) -> None:
    bench.run()
    victim = next(path for path in bench.stored if path.stat().st_size == 4 * COUNT)
    victim.write_bytes(bytes(4 * COUNT))
    assert bench.run().exit_code == 0
    assert bench.pushed.count(victim.name) + bench.pushed.count(f"{victim.name}.part") == 2


def test_files_that_are_gone_with_an_app_that_was_installed_anew_are_pushed_again(bench: Bench) -> None:
    bench.run()
    for path in bench.stored:
        path.unlink()
    assert bench.run().exit_code == 0


def test_too_much_output_is_an_error_of_the_runner(bench: Bench) -> None:
    with pytest.raises(DeviceError, match="its limit is 100") as caught:
        bench.run(bench.job(output_bytes=100))
    assert caught.value.error_class is ErrorClass.RUNNER
    assert bench.run().exit_code == 0
    assert bench.left == []


def test_markers_of_other_jobs_mean_nothing(bench: Bench) -> None:
    old = "0123456789abcdef"
    (bench.documents / "done").write_text(old)
    (bench.documents / "running").write_text(old)
    (bench.documents / "job.json").write_text(
        f'{{"schema": 1, "id": "{old}", "arguments": [], "files": [], "env": {{}}}}'
    )
    (bench.documents / "out" / old).mkdir(parents=True)
    (bench.documents / "out" / old / "result.json").write_text("{}")
    output = bench.run()
    assert output.exit_code == 0
    assert json.loads((output.folder / "result.json").read_bytes())["status"] == "ok"
    assert bench.left == []


def test_the_phones_state_can_be_had_while_a_job_runs(bench: Bench) -> None:
    running = bench.begin()
    bench.phone.battery.level = 55
    assert bench.device.state()["battery_percent"] == 55
    running.go_on()
    assert running.output().exit_code == 0


def test_cancel_ends_the_job_and_close_the_app(bench: Bench) -> None:
    running = bench.begin()
    assert bench.phone.processes.live
    bench.device.cancel()
    error = running.error()
    assert isinstance(error, DeviceError)
    assert "cancelled" in str(error)
    with pytest.raises(DeviceError, match="cancelled"):
        bench.run()
    bench.device.close()
    until(lambda: bench.phone.processes.live == [])
    assert bench.left == []


def test_what_a_person_has_to_put_right_is_said_when_the_phone_is_connected(plug: Plug) -> None:
    bench = plug()
    bench.phone.developer_mode = False
    with pytest.raises(DeveloperModeOffError, match="Privacy & Security"):
        bench.connect()
    bench.phone.developer_mode = True
    bench.phone.image_mounted = False
    with pytest.raises(NoDeveloperImageError, match="mount"):
        bench.connect()
    bench.phone.image_mounted = True
    bench.phone.apps[OWN_BUNDLE].file_sharing = False
    with pytest.raises(NoFileSharingError, match="UIFileSharingEnabled"):
        bench.connect()
    bench.phone.apps[OWN_BUNDLE].file_sharing = True
    assert bench.connect()["model"] == "iPhone 13"


def test_upstreams_app_alone_is_enough_to_connect(plug: Plug) -> None:
    bench = plug()
    del bench.phone.apps[OWN_BUNDLE]
    assert "runtime" not in bench.connect()
    with pytest.raises(AppMissingError, match=OWN_BUNDLE):
        bench.run()
    del bench.phone.apps[UPSTREAM_BUNDLE]
    with pytest.raises(AppMissingError, match=r"ios-app\.md"):
        bench.connect()


def test_a_locked_phone_is_waited_for(plug: Plug) -> None:
    bench = plug()
    bench.phone.lock()
    done = threading.Event()

    def unlock() -> None:
        until(lambda: bench.told, 30)
        bench.phone.unlock()
        done.set()

    threading.Thread(target=unlock, daemon=True).start()
    assert bench.connect()["model"] == "iPhone 13"
    assert done.is_set()
    assert ["unlock it" in text for text in bench.told] == [True]


def test_connecting_does_not_disturb_the_job_of_another_run(bench: Bench, plug: Plug) -> None:
    spec = bench.device._spec
    with Leases(lease_keys(spec, "here"), CLOCK, "a test"):
        connecting = threading.Thread(target=bench.connect)
        before = len(bench.phone.processes.history)
        connecting.start()
        CLOCK.sleep(1.0)
        assert len(bench.phone.processes.history) == before, "the app was started"
        assert connecting.is_alive()
    connecting.join(60)
    assert len(bench.phone.processes.history) == before + 1
