"""A client of emulated iPhones that says exactly what a test wants to say: usbmuxd, lockdown without TLS, AFC."""

from __future__ import annotations

import plistlib
import socket
import struct
from collections.abc import Mapping
from types import TracebackType
from typing import Any

from typing_extensions import Self

from emulated.ios.phone import Phone

LOCKDOWN = 62078
SECONDS = 30.0
NUMBER = struct.Struct("<Q")
HEADER = struct.Struct("<8sQQQQ")

SUCCESS, INVALID_ARGUMENT, NOT_FOUND, IS_FOLDER, DENIED = 0, 7, 8, 9, 10
TOO_MUCH_DATA, NOT_SUPPORTED, EXISTS, NO_SPACE, WOULD_BLOCK, NOT_EMPTY = 13, 15, 16, 18, 19, 33
READ_DIR, TRUNCATE, REMOVE, MAKE_DIR, INFO, DEVICE, OPEN, READ, WRITE = 3, 7, 8, 9, 0x0A, 0x0B, 0x0D, 0x0F, 0x10
SEEK, TELL, CLOSE, SET_SIZE, RENAME, LOCK, LINK, SET_TIME, REMOVE_ALL = (
    0x11,
    0x12,
    0x14,
    0x15,
    0x18,
    0x1B,
    0x1C,
    0x1E,
    0x22,
)


class Wire:
    """A connection to usbmuxd that becomes one to lockdown, or to a service."""

    def __init__(self, address: str) -> None:
        host, _, port = address.rpartition(":")
        self.socket = socket.create_connection((host, int(port)), timeout=SECONDS)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self.socket.close()

    def exactly(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            part = self.socket.recv(size - len(data))
            if not part:
                raise EOFError(f"{len(data)} of {size} bytes")
            data += part
        return data

    def mux(self, **request: Any) -> dict[str, Any]:
        """A request to usbmuxd, and its answer."""
        body = plistlib.dumps({"ClientVersionString": "test", "ProgName": "test", **request})
        self.socket.sendall(struct.pack("<IIII", 16 + len(body), 1, 8, 1) + body)
        (length,) = struct.unpack("<I", self.exactly(16)[:4])
        answer = plistlib.loads(self.exactly(length - 16))
        assert isinstance(answer, dict)
        return answer

    def reach(self, udid: str, port: int) -> None:
        """Have usbmuxd connect this to a port of a phone."""
        listed = self.mux(MessageType="ListDevices")["DeviceList"]
        number = next(one["DeviceID"] for one in listed if one["Properties"]["SerialNumber"] == udid)
        assert self.mux(MessageType="Connect", DeviceID=number, PortNumber=socket.htons(port))["Number"] == 0

    def send(self, **value: Any) -> None:
        body = plistlib.dumps(value)
        self.socket.sendall(struct.pack(">I", len(body)) + body)

    def receive(self) -> dict[str, Any]:
        (length,) = struct.unpack(">I", self.exactly(4))
        answer = plistlib.loads(self.exactly(length))
        assert isinstance(answer, dict)
        return answer

    def ask(self, **value: Any) -> dict[str, Any]:
        self.send(**value)
        return self.receive()


def start(address: str, phone: Phone, service: str) -> tuple[Wire | None, Mapping[str, Any]]:
    """Ask lockdown for a service: a connection to it, or what lockdown says against it."""
    with Wire(address) as lockdown:
        record = plistlib.loads(lockdown.mux(MessageType="ReadPairRecord", PairRecordID=phone.udid)["PairRecordData"])
        lockdown.reach(phone.udid, LOCKDOWN)
        keys = {"HostID": record["HostID"], "SystemBUID": record["SystemBUID"]}
        assert "Error" not in lockdown.ask(Label="test", Request="StartSession", **keys)
        answer = lockdown.ask(Label="test", Request="StartService", Service=service)
    if "Port" not in answer:
        return None, answer
    wire = Wire(address)
    wire.reach(phone.udid, answer["Port"])
    return wire, answer


def service(address: str, phone: Phone, name: str) -> Wire:
    """A connection to a service."""
    wire, answer = start(address, phone, name)
    assert wire is not None, answer
    return wire


class Afc:
    """A client of AFC: statuses, not exceptions."""

    def __init__(self, wire: Wire) -> None:
        self.wire = wire
        self._requests = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.wire.close()

    def send(self, operation: int, fields: bytes = b"", payload: bytes = b"") -> None:
        self._requests += 1
        this = HEADER.size + len(fields)
        header = HEADER.pack(b"CFA6LPAA", this + len(payload), this, self._requests, operation)
        self.wire.socket.sendall(header + fields + payload)

    def receive(self) -> tuple[int, bytes]:
        """Status, and the data where it is 0."""
        magic, length, _, number, operation = HEADER.unpack(self.wire.exactly(HEADER.size))
        assert (magic, number) == (b"CFA6LPAA", self._requests)
        body = self.wire.exactly(length - HEADER.size)
        if operation == 1:
            return NUMBER.unpack(body)[0], b""
        return SUCCESS, body

    def ask(self, operation: int, fields: bytes = b"", payload: bytes = b"") -> tuple[int, bytes]:
        self.send(operation, fields, payload)
        return self.receive()

    def status(self, operation: int, *fields: int | str, payload: bytes = b"") -> int:
        """What becomes of a request whose fields are numbers and paths."""
        return self.ask(operation, packed(*fields), payload)[0]

    def open(self, path: str, mode: int = 1) -> int:
        status, data = self.ask(OPEN, packed(mode, path))
        assert status == SUCCESS, status
        return int(NUMBER.unpack(data)[0])

    def read(self, handle: int, size: int = 1 << 20) -> bytes:
        status, data = self.ask(READ, packed(handle, size))
        assert status == SUCCESS, status
        return data

    def put(self, path: str, data: bytes) -> int:
        """Write a file; the status of the write."""
        handle = self.open(path, 3)
        status = self.status(WRITE, handle, payload=data)
        assert self.status(CLOSE, handle) == SUCCESS
        return status

    def get(self, path: str) -> bytes:
        handle = self.open(path)
        parts = []
        while part := self.read(handle):
            parts.append(part)
        assert self.status(CLOSE, handle) == SUCCESS
        return b"".join(parts)

    def names(self, path: str) -> list[str]:
        status, data = self.ask(READ_DIR, packed(path))
        assert status == SUCCESS, status
        return [name for name in data.decode().split("\0")[:-1] if name not in (".", "..")]

    def info(self, path: str) -> dict[str, str]:
        status, data = self.ask(INFO, packed(path))
        assert status == SUCCESS, status
        return pairs(data)


def packed(*fields: int | str) -> bytes:
    """Numbers as AFC has them, texts with a zero byte behind them."""
    return b"".join(NUMBER.pack(one % (1 << 64)) if isinstance(one, int) else one.encode() + b"\0" for one in fields)


def pairs(data: bytes) -> dict[str, str]:
    texts = data.decode().split("\0")[:-1]
    return dict(zip(texts[::2], texts[1::2], strict=True))


def vend(address: str, phone: Phone, bundle: str, command: str = "VendDocuments") -> Afc:
    """The files of an app."""
    wire = service(address, phone, "com.apple.mobile.house_arrest")
    answer = wire.ask(Command=command, Identifier=bundle)
    assert answer == {"Status": "Complete"}, answer
    return Afc(wire)
