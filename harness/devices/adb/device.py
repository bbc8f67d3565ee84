"""One device through one adb server."""

from __future__ import annotations

import contextlib
import math
import secrets
import threading
import weakref
from collections.abc import Callable, Iterator

from harness.clock import Clock
from harness.devices.adb.errors import (
    REPLUG,
    TAP_ALLOW,
    AdbError,
    AdbProtocolError,
    DeviceLostError,
    RemoteError,
    ServerDownError,
    Subject,
)
from harness.devices.adb.server import AdbServer
from harness.devices.adb.shell import run_v1, run_v2, service_v1, service_v2
from harness.devices.adb.sync import SyncSession
from harness.devices.adb.wire import OLD_SERVICE_LIMIT, SERVICE_LIMIT, Connection
from harness.devices.base import DeviceError
from harness.devices.shell.deadline import Deadline
from harness.devices.shell.way import FileSession, ShellResult

ABSENT = "absent"
OFFLINE = "offline"
READY = "device"
UNAUTHORIZED = "unauthorized"
USB = "usb:"

_CONNECT = "connect"  # what errors are about while nothing else was asked for
_POLL_SECONDS = 0.25
_LIST_SECONDS = 5.0
_ALIVE_SECONDS = 5.0
_CONNECT_SECONDS = 3.0  # adb goes on trying, up to 10 s, when nobody listens any more
_OFFLINE_SECONDS = 3.0  # one that dropped comes back by itself in less than that, or not
_RETURN_SECONDS = 10.0
_LONGEST = 50_000
_LONGEST_OLD = 3_800  # adbd of before Android 7 takes a service of one packet, 4 KiB
_ABSENT_SECONDS = 8.0  # a server that has just been started needs a moment to find what is plugged in


class AdbDevice:
    """What can be asked of a device. May be used from several threads.

    The server finds the device anew for every operation, by serial or by path: nothing is kept that a restarted
    server would give to another device.
    """

    def __init__(self, server: AdbServer, serial: str, name: str, clock: Clock) -> None:
        """Stand for the device; nothing is opened.

        Args:
            server: that it is connected to.
            serial: as the server lists it; "usb:..." (its path) for one whose serial is not unique; host:port for
                one on the network, which is connected on demand.
            name: in devices.yaml.
            clock: time.
        """
        self.server = server
        self.serial = serial
        self.name = name
        self.state: str = ABSENT
        self._clock = clock
        self._subject = Subject(name, serial)
        self._lock = threading.Lock()
        self._open: weakref.WeakSet[Connection] = weakref.WeakSet()
        self._features: frozenset[str] | None = None

    @property
    def features(self) -> frozenset[str]:
        """What its adbd offers ("shell_v2", ...), as of the last connect or the first use; empty before."""
        return self._features or frozenset()

    @property
    def longest(self) -> int:
        """Bytes of the longest command, with room for what goes around it."""
        return _LONGEST if "shell_v2" in self.features else _LONGEST_OLD

    @property
    def network(self) -> bool:
        """Whether the server has to be told to connect to it."""
        return ":" in self.serial and not self.serial.startswith(USB)

    def connect(self, seconds: float, tell: Callable[[str], None], cancelled: threading.Event) -> None:
        """Reach the device, waiting for it if need be; for one that is not there at all, some seconds only.

        Args:
            seconds: for everything together, starting a server excepted.
            tell: gets one sentence when a person has to do something.
            cancelled: ends the waiting.

        Raises:
            UnauthorizedError: nobody allowed it in time.
            DeviceLostError: it is not there, or not ready; also when cancelled.
            RemoteError: it cannot be used as it is: a serial that is not unique, or no permission.
            ServerDownError: no adb server answers.
        """
        deadline = Deadline(self._clock, seconds)
        self.server.ensure()
        self._wait_until_ready(deadline, tell, cancelled, _ABSENT_SECONDS)
        self._features = None
        self._known_features(deadline)

    def shell(
        self, command: str, seconds: float, *, stdin: bytes = b"", limit: int = 16 << 20, shown: str = ""
    ) -> ShellResult:
        """Run a command to its end.

        When this raises, the command's sh gets a hang-up, but what sh has started may go on: end a command line
        with `exec program` to have it die.

        Args:
            command: for the device's sh, at most about 60 KB (4 KB on devices without shell v2).
            seconds: for everything together.
            stdin: what the command reads; needs shell v2.
            limit: bytes of output; more is an error.
            shown: what errors call the command; its beginning by default.

        Raises:
            DeviceLostError: the connection ended before the command's exit code came.
            DeviceTimeoutError: it did not end in time.
            RemoteError: the device refused to run it, or it printed more than `limit`.
            AdbError: something else went wrong on the way.
        """
        deadline = Deadline(self._clock, seconds)
        shown = shown or command
        v2 = "shell_v2" in self._known_features(deadline)
        if stdin and not v2:
            raise self._subject.error(RemoteError, "takes no input for commands", command=shown, said="no shell_v2")
        if v2:
            with self._service(deadline, service_v2(command), shown) as connection:
                return run_v2(connection, stdin, limit)
        word = secrets.token_hex(8)
        with self._service(deadline, service_v1(command, word), shown, OLD_SERVICE_LIMIT) as connection:
            return run_v1(connection, word, limit)

    @contextlib.contextmanager
    def sync(self, seconds: float) -> Iterator[FileSession]:
        """A session for files.

        Args:
            seconds: for everything that is done in it, waiting for turns excepted.
        """
        session = SyncSession(self._files, self._known_features, self._clock, seconds)
        try:
            yield session
        finally:
            session.close()

    def alive(self, seconds: float = _ALIVE_SECONDS) -> bool:
        """Whether it runs a command; a server's word for its state proves nothing when it hangs."""
        try:
            self._check(seconds)
        except DeviceError:
            return False
        return True

    def recover(self, cancelled: threading.Event) -> None:
        """Make it usable again, as gently as will do.

        Try again, wait for it, connect anew, restart the server (only if it hangs and was started by `server`).

        Raises:
            AdbError: nothing helped; the class and the words are those of the last try.
        """
        self._features = None
        try:
            self.server.ensure()
        except ServerDownError:
            if not self.server.restart():
                raise
        if self.alive(_ALIVE_SECONDS):
            return
        if self._look(_LIST_SECONDS) != READY:
            try:
                self._wait_until_ready(Deadline(self._clock, _RETURN_SECONDS), _say_nothing, cancelled)
            except DeviceLostError:
                if self.state != OFFLINE or cancelled.is_set():
                    raise
            else:
                if self.alive(_ALIVE_SECONDS):
                    return
        # What is ready and yet runs nothing hangs: only another connection helps.
        self._reconnect()
        self._wait_until_ready(Deadline(self._clock, _RETURN_SECONDS), _say_nothing, cancelled)
        self._check(_ALIVE_SECONDS)

    def interrupt(self) -> None:
        """From another thread: every call that is under way raises DeviceLostError at once."""
        with self._lock:
            for connection in self._open:
                connection.interrupt()

    def close(self) -> None:
        """End the server if this process started it."""
        self.server.close()

    def lost(self, what: str, *, todo: str = "") -> DeviceLostError:
        """An error that says what happened to the device."""
        return self._subject.error(DeviceLostError, what, todo=todo)

    def refused(self, what: str, said: str = "", todo: str = "") -> RemoteError:
        """An error that quotes the device."""
        return self._subject.error(RemoteError, what, said=said.strip(), todo=todo)

    def _service(self, deadline: Deadline, service: str, shown: str = "", limit: int = SERVICE_LIMIT) -> Connection:
        """An open service; the caller closes it."""
        connection = self._to_device(deadline)
        try:
            connection.open(service, shown, limit)
        except BaseException as error:
            connection.close()
            # "closed" is all that the server says, whether the device refuses or goes away.
            if isinstance(error, RemoteError) and error.said == "closed" and self._gone():
                raise self._subject.refused(error.said, error.command) from error
            raise
        return connection

    def _files(self, deadline: Deadline) -> Connection:
        return self._service(deadline, "sync:")

    def _to_device(self, deadline: Deadline) -> Connection:
        """A connection whose next request goes to the device."""
        connection = Connection(self.server.address, self._subject, deadline, self.server.where)
        with self._lock:
            self._open.add(connection)
        try:
            connection.dial()
            connection.ask_server(f"host:transport:{self.serial}")
        except BaseException:
            connection.close()
            raise
        return connection

    def _known_features(self, deadline: Deadline) -> frozenset[str]:
        if (known := self._features) is None:  # another thread may forget it meanwhile
            with self._to_device(deadline) as connection:
                known = self._features = frozenset(connection.ask_server_text("host:features").split(",")) - {""}
        return known

    def _check(self, seconds: float) -> None:
        """Raise unless the device runs a command."""
        word = secrets.token_hex(8)
        if self.shell(f"echo {word}", seconds).text.strip() != word:
            raise self._subject.error(AdbProtocolError, "runs a command and gives another one's output")

    def _look(self, seconds: float) -> str:
        """The device's state as its server sees it."""
        listed = self.server.devices(seconds)
        by_path = self.serial.startswith(USB)
        found = [device for device in listed if (device.path if by_path else device.serial) == self.serial]
        if len(found) > 1:
            raise self._subject.refused("more than one device", _CONNECT)
        self.state = found[0].state if found else ABSENT
        return self.state

    def _gone(self) -> bool:
        try:
            return self._look(_LIST_SECONDS) != READY
        except AdbError:
            return True

    def _reconnect(self) -> None:
        """Have the server make a new connection to the device."""
        if self.network:
            self.server.disconnect(self.serial)
            return  # whoever waits for it connects
        with contextlib.suppress(DeviceLostError), self._to_device(Deadline(self._clock, _LIST_SECONDS)) as connection:
            connection.ask_server_text("host:reconnect")

    def _wait_until_ready(
        self,
        deadline: Deadline,
        tell: Callable[[str], None],
        cancelled: threading.Event,
        absent_seconds: float = math.inf,
    ) -> None:
        said = ""
        told = False
        since = seen = deadline.now()
        while (state := self._look(_within(deadline, _LIST_SECONDS))) != READY:
            if state == "no permissions":
                raise self._subject.refused(state, _CONNECT)
            if state == UNAUTHORIZED and not told:
                tell(f"{self.name}: {TAP_ALLOW} ...")
                told = True
            waited = deadline.now() - since
            if self.network and (state == ABSENT or (state == OFFLINE and waited > _OFFLINE_SECONDS)):
                if state == OFFLINE:  # to the server it is connected as long as it is listed
                    self.server.disconnect(self.serial)
                said = self.server.connect(self.serial, _within(deadline, _CONNECT_SECONDS))
                since = deadline.now()
                if self._look(_within(deadline, _LIST_SECONDS)) == READY:
                    return
            if self.state != ABSENT:
                seen = deadline.now()
            if deadline.left() <= 0 or deadline.now() - seen > absent_seconds:
                raise self._not_ready(said)
            if self._clock.wait(cancelled, min(_POLL_SECONDS, deadline.left())):
                raise self._subject.error(DeviceLostError, "cancelled while waiting for it", command=_CONNECT)

    def _not_ready(self, said: str) -> AdbError:
        if self.state in (UNAUTHORIZED, "authorizing"):
            return self._subject.refused("device unauthorized", _CONNECT)
        if self.state == ABSENT:
            what = f"is not connected to the adb server at {self.server.where}"
        else:
            what = f"is {self.state}"
        return self._subject.error(DeviceLostError, what, command=_CONNECT, said=said, todo=REPLUG)


def _within(deadline: Deadline, seconds: float) -> float:
    """Seconds for one request: at most `seconds`, and never so few that no server could answer."""
    return max(0.1, min(deadline.left(), seconds))


def _say_nothing(_: str) -> None:
    """A fault is mended without a person."""
