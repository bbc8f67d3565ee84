"""A record of an iPhone makes an emulated one that says the same, and says nothing of whose phone it was."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from emulated.ios import description
from emulated.ios.lab import IosLab
from harness.clock import SystemClock
from harness.devices.ios.transport import Transport
from harness.doctor.record_ios import describe
from harness.errors import UsageError
from harness.lab.spec import IosSpec
from tests.doctor.conftest import Doctor
from tests.ios_tools import needs_tidevice

pytestmark = pytest.mark.timeout(120)

UDID = "00008110-000A1B2C3D4E5F60"
SECRETS: dict[str, Any] = {
    "UniqueDeviceID": UDID,
    "SerialNumber": "F2LEXAMPLE01",
    "DeviceName": "Annas Telefon",
    "PhoneNumber": "+41790001122",
    "InternationalMobileEquipmentIdentity": "356938035643809",
    "WiFiAddress": "a4:c3:f0:12:34:56",
    "BluetoothAddress": "a4:c3:f0:12:34:57",
    "UniqueChipID": 2849282849282,
    "MLBSerialNumber": "C0ZEXAMPLE9",
}
VALUES: dict[str, Any] = {
    "ProductType": "iPhone14,5",
    "HardwareModel": "D17AP",
    "ProductVersion": "16.4.1",
    "BuildVersion": "20E252",
    "CPUArchitecture": "arm64e",
    "ChipID": 33040,
    "BoardId": 10,
    "DeviceClass": "iPhone",
    "ProductName": "iPhone OS",
    "SupportedDeviceFamilies": [1],
    "TelephonyCapability": True,
    "TimeZone": "Europe/Zurich",
    "ModelNumber": "MLPF3",
    "SomethingNew": "Annas geheimes Wort",
    **SECRETS,
}
DISK = {
    "TotalDiskCapacity": 128_000_000_000,
    "TotalSystemCapacity": 13_000_000_000,
    "TotalDataAvailable": 60_000_000_000,
}
BATTERY = {"level": 81, "charging": True, "connected": True, "temperature": 27.48}


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[IosLab]:
    needs_tidevice()
    with IosLab(tmp_path / "lab") as lab:
        yield lab


@pytest.mark.parametrize("name", ["iphone-8", "iphone-13", "iphone-17"])
def test_a_record_is_replayed(lab: IosLab, doctor: Doctor, tmp_path: Path, name: str) -> None:
    original = lab.add(name, tls=True)
    file = tmp_path / "record.yaml"
    said = doctor([f'name: phone, kind: ios, udid: "{original.udid}", usbmuxd: "{lab.address}"'], "--record", str(file))
    assert (said.code, said.err) == (0, "")
    assert "look through it before you send it" in said.out
    assert original.udid not in file.read_text()
    copy = lab.add(str(file))
    seen = [look(lab, udid) for udid in (original.udid, copy.udid)]
    assert seen[0] == seen[1]
    assert original.processes.history == []
    assert original.received == []
    assert lab.pairing == []


def look(lab: IosLab, udid: str) -> list[object]:
    """What a phone says of itself that does not name it."""
    spec = IosSpec(kind="ios", name="phone", udid=udid, usbmuxd=lab.address)
    transport = Transport(spec, SystemClock())
    try:
        found = transport.preflight(20)
        stated = [found.product_type, found.version, found.build, found.hardware_model, found.architecture]
        return [*stated, dict(found.disk), dict(transport.battery(20))]
    finally:
        transport.close()


def test_nothing_of_the_owner_is_kept() -> None:
    found = describe(VALUES, DISK, BATTERY, [UDID])
    text = str(found).lower()
    for private in (*SECRETS.values(), "anna", "zurich", "MLPF3"):
        assert str(private).lower() not in text
    assert found["name"] == "iphone-13"
    assert found["battery"] == {"level": 81, "charging": True, "external": True, "temperature": 27.5}
    assert set(found["values"]) == {
        "BoardId", "DeviceClass", "ProductName", "SupportedDeviceFamilies", "TelephonyCapability",
    }  # fmt: skip


@pytest.mark.parametrize("value", ["Annas Telefon", "x" * 61, "a\nb", 1 << 40, [1 << 20], {"a": 1}, b"\0", None])
def test_an_allowed_value_of_another_kind_is_not_kept(value: object) -> None:
    values = {**VALUES, "FirmwareVersion": value}
    if value == "Annas Telefon":  # plain words, and yet the phone's name
        with pytest.raises(UsageError, match="nothing was written") as caught:
            describe(values, DISK, BATTERY, [UDID])
        assert "annas" not in str(caught.value).lower()
    else:
        assert "FirmwareVersion" not in describe(values, DISK, BATTERY, [UDID])["values"]


@pytest.mark.parametrize("name", ["iPhone", "iPhone 13", "iphone"])
def test_a_phone_that_is_called_what_it_is(name: str) -> None:
    assert describe({**VALUES, "DeviceName": name}, DISK, BATTERY, [UDID])["product_type"] == "iPhone14,5"


def test_a_phone_that_says_too_little() -> None:
    with pytest.raises(UsageError, match="does not say its BuildVersion, TotalDataAvailable, ChipID"):
        describe({**VALUES, "BuildVersion": "?", "ChipID": "A15"}, {**DISK, "TotalDataAvailable": -1}, BATTERY, [UDID])


def test_the_record_is_a_description(tmp_path: Path) -> None:
    from harness.doctor.record import as_text

    file = tmp_path / "record.yaml"
    file.write_text(as_text(describe(VALUES, DISK, {}, [UDID]), "2026-11-20"))
    found = description.load(file)
    assert (found.product_type, found.os_version, found.storage.free) == ("iPhone14,5", "16.4.1", 60_000_000_000)
