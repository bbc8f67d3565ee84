"""The adb server: found, listed, started, and never started by accident."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from emulated.android.lab import AdbLab
from harness.devices.adb.errors import AdbError, AdbProtocolError, ServerDownError
from harness.devices.adb.server import AdbServer, ListedDevice, adb_program, default_address, open_server
from harness.errors import UsageError
from harness.plan.cell import ErrorClass
from tests.devices.adb.conftest import CLOCK, plug_in
from tests.devices.adb.scripted import Talk, scripted


def silent(talk: Talk, _: str) -> None:
    talk.wait_for_the_end()


@pytest.fixture
def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Servers that are started leave nothing in the user's home."""
    for name in ("HOME", "TMPDIR"):
        monkeypatch.setenv(name, str(tmp_path))


def answers(server: AdbServer) -> bool:
    try:
        return server.version() > 0
    except AdbError:
        return False


def kill(port: int) -> None:
    """Ask the server to end, and wait until it has."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(b"0009host:kill")
        while connection.recv(100):
            pass
    while True:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)):
                return
        CLOCK.sleep(0.01)


@pytest.fixture
def started(alone: None, free_port: int) -> Iterator[AdbServer]:
    server = AdbServer("localhost", free_port, CLOCK)
    assert server.ensure()
    yield server
    server.close()
    kill(free_port)


def test_a_server_is_started_where_none_is_and_stays(started: AdbServer) -> None:
    assert answers(started)
    assert started.version() >= 41
    assert started.devices() == []
    assert not started.ensure()
    started.close()
    assert answers(AdbServer(*started.address, CLOCK))


def test_only_a_server_of_our_own_is_restarted(started: AdbServer) -> None:
    other = AdbServer(*started.address, CLOCK)
    other.ensure()
    assert not other.restart()
    assert started._process is not None
    before = started._process.pid
    os.kill(before, signal.SIGSTOP)
    assert started.restart()
    assert answers(started) and started._process.pid != before
    started.close()
    assert not started.restart()


def test_another_computers_server_is_not_started() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.2", 0))
        port = probe.getsockname()[1]
    with pytest.raises(ServerDownError, match="another computer's") as caught:
        AdbServer("127.0.0.2", port, CLOCK).ensure()
    assert caught.value.error_class is ErrorClass.HOST


@pytest.mark.parametrize("program", ["absent/adb", "not-a-program"])
def test_an_adb_that_cannot_be_started(
    free_port: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, program: str
) -> None:
    (tmp_path / "not-a-program").write_text("no script either")
    monkeypatch.setenv("ADBUTILS_ADB_PATH", str(tmp_path / program))
    with pytest.raises(ServerDownError, match=f"{program}' cannot be started.*see ADBUTILS_ADB_PATH"):
        AdbServer("localhost", free_port, CLOCK).ensure()


def test_a_dead_server_is_not_started_by_a_question(
    free_port: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trap = tmp_path / "adb"
    trap.write_text(f"#!/bin/sh\ntouch {tmp_path}/started\n")
    trap.chmod(0o755)
    monkeypatch.setenv("ADBUTILS_ADB_PATH", str(trap))
    assert adb_program() == str(trap)
    server = AdbServer("localhost", free_port, CLOCK)
    assert not answers(server)
    for question in (
        server.devices,
        lambda: server.connect("127.0.0.1:1", 1),
        lambda: server.disconnect("127.0.0.1:1"),
    ):
        with pytest.raises(ServerDownError):
            question()
    assert not (tmp_path / "started").exists()


def test_a_hung_server_is_down_in_bounded_time(own_lab: AdbLab) -> None:
    server = AdbServer("localhost", own_lab.server_port, CLOCK)
    own_lab.stop_server()
    start = CLOCK.monotonic()
    with pytest.raises(ServerDownError, match=r"does not answer.*hangs"):
        server.version(0.5)
    with pytest.raises(ServerDownError, match="does not answer"):
        server.devices(0.5)
    assert CLOCK.monotonic() - start < 5
    own_lab.continue_server()
    assert answers(server)


def test_something_else_on_the_port() -> None:
    with scripted(silent) as other:
        other.greeting = b"HTTP/1.1 400 Bad Request\r\n\r\n"
        with pytest.raises(AdbProtocolError, match=r"is it an adb server that listens at 127\.0\.0\.1"):
            other.server().ensure()
        assert not answers(other.server())
        with pytest.raises(ServerDownError):
            other.server().devices()


def test_what_a_server_lists() -> None:
    with scripted(silent) as server:
        server.listing = (
            "EXAMPLE8P065R         device usb:1-4.2 product:shiba model:Pixel_8 device:shiba transport_id:3\n"
            "192.168.0.7:5555       offline transport_id:12\n"
            "R5CT10                 no permissions (missing udev rules? user is in the plugdev group); "
            "see [http://developer.android.com/tools/device.html] usb:1-2 transport_id:4\n"
            "(no serial number)     unauthorized usb:3-1 transport_id:5\n"
        )
        assert server.server().devices() == [
            ListedDevice("EXAMPLE8P065R", "device", 3, "usb:1-4.2", "shiba", "Pixel_8"),
            ListedDevice("192.168.0.7:5555", "offline", 12),
            ListedDevice("R5CT10", "no permissions", 4, "usb:1-2"),
            ListedDevice("", "unauthorized", 5, "usb:3-1"),
        ]


def test_a_phone_is_listed_as_what_it_is(own_lab: AdbLab) -> None:
    rig = plug_in(own_lab, "emulated")
    assert [(one.serial, one.state, one.model) for one in rig.server.devices()] == [
        (rig.phone.serial, "device", "Phone")
    ]


@pytest.mark.parametrize(
    ("environment", "address"),
    [
        ({}, ("localhost", 5037)),
        ({"ANDROID_ADB_SERVER_PORT": "6000"}, ("localhost", 6000)),
        ({"ANDROID_ADB_SERVER_ADDRESS": "lab", "ANDROID_ADB_SERVER_PORT": "6000"}, ("lab", 6000)),
        ({"ADB_SERVER_SOCKET": "tcp:7000", "ANDROID_ADB_SERVER_PORT": "6000"}, ("localhost", 7000)),
        ({"ADB_SERVER_SOCKET": "tcp:lab:7000"}, ("lab", 7000)),
    ],
)
def test_the_server_that_adb_itself_would_use(environment: dict[str, str], address: tuple[str, int]) -> None:
    assert default_address(environment) == address


@pytest.mark.parametrize(
    ("environment", "words"),
    [
        ({"ANDROID_ADB_SERVER_PORT": "many"}, "ANDROID_ADB_SERVER_PORT: 'localhost:many'"),
        ({"ADB_SERVER_SOCKET": "localfilesystem:/x"}, "ADB_SERVER_SOCKET is 'localfilesystem:/x'"),
    ],
)
def test_an_environment_that_names_no_server(environment: dict[str, str], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        default_address(environment)


def test_an_address_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    assert open_server("rack-2:5037", CLOCK).address == ("rack-2", 5037)
    assert open_server("[::1]:5037", CLOCK).address == ("::1", 5037)
    monkeypatch.setenv("ANDROID_ADB_SERVER_PORT", "6001")
    monkeypatch.delenv("ADB_SERVER_SOCKET", raising=False)
    monkeypatch.delenv("ANDROID_ADB_SERVER_ADDRESS", raising=False)
    assert open_server(None, CLOCK).address == ("localhost", 6001)
    for wrong in ("rack-2", "rack-2:0", "rack-2:99999", ":5037", "rack-2:x"):
        with pytest.raises(UsageError, match="expected host:port"):
            open_server(wrong, CLOCK)
