"""How a phone is right now: one quick script, run before and after every job, and the parser of its reply. No I/O.

Where formats come from (AOSP): `dumpsys battery` is BatteryService, with the numbers of android.os.BatteryManager;
`dumpsys power` is PowerManagerService (mWakefulness) and DisplayPowerController ("Display Power: state="), the latter
alone on old phones; temperatures: see `sensors`. All else is the Linux kernel's.
"""

from __future__ import annotations

import re
from typing import Any

from harness.devices.android.sensors import from_properties, from_service
from harness.devices.shell.kernel import FREQUENCIES, LOAD, UPTIME, first, frequencies
from harness.devices.shell.replies import FREE_SPACE, free_bytes, known, script, sections, whole
from harness.devices.shell.sensors import ZONES, from_zones, plausible, surface

STATE_SCRIPT = script(
    "state",
    {
        "battery": "dumpsys battery",
        "thermal": """\
t=$(dumpsys thermalservice)
echo "$t"
h=
case $t in *'from HAL:'*'Temperature{mValue'*) h=1 ;; esac
case $t in *'Thermal Status'*) ;; *) dumpsys hardware_properties | grep ' temperatures: ' ;; esac""",
        "zones": ZONES,
        "cpus": FREQUENCIES,
        "uptime": UPTIME,
        "load": LOAD,
        "power": "dumpsys power | grep -e 'akefulness' -e 'Display Power: state='",
        "df": FREE_SPACE,
    },
)
"""POSIX sh that prints a phone's state for `parse_state`, made to stand inside other scripts.

$ROOT is the folder whose free space is asked for. The only programs it starts are three to four `dumpsys`, `grep` and
`df`; all else is done by the shell itself.
"""

_CHARGING, _FULL = 2, 5
_AWAKE = {"Awake": "on", "Dreaming": "on", "Dozing": "dozing", "Asleep": "off"}
_DISPLAY = {"ON": "on", "VR": "on", "ON_SUSPEND": "on", "DOZE": "dozing", "DOZE_SUSPEND": "dozing", "OFF": "off"}


def parse_state(reply: str) -> dict[str, Any]:
    """State of a phone from what `STATE_SCRIPT` printed. Never raises; a key is absent when its figure is unknown.

    Returns:
        `battery_percent`, `battery_temperature_c`; `charging`: whether current flows into the battery (false when it is
        full); `thermal_status`: 0 (none) to 6 (shutdown), as Android numbers them; `temperature_c` and
        `temperature_sensor`: how warm the phone is, and by which sensor (see `sensors.surface`); `sensors`: degrees
        Celsius by name, plausible ones alone, the hottest of those that share a name; `governor`: of the CPU, several
        joined by commas; `cpu_mhz`: of the fastest core; `uptime_s`; `load_1min`; `screen`: "on", "off" or "dozing";
        `free_bytes`.
    """
    parts = sections(reply, "state")
    thermal = parts.get("thermal", "")
    battery = _battery(parts.get("battery", ""))
    service = [*from_service(thermal), *from_properties(thermal)]
    # A zone by the same name as a sensor of the service is that sensor.
    named = {sensor.name for sensor in service}
    zones = [zone for zone in from_zones(parts.get("zones", "")) if zone.name not in named]
    hottest = surface(service, zones, battery.get("battery_temperature_c"))
    sensors: dict[str, float] = {}
    for sensor in [*service, *zones]:
        sensors[sensor.name] = max(sensor.celsius, sensors.get(sensor.name, sensor.celsius))
    status = re.search(r"^\s*Thermal Status: ([0-6])\s*$", thermal, re.MULTILINE)
    pairs: list[tuple[str, object]] = [
        *battery.items(),
        ("thermal_status", int(status[1]) if status else None),
        ("temperature_c", hottest.celsius if hottest else None),
        ("temperature_sensor", hottest.name if hottest else None),
        ("sensors", sensors or None),
        *frequencies(parts.get("cpus", "")).items(),
        ("uptime_s", first(parts.get("uptime", ""))),
        ("load_1min", first(parts.get("load", ""))),
        ("screen", _screen(parts.get("power", ""))),
        ("free_bytes", free_bytes(parts.get("df", ""))),
    ]
    return dict(known(pairs))


def _battery(text: str) -> dict[str, Any]:
    """The first line of each key counts: vendors append histories. A board without a battery reports zeros."""
    lines: dict[str, str] = {}
    for line in text.split("\n"):
        key, colon, value = line.partition(":")
        if colon:
            lines.setdefault(key.strip(), value.strip())
    level, scale = whole(lines.get("level")), whole(lines.get("scale"))
    tenths, status = whole(lines.get("temperature")), whole(lines.get("status"))
    if lines.get("present") == "false":
        return {}
    percent = None if level is None or not scale else round(100 * level / scale)
    powered = [value for key, value in lines.items() if key.endswith(" powered")]
    charging: bool | None = None
    if status in range(_CHARGING, _FULL + 1):
        charging = status == _CHARGING
    elif powered:
        charging = "true" in powered
    return {
        key: value
        for key, value in {
            "battery_percent": percent if percent is not None and 0 <= percent <= 100 else None,
            "battery_temperature_c": plausible(tenths / 10 if tenths is not None else None, "battery"),
            "charging": charging,
        }.items()
        if value is not None
    }


def _screen(text: str) -> str | None:
    """An awake phone has its screen on, but for the moments when something covers it."""
    wakefulness = re.search(r"[wW]akefulness(?:Locked\(\))?=(\w+)", text)
    if wakefulness and wakefulness[1] in _AWAKE:
        return _AWAKE[wakefulness[1]]
    display = re.search(r"Display Power: state=(\w+)", text)
    return _DISPLAY.get(display[1]) if display else None
