"""The other side of an adbd, packet by packet: what an adb server would say, and what it never would."""

from __future__ import annotations

import socket
from pathlib import Path
from types import TracebackType

from typing_extensions import Self

from emulated.android import protocol
from emulated.android.protocol import AUTH, CLSE, CNXN, HEADER, OKAY, OPEN, WRTE, Packet
from tests.emulated.conftest import receive


class Server:
    """A connection to a daemon's socket. Everything that is expected has to come within 5 s."""

    def __init__(
        self, path: Path, version: int = protocol.VERSION_NO_CHECKSUM, payload: int = protocol.PAYLOAD
    ) -> None:
        self.version = version
        self.payload = payload
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(5)
        self._socket.connect(str(path))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._socket.close()

    def send(self, command: int, arg0: int = 0, arg1: int = 0, payload: bytes = b"") -> None:
        packet = Packet(command, arg0, arg1, payload)
        self.write(protocol.pack_header(packet, with_checksum=self.version < protocol.VERSION_NO_CHECKSUM) + payload)

    def write(self, data: bytes) -> None:
        self._socket.sendall(data)

    def read(self) -> Packet:
        command, arg0, arg1, length, total, magic = HEADER.unpack(receive(self._socket, HEADER.size))
        assert magic == command ^ 0xFFFFFFFF
        payload = receive(self._socket, length)
        if self.version < protocol.VERSION_NO_CHECKSUM or command in (CNXN, AUTH):
            assert total == sum(payload)
        return Packet(command, arg0, arg1, payload)

    def quiet(self, seconds: float = 0.2) -> bool:
        """Whether nothing comes for a while, though the connection is there."""
        self._socket.settimeout(seconds)
        try:
            assert self._socket.recv(1, socket.MSG_PEEK), "closed"
        except TimeoutError:
            return True
        finally:
            self._socket.settimeout(5)
        return False

    def closed(self) -> bool:
        """Whether nothing comes any more, ever."""
        try:
            return receive(self._socket) == b""
        except ConnectionResetError:
            return True

    def greet(self, features: str = "shell_v2,cmd,stat_v2") -> Packet:
        """Introduce ourselves; the answer."""
        self.send(CNXN, self.version, self.payload, f"host::features={features}".encode())
        return self.read()

    def open(self, service: str, number: int = 7, window: int = 0) -> Packet:
        """Open a service; the answer."""
        self.send(OPEN, number, window, service.encode() + b"\0")
        return self.read()

    def all(self, number: int = 7) -> bytes:
        """All that a stream says until it closes; every packet is acknowledged."""
        parts = []
        while (packet := self.read()).command != CLSE:
            if packet.command == WRTE:
                parts.append(packet.payload)
                self.send(OKAY, number, packet.arg0)
        return b"".join(parts)
