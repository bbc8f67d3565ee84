"""Faults in the middle of a job that cost nothing: what goes on, goes on."""

from __future__ import annotations

import json

import pytest

from tests.devices.android.conftest import until
from tests.devices.ios.bench import Bench, Running, bench

__all__ = ["bench"]

pytestmark = pytest.mark.timeout(200)

AFC = "com.apple.mobile.house_arrest"


def finished(running: Running) -> None:
    """The app goes on, and the job's result is whole, as if nothing had happened."""
    running.go_on()
    output = running.output()
    assert (output.exit_code, output.timed_out) == (0, False)
    record = json.loads((output.folder / "result.json").read_bytes())
    assert (record["status"], record["run_id"]) == ("ok", running.job.id)
    assert running.bench.left == []
    assert len(running.bench.phone.processes.history) == 2, "the probe, and one start"


def test_a_cable_that_is_put_back_costs_nothing(bench: Bench) -> None:
    running = bench.begin()
    bench.phone.unplug()
    until(lambda: running.lost, 60)
    bench.phone.plug()
    finished(running)


def test_a_phone_that_is_back_when_its_job_is_long_done_costs_nothing(bench: Bench) -> None:
    running = bench.begin()
    bench.phone.unplug()
    until(lambda: running.lost, 60)
    running.go_on()
    until(lambda: bench.phone.processes.live == [], 60)
    bench.phone.plug()
    finished(running)


def test_a_usbmuxd_that_is_started_again_costs_nothing(bench: Bench) -> None:
    running = bench.begin()
    bench.lab.stop_usbmuxd()
    until(lambda: running.lost, 60)
    bench.lab.start_usbmuxd()
    finished(running)


def test_a_connection_that_is_cut_costs_nothing(bench: Bench) -> None:
    running = bench.begin()
    bench.phone.faults.on = AFC
    bench.phone.faults.cut_after = 1
    until(lambda: bench.phone.faults.cut_after is None, 60)
    finished(running)


def test_files_that_do_not_answer_for_a_while_cost_nothing(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    running = bench.begin()
    monkeypatch.setattr("harness.devices.ios.run._CALL", 0.5)
    bench.phone.faults.silent = {AFC}
    until(lambda: running.lost, 60)
    monkeypatch.undo()
    bench.phone.faults.silent = set()
    finished(running)
