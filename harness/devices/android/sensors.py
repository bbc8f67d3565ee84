"""Temperatures of a phone: from the thermal service, else from the kernel's zones. No I/O.

Where formats come from (AOSP): `Temperature{mValue=..., mType=..., mName=..., mStatus=...}` is android.os.Temperature
as ThermalManagerService dumps it (Android 10 and newer), with the types of hardware/interfaces/thermal;
`CPU temperatures: [...]` is HardwarePropertiesManagerService (Android 7 to 9). Zones are the Linux kernel's
/sys/class/thermal: thousandths of a degree, though older vendor kernels give tenths or whole degrees.

Not all that is listed is a temperature. Voltages, currents and percentages of the battery are told by their type;
Pixels list differences and switches as type -1 ("USB2-MINUS-USB", "FLASH_LED_REDUCE"). Sensors that are absent report
0, -99.9, -273 or 125 degrees.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Literal, NamedTuple

from harness.devices.android.replies import number

Kind = Literal["skin", "battery", "cpu", "gpu", "other"]

_HAL_TYPES: dict[int, Kind] = {0: "cpu", 1: "gpu", 2: "battery", 3: "skin", 4: "other", 5: "other"}
_HAL_OTHERS = range(9, 20)  # NPU, TPU, display, modem, ...
_HAL_NAMES: dict[str, Kind] = {"CPU": "cpu", "GPU": "gpu", "BATTERY": "battery", "SKIN": "skin"}
_HAL = re.compile(r"\bTemperature\{mValue=([^,{}\n]*), mType=(-?\d{1,3}), mName=([^,{}\n]*)", re.ASCII)
_OLD = re.compile(r"^(CPU|GPU|Battery|Skin) temperatures: \[([^\]\n]*)\]", re.MULTILINE)

_NO_TEMPERATURE = re.compile(
    r"[vi](bat|sens)|bcl|lvl|ocp|vdroop|smpl|batoilo|odpm|cycle|minus|reduce|dcvs|lowf|percent|current|voltage|^soc$",
    re.IGNORECASE,
)
_ZONES: tuple[tuple[Kind, re.Pattern[str]], ...] = (
    ("skin", re.compile(r"skin|(quiet|case|back)[-_]therm|^shell_|^mtktsAP$", re.IGNORECASE)),
    ("battery", re.compile(r"batt", re.IGNORECASE)),
    ("gpu", re.compile(r"gpu|g3d|mali|kgsl", re.IGNORECASE)),
    ("cpu", re.compile(r"cpu|tsens|^(big|mid|little)$|^soc[-_]", re.IGNORECASE)),
)
_PLAUSIBLE: dict[Kind, tuple[float, float]] = {
    "skin": (-20, 90), "battery": (-20, 90), "cpu": (-20, 115), "gpu": (-20, 115), "other": (-20, 115),
}  # fmt: skip


class Sensor(NamedTuple):
    """One plausible reading, in degrees Celsius."""

    name: str
    celsius: float
    kind: Kind


def plausible(celsius: float | None, kind: Kind = "other") -> float | None:
    """The temperature if a phone that works can have it. Exactly 0 is what sensors say that measure nothing."""
    lowest, highest = _PLAUSIBLE[kind]
    if celsius is None or celsius == 0 or not lowest < celsius < highest:
        return None
    return round(celsius, 2)


def from_service(text: str) -> list[Sensor]:
    """Current readings of the thermal HAL in `dumpsys thermalservice`; cached ones are left out, as they are old."""
    current = text.partition("Current temperatures from HAL:")[2]
    sensors = []
    for value, number_of_type, name in _HAL.findall(current):
        kind = _hal_kind(int(number_of_type), name.strip())
        celsius = plausible(number(value), kind) if kind else None
        if kind and celsius is not None:
            sensors.append(Sensor(name.strip(), celsius, kind))
    return sensors


def _hal_kind(number_of_type: int, name: str) -> Kind | None:
    """What a sensor of the thermal HAL measures; None for what is no temperature."""
    if name.startswith("TYPE_"):  # Some Galaxies number the types in their own way, and name the sensors after them.
        return _HAL_NAMES.get(name.removeprefix("TYPE_"), "other")
    return "other" if number_of_type in _HAL_OTHERS else _HAL_TYPES.get(number_of_type)


def from_properties(text: str) -> list[Sensor]:
    """Readings in `dumpsys hardware_properties`, named "cpu0", "cpu1", "skin0", ..."""
    sensors = []
    for label, values in _OLD.findall(text):
        kind = _HAL_NAMES[label.upper()]
        for index, value in enumerate(values.split(",")):
            celsius = plausible(number(value), kind)
            if celsius is not None:
                sensors.append(Sensor(f"{label.lower()}{index}", celsius, kind))
    return sensors


def from_zones(text: str) -> list[Sensor]:
    """Readings of the kernel's thermal zones: lines of `VALUE NAME`, in whichever unit the kernel uses."""
    sensors = []
    for line in text.split("\n"):
        value, _, name = line.strip().partition(" ")
        kind = _zone_kind(name)
        if kind is None:
            continue
        celsius = plausible(_degrees(number(value)), kind)
        if celsius is not None:
            sensors.append(Sensor(name.strip(), celsius, kind))
    return sensors


@lru_cache(1024)  # a phone has a hundred zones, and they are read twice for every cell
def _zone_kind(name: str) -> Kind | None:
    """What a zone of the kernel measures; None for what is no temperature."""
    if not name or _NO_TEMPERATURE.search(name):
        return None
    return next((kind for kind, pattern in _ZONES if pattern.search(name)), "other")


def _degrees(value: float | None) -> float | None:
    """A zone's number in degrees: its size tells thousandths and tenths from whole degrees."""
    if value is None:
        return None
    if abs(value) >= 1000:
        return value / 1000
    return value / 10 if abs(value) >= 150 else value


def surface(service: Sequence[Sensor], zones: Sequence[Sensor], battery: float | None) -> Sensor | None:
    """The one temperature that says how warm a phone is.

    It is that of the hottest skin sensor of the thermal service, else of the hottest zone that names itself after the
    skin: what throttling is decided by, and what settles between runs. Without one it is the battery's, which is slower
    but as steady; only then the hottest CPU sensor's, which jumps by 30 degrees within a second of load.

    Args:
        service: plausible readings of the thermal service.
        zones: plausible readings of the kernel.
        battery: what the battery service says, in degrees Celsius.
    """
    pack = [] if battery is None else [Sensor("battery", battery, "battery")]
    ranks: tuple[tuple[Kind, Sequence[Sensor]], ...] = (
        ("skin", service),
        ("skin", zones),
        ("battery", pack),
        ("battery", [*service, *zones]),
        ("cpu", [*service, *zones]),
    )
    for kind, sensors in ranks:
        found = [sensor for sensor in sensors if sensor.kind == kind]
        if found:
            return max(found, key=lambda sensor: sensor.celsius)
    return None
