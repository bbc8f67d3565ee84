"""A private adb server, and emulated phones that are as plain as can be."""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import adbutils
import pytest

from emulated.android.daemon import Daemon, Program
from emulated.android.protocol import OLD_PAYLOAD, PAYLOAD, VERSION_CHECKSUM, VERSION_NO_CHECKSUM
from harness.clock import SystemClock

Result = TypeVar("Result")
CLOCK = SystemClock()
FEATURES = ("shell_v2", "cmd", "stat_v2", "ls_v2", "fixed_push_mkdir", "sendrecv_v2")


@dataclass
class PlainPhone:
    """A phone whose files are this computer's own: no path means another one."""

    features: Sequence[str] = FEATURES
    version: int = VERSION_NO_CHECKSUM
    max_payload: int = PAYLOAD
    banner: Mapping[str, str] = field(default_factory=lambda: {"ro.product.name": "plain", "ro.product.model": "P_1"})
    data: Path = Path("/data")

    def resolve(self, remote: str, *, follow: bool) -> Path:
        path = Path("/", remote)
        if path == Path("/data"):
            path = self.data
        return path.resolve() if follow else path.parent.resolve() / path.name

    def program(self, command: str | None, env: Mapping[str, str]) -> Program:
        argv = ["/bin/sh", "-"] if command is None else ["/bin/sh", "-c", command]
        return Program(argv, {**os.environ, **env}, Path("/"))


def old_phone() -> PlainPhone:
    return PlainPhone(features=(), version=VERSION_CHECKSUM, max_payload=OLD_PAYLOAD)


class LoopThread:
    """One event loop in a thread of its own."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self._thread.start()

    def do(self, work: Coroutine[Any, Any, Result]) -> Result:
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(20)

    def close(self) -> None:
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(10)
        self.loop.close()


def until(happens: Callable[[], object], seconds: float = 60.0) -> None:
    """Wait for something that happens on another thread or in another process."""
    end = CLOCK.monotonic() + seconds
    while not happens():
        assert CLOCK.monotonic() < end, "it did not happen in time"
        CLOCK.sleep(0.01)


class Adb:
    """The command line of adb with a server of our own, and connections as its clients make them."""

    def __init__(self, port: int, env: Mapping[str, str]) -> None:
        self.binary = adbutils.adb_path()
        self.port = port
        self.env = env

    def __call__(self, *words: str, stdin: bytes = b"", seconds: float = 20.0) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(
            [self.binary, *words], env=self.env, input=stdin, capture_output=True, timeout=seconds, check=False
        )

    def state(self, serial: str) -> str | None:
        for line in self("devices").stdout.decode().splitlines()[1:]:
            if line.startswith(f"{serial}\t"):
                return line.split("\t")[1]
        return None

    def open(self, serial: str, service: str, seconds: float = 10.0) -> socket.socket:
        """A connection to a service of a device."""
        connection = socket.create_connection(("127.0.0.1", self.port), timeout=seconds)
        try:
            for words in (f"host:tport:serial:{serial}", service):
                encoded = words.encode()
                connection.sendall(b"%04x" % len(encoded) + encoded)
                answer = receive(connection, 4)
                if answer != b"OKAY":
                    said = receive(connection, int(receive(connection, 4), 16))
                    raise ConnectionRefusedError(said.decode())
                if words.startswith("host:"):
                    receive(connection, 8)
        except BaseException:
            connection.close()
            raise
        return connection


def receive(connection: socket.socket, count: int | None = None) -> bytes:
    """Exactly `count` bytes, or all that come until the other side closes."""
    parts = []
    while count is None or count:
        part = connection.recv(min(count or 1 << 16, 1 << 16))
        if not part:
            assert count is None, "closed too early"
            break
        parts.append(part)
        count = None if count is None else count - len(part)
    return b"".join(parts)


@contextmanager
def private_server(folder: Path) -> Iterator[Adb]:
    """An adb server that sees nothing but what is connected to it."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("ADB", "ANDROID"))}
    env = {
        **kept,
        **dict.fromkeys(("ADB_USB", "ADB_MDNS", "ADB_EMU"), "0"),
        **dict.fromkeys(("HOME", "TMPDIR"), str(folder)),
        "ANDROID_ADB_SERVER_PORT": str(port),
    }
    adb = Adb(port, env)

    def answers() -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) == 0

    with (folder / "server.log").open("wb") as log:
        server = subprocess.Popen(
            [adb.binary, "-L", f"tcp:localhost:{port}", "server", "nodaemon"],
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
        try:
            until(answers)
            yield adb
        finally:
            server.terminate()
            server.wait(10)


@dataclass
class Plugged:
    """An emulated phone that the adb server is connected to."""

    daemon: Daemon
    handset: PlainPhone
    serial: str
    adb: Adb
    on_loop: LoopThread

    def shell(self, command: str, **options: Any) -> subprocess.CompletedProcess[bytes]:
        return self.adb("-s", self.serial, "shell", command, **options)

    def run(self, *words: str, **options: Any) -> subprocess.CompletedProcess[bytes]:
        return self.adb("-s", self.serial, *words, **options)


@pytest.fixture(scope="session")
def adb() -> Iterator[Adb]:
    if sys.platform != "linux":
        pytest.skip("emulated phones need Linux (pidfd_open)")
    with tempfile.TemporaryDirectory() as folder, private_server(Path(folder)) as server:
        yield server


@pytest.fixture(scope="session")
def on_loop() -> Iterator[LoopThread]:
    loop = LoopThread()
    yield loop
    loop.close()


@pytest.fixture
def sockets() -> Iterator[Path]:
    """A folder whose path is short enough for unix sockets."""
    folder = tempfile.mkdtemp(prefix="adbd")
    yield Path(folder)
    shutil.rmtree(folder)


Plug = Callable[..., Plugged]


@pytest.fixture
def plug(adb: Adb, on_loop: LoopThread, sockets: Path) -> Iterator[Plug]:
    """Plugs phones in; at the end nothing of them may be left."""
    plugged: list[Plugged] = []
    before = threading.active_count()

    def make(handset: PlainPhone | None = None, *, tcp: bool = False, wait: bool = True) -> Plugged:
        phone = handset or PlainPhone()
        daemon = Daemon(phone)
        path = sockets / f"{len(plugged)}.sock"
        port = on_loop.do(daemon.start(0 if tcp else path))
        serial = f"127.0.0.1:{port}" if tcp else f"localfilesystem:{path}"
        plugged.append(Plugged(daemon, phone, serial, adb, on_loop))
        if wait:
            adb("connect", serial)
            until(lambda: adb.state(serial) == "device")
        return plugged[-1]

    yield make
    threads = threading.active_count()
    for one in plugged:
        adb("disconnect", one.serial)
        on_loop.do(one.daemon.close())
        assert one.daemon.failures == []
        assert (one.daemon.streams, one.daemon.connections, one.daemon.processes()) == (0, 0, [])
    assert threads <= before, "the daemon starts no threads of its own"


@pytest.fixture
def phone(plug: Plug) -> Plugged:
    return plug()


@pytest.fixture
def phone_kinds(plug: Plug) -> Callable[[str], Plugged]:
    kinds: dict[str, Callable[[], PlainPhone]] = {
        "new": PlainPhone,
        "old": old_phone,
        "delayed_ack": lambda: PlainPhone(features=(*FEATURES, "delayed_ack")),
    }
    return lambda kind: plug(kinds[kind]())
