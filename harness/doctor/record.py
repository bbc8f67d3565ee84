"""A real phone's replies as a file: what an emulated phone is made from, with nothing in it of whose phone it is.

The file is a description as `emulated/README.md` explains it. What is not asked for cannot leak, so that only replies
are asked for that the harness itself reads, and only lines of them are kept that `scrub` knows.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

import yaml
from yaml.emitter import ScalarAnalysis

from harness.devices.android.facts import parse_facts
from harness.devices.android.properties import properties
from harness.devices.shell.replies import script, sections
from harness.doctor.scrub import REMOVED, Scrubber
from harness.errors import UsageError

_COMMANDS = (
    "dumpsys battery",
    "dumpsys thermalservice",
    "dumpsys hardware_properties",
    "dumpsys power",
    "dumpsys SurfaceFlinger",
    "cmd gpu vkjson",
    "pm list features",
    "toybox --version",
    "id",
)
_SETTINGS = (("global", "stay_on_while_plugged_in"), ("system", "screen_off_timeout"))
_MEMORY = "/proc/meminfo"
_TOOLS = (
    "am awk base64 basename cat chmod cmd cp cut date dd df dirname du dumpsys env find grep head id input kill ln "
    "logcat ls md5sum mkdir mktemp mv nohup nproc pgrep pidof pkill pm printf ps pwd readlink realpath rm rmdir sed "
    "settings setsid sha1sum sha256sum sleep sort split stat svc sync tail taskset tee test time timeout top touch "
    "toybox tr uname uniq uptime wc which whoami xargs"
)
"""Programs that a script may start; not every phone has all of them."""

_FILES = """\
for f in /sys/class/thermal/thermal_zone*/type /sys/class/thermal/thermal_zone*/temp \
  /sys/devices/system/cpu/cpu[0-9]*/cpufreq/cpuinfo_max_freq /sys/devices/system/cpu/cpu[0-9]*/cpufreq/related_cpus \
  /sys/devices/system/cpu/cpu[0-9]*/cpufreq/scaling_governor /sys/devices/system/cpu/cpu[0-9]*/cpufreq/scaling_cur_freq
do
  v=; read -r v <"$f"
  [ -n "$v" ] && echo "$f $v"
done"""

RECORD_SCRIPT = script(
    "record",
    {
        "getprop": "getprop",
        # A program that is missing, or does not know what it is asked for, ends with another code than 0.
        **{f"command-{number}": f"{line}; r=$?; echo; echo $r" for number, line in enumerate(_COMMANDS)},
        "settings": "\n".join(f'echo "{space} {key} $(settings get {space} {key})"' for space, key in _SETTINGS),
        "memory": f"cat {_MEMORY}",
        "files": _FILES,
        "missing": f"for t in {_TOOLS}; do command -v $t >/dev/null || echo $t; done",
    },
)
"""POSIX sh that prints everything a record is made of."""

_FILE = re.compile(r"(/sys/[\w./-]+) (.+)")
_SETTING = re.compile(r"(\w+) (\w+) (-?\d{1,10})")


def describe(reply: str, facts: str, features: Iterable[str], identifiers: Iterable[str]) -> dict[str, Any]:
    """The description of a phone.

    Args:
        reply: what `RECORD_SCRIPT` printed.
        facts: what `FACTS_SCRIPT` printed.
        features: that its adbd announces.
        identifiers: what else names the phone, such as the serial number that adb knows it by.

    Raises:
        UsageError: something of the phone's identity would be in the description; nothing may be written then.
    """
    parts = sections(reply, "record")
    known = properties(parts.get("getprop", ""))
    scrubber = Scrubber(known, identifiers)
    announced = sorted(name for name in features if re.fullmatch(r"[a-z0-9_]{1,40}", name))
    description = {
        "version": 1,
        "name": short_name(known.get("ro.product.model", "")),
        "protocol": "modern" if "shell_v2" in announced else "old",
        "features": announced,
        "properties": scrubber.properties(known),
        "settings": _settings(parts.get("settings", "")),
        "commands": dict(_commands(parts, scrubber)),
        "files": _files(parts, scrubber, parse_facts(facts).get("opencl")),
        "missing": parts.get("missing", "").split(),
    }
    refuse_leaks(description, scrubber)
    return description


def refuse_leaks(description: Mapping[str, Any], scrubber: Scrubber) -> None:
    """Raise UsageError if something of the phone's identity is in a description."""
    left = scrubber.found_in(yaml.safe_dump(dict(description)))
    if left:
        raise UsageError(
            "the record would still name the phone or its owner "
            f"({len(left)} places, the first one starts with '{left[0][:3]}'), so nothing was written; "
            "this is a fault of the harness: please report it with the phone's model"
        )


def as_text(description: Mapping[str, Any], recorded: str) -> str:
    """The description as a file, with what a person should know about it on top.

    Args:
        description: of a phone.
        recorded: when, as a date.
    """
    head = (
        f"# A phone's replies, recorded by `harness doctor --record` on {recorded}; see emulated/README.md.\n"
        "# Only what says what the phone is was kept; what looked like a serial number, an address, an account or a\n"
        f"# telephone number reads {REMOVED}. Please look through it before you send it.\n"
    )
    return head + yaml.dump(dict(description), Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=1000)


class _Dumper(yaml.SafeDumper):
    """Replies of several lines as blocks, which a person can read, also where tabs indent them."""

    def analyze_scalar(self, scalar: str) -> ScalarAnalysis:
        analysis = super().analyze_scalar(scalar)
        analysis.allow_block = analysis.allow_block or scalar.replace("\t", "").replace("\n", "").isprintable()
        return analysis


def _text(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
    lines = value.count("\n")
    quoted = lines or value[:1].isdigit()  # the build 20E252 of iOS is a number to some readers
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style="|" if lines > 1 else '"' if quoted else None)


_Dumper.add_representer(str, _text)


def short_name(model: str) -> str:
    """A model's name as one word: "Pixel 8" -> "pixel-8"."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", model).strip("-").lower() or "phone"


def _settings(text: str) -> dict[str, dict[str, str]]:
    found: dict[str, dict[str, str]] = {}
    for line in text.splitlines():
        if match := _SETTING.fullmatch(line):
            found.setdefault(match[1], {})[match[2]] = match[3]
    return found


def _commands(parts: Mapping[str, str], scrubber: Scrubber) -> Iterable[tuple[str, str]]:
    """Replies of commands that the phone has, in the order asked."""
    for number, line in enumerate(_COMMANDS):
        text, _, code = parts.get(f"command-{number}", "").rstrip("\n").rpartition("\n")
        kept = scrubber.reply(line, text) if code == "0" else ""
        if kept:
            yield line, kept


def _files(parts: Mapping[str, str], scrubber: Scrubber, opencl: str | None) -> dict[str, str]:
    found: dict[str, str] = {}
    for line in parts.get("files", "").splitlines():
        match = _FILE.fullmatch(line)
        value = scrubber.value(match[2]) if match else None
        if match and value is not None:
            found[match[1]] = f"{value}\n"
    if memory := scrubber.reply(_MEMORY, parts.get("memory", "")):
        found[_MEMORY] = memory
    if opencl:
        found[opencl] = ""  # that it is there is all that is looked at
    return found
