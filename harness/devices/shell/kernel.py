"""What the Linux kernel tells about a device, read by the shell alone: its cores, memory, clocks and load. No I/O.

Where formats come from: Documentation/admin-guide/pm/cpufreq.rst (kHz) and proc(5).
"""

from __future__ import annotations

import re

from harness.devices.shell.replies import number, whole

CORES = """\
for c in /sys/devices/system/cpu/cpu[0-9]*; do
  m= r=
  read -r m <$c/cpufreq/cpuinfo_max_freq
  read -r r <$c/cpufreq/related_cpus
  echo "${c##*/cpu} ${m:-?} $r"
done"""
"""Commands whose output `cores` reads."""

FREQUENCIES = """\
for c in /sys/devices/system/cpu/cpu[0-9]*/cpufreq; do
  g= f=
  read -r g <$c/scaling_governor
  read -r f <$c/scaling_cur_freq
  echo "${f:-?} $g"
done"""
"""Commands whose output `frequencies` reads."""

MEMORY = "cat /proc/meminfo"
"""Commands whose output `memory_bytes` reads."""

UPTIME = "read -r l </proc/uptime; echo $l"
LOAD = "read -r l </proc/loadavg; echo $l"
"""Commands whose output `first` reads."""


def cores(text: str) -> dict[str, object]:
    """Number of cores, and their highest frequencies. A core that is switched off is known by those of its cluster."""
    found: set[int] = set()
    fastest: dict[int, int] = {}
    for line in text.split("\n"):
        words = line.split()
        core = whole(words[0]) if words else None
        if core is None or not 0 <= core < 1024:
            continue
        found.add(core)
        khz = whole(words[1]) if len(words) > 1 else None
        if khz is not None and khz > 0:
            for other in [core, *(number for word in words[2:] if (number := whole(word)) is not None)]:
                fastest.setdefault(other, round(khz / 1000))
    known_to_all = bool(found) and sorted(found) == list(range(len(found))) and found <= fastest.keys()
    return {
        "cores": len(found) or None,
        "core_max_mhz": [fastest[core] for core in sorted(found)] if known_to_all else None,
    }


def frequencies(text: str) -> dict[str, object]:
    """`governor`: several joined by commas; `cpu_mhz`: of the fastest core."""
    governors: list[str] = []
    found: list[int] = []
    for line in text.split("\n"):
        khz, _, governor = line.strip().partition(" ")
        frequency = whole(khz)
        if frequency is not None and frequency > 0:
            found.append(frequency)
        if governor and re.fullmatch(r"\w{1,40}", governor) and governor not in governors:
            governors.append(governor)
    return {
        "governor": ",".join(governors),
        "cpu_mhz": round(max(found) / 1000) if found else None,
    }


def memory_bytes(text: str) -> int | None:
    """All memory, of /proc/meminfo."""
    found = re.search(r"^MemTotal:\s*(\d{1,15}) kB", text, re.MULTILINE | re.ASCII)
    return int(found[1]) * 1024 if found else None


def first(text: str) -> float | None:
    """The first number, if it is none below zero."""
    words = text.split()
    value = number(words[0]) if words else None
    return value if value is not None and value >= 0 else None
