"""What can go wrong with a phone, as attributes that a test sets."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

Auth = Literal["none", "accept", "new", "after", "never", "silent"]


class Faults:
    """Faults of one phone; each may be set from any thread at any time, also while a server is connected.

    Attributes:
        drop_after: The connection is cut after that many bytes, of both directions together, counted from the moment
            it is set. Then it is None again: the next connection is sound.
        stall_after: After that many bytes nothing moves any more in either direction, until it is None again.
        rate: Bytes per second, both directions together.
        quota: Bytes that still fit on /data, counted from the moment it is set; deleting files gives room back.
        open_delay: Seconds before each OPEN is answered.
        refuse_open: Every OPEN is refused; clients are told "closed".
        hung: Nothing is read and nothing answered. Connections stay up; new ones get no greeting.
        auth: What the phone does with a new connection: "none" asks for nothing, "accept" takes any signature, "new"
            takes any new key, "after" takes it when `allow` was called, "never" leaves the server unauthorised,
            "silent" does not answer at all, which servers call offline.
        allowed: A server's key was accepted, by `allow` or by "new"; those two know it from then on.
    """

    drop_after: int | None
    stall_after: int | None
    rate: float | None
    quota: int | None
    open_delay: float
    refuse_open: bool
    hung: bool
    auth: Auth
    allowed: bool

    def __init__(self) -> None:
        self._listener: Callable[[str], None] | None = None
        self.drop_after = None
        self.stall_after = None
        self.rate = None
        self.quota = None
        self.open_delay = 0.0
        self.refuse_open = False
        self.hung = False
        self.auth = "none"
        self.allowed = False

    def __setattr__(self, name: str, value: object) -> None:
        if not name.startswith("_") and name not in type(self).__annotations__:
            raise AttributeError(f"there is no fault {name!r}")
        super().__setattr__(name, value)
        listener = self.__dict__.get("_listener")
        if listener is not None and not name.startswith("_"):
            listener(name)

    def allow(self) -> None:
        """The person in front of the phone taps Allow; matters where `auth` is "after"."""
        self.allowed = True

    def listen(self, listener: Callable[[str], None] | None) -> None:
        """Call `listener` with an attribute's name after each change, on the thread that changes it."""
        self._listener = listener
