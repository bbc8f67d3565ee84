"""A client of instruments that says exactly what a test wants to say."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from types import TracebackType
from typing import Any

from typing_extensions import Self

from emulated.ios.apps import Program
from emulated.ios.dtx.archiver import unarchive
from emulated.ios.dtx.auxiliary import Int32, unpack
from emulated.ios.dtx.frames import CALL, Message, call, fragments
from emulated.ios.phone import Phone
from tests.emulated.ios.wire import Wire

FRAGMENT = struct.Struct("<IIHHIIIiI")
BODY = struct.Struct("<IIQ")
SECURE = "com.apple.instruments.remoteserver.DVTSecureSocketProxy"
CONTROL = "com.apple.instruments.server.services.processcontrol"
INFO = "com.apple.instruments.server.services.deviceinfo"
OPEN = "_requestChannelWithCode:identifier:"
LAUNCH = "launchSuspendedProcessWithDevicePath:bundleIdentifier:environment:arguments:options:"
TERMINATED = "processWithPID:terminatedWithExitCode:orCrashingSignal:"
OUTPUT = "outputReceived:fromProcess:atTime:"
PROBE = "com.example.probe"


def add_probe(phone: Phone, script: str = 'echo "args: $*"; echo "A=$A"; exec sleep 60') -> None:
    """An app that is a shell script; it sees its launch arguments and environment."""
    phone.add_app(PROBE, Program(["/bin/sh", "-c", script, "probe"]), executable="Probe")


@dataclass(frozen=True)
class Came:
    """A message of the phone, taken apart."""

    kind: int
    identifier: int
    conversation: int
    channel: int
    fragments: int
    value: Any
    arguments: list[Any]


class DtxClient:
    """DTX on a connection that is open already."""

    def __init__(self, wire: Wire) -> None:
        self.wire = wire
        self._numbers = 0
        self.greeting = self.receive()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.wire.close()

    def message(self, channel: int, selector: str, *arguments: Any, wants: bool = True) -> Message:
        """A call, not sent yet."""
        self._numbers += 1
        made = call(self._numbers, channel, selector, *arguments)
        return Message(CALL, made.identifier, channel, 0, wants, made.auxiliary, made.payload)

    def send(self, channel: int, selector: str, *arguments: Any, wants: bool = True) -> int:
        """Send a call; its number."""
        made = self.message(channel, selector, *arguments, wants=wants)
        self.wire.socket.sendall(b"".join(fragments(made)))
        return made.identifier

    def receive(self) -> Came:
        """The next message of the phone; EOFError if there will be none."""
        body = b""
        while True:
            header = FRAGMENT.unpack(self.wire.exactly(FRAGMENT.size))
            magic, _, index, count, length, identifier, conversation, channel, _ = header
            assert magic == 0x1F3D5B79
            if index == 0 and count > 1:
                continue
            body += self.wire.exactly(length)
            if index == count - 1:
                break
        kind, auxiliary, total = BODY.unpack_from(body)
        assert total == len(body) - BODY.size
        content = body[BODY.size :]
        value = unarchive(content[auxiliary:]) if content[auxiliary:] else None
        return Came(kind, identifier, conversation, channel, count, value, unpack(content[:auxiliary]))

    def ask(self, channel: int, selector: str, *arguments: Any) -> Came:
        """Call, and wait for its answer; what comes in between is lost."""
        number = self.send(channel, selector, *arguments)
        came = self.answer()
        assert (came.identifier, came.channel) == (number, channel)
        return came

    def answer(self) -> Came:
        """The next answer; what comes before it is lost."""
        while not (came := self.receive()).conversation:
            pass
        return came

    def open(self, channel: int, name: str) -> None:
        """Open a channel."""
        assert self.ask(0, OPEN, Int32(channel), name).kind == 0

    def launch(self, channel: int, bundle: str = PROBE, *arguments: str, **env: str) -> Any:
        """Start an app: its pid, or the error."""
        return self.ask(channel, LAUNCH, "", bundle, env, list(arguments), {"KillExisting": True}).value
