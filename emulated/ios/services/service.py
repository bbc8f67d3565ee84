"""What a service of an emulated iPhone is: a coroutine that talks to one client, and where it can be started."""

from __future__ import annotations

from dataclasses import dataclass

from emulated.ios.phone import Handler


@dataclass(frozen=True)
class Service:
    """A service that lockdown starts.

    Attributes:
        handler: Talks to a client.
        developer: It is part of the developer image: without a mounted one there is no such service.
        since: The first major version of iOS whose lockdown has it, None for all.
        until: The first major version of iOS whose lockdown lacks it, None for none.
        handshake_only_before: Before that major version of iOS, TLS ends after the handshake.
        needs_unlock: Lockdown refuses to start it on a locked phone.
    """

    handler: Handler
    developer: bool = False
    since: int | None = None
    until: int | None = None
    handshake_only_before: int | None = None
    needs_unlock: bool = False

    def exists(self, major: int) -> bool:
        """Whether lockdown of that major version of iOS knows it."""
        return (self.since is None or major >= self.since) and (self.until is None or major < self.until)
