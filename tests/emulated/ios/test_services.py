"""Services of emulated iPhones that are not about files and apps, word by word."""

from __future__ import annotations

import json
import signal
import struct
from typing import Any

import pytest

from emulated.ios.apps import Program
from emulated.ios.lab import IosLab
from emulated.ios.phone import Phone
from tests.emulated.ios.wire import Afc, Wire, service

MOUNTER = "com.apple.mobile.mobile_image_mounter"
DIAGNOSTICS = "com.apple.mobile.diagnostics_relay"
CRASHES = "com.apple.crashreportcopymobile"


@pytest.fixture
def phone(lab: IosLab) -> Phone:
    return lab.add("iphone-13")


def test_a_locked_phone_says_nothing_of_its_image(lab: IosLab, phone: Phone) -> None:
    phone.lock()
    with service(lab.address, phone, MOUNTER) as mounter:
        assert mounter.ask(Command="LookupImage", ImageType="Developer") == {"Error": "DeviceLocked"}
        assert mounter.ask(Command="QueryDeveloperModeStatus")["DeveloperModeStatus"] is True


@pytest.mark.parametrize(("name", "kind"), [("iphone-8", "Developer"), ("iphone-17", "Personalized")])
def test_an_image_is_mounted_once(lab: IosLab, name: str, kind: str) -> None:
    phone = lab.add(name)
    phone.image_mounted = False
    with service(lab.address, phone, MOUNTER) as mounter:
        assert "ImageSignature" not in mounter.ask(Command="LookupImage", ImageType=kind)
        assert mounter.ask(Command="CopyDevices")["EntryList"] == []
        request = {"ImageType": kind, "ImageSignature": b"signed"}
        assert mounter.ask(Command="MountImage", **request)["Error"] == "ImageMountFailed"
        assert mounter.ask(Command="ReceiveBytes", ImageSize=100_000, **request) == {"Status": "ReceiveBytesAck"}
        mounter.socket.sendall(bytes(100_000))
        assert mounter.receive() == {"Status": "Complete"}
        assert mounter.ask(Command="MountImage", **request) == {"Status": "Complete"}
        assert mounter.ask(Command="LookupImage", ImageType=kind)["ImageSignature"] == [b"signed"]
        (entry,) = mounter.ask(Command="CopyDevices")["EntryList"]
        assert "already mounted" in mounter.ask(Command="MountImage", **request)["DetailedError"]
        assert mounter.ask(Command="UnmountImage", MountPath="/elsewhere")["Error"] == "InternalError"
        assert mounter.ask(Command="UnmountImage", MountPath=entry["MountPath"]) == {"Status": "Complete"}
        assert mounter.ask(Command="Hangup") == {"Goodbye": True}
        assert mounter.socket.recv(1) == b""
    assert phone.services.actions == ["MountImage", "UnmountImage"]
    assert not phone.image_mounted


def test_developer_mode_exists_since_ios_16_and_an_image_needs_it(lab: IosLab, phone: Phone) -> None:
    phone.image_mounted = phone.developer_mode = False
    with service(lab.address, phone, MOUNTER) as mounter:
        assert mounter.ask(Command="QueryDeveloperModeStatus")["DeveloperModeStatus"] is False
        assert "Developer mode" in mounter.ask(Command="MountImage", ImageType="Developer")["DetailedError"]
        phone.developer_mode = True
        assert mounter.ask(Command="QueryDeveloperModeStatus")["DeveloperModeStatus"] is True
    with service(lab.address, lab.add("iphone-11"), MOUNTER) as mounter:
        assert mounter.ask(Command="QueryDeveloperModeStatus") == {"Error": "UnknownCommand"}


@pytest.mark.parametrize("key", ["EntryClass", "EntryName"])
def test_the_registry_has_the_battery(lab: IosLab, phone: Phone, key: str) -> None:
    phone.battery.temperature = 31.25
    phone.battery.level = 64
    with service(lab.address, phone, DIAGNOSTICS) as relay:
        answer = relay.ask(Request="IORegistry", **{key: "IOPMPowerSource"})
        assert answer["Status"] == "Success"
        battery = answer["Diagnostics"]["IORegistry"]
        assert (battery["Temperature"], battery["CurrentCapacity"], battery["IsCharging"]) == (3125, 64, True)
        assert relay.ask(Request="IORegistry", EntryClass="IONothing") == {"Status": "Success", "Diagnostics": {}}
        gauge = relay.ask(Request="GasGauge")["Diagnostics"]["GasGauge"]
        assert gauge["CycleCount"] == battery["CycleCount"] == phone.battery.cycles
        assert relay.ask(Request="All")["Diagnostics"]["GasGauge"] == gauge
        assert relay.ask(Request="MobileGestalt")["Status"] == "UnknownRequest"


def test_the_power_button_is_recorded(lab: IosLab, phone: Phone) -> None:
    with service(lab.address, phone, DIAGNOSTICS) as relay:
        for request in ("Sleep", "Restart", "Shutdown"):
            assert relay.ask(Request=request) == {"Status": "Success"}
        assert relay.ask(Request="Goodbye") == {"Status": "Success"}
        assert relay.socket.recv(1) == b""
    assert phone.services.actions == ["Sleep", "Restart", "Shutdown"]


def test_notifications_come_to_those_who_asked_for_them(lab: IosLab, phone: Phone) -> None:
    def proxy() -> Wire:
        return service(lab.address, phone, "com.apple.mobile.notification_proxy")

    with proxy() as one, proxy() as other:
        one.send(Command="ObserveNotification", Name="a")
        other.send(Command="PostNotification", Name="nobody's")
        other.send(Command="ObserveNotification", Name="b")
        other.send(Command="PostNotification", Name="b")
        assert other.receive() == {"Command": "RelayNotification", "Name": "b"}
        one.send(Command="PostNotification", Name="a")
        assert one.receive() == {"Command": "RelayNotification", "Name": "a"}
        one.send(Command="Shutdown")
        assert one.receive() == {"Command": "ProxyDeath"}
        assert one.socket.recv(1) == b""


def test_what_apps_print_goes_to_the_log(lab: IosLab, phone: Phone) -> None:
    talk = "while sleep 0.05; do echo one; echo two >&2; done"
    phone.add_app("com.example.talker", Program(("sh", "-c", talk)), executable="Talker")
    pid = phone.open_app("com.example.talker")
    with service(lab.address, phone, "com.apple.syslog_relay") as log:
        said = b""
        while said.count(b"\n\0") < 3:
            said += log.socket.recv(4096)
    lines = {line.decode().partition(f" Talker[{pid}] ")[2] for line in said.split(b"\n\0")[:3]}
    assert lines == {"<Notice>: one", "<Notice>: two"}
    phone.kill_app("com.example.talker")


def crashes(lab: IosLab, phone: Phone) -> dict[str, list[dict[str, Any]]]:
    """Name -> the two parts of a report, after the mover did its work."""
    with service(lab.address, phone, "com.apple.crashreportmover") as mover:
        assert mover.exactly(5) == b"ping\0"
        assert mover.socket.recv(1) == b""
    with Afc(service(lab.address, phone, CRASHES)) as files:
        found = {}
        for name in files.names("/"):
            head, _, body = files.get(f"/{name}").decode().partition("\n")
            found[name] = [json.loads(head), json.loads(body)]
        return found


def test_a_crash_leaves_a_report(lab: IosLab, phone: Phone) -> None:
    def died(bundle: str, program: str, number: int | None = None) -> int:
        phone.add_app(bundle, Program(("sh", "-c", program)), executable=bundle.rpartition(".")[2])
        pid = phone.open_app(bundle)
        if number is not None:
            phone.kill_app(bundle, number)
        phone.wait_app(pid)
        return pid

    assert crashes(lab, phone) == {}
    died("com.example.fine", "exit 3")
    died("com.example.killed", "exec sleep 1000", signal.SIGKILL)
    pid = died("com.example.crasher", "exec sleep 1000", signal.SIGSEGV)
    ((name, (head, body)),) = crashes(lab, phone).items()
    assert name.startswith("crasher-")
    assert name.endswith(".ips")
    assert (head["bundleID"], head["name"], head["bug_type"]) == ("com.example.crasher", "crasher", "309")
    assert (body["pid"], body["exception"]["signal"]) == (pid, "SIGSEGV")
    assert "emulated" in body["note"]
    with Afc(service(lab.address, phone, CRASHES)) as files:
        assert files.status(8, f"/{name}") == 0
    assert crashes(lab, phone) == {}, "a report is written once"
    phone.faults.crash_at_start.add("com.example.crasher")
    phone.wait_app(phone.open_app("com.example.crasher"))
    ((_, (_, body)),) = crashes(lab, phone).items()
    assert body["exception"]["signal"] == "SIGABRT"


def test_what_is_no_property_list_ends_the_connection(lab: IosLab, phone: Phone) -> None:
    with service(lab.address, phone, DIAGNOSTICS) as relay:
        relay.socket.sendall(struct.pack(">I", 1 << 30))
        assert relay.socket.recv(1) == b""
