"""Usbmuxd as its clients see it: what is listed, what comes and goes, where connections lead."""

from __future__ import annotations

import plistlib
import socket
import struct
import subprocess
from pathlib import Path
from typing import Any

import pytest

from emulated.ios.lab import IosLab
from emulated.ios.phone import Phone
from tests.emulated.ios.conftest import Tool
from tests.emulated.ios.wire import LOCKDOWN, Wire
from tests.ios_tools import idevice, needs_tidevice


def listed(lab: IosLab) -> list[tuple[str, str]]:
    """UDID and way, of everything that is listed."""
    with Wire(lab.address) as wire:
        properties = [one["Properties"] for one in wire.mux(MessageType="ListDevices")["DeviceList"]]
    return [(one["SerialNumber"], one["ConnectionType"]) for one in properties]


def number(lab: IosLab, phone: Phone) -> int:
    with Wire(lab.address) as wire:
        found = wire.mux(MessageType="ListDevices")["DeviceList"]
    return next(int(one["DeviceID"]) for one in found if one["Properties"]["SerialNumber"] == phone.udid)


def event(wire: Wire) -> dict[str, Any]:
    """What a client that listens is told next."""
    (length,) = struct.unpack("<I", wire.exactly(16)[:4])
    told = plistlib.loads(wire.exactly(length - 16))
    assert isinstance(told, dict)
    return told


def test_every_phone_is_listed_and_told_apart(lab: IosLab, tool: Tool) -> None:
    first, second = lab.add("iphone-13"), lab.add("iphone-13")
    assert first.udid != second.udid
    assert listed(lab) == [(first.udid, "USB"), (second.udid, "USB")]
    assert tool("idevice_id", None, "-l").stdout.split() == [first.udid, second.udid]


def test_a_phone_on_wifi_too_is_listed_twice_and_usb_is_preferred(lab: IosLab, tool: Tool, tide_home: Path) -> None:
    needs_tidevice()
    from tidevice import Usbmux

    phone = lab.add("iphone-13", network=True)
    assert listed(lab) == [(phone.udid, "USB"), (phone.udid, "Network")]
    assert tool("idevice_id", None, "-n").stdout.split() == [phone.udid]
    assert [(one.udid, one.conn_type.value) for one in Usbmux(lab.address).device_list()] == [(phone.udid, "usb")]
    phone.unplug()
    assert listed(lab) == [(phone.udid, "Network")]
    with Wire(lab.address) as wire:
        wire.reach(phone.udid, LOCKDOWN)
        assert wire.ask(Request="QueryType")["Type"] == "com.apple.mobile.lockdown"


def test_who_listens_is_told_what_comes_and_goes(lab: IosLab) -> None:
    phone = lab.add("iphone-13")
    with Wire(lab.address) as wire:
        assert wire.mux(MessageType="Listen")["Number"] == 0
        there = event(wire)
        assert (there["MessageType"], there["Properties"]["SerialNumber"]) == ("Attached", phone.udid)
        phone.unplug()
        assert event(wire) == {"MessageType": "Detached", "DeviceID": there["DeviceID"]}
        phone.plug()
        again = event(wire)
        assert again["MessageType"] == "Attached"
        assert again["DeviceID"] > there["DeviceID"]
        phone.plug()  # it is plugged in: nothing comes
        other = lab.add("iphone-8")
        assert event(wire)["Properties"]["SerialNumber"] == other.udid


def test_a_device_id_ends_with_the_cable(lab: IosLab) -> None:
    phone = lab.add("iphone-13")
    before = number(lab, phone)
    phone.unplug()
    assert listed(lab) == []
    phone.plug()
    with Wire(lab.address) as wire:
        request = {"MessageType": "Connect", "PortNumber": socket.htons(LOCKDOWN)}
        assert wire.mux(**request, DeviceID=before)["Number"] == 2
        assert wire.mux(**request, DeviceID=number(lab, phone))["Number"] == 0


def test_nobody_answers_on_a_port_that_no_service_was_started_on(lab: IosLab) -> None:
    phone = lab.add("iphone-13")
    with Wire(lab.address) as wire:
        answer = wire.mux(MessageType="Connect", DeviceID=number(lab, phone), PortNumber=socket.htons(49152))
        assert answer["Number"] == 3


def test_the_pair_record_is_the_hosts_to_lose(lab: IosLab) -> None:
    phone = lab.add("iphone-13")
    with Wire(lab.address) as wire:
        asked = {"MessageType": "ReadPairRecord", "PairRecordID": phone.udid}
        record = plistlib.loads(wire.mux(**asked)["PairRecordData"])
        assert record["SystemBUID"] == wire.mux(MessageType="ReadBUID")["BUID"]
        assert lab.pairing == []
        assert wire.mux(MessageType="DeletePairRecord", PairRecordID=phone.udid)["Number"] == 0
        assert wire.mux(**asked)["Number"] == 2
        assert not phone.paired
        assert wire.mux(MessageType="SavePairRecord", PairRecordID=phone.udid, PairRecordData=b"")["Number"] == 0
        assert "PairRecordData" in wire.mux(**asked)
        assert wire.mux(MessageType="ReadPairRecord", PairRecordID="another")["Number"] == 2
    assert lab.pairing == [f"DeletePairRecord {phone.udid}", f"SavePairRecord {phone.udid}"]


def test_what_it_does_not_understand_it_refuses(lab: IosLab) -> None:
    with Wire(lab.address) as wire:
        assert wire.mux(MessageType="Dance")["Number"] == 1
        wire.socket.sendall(struct.pack("<IIII", 16, 0, 3, 7))  # the binary protocol of old
        assert event(wire)["Number"] == 6
        wire.socket.sendall(struct.pack("<IIII", 1 << 30, 1, 8, 1))
        with pytest.raises(EOFError):
            wire.exactly(1)


def test_a_unix_socket_leads_there_too(lab: IosLab, tide_home: Path) -> None:
    needs_tidevice()
    from tidevice import Device, Usbmux

    phone = lab.add("iphone-13")
    environ = {**lab.environ, "USBMUXD_SOCKET_ADDRESS": f"UNIX:{lab.socket}"}
    argv = [idevice("idevice_id"), "-l"]
    done = subprocess.run(argv, env=environ, capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout.split() == [phone.udid]
    assert Device(phone.udid, Usbmux(str(lab.socket))).product_version == "16.4"
    lab.stop_usbmuxd()
    assert not lab.socket.exists()
    lab.start_usbmuxd()
    assert Usbmux(str(lab.socket)).device_udid_list() == [phone.udid]


def test_it_can_be_gone_and_come_back_on_its_port(lab: IosLab, tool: Tool) -> None:
    phone, address = lab.add("iphone-13"), lab.address
    with Wire(address) as wire:
        wire.reach(phone.udid, LOCKDOWN)
        lab.stop_usbmuxd()
        with pytest.raises((EOFError, ConnectionError)):
            wire.ask(Request="QueryType")
    with pytest.raises(ConnectionRefusedError):
        Wire(address)
    assert tool("idevice_id", None, "-l").stdout == ""
    lab.start_usbmuxd()
    assert lab.address == address
    assert tool("idevice_id", None, "-l").stdout.split() == [phone.udid]
