"""A device whose adb server dies, hangs or is replaced."""

from __future__ import annotations

import pytest

from emulated.android.lab import AdbLab
from harness.devices.adb.errors import DeviceLostError, ServerDownError
from harness.plan.cell import ErrorClass
from tests.devices.adb.conftest import NEVER, Plug, Stopwatch, later, plug_in
from tests.devices.adb.test_server import kill


@pytest.mark.parametrize("kind", ["emulated", "real"])
def test_a_server_that_dies_in_a_call(own_lab: AdbLab, kind: str) -> None:
    rig = plug_in(own_lab, kind)
    rig.connect()
    timer = later(0.3, own_lab.kill_server)
    with Stopwatch(8), pytest.raises(DeviceLostError):
        rig.device.shell("exec sleep 20", 15)
    timer.join()
    with Stopwatch(5), pytest.raises(ServerDownError, match="no adb server answers") as caught:
        rig.device.shell("true", 10)
    assert caught.value.error_class is ErrorClass.HOST
    assert caught.value.device == "phone"


@pytest.mark.parametrize("tcp", [False, True], ids=["usb", "tcp"])
def test_a_restarted_server_gives_the_right_phone(own_lab: AdbLab, tcp: bool) -> None:
    """Transport ids begin at 1 again, so that yesterday's id is another phone's."""
    rigs = [plug_in(own_lab, "emulated", tcp=tcp) for _ in range(2)]
    for rig in rigs:
        rig.connect()
    own_lab.restart_server()
    for rig in reversed(rigs):
        rig.device.recover(NEVER)
    said = [rig.device.shell("getprop ro.serialno", 10).text.strip() for rig in rigs]
    assert said == [rig.phone.number for rig in rigs]


def test_a_hung_server_is_no_hung_device(own_lab: AdbLab) -> None:
    rig = plug_in(own_lab, "emulated")
    rig.connect()
    own_lab.stop_server()
    with Stopwatch(8):
        with pytest.raises(ServerDownError, match="hangs"):
            rig.device.shell("true", 0.5)
        with pytest.raises(ServerDownError), rig.device.sync(0.5) as files:
            files.stat("/data")
    with Stopwatch(12), pytest.raises(ServerDownError, match="hangs"):
        rig.device.recover(NEVER)
    own_lab.continue_server()
    assert rig.device.alive()


@pytest.mark.usefixtures("own_home")
def test_a_dead_server_is_replaced(own_lab: AdbLab) -> None:
    rig = plug_in(own_lab, "emulated", tcp=True)
    rig.connect()
    own_lab.kill_server()
    assert not rig.device.alive(1)
    try:
        with Stopwatch(20):
            rig.device.recover(NEVER)
        assert rig.device.alive()
    finally:
        rig.server.close()
        kill(own_lab.server_port)


def test_two_servers_two_labs(own_lab: AdbLab, plug: Plug) -> None:
    here, there = plug(), plug_in(own_lab, "emulated")
    for rig in (here, there):
        rig.connect()
    assert there.server.address != here.server.address
    assert [rig.device.shell("getprop ro.serialno", 10).text.strip() for rig in (here, there)] == [
        here.phone.number,
        there.phone.number,
    ]
