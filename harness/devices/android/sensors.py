"""Temperatures of a phone that Android's services tell; the kernel's zones are in `shell.sensors`. No I/O.

Where formats come from (AOSP): `Temperature{mValue=..., mType=..., mName=..., mStatus=...}` is android.os.Temperature
as ThermalManagerService dumps it (Android 10 and newer), with the types of hardware/interfaces/thermal;
`CPU temperatures: [...]` is HardwarePropertiesManagerService (Android 7 to 9).

Pixels list differences and switches as type -1 ("USB2-MINUS-USB", "FLASH_LED_REDUCE").
"""

from __future__ import annotations

import re

from harness.devices.shell.replies import number
from harness.devices.shell.sensors import Kind, Sensor, plausible

_HAL_TYPES: dict[int, Kind] = {0: "cpu", 1: "gpu", 2: "battery", 3: "skin", 4: "other", 5: "other"}
_HAL_OTHERS = range(9, 20)  # NPU, TPU, display, modem, ...
_HAL_NAMES: dict[str, Kind] = {"CPU": "cpu", "GPU": "gpu", "BATTERY": "battery", "SKIN": "skin"}
_HAL = re.compile(r"\bTemperature\{mValue=([^,{}\n]*), mType=(-?\d{1,3}), mName=([^,{}\n]*)", re.ASCII)
_OLD = re.compile(r"^(CPU|GPU|Battery|Skin) temperatures: \[([^\]\n]*)\]", re.MULTILINE)


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
