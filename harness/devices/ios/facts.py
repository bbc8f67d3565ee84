"""What an iPhone is: from its lockdown values, and from what the app writes about itself. No I/O.

The disk usage domain is com.apple.disk_usage as libimobiledevice's ideviceinfo lists it; bytes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from harness.devices.ios.models import chip, marketing_name
from harness.devices.ios.transport import AppInfo, Lockdown
from harness.lab.spec import IOS_TARGET

_LONGEST = 300
_STORAGE = ("TotalDiskCapacity", "TotalDataCapacity")
_FREE = ("AmountDataAvailable", "TotalDataAvailable")


def facts_of(values: Lockdown, app: AppInfo | None, record: Mapping[str, Any] | None, route: str) -> dict[str, Any]:
    """Facts of a phone. Never raises; a key is absent when its fact is unknown.

    Args:
        values: what lockdown says.
        app: the measuring app as it is installed, if it is.
        record: the app's app.json, if it ran.
        route: what starts apps on it.

    Returns:
        `model` (the name it is sold under), `product_type`, `hardware_model`, `soc`, `architecture`; `os` ("iOS",
        "iPadOS"), `os_version`, `build`; `storage_bytes`, `free_bytes`; `connection` ("usb", "network"); `route`;
        `app`: {"bundle", "version", "build", "core"}; `runtime`: {"version", "sha256"} of what is inside the app;
        `metal_device`: as Metal names the GPU; `target`; `emulated`: whether it only stands for a phone.
    """
    record = record or {}
    runtime = _section(record, "runtime")
    stated = _section(record, "app")
    pairs: list[tuple[str, object]] = [
        ("model", marketing_name(values.product_type)),
        ("product_type", values.product_type),
        ("hardware_model", values.hardware_model),
        ("soc", chip(values.product_type)),
        ("architecture", values.architecture),
        ("os", "iPadOS" if values.product_type.startswith("iPad") else "iOS"),
        ("os_version", values.version),
        ("build", values.build),
        ("storage_bytes", _bytes(values.disk, _STORAGE)),
        ("free_bytes", _bytes(values.disk, _FREE)),
        ("connection", values.connection),
        ("route", route),
        ("app", _app(app, stated, record.get("core"))),
        ("runtime", {key: runtime[key] for key in ("version", "sha256") if runtime.get(key)}),
        ("metal_device", record.get("metal_device")),
        ("target", IOS_TARGET),
        ("emulated", values.emulated or record.get("emulated") is True),
    ]
    return {key: _line(value) if isinstance(value, str) else value for key, value in _known(pairs)}


def _app(app: AppInfo | None, stated: Mapping[str, Any], core: object) -> dict[str, str]:
    """The app that ran says best what it is; else what is installed."""
    installed = {} if app is None else {"bundle": app.bundle, "version": app.version, "build": app.build}
    pairs = [(key, stated.get(key) or installed.get(key)) for key in ("bundle", "version", "build")]
    return {key: _line(str(value)) for key, value in _known([*pairs, ("core", core)])}


def _section(record: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = record.get(name)
    return value if isinstance(value, dict) else {}


def _bytes(disk: Mapping[str, Any], names: Iterable[str]) -> int | None:
    return next((disk[name] for name in names if isinstance(disk.get(name), int)), None)


def _known(pairs: Iterable[tuple[str, object]]) -> list[tuple[str, object]]:
    return [(key, value) for key, value in pairs if value is not None and value not in ("", {})]


def _line(text: str) -> str:
    """A text that comes from outside, as one printable line of bounded length."""
    return "".join(char for char in " ".join(text[: 4 * _LONGEST].split()) if char.isprintable())[:_LONGEST]
