"""How an iPhone is right now: from the phone while a job runs, and from the app before and after one. No I/O.

A computer cannot ask an iPhone for its thermal state: only an app on it can (NSProcessInfo).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

THERMAL_STATES = ("nominal", "fair", "serious", "critical")
"""As NSProcessInfo names them, coolest first."""

_HOTTEST, _COLDEST = 90.0, -20.0


def battery_state(battery: Mapping[str, Any]) -> dict[str, Any]:
    """State from what the phone's battery says. Never raises; a key is absent when its figure is unknown.

    Args:
        battery: `level` (percent), `charging`, `temperature` (degrees Celsius); see `Transport.battery`.

    Returns:
        `battery_percent`; `charging`; `battery_temperature_c`, and the same as `temperature_c` with
        `temperature_sensor` "battery": an iPhone tells a computer no other temperature.
    """
    state: dict[str, Any] = {}
    level, charging, celsius = (
        _number(battery.get("level")),
        battery.get("charging"),
        _number(battery.get("temperature")),
    )
    if level is not None and 0 <= level <= 100:
        state["battery_percent"] = round(level)
    if isinstance(charging, bool):
        state["charging"] = charging
    # Exactly 0 is what a sensor says that measures nothing.
    if celsius is not None and celsius != 0 and _COLDEST < celsius < _HOTTEST:
        state["battery_temperature_c"] = state["temperature_c"] = round(celsius, 2)
        state["temperature_sensor"] = "battery"
    return state


def app_state(stated: object) -> dict[str, Any]:
    """State from `before` or `after` of app.json. Never raises; a key is absent when its figure is unknown.

    Returns:
        `thermal_state`: one of `THERMAL_STATES`; `low_power_mode`; `footprint_bytes`: memory of the app as the system
        counts it; `battery_percent` and `charging` as the app sees them.
    """
    if not isinstance(stated, dict):
        return {}
    state: dict[str, Any] = {}
    level, footprint = _number(stated.get("battery_level")), _number(stated.get("footprint_bytes"))
    if stated.get("thermal_state") in THERMAL_STATES:
        state["thermal_state"] = stated["thermal_state"]
    for key in ("low_power_mode", "charging"):
        if isinstance(stated.get(key), bool):
            state[key] = stated[key]
    if footprint is not None and footprint > 0:
        state["footprint_bytes"] = int(footprint)
    if level is not None and 0 <= level <= 1:
        state["battery_percent"] = round(100 * level)
    return state


def _number(value: object) -> float | None:
    """A finite number, or None."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        return None
    return value
