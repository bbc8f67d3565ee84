"""An adb server that says what a test tells it to, byte for byte."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from collections.abc import Callable, Iterator, Sequence

from harness.clock import SystemClock
from harness.devices.adb.device import AdbDevice
from harness.devices.adb.server import AdbServer

SERIAL = "EXAMPLE8P065R"
MODERN = ("shell_v2", "stat_v2", "ls_v2", "sendrecv_v2")
CLOCK = SystemClock()


def text(words: str) -> bytes:
    encoded = words.encode()
    return b"%04x" % len(encoded) + encoded


def packet(kind: int, data: bytes) -> bytes:
    """One of shell v2."""
    return struct.pack("<BI", kind, len(data)) + data


def message(kind: bytes, data: bytes = b"") -> bytes:
    """One of the sync protocol."""
    return struct.pack("<4sI", kind, len(data)) + data


def stat_v2(kind: bytes, mode: int, size: int, code: int = 0) -> bytes:
    return kind + struct.pack("<IQQIIIIQqqq", code, 1, 2, mode, 1, 0, 0, size, 10, 20, 30)


class Talk:
    """The server's side of one connection."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection

    def read(self, count: int) -> bytes:
        data = b""
        while len(data) < count:
            if not (piece := self._connection.recv(count - len(data))):
                raise ConnectionError("the client went away")
            data += piece
        return data

    def request(self) -> str:
        return self.read(int(self.read(4), 16)).decode()

    def sync_request(self) -> tuple[bytes, str]:
        kind, length = struct.unpack("<4sI", self.read(8))
        return kind, self.read(length).decode()

    def sync_data(self) -> bytes:
        """The content of a file that is being pushed, to its DONE."""
        content = b""
        while True:
            kind, length = struct.unpack("<4sI", self.read(8))
            if kind == b"DONE":
                return content
            assert kind == b"DATA"
            content += self.read(length)

    def say(self, data: bytes) -> None:
        self._connection.sendall(data)

    def dribble(self, data: bytes) -> None:
        for start in range(len(data)):
            self.say(data[start : start + 1])
            CLOCK.sleep(0.0002)

    def wait_for_the_end(self) -> None:
        while self._connection.recv(1 << 16):
            pass


Script = Callable[[Talk, str], None]


class Scripted:
    """Leads to one device whose services are `script`; what it lists can be changed."""

    def __init__(self, script: Script, features: Sequence[str] = MODERN) -> None:
        self.asked: list[str] = []
        self.listing = f"{SERIAL} device usb:1-4.2 product:shiba model:Pixel_8 device:shiba transport_id:3\n"
        self.transport = b"OKAY"
        self.greeting: bytes | None = None
        self.failures: list[BaseException] = []
        self._script = script
        self._features = text(",".join(features))
        self._socket = socket.create_server(("127.0.0.1", 0))
        self._talking: list[threading.Thread] = []
        self._connections: list[socket.socket] = []
        self._accepting = threading.Thread(target=self._accept, daemon=True)
        self._accepting.start()

    @property
    def port(self) -> int:
        return int(self._socket.getsockname()[1])

    def server(self) -> AdbServer:
        return AdbServer("127.0.0.1", self.port, CLOCK)

    def device(self, serial: str = SERIAL) -> AdbDevice:
        return AdbDevice(self.server(), serial, "pixel", CLOCK)

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._accepting.join(5)
        for connection in self._connections:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        for thread in self._talking:
            thread.join(5)
            assert not thread.is_alive()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._socket.accept()
                self._connections.append(connection)
                self._talking.append(threading.Thread(target=self._talk, args=(connection,), daemon=True))
                self._talking[-1].start()

    def _talk(self, connection: socket.socket) -> None:
        talk = Talk(connection)
        with connection, contextlib.suppress(OSError):
            try:
                while True:
                    asked = talk.request()
                    self.asked.append(asked)
                    if not self._serve(talk, asked):
                        return
            except OSError:
                raise
            except BaseException as error:
                self.failures.append(error)

    def _serve(self, talk: Talk, asked: str) -> bool:
        """Whether another request may follow."""
        if self.greeting is not None:
            talk.say(self.greeting)
            talk.wait_for_the_end()
        elif asked == "host:version":
            talk.say(b"OKAY" + text("0029"))
        elif asked == "host:devices-l":
            talk.say(b"OKAY" + text(self.listing))
        elif asked.startswith("host-transport-id:"):
            talk.say(b"OKAY" + text("unauthorized"))
        elif asked.startswith("host:transport:"):
            talk.say(self.transport)
            return self.transport == b"OKAY"
        elif asked == "host:features":
            talk.say(b"OKAY" + self._features)
        else:
            self._script(talk, asked)
        return False


@contextlib.contextmanager
def scripted(script: Script, features: Sequence[str] = MODERN) -> Iterator[Scripted]:
    """A scripted server; a script that fails, fails the test."""
    server = Scripted(script, features)
    try:
        yield server
    finally:
        server.close()
    assert not server.failures, server.failures
