"""paramiko's transport with what a lab needs of it: stalled links noticed, any kind of channel, signals of commands.

Imports paramiko, so it is imported when a connection is made.
"""

from __future__ import annotations

import contextlib
import signal
import socket
import threading
from typing import Any

from paramiko import Channel, ChannelException, Message, SSHException, Transport
from paramiko.packet import Packetizer

from harness.clock import Clock

STALL_SECONDS = 15
"""A link on which nothing comes for so long, in spite of questions, is dead."""

WINDOW = 4 << 20
"""Bytes of one channel that may be on the way to us: 80 MB/s over a round trip of 50 ms."""

_ASK_SECONDS = 4  # after so long a silence of ours
_PACKET = 32 << 10  # what every server has to take, RFC 4253; OpenSSH takes no more either
_JOIN_SECONDS = 5.0
_CHANNEL_OPEN, _CHANNEL_REQUEST, _GLOBAL_REQUEST = b"\x5a", 98, b"\x50"
_FAST = "aes128-gcm@openssh.com"  # cipher and integrity check in one, in C; paramiko knows it from 4.0 on


class _Packets(Packetizer):  # type: ignore[misc]
    """Counts what comes."""

    def __init__(self, opened: Any) -> None:  # noqa: ANN401 paramiko has no types
        super().__init__(opened)
        self.heard = 0

    def read_message(self) -> Any:  # noqa: ANN401
        message = super().read_message()
        self.heard += 1
        return message


def _on_request(channel: Any, message: Any) -> None:  # noqa: ANN401
    """A server's request on a channel: paramiko knows exit-status, but not exit-signal."""
    if message.get_text() != "exit-signal":
        message.rewind()
        message.get_int()  # the channel's number
        Channel._handle_request(channel, message)
        return
    message.get_boolean()
    name = message.get_text()
    number = getattr(signal, f"SIG{name}", None)
    channel.exit_status = 128 + (int(number) if isinstance(number, signal.Signals) else 0)
    channel.status_event.set()


class SshTransport(Transport):  # type: ignore[misc]
    """One encrypted connection. Its threads have ended when `end` comes back.

    Attributes:
        stalled: it was ended because nothing came any more.
        farewell: the server's own words when it ended the connection; "" without any.
    """

    _channel_handler_table = {**Transport._channel_handler_table, _CHANNEL_REQUEST: _on_request}  # noqa: RUF012

    def __init__(self, opened: Any, host_key_types: tuple[str, ...]) -> None:  # noqa: ANN401
        """Prepare; nothing is sent.

        Args:
            opened: a connected socket, or what is like one; it belongs to the transport from now on.
            host_key_types: names of the algorithms that the server is to show a key for, if it can.
        """
        super().__init__(opened, default_window_size=WINDOW, default_max_packet_size=_PACKET, packetizer_class=_Packets)
        self.daemon = True
        self.stalled = False
        self.farewell = ""
        self._ended = threading.Event()
        self._watcher: threading.Thread | None = None
        self._deferred: list[Any] = []
        self._refusals: dict[int, Exception] = {}
        self._abandoned: dict[int, Any] = {}  # channels that came too late; paramiko holds them weakly
        options = self.get_security_options()
        options.ciphers = tuple(sorted(options.ciphers, key=lambda name: name != _FAST))
        options.key_types = tuple(sorted(options.key_types, key=lambda name: name not in host_key_types))

    @property
    def preferred_keys(self) -> tuple[str, ...]:
        """Without certificates, which are not checked here."""
        return tuple(self._preferred_keys)

    def watch(self, clock: Clock) -> None:
        """From now on, ask the server for a sign of life when it is silent, and end the connection if none comes."""
        self.packetizer.set_keepalive(_ASK_SECONDS, self._ask)
        self._watcher = threading.Thread(target=self._watch, args=(clock,), name="ssh keep-alive", daemon=True)
        self._watcher.start()

    def close(self) -> None:
        """Close it; whoever waits for anything of it is woken."""
        if self.active and isinstance(self.sock, socket.socket):
            with contextlib.suppress(OSError):
                self.sock.shutdown(socket.SHUT_RDWR)  # wakes paramiko's thread, which looks up every 0.1 s only
        super().close()
        for event in list(self.channel_events.values()):
            event.set()

    def end(self) -> None:
        """Close it, and wait until its threads have ended."""
        self._ended.set()
        self.close()
        own = threading.current_thread()
        for thread in (self, self._watcher):
            if thread is not None and thread is not own and thread.is_alive():
                thread.join(_JOIN_SECONDS)
        self.packetizer.complete_handshake()  # a timer of its own, which an early end leaves behind
        self.sock.close()

    def open(self, kind: str, extra: bytes, seconds: float) -> Any:  # noqa: ANN401
        """Open a channel.

        Args:
            kind: "session", "direct-tcpip", ...
            extra: what a request for this kind says beside that, encoded.
            seconds: to wait for the answer.

        Raises:
            paramiko.ChannelException: the server refuses, with its code and words.
            paramiko.SSHException: the connection ended.
            TimeoutError: no answer came in time.
        """
        opened = threading.Event()
        with self.lock:
            number = self._next_channel()
            message = Message()
            message.add_bytes(_CHANNEL_OPEN)
            message.add_string(kind)
            message.add_int(number)
            message.add_int(WINDOW)
            message.add_int(_PACKET)
            message.add_bytes(extra)
            channel = Channel(number)
            self._channels.put(number, channel)
            self.channel_events[number] = opened
            self.channels_seen[number] = True
            channel._set_transport(self)
            channel._set_window(WINDOW, _PACKET)
        if self.active:  # else nobody would wake us
            self._send_user_message(message)
            opened.wait(max(0.0, seconds))
        with self.lock:
            refusal = self._refusals.pop(number, None)
            if refusal is None and self.active and not opened.is_set():
                self._abandoned[number] = channel
                raise TimeoutError
        if refusal is not None:
            raise refusal
        if not self.active:
            raise SSHException("the connection ended")
        return channel

    def _ask(self) -> None:
        """Ask for a sign of life: no server knows this request, and each has to say so."""
        if not self.in_kex:
            message = Message()
            message.add_bytes(_GLOBAL_REQUEST)
            message.add_string("keepalive@openssh.com")
            message.add_boolean(True)
            self._send_message(message)

    def _watch(self, clock: Clock) -> None:
        heard, silent = -1, 0
        while self.active and not clock.wait(self._ended, 1.0):
            # Counted in rounds of ours: a pause of the whole controller is no silence of the server.
            heard, silent = self.packetizer.heard, silent + 1 if self.packetizer.heard == heard else 0
            if silent >= STALL_SECONDS:
                self.stalled = True
                self.close()

    def _parse_channel_open_failure(self, message: Any) -> None:  # noqa: ANN401
        """Keep the reason for whom it concerns: paramiko has one place for all errors."""
        number, code, text = message.get_int(), message.get_int(), message.get_text()
        with self.lock:
            self._channels.delete(number)
            self._abandoned.pop(number, None)
            event = self.channel_events.pop(number, None)
            if event is not None:
                self._refusals[number] = ChannelException(code, text)
                event.set()

    def _parse_channel_open_success(self, message: Any) -> None:  # noqa: ANN401
        number = message.get_int()
        message.rewind()
        super()._parse_channel_open_success(message)
        with self.lock:
            late = self._abandoned.pop(number, None)
        if late is not None:
            late.close()

    def _send_user_message(self, data: Any) -> None:  # noqa: ANN401
        """Send what may not be sent while new keys are agreed upon; others wait for these to be there."""
        if threading.current_thread() is self and not self.clear_to_send.is_set():
            self._deferred.append(data)  # this thread is the one that agrees: paramiko would wait for itself
        else:
            super()._send_user_message(data)

    def _parse_newkeys(self, message: Any) -> None:  # noqa: ANN401
        super()._parse_newkeys(message)
        deferred, self._deferred = self._deferred, []
        for data in deferred:
            self._send_message(data)

    def _parse_disconnect(self, message: Any) -> None:  # noqa: ANN401
        message.get_int()
        self.farewell = message.get_text()
