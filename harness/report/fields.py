"""Free-form fields, such as a device's facts and state: what they are called, and their values with units."""

from __future__ import annotations

import json
from collections.abc import Mapping
from itertools import groupby

from harness.report import figures

_UNITS = {"_percent": "%", "_c": "°C", "_mhz": "MHz"}
"""How a key ends -> the unit of its value, which is written as it is."""
_SCALED = ("_bytes", "_us", "_s")
_DEGREES = "sensors"
"""The one key of temperatures whose name has no unit: they are named after the phone's sensors."""


def label(key: str) -> str:
    """The name of a field without its unit, which `fact` writes beside the value."""
    ending = next((ending for ending in (*_SCALED, *_UNITS) if key.endswith(ending)), "")
    return key.removesuffix(ending).replace("_", " ")


def fact(value: object, key: str = "") -> str:
    """A value on one line: numbers with their units, text as it is, lists and mappings without brackets."""
    unit = "°C" if key == _DEGREES else next((unit for ending, unit in _UNITS.items() if key.endswith(ending)), "")
    if isinstance(value, str):
        return value
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {_entry(name, entry, key, unit)}" for name, entry in value.items()) or figures.NOTHING
    if isinstance(value, list):
        entries = ", ".join(_counted(value) if unit else (fact(entry) for entry in value))
        return (f"{entries}\u00a0{unit}" if unit else entries) if value else figures.NOTHING
    return _amount(value, key, unit)


def _entry(name: str, value: object, key: str, unit: str) -> str:
    return figures.short(value) if name == "sha256" and isinstance(value, str) else _amount(value, key, unit)


def _amount(value: object, key: str, unit: str) -> str:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    if key.endswith("_bytes"):
        return figures.format_bytes(round(value))
    if key.endswith("_us"):
        return figures.format_us(value)
    if key.endswith("_s"):
        return figures.format_seconds(value)
    return f"{json.dumps(value)}\u00a0{unit}" if unit else json.dumps(value)


def _counted(values: list[object]) -> list[str]:
    """Equal neighbours once, with their number: the clocks of a processor's clusters."""
    runs = [(text, len(list(same))) for text, same in groupby(map(json.dumps, values))]
    return [f"{count} × {text}" if count > 1 else text for text, count in runs]  # noqa: RUF001
