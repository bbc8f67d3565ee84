"""Lockdownd: what it tells whom, and which services it starts."""

from __future__ import annotations

import plistlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from emulated.ios.description import named, names
from emulated.ios.lab import IosLab
from emulated.ios.phone import Phone
from tests.emulated.ios.conftest import Tool
from tests.emulated.ios.wire import LOCKDOWN, Wire, start
from tests.ios_tools import needs_tidevice

OLD_INSTRUMENTS = "com.apple.instruments.remoteserver"
INSTRUMENTS = "com.apple.instruments.remoteserver.DVTSecureSocketProxy"
HOUSE_ARREST = "com.apple.mobile.house_arrest"
DIAGNOSTICS = "com.apple.mobile.diagnostics_relay"


@contextmanager
def lockdown(lab: IosLab, phone: Phone) -> Iterator[Wire]:
    with Wire(lab.address) as wire:
        wire.reach(phone.udid, LOCKDOWN)
        yield wire


def session(lab: IosLab, phone: Phone, wire: Wire) -> dict[str, Any]:
    """Start a session with what the host knows; the answer."""
    with Wire(lab.address) as mux:
        record = plistlib.loads(mux.mux(MessageType="ReadPairRecord", PairRecordID=phone.udid)["PairRecordData"])
    return wire.ask(Request="StartSession", HostID=record["HostID"], SystemBUID=record["SystemBUID"])


@pytest.mark.parametrize("name", names())
def test_a_phone_says_what_it_is(lab: IosLab, tool: Tool, tide_home: Path, name: str) -> None:
    needs_tidevice()
    from tidevice import Device, Usbmux

    about, phone = named(name), lab.add(name)
    device = Device(phone.udid, Usbmux(lab.address))
    assert (device.product_version, device.product_type) == (about.os_version, about.product_type)
    assert device.get_value("HarnessEmulated") is True
    assert device.battery_info().level == about.battery.level
    assert device.storage_info().disk_size == about.storage.total
    assert tool("ideviceinfo", phone, "-k", "BuildVersion").stdout == f"{about.build}\n"
    assert tool("ideviceinfo", phone, "-k", "UniqueDeviceID").stdout == f"{phone.udid}\n"
    shown = tool("ideviceinfo", phone, "-q", "com.apple.security.mac.amfi").stdout
    assert shown == ("DeveloperModeStatus: true\n" if about.major >= 16 else ""), "Developer Mode came with iOS 16"


def test_values_follow_the_phone(lab: IosLab) -> None:
    phone = lab.add("iphone-13")
    with lockdown(lab, phone) as wire:
        session(lab, phone, wire)
        phone.battery.level, phone.free_bytes, phone.developer_mode = 3, 1000, False

        def value(domain: str, key: str) -> object:
            return wire.ask(Request="GetValue", Domain=domain, Key=key)["Value"]

        assert value("com.apple.mobile.battery", "BatteryCurrentCapacity") == 3
        assert value("com.apple.disk_usage", "TotalDataAvailable") == 1000
        assert value("com.apple.security.mac.amfi", "DeveloperModeStatus") is False
        assert wire.ask(Request="GetValue", Key="PasswordProtected")["Value"] is False
        phone.lock()
        assert wire.ask(Request="GetValue", Key="PasswordProtected")["Value"] is True
        assert wire.ask(Request="GetValue", Key="Nonsense")["Error"] == "MissingValue"
        assert wire.ask(Request="GetValue", Domain="com.example.nonsense")["Value"] == {}


def test_without_a_session_it_says_little(lab: IosLab, tool: Tool) -> None:
    phone = lab.add("iphone-13")
    with lockdown(lab, phone) as wire:
        assert wire.ask(Request="QueryType")["Type"] == "com.apple.mobile.lockdown"
        assert wire.ask(Request="GetValue", Key="ProductVersion")["Value"] == "16.4"
        assert wire.ask(Request="GetValue", Key="ActivationState")["Error"] == "GetProhibited"
        assert wire.ask(Request="GetValue", Domain="com.apple.disk_usage")["Error"] == "GetProhibited"
        assert "ActivationState" not in wire.ask(Request="GetValue")["Value"]
        assert wire.ask(Request="StartService", Service=HOUSE_ARREST)["Error"] == "SessionInactive"
        assert wire.ask(Request="StopSession", SessionID="x")["Error"] == "SessionInactive"
        assert wire.ask(Request="StartSession")["Error"] == "MissingHostID"
        assert wire.ask(Request="StartSession", HostID="another")["Error"] == "InvalidHostID"
    assert tool("ideviceinfo", phone, "-s", "-k", "ProductType").stdout == "iPhone14,5\n"
    assert phone.opened == []


def test_a_session_can_be_stopped_and_started_again(lab: IosLab) -> None:
    phone = lab.add("iphone-13")
    with lockdown(lab, phone) as wire:
        number = session(lab, phone, wire)["SessionID"]
        assert session(lab, phone, wire)["Error"] == "SessionActive"
        assert wire.ask(Request="StopSession", SessionID="another")["Error"] == "InvalidSessionID"
        assert "Error" not in wire.ask(Request="StopSession", SessionID=number)
        assert wire.ask(Request="GetValue", Key="ActivationState")["Error"] == "GetProhibited"
        assert "Error" not in session(lab, phone, wire)
        assert wire.ask(Request="GetValue", Key="ActivationState")["Value"] == "Activated"
        assert wire.ask(Request="SetValue", Key="DeviceName", Value="x")["Error"] == "SetProhibited"
        assert wire.ask(Request="Goodbye")["Result"] == "Success"
        with pytest.raises(EOFError):
            wire.exactly(1)


def test_what_is_no_request_ends_the_connection(lab: IosLab) -> None:
    phone = lab.add("iphone-13")
    with lockdown(lab, phone) as wire:
        wire.send(Request="EnterRecovery")
        with pytest.raises(EOFError):
            wire.exactly(1)
    with lockdown(lab, phone) as wire:
        wire.socket.sendall(b"\xff\xff\xff\xff")
        with pytest.raises((EOFError, ConnectionError)):
            wire.exactly(1)


def test_a_phone_that_forgot_the_host_refuses_it(lab: IosLab, tool: Tool) -> None:
    phone = lab.add("iphone-13")
    assert "SUCCESS" in tool("idevicepair", phone, "validate").stdout
    phone.revoke_pairing()
    with lockdown(lab, phone) as wire:
        assert session(lab, phone, wire)["Error"] == "InvalidHostID"
        assert wire.ask(Request="ValidatePair", PairRecord={"HostID": "x"})["Error"] == "InvalidHostID"
        assert wire.ask(Request="GetValue", Key="ProductVersion")["Value"] == "16.4"
    assert lab.pairing == []


def test_nobody_is_there_to_trust_a_host(lab: IosLab) -> None:
    phone = lab.add("iphone-13")
    with lockdown(lab, phone) as wire:
        assert wire.ask(Request="Pair", PairRecord={})["Error"] == "PairingDialogResponsePending"
        phone.lock()
        assert wire.ask(Request="Pair", PairRecord={})["Error"] == "PasswordProtected"
        assert phone.trusted
        with Wire(lab.address) as mux:
            record = plistlib.loads(mux.mux(MessageType="ReadPairRecord", PairRecordID=phone.udid)["PairRecordData"])
        assert "Error" not in wire.ask(Request="ValidatePair", PairRecord={"HostID": record["HostID"]})
        assert "Error" not in wire.ask(Request="Unpair", PairRecord={"HostID": record["HostID"]})
        assert wire.ask(Request="Unpair", PairRecord={"HostID": record["HostID"]})["Error"] == "InvalidHostID"
    assert phone.asked == ["Pair", "Pair", "Unpair", "Unpair"]
    assert not phone.trusted


@pytest.mark.parametrize(
    ("name", "service", "starts"),
    [
        ("iphone-8", OLD_INSTRUMENTS, True),
        ("iphone-8", INSTRUMENTS, False),
        ("iphone-11", OLD_INSTRUMENTS, False),
        ("iphone-11", INSTRUMENTS, True),
        ("iphone-13", INSTRUMENTS, True),
        ("iphone-14", INSTRUMENTS, False),
        ("iphone-17", INSTRUMENTS, False),
        ("iphone-17", HOUSE_ARREST, True),
        ("iphone-17", "com.example.nonsense", False),
    ],
)
def test_which_services_there_are_depends_on_the_system(lab: IosLab, name: str, service: str, starts: bool) -> None:
    phone = lab.add(name)
    wire, answer = start(lab.address, phone, service)
    assert (wire is not None) == starts
    assert answer.get("Error") == (None if starts else "InvalidService")
    assert phone.opened == ([service] if starts else [])
    if wire is not None:
        wire.close()


@pytest.mark.parametrize(
    ("name", "change", "starts"),
    [
        ("iphone-11", {"image_mounted": False}, False),
        ("iphone-11", {"developer_mode": False}, True),
        ("iphone-13", {"image_mounted": False}, False),
        ("iphone-13", {"developer_mode": False}, False),
    ],
)
def test_developer_services_are_in_the_image(lab: IosLab, name: str, change: dict[str, bool], starts: bool) -> None:
    phone = lab.add(name)
    for key, value in change.items():
        setattr(phone, key, value)
    wire, answer = start(lab.address, phone, INSTRUMENTS)
    assert answer.get("Error") == (None if starts else "InvalidService")
    if wire is not None:
        wire.close()


def test_a_locked_phone_starts_little(lab: IosLab) -> None:
    phone = lab.add("iphone-13")
    phone.lock()
    assert start(lab.address, phone, HOUSE_ARREST)[1]["Error"] == "PasswordProtected"
    wire, _ = start(lab.address, phone, DIAGNOSTICS)
    assert wire is not None
    wire.close()
    phone.unlock()
    wire, _ = start(lab.address, phone, HOUSE_ARREST)
    assert wire is not None
    wire.close()


def test_a_port_answers_once(lab: IosLab) -> None:
    phone = lab.add("iphone-13")
    wire, answer = start(lab.address, phone, HOUSE_ARREST)
    assert wire is not None
    wire.close()
    with Wire(lab.address) as again, pytest.raises(AssertionError):
        again.reach(phone.udid, answer["Port"])
