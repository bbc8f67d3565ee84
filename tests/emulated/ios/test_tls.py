"""TLS between hosts and emulated iPhones: who has to show what, and where it ends."""

from __future__ import annotations

import plistlib
import ssl
import struct
from pathlib import Path
from typing import Any

import pytest

from emulated.ios import tls
from emulated.ios.connection import Connection
from emulated.ios.description import named, names
from emulated.ios.lab import IosLab
from emulated.ios.phone import Phone
from emulated.ios.services.service import Service
from emulated.ios.services.table import SERVICES
from harness.errors import UsageError
from tests.emulated.ios.conftest import Tool
from tests.emulated.ios.wire import LOCKDOWN, Wire
from tests.ios_tools import needs_tidevice

ECHO = "com.example.echo"


class SecureWire(Wire):
    """A client that puts TLS on when lockdown or a service asks for it."""

    def __init__(self, lab: IosLab, phone: Phone, folder: Path) -> None:
        super().__init__(lab.address)
        self.plain = self.socket
        asked = self.mux(MessageType="ReadPairRecord", PairRecordID=phone.udid)
        self.record: dict[str, Any] = plistlib.loads(asked["PairRecordData"])
        self.pem = folder / "host.pem"
        self.pem.write_bytes(self.record["HostPrivateKey"] + self.record["HostCertificate"])

    def secure(self, *, with_certificate: bool = True, highest: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3) -> str | None:
        """Put TLS on; its version."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.maximum_version = highest
        context.load_verify_locations(cadata=self.record["RootCertificate"].decode())
        if with_certificate:
            context.load_cert_chain(self.pem)
        # A copy of the socket, so that the one without TLS is there afterwards.
        secured = context.wrap_socket(self.plain.dup())
        self.socket = secured
        return secured.version()

    def close(self) -> None:
        self.socket.close()
        self.plain.close()


def session(wire: SecureWire, phone: Phone) -> dict[str, Any]:
    wire.reach(phone.udid, LOCKDOWN)
    return wire.ask(Request="StartSession", HostID=wire.record["HostID"], SystemBUID=wire.record["SystemBUID"])


async def echo(phone: Phone, connection: Connection) -> None:
    while data := await connection.read():
        await connection.write(data)


@pytest.mark.parametrize("name", names())
def test_the_tools_of_others_get_through(lab: IosLab, tool: Tool, tide_home: Path, name: str) -> None:
    needs_tidevice()
    from tidevice import Device, Usbmux

    phone, about = lab.add(name, tls=True), named(name)
    assert tool("ideviceinfo", phone, "-k", "ProductVersion").stdout == f"{about.os_version}\n"
    assert "com.example.delegatebench" in tool("ideviceinstaller", phone, "-l").stdout
    device = Device(phone.udid, Usbmux(lab.address))
    assert device.get_value("ActivationState") == "Activated"
    assert device.installation.lookup("com.example.delegatebench") is not None


def test_a_session_is_secured_and_can_go_on_in_plain(lab: IosLab, tmp_path: Path) -> None:
    phone = lab.add("iphone-13", tls=True)
    with SecureWire(lab, phone, tmp_path) as wire:
        answer = session(wire, phone)
        assert answer["EnableSessionSSL"] is True
        assert wire.secure() == "TLSv1.2"
        assert wire.ask(Request="GetValue", Key="ActivationState")["Value"] == "Activated"
        assert "Error" not in wire.ask(Request="StopSession", SessionID=answer["SessionID"])
        secured = wire.socket
        assert isinstance(secured, ssl.SSLSocket)
        secured.unwrap().close()
        wire.socket = wire.plain
        assert wire.ask(Request="GetValue", Key="ActivationState")["Error"] == "GetProhibited"
        assert wire.ask(Request="GetValue", Key="ProductVersion")["Value"] == "16.4"


def test_a_client_has_to_show_the_certificate_of_the_pair_record(lab: IosLab, tmp_path: Path) -> None:
    phone = lab.add("iphone-13", tls=True)
    with SecureWire(lab, phone, tmp_path) as wire:
        session(wire, phone)
        with pytest.raises((OSError, EOFError)):
            wire.secure(with_certificate=False)
            wire.ask(Request="GetValue")


def test_a_client_that_talks_in_plain_is_cut(lab: IosLab, tmp_path: Path) -> None:
    phone = lab.add("iphone-13", tls=True)
    with SecureWire(lab, phone, tmp_path) as wire:
        session(wire, phone)
        wire.send(Request="GetValue")
        with pytest.raises((EOFError, ConnectionError)):
            while True:  # an alert may come before the end
                wire.exactly(1)


@pytest.mark.parametrize(("name", "secured"), [("iphone-8", False), ("iphone-11", True), ("iphone-17", True)])
def test_instruments_of_old_end_tls_after_the_handshake(
    lab: IosLab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, secured: bool
) -> None:
    monkeypatch.setitem(SERVICES, ECHO, Service(echo, handshake_only_before=14))
    phone = lab.add(name, tls=True)
    with SecureWire(lab, phone, tmp_path) as lockdown:
        session(lockdown, phone)
        lockdown.secure()
        answer = lockdown.ask(Request="StartService", Service=ECHO)
        assert answer["EnableServiceSSL"] is True
    with SecureWire(lab, phone, tmp_path) as wire:
        wire.reach(phone.udid, answer["Port"])
        wire.secure()
        stream = wire.socket if secured else wire.plain
        data = bytes(range(256)) * 4000
        stream.sendall(data[:300_000])
        stream.sendall(data[300_000:])
        got = b""
        while len(got) < len(data):
            part = stream.recv(1 << 16)
            assert part, f"{len(got)} bytes came back"
            got += part
        assert got == data


def test_a_phone_says_goodbye_to_tls(lab: IosLab, tmp_path: Path) -> None:
    """Clients that end TLS wait for the answer: seconds, where none comes."""
    phone = lab.add("iphone-13", tls=True)
    with SecureWire(lab, phone, tmp_path) as wire:
        session(wire, phone)
        wire.secure()
        assert "Error" not in wire.ask(Request="Goodbye")
        assert wire.socket.recv(1) == b"", "an end that TLS confirms: without, this is an error"


def test_no_key_stays_on_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    tls.identity.cache_clear()
    made = tls.identity()
    assert made.key.startswith(b"-----BEGIN PRIVATE KEY-----")
    assert list(tmp_path.iterdir()) == []


def test_without_openssl_it_is_said_what_to_install(
    lab: IosLab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    tls.identity.cache_clear()
    with pytest.raises(UsageError, match="apt-get install openssl"):
        lab.add("iphone-13", tls=True)
    lab.add("iphone-13")


def test_a_length_that_cannot_be_is_the_end(lab: IosLab) -> None:
    phone = lab.add("iphone-13")
    with Wire(lab.address) as wire:
        wire.reach(phone.udid, LOCKDOWN)
        wire.socket.sendall(struct.pack(">I", 5) + b"junk!")
        with pytest.raises((EOFError, ConnectionError)):
            wire.exactly(1)
