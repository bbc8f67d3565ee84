"""Without any tool: a person opens the app, and it works through all jobs by itself."""

from __future__ import annotations

import json
import threading

import pytest

from emulated.ios.apps import OWN_BUNDLE
from harness.devices.base import DeviceError
from harness.devices.ios.errors import IosTimeoutError
from harness.plan.cell import ErrorClass
from tests.devices.android.conftest import until
from tests.devices.ios.bench import Bench, Plug, plug

__all__ = ["plug"]

pytestmark = pytest.mark.timeout(200)


def opened(bench: Bench) -> None:
    """Somebody opens the app once they are told to."""
    until(lambda: bench.told, 60)
    bench.phone.open_app(OWN_BUNDLE)


@pytest.fixture(params=["iphone-13", "iphone-17"])
def bench(request: pytest.FixtureRequest, plug: Plug) -> Bench:
    """A phone whose app is open."""
    bench = plug(request.param, launcher="manual")
    person = threading.Thread(target=opened, args=(bench,), daemon=True)
    person.start()
    assert bench.connect()["route"] == "manual"
    person.join(10)
    return bench


def test_one_tap_is_enough_for_a_queue_of_jobs(bench: Bench) -> None:
    for _ in range(3):
        job = bench.job()
        output = bench.run(job)
        assert output.exit_code == 0
        record = json.loads((output.folder / "result.json").read_bytes())
        assert (record["status"], record["run_id"]) == ("ok", job.id)
    assert len(bench.phone.processes.history) == 1
    assert [text for text in bench.told if "leave it open" in text] == bench.told[:1]
    assert "the app DelegateBench" in bench.told[0]
    assert bench.left == []


def test_markers_of_another_job_do_not_confuse_an_open_app(bench: Bench) -> None:
    bench.run()
    (bench.documents / "done").write_text("0123456789abcdef")
    assert bench.run().exit_code == 0


def test_an_app_that_was_closed_is_asked_for_again(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harness.devices.ios.run._TAKEN", 0.5)
    bench.phone.kill_app(OWN_BUNDLE)
    bench.told.clear()
    person = threading.Thread(target=opened, args=(bench,), daemon=True)
    person.start()
    assert bench.run().exit_code == 0
    assert bench.told


def test_nobody_there_is_an_error_of_the_device_that_says_what_to_do(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("harness.devices.ios.run._NOBODY", 1.0)
    bench.phone.kill_app(OWN_BUNDLE)
    with pytest.raises(IosTimeoutError, match="nobody opened the app DelegateBench") as caught:
        bench.run()
    assert caught.value.error_class is ErrorClass.DEVICE
    assert "leave it open" in str(caught.value)


def test_a_job_that_nobody_can_end_ends_with_its_deadline_and_the_next_one_is_done(bench: Bench) -> None:
    running = bench.begin()
    running.expire()
    assert running.output().timed_out
    assert bench.phone.processes.live, "nobody can end it from here"
    running.go_on()
    assert bench.run().exit_code == 0


def test_an_app_that_died_in_a_job_accounts_for_it_when_it_is_opened_again(bench: Bench) -> None:
    running = bench.begin()
    bench.phone.kill_app(OWN_BUNDLE)
    bench.phone.open_app(OWN_BUNDLE)
    output = running.output()
    assert (output.exit_code, output.timed_out) == (1, False)
    assert json.loads((output.folder / "app.json").read_bytes())["error"]["kind"] == "crash"
    assert bench.run().exit_code == 0


def test_cancel_while_nobody_comes(plug: Plug) -> None:
    bench = plug("iphone-17", launcher="manual")

    def cancel() -> None:
        until(lambda: bench.told, 60)
        bench.device.cancel()

    threading.Thread(target=cancel, daemon=True).start()
    with pytest.raises(DeviceError, match="cancelled"):
        bench.connect()
