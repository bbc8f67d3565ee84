"""What tidevice itself makes of faults: why the harness does not trust its silences, return values and waits.

A test that fails after tidevice was updated says which care of the harness is no longer needed, or no longer enough.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from emulated.ios.apps import OWN_BUNDLE
from emulated.ios.lab import IosLab
from emulated.ios.phone import Phone
from tests.ios_tools import needs_tidevice

if TYPE_CHECKING:
    from tidevice import Device

HOUSE_ARREST = "com.apple.mobile.house_arrest"
INSTRUMENTS = "com.apple.instruments.remoteserver.DVTSecureSocketProxy"


@pytest.fixture
def phone(lab: IosLab) -> Phone:
    return lab.add("iphone-13")


@pytest.fixture
def device(lab: IosLab, phone: Phone, tide_home: Path) -> Device:
    needs_tidevice()
    from tidevice import Device, Usbmux

    return Device(phone.udid, Usbmux(lab.address))


@pytest.fixture
def sync(device: Device) -> Iterator[Any]:
    """The files of our app."""
    opened = device.app_sync(OWN_BUNDLE)
    assert opened.listdir("/Documents") == []
    yield opened
    opened.close()


def error(name: str) -> type[Exception]:
    from tidevice import exceptions

    found: type[Exception] = getattr(exceptions, name)
    return found


def test_no_usbmuxd_is_said_at_once(lab: IosLab, device: Device) -> None:
    lab.stop_usbmuxd()
    with pytest.raises(error("SocketError"), match="socket connect error"):
        device.usbmux.device_list()


def test_a_phone_that_is_not_there(lab: IosLab, phone: Phone, device: Device) -> None:
    phone.unplug()
    with pytest.raises(error("MuxError"), match="not ready"):
        device.get_value("ProductVersion")


def test_a_cable_that_is_pulled_leaves_a_part_of_the_file(phone: Phone, sync: Any) -> None:
    phone.faults.on = HOUSE_ARREST
    phone.faults.unplug_after = 1_500_000
    with pytest.raises(error("SocketError")):
        sync.push_content("/Documents/model", bytes(8_000_000))
    assert 1_000_000 < (phone.apps[OWN_BUNDLE].documents / "model").stat().st_size < 1_500_000


def test_a_device_object_does_not_survive_a_replug(phone: Phone, device: Device) -> None:
    assert device.get_value("ProductVersion") == "16.4"
    phone.unplug()
    phone.plug()
    with pytest.raises(error("MuxReplyError")):
        device.get_value("ProductVersion")
    device._info = None
    assert device.get_value("ProductVersion") == "16.4"


def test_a_silent_phone_is_waited_for_without_end_unless_the_socket_has_a_limit(phone: Phone, sync: Any) -> None:
    phone.faults.silent.add(HOUSE_ARREST)
    assert sync.get_socket().gettimeout() is None
    sync.get_socket().settimeout(0.2)
    with pytest.raises(error("SocketError"), match="timeout"):
        sync.stat("/Documents")


@pytest.mark.parametrize("installed", [False, True])
def test_an_app_without_files_is_found_out_at_the_first_call_only(
    phone: Phone, device: Device, installed: bool
) -> None:
    if installed:
        phone.apps[OWN_BUNDLE].file_sharing = False
    else:
        del phone.apps[OWN_BUNDLE]
    opened = device.app_sync(OWN_BUNDLE)
    said = "InstallationLookupFailed" if installed else "ApplicationLookupFailed"
    with pytest.raises(error("MuxServiceError"), match=said):
        opened.stat("/Documents")
    opened.close()
    if installed:
        container = device.app_sync(OWN_BUNDLE, "VendContainer")
        assert container.stat("/Documents").is_dir()
        container.close()


def test_a_locked_phone_says_its_name_and_gives_no_files(phone: Phone, device: Device) -> None:
    phone.lock()
    assert device.name
    assert device.battery_info().level == 87
    with pytest.raises(error("MuxServiceError"), match="PasswordProtected"):
        device._unsafe_start_service(HOUSE_ARREST)


@pytest.mark.parametrize("trouble", ["locked", "no image"])
def test_a_service_that_does_not_start_makes_it_download_an_image(
    phone: Phone, device: Device, monkeypatch: pytest.MonkeyPatch, trouble: str
) -> None:
    """Which no test run may do: the harness starts services in another way."""
    from requests import RequestException

    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    if trouble == "locked":
        phone.lock()
    phone.image_mounted = False
    with pytest.raises(RequestException):
        device.start_service(HOUSE_ARREST if trouble == "locked" else INSTRUMENTS)


def test_without_a_pair_record_it_wants_to_pair(lab: IosLab, tide_home: Path) -> None:
    needs_tidevice()
    from tidevice import Device, Usbmux

    phone = lab.add("iphone-13", tls=True)
    phone.paired = False
    device = Device(phone.udid, Usbmux(lab.address))
    assert device.name, "some things are said without a pair record"
    # The library that it pairs with is not installed with the harness.
    with pytest.raises(RuntimeError, match="DevicePair required lib"):
        device.get_value("ProductVersion")
    assert (lab.pairing, phone.asked) == ([], [])


def test_a_revoked_pairing_makes_it_delete_the_hosts_pair_record(lab: IosLab, phone: Phone, device: Device) -> None:
    """So the harness looks whether a session can be started before tidevice does."""
    phone.revoke_pairing()
    with pytest.raises(RuntimeError, match="DevicePair required lib"):
        device.get_value("ProductVersion")
    assert lab.pairing == [f"DeletePairRecord {phone.udid}"]


def test_a_full_phone(phone: Phone, sync: Any) -> None:
    phone.free_bytes = 1000
    with pytest.raises(error("MuxError"), match="write error: 18"):
        sync.push_content("/Documents/model", bytes(2000))


def test_a_push_into_a_missing_folder_fails_late_or_not_at_all(phone: Phone, sync: Any) -> None:
    with pytest.raises(error("MuxError"), match="write error: 7"):
        sync.push_content("/Documents/absent/model", b"x")
    sync.push_content("/Documents/absent/model", b"")
    assert phone.received == []


def test_missing_files_are_mostly_not_worth_an_error(tmp_path: Path, sync: Any) -> None:
    assert sync.listdir("/Documents/absent") == []
    assert sync.listdir("/Library") == [], "what is denied neither"
    assert sync.remove("/Documents/absent") == 8
    assert sync.mkdir("/Library/x") == 10
    assert sync.rename("/Documents/absent", "/Documents/new") == 8
    assert sync.pull("/Documents/absent", tmp_path / "absent") is None
    assert not (tmp_path / "absent").exists()
    with pytest.raises(error("MuxError"), match="stat"):
        sync.pull_content("/Documents/absent")


def test_a_file_that_shrinks_is_read_without_end(phone: Phone, sync: Any) -> None:
    sync.push_content("/Documents/result.json", bytes(1000))
    phone.faults.shrinking = "result.json"
    chunks = list(islice(sync.iter_content("/Documents/result.json"), 50))
    assert [len(chunk) for chunk in chunks] == [500, *[0] * 49]


def test_to_pull_a_folder_removes_empty_ones_from_the_phone(phone: Phone, tmp_path: Path, sync: Any) -> None:
    sync.mkdir("/Documents/out/empty")
    sync.pull("/Documents/out", tmp_path / "out")
    assert not (phone.apps[OWN_BUNDLE].documents / "out").exists()
