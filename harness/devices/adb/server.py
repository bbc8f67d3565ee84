"""One adb server: whether it is up, what it lists, and which devices it connects to."""

from __future__ import annotations

import os
import socket
import subprocess
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from harness.clock import Clock
from harness.devices.adb.errors import ServerDownError, Subject
from harness.devices.adb.wire import Connection
from harness.devices.shell.deadline import Deadline
from harness.errors import UsageError

DEFAULT_PORT = 5037
LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})

_PROBE_SECONDS = 5.0
_START_SECONDS = 10.0
_START_POLL = 0.02

T = TypeVar("T")


@dataclass(frozen=True)
class ListedDevice:
    """A device as a server lists it.

    Attributes:
        serial: not always unique: cheap devices share one, or have none ("").
        state: "device" when it can be used; else "offline", "unauthorized", "no permissions", ...
        transport_id: the server's own number for it; another device's after the server restarted.
        path: "usb:1-4.2" for one on USB.
        product: as the device says.
        model: likewise.
    """

    serial: str
    state: str
    transport_id: int
    path: str | None = None
    product: str | None = None
    model: str | None = None


class AdbServer:
    """An adb server, on this computer or another. May be used from several threads.

    Attributes:
        address: that is connected to.
        where: it is, for messages.
    """

    def __init__(self, host: str, port: int, clock: Clock, *, led: str = "") -> None:
        """Stand for the server; nothing is opened or started.

        Args:
            host: name or address.
            port: TCP port.
            clock: time.
            led: where the port leads to, if that is another computer's server: none is started here in its place.
        """
        self.address = (host, port)
        self._clock = clock
        self.where = led or f"{host}:{port}"
        self._led = led
        self._subject = Subject(f"adb server {self.where}")
        self._starting = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None

    def ensure(self) -> bool:
        """Have it up: start one if none is, and the address is this computer's.

        Returns:
            Whether it had to be started: then it has yet to look for devices.

        Raises:
            ServerDownError: none answers and none can be started, or the one that is there hangs.
            AdbProtocolError: something else listens there.
        """
        # Outside the lock: when the server hangs, many devices ask at once.
        if self._answers():
            return False
        with self._starting:
            if self._answers():
                return False
            self._start()
            return True

    def version(self, seconds: float = _PROBE_SECONDS) -> int:
        """Its version: 41 of "Android Debug Bridge version 1.0.41".

        Raises:
            ServerDownError: it is not there, or hangs.
            AdbProtocolError: something else listens there.
        """
        with Connection(self.address, self._subject, Deadline(self._clock, seconds), self.where) as connection:
            connection.dial()
            text = connection.ask_server_text("host:version")
            try:
                return int(text, 16)
            except ValueError:
                raise connection.junk(text.encode()) from None

    def devices(self, seconds: float = 5.0) -> list[ListedDevice]:
        """All devices that it knows, in any state.

        Raises:
            ServerDownError: it is not there, or hangs.
        """
        found = self._asked(lambda client: client.list(extended=True), seconds)
        return [self._listed(entry.serial, entry.state, entry.tags, seconds) for entry in found]

    def connect(self, address: str, seconds: float) -> str:
        """Have the server connect to a device on the network; what it says to that, which proves nothing.

        Raises:
            ServerDownError: it is not there, or hangs.
        """
        import adbutils

        try:
            return str(self._asked(lambda client: client.connect(address), seconds))
        except ServerDownError as error:
            if not isinstance(error.__cause__, (TimeoutError, adbutils.AdbTimeout)):
                raise
            return f"no answer from {address} within {seconds:g} s"

    def disconnect(self, address: str, seconds: float = 5.0) -> None:
        """Have the server let go of a device on the network; nothing happens if it has none.

        Raises:
            ServerDownError: it is not there, or hangs.
        """
        self._asked(lambda client: client.disconnect(address), seconds)

    def restart(self) -> bool:
        """End the server and start it again if this object started it; whether it did.

        Raises:
            ServerDownError: it does not come up again.
        """
        with self._starting:
            # Ours may have found the port taken by one that somebody else started, and ended.
            if self._process is None or self._process.poll() is not None:
                return False
            self._process.kill()
            self._process.wait()
            self._start()
            return True

    def close(self) -> None:
        """Let go. A server that was started goes on, as adb's own do: other programs may use it by now."""
        with self._starting:
            if self._process is not None and self._process.poll() is None:
                self._process.returncode = 0  # else Python complains about a child that still runs
            self._process = None

    def _answers(self) -> bool:
        """False if nobody listens. Raises ServerDownError if it hangs, AdbProtocolError if it is no adb server."""
        try:
            self.version()
        except ServerDownError as error:
            if isinstance(error.__cause__, ConnectionRefusedError):
                return False
            raise
        return True

    def _start(self) -> None:
        host, port = self.address
        if self._led or host not in LOOPBACK:
            todo = "start it there, or correct adb_server in devices.yaml"
            raise self._subject.error(ServerDownError, "nobody answers, and it is another computer's", todo=todo)
        command = [adb_program(), "-L", f"tcp:localhost:{port}", "server", "nodaemon"]
        nothing = subprocess.DEVNULL
        try:
            # In a session of its own, because Ctrl-C is for us.
            self._process = subprocess.Popen(
                command, stdin=nothing, stdout=nothing, stderr=nothing, start_new_session=True
            )
        except OSError as error:
            todo = "is that adb? see ADBUTILS_ADB_PATH and PATH"
            what = f"'{command[0]}' cannot be started"
            raise self._subject.error(ServerDownError, what, said=str(error), todo=todo) from error
        deadline = Deadline(self._clock, _START_SECONDS)
        while not self._answers():
            if deadline.left() <= 0:
                todo = f"see what `adb -P {port} server nodaemon` says"
                raise self._subject.error(ServerDownError, f"did not start within {_START_SECONDS:g} s", todo=todo)
            self._clock.sleep(_START_POLL)

    def _asked(self, question: Callable[[Any], T], seconds: float) -> T:
        """Ask through adbutils, whose errors of many families become ours."""
        import adbutils

        address = self.address

        class Connected(adbutils.AdbConnection):  # type: ignore[misc]
            def _safe_connect(self) -> socket.socket:
                # The original starts a server where none is, on whatever port the environment says.
                return socket.create_connection(address, timeout=seconds)

        class Client(adbutils.AdbClient):  # type: ignore[misc]
            def make_connection(self, timeout: float | None = None) -> Connected:
                return Connected(*address)

        try:
            return question(Client(*address))
        except (adbutils.AdbError, OSError, ValueError, EOFError) as error:
            todo = "see whether `adb devices` answers; if it hangs, end the server's process and run again"
            raise self._subject.error(ServerDownError, "does not answer", said=str(error), todo=todo) from error

    def _listed(self, serial: str, state: str, tags: Mapping[str, str], seconds: float) -> ListedDevice:
        number = int(tags.get("transport_id", 0))
        # adbutils cuts lines at every blank: "no permissions (...)", and "(no serial number)" before a state.
        if state == "no":
            state = "no permissions"
        elif serial == "(no":
            serial, state = "", self._state_of(number, seconds)
        path = f"usb:{tags['usb']}" if "usb" in tags else None
        return ListedDevice(serial, state, number, path, tags.get("product"), tags.get("model"))

    def _state_of(self, number: int, seconds: float) -> str:
        with Connection(self.address, self._subject, Deadline(self._clock, seconds), self.where) as connection:
            connection.dial()
            return connection.ask_server_text(f"host-transport-id:{number}:get-state")


def adb_program() -> str:
    """Path of the adb program: $ADBUTILS_ADB_PATH, else the one in PATH, else the one in adbutils' wheel.

    Raises:
        ServerDownError: there is none.
    """
    import adbutils

    try:
        return str(adbutils.adb_path())
    except (adbutils.AdbError, OSError) as error:
        todo = "install Android's platform-tools (`apt-get install adb`, `brew install android-platform-tools`)"
        subject = Subject("this computer")
        raise subject.error(ServerDownError, "has no adb program", said=str(error), todo=todo) from error


def open_server(address: str | None, clock: Clock, *, led: str = "") -> AdbServer:
    """The adb server at "host:port"; None is the one that the adb program itself would use.

    Args:
        address: of the server.
        clock: time.
        led: see `AdbServer`.

    Raises:
        UsageError: that is no address.
    """
    if address is None:
        return AdbServer(*default_address(), clock)
    return AdbServer(*split_address(address, "adb_server"), clock, led=led)


def default_address(environment: Mapping[str, str] | None = None) -> tuple[str, int]:
    """Host and port that the adb program takes from its environment variables, else localhost:5037.

    Args:
        environment: the variables; this process's by default.

    Raises:
        UsageError: a variable holds no address that can be used.
    """
    environment = os.environ if environment is None else environment
    if spec := environment.get("ADB_SERVER_SOCKET"):
        kind, _, rest = spec.partition(":")
        if kind != "tcp":
            raise UsageError(
                f"ADB_SERVER_SOCKET is '{spec}': only tcp:PORT and tcp:HOST:PORT can be used; set adb_server"
            )
        return split_address(rest if ":" in rest else f"localhost:{rest}", "ADB_SERVER_SOCKET")
    host = environment.get("ANDROID_ADB_SERVER_ADDRESS") or "localhost"
    port = environment.get("ANDROID_ADB_SERVER_PORT") or str(DEFAULT_PORT)
    return split_address(f"{host}:{port}", "ANDROID_ADB_SERVER_PORT")


def split_address(address: str, key: str) -> tuple[str, int]:
    """Host and port of "host:port".

    Args:
        address: what somebody wrote.
        key: where; for messages.

    Raises:
        UsageError: that is no address.
    """
    host, _, port = address.rpartition(":")
    if not host or not port.isascii() or not port.isdigit() or not 0 < int(port) < 65536:
        raise UsageError(
            f"{key}: '{address}' is no address of an adb server; expected host:port, for example localhost:5037"
        )
    return host.strip("[]"), int(port)
