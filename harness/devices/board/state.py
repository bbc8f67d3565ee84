"""How a board is right now: one quick script, run before and after every job, and the parser of its reply. No I/O.

Where formats come from: `throttled=0x50005` is the Raspberry Pi firmware's (documentation of `vcgencmd get_throttled`;
the kernel shows the same number in sysfs). Cooling devices are Documentation/driver-api/thermal/sysfs-api.rst: one
whose state is above 0 limits what it is named after. `package_throttle_count` is x86's (thermal_throttle),
`oc1_event_cnt` Jetson's over-current events. All of it is written after documents: no board was ever asked.
"""

from __future__ import annotations

import re
from typing import Any

from harness.devices.shell.kernel import FREQUENCIES, LOAD, UPTIME, first, frequencies
from harness.devices.shell.replies import FREE_SPACE, free_bytes, known, script, sections, whole
from harness.devices.shell.sensors import ZONES, from_zones, surface

STATE_SCRIPT = script(
    "state",
    {
        "zones": ZONES,
        "cpus": FREQUENCIES,
        "uptime": UPTIME,
        "load": LOAD,
        "firmware": """\
t=
for f in /sys/devices/platform/soc/soc:firmware/get_throttled /sys/devices/platform/soc/*firmware/get_throttled; do
  [ -n "$t" ] || read -r t <$f
done
[ -n "$t" ] || t=$(vcgencmd get_throttled)
echo "$t\"""",
        "cooling": """\
for c in /sys/class/thermal/cooling_device*; do
  n= v=
  read -r n <$c/type
  case $n in *[Ff]an*) continue ;; esac
  read -r v <$c/cur_state
  [ -n "$v" ] && echo "$v $n"
done""",
        "events": """\
for f in /sys/devices/system/cpu/cpu0/thermal_throttle/package_throttle_count /sys/class/hwmon/hwmon*/oc*_event_cnt; do
  v=
  read -r v <$f
  [ -n "$v" ] && echo "$v ${f##*/}"
done""",
        "df": FREE_SPACE,
    },
)
"""POSIX sh that prints a board's state for `parse_state`, made to stand inside other scripts.

$ROOT is the folder whose free space is asked for. `df` is the only program it starts, and `vcgencmd` on boards that
have it and do not show its number in sysfs.
"""

_FLAGS = ("under-voltage", "frequency capped", "throttled", "soft temperature limit")
_PAST = 16  # the same flags again, 16 bits up: since the board started


def parse_state(reply: str) -> dict[str, Any]:
    """State of a board from what `STATE_SCRIPT` printed. Never raises; a key is absent when its figure is unknown.

    Returns:
        `temperature_c` and `temperature_sensor`: how warm it is, and by which sensor (see `sensors.surface`);
        `sensors`: degrees Celsius by name, the hottest of those that share a name; `governor`: of the CPU, several
        joined by commas; `cpu_mhz`: of the fastest core; `uptime_s`; `load_1min`; `free_bytes`; `throttled`: list of
        what limits the board now, empty if it says that nothing does; `throttled_before`: likewise, since it started.
    """
    parts = sections(reply, "state")
    zones = from_zones(parts.get("zones", ""))
    hottest = surface((), zones, None) or max(zones, key=lambda zone: zone.celsius, default=None)
    sensors: dict[str, float] = {}
    for sensor in zones:
        sensors[sensor.name] = max(sensor.celsius, sensors.get(sensor.name, sensor.celsius))
    pairs: list[tuple[str, object]] = [
        ("temperature_c", hottest.celsius if hottest else None),
        ("temperature_sensor", hottest.name if hottest else None),
        ("sensors", sensors or None),
        *frequencies(parts.get("cpus", "")).items(),
        ("uptime_s", first(parts.get("uptime", ""))),
        ("load_1min", first(parts.get("load", ""))),
        ("free_bytes", free_bytes(parts.get("df", ""))),
    ]
    return {**dict(known(pairs)), **_throttling(parts)}


def _throttling(parts: dict[str, str]) -> dict[str, list[str]]:
    """What limits the board; no key for what it cannot tell."""
    now: list[str] = []
    before: list[str] = []
    flags = re.fullmatch(r"(?:throttled=)?(?:0x)?([0-9a-fA-F]{1,8})", parts.get("firmware", "").strip())
    if flags:
        bits = int(flags[1], 16)
        now += [word for place, word in enumerate(_FLAGS) if bits >> place & 1]
        before += [word for place, word in enumerate(_FLAGS) if bits >> place + _PAST & 1]
    cooling = _numbered(parts.get("cooling", ""))
    now += [name for name, state in cooling if state > 0]
    events = _numbered(parts.get("events", ""))
    before += [f"{name} {count}" for name, count in events if count > 0]
    found = {"throttled": now} if flags or cooling else {}
    return found | ({"throttled_before": before} if flags or events else {})


def _numbered(text: str) -> list[tuple[str, int]]:
    """Name and number of lines `NUMBER NAME`."""
    found = []
    for line in text.split("\n"):
        value, _, name = line.strip().partition(" ")
        number = whole(value)
        if number is not None and re.fullmatch(r"[\w.:@ -]{1,60}", name):
            found.append((name, number))
    return found
