"""Errors of iPhones: what they say, and what tidevice's own mean."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from emulated.ios.lab import IosLab
from harness.devices.base import DeviceError
from harness.devices.ios.errors import (
    KINDS,
    GoneError,
    IosError,
    IosProtocolError,
    NotPairedError,
    RefusedError,
    Subject,
    UsbmuxdDownError,
)
from harness.devices.ios.usbmux import list_devices
from harness.plan.cell import ErrorClass
from tests.devices.ios.conftest import CLOCK
from tests.ios_tools import needs_tidevice

SUBJECT = Subject("my-iphone", "00008110-1")
CONFIG = {
    "not_paired",
    "developer_mode_off",
    "no_developer_image",
    "app_missing",
    "no_file_sharing",
    "unsupported_version",
}


def test_a_message_names_the_phone_what_happened_and_what_to_do() -> None:
    error = SUBJECT.error(NotPairedError, call="values", said="InvalidHostID\n again")
    assert str(error) == (
        "my-iphone: does not trust this computer: InvalidHostID again; plug it in, unlock it and tap Trust; "
        "if it does not ask, run `idevicepair pair` (on a Mac: open Finder)"
    )
    assert (error.device, error.udid, error.call, error.said) == (
        "my-iphone",
        "00008110-1",
        "values",
        "InvalidHostID\n again",
    )
    assert str(error).endswith(f"; {error.advice}")
    assert isinstance(error, DeviceError)
    assert str(SUBJECT.error(RefusedError, "does not want to", todo="ask again")) == (
        "my-iphone: does not want to; ask again"
    )
    long = SUBJECT.error(RefusedError, said="x" * 2000)
    assert len(str(long)) < 700
    assert len(long.said) == 2000


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_only_what_another_try_may_mend_is_retried(kind: str) -> None:
    error: IosError = SUBJECT.error(KINDS[kind])
    host = {"usbmuxd_down", "tool"}
    expected = ErrorClass.CONFIG if kind in CONFIG else ErrorClass.HOST if kind in host else ErrorClass.DEVICE
    assert error.error_class is expected
    assert str(error).startswith(f"my-iphone: {KINDS[kind].what}")
    assert kind in {"refused", "protocol", "tool"} or KINDS[kind].todo, "says what to do"


def meaning(error: BaseException) -> str:
    from harness.devices.ios.tide_errors import classify

    return classify(error)[0]


def test_what_tidevices_errors_mean() -> None:
    needs_tidevice()
    from tidevice import exceptions as tide

    assert meaning(tide.MuxServiceError("PasswordProtected")) == "locked"
    assert meaning(tide.MuxError("DeviceLocked")) == "locked"
    assert meaning(tide.MuxServiceError("ApplicationLookupFailed")) == "app_missing"
    assert meaning(tide.MuxServiceError("InstallationLookupFailed")) == "no_file_sharing"
    assert meaning(tide.MuxError("StartSession", "InvalidHostID")) == "not_paired"
    assert meaning(tide.MuxError("Device: 1 not ready")) == "gone"
    assert meaning(tide.MuxReplyError(2)) == "gone"
    assert meaning(tide.MuxReplyError(6)) == "protocol"
    assert meaning(tide.SocketError("socket connect error")) == "usbmuxd_down"
    assert meaning(tide.SocketError("sendall error")) == "gone"
    assert meaning(tide.SocketError("socket timeout")) == "timeout"
    assert meaning(tide.ServiceError("wait reply timeout")) == "timeout"
    assert meaning(tide.ServiceError("something new")) == "refused"
    assert meaning(ConnectionError("connection closed")) == "gone"
    assert meaning(FileNotFoundError(2, "No such file")) == "tool"
    assert meaning(ValueError("99 is not a valid UsbmuxReplyCode")) == "protocol"
    assert meaning(KeyError("Value")) == "protocol"


def test_the_cause_counts_and_not_what_came_of_it() -> None:
    needs_tidevice()
    from tidevice import exceptions as tide

    from harness.devices.ios.tide_errors import Refusal, classify

    try:
        try:
            raise tide.MuxServiceError("PasswordProtected")
        except tide.MuxServiceError:
            raise tide.ServiceError("ImageMountFailed")  # noqa: B904 - as tidevice does
    except tide.ServiceError as error:
        kind, said = classify(error)
    assert kind == "locked"
    assert "ImageMountFailed" in said
    assert "PasswordProtected" in said
    try:
        try:
            raise TimeoutError("timed out")
        except TimeoutError as error:
            raise tide.SocketError("sendall error") from error
    except tide.SocketError as error:
        assert meaning(error) == "timeout"
    assert classify(Refusal("no_space", "model")) == ("no_space", "model")


@contextmanager
def server(reply: bytes) -> Iterator[str]:
    """A usbmuxd that answers anything with the same bytes, and then closes."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(4096)
                connection.sendall(reply)

        thread = threading.Thread(target=serve)
        thread.start()
        yield f"127.0.0.1:{listener.getsockname()[1]}"
        thread.join(10)


@pytest.mark.parametrize(
    "reply",
    [
        b"",
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        b"\x20\x00\x00\x00\x01\x00\x00\x00\x08\x00\x00\x00\x01\x00\x00\x00" + b"no plist at all!",
        b"\xff\xff\xff\xff\x01\x00\x00\x00\x08\x00\x00\x00\x01\x00\x00\x00",
        b"\x10\x00\x00\x00\x01\x00\x00\x00\x08\x00\x00\x00\x01\x00\x00\x00",
        b"\x4a\x00\x00\x00\x01\x00\x00\x00\x08\x00\x00\x00\x01\x00\x00\x00"
        + b"<?xml version='1.0'?><plist><dict><key>A</key><string>",
    ],
)
def test_what_is_no_usbmuxd(reply: bytes) -> None:
    with server(reply) as address, pytest.raises(UsbmuxdDownError, match=f"no usbmuxd answers at {address}"):
        list_devices(address, 10.0, CLOCK)


def test_kinds_have_classes_of_their_own() -> None:
    assert len(set(KINDS.values())) == len(KINDS)
    assert (KINDS["gone"], KINDS["protocol"]) == (GoneError, IosProtocolError)


def test_a_usbmuxd_that_hangs() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        pytest.raises(UsbmuxdDownError, match="no usbmuxd answers"),
    ):
        list_devices(f"127.0.0.1:{listener.getsockname()[1]}", 0.2, CLOCK)


@pytest.mark.parametrize(
    ("method", "arguments", "kind"),
    [
        ("pair", (), "not_paired"),
        ("handshake", (), "not_paired"),
        ("delete_pair_record", (), "not_paired"),
        ("mount_developer_image", (), "no_developer_image"),
        ("enable_ios16_developer_mode", (), "developer_mode_off"),
        ("app_install", ("https://example.com/app.ipa",), "refused"),
    ],
)
def test_what_tidevice_would_do_by_itself_and_may_not(
    lab: IosLab, method: str, arguments: tuple[str, ...], kind: str
) -> None:
    needs_tidevice()
    from harness.devices.ios.tide_device import HarmlessDevice
    from harness.devices.ios.tide_errors import Refusal

    phone = lab.add("iphone-13")
    phone.paired = phone.developer_mode = phone.image_mounted = False
    device = HarmlessDevice(phone.udid, lab.address)
    with pytest.raises(Refusal) as caught:
        getattr(device, method)(*arguments)
    assert caught.value.kind == kind
    assert not phone.paired
