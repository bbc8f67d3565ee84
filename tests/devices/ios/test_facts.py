"""What an iPhone is and how it is, from what it says: pure functions, and garbage does no harm."""

from __future__ import annotations

import random
from typing import Any

import pytest

from harness.devices.ios.facts import facts_of
from harness.devices.ios.models import MODELS, chip, marketing_name
from harness.devices.ios.state import app_state, battery_state
from harness.devices.ios.transport import AppInfo, Lockdown

VALUES = Lockdown(
    udid="U",
    connection="usb",
    name="Somebody's phone",
    product_type="iPhone15,2",
    version="17.5.1",
    build="21F90",
    hardware_model="D73AP",
    architecture="arm64e",
    emulated=False,
    developer_mode=True,
    disk={"TotalDiskCapacity": 128_000_000_000, "TotalDataAvailable": 5_000_000_000},
)
APP = AppInfo("com.example.delegatebench", "1.2", "34", "DelegateBench", True, True)
RECORD = {
    "schema": 1,
    "app": {"bundle": "com.example.delegatebench", "version": "1.2", "build": "34"},
    "core": "1.0.0",
    "runtime": {"version": "2.3.0", "sha256": "ab" * 32, "bytes": 5},
    "metal_device": "Apple A16 GPU",
    "emulated": False,
}


def test_facts_of_a_phone_whose_app_ran() -> None:
    assert facts_of(VALUES, APP, RECORD, "go-ios") == {
        "model": "iPhone 14 Pro",
        "product_type": "iPhone15,2",
        "hardware_model": "D73AP",
        "soc": "A16 Bionic",
        "architecture": "arm64e",
        "os": "iOS",
        "os_version": "17.5.1",
        "build": "21F90",
        "storage_bytes": 128_000_000_000,
        "free_bytes": 5_000_000_000,
        "connection": "usb",
        "route": "go-ios",
        "app": {"bundle": "com.example.delegatebench", "version": "1.2", "build": "34", "core": "1.0.0"},
        "runtime": {"version": "2.3.0", "sha256": "ab" * 32},
        "metal_device": "Apple A16 GPU",
        "target": "aarch64-ios",
        "emulated": False,
    }


def test_a_persons_name_of_their_phone_is_no_fact() -> None:
    assert "Somebody" not in str(facts_of(VALUES, APP, RECORD, "manual"))


def test_what_is_unknown_is_left_out() -> None:
    values = Lockdown("U", "usb", None, "iPad99,9", "30.0", None, None, None, True, None)
    assert facts_of(values, None, None, "manual") == {
        "model": "iPad99,9",
        "product_type": "iPad99,9",
        "os": "iPadOS",
        "os_version": "30.0",
        "connection": "usb",
        "route": "manual",
        "target": "aarch64-ios",
        "emulated": True,
    }


def test_an_emulated_app_makes_an_emulated_phone() -> None:
    assert facts_of(VALUES, APP, {**RECORD, "emulated": True}, "manual")["emulated"] is True


@pytest.mark.parametrize(
    ("product_type", "name", "silicon"),
    [
        ("iPhone10,4", "iPhone 8", "A11 Bionic"),
        ("iPhone14,5", "iPhone 13", "A15 Bionic"),
        ("iPhone14,7", "iPhone 14", "A15 Bionic"),
        ("iPhone18,1", "iPhone 17 Pro", "A19 Pro"),
        ("iPad13,16", "iPad Air (5th generation)", "M1"),
        ("iPhone99,1", "iPhone99,1", None),
    ],
)
def test_names_and_chips(product_type: str, name: str, silicon: str | None) -> None:
    assert (marketing_name(product_type), chip(product_type)) == (name, silicon)


def test_a_product_type_has_one_name_and_a_name_one_chip() -> None:
    assert len({name for name, _ in MODELS.values()}) == len(set(MODELS.values()))
    assert len(MODELS) > 90


def test_the_state_of_the_battery() -> None:
    assert battery_state({"level": 80, "charging": True, "temperature": 31.26, "connected": True}) == {
        "battery_percent": 80,
        "charging": True,
        "battery_temperature_c": 31.26,
        "temperature_c": 31.26,
        "temperature_sensor": "battery",
    }
    assert battery_state({}) == {}
    assert battery_state({"level": 101, "charging": 1, "temperature": 0}) == {}


def test_the_state_that_the_app_sees() -> None:
    stated = {
        "thermal_state": "serious",
        "low_power_mode": True,
        "footprint_bytes": 123456,
        "battery_level": 0.5,
        "charging": False,
    }
    assert app_state(stated) == {
        "thermal_state": "serious",
        "low_power_mode": True,
        "footprint_bytes": 123456,
        "battery_percent": 50,
        "charging": False,
    }
    assert app_state({"thermal_state": None, "battery_level": None, "charging": None}) == {}
    assert app_state(None) == {}


def test_garbage_is_left_out_and_never_raises() -> None:
    chance = random.Random(4)
    values: list[Any] = [None, True, -1, 1e400, float("nan"), "x" * 9999, "a\x00b\n", [], {}, {"version": 3}, 2**70]
    keys = ["level", "charging", "temperature", "thermal_state", "low_power_mode", "footprint_bytes", "battery_level"]
    for _ in range(500):
        made = {key: chance.choice(values) for key in keys}
        assert set(battery_state(made)) <= {
            "battery_percent", "charging", "battery_temperature_c", "temperature_c", "temperature_sensor",
        }  # fmt: skip
        assert set(app_state(made)) <= {
            "thermal_state", "low_power_mode", "footprint_bytes", "battery_percent", "charging",
        }  # fmt: skip
        record = {key: chance.choice(values) for key in RECORD}
        facts = facts_of(VALUES, APP, record, "manual")
        assert all(value.isprintable() and len(value) <= 300 for value in facts.values() if isinstance(value, str))
