"""A record of a phone makes an emulated phone with the same facts and state, and says nothing of whose phone it was."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest

from emulated.android import description
from emulated.android.lab import AdbLab
from emulated.android.phone import Phone
from harness.clock import SystemClock
from harness.devices.adb.device import AdbDevice
from harness.devices.adb.server import AdbServer
from harness.devices.android.facts import FACTS_SCRIPT, parse_facts
from harness.devices.android.state import STATE_SCRIPT, parse_state
from harness.devices.shell.replies import sections
from harness.doctor.record import RECORD_SCRIPT, describe
from harness.errors import UsageError
from tests.doctor.conftest import Doctor

pytestmark = pytest.mark.timeout(120)

CLOCK = SystemClock()
KINDS = "only devices of the kinds 'android' and 'ios' can be recorded"
PASSING = {"uptime_s", "load_1min", "free_bytes"}
"""Figures of this computer, which changes between two looks at it."""

PRIVATE = {
    "ro.boot.wifimacaddr": "a4:c3:f0:12:34:56",
    "persist.radio.imei": "356938035643809",
    "gsm.sim.operator.alpha": "Example Telecom",
    "persist.sys.device_name": "Annas Pixel",
    "persist.sys.account": "anna@example.com",
    "ro.vendor.wifi.ssid": "Chez Anna 5G",
    "persist.radio.line1": "+41790001122",
}
LEAKS = """\
Current Battery Service state:
  USB powered: true
  status: 2
  present: true
  level: 87
  scale: 100
  temperature: 274
  serial: {serial}
  owner: anna@example.com
"""


def look(lab: AdbLab, phone: Phone) -> tuple[dict[str, Any], dict[str, Any], frozenset[str]]:
    """Facts, state and features of a phone."""
    device = AdbDevice(AdbServer("localhost", lab.server_port, CLOCK), phone.serial, "phone", CLOCK)
    device.connect(10, lambda text: None, threading.Event())
    facts = parse_facts(device.shell(FACTS_SCRIPT, 20).text)
    state = parse_state(device.shell(STATE_SCRIPT, 20).text)
    known = {key: value for key, value in facts.items() if key not in PASSING}
    return known, {key: value for key, value in state.items() if key not in PASSING}, device.features


@pytest.mark.parametrize("name", description.names())
def test_a_record_is_replayed(phones: AdbLab, doctor: Doctor, entry: Any, tmp_path: Path, name: str) -> None:
    original = phones.add(name)
    file = tmp_path / "record.yaml"
    said = doctor([entry("phone", original.serial)], "--record", str(file))
    assert (said.code, said.err) == (0, "")
    assert "look through it before you send it" in said.out
    copy = phones.add(str(file))
    facts, state, features = look(phones, original)
    assert {"model", "abis", "tools", "emulated"} <= facts.keys()
    assert {"battery_percent", "temperature_c"} <= state.keys()
    assert look(phones, copy) == (facts, state, features)


def test_nothing_of_the_owner_is_kept(phones: AdbLab, doctor: Doctor, entry: Any, tmp_path: Path) -> None:
    phone = phones.add("pixel-8", serial="EXAMPLE8P065R")
    for key, value in PRIVATE.items():
        phone.set_property(key, value)
    phone.set_property("ro.product.name", "shiba_EXAMPLE8P065R")
    phone.set_property("ro.build.display.id", "eng.anna.20260101")
    phone.set_reply("dumpsys battery", LEAKS.format(serial="EXAMPLE8P065R"))
    phone.set_file("/sys/class/thermal/thermal_zone0/type", "Annas Pixel")
    file = tmp_path / "record.yaml"
    said = doctor([entry("phone", phone.serial)], "--record", str(file))
    assert said.code == 0
    text = file.read_text()
    for private in ("EXAMPLE8P065R", phone.serial, "anna", *PRIVATE.values()):
        assert private.lower() not in text.lower()
    assert "ro.product.name: shiba_REMOVED" in text
    assert "  level: 87" in text
    assert set(description.load(file).properties) < set(phone.description.properties) | {"ro.product.name"}


def test_a_leak_that_gets_past_the_lists_is_not_written() -> None:
    reply = (
        "=-=harness record getprop\n[ro.product.model]: [Pixel 8]\n[ro.serialno]: [EXAMPLE8P065R]\n"
        "=-=harness record missing\nexample8p065r\n=-=harness record end\n"
    )
    with pytest.raises(UsageError, match="nothing was written") as caught:
        describe(reply, "", ["shell_v2"], [])
    assert "example8p" not in str(caught.value).lower()


def test_junk_makes_a_description_or_a_sentence() -> None:
    for reply in ("", "\x00\xff junk", "=-=harness record getprop\n[a]: [b\n", "=-=harness record files\n/sys/x\n"):
        found = describe(reply, "", ["shell_v2", "Bad feature!"], [])
        assert found["features"] == ["shell_v2"]
        assert found["name"] == "phone"


def test_which_phone_has_to_be_said(phones: AdbLab, doctor: Doctor, entry: Any, tmp_path: Path) -> None:
    first, second = phones.add("pixel-8"), phones.add("no-gpu")
    entries = [entry("a", first.serial), entry("b", second.serial), "name: box, kind: local"]
    file = tmp_path / "record.yaml"
    said = doctor(entries, "--record", str(file))
    assert (said.code, said.err) == (4, "harness: there are several phones: a, b; add --device NAME\n")
    said = doctor(entries, "--device", "box", "--record", str(file))
    assert (said.code, said.err) == (4, f"harness: 'box' is no phone: {KINDS}\n")
    assert not file.exists()
    assert doctor(entries, "--device", "b", "--record", str(file)).code == 0
    assert file.exists()


def test_no_phone_to_record(phones: AdbLab, doctor: Doctor, entry: Any, tmp_path: Path) -> None:
    said = doctor(["name: box, kind: local"], "--record", str(tmp_path / "record.yaml"))
    assert (said.code, said.err) == (4, "harness: there is no phone that is ready\n")
    said = doctor([entry("gone", "NOTTHERE01")], "--record", str(tmp_path / "record.yaml"))
    assert said.code == 1
    assert said.err.startswith("harness: gone: ")


def test_a_file_that_cannot_be_written(phones: AdbLab, doctor: Doctor, entry: Any, tmp_path: Path) -> None:
    phone = phones.add("pixel-8")
    said = doctor([entry("a", phone.serial)], "--record", str(tmp_path / "none" / "record.yaml"))
    assert said.code == 4
    assert "cannot be written: No such file or directory" in said.err


def test_the_script_survives_a_phone_without_anything(phones: AdbLab) -> None:
    """A shell that has none of the commands: every section is there, and empty."""
    phone = phones.add("old-32bit")
    device = AdbDevice(AdbServer("localhost", phones.server_port, CLOCK), phone.serial, "phone", CLOCK)
    device.connect(10, lambda text: None, threading.Event())
    reply = device.shell(f"PATH=/nowhere; {RECORD_SCRIPT}", 20).text
    parts = sections(reply, "record")
    assert parts["getprop"] == ""
    assert "dumpsys" in parts["missing"].split()
    assert describe(reply, "", device.features, [])["commands"] == {}
