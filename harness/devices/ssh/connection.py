"""One computer through SSH: one connection for everybody, made when it is needed, and again when it was lost."""

from __future__ import annotations

import contextlib
import secrets
import threading
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, TypeVar

from harness.clock import Clock
from harness.devices.shell.deadline import Deadline
from harness.devices.shell.way import ShellResult
from harness.devices.ssh.errors import (
    CHECK,
    NoSessionError,
    Owner,
    SshError,
    SshLostError,
    SshRefusedError,
    SshTimeoutError,
    Subject,
    shorten,
)
from harness.devices.ssh.forward import Stream
from harness.devices.ssh.library import paramiko
from harness.devices.ssh.redial import Redial

if TYPE_CHECKING:
    from harness.devices.ssh.files import SftpSession
    from harness.devices.ssh.transport import SshTransport

C = TypeVar("C", bound=Stream)

_ABSENT_SECONDS = 8.0  # for one that was never reached: whoever mistyped an address should not wait for long
_POLL_SECONDS = 0.25
_END_SECONDS = 0.5  # between the end of a connection's channels and its own
_FULL_PAUSE = 0.1  # before a session is asked for again where all are taken
_ALIVE_SECONDS = 5.0


class SshConnection:
    """What can be asked of a computer. May be used from several threads, which share one connection.

    Whatever needs the connection makes it. One that was lost is made anew by whoever asks next, with pauses between
    the tries that fail: until the next try is due, everybody gets the last one's error.

    Attributes:
        subject: who errors are about.
    """

    def __init__(self, address: str, identity: str | None, name: str, clock: Clock, *, owner: Owner) -> None:
        """Stand for the computer; nothing is opened.

        Args:
            address: [user@]host[:port], or a name of ~/.ssh/config.
            identity: private key file, tried instead of all others.
            name: of the device or host in devices.yaml.
            clock: time.
            owner: "host" makes every error one of class host.
        """
        self.subject = Subject(name, address, owner)
        self._address = address
        self._clock = clock
        self._redial = Redial(address, identity, self.subject, clock)
        self._freed = threading.Event()

    @property
    def made(self) -> int:
        """How often a connection was made."""
        return self._redial.made

    @property
    def fingerprint(self) -> str:
        """Of the host key: its kind and SHA-256. Empty without a connection, as the next two."""
        return link.fingerprint if (link := self._redial.link) is not None else ""

    @property
    def login(self) -> str:
        """User and key that were let in, in words."""
        return link.login if (link := self._redial.link) is not None else ""

    @property
    def server(self) -> str:
        """Its sshd, as it calls itself."""
        link = self._redial.link
        return str(link.transport.remote_version).removeprefix("SSH-2.0-") if link is not None else ""

    @property
    def address_words(self) -> str:
        """Where it leads, for messages: the address as given, and as ~/.ssh/config resolved it."""
        hops = self._redial.hops
        if not hops or hops[-1].address == self._address:
            return self._address
        return f"{self._address} ({' through '.join(hop.address for hop in reversed(hops))})"

    @property
    def up(self) -> bool:
        """Whether there is a connection, as far as is known without asking."""
        return self._redial.up

    def connect(self, seconds: float, cancelled: threading.Event) -> None:
        """Have a connection, trying again and again; for a computer that was never reached, some seconds only.

        Args:
            seconds: for everything together.
            cancelled: ends the waiting.

        Raises:
            SshAccessError: a key is not right; see its subclasses. Not tried again.
            SshLostError: nobody answers there; also when cancelled.
            SshTimeoutError: somebody answers, but too slowly.
            UsageError: ~/.ssh/config cannot be read, or paramiko is not installed.
        """
        deadline = Deadline(self._clock, seconds if self.made else min(seconds, _ABSENT_SECONDS))
        redial = self._redial
        interrupted = redial.stopper()

        def stopped() -> bool:
            return cancelled.is_set() or interrupted()

        last: SshError | None = None
        while True:
            while (pause := min(redial.due - self._clock.monotonic(), deadline.left(), _POLL_SECONDS)) > 0:
                self._clock.wait(cancelled, pause)
                if stopped():
                    raise redial.cancelled()
            if last is not None and deadline.left() <= 0:
                raise last
            try:
                redial.live(deadline, stopped)
                return
            except (SshLostError, SshTimeoutError) as error:
                if stopped() or redial.hopeless:
                    raise
                last = error

    def run(
        self, command: str, seconds: float, *, stdin: bytes = b"", limit: int = 16 << 20, shown: str = ""
    ) -> ShellResult:
        """Run a command to its end, on a channel of its own.

        When this raises, the command loses its input and output, and may go on.

        Args:
            command: for the user's login shell there, as `ssh ADDRESS COMMAND` would pass it on.
            seconds: for everything together, a new connection included.
            stdin: everything that the command gets to read.
            limit: bytes of output, both streams together; more is an error.
            shown: what errors call the command; its beginning by default.

        Raises:
            SshLostError: the connection ended before the command's exit code came.
            SshTimeoutError: it did not end in time, or no session was free.
            SshRefusedError: it may not be run, or printed more than `limit`.
            SshError: there is no connection.
        """
        deadline = Deadline(self._clock, seconds)
        shown = shown or command
        with self._session(deadline, shown) as (channel, lost):
            from harness.devices.ssh.command import Command

            return Command(channel, self.subject, shown, self._clock, deadline).run(command, stdin, limit, lost)

    @contextlib.contextmanager
    def files(self, seconds: float) -> Iterator[SftpSession]:
        """A session for files.

        Args:
            seconds: for everything that is done in it, waiting for turns excepted.
        """
        from harness.devices.ssh.files import SftpSession
        from harness.devices.ssh.sftp import Sftp

        with contextlib.ExitStack() as opened:

            def dial(deadline: Deadline) -> Sftp:
                opened.close()
                channel, lost = opened.enter_context(self._session(deadline, "sftp"))
                return Sftp(channel, self.subject, deadline, lost)

            session = SftpSession(dial, self._clock, seconds)
            opened.callback(session.close)
            yield session

    def channel(self, opener: Callable[[Any, float], C], seconds: float) -> C:
        """Open a channel of any kind; the caller closes it.

        Args:
            opener: opens it, on a transport and within seconds; see `channels`.
            seconds: for everything together, a new connection included.

        Raises:
            SshRefusedError: the computer does not lead there; its words are in `said`.
            SshError: there is no connection.
        """
        deadline = Deadline(self._clock, seconds)
        transport = self._redial.live(deadline)
        library = paramiko()
        try:
            return opener(transport, deadline.left())
        except library.ChannelException as error:
            what = "does not let a connection through"
            raise self.subject.error(SshRefusedError, what, command="channel", said=error.text) from error
        except TimeoutError as error:
            what = f"opens no channel within {seconds:g} s"
            raise self.subject.error(SshTimeoutError, what, command="channel") from error
        except (library.SSHException, EOFError, OSError) as error:
            raise self._lost(transport, "opening a channel") from error

    def alive(self, seconds: float = _ALIVE_SECONDS) -> bool:
        """Whether it runs a command, or has as many of ours to run as it takes."""
        word = secrets.token_hex(8)
        try:
            return self.run(f"echo {word}", seconds).text.strip() == word
        except NoSessionError:
            return True
        except SshError:
            return False

    def interrupt(self) -> None:
        """From another thread: end the connection, so that every call that is under way raises SshLostError at once."""
        self._redial.interrupt()
        self._freed.set()

    def close(self) -> None:
        """Let go of the connection for good; no thread of it is left."""
        self._redial.close()
        self._freed.set()

    @contextlib.contextmanager
    def _session(self, deadline: Deadline, shown: str) -> Iterator[tuple[Any, Callable[[str], SshError]]]:
        """A channel for a command or a service, and what makes the error when it ends too early."""
        transport = self._redial.live(deadline)
        channel = self._open_session(transport, deadline, shown)
        library = paramiko()
        try:
            yield channel, lambda what: self._lost(transport, what)
        except (library.SSHException, EOFError) as error:
            raise self._lost(transport, shorten(shown)) from error
        finally:
            with contextlib.suppress(library.SSHException, EOFError, OSError):
                channel.close()
            self._freed.set()

    def _open_session(self, transport: SshTransport, deadline: Deadline, shown: str) -> Any:  # noqa: ANN401
        """A session channel, waited for if the server's MaxSessions are in use."""
        library = paramiko()
        refused = ""
        while True:
            self._freed.clear()
            late = False
            try:
                return transport.open("session", b"", deadline.left())
            except library.ChannelException as error:
                refused = error.text
            except TimeoutError:
                late = True
            except (library.SSHException, EOFError, OSError) as error:
                raise self._lost(transport, shorten(shown)) from error
            if late or deadline.left() <= 0:
                raise self._no_session(deadline, shown, refused)
            self._clock.wait(self._freed, min(_FULL_PAUSE, deadline.left()))

    def _no_session(self, deadline: Deadline, shown: str, refused: str) -> SshTimeoutError:
        within = f"for '{shorten(shown)}' within {deadline.seconds:g} s"
        if not refused:
            return self.subject.error(SshTimeoutError, f"opens no session {within}", command=shown, todo=CHECK)
        todo = "raise MaxSessions in its sshd_config (10 by default)"
        return self.subject.error(
            NoSessionError, f"no session was free {within}", command=shown, said=refused, todo=todo
        )

    def _lost(self, transport: SshTransport, what: str) -> SshError:
        link = self._redial.link
        if link is None or link.transport is not transport:
            return self.subject.error(SshLostError, "the connection was closed from our side", command=what)
        transport.join(_END_SECONDS)
        if transport.stalled:
            words = f"nothing came from it any more in the middle of '{what}': the link is dead"
            return self.subject.error(SshLostError, words, command=what, todo=CHECK)
        if not transport.active:
            problem = transport.get_exception()
            said = transport.farewell or (str(problem) if problem is not None else "")
            words = f"the connection ended in the middle of '{what}'"
            return self.subject.error(SshLostError, words, command=what, said=said, todo=CHECK)
        words = f"its sshd ended '{what}' without an exit status"
        return self.subject.error(SshLostError, words, command=what, todo="see what its sshd's log says")
