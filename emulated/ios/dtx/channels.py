"""One DTX connection: capabilities, channels, calls and their answers, calls of the phone to its client."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Protocol

from emulated.ios.connection import Connection
from emulated.ios.dtx.archiver import ArchiveError, Error, Instance, unarchive
from emulated.ios.dtx.auxiliary import Int32, unpack
from emulated.ios.dtx.frames import CALL, DONE, ERROR, OBJECT, FrameError, Message, Reader, answer, call, fragments
from emulated.ios.faults import Faults

Method = Callable[..., Awaitable[Any]]
_CAPABILITIES = "_notifyOfPublishedCapabilities:"
_OPEN = "_requestChannelWithCode:identifier:"
_CANCEL = "_channelCanceled:"
_DOMAIN = "DTXMessage"


class CallError(Exception):
    """A call fails; its client is told `error`."""

    def __init__(self, error: Error) -> None:
        super().__init__(error)
        self.error = error


class Service(Protocol):
    """What is behind one channel."""

    @property
    def methods(self) -> Mapping[str, Method]:
        """Selector -> what it does; its return value is the answer, None an answer without a value."""

    async def close(self) -> None:
        """The channel is closed, or its connection gone."""


class Link:
    """The phone's side of one connection.

    Attributes:
        capabilities: what the client has said that it understands, with versions.
    """

    def __init__(
        self,
        connection: Connection,
        faults: Faults,
        services: Mapping[str, Callable[[Link, int], Service]],
    ) -> None:
        """`services`: what a channel may be opened to, by its name; made anew for each, with the channel's number."""
        self._connection = connection
        self._faults = faults
        self._services = services
        self._channels: dict[int, Service] = {}
        self._numbers = 0
        self._writing = asyncio.Lock()
        self.capabilities: Mapping[str, int] = {}

    async def run(self) -> None:
        """Serve until the client says what is not DTX; the caller closes the connection.

        Raises:
            EOFError: The client is gone, or the connection was cut.
            ConnectionError: The client is gone.
        """
        reader = Reader(self._connection.exactly)
        own = {"com.apple.private.DTXBlockCompression": 0, "com.apple.private.DTXConnection": 1}
        try:
            await self.tell(0, _CAPABILITIES, {**own, **dict.fromkeys(self._services, 1)})
            while True:
                message = await reader.next()
                if message.conversation == 0:
                    await self._handle(message)
        except FrameError:
            pass
        finally:
            for service in self._channels.values():
                await service.close()

    async def tell(self, channel: int, selector: str, *arguments: object) -> None:
        """Call the client on one of the channels that it opened; no answer is wanted.

        Raises:
            EOFError: The connection was cut.
            ConnectionError: The client is gone.
        """
        self._numbers += 1
        await self._send(call(self._numbers, -channel, selector, *arguments))

    async def _send(self, message: Message) -> None:
        async with self._writing:
            for fragment in fragments(message):
                await self._connection.write(fragment)

    async def _handle(self, message: Message) -> None:
        kind, value = DONE, None
        try:
            if message.kind == CALL:
                value = await self._call(message)
                kind = DONE if value is None else OBJECT
        except CallError as failed:
            kind, value = ERROR, failed.error
        except (ArchiveError, ValueError) as error:
            kind, value = ERROR, _error(str(error))
        if message.wants_answer and not self._unanswered(message):
            await self._send(answer(message, kind, value))
        if message.channel == 0:
            await self._give_up_unknown()

    def _unanswered(self, message: Message) -> bool:
        return self._faults.dtx_unanswered is not None and unarchive(message.payload) == self._faults.dtx_unanswered

    async def _call(self, message: Message) -> object:
        selector = unarchive(message.payload)
        arguments = unpack(message.auxiliary)
        if selector == self._faults.dtx_cut:
            self._connection.abort()
            raise EOFError("cut, as the fault says")
        if selector == self._faults.dtx_unknown_class:
            raise CallError(Error(_DOMAIN, 1, {"NSUnderlyingObject": Instance("XREmulatedUnknown", {"number": 1})}))
        if message.channel == 0:
            methods: Mapping[str, Method] = {_CAPABILITIES: self._capable, _OPEN: self._open, _CANCEL: self._cancel}
        elif message.channel in self._channels:
            methods = self._channels[message.channel].methods
        else:
            raise CallError(_error(f"there is no channel {message.channel}"))
        method = methods.get(selector) if isinstance(selector, str) else None
        if method is None or len(arguments) != str(selector).count(":"):
            raise CallError(_error(f"Unable to invoke {selector!r} - it does not respond to the selector"))
        return await method(*arguments)

    async def _capable(self, capabilities: Mapping[str, int]) -> None:
        self.capabilities = dict(capabilities)

    async def _open(self, code: int, name: str) -> None:
        if code <= 0 or code in self._channels:
            raise CallError(_error(f"channel {code} cannot be opened"))
        make = self._services.get(name)
        self._channels[code] = _Unknown() if make is None else make(self, code)

    async def _cancel(self, code: int) -> None:
        service = self._channels.pop(code, None)
        if service is not None:
            await service.close()

    async def _give_up_unknown(self) -> None:
        """A channel to nothing is granted, and cancelled at once: that is how a client learns of it."""
        for code in [code for code, service in self._channels.items() if isinstance(service, _Unknown)]:
            del self._channels[code]
            await self.tell(0, _CANCEL, Int32(-code))


class _Unknown:
    """What is behind a channel to a service that this phone lacks."""

    methods: Mapping[str, Method] = {}

    async def close(self) -> None:
        """Nothing is open."""


def _error(words: str) -> Error:
    return Error(_DOMAIN, 1, {"NSLocalizedDescription": words})
