"""One host: its SSH connection, and ports of this computer that lead to what listens there."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from harness.clock import Clock
from harness.devices.adb.errors import AdbError
from harness.devices.adb.server import DEFAULT_PORT, LOOPBACK, AdbServer, open_server, split_address
from harness.devices.base import DeviceError
from harness.devices.hosts.cache import Behind, HostCache
from harness.devices.ios import usbmux
from harness.devices.shell.errors import WayRefusedError
from harness.devices.ssh.channels import Opener, open_socket, open_tcp
from harness.devices.ssh.connection import SshConnection
from harness.devices.ssh.errors import SshLostError
from harness.devices.ssh.forward import Forward, Stream
from harness.lab.spec import HostSpec
from harness.plan.cell import ErrorClass

_CONNECT_SECONDS = 30.0
_OPEN_SECONDS = 10.0  # what asks through a forward gives up after as long
_PROBE_SECONDS = 10.0
_TRIES = 2
_START_SECONDS = 30.0


@dataclass(frozen=True)
class Led:
    """What a port of this computer leads to.

    Attributes:
        far: its address, as the host sees it.
        forward: the port.
    """

    far: str
    forward: Forward


class Host:
    """A computer that phones are plugged into. May be used from several threads.

    Attributes:
        name: in devices.yaml.
        connection: to it.
        cache: files on it that its phones get from there.
    """

    def __init__(self, name: str, spec: HostSpec, clock: Clock) -> None:
        """Stand for it; nothing is opened.

        Args:
            name: in devices.yaml.
            spec: its entry.
            clock: time.
        """
        self.name = name
        self.connection = SshConnection(spec.ssh, spec.identity, name, clock, owner="host")
        self.cache = HostCache(self.connection, name, clock)
        self._clock = clock
        self._lock = threading.Lock()
        self._starting = threading.Lock()
        self._led: dict[str, Led] = {}
        self._leaving = False

    def adb_address(self, far: str | None) -> str:
        """The port here that leads to an adb server of the host.

        Args:
            far: host:port, as the host sees it; its own default port by default.

        Raises:
            UsageError: that is no address.
        """
        address = far or f"127.0.0.1:{DEFAULT_PORT}"
        split_address(address, "adb_server")
        return self.tcp_address(address)

    def usbmuxd_address(self, far: str | None) -> str:
        """The port here that leads to a usbmuxd of the host.

        Args:
            far: a socket's path or host:port, as the host sees it; the system's by default.

        Raises:
            UsageError: that is no address.
        """
        address = usbmux.address_of(far or usbmux.SYSTEM)
        if not address.path:
            return self.tcp_address(str(address))
        return self._lead(address.path, lambda link, seconds: open_socket(link, address.path, seconds))

    def tcp_address(self, far: str) -> str:
        """The port here that leads to host:port, as the host sees it."""
        where, _, port = far.rpartition(":")
        return self._lead(far, lambda link, seconds: open_tcp(link, where.strip("[]"), int(port), seconds))

    def adb_server(self, near: str) -> AdbServer:
        """The adb server that a port here leads to."""
        return open_server(near, self._clock, led=f"{self._led[near].far} of {self.name}")

    def problem(self, near: str) -> DeviceError | None:
        """Why the last connection to a port here led nowhere; None if it did not."""
        return self._led[near].forward.problem

    def leads(self, near: str) -> bool:
        """Whether an address of this computer is one of the ports that lead to this host."""
        return near in self._led

    def bytes_led(self) -> tuple[int, int]:
        """Bytes that went to the host through all ports, and that came from there."""
        with self._lock:
            forwards = [led.forward for led in self._led.values()]
        return sum(one.bytes_sent for one in forwards), sum(one.bytes_received for one in forwards)

    def ready_adb(self, near: str, cancelled: threading.Event) -> None:
        """Have the host reached, and its adb server up; it is started if it is one of the host's own.

        Args:
            near: the port here that leads to it.
            cancelled: ends the waiting.

        Raises:
            WayError: the host cannot be reached, its adb server does not answer and cannot be started.
        """
        self.connection.connect(_CONNECT_SECONDS, cancelled)
        if self._adb_version(near) is not None:
            return
        with self._starting:
            if self._adb_version(near) is not None:
                return
            where, _, port = self._led[near].far.rpartition(":")
            if where not in LOOPBACK:
                what, todo = f"no adb server answers at {where}:{port} there", "start it, or correct adb_server"
                raise self.connection.subject.error(SshLostError, what, todo=todo)
            self.cache.start_adb(int(port), _START_SECONDS)
            if self._adb_version(near) is None:
                todo = f"run `adb -P {port} start-server` there and see what it says"
                raise self.connection.subject.error(
                    SshLostError, f"its adb server does not answer on port {port}", todo=todo
                )

    def ready_usbmuxd(self, near: str, cancelled: threading.Event) -> None:
        """Have the host reached, and its usbmuxd answer.

        Raises:
            WayError: the host cannot be reached, or no usbmuxd answers there.
        """
        self.connection.connect(_CONNECT_SECONDS, cancelled)
        try:
            usbmux.list_devices(near, _PROBE_SECONDS, self._clock)
        except DeviceError as error:
            led = self._led[near]
            said = str(led.forward.problem or "")
            todo = "is usbmuxd installed and running there? (on Debian: apt-get install usbmuxd)"
            what = f"no usbmuxd answers at {led.far} there"
            raise self.connection.subject.error(SshLostError, what, said=said, todo=todo) from error

    def behind(self, near: str, serial: str) -> Behind:
        """A phone, as the host's own adb reaches it; `near`: the port here that leads to its adb server."""
        return Behind(serial, self._led[near].far, lambda: self._adb_version(near))

    @contextlib.contextmanager
    def blamed(self, device: str) -> Iterator[None]:
        """Around what is done with a phone: what fails because the host was lost is the host's fault, not the phone's.

        Args:
            device: the phone's name, for messages.

        Raises:
            DeviceError: as it came, or of class host if the connection to the host was lost meanwhile.
        """
        made = self.connection.made
        try:
            yield
        except DeviceError as error:
            if error.device == self.name:
                raise _fault(device, str(error)) from error
            if isinstance(error, WayRefusedError) or error.error_class not in (ErrorClass.DEVICE, ErrorClass.HOST):
                raise  # the phone was heard
            if self.connection.made == made and self.connection.alive():
                raise
            raise _fault(device, f"the connection to its host {self.name} was lost: {error}") from error

    def leave(self) -> None:
        """Make no new connection from now on: what still asks for one is refused at once."""
        self._leaving = True

    def close(self) -> None:
        """Close the connection and all ports."""
        self._leaving = True
        self.connection.close()
        with self._lock:
            led, self._led = list(self._led.values()), {}
        for one in led:
            one.forward.close()

    def _lead(self, far: str, opener: Callable[[Opener, float], Stream]) -> str:
        with self._lock:
            for near, led in self._led.items():
                if led.far == far:
                    return near

            def open_stream() -> Stream:
                if self._leaving and not self.connection.up:
                    raise self.connection.subject.error(SshLostError, "is not connected any more")
                return self.connection.channel(opener, _OPEN_SECONDS)

            spare = not far.startswith("/")  # a program that stands in for a unix socket would take a session
            forward = Forward(open_stream, f"{self.name} {far}", spare=spare)
            self._led[forward.address] = Led(far, forward)
            return forward.address

    def _adb_version(self, near: str) -> int | None:
        """Of the adb server that a port leads to; None if nothing listens there. Raises WayError."""
        led = self._led[near]
        for _ in range(_TRIES):
            try:
                return self.adb_server(near).version(_PROBE_SECONDS)
            except AdbError as error:
                said = str(error)
                if (problem := led.forward.problem) is not None:
                    if not self.connection.up:
                        raise problem from error
                    return None
            # Its port led on for somebody else meanwhile: it may have been started just now.
        what = f"what listens at {led.far} there is no adb server that answers"
        raise self.connection.subject.error(SshLostError, what, said=said)


def _fault(device: str, words: str) -> DeviceError:
    return DeviceError(f"{device}: {words}", device=device, error_class=ErrorClass.HOST)
