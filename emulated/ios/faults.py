"""What can be wrong with an emulated iPhone. Tests set the attributes, from any thread."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

Harm = Literal["", "silent", "cut", "unplug"]


@dataclass
class Faults:
    """What is wrong with a phone; nothing at first.

    The counted ones count bytes of service connections in both directions, inside TLS, from the moment they are set.

    Attributes:
        on: the only service that the counted ones are about, such as "com.apple.afc"; "" for all but lockdown.
        unplug_after: the cable comes out after this many more bytes. Once: then it is None again.
        cut_after: the connection that carries the next byte after this many is closed. Once.
        silent_after: after this many more bytes connections stay open, and nothing is answered on them; also on new
            ones, until it is None again.
        silent: services that never answer: "lockdown", "com.apple.mobile.house_arrest", ...
        crash_at_start: bundles whose process dies of SIGABRT as soon as it is started.
        shrinking: name of a file that loses its second half when a client opens it to read it, so after it asked for
            its size.
        no_tunnel: the tunnel of iOS 17 and later is gone: connections through it are cut at once.
        dtx_unanswered: selector of a call of instruments that is done, and never answered.
        dtx_unknown_class: selector of a call that is not done, and answered by an error with an object of a class that
            no client knows.
        dtx_cut: selector of a call at which the connection is cut.
        denied: start of the paths that AFC refuses with "permission denied", such as "/Documents/store".
    """

    on: str = ""
    unplug_after: int | None = None
    cut_after: int | None = None
    silent_after: int | None = None
    silent: set[str] = field(default_factory=set)
    crash_at_start: set[str] = field(default_factory=set)
    shrinking: str | None = None
    denied: str | None = None
    no_tunnel: bool = False
    dtx_unanswered: str | None = None
    dtx_unknown_class: str | None = None
    dtx_cut: str | None = None

    def carried(self, service: str, count: int) -> Harm:
        """Some bytes go over a connection; what becomes of it."""
        if service in self.silent:
            return "silent"
        if service != self.on if self.on else service == "lockdown":
            return ""
        if self.silent_after is not None:
            self.silent_after = max(self.silent_after - count, 0)
            if not self.silent_after:
                return "silent"
        if self.cut_after is not None:
            self.cut_after -= count
            if self.cut_after < 0:
                self.cut_after = None
                return "cut"
        if self.unplug_after is not None:
            self.unplug_after -= count
            if self.unplug_after < 0:
                self.unplug_after = None
                return "unplug"
        return ""
