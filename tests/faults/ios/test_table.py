"""Every fault between the controller and an iPhone is an error of the right class, in bounded time, and passes."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from harness.devices.base import DeviceError
from harness.devices.ios.errors import IosTimeoutError
from tests.devices.android.conftest import until
from tests.devices.ios.bench import CLOCK, Bench, Plug
from tests.faults.ios.rows import ROWS, Row
from tests.ios_tools import pymobiledevice3

pytestmark = pytest.mark.timeout(200)

BOUND = 100.0
"""Seconds, far above what any of these takes: a guard against what hangs."""


@contextmanager
def hurry(row: Row) -> Iterator[None]:
    """Less patience than a phone needs; little of it with one that is silent, which shows nothing else."""
    call = 1.0 if row.expected is IosTimeoutError else 10.0
    with pytest.MonkeyPatch.context() as patch:
        for name, seconds in (("_RETURN", 1.0), ("_CALL", call), ("_LOCK_LOOK", 0.2), ("_ENDING", call)):
            patch.setattr(f"harness.devices.ios.run.{name}", seconds)
        patch.setattr("harness.devices.ios.device._CLOSING", call)
        yield


def plugged(plug: Plug, row: Row, monkeypatch: pytest.MonkeyPatch) -> Bench:
    """The row's phone, connected, with nothing in its store yet."""
    if row.phone == "iphone-13":
        bench = plug(row.phone)
    else:
        monkeypatch.setenv("HARNESS_PYMOBILEDEVICE3", pymobiledevice3())
        bench = plug(row.phone, launcher="pymobiledevice3", rsd="")
    bench.connect()
    return bench


def meet(bench: Bench, row: Row) -> Exception:
    """The error that a job ends with which meets the fault."""
    if row.mid:
        running = bench.begin(deadline=row.deadline)
        row.cause(bench)
        return running.error()
    row.cause(bench)
    with pytest.raises(DeviceError) as caught:
        bench.run(bench.job(ballast=row.ballast), deadline=row.deadline)
    return caught.value


def test_rows_have_names_of_their_own() -> None:
    assert len({row.name for row in ROWS}) == len(ROWS)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_a_fault_is_an_error_of_its_class_in_time_and_passes(
    plug: Plug, row: Row, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = plugged(plug, row, monkeypatch)
    began = CLOCK.monotonic()
    with hurry(row):
        error = meet(bench, row)
    assert CLOCK.monotonic() - began < BOUND
    assert type(error) in (row.expected, row.also), error  # none of them hides behind a more general one
    assert isinstance(error, DeviceError)
    assert error.error_class is row.error_class
    assert str(error).startswith(f"{bench.phone.description.name}: ")
    assert row.said in str(error)
    mending = threading.Thread(target=lambda: row.mend(bench))  # while the device waits for it
    mending.start()
    bench.device.recover()
    mending.join(30)
    until(lambda: bench.phone.processes.live == [])
    output = bench.run(bench.job(ballast=row.ballast))
    assert (output.exit_code, output.timed_out) == (0, False)
    assert bench.left == []
