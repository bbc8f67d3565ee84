"""Remote service discovery of emulated iPhones with iOS 17 and later: byte by byte, and through tools."""

from __future__ import annotations

import json
import re
import signal
import socket
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from emulated.ios.apps import OWN_BUNDLE
from emulated.ios.lab import IosLab
from emulated.ios.phone import Phone
from tests.emulated.conftest import until
from tests.emulated.ios.dtx_client import CONTROL, PROBE, DtxClient, add_probe
from tests.emulated.ios.launchers import Launcher
from tests.emulated.ios.wire import Wire

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
INSTRUMENTS = "com.apple.instruments.dtservicehub"
INSTALLATION = "com.apple.mobile.installation_proxy.shim.remote"
DIAGNOSTICS = "com.apple.mobile.diagnostics_relay.shim.remote"
LOCKDOWN = "com.apple.mobile.lockdown.remote.trusted"
DATA, HEADERS, SETTINGS, PING, GOAWAY, WINDOW = 0, 1, 4, 6, 7, 8
OPENING = struct.pack("<IIQQII", 0x29B00B92, 1, 20, 0, 0x42133742, 5) + struct.pack("<III", 0xF000, 4, 0)
FINISHED = struct.pack("<IIQQ", 0x29B00B92, 0x201, 0, 0)
HANDSHAKE = struct.pack("<IIQQ", 0x29B00B92, 0x400001, 0, 0)


class Http2Client:
    """HTTP/2 frame by frame."""

    def __init__(self, address: tuple[str, int]) -> None:
        self.wire = Wire(f"{address[0]}:{address[1]}")
        self.wire.socket.sendall(PREFACE)

    def send(self, kind: int, stream: int, body: bytes = b"", flags: int = 0) -> None:
        self.wire.socket.sendall(struct.pack(">BHBBI", 0, len(body), kind, flags, stream) + body)

    def receive(self) -> tuple[int, int, int, bytes]:
        """Kind, flags, stream and content of the next frame."""
        high, low, kind, flags, stream = struct.unpack(">BHBBI", self.wire.exactly(9))
        return kind, flags, stream, self.wire.exactly(high << 16 | low)

    def data(self, stream: int) -> bytes:
        """The next content on a stream."""
        while True:
            kind, _, on, body = self.receive()
            if kind == DATA and on == stream:
                return body

    def open(self, *, step: int = 1 << 14) -> bytes:
        """Open as pymobiledevice3 does, in pieces of `step` bytes; what the phone then says of itself, still packed."""
        self.send(SETTINGS, 0)
        self.send(HEADERS, 1, flags=4)
        for start in range(0, len(OPENING), step):
            self.send(DATA, 1, OPENING[start : start + step])
        self.send(HEADERS, 3, flags=4)
        self.send(DATA, 1, FINISHED)
        self.send(DATA, 3, HANDSHAKE)
        seen = b""
        while b"MessageType" not in seen:
            seen = self.data(1)
        return seen

    def __enter__(self) -> Http2Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.wire.close()


@pytest.fixture(params=["iphone-14", "iphone-17"])
def phone(lab: IosLab, request: pytest.FixtureRequest) -> Phone:
    """iOS 17.5 and 26.1."""
    made = lab.add(request.param)
    add_probe(made)
    return made


@pytest.fixture
def newest(lab: IosLab) -> Phone:
    made = lab.add("iphone-17")
    add_probe(made)
    return made


def address(phone: Phone) -> tuple[str, int]:
    assert phone.rsd_address is not None
    return phone.rsd_address


def services(phone: Phone) -> dict[str, int]:
    """Names and ports, picked out of the handshake."""
    with Http2Client(address(phone)) as client:
        said = client.open()
    found = re.findall(rb"(com\.apple\.[\w.]+)\0+\x00\xf0.{10}Port\0{4}\x00\x90\0\0.{4}(\d+)\0", said, re.DOTALL)
    return {name.decode(): int(port) for name, port in found}


def needs_ipv6() -> None:
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        pytest.skip("go-ios takes a tunnel's address as IPv6 only, and this computer has none")


@pytest.fixture
def shim(newest: Phone) -> Iterator[Wire]:
    with Wire(f"127.0.0.1:{services(newest)[INSTALLATION]}") as wire:
        yield wire


def test_settings_come_first_and_are_acknowledged(newest: Phone) -> None:
    with Http2Client(address(newest)) as client:
        assert client.receive()[:3] == (SETTINGS, 0, 0)
        client.send(SETTINGS, 0, struct.pack(">HI", 4, 1 << 20))
        client.send(PING, 0, b"12345678")
        assert client.receive()[0] == WINDOW
        assert client.receive() == (SETTINGS, 1, 0, b"")
        assert client.receive() == (PING, 1, 0, b"12345678")


def test_each_opening_message_is_answered_in_turn(newest: Phone) -> None:
    """go-ios waits for each answer, pymobiledevice3 for none."""
    with Http2Client(address(newest)) as client:
        client.send(DATA, 1, OPENING)
        assert client.data(1)[:8] == OPENING[:8]
        client.send(DATA, 3, HANDSHAKE)
        assert client.data(3) == HANDSHAKE
        client.send(DATA, 1, FINISHED)
        assert client.data(1) == FINISHED
        assert newest.udid.encode() in client.data(1)


@pytest.mark.parametrize("step", [1, 7, 1 << 14])
def test_messages_may_come_in_pieces(newest: Phone, step: int) -> None:
    with Http2Client(address(newest)) as client:
        assert b"26.1\0" in client.open(step=step)


@pytest.mark.parametrize(
    "garbage",
    [
        b"\xff" * 64,
        struct.pack(">BHBBI", 0xFF, 0xFFFF, DATA, 0, 1),
        struct.pack(">BHBBI", 0, 24, DATA, 0, 1) + b"\0" * 24,
        struct.pack(">BHBBI", 0, 24, DATA, 0, 9) + b"\0" * 24,
        struct.pack(">BHBBI", 0, 8, GOAWAY, 0, 0) + b"\0" * 8,
    ],
    ids=["noise", "long frame", "no message", "unknown stream", "go away"],
)
def test_garbage_ends_the_connection(newest: Phone, garbage: bytes) -> None:
    with Http2Client(address(newest)) as client:
        client.wire.socket.sendall(garbage)
        with pytest.raises((EOFError, ConnectionError)):
            while True:
                client.receive()


def test_what_is_not_http2_is_not_answered(newest: Phone) -> None:
    host, port = address(newest)
    with Wire(f"{host}:{port}") as wire:
        wire.socket.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        with pytest.raises((EOFError, ConnectionError)):
            wire.exactly(1)


def test_instruments_are_listed_with_image_and_developer_mode_only(phone: Phone) -> None:
    assert {INSTRUMENTS, INSTALLATION, LOCKDOWN} <= services(phone).keys()
    phone.image_mounted = False
    assert INSTRUMENTS not in services(phone)
    phone.image_mounted, phone.developer_mode = True, False
    assert INSTRUMENTS not in services(phone)
    assert INSTALLATION in services(phone)


def test_an_older_phone_has_none(lab: IosLab) -> None:
    assert lab.add("iphone-13").rsd_address is None


def test_instruments_speak_at_once(newest: Phone) -> None:
    with DtxClient(Wire(f"127.0.0.1:{services(newest)[INSTRUMENTS]}")) as client:
        client.open(1, CONTROL)
        pid = client.launch(1)
    assert newest.processes.running(PROBE) == pid
    assert newest.opened[-1] == INSTRUMENTS


def test_a_service_of_lockdown_wants_a_check_in(shim: Wire, newest: Phone) -> None:
    assert shim.ask(Label="test", ProtocolVersion="2", Request="RSDCheckin") == {"Request": "RSDCheckin"}
    assert shim.receive() == {"Request": "StartService"}
    answer = shim.ask(Command="Lookup", ClientOptions={"BundleIDs": [OWN_BUNDLE]})
    assert answer["LookupResult"][OWN_BUNDLE]["CFBundleIdentifier"] == OWN_BUNDLE
    assert newest.opened[-1] == INSTALLATION


def test_without_a_check_in_there_is_no_service(shim: Wire) -> None:
    shim.send(Command="Browse")
    with pytest.raises((EOFError, ConnectionError)):
        shim.receive()


def test_a_locked_phone_refuses_after_the_check_in(shim: Wire, newest: Phone) -> None:
    newest.locked = True
    shim.ask(Label="test", ProtocolVersion="2", Request="RSDCheckin")
    assert shim.receive() == {"Request": "StartService", "Error": "PasswordProtected"}


def test_a_locked_phone_still_has_diagnostics(newest: Phone) -> None:
    newest.locked = True
    with Wire(f"127.0.0.1:{services(newest)[DIAGNOSTICS]}") as wire:
        wire.ask(Label="test", ProtocolVersion="2", Request="RSDCheckin")
        assert wire.receive() == {"Request": "StartService"}


def test_lockdown_tells_everything_without_a_session(newest: Phone) -> None:
    with Wire(f"127.0.0.1:{services(newest)[LOCKDOWN]}") as wire:
        wire.ask(Label="test", ProtocolVersion="2", Request="RSDCheckin")
        wire.receive()
        assert wire.ask(Label="test", Request="GetValue", Key="UniqueDeviceID")["Value"] == newest.udid


def test_a_tunnel_that_is_gone(newest: Phone) -> None:
    newest.faults.no_tunnel = True
    with pytest.raises((EOFError, ConnectionError)), Http2Client(address(newest)) as client:
        client.receive()
    newest.faults.no_tunnel = False
    with Http2Client(address(newest)) as client:
        assert client.receive()[0] == SETTINGS


def test_an_unplugged_phone_has_no_tunnel(newest: Phone) -> None:
    host, port = address(newest)
    client = Http2Client((host, port))
    client.open()
    newest.unplug()
    with client, pytest.raises((EOFError, ConnectionError)):
        while True:
            client.receive()
    with pytest.raises(ConnectionError):
        socket.create_connection((host, port), timeout=30)
    newest.plug()
    assert INSTRUMENTS in services(newest)
    newest.reboot()
    assert INSTRUMENTS not in services(newest)  # its image is gone


def test_pymobiledevice3_starts_and_ends_an_app(lab: IosLab, tmp_path: Path) -> None:
    """On iOS 17.5; tests/devices/ios/test_routes.py has it do the same on 26.1."""
    phone = lab.add("iphone-14")
    add_probe(phone)
    launcher = Launcher.pymobiledevice3(lab, tmp_path)
    rsd = ["--rsd", *map(str, address(phone))]
    said = launcher("launch", *rsd, "--env", "A=ü", f"{PROBE} --once 'a b'")
    pid = phone.processes.running(PROBE)
    assert (said.returncode, said.stdout) == (0, f"Process launched with pid {pid}\n"), said.stderr
    assert pid is not None
    assert phone.processes.history[0].arguments == ("--once", "a b")
    until(lambda: phone.processes.history[0].lines == ["args: --once a b", "A=ü"], 30)
    assert launcher("kill", *rsd, str(pid)).returncode == 0
    assert phone.wait_app(pid) == -signal.SIGKILL


def test_pymobiledevice3_tells_phone_apps_and_values(lab: IosLab, newest: Phone, tmp_path: Path) -> None:
    rsd = ["--rsd", *map(str, address(newest))]

    def said(group: str, *words: str) -> dict[str, Any]:
        done = Launcher.pymobiledevice3(lab, tmp_path, group)(*words, *rsd)
        assert done.returncode == 0, done.stderr
        found = json.loads(done.stdout)
        assert isinstance(found, dict)
        return found

    assert said("apps", "list")[PROBE]["CFBundleExecutable"] == "Probe"
    assert said("lockdown", "info")["ProductVersion"] == "26.1"


def test_go_ios_starts_lists_and_ends_an_app(lab: IosLab, phone: Phone, tmp_path: Path) -> None:
    launcher = Launcher.go_ios(lab, tmp_path)
    needs_ipv6()
    whom = [f"--udid={phone.udid}", "--address=::1", f"--rsd-port={address(phone)[1]}"]
    said = launcher("launch", PROBE, *whom, "--kill-existing", "--arg=--once", "--arg=x", "--env=A=b")
    pid = phone.processes.running(PROBE)
    last = json.loads(said.stderr.splitlines()[-1])
    assert (said.returncode, last["msg"], last["pid"]) == (0, "Process launched", pid)
    assert pid is not None
    (listed,) = json.loads(launcher("ps", "--apps", *whom).stdout)
    assert (listed["Pid"], listed["Name"]) == (pid, "Probe")
    assert launcher("kill", f"--pid={pid}", *whom).returncode == 0
    assert phone.wait_app(pid) == -signal.SIGKILL
    assert launcher("kill", f"--pid={pid}", *whom).returncode == 1
