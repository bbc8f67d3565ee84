"""The one link to a computer that everybody shares: made by whoever needs it first, and again after it was lost."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

from harness.clock import Clock
from harness.devices.shell.deadline import Deadline
from harness.devices.ssh.config import Hop, route
from harness.devices.ssh.errors import CHECK, NoSuchNameError, SshError, SshLostError, SshTimeoutError, Subject

if TYPE_CHECKING:
    from harness.devices.ssh.dial import Link
    from harness.devices.ssh.transport import SshTransport

_FIRST_PAUSE, _LONGEST_PAUSE = 0.25, 8.0  # between tries, doubled each time
_DIAL_SECONDS = 30.0


class Redial:
    """Makes the link, one thread at a time, with pauses between tries that fail.

    Until the next try is due, everybody gets the error of the last one.

    Attributes:
        hops: the way, once it was looked up.
        link: the one of now, alive or not; None for none.
        made: how often one was made.
        due: when the next try may be made, by the clock's monotonic reading.
    """

    def __init__(self, address: str, identity: str | None, subject: Subject, clock: Clock) -> None:
        """Prepare; nothing is opened. The arguments are those of `SshConnection`."""
        self.hops: tuple[Hop, ...] = ()
        self.link: Link | None = None
        self.made = 0
        self.due = 0.0
        self._address = address
        self._identity = identity
        self._subject = subject
        self._clock = clock
        self._lock = threading.Lock()
        self._dialling = threading.Lock()
        self._interrupts = 0
        self._closed = False
        self._problem: SshError | None = None
        self._failures = 0

    @property
    def up(self) -> bool:
        """Whether there is a link, as far as is known without asking."""
        link = self.link
        return link is not None and bool(link.transport.active)

    @property
    def hopeless(self) -> bool:
        """Whether another try is of no use: a name that nobody knows, of a computer that was never there."""
        return not self.made and isinstance(self._problem, NoSuchNameError)

    def stopper(self) -> Callable[[], bool]:
        """What tells whether there was an interrupt since now."""
        interrupts = self._interrupts
        return lambda: self._closed or self._interrupts != interrupts

    def live(self, deadline: Deadline, stopped: Callable[[], bool] | None = None) -> SshTransport:
        """The transport, connected.

        Args:
            deadline: of what it is for.
            stopped: asked now and then; true ends it.

        Raises:
            SshError: there is none, and none can be made.
        """
        stopped = stopped or self.stopper()
        if (link := self.link) is not None and link.transport.active:
            return link.transport
        if not self._dialling.acquire(timeout=max(0.0, deadline.left())):
            raise self._subject.error(SshTimeoutError, f"no connection within {deadline.seconds:g} s", todo=CHECK)
        try:
            if (link := self.link) is not None and link.transport.active:
                return link.transport
            if self._closed or stopped():
                raise self.cancelled()
            if self._problem is not None and self._clock.monotonic() < self.due:
                raise self._problem
            return self._dial(deadline, stopped).transport
        finally:
            self._dialling.release()

    def interrupt(self) -> None:
        """End the link and every try to make one."""
        with self._lock:
            self._interrupts += 1
            link, self.link = self.link, None
        if link is not None:
            link.end()

    def close(self) -> None:
        """The same, for good; no thread of it is left."""
        self._closed = True
        self.interrupt()
        with self._dialling:  # whoever was connecting has heard of it, and ends
            pass

    def cancelled(self) -> SshLostError:
        """The error for whoever waited in vain."""
        return self._subject.error(SshLostError, "cancelled while connecting", command="connect")

    def _dial(self, deadline: Deadline, stopped: Callable[[], bool]) -> Link:
        """Make the link. For one thread at a time."""
        self.hops = self.hops or route(self._address, self._identity)
        from harness.devices.ssh.dial import Dialler

        with self._lock:
            old, self.link = self.link, None
        if old is not None:
            old.end()
        try:
            link = Dialler(self.hops, self._subject, self._clock, stopped).dial(min(deadline.left(), _DIAL_SECONDS))
        except SshError as error:
            if not stopped():
                self._failures += 1
                pause = min(_LONGEST_PAUSE, _FIRST_PAUSE * 2 ** min(self._failures, 10))
                self._problem, self.due = error, self._clock.monotonic() + pause
            raise
        with self._lock:
            gone = stopped() or self._closed
            if not gone:
                self.made += 1
                self.link, self._problem, self._failures, self.due = link, None, 0, 0.0
        if gone:
            link.end()
            raise self.cancelled()
        return link
