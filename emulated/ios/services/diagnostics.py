"""diagnostics_relay: the battery as the system's registry has it, and the phone's power button."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from emulated.ios.connection import Connection
from emulated.ios.phone import Phone

BATTERY = "IOPMPowerSource"
SUCCESS = {"Status": "Success"}
_ACTIONS = ("Sleep", "Restart", "Shutdown")


def battery(phone: Phone) -> dict[str, Any]:
    """The battery's entry in the registry: temperature in hundredths of a degree Celsius, charge in mAh."""
    known = phone.battery
    return {
        "BatteryInstalled": True,
        "CurrentCapacity": known.level,
        "MaxCapacity": 100,
        "DesignCapacity": known.capacity_mah,
        "AppleRawMaxCapacity": known.capacity_mah,
        "AppleRawCurrentCapacity": known.capacity_mah * known.level // 100,
        "CycleCount": known.cycles,
        "Temperature": round(known.temperature * 100),
        "IsCharging": known.charging,
        "ExternalConnected": known.external,
        "FullyCharged": known.level == 100,
    }


def _gas_gauge(phone: Phone) -> dict[str, Any]:
    known = phone.battery
    return {
        "CycleCount": known.cycles,
        "DesignCapacity": known.capacity_mah,
        "FullChargeCapacity": 100,
        **SUCCESS,
    }


def answer(phone: Phone, request: Mapping[str, Any]) -> Mapping[str, Any]:
    """What a phone says to one request."""
    name = request.get("Request")
    if name in _ACTIONS:
        phone.services.actions.append(str(name))
        return SUCCESS
    if name == "IORegistry":
        if BATTERY in (request.get("EntryClass"), request.get("EntryName")):
            return {**SUCCESS, "Diagnostics": {"IORegistry": battery(phone)}}
        # An entry that is not there is a success without one.
        return {**SUCCESS, "Diagnostics": {}}
    if name in ("GasGauge", "All"):
        return {**SUCCESS, "Diagnostics": {"GasGauge": _gas_gauge(phone)}}
    return {"Status": "UnknownRequest"}


async def serve(phone: Phone, connection: Connection) -> None:
    """com.apple.mobile.diagnostics_relay: answer until the client says goodbye, or has gone."""
    while (request := await connection.read_plist()) is not None:
        if request.get("Request") == "Goodbye":
            await connection.write_plist(SUCCESS)
            return
        await connection.write_plist(answer(phone, request))
