"""Computers behind a real sshd on loopback."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from emulated.ssh import sshd as sshd_module
from emulated.ssh.sshd import Sshd
from harness.clock import SystemClock
from harness.devices.ssh.connection import SshConnection
from harness.devices.ssh.errors import PASSPHRASE, Owner
from tests.drivers import absent

CLOCK = SystemClock()
NEVER = threading.Event()
"""Nobody cancels."""

BOUND = 60.0
"""Seconds for what takes one on a quiet computer."""

STALL_BOUND = 90.0
"""Seconds within which a link that answers nothing has been noticed, on a busy computer."""


@pytest.fixture(scope="module", autouse=True)
def no_sshd() -> None:
    if why := sshd_module.absent():
        absent(why)


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home without keys, and no agent."""
    folder = tmp_path / "home"
    (folder / ".ssh").mkdir(parents=True)
    monkeypatch.setenv("HOME", str(folder))
    for name in ("SSH_AUTH_SOCK", PASSPHRASE):
        monkeypatch.delenv(name, raising=False)
    return folder


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    """For tests that do nothing to it."""
    if why := sshd_module.absent():
        absent(why)
    with Sshd(tmp_path_factory.mktemp("sshd") / "sshd") as server:
        yield server


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Sshd]:
    """For tests that do something to it."""
    with Sshd(tmp_path / "sshd") as server:
        yield server


Connect = Callable[..., SshConnection]


@pytest.fixture
def to(home: Path) -> Iterator[Connect]:
    """Makes connections to an sshd that ~/.ssh/config names `board`; every thread of theirs has ended in the end."""
    before = set(threading.enumerate())
    made: list[SshConnection] = []

    def connect(
        server: Sshd, *, address: str = "board", config: str | None = None, identity: str | None = None,
        owner: Owner = "device",
    ) -> SshConnection:  # fmt: skip
        (home / ".ssh" / "config").write_text(server.config("board") if config is None else config)
        made.append(SshConnection(address, identity, "rpi5", CLOCK, owner=owner))
        return made[-1]

    yield connect
    for connection in made:
        connection.close()
    # A timer of paramiko's is told to end, and not waited for.
    end = CLOCK.monotonic() + BOUND
    while (left := set(threading.enumerate()) - before) and CLOCK.monotonic() < end:
        CLOCK.sleep(0.01)
    assert not left


class Background:
    """A call in a thread of its own, and what came of it."""

    def __init__(self, call: Callable[[], object]) -> None:
        self.error: Exception | None = None
        self.value: object = None
        self._call = call
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        try:
            self.value = self._call()
        except Exception as error:
            self.error = error

    def join(self, seconds: float = BOUND) -> Exception | None:
        """Wait for its end; the error that it raised."""
        self._thread.join(seconds)
        assert not self._thread.is_alive(), "it goes on"
        return self.error


def until(condition: Callable[[], object], seconds: float = BOUND) -> None:
    """Wait for a condition."""
    end = CLOCK.monotonic() + seconds
    while not condition():
        assert CLOCK.monotonic() < end, "it did not happen"
        CLOCK.sleep(0.02)
