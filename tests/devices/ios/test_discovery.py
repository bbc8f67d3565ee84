"""Entries with '*' become the iPhones that are plugged in."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from emulated.ios.lab import IosLab
from harness.devices.ios import tide_version, usbmux
from harness.devices.ios.discovery import Found, find
from harness.devices.ios.errors import GoneError, IosTimeoutError, Subject, UsbmuxdDownError
from harness.devices.ios.usbmux import ListedIphone, address_of, environ, list_devices, paired, product_of
from harness.devices.registry import Resolved, resolve
from harness.errors import UsageError
from harness.lab.inventory import Inventory, auto_inventory
from harness.lab.spec import AndroidSpec, DeviceSpec, IosSpec, LocalSpec
from harness.yamlmodel import NAME
from tests.devices.ios.conftest import CLOCK, SECONDS
from tests.ios_tools import needs_tidevice

NOWHERE = "127.0.0.1:9"


@pytest.fixture(autouse=True)
def _tidevice() -> None:
    needs_tidevice()


def star(**keys: Any) -> IosSpec:
    return IosSpec.model_validate({"kind": "ios", "udid": "*", **keys}).at("devices.yaml:7")


def iphone(name: str, udid: str, **keys: Any) -> IosSpec:
    return IosSpec.model_validate({"kind": "ios", "name": name, "udid": udid, **keys}).at("devices.yaml:3")


def udids(found: Found) -> dict[str, str | None]:
    return {spec.name: spec.identity for spec in found.specs}


def last(lab: IosLab, number: int) -> str:
    return lab.phones[number].udid[-4:]


def test_a_star_becomes_the_phones_that_no_other_entry_claims(lab: IosLab) -> None:
    for name in ("iphone-13", "iphone-8", "iphone-17"):
        lab.add(name, network=True)
    local = LocalSpec(kind="local", name="box")
    mine = iphone("mine", lab.phones[0].udid, usbmuxd=lab.address)
    wild = star(usbmuxd=lab.address, labels=["any"], limits={"battery": 30}, bundle="com.example.other")
    found = find([local, wild, mine, star(usbmuxd=lab.address)], CLOCK)
    assert udids(found) == {
        "box": None,
        f"iPhone-17-{last(lab, 2)}": lab.phones[2].udid,
        f"iPhone-8-{last(lab, 1)}": lab.phones[1].udid,
        "mine": lab.phones[0].udid,
    }
    assert (found.specs[0], found.specs[3]) == (local, mine)
    one = found.specs[1]
    assert isinstance(one, IosSpec)
    assert (one.found, one.required, one.wildcard, one.origin) == (True, False, False, "devices.yaml:7")
    assert (one.labels, one.limits.battery, one.bundle, one.usbmuxd) == (("any",), 30, "com.example.other", lab.address)
    assert all(re.fullmatch(NAME, spec.name) for spec in found.specs)
    assert found.notes == ("devices.yaml:7: no iPhone was found for udid '*': of 3 at usbmuxd none is left",)


def test_names_do_not_depend_on_the_order_of_plugging_in(lab: IosLab) -> None:
    phones = [
        lab.add("iphone-13", udid=udid) for udid in ("00008110-0001801E", "00008110-0002801E", "00008110-0003AAAA")
    ]
    before = udids(find([star(usbmuxd=lab.address)], CLOCK))
    assert "iPhone-13-AAAA" in before
    assert len([name for name in before if name.startswith("iPhone-13-801E-")]) == 2
    phones[0].unplug()
    phones[0].plug()
    assert udids(find([star(usbmuxd=lab.address)], CLOCK)) == before


def test_a_name_that_the_file_gives_to_another_device_is_not_taken(lab: IosLab) -> None:
    phone = lab.add("iphone-13")
    taken = f"iPhone-13-{phone.udid[-4:]}"
    found = find([star(usbmuxd=lab.address), LocalSpec(kind="local", name=taken)], CLOCK)
    assert len(found.specs) == 2
    assert found.specs[1].name == taken
    assert found.specs[0].name.startswith(f"{taken}-")


def test_excluded_phones_are_left_alone(lab: IosLab) -> None:
    lab.add("iphone-8")
    lab.add("iphone-13")
    assert list(udids(find([star(usbmuxd=lab.address, exclude=["0000811*"])], CLOCK)).values()) == [lab.phones[0].udid]
    assert lab.phones[1].opened == []


def test_phones_that_cannot_be_used_are_named(lab: IosLab) -> None:
    untrusted, moved = lab.add("iphone-11"), lab.add("iphone-13")
    untrusted.paired = False
    before = list_devices(lab.address, SECONDS, CLOCK)
    moved.unplug()
    moved.plug()
    found = find([star(usbmuxd=lab.address)], CLOCK, lambda _: before)
    assert found.specs == ()
    trust, gone, none = found.notes
    assert trust.startswith(f"devices.yaml:7: {untrusted.udid} is left out: does not trust this computer; plug it in")
    assert gone.startswith(f"devices.yaml:7: {moved.udid} is left out: cannot be reached: it is no longer plugged in")
    assert none == "devices.yaml:7: no iPhone was found for udid '*': of 2 at usbmuxd none is left"


def test_optional_phones_that_are_absent_are_left_out(lab: IosLab) -> None:
    phone = lab.add("iphone-13")
    here = iphone("here", phone.udid, usbmuxd=lab.address, required=False)
    away = iphone("away", "00008110-0000", usbmuxd=lab.address, required=False)
    needed = iphone("needed", "00008110-0001", usbmuxd=lab.address)
    lost = iphone("lost", "00008110-0002", usbmuxd=NOWHERE, required=False)
    found = find([here, away, needed, lost], CLOCK)
    assert list(udids(found)) == ["here", "needed"]
    absent, down = found.notes
    assert absent == "devices.yaml:3: away is left out, as it is not required: 00008110-0000 is not plugged in"
    assert f"no usbmuxd answers at {NOWHERE}" in down


def test_nothing_is_asked_that_nobody_wants_to_know() -> None:
    asked: list[str | None] = []

    def lister(address: str | None) -> Sequence[ListedIphone]:
        asked.append(address)
        return []

    find([iphone("one", "1"), LocalSpec(kind="local", name="box")], CLOCK, lister)
    assert asked == []
    find([star(), iphone("two", "2", required=False), star(usbmuxd=NOWHERE)], CLOCK, lister)
    assert asked == [None, NOWHERE], "each usbmuxd once"


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        (
            IosSpec.model_validate({"kind": "ios", "name": "a", "any": ["1", "2"]}).at("devices.yaml:9"),
            "each with its 'udid'",
        ),
        (iphone("a", "1", required=False, usbmuxd="[::1]:27015"), r"`usbmuxd` is '[::1]:27015': expected"),
    ],
)
def test_what_cannot_be_driven_is_refused(spec: IosSpec, words: str) -> None:
    with pytest.raises(UsageError, match=re.escape(words)) as caught:
        find([spec], CLOCK)
    assert str(caught.value).startswith(f"{spec.origin}: ")


def test_tidevice_is_needed_by_an_entry_of_a_file_only(lab: IosLab, monkeypatch: pytest.MonkeyPatch) -> None:
    phone = lab.add("iphone-13")
    monkeypatch.setenv(usbmux.VARIABLE, lab.address)
    auto = auto_inventory().specs[-1]
    assert udids(find([auto], CLOCK)) == {f"iPhone-13-{phone.udid[-4:]}": phone.udid}
    monkeypatch.setattr(tide_version, "installed", lambda: None)
    assert find([auto], CLOCK) == Found((), ())
    for spec in (star(), iphone("a", "1")):
        with pytest.raises(UsageError, match=re.escape(f"{spec.origin}: iPhones need the package tidevice")):
            find([spec], CLOCK)


@pytest.mark.parametrize("address", [NOWHERE, "/nowhere/usbmuxd"])
def test_auto_says_nothing_where_there_is_no_usbmuxd(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    monkeypatch.setenv(usbmux.VARIABLE, address)
    assert find([auto_inventory().specs[-1]], CLOCK) == Found((), ())
    assert "no usbmuxd answers" in find([star()], CLOCK).notes[0]


def test_auto_goes_on_where_the_address_makes_no_sense(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(usbmux.VARIABLE, "nonsense")
    found = find([auto_inventory().specs[-1]], CLOCK)
    assert found.specs == ()
    assert "$USBMUXD_SOCKET_ADDRESS is 'nonsense'" in found.notes[0]


def test_a_lab_of_all_kinds(lab: IosLab) -> None:
    phone = lab.add("iphone-13")
    specs: Sequence[DeviceSpec] = (
        star(usbmuxd=lab.address),
        LocalSpec(kind="local", name="box"),
        AndroidSpec.model_validate({"kind": "android", "name": "pixel", "serial": "X"}),
    )
    found: Resolved = resolve(Inventory(specs=tuple(specs)), CLOCK, lambda _: None)
    assert list(found.specs) == [f"iPhone-13-{phone.udid[-4:]}", "box", "pixel"]
    alone = resolve(Inventory(specs=(star(usbmuxd=NOWHERE),)), CLOCK, lambda _: None)
    assert alone.specs == {}
    assert "no iPhone was found" in alone.notes[0]


ADDRESSES: Mapping[str, str] = {
    "/var/run/usbmuxd": "UNIX:/var/run/usbmuxd",
    "UNIX:/run/usbmuxd": "UNIX:/run/usbmuxd",
    "127.0.0.1:27015": "127.0.0.1:27015",
    "mac-mini.local:27015": "mac-mini.local:27015",
}


@pytest.mark.parametrize("text", ADDRESSES)
def test_where_a_usbmuxd_listens(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert environ(text) == {usbmux.VARIABLE: ADDRESSES[text]}
    monkeypatch.setenv(usbmux.VARIABLE, text)
    assert address_of(None) == address_of(text)
    assert str(address_of(text)) == text.removeprefix("UNIX:"), "as tidevice wants it"
    monkeypatch.delenv(usbmux.VARIABLE)
    assert str(address_of(None)) == "/var/run/usbmuxd"


def test_what_a_usbmuxd_says(lab: IosLab) -> None:
    with pytest.raises(UsbmuxdDownError):
        list_devices(NOWHERE, SECONDS, CLOCK)
    assert list(list_devices(lab.address, SECONDS, CLOCK)) == []
    phone = lab.add("iphone-13", network=True)
    (listed,) = list_devices(lab.address, SECONDS, CLOCK)
    assert (listed.udid, listed.connection) == (phone.udid, "usb")
    assert product_of(listed, lab.address, SECONDS, CLOCK) == "iPhone14,5"
    assert paired(phone.udid, lab.address, SECONDS, CLOCK) is True
    assert paired("another", lab.address, SECONDS, CLOCK) is False
    phone.unplug()
    (listed_air,) = list_devices(lab.address, SECONDS, CLOCK)
    assert listed_air.connection == "network"
    with pytest.raises(GoneError, match="no longer plugged in"):
        product_of(listed, lab.address, SECONDS, CLOCK)
    phone.faults.silent = {"lockdown"}
    with pytest.raises(IosTimeoutError):
        product_of(listed_air, lab.address, 3.0, CLOCK)
    phone.faults.silent = set()
    lab.stop_usbmuxd()
    with pytest.raises(UsbmuxdDownError, match="house: no usbmuxd answers"):
        list_devices(lab.address, SECONDS, CLOCK, Subject("house"))
