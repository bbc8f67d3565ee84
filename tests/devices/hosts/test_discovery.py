"""Which phones of a host a lab has, and what is said when it cannot be asked."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from harness.devices.base import DeviceError
from harness.devices.registry import Resolved, resolve
from harness.lab.inventory import Inventory
from harness.lab.spec import DeviceSpec, HostSpec
from harness.plan.cell import ErrorClass
from tests.devices.hosts.conftest import Rack
from tests.devices.jobs import CLOCK


@contextmanager
def found(*specs: DeviceSpec) -> Iterator[Resolved]:
    lab = Inventory(specs=specs, hosts={"rack": HostSpec(ssh="rack"), "gone": HostSpec(ssh="127.0.0.1:9")})
    resolved = resolve(lab, CLOCK, lambda _: None)
    try:
        yield resolved
    finally:
        resolved.close()


def test_a_star_stands_for_what_is_plugged_into_the_host(rack: Rack) -> None:
    named, other, left = (rack.phones.add(kind) for kind in ("pixel-8", "galaxy-s23", "no-gpu"))
    with found(rack.spec(named.serial), rack.spec("*", exclude=(left.serial,))) as resolved:
        serials = [spec.identity for spec in resolved.specs.values()]
        assert serials == [named.serial, other.serial]
        assert next(iter(resolved.specs)) == "phone"
        for spec in resolved.specs.values():
            device = resolved.open(spec, CLOCK)
            assert device.connect(lambda _: None)["host"] == "rack"
            device.close()
    assert resolved.notes == ()


def test_a_phone_on_the_hosts_network_is_connected_to_by_the_host(rack: Rack) -> None:
    phone = rack.phones.add("pixel-8", tcp=True)
    rack.phones.restart_server()
    with found(rack.spec(phone.serial)) as resolved:
        device = resolved.open(resolved.specs["phone"], CLOCK)
        assert device.connect(lambda _: None)["host"] == "rack"
        device.close()


def test_names_are_the_same_in_every_run(rack: Rack) -> None:
    for serial in ("A1234", "B1234"):
        rack.phones.add("pixel-8", serial=serial)
    names = []
    for _ in range(2):
        with found(rack.spec("*")) as resolved:
            names.append(list(resolved.specs))
    assert names[0] == names[1]
    assert len(set(names[0])) == 2


def test_a_phone_that_is_not_there_is_left_out_if_it_is_optional(rack: Rack) -> None:
    with found(rack.spec("NOTHERE", required=False), rack.spec("*")) as resolved:
        assert resolved.specs == {}
        first, second = resolved.notes
    assert first == "devices.yaml:4: phone is left out, as it is not required: NOTHERE is not plugged in at rack"
    assert second == "devices.yaml:4: no phone was found for serial '*': the adb server of rack has none"


def test_a_host_that_cannot_be_reached_is_a_note_or_an_error_of_its_phones(
    rack: Rack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("harness.devices.ssh.connection._ABSENT_SECONDS", 1.0)
    phone = rack.phones.add("pixel-8")
    optional = rack.spec("X1", name="guest", required=False, host="gone")
    needed = rack.spec("X2", name="needed", host="gone")
    with found(rack.spec(phone.serial), rack.spec("*", host="gone"), optional, needed) as resolved:
        assert list(resolved.specs) == ["phone", "needed"]
        assert len(resolved.notes) == 2
        assert all("gone: " in note and "127.0.0.1:9" in note for note in resolved.notes)
        device = resolved.open(resolved.specs["needed"], CLOCK)
        with pytest.raises(DeviceError, match="needed: gone: ") as caught:
            device.connect(lambda _: None)
        assert caught.value.error_class is ErrorClass.HOST
        device.close()
        sound = resolved.open(resolved.specs["phone"], CLOCK)
        assert sound.connect(lambda _: None)["host"] == "rack"
        sound.close()


def test_nothing_is_connected_for_phones_that_need_no_search(rack: Rack) -> None:
    with found(rack.spec("X2", host="gone")) as resolved:
        assert list(resolved.specs) == ["phone"]
        names = {thread.name for thread in threading.enumerate()}
        assert not any(name.startswith("ssh") for name in names)
