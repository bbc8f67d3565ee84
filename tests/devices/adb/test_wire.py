"""What servers say to a device's request, in words and in none."""

from __future__ import annotations

import threading

import pytest

from harness.devices.adb import device as device_module
from harness.devices.adb.errors import (
    AdbError,
    AdbProtocolError,
    DeviceLostError,
    DeviceTimeoutError,
    RemoteError,
    ServerDownError,
    UnauthorizedError,
)
from tests.devices.adb.conftest import CLOCK
from tests.devices.adb.scripted import SERIAL, Talk, packet, scripted, text


def unused(talk: Talk, asked: str) -> None:
    raise AssertionError(f"nobody was to ask for {asked}")


def echo(talk: Talk, asked: str) -> None:
    """A shell that knows echo."""
    said = asked.partition("echo ")[2]
    talk.say(b"OKAY" + packet(1, f"{said}\n".encode()) + packet(3, b"\0"))
    talk.wait_for_the_end()


@pytest.mark.parametrize(
    ("said", "error", "words"),
    [
        (f"device '{SERIAL}' not found", DeviceLostError, "not found; check its cable"),
        ("device offline", DeviceLostError, "offline"),
        ("device still connecting", DeviceLostError, "connecting"),
        ("device unauthorized.\nThis adb server's $ADB_VENDOR_KEYS is not set", UnauthorizedError, "tap 'Allow"),
        ("device still authorizing", UnauthorizedError, "tap 'Allow"),
        (f"more than one device with serial {SERIAL}", RemoteError, "usb:"),
        ("insufficient permissions for device", RemoteError, "udev"),
        ("something new", RemoteError, "refused: something new"),
    ],
)
def test_a_servers_refusal_becomes_a_class(said: str, error: type[AdbError], words: str) -> None:
    with scripted(unused) as server:
        server.transport = b"FAIL" + text(said)
        with pytest.raises(error, match=words) as caught:
            server.device().shell("true", 5)
    assert type(caught.value) is error
    assert (caught.value.said, caught.value.serial, caught.value.device) == (said, SERIAL, "pixel")


def test_long_words_are_kept_whole_and_shown_short() -> None:
    reason = "no such thing " * 400
    with (
        scripted(lambda talk, _: talk.dribble(b"FAIL" + text(reason))) as server,
        pytest.raises(RemoteError) as caught,
    ):
        server.device().shell("true", 15)
    assert caught.value.said == reason
    assert reason[:590].strip() in str(caught.value)
    assert len(str(caught.value)) < 1000


@pytest.mark.parametrize("status", [b"WHAT", b"\0\0\0\0", b"FAILxyz!", b"FAIL-001"])
def test_a_status_that_is_none(status: bytes) -> None:
    with scripted(lambda talk, _: talk.say(status)) as server, pytest.raises(AdbProtocolError):
        server.device().shell("true", 5)


@pytest.mark.parametrize("part", [b"", b"OK", b"FAIL", b"FAIL00", b"FAIL0010half"])
def test_an_end_in_the_middle_of_the_devices_status(part: bytes) -> None:
    with scripted(lambda talk, _: talk.say(part)) as server, pytest.raises(DeviceLostError):
        server.device().shell("true", 5)


@pytest.mark.parametrize("part", [b"", b"OK", b"FAIL0010half"])
def test_an_end_in_the_middle_of_the_servers_status(part: bytes) -> None:
    with scripted(unused) as server:
        server.transport = part
        with pytest.raises(ServerDownError, match="hung up"):
            server.device().shell("true", 5)


def test_silence_after_a_service_was_asked_for() -> None:
    start = CLOCK.monotonic()
    with (
        scripted(lambda talk, _: talk.wait_for_the_end()) as server,
        pytest.raises(DeviceTimeoutError, match=r"no end of 'true' within 0\.4 s"),
    ):
        server.device().shell("true", 0.4)
    assert CLOCK.monotonic() - start < 3


def test_closed_means_lost_when_the_server_no_longer_lists_the_device() -> None:
    def refuse(talk: Talk, _: str) -> None:
        talk.say(b"FAIL" + text("closed"))

    with scripted(refuse) as server:
        with pytest.raises(RemoteError, match="refused to open 'true': closed"):
            server.device().shell("true", 5)
        server.listing = server.listing.replace(" device usb", " offline usb")
        with pytest.raises(DeviceLostError):
            server.device().shell("true", 5)


def test_a_device_is_named_by_its_path() -> None:
    with scripted(echo) as server:
        server.listing += f"{SERIAL} device usb:1-4.3 product:shiba model:Pixel_8 transport_id:4\n"
        device = server.device("usb:1-4.2")
        device.connect(5, unused_words, threading.Event())
        assert device.alive()
        with pytest.raises(RemoteError, match=r"its serial is not unique.*usb:"):
            server.device().connect(5, unused_words, threading.Event())
    asked = [request for request in server.asked if request.startswith("host:transport")]
    assert set(asked) == {"host:transport:usb:1-4.2"}


def unused_words(words: str) -> None:
    raise AssertionError(words)


def test_a_phone_without_permission_needs_a_person() -> None:
    with scripted(unused) as server:
        server.listing = f"{SERIAL} no permissions (missing udev rules?); see [http://x] usb:1-4.2 transport_id:3\n"
        with pytest.raises(RemoteError, match="udev rules or the group plugdev"):
            server.device().connect(5, unused_words, threading.Event())


def test_a_phone_in_its_bootloader_is_told_so() -> None:
    with scripted(unused) as server:
        server.listing = server.listing.replace(" device usb", " recovery usb")
        with pytest.raises(DeviceLostError, match="is recovery"):
            server.device().connect(0.3, unused_words, threading.Event())


def test_a_hung_phone_on_usb_is_reconnected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device_module, "_ALIVE_SECONDS", 0.3)
    reconnected = threading.Event()

    def script(talk: Talk, asked: str) -> None:
        if asked == "host:reconnect":
            reconnected.set()
            talk.say(b"OKAY" + text(f"reconnecting {SERIAL}"))
        elif reconnected.is_set():
            echo(talk, asked)
        else:
            talk.wait_for_the_end()

    with scripted(script) as server:
        server.device().recover(threading.Event())
        assert server.asked.index("host:reconnect") > 0


def test_a_connection_that_is_interrupted_before_it_is_used() -> None:
    """The interruption is not lost when it comes between two packets."""
    device_side = threading.Event()

    def script(talk: Talk, _: str) -> None:
        talk.say(b"OKAY")
        device_side.set()
        talk.wait_for_the_end()

    with scripted(script) as server:
        device = server.device()
        with device.sync(10) as files:

            def stop() -> None:
                device_side.wait(5)
                device.interrupt()

            stopper = threading.Thread(target=stop)
            stopper.start()
            for _ in range(2):
                with pytest.raises(DeviceLostError, match="from our side"):
                    files.stat("/data")
            stopper.join()


def test_a_server_of_another_kind_is_named() -> None:
    with scripted(unused) as server:
        server.greeting = b"SSH-2.0-OpenSSH_9.2\r\n"
        with pytest.raises(AdbProtocolError, match=f"is it an adb server that listens at 127.0.0.1:{server.port}"):
            server.device().shell("true", 5)
