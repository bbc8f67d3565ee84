"""A real iPhone's description as a file: what an emulated one is made from, with nothing in it of whose phone it is.

The file is one that `python -m emulated.ios --phones FILE` replays; `emulated/README.md` explains it. Only values are
kept that a list allows, so that what a new iOS adds stays out unseen; what is kept is then searched for the phone's
own names and numbers, as a second wall behind the first.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from harness.clock import Clock
from harness.devices.ios.models import marketing_name
from harness.devices.ios.transport import Transport
from harness.doctor.record import refuse_leaks, short_name
from harness.doctor.scrub import Scrubber
from harness.doctor.ways import Ways
from harness.errors import UsageError
from harness.lab.spec import IosSpec

_SECONDS = 15.0
_DISK = "com.apple.disk_usage"
_STORAGE = {"total": "TotalDiskCapacity", "system": "TotalSystemCapacity", "free": "TotalDataAvailable"}
_VALUES = (
    "BoardId",
    "DeviceClass",
    "FirmwareVersion",
    "HardwarePlatform",
    "ProductName",
    "ProductVersionExtra",
    "ProductionSOC",
    "SupplementalBuildVersion",
    "SupportedDeviceFamilies",
    "TelephonyCapability",
)
"""Values of lockdown's main domain that say what the phone is, and nothing of whose it is."""
_IDENTITY = {
    "product_type": ("ProductType", r"(iPhone|iPad|iPod)[0-9]{1,3},[0-9]{1,3}"),
    "hardware_model": ("HardwareModel", r"[A-Za-z0-9]{2,12}"),
    "os_version": ("ProductVersion", r"[0-9]{1,3}(\.[0-9]{1,3}){1,3}"),
    "build": ("BuildVersion", r"[0-9]{1,3}[A-Z][0-9]{1,5}[a-z]?"),
    "cpu_architecture": ("CPUArchitecture", r"arm64e?"),
}
"""Key of the description -> value of lockdown, and how it is written."""
_PLAIN = re.compile(r"[A-Za-z0-9 .,()_+-]{1,60}")
_LARGEST = 1 << 32  # chips' serial numbers are longer
_NAMES_IT = re.compile(
    r"serial|unique|imei|imsi|meid|iccid|phone|address|udid|uuid|dieid|devicename|account|email|token", re.IGNORECASE
)


def read(spec: IosSpec, ways: Ways, clock: Clock) -> dict[str, Any]:
    """The description of a phone that is plugged in and trusts this computer. Nothing on it is changed.

    Args:
        spec: of one phone.
        ways: to devices.
        clock: time.

    Raises:
        IosError: it cannot be reached, or does not answer in time.
        UsageError: see `describe`.
    """
    transport = Transport(spec, clock)
    ways.add(transport.cancel)
    try:
        transport.preflight(_SECONDS)
        values, disk = transport.domain(None, _SECONDS), transport.domain(_DISK, _SECONDS)
        return describe(values, disk, transport.battery(_SECONDS), [spec.udid or ""])
    finally:
        transport.close()


def describe(
    values: Mapping[str, Any], disk: Mapping[str, Any], battery: Mapping[str, Any], identifiers: Iterable[str]
) -> dict[str, Any]:
    """The description of a phone.

    Args:
        values: all of lockdown's main domain.
        disk: and of its domain about the disk.
        battery: see `Transport.battery`.
        identifiers: what else names the phone, such as its UDID.

    Raises:
        UsageError: the phone does not say what it is; or something of its identity would be in the description.
            Nothing may be written then.
    """
    known = {key: _matching(values.get(name), pattern) for key, (name, pattern) in _IDENTITY.items()}
    storage = {key: disk.get(name) for key, name in _STORAGE.items()}
    chip = values.get("ChipID")
    absent = [_IDENTITY[key][0] for key, value in known.items() if value is None]
    absent += [_STORAGE[key] for key, value in storage.items() if not _whole(value, 1 << 50)]
    absent += [] if _whole(chip, _LARGEST) else ["ChipID"]
    if absent:
        raise UsageError(f"nothing was written: the phone does not say its {', '.join(absent)}, or in an unknown form")
    model = marketing_name(known["product_type"] or "")
    description = {
        "version": 1,
        "name": short_name(model),
        **known,
        "chip_id": chip,
        "storage": storage,
        "battery": _charge(battery),
        "values": {name: values[name] for name in _VALUES if _harmless(values.get(name))},
    }
    refuse_leaks(description, Scrubber({}, {*identifiers, *_names(values, model)}))
    return description


def _matching(value: object, pattern: str) -> str | None:
    return value if isinstance(value, str) and re.fullmatch(pattern, value) else None


def _whole(value: object, limit: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < limit


def _harmless(value: object) -> bool:
    """Whether a value is plain: a word, a small number, yes or no, or a few small numbers."""
    if isinstance(value, list):
        return 0 < len(value) <= 8 and all(_whole(one, 1 << 16) for one in value)
    return isinstance(value, bool) or _whole(value, _LARGEST) or _matching(value, _PLAIN.pattern) is not None


def _charge(battery: Mapping[str, Any]) -> dict[str, Any]:
    """The battery as descriptions have it; what the phone does not tell is left to the description's defaults."""
    found: dict[str, Any] = {}
    if _whole(battery.get("level"), 101):
        found["level"] = battery["level"]
    for key, name in (("charging", "charging"), ("external", "connected")):
        if isinstance(battery.get(name), bool):
            found[key] = battery[name]
    if isinstance(battery.get("temperature"), (int, float)):
        found["temperature"] = round(float(battery["temperature"]), 1)
    return found


def _names(values: Mapping[str, Any], model: str) -> Iterable[str]:
    """Values that name the phone or its owner. Many owners leave their phone called what it is."""
    common = {model.lower(), str(values.get("DeviceClass", "")).lower()}
    for key, value in values.items():
        if isinstance(value, (str, int)) and _NAMES_IT.search(key) and key not in _VALUES:
            text = str(value).strip()
            if text.lower() not in common:
                yield text
