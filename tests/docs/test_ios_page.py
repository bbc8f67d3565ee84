"""docs/ios.md says what the code does with iPhones: launchers, errors, what is asked of whom."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import pytest

from harness.devices.ios import errors
from harness.devices.ios.facts import facts_of
from harness.devices.ios.routes import INSTALL, choose
from harness.devices.ios.routes.choice import GO_IOS, PYMOBILEDEVICE3
from harness.devices.ios.state import app_state, battery_state
from harness.devices.ios.transport import Lockdown
from harness.lab.spec import IosSpec, Launcher
from tests.docs.test_docs import CODE, page, rows

TEXT = page("ios.md")
SEEN_BY_USERS = (
    errors.UsbmuxdDownError,
    errors.GoneError,
    errors.NotPairedError,
    errors.LockedError,
    errors.DeveloperModeOffError,
    errors.NoDeveloperImageError,
    errors.AppMissingError,
    errors.NoFileSharingError,
    errors.NoSpaceError,
    errors.IosTimeoutError,
    errors.IosProtocolError,
)

LOCKDOWN = Lockdown(
    udid="X",
    connection="usb",
    name=None,
    product_type="iPhone14,5",
    version="16.4",
    build="20E247",
    hardware_model="D17AP",
    architecture="arm64e",
    emulated=False,
    developer_mode=True,
    disk={"TotalDiskCapacity": 1, "TotalDataAvailable": 1},
)
STATED = {
    "thermal_state": "fair",
    "low_power_mode": False,
    "footprint_bytes": 1,
    "battery_level": 0.5,
    "charging": True,
}


def test_every_launcher_is_explained() -> None:
    table = {row[0]: row[2] for row in rows(TEXT, "Launchers")}
    assert set(table) | {"auto", "tidevice"} == set(get_args(Launcher))
    for name, how in INSTALL.items():
        for command in CODE.findall(how):
            assert command in table[name], name


@pytest.mark.parametrize("kind", SEEN_BY_USERS)
def test_every_error_is_in_the_table(kind: type[errors.IosError]) -> None:
    messages = [row[0] for row in rows(TEXT, "When something is wrong")]
    assert any(kind.what.startswith(message) for message in messages), kind.what


def test_variables_that_name_tools() -> None:
    assert {GO_IOS, PYMOBILEDEVICE3, "USBMUXD_SOCKET_ADDRESS"} <= set(CODE.findall(TEXT))


@pytest.mark.parametrize(
    ("version", "tools", "expected"),
    [
        ("13.7", ["ios"], "tidevice"),
        ("16.4", ["ios", "pymobiledevice3"], "tidevice"),
        ("17.5", ["pymobiledevice3"], "pymobiledevice3"),
        ("26.1", ["ios", "pymobiledevice3"], "go-ios"),
        ("26.1", ["ios", "pymobiledevice3", "xcrun"], "devicectl"),
    ],
)
def test_auto_takes_what_the_page_says(tmp_path: Path, version: str, tools: list[str], expected: str) -> None:
    """Their order is that of the page's table, too."""
    for tool in tools:
        (tmp_path / tool).write_text("#!/bin/sh\nexit 0\n")
        (tmp_path / tool).chmod(0o755)
    spec = IosSpec(kind="ios", name="phone", udid="X")
    assert choose(spec, version, {"PATH": str(tmp_path)}).name == expected


def test_the_table_of_launchers_is_in_the_order_that_auto_takes_them() -> None:
    assert [row[0] for row in rows(TEXT, "Launchers")] == [*INSTALL, "manual"]


def test_figures_of_the_report_are_the_code_s() -> None:
    """Every fact and every figure of an iPhone's state is in docs/report.md."""
    facts = facts_of(LOCKDOWN, None, {"metal_device": "Apple A15 GPU", "runtime": {"version": "1"}}, "manual")
    states = {**battery_state({"level": 1, "charging": True, "temperature": 20.0}), **app_state(STATED)}
    text = page("report.md").split("### iPhones\n")[1].split("\n#")[0]
    assert {*facts, *states} - {"target", "emulated", "temperature_sensor", "app"} - set(CODE.findall(text)) == set()
