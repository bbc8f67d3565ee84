"""Entries with '*' become the phones that are plugged in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest

from harness.clock import SystemClock
from harness.devices.adb import server as adb
from harness.devices.adb.errors import ServerDownError
from harness.devices.adb.server import ListedDevice
from harness.devices.android.discovery import find
from harness.devices.registry import Resolved
from harness.errors import UsageError
from harness.lab.spec import AndroidSpec, DeviceSpec, LocalSpec
from harness.yamlmodel import NAME
from tests.engine.fake import FakeClock

Listing = Mapping[str | None, Sequence[ListedDevice] | Exception]


@pytest.fixture(autouse=True)
def no_servers_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ADB_SERVER_SOCKET", "ANDROID_ADB_SERVER_ADDRESS", "ANDROID_ADB_SERVER_PORT"):
        monkeypatch.delenv(name, raising=False)


class Lab:
    """Adb servers that list what they are told to, and how often they were asked."""

    def __init__(self, listing: Listing) -> None:
        self.listing = listing
        self.asked: list[str | None] = []

    def __call__(self, address: str | None) -> Sequence[ListedDevice]:
        self.asked.append(address)
        answer = self.listing[address]
        if isinstance(answer, Exception):
            raise answer
        return answer

    def find(self, *specs: DeviceSpec) -> Resolved:
        return find(specs, SystemClock(), self)


def plugged(serial: str, model: str | None = "Pixel_8", state: str = "device", path: str | None = None) -> ListedDevice:
    return ListedDevice(serial, state, 1, path, model=model)


def star(**keys: Any) -> AndroidSpec:
    return AndroidSpec.model_validate({"kind": "android", "serial": "*", **keys}).at("devices.yaml:7")


def phone(name: str, serial: str, **keys: Any) -> AndroidSpec:
    return AndroidSpec.model_validate({"kind": "android", "name": name, "serial": serial, **keys}).at("devices.yaml:3")


def serials(found: Resolved) -> dict[str, str | None]:
    return {name: spec.identity for name, spec in found.specs.items()}


def test_a_star_becomes_the_phones_that_no_other_entry_claims() -> None:
    lab = Lab({None: [plugged("B2222BBBB"), plugged("A1111AAAA"), plugged("C3333CCCC", "SM_S911B")]})
    local = LocalSpec(kind="local", name="box")
    mine = phone("mine", "C3333CCCC")
    found = lab.find(local, star(labels=["any"], limits={"battery": 30}, cores="big", env={"A": "1"}), mine)
    assert serials(found) == {
        "box": None,
        "Pixel_8-AAAA": "A1111AAAA",
        "Pixel_8-BBBB": "B2222BBBB",
        "mine": "C3333CCCC",
    }
    assert list(found.specs) == ["box", "Pixel_8-AAAA", "Pixel_8-BBBB", "mine"]
    assert found.specs["box"] is local
    assert found.specs["mine"] is mine
    one = found.specs["Pixel_8-AAAA"]
    assert isinstance(one, AndroidSpec)
    assert (one.name, one.found, one.required, one.wildcard) == ("Pixel_8-AAAA", True, False, False)
    assert (one.labels, one.limits.battery, one.cores, one.env) == (("any",), 30, "big", {"A": "1"})
    assert one.origin == "devices.yaml:7"
    assert (found.notes, lab.asked) == ((), [None])


def test_names_do_not_depend_on_the_order_of_the_list() -> None:
    devices = [plugged("A1111AAAA"), plugged("B2222AAAA"), plugged("C3333CCCC")]
    forwards, backwards = (Lab({None: order}).find(star()) for order in (devices, devices[::-1]))
    assert serials(forwards) == serials(backwards)
    assert list(forwards.specs) == list(backwards.specs)


def test_phones_that_would_share_a_name_are_told_apart_by_their_serials() -> None:
    found = serials(Lab({None: [plugged("A1111AAAA"), plugged("B2222AAAA"), plugged("C3333CCCC")]}).find(star()))
    assert sorted(found.values(), key=str) == ["A1111AAAA", "B2222AAAA", "C3333CCCC"]
    both = [name for name in found if name.startswith("Pixel_8-AAAA-")]
    assert len(both) == 2
    assert "Pixel_8-CCCC" in found


def test_a_name_that_the_file_gives_to_another_device_is_not_taken() -> None:
    found = Lab({None: [plugged("A1111AAAA")]}).find(star(), LocalSpec(kind="local", name="Pixel_8-AAAA"))
    assert len(found.specs) == 2
    assert found.specs["Pixel_8-AAAA"].kind == "local"


def test_phones_that_share_a_serial_are_addressed_by_their_path() -> None:
    twins = [plugged("0123456789ABCDEF", path="usb:1-4.2"), plugged("0123456789ABCDEF", path="usb:1-4.3")]
    assert serials(Lab({None: twins}).find(star())) == {
        "Pixel_8-CDEF-1-4.2": "usb:1-4.2",
        "Pixel_8-CDEF-1-4.3": "usb:1-4.3",
    }
    claimed = Lab({None: twins}).find(star(), phone("left", "usb:1-4.2"))
    assert serials(claimed) == {"Pixel_8-CDEF": "usb:1-4.3", "left": "usb:1-4.2"}
    none = Lab({None: [plugged("", path="usb:1-1"), plugged("", path="usb:1-2"), plugged("")]}).find(star())
    assert sorted(serials(none).values(), key=str) == ["usb:1-1", "usb:1-2"]
    assert "a phone without a serial" in none.notes[0]
    assert "same serial" in Lab({None: [replace(twin, path=None) for twin in twins]}).find(star()).notes[0]


def test_names_are_names_whatever_a_phone_calls_itself() -> None:
    import re

    odd = [
        plugged("localfilesystem:/tmp/x y/dev0.sock", "Größe 9/+"),
        plugged("10.0.0.7:5555", None),
        plugged("ab", ""),
    ]
    found = Lab({None: odd}).find(star())
    assert len(found.specs) == 3
    assert all(re.fullmatch(NAME, name) for name in found.specs)
    assert {"android-5555", "android-ab"} < set(found.specs)


def test_one_phone_by_cable_and_by_air_is_one_device() -> None:
    air = "adb-A1111AAAA-bReb3a._adb-tls-connect._tcp"
    assert serials(Lab({None: [plugged(air)]}).find(star())) == {"Pixel_8-AAAA": air}
    both = Lab({None: [plugged(air), plugged("A1111AAAA")]}).find(star())
    assert serials(both) == {"Pixel_8-AAAA": "A1111AAAA"}
    assert "wireless" in both.notes[0]
    assert serials(Lab({None: [plugged(air)]}).find(star(), phone("mine", "A1111AAAA"))) == {"mine": "A1111AAAA"}
    lost = [plugged(air), plugged("A1111AAAA", state="unauthorized")]
    assert serials(Lab({None: lost}).find(star())) == {"Pixel_8-AAAA": air}


def test_excluded_phones_are_left_alone() -> None:
    devices = [plugged("R5CT1"), plugged("R5CT2"), plugged("X9999"), plugged("Q", path="usb:2-1")]
    found = Lab({None: devices}).find(star(exclude=["R5C*", "usb:2-1"]))
    assert list(serials(found).values()) == ["X9999"]
    assert found.notes == ()


def test_two_stars_share_the_phones_out_in_the_order_of_the_file() -> None:
    devices = [plugged("A1111"), plugged("B2222"), plugged("C3333", state="unauthorized")]
    found = Lab({None: devices}).find(star(exclude=["B*"], labels=["first"]), star(labels=["second"]))
    assert {spec.identity: spec.labels for spec in found.specs.values()} == {"A1111": ("first",), "B2222": ("second",)}
    assert len(found.notes) == 1


@pytest.mark.parametrize(
    ("state", "advice"),
    [
        ("unauthorized", "tap Allow on the phone"),
        ("offline", "plug it in again"),
        ("no permissions", "udev rule"),
        ("connecting", "run again in a moment"),
        ("recovery", "restart it into Android"),
    ],
)
def test_phones_that_cannot_be_used_are_notes_that_say_what_to_do(state: str, advice: str) -> None:
    found = Lab({None: [plugged("A1111", state=state), plugged("B2222")]}).find(star())
    assert list(serials(found).values()) == ["B2222"]
    (note,) = found.notes
    assert note.startswith("devices.yaml:7: A1111 is left out: ")
    assert state in note
    assert advice in note


def test_no_phone_and_no_server_are_notes() -> None:
    (none,) = Lab({None: []}).find(star()).notes
    assert "no phone was found for serial '*'" in none
    assert "adb server localhost:5037 has none" in none
    down = ServerDownError("adb server localhost:5037: does not answer", device="")
    (note,) = Lab({None: down}).find(star()).notes
    assert "does not answer" in note
    (rest,) = Lab({None: [plugged("A1111")]}).find(star(), phone("mine", "A1111")).notes
    assert "of 1 on adb server localhost:5037 none is left" in rest


def test_each_server_is_asked_once_and_only_if_somebody_wants_to_know() -> None:
    lab = Lab({None: [plugged("A1111")], "rack:5037": [plugged("A1111")]})
    lab.find(LocalSpec(kind="local", name="box"), phone("mine", "A1111"), phone("theirs", "A2", adb_server="hub:1"))
    assert lab.asked == []
    found = lab.find(
        star(), star(adb_server="rack:5037"), star(adb_server="127.0.0.1:5037"), phone("x", "A1111", required=False)
    )
    assert lab.asked == [None, "rack:5037"]
    assert [spec.identity for spec in found.specs.values()] == ["A1111", "A1111"]


def test_a_serial_is_claimed_on_its_own_server_alone() -> None:
    lab = Lab({None: [plugged("A1111")], "rack:5037": [plugged("A1111")]})
    found = lab.find(phone("here", "A1111", adb_server="localhost:5037"), star(), star(adb_server="rack:5037"))
    assert [(spec.name, spec.adb_server) for spec in found.specs.values() if isinstance(spec, AndroidSpec)] == [
        ("here", "localhost:5037"),
        ("Pixel_8-1111", "rack:5037"),
    ]


def test_optional_phones_that_are_absent_are_left_out() -> None:
    lab = Lab({None: [plugged("A1111", state="unauthorized"), plugged("B", path="usb:1-1")]})
    found = lab.find(
        phone("shy", "A1111", required=False),
        phone("path", "usb:1-1", required=False),
        phone("gone", "Z9999", required=False),
        phone("gone-path", "usb:9", required=False),
        phone("net", "10.0.0.7:5555", required=False),
        phone("needed", "Y8888"),
    )
    assert list(found.specs) == ["shy", "path", "net", "needed"]
    assert ["gone is left out" in found.notes[0], "gone-path is left out" in found.notes[1]] == [True, True]


def test_what_cannot_be_driven_yet_is_said_at_once() -> None:
    lab = Lab({})
    with pytest.raises(UsageError, match=r"^devices\.yaml:9: 'any' cannot be driven yet"):
        lab.find(star(), AndroidSpec(kind="android", name="pool", any=("A", "B")).at("devices.yaml:9"))
    with pytest.raises(UsageError, match=r"^devices\.yaml:7: .*host:port"):
        lab.find(star(adb_server="rack"))


class Server:
    """A server that was just started: it sees its phones little by little."""

    def __init__(self, up: bool, *lists: Sequence[ListedDevice]) -> None:
        self.address = ("localhost", 5037)
        self.up = up
        self.lists = list(lists)
        self.closed = False

    def ensure(self) -> bool:
        was_up, self.up = self.up, True
        return not was_up

    def devices(self, seconds: float) -> Sequence[ListedDevice]:
        assert self.up
        assert 0 < seconds <= 5
        return self.lists.pop(0) if len(self.lists) > 1 else self.lists[0]

    def close(self) -> None:
        self.closed = True


class Quick(SystemClock):
    """Time that passes only while somebody sleeps."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def monotonic(self) -> float:
        return self.seconds

    def sleep(self, seconds: float) -> None:
        self.seconds += seconds


@pytest.mark.parametrize(
    ("server", "count", "longest"),
    [
        (Server(True, []), 0, 0.0),
        (Server(True, [plugged("A")]), 1, 0.0),
        (Server(False, []), 0, 3.0),
        (Server(False, [], [], [plugged("A", state="connecting")], [plugged("A")]), 1, 1.0),
        (Server(True, [plugged("A", state="authorizing")]), 0, 6.0),
    ],
)
def test_a_server_has_a_moment_to_find_its_phones(
    monkeypatch: pytest.MonkeyPatch, server: Server, count: int, longest: float
) -> None:
    monkeypatch.setattr(adb, "open_server", lambda address, clock: server)
    clock = Quick()
    assert len(find([star()], clock).specs) == count
    assert clock.seconds <= longest
    assert server.closed


class Person:
    """Taps Allow on some phones when an adb server is asked for the nth time; told on the way."""

    def __init__(self, asked: int, *devices: ListedDevice) -> None:
        self.left = asked
        self.devices = list(devices)
        self.told: list[str] = []

    def __call__(self, address: str | None) -> Sequence[ListedDevice]:
        self.left -= 1
        return self.devices if self.left else [replace(device, state="device") for device in self.devices]

    def find(self, *specs: DeviceSpec) -> Resolved:
        return find(specs, FakeClock(), self, self.told.append)


def test_a_locked_phone_is_waited_for() -> None:
    person = Person(5, plugged("A1111AAAA", state="unauthorized"))
    found = person.find(star())
    assert serials(found) == {"Pixel_8-AAAA": "A1111AAAA"}
    (told,) = person.told
    assert told.startswith("A1111AAAA: tap 'Allow USB debugging' on the phone")
    assert found.notes == ()


def test_nobody_is_waited_for_for_ever() -> None:
    person = Person(-1, plugged("A1111AAAA", state="unauthorized"))
    assert serials(person.find(star())) == {}
    assert -400 < person.left < -100, "it was asked again and again for half a minute"


def test_phones_that_are_left_alone_are_not_waited_for() -> None:
    person = Person(-1, plugged("A1111AAAA", state="unauthorized"), plugged("B2222BBBB", state="unauthorized"))
    found = person.find(star(exclude=["A*"]), phone("mine", "B2222BBBB"))
    assert serials(found) == {"mine": "B2222BBBB"}
    assert person.told == []
