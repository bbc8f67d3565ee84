"""Temperatures: what is plausible, the kernel's zones, and the one that counts. No I/O.

Zones are the Linux kernel's /sys/class/thermal: thousandths of a degree, though older vendor kernels give tenths or
whole degrees. Not all that is listed is a temperature: voltages, currents and percentages of a battery are told by
their type. Sensors that are absent report 0, -99.9, -273 or 125 degrees.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Literal, NamedTuple

from harness.devices.shell.replies import number

Kind = Literal["skin", "battery", "cpu", "gpu", "other"]

_NO_TEMPERATURE = re.compile(
    r"[vi](bat|sens)|bcl|lvl|ocp|vdroop|smpl|batoilo|odpm|cycle|minus|reduce|dcvs|lowf|percent|current|voltage|^soc$",
    re.IGNORECASE,
)
_ZONES: tuple[tuple[Kind, re.Pattern[str]], ...] = (
    ("skin", re.compile(r"skin|(quiet|case|back)[-_]therm|^shell_|^mtktsAP$", re.IGNORECASE)),
    ("battery", re.compile(r"batt", re.IGNORECASE)),
    ("gpu", re.compile(r"gpu|g3d|mali|kgsl", re.IGNORECASE)),
    ("cpu", re.compile(r"cpu|tsens|^(big|mid|little)$|^soc[-_]|^x86_pkg_temp$", re.IGNORECASE)),
)
_PLAUSIBLE: dict[Kind, tuple[float, float]] = {
    "skin": (-20, 90), "battery": (-20, 90), "cpu": (-20, 115), "gpu": (-20, 115), "other": (-20, 115),
}  # fmt: skip


# A zone's value may be read over a slow bus: where another service told the temperatures, only skin sensors are asked.
ZONES = """\
for z in /sys/class/thermal/thermal_zone*; do
  n= v=
  read -r n <$z/type
  case $h:$n in 1:*[Ss][Kk][Ii][Nn]*) ;; 1:*) continue ;; esac
  read -r v <$z/temp
  [ -n "$v" ] && echo "$v $n"
done"""
"""Commands whose output `from_zones` reads; with $h = 1 of skin sensors alone."""


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
