"""What of a phone's replies may be kept: only what is known to say what the phone is, not whose it is.

Properties and lines of replies are kept if a list allows them, so that what a maker adds stays out unseen. What is
kept is then searched for the phone's own identifiers, as a second wall behind the first.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

REMOVED = "REMOVED"

_PROPERTIES = re.compile(
    r"ro\.product\.(brand|manufacturer|model|device|name|board|first_api_level|cpu\.abi2?|cpu\.abilist(32|64)?)"
    r"|ro\.product\.(system|vendor|odm|product)\.(brand|manufacturer|model|device|name|cpu\.abilist(32|64)?)"
    r"|ro\.board\.platform|ro\.hardware|ro\.hardware\.(egl|vulkan|chipname|platform)|ro\.boot\.hardware"
    r"|ro\.(chipname|arch|mediatek\.platform|soc\.manufacturer|soc\.model|vendor\.qti\.soc_(id|model|name))"
    r"|ro\.build\.(id|type|tags|fingerprint|characteristics|display\.id|version\.(release|sdk|codename|security_patch))"
    r"|ro\.(vendor|system|odm|product)\.build\.(fingerprint|version\.(release|sdk))"
    r"|ro\.build\.version\.(incremental|release_or_codename)"
    r"|ro\.(opengles\.version|gfx\.driver\.\d|gfx\.angle\.supported|config\.low_ram|treble\.enabled|vndk\.version)"
    r"|ro\.(debuggable|secure|zygote|kernel\.qemu|build\.product|vendor\.api_level)|sys\.boot_completed"
)

# Whatever a property of such a name holds must not be anywhere in what is kept.
_IDENTIFYING = re.compile(
    r"serial|imei|meid|\bmac|mac\b|macaddr|bdaddr|bt_?addr|ssid|phone|msisdn|iccid|account|email|hostname"
    r"|device_name|uuid|\bcid\b|operator|sim\.|line1",
    re.IGNORECASE,
)
# Shorter or commoner values would blank innocent text.
_SHORTEST_SECRET = 6
_COMMON = frozenset(
    {"unknown", "default", "disabled", "enabled", "generic", "android", "loaded", "absent", "running", "stopped"}
)

_NUMBER = r"-?\d+(\.\d+)?(E-?\d+)?"
_REPLIES: Mapping[str, str] = {
    "dumpsys battery": r"\s*(Current Battery Service state:|(AC|USB|Wireless|Dock) powered: \w+"
    rf"|(Max charging current|Max charging voltage|Charge counter|status|health|level|scale|voltage|temperature"
    rf"|present|current now): *({_NUMBER}|true|false)|technology: [\w-]{{1,12}})",
    "dumpsys thermalservice": rf"(IsStatusOverride|HAL Ready|HAL connected): \w+|Thermal Status: {_NUMBER}"
    r"|(Cached temperatures|Current temperatures from HAL|Current cooling devices from HAL"
    r"|Temperature static thresholds from HAL|ThermalEventListeners|ThermalStatusListeners):"
    r"|\s*(Temperature|CoolingDevice|TemperatureThreshold)\{[\w .,=\[\]:-]*\}",
    "dumpsys hardware_properties": r"[\w ]{1,40} temperatures: \[[\d., E-]*\]",
    "dumpsys SurfaceFlinger": r"\s*GLES: .*",
    "dumpsys power": r"\s*(m?[wW]akefulness(Locked\(\))?=\w+|Display Power: state=\w+)",
    "cmd gpu vkjson": r'\s*"(apiVersion|deviceName|deviceID|deviceType|driverID|driverInfo|driverName|driverVersion'
    r'|vendorID)"\s*:\s*("[^"]*"|\d+),?',
    "pm list features": r"feature:(reqGlEsVersion=0x[0-9a-fA-F]+|android\.hardware\.(vulkan|opengles)[\w.]*(=\d+)?)",
    "toybox --version": r"toybox [\w.-]{1,40}",
    "id": r"uid=\d+\([a-z_]{1,16}\)[\w ().,=:/-]*",
    "/proc/meminfo": r"Mem(Total|Free|Available): +\d+ kB",
}
"""Command line, or file of several lines -> what each line of its reply has to match to be kept."""
_SYSFS = re.compile(r"[\w .,:+-]{1,300}", re.ASCII)

_BUILDER = re.compile(r"\beng\.[A-Za-z0-9_-]+\.")  # eng.<user name>.<date>: a build of somebody's own
_GENERIC = re.compile(
    r"(?<![0-9A-Fa-f:])(?:[0-9A-Fa-f]{2}[:-]){5}[0-9A-Fa-f]{2}(?![0-9A-Fa-f:])"  # MAC address
    r"|[\w.+-]+@[\w-]+(?:\.[\w-]+)*\.[A-Za-z]{2,}"  # account; "V@0676.42" is a driver's version
    r"|(?<![\w.])\d{14,20}(?![\w.])"  # IMEI, MEID, ICCID
    r"|\+\d{7,15}(?!\d)"  # telephone number
)


class Scrubber:
    """Removes what tells whose a phone is."""

    def __init__(self, properties: Mapping[str, str], identifiers: Iterable[str]) -> None:
        """Learn what has to go.

        Args:
            properties: all of the phone's, of which only the values of identifying ones are remembered.
            identifiers: what else names it, such as the serial number that adb knows it by.
        """
        values = {value.strip() for key, value in properties.items() if _IDENTIFYING.search(key) and not allowed(key)}
        secrets = {word for value in values for word in (value, *value.split(","))} | set(identifiers)
        kept = {value for key, value in properties.items() if allowed(key)}  # some makers say "Pixel 8" everywhere
        # Longest first: one may be part of another.
        self._secrets = sorted(
            (
                word
                for word in secrets
                if len(word) >= _SHORTEST_SECRET and word.lower() not in _COMMON and word not in kept
            ),
            key=len,
            reverse=True,
        )

    def properties(self, properties: Mapping[str, str]) -> dict[str, str]:
        """Those that say what the phone is, by name."""
        return {key: self._text(value) for key, value in sorted(properties.items()) if allowed(key)}

    def reply(self, command: str, text: str) -> str:
        """The allowed lines of a command's reply; nothing of a command that no list knows."""
        if command not in _REPLIES:
            return ""
        known = re.compile(_REPLIES[command])
        kept = [self._text(line) for line in text.splitlines() if known.fullmatch(line)]
        return "".join(f"{line}\n" for line in kept)

    def value(self, text: str) -> str | None:
        """The content of a file of sysfs, if it is a line of plain words or numbers; None for anything else."""
        return self._text(text) if _SYSFS.fullmatch(text) else None

    def found_in(self, text: str) -> list[str]:
        """What of the phone's identity is still in a text; empty, or something is wrong with the lists above."""
        found = [word for word in self._secrets if word.lower() in text.lower()]
        return found + [match.group() for match in _GENERIC.finditer(text)]

    def _text(self, text: str) -> str:
        for word in self._secrets:
            text = re.sub(re.escape(word), REMOVED, text, flags=re.IGNORECASE)
        return _GENERIC.sub(REMOVED, _BUILDER.sub(f"eng.{REMOVED}.", text))


def allowed(name: str) -> bool:
    """Whether a property says what a phone is, and nothing of whose it is."""
    return _PROPERTIES.fullmatch(name) is not None
