"""Files that many phones of a host need: brought to the host once, kept there by their hash, pushed on by its own adb.

The folder on the host is a store like those of devices; see `shell.store`.
"""

from __future__ import annotations

import contextlib
import re
import shlex
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path

from harness.clock import Clock
from harness.devices.board.way import SshWay
from harness.devices.budget import Budget
from harness.devices.shell.deadline import Deadline
from harness.devices.shell.errors import WayRefusedError
from harness.devices.shell.kind import Kind
from harness.devices.shell.remote import SAY, STORE, Remote
from harness.devices.shell.store import Store
from harness.devices.shell.way import Portion, PushFile
from harness.devices.ssh.connection import SshConnection
from harness.devices.storage import StoredFile

FIND_ADB = (
    'for P in "$(command -v adb)" "$HOME/Android/Sdk/platform-tools/adb" '
    '"$HOME/Library/Android/sdk/platform-tools/adb"; do [ -x "$P" ] && ADB=$P && break; done\n'
)
"""POSIX sh that sets $ADB to the adb program of a computer, where it has one."""

_LEARN_SECONDS = 30.0
_POLL_SECONDS = 0.2
_VERSION = re.compile(r"version 1\.0\.(\d+)")
_LEARN = SAY + (
    f'say root; echo "$HOME/.cache/harness"\n{FIND_ADB}say adb; echo "$ADB"\n'
    'say version; [ -z "$ADB" ] || "$ADB" version </dev/null 2>/dev/null\n'
    "say tools; for F in sha256sum timeout; do command -v $F >/dev/null 2>&1 && echo $F; done\n"
)
# A server that listens on loopback and outlives this script.
_START = FIND_ADB + (
    '[ -n "$ADB" ] || { echo "it has no adb program" >&2; exit 1; }\n'
    '"$ADB" -P "$PORT" start-server </dev/null >/dev/null 2>&1\n'
)
_HOST = Kind(
    noun="host",
    facts_script="",
    parse_facts=lambda _: {},
    target_of=lambda _: "",
    state_script="",
    parse_state=lambda _: {},
    elsewhere="",
    needs=(),
    watch="",
)


@dataclass(frozen=True)
class Behind:
    """A phone, as the host's own adb reaches it.

    Attributes:
        serial: of the phone.
        server: host:port of the adb server that has it, as the host sees it.
        version: of that server, when it answers.
    """

    serial: str
    server: str
    version: Callable[[], int | None]


@dataclass(frozen=True)
class _Ready:
    store: Store
    root: str
    adb: str
    timed: bool


class HostCache:
    """The cache of one host. May be used from several threads.

    Attributes:
        problem: why files do not go through it; "" when they do, or nothing was pushed yet.
    """

    def __init__(self, connection: SshConnection, name: str, clock: Clock) -> None:
        """Bind it; nothing is opened.

        Args:
            connection: to the host.
            name: of the host, for messages.
            clock: time.
        """
        self.problem = ""
        self._way = SshWay(connection)
        self._name = name
        self._clock = clock
        self._lock = threading.Lock()
        self._ready: _Ready | None = None

    def push(
        self,
        files: Sequence[PushFile],
        phone: Behind,
        deadline: Deadline,
        portion: Portion | None,
        cancelled: threading.Event,
    ) -> bool:
        """Push files to a phone from the host, after bringing there what it has not got.

        Args:
            files: all with a source and its hash.
            phone: where they go.
            deadline: for everything, waiting for turns excepted.
            portion: entered around each stretch of copying to the host.
            cancelled: ends the waiting for others who copy to the host.

        Returns:
            Whether they are on the phone. If not, the host or the phone refused, and another way will tell why.

        Raises:
            WayError: the host was lost, or time is up.
        """
        with self._turn(deadline, cancelled):
            if self.problem:
                return False
            try:
                ready = self._learn(phone)
                if ready is not None:
                    turns = _Turns(portion, cancelled)
                    wanted = [_stored(file) for file in files]
                    ready.store.ensure(wanted, Budget(self._clock, deadline.left(), turns))
            except WayRefusedError as error:
                self.problem = str(error)
                return False
        if ready is None:
            return False
        seconds = max(1.0, deadline.left())
        script = _push_script(files, phone, ready, seconds)
        return self._way.shell(script, seconds, shown="adb push").exit_code == 0

    def start_adb(self, port: int, seconds: float) -> None:
        """Have the host start its adb server. Raises WayError."""
        reply = self._way.shell(f"PORT={port}\n{_START}", seconds, shown="adb start-server")
        if reply.exit_code != 0:
            said = reply.stderr.decode("utf-8", "replace").strip()
            todo = "install Android's platform-tools there (on Debian: apt-get install adb)"
            raise self._way.refused(f"no adb server answers on its port {port}, and none can be started", said, todo)

    @contextlib.contextmanager
    def _turn(self, deadline: Deadline, cancelled: threading.Event) -> Iterator[None]:
        while not self._lock.acquire(timeout=_POLL_SECONDS):
            if cancelled.is_set() or deadline.left() <= 0:
                raise self._way.lost("no turn to copy files to this host came in time")
        try:
            yield
        finally:
            self._lock.release()

    def _learn(self, phone: Behind) -> _Ready | None:
        """What the host has; None, with a problem, if it cannot push. Raises WayError."""
        if self._ready is None:
            reply = Remote(self._way, self._name, "", _HOST).call(_LEARN, _LEARN_SECONDS)
            root, adb = (reply.sections.get(name, "").strip() for name in ("root", "adb"))
            words = reply.words("tools")
            found = _VERSION.search(reply.sections.get("version", ""))
            number = int(found[1]) if found else None
            if not adb:
                self.problem = "it has no adb program"
            elif "sha256sum" not in words:
                self.problem = "it has no sha256sum"
            elif number is None or number != phone.version():
                # An adb program ends a server of another version, and all that uses it.
                self.problem = f"its adb program ({adb}) is of another version than its adb server"
            else:
                store = Store(Remote(self._way, self._name, root, _HOST), frozenset(words))
                self._ready = _Ready(store, root, adb, "timeout" in words)
        return self._ready


class _Turns:
    """Turns of the one who pushes, who may be cancelled meanwhile."""

    def __init__(self, portion: Portion | None, cancelled: threading.Event) -> None:
        self._portion = portion or nullcontext
        self._cancelled = cancelled

    def command(self) -> AbstractContextManager[object]:
        """Nothing is timed here."""
        return nullcontext()

    def transfer(self) -> AbstractContextManager[object]:
        """Around a stretch of copying."""
        return self._portion()


def _stored(file: PushFile) -> StoredFile:
    assert isinstance(file.source, Path)
    assert file.sha256 is not None
    return StoredFile(file.sha256, file.source.stat().st_size, file.source)


def _push_script(files: Sequence[PushFile], phone: Behind, ready: _Ready, seconds: float) -> str:
    """POSIX sh that pushes files of the cache; it does not outlive its time, where the host can see to that."""
    where, _, port = phone.server.rpartition(":")
    limit = ["timeout", "-s", "KILL", f"{seconds:.0f}"] if ready.timed else []
    adb = shlex.join([*limit, ready.adb, "-H", where.strip("[]"), "-P", port, "-s", phone.serial, "push"])
    names = shlex.join([str(file.sha256) for file in files])
    lines = [f"cd {shlex.quote(f'{ready.root}/{STORE}')} || exit 1", f"touch -c {names}"]
    lines += [f"{adb} {file.sha256} {shlex.quote(file.remote)} </dev/null >&2 || exit 1" for file in files]
    return "\n".join(lines) + "\n"
