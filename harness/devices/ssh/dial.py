"""From an address to a connection that may be used: every computer on the way reached, checked and logged in to.

Imports paramiko's parts, so it is imported when a connection is made.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from paramiko import AuthenticationException, BadAuthenticationType, ChannelException, Message, SSHException

from harness.clock import Clock
from harness.devices.shell.deadline import Deadline
from harness.devices.ssh.config import Hop
from harness.devices.ssh.errors import (
    CHECK,
    PASSPHRASE,
    AuthRefusedError,
    NoSuchNameError,
    PassphraseError,
    SshError,
    SshLostError,
    SshProtocolError,
    SshTimeoutError,
    Subject,
    either,
)
from harness.devices.ssh.host_key import check, known_types, named
from harness.devices.ssh.keys import Key, Keys
from harness.devices.ssh.transport import SshTransport
from harness.environment import inherited

_TCP_SECONDS = 10.0
_LOGIN_SECONDS = 30.0  # for everything on one computer: the key exchange on a small board takes a while
_POLL_SECONDS = 0.05
_NO_SUCH_NAME = {socket.EAI_NONAME, getattr(socket, "EAI_NODATA", socket.EAI_NONAME)}

S = TypeVar("S", bound=SshError)


@dataclass
class Link:
    """A connection that may be used, with those that it goes through.

    Attributes:
        transports: the last one is the one to use.
        login: user and key, in words.
        fingerprint: of the host's key, in words.
    """

    transports: list[SshTransport] = field(default_factory=list)
    commands: list[subprocess.Popen[bytes]] = field(default_factory=list)
    login: str = ""
    fingerprint: str = ""

    @property
    def transport(self) -> SshTransport:
        """The one to use."""
        return self.transports[-1]

    def end(self) -> None:
        """Close everything, the last first; back when no thread and no process of it is left."""
        for transport in reversed(self.transports):
            transport.end()
        for process in self.commands:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


class Dialler:
    """Makes one link. For one thread."""

    def __init__(self, hops: Sequence[Hop], subject: Subject, clock: Clock, cancelled: Callable[[], bool]) -> None:
        """Prepare; nothing is opened.

        Args:
            hops: the way, from `route`.
            subject: who errors are about.
            clock: time.
            cancelled: asked now and then; true ends it.
        """
        self._hops = hops
        self._subject = subject
        self._clock = clock
        self._cancelled = cancelled
        self._link = Link()

    def dial(self, seconds: float) -> Link:
        """Go all the way.

        Raises:
            SshAccessError: a host's key or our own ones are not right; no further try helps.
            SshTimeoutError: it took longer.
            SshLostError: somebody on the way does not answer, or hangs up.
        """
        deadline = Deadline(self._clock, seconds)
        try:
            for hop in self._hops:
                self._reach(hop, deadline)
            self._link.transport.watch(self._clock)
        except BaseException:
            self._link.end()
            raise
        return self._link

    def _reach(self, hop: Hop, deadline: Deadline) -> None:
        within = Deadline(self._clock, min(deadline.left(), _LOGIN_SECONDS))
        opened = self._socket(hop, within)
        try:
            known = known_types(hop, self._subject)
            transport = SshTransport(opened, known)
        except BaseException:
            opened.close()
            raise
        self._link.transports.append(transport)
        done = threading.Event()
        transport.start_client(event=done)
        self._settle(transport, done, within, hop, "agree on keys")
        if not transport.active or not transport.initial_kex_done:
            raise self._broken(transport, hop)
        key = transport.get_remote_server_key()
        check(hop, key.asbytes(), key.get_name(), self._subject, direct=len(self._hops) == 1 and not hop.command)
        self._link.fingerprint = named(key.asbytes(), key.get_name())
        self._log_in(transport, hop, within)

    def _socket(self, hop: Hop, deadline: Deadline) -> Any:  # noqa: ANN401 a socket, or what is like one
        if self._link.transports:
            return self._through(hop, deadline)
        if hop.command:
            return self._command(hop)
        if (seconds := min(deadline.left(), _TCP_SECONDS)) <= 0:
            raise self._error(SshTimeoutError, hop, "no time is left to connect")
        try:
            opened = socket.create_connection((hop.host, hop.port), seconds)
        except OSError as error:
            kind = SshLostError
            if isinstance(error, socket.gaierror) and error.errno in _NO_SUCH_NAME:
                kind = NoSuchNameError
            words = error.strerror or str(error)
            raise self._error(kind, hop, "cannot be reached", said=words, todo=CHECK) from error
        opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return opened

    def _through(self, hop: Hop, deadline: Deadline) -> Any:  # noqa: ANN401
        extra = Message()
        for host, port in ((hop.host, hop.port), ("127.0.0.1", 0)):
            extra.add_string(host)
            extra.add_int(port)
        before = self._hops[len(self._link.transports) - 1]
        try:
            channel = self._link.transport.open("direct-tcpip", extra.asbytes(), deadline.left())
        except ChannelException as error:
            what = f"cannot be reached from {before.address}"
            raise self._error(SshLostError, hop, what, said=error.text, todo=CHECK) from error
        except TimeoutError as error:
            raise self._error(SshTimeoutError, hop, f"{before.address} does not lead on in time") from error
        except SSHException as error:
            raise self._broken(self._link.transport, before) from error
        return channel

    def _command(self, hop: Hop) -> socket.socket:
        """The near end of what a ProxyCommand connects to."""
        near, far = socket.socketpair()
        try:
            with far:
                process = subprocess.Popen(
                    ["/bin/sh", "-c", f"exec {hop.command}"],
                    stdin=far.fileno(),
                    stdout=far.fileno(),
                    stderr=subprocess.DEVNULL,
                    env=inherited(),
                    start_new_session=True,
                )
        except OSError as error:
            near.close()
            raise self._error(SshLostError, hop, "its ProxyCommand does not start", said=str(error)) from error
        self._link.commands.append(process)
        return near

    def _settle(self, transport: SshTransport, done: threading.Event, deadline: Deadline, hop: Hop, what: str) -> None:
        """Wait for paramiko, which sets no event in every case."""
        while transport.active and not done.is_set():
            if self._cancelled():
                raise self._error(SshLostError, hop, "cancelled while connecting")
            if deadline.left() <= 0:
                raise self._error(SshTimeoutError, hop, f"does not {what} within {deadline.seconds:.0f} s", todo=CHECK)
            self._clock.wait(done, _POLL_SECONDS)

    def _log_in(self, transport: SshTransport, hop: Hop, deadline: Deadline) -> None:
        keys = Keys(hop)
        shown: list[str] = []
        allowed: Sequence[str] = ()
        for key in keys:
            problem = self._try(transport, hop, key, deadline)
            if problem is None:
                self._link.login = f"{hop.user}, with {key.words}"
                return
            shown.append(key.words)
            if isinstance(problem, BadAuthenticationType):
                allowed = problem.allowed_types
                break
            if not transport.active:
                break
        raise self._not_let_in(transport, hop, keys, shown, allowed)

    def _try(self, transport: SshTransport, hop: Hop, key: Key, deadline: Deadline) -> Exception | None:
        """Show a key; None when it is let in, else why not."""
        done = threading.Event()
        try:
            transport.auth_publickey(hop.user, key.key, done)
            self._settle(transport, done, deadline, hop, "answer to a login")
            if transport.is_authenticated():
                return None
            problem = transport.get_exception()
        except SSHException as error:
            problem = error
        if not transport.active and not transport.farewell:
            raise self._broken(transport, hop)
        return problem if isinstance(problem, Exception) else AuthenticationException("refused")

    def _not_let_in(
        self, transport: SshTransport, hop: Hop, keys: Keys, shown: Sequence[str], allowed: Sequence[str]
    ) -> SshError:
        if keys.locked and not allowed:
            others = f"; it takes none of: {', '.join(shown)}" if shown else ""
            return self._error(
                PassphraseError,
                hop,
                f"{either(keys.locked)}{others}",
                todo=f"add the key to the agent (`ssh-add FILE`), or set {PASSPHRASE} in the environment",
            )
        tried = f"shown: {', '.join(shown)}" if shown else "there was no key to show"
        rest = f"; not usable: {', '.join(keys.unusable)}" if keys.unusable else ""
        wants = f"; it wants {either(allowed)}, and only keys are supported here" if allowed else ""
        said = transport.farewell
        if "Too many" in said:
            todo = "name the right key: identity in devices.yaml, or IdentityFile in ~/.ssh/config"
        else:
            todo = f"let a key in: `ssh-copy-id {_typed(hop)}`, and try `ssh {_typed(hop)} true`"
        return self._error(AuthRefusedError, hop, f"does not let us in ({tried}{rest}{wants})", said=said, todo=todo)

    def _broken(self, transport: SshTransport, hop: Hop) -> SshError:
        problem = transport.get_exception()
        if isinstance(problem, SSHException) and type(problem).__name__ == "IncompatiblePeer":
            todo = "its sshd is too old or too strict for paramiko: see what `ssh -v` says"
            return self._error(SshProtocolError, hop, "shares no algorithm with us", said=str(problem), todo=todo)
        said = transport.farewell or (str(problem) if isinstance(problem, Exception) else "")
        return self._error(SshLostError, hop, "hung up while we connected", said=said, todo=CHECK)

    def _error(self, kind: type[S], hop: Hop, what: str, *, said: str = "", todo: str = "") -> S:
        return self._subject.error(kind, f"{hop.address}: {what}", command="connect", said=said, todo=todo)


def _typed(hop: Hop) -> str:
    """What to type after `ssh` for it."""
    port = f"-p {hop.port} " if hop.name == hop.host and hop.port != 22 else ""
    return f"{port}{hop.user}@{hop.name}"
