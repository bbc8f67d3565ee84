"""A device through a real adb server: reaching it, and what its faults look like."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from harness.devices.adb import device as device_module
from harness.devices.adb.device import AdbDevice
from harness.devices.adb.errors import (
    AdbError,
    DeviceLostError,
    DeviceTimeoutError,
    RemoteError,
    UnauthorizedError,
)
from harness.devices.adb.server import AdbServer
from harness.plan.cell import ErrorClass
from tests.devices.adb.conftest import CLOCK, NEVER, TMP, Plug, Rig, Stopwatch, later

BIG = bytes(4 << 20)


def nobody(_: str) -> None:
    raise AssertionError("nothing is to be told")


# Reaching it.


def test_features_are_known_after_connecting(plug: Plug) -> None:
    modern, old = plug("emulated"), plug("old")
    assert modern.device.features == frozenset()
    modern.connect()
    old.connect()
    assert {"shell_v2", "stat_v2"} <= modern.device.features
    assert old.device.features == frozenset()
    assert (modern.device.state, modern.told) == ("device", [])


def test_a_device_on_the_network_is_connected_on_demand(plug: Plug) -> None:
    rig = plug("emulated", tcp=True)
    rig.server.disconnect(rig.phone.serial)
    assert rig.phone.serial not in [found.serial for found in rig.server.devices()]
    rig.connect()
    assert rig.device.alive()


def test_an_absent_device_is_named_in_time(plug: Plug) -> None:
    rig = plug()
    absent = AdbDevice(rig.server, "R5CT10ABCDE", "galaxy", CLOCK)
    with Stopwatch(5), pytest.raises(DeviceLostError, match=r"^galaxy: is not connected to the adb server") as caught:
        absent.connect(0.6, nobody, NEVER)
    assert (caught.value.device, caught.value.serial) == ("galaxy", "R5CT10ABCDE")
    assert absent.state == "absent"
    with pytest.raises(DeviceLostError, match="R5CT10ABCDE' not found"):
        absent.shell("true", 5)


def test_an_address_where_nobody_listens(plug: Plug) -> None:
    rig = plug()
    absent = AdbDevice(rig.server, "127.0.0.1:1", "galaxy", CLOCK)
    with Stopwatch(8), pytest.raises(DeviceLostError, match="failed to connect to"):
        absent.connect(0.6, nobody, NEVER)


def test_waiting_ends_when_cancelled(plug: Plug) -> None:
    rig = plug()
    absent = AdbDevice(rig.server, "R5CT10ABCDE", "galaxy", CLOCK)
    cancelled = threading.Event()
    timer = later(0.4, cancelled.set)
    with Stopwatch(5), pytest.raises(DeviceLostError, match="cancelled"):
        absent.connect(60, nobody, cancelled)
    timer.join()


def test_a_device_that_is_plugged_in_later(plug: Plug) -> None:
    rig = plug()
    rig.phone.unplug()
    timer = later(0.5, rig.phone.plug)
    rig.connect()
    timer.join()
    assert rig.device.alive()


def test_tap_allow_is_told_once_and_waited_for(plug: Plug) -> None:
    rig = plug()
    rig.phone.unplug()
    rig.phone.faults.auth = "after"
    rig.phone.plug()
    timer = later(1.0, rig.phone.faults.allow)
    rig.connect(20)
    timer.join()
    assert rig.told == ["phone: tap 'Allow USB debugging' on the phone ..."]
    assert rig.device.alive()


def test_a_phone_that_nobody_allows(plug: Plug) -> None:
    rig = plug()
    rig.phone.unplug()
    rig.phone.faults.auth = "never"
    rig.phone.plug()
    with Stopwatch(6), pytest.raises(UnauthorizedError, match="tap 'Allow USB debugging' on the phone"):
        rig.connect(1.0)
    assert len(rig.told) == 1
    with pytest.raises(UnauthorizedError):
        rig.device.shell("true", 5)
    assert not rig.device.alive()


# Faults of the device.


def push(device: AdbDevice, seconds: float) -> None:
    with device.sync(seconds) as files:
        files.push(BIG, f"{TMP}/big")


def pull(device: AdbDevice, folder: Path, seconds: float) -> None:
    with device.sync(seconds) as files:
        files.pull(f"{TMP}/there", folder / "back", 1 << 30)


def test_dropped_in_a_push(rig: Rig) -> None:
    rig.phone.faults.drop_after = 1_000_000
    with Stopwatch(10), pytest.raises(DeviceLostError, match=f"{TMP}/big"):
        push(rig.device, 20)


def test_dropped_in_a_pull(rig: Rig, tmp_path: Path) -> None:
    with rig.device.sync(20) as files:
        files.push(BIG, f"{TMP}/there")
    rig.phone.faults.drop_after = 1_000_000
    with Stopwatch(10), pytest.raises(DeviceLostError):
        pull(rig.device, tmp_path, 20)
    assert list(tmp_path.glob("back*")) == []


def test_dropped_in_a_command(rig: Rig) -> None:
    rig.phone.faults.drop_after = 200_000
    with Stopwatch(10), pytest.raises(DeviceLostError):
        rig.device.shell("head -c 4000000 /dev/zero", 20)


def test_what_dropped_comes_back(rig: Rig) -> None:
    rig.phone.drop()
    with Stopwatch(15):
        rig.device.recover(NEVER)
    assert rig.device.shell("echo back", 10).text == "back\n"


def test_a_hung_device(modern: Rig, tmp_path: Path) -> None:
    modern.phone.faults.hung = True
    with Stopwatch(8):
        for blocked in (
            lambda: modern.device.shell("true", 0.5),
            lambda: push(modern.device, 0.5),
            lambda: pull(modern.device, tmp_path, 0.5),
        ):
            with pytest.raises(DeviceTimeoutError, match=r"within 0\.5 s"):
                blocked()
        assert not modern.device.alive(0.5)
    assert modern.device._look(5) == "device", "the server's word proves nothing"


class Mending(AdbServer):
    """A new connection is what mends this phone."""

    def __init__(self, rig: Rig) -> None:
        super().__init__(*rig.server.address, CLOCK)
        self._rig = rig

    def disconnect(self, address: str, seconds: float = 5.0) -> None:
        self._rig.phone.faults.hung = False
        super().disconnect(address, seconds)


def test_a_hung_device_gets_a_new_connection(modern: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device_module, "_ALIVE_SECONDS", 1.0)
    device = AdbDevice(Mending(modern), modern.phone.serial, "phone", CLOCK)
    modern.phone.faults.hung = True
    with Stopwatch(15):
        device.recover(NEVER)
    assert device.alive()


def test_a_device_that_goes_on_hanging_is_not_called_recovered(plug: Plug, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device_module, "_ALIVE_SECONDS", 0.5)
    monkeypatch.setattr(device_module, "_RETURN_SECONDS", 1.0)
    rig = plug()
    rig.connect()
    rig.phone.faults.hung = True
    with Stopwatch(15), pytest.raises(AdbError):
        rig.device.recover(NEVER)


def test_a_push_that_stalls(modern: Rig) -> None:
    modern.phone.faults.stall_after = 500_000
    with Stopwatch(8), pytest.raises(DeviceTimeoutError):
        push(modern.device, 1.0)


def test_a_slow_device_needs_no_more_than_time(modern: Rig) -> None:
    modern.phone.faults.rate = 8e6
    push(modern.device, 30)


def test_a_full_device_says_so_and_goes_on(plug: Plug) -> None:
    rig = plug()
    rig.connect()
    rig.phone.faults.quota = 1_000_000
    with rig.device.sync(20) as files:
        with pytest.raises(RemoteError, match="No space left on device") as caught:
            files.push(BIG, f"{TMP}/big")
        assert files.push(b"small", f"{TMP}/small") == 5
    assert caught.value.command == f"{TMP}/big"
    assert caught.value.error_class is ErrorClass.DEVICE


def test_a_refused_service_is_no_loss(plug: Plug) -> None:
    rig = plug()
    rig.connect()
    rig.phone.faults.refuse_open = True
    with Stopwatch(5), pytest.raises(RemoteError, match="refused to open 'true': closed"):
        rig.device.shell("true", 10)
    rig.phone.faults.refuse_open = False
    assert rig.device.alive()


def test_a_phone_that_is_gone(rig: Rig) -> None:
    rig.phone.unplug()
    with Stopwatch(5):
        with pytest.raises(DeviceLostError, match="cannot be reached"):
            rig.device.shell("true", 10)
        with pytest.raises(DeviceLostError), rig.device.sync(10) as files:
            files.stat("/data")
        assert not rig.device.alive()


def test_a_phone_that_dies_while_it_opens_a_service_is_lost(plug: Plug) -> None:
    rig = plug()
    rig.connect()
    rig.phone.faults.open_delay = 20.0
    timer = later(0.3, rig.phone.unplug)
    with Stopwatch(8), pytest.raises(DeviceLostError):
        rig.device.shell("true", 15)
    timer.join()


def test_recovering_what_stays_away_fails_with_words(plug: Plug) -> None:
    rig = plug()
    rig.connect()
    rig.phone.unplug()
    cancelled = threading.Event()
    timer = later(1.0, cancelled.set)
    with Stopwatch(10), pytest.raises(DeviceLostError):
        rig.device.recover(cancelled)
    timer.join()


def test_a_rebooted_phone_is_recovered(plug: Plug) -> None:
    rig = plug("emulated", tcp=True)
    rig.connect()
    rig.phone.crash()
    assert not rig.device.alive(1)
    timer = later(0.7, rig.phone.plug)
    with Stopwatch(25):
        rig.device.recover(NEVER)
    timer.join()
    assert rig.device.alive()


def test_every_error_names_device_serial_and_command(rig: Rig) -> None:
    with pytest.raises(AdbError) as caught:
        rig.device.shell("exec sleep 9", 1.0)
    error = caught.value
    assert (error.device, error.serial, error.command) == ("phone", rig.phone.serial, "exec sleep 9")
    assert str(error).startswith("phone: ")
