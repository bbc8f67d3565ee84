"""Shells of a phone: `shell:`, `shell,v2:` and `exec:`.

Source: AOSP packages/modules/adb, daemon/shell_service.cpp (who gets a terminal, who is signalled), shell_protocol.h.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import re
import socket
import struct
import termios
from dataclasses import dataclass
from typing import Any

from emulated.android.connection import Stream, StreamClosedError
from emulated.android.descriptor import Descriptor
from emulated.android.processes import Processes, Program
from emulated.android.protocol import (
    SHELL_CLOSE_STDIN,
    SHELL_EXIT,
    SHELL_STDERR,
    SHELL_STDIN,
    SHELL_STDOUT,
    SHELL_WINDOW,
    ShellParser,
    shell_packet,
)

_LINGER = 1.0
"""Seconds that adbd keeps the terminal of a v1 shell open after its client has gone."""


@dataclass(frozen=True)
class Request:
    """A service's name, taken apart.

    Attributes:
        framed: Whether the client speaks shell v2.
        pty: Whether the shell gets a terminal to type at; without it, v1 gets a raw terminal and v2 gets sockets.
        terminal: Value for TERM.
        command: What to run; None for an interactive shell.
    """

    framed: bool
    pty: bool
    terminal: str
    command: str | None


def parse(name: str) -> Request | None:
    """Take `shell[,v2][,raw|pty][,TERM=...]:COMMAND` or `exec:COMMAND` apart; None for any other service."""
    kind, colon, command = name.partition(":")
    words = kind.split(",")
    if not colon or words[0] not in ("shell", "exec") or (words[0] == "exec" and len(words) > 1):
        return None
    pty = words[0] == "shell" and not command
    terminal = "dumb"
    for word in words[1:]:
        if word in ("raw", "pty"):
            pty = word == "pty"
        elif word.startswith("TERM="):
            terminal = word.removeprefix("TERM=")
    return Request("v2" in words[1:], pty, terminal, command or None)


def _make_raw(terminal: int) -> None:
    """As cfmakeraw(3), which adbd calls; Python's own clears more flags since 3.12."""
    mode = termios.tcgetattr(terminal)
    mode[0] &= ~(termios.IGNBRK | termios.BRKINT | termios.PARMRK | termios.ISTRIP)
    mode[0] &= ~(termios.INLCR | termios.IGNCR | termios.ICRNL | termios.IXON)
    mode[1] &= ~termios.OPOST
    mode[2] = mode[2] & ~(termios.CSIZE | termios.PARENB) | termios.CS8
    mode[3] &= ~(termios.ECHO | termios.ECHONL | termios.ICANON | termios.ISIG | termios.IEXTEN)
    mode[6][termios.VMIN], mode[6][termios.VTIME] = 1, 0
    termios.tcsetattr(terminal, termios.TCSADRAIN, mode)


async def run(stream: Stream, processes: Processes, program: Program, request: Request, *, cooked: bool) -> None:
    """Run one shell until it has ended, or nobody listens any more.

    Args:
        stream: The client.
        processes: Starts it.
        program: The shell.
        request: How the client wants it.
        cooked: The terminal of a v1 shell turns LF into CR LF and echoes, as before Android 7.
    """
    if request.framed and not request.pty:
        await _run_on_sockets(stream, processes, program)
        return
    master, slave = os.openpty()
    terminal = Descriptor(master)
    try:
        try:
            if not (request.pty or cooked):
                _make_raw(slave)
            pid = processes.start(program, (slave, slave, slave), terminal=os.ttyname(slave))
        finally:
            os.close(slave)
        # What is typed means something (Ctrl-C) only once there is somebody in front of the terminal.
        while not os.tcgetpgrp(master) and processes.runs(pid):
            await asyncio.sleep(0.001)
        if request.framed:
            await _framed(stream, processes, pid, terminal, None)
        else:
            await _unframed(stream, processes, pid, terminal)
    finally:
        terminal.close()


async def _run_on_sockets(stream: Stream, processes: Processes, program: Program) -> None:
    ours, theirs = socket.socketpair()
    errors, their_errors = socket.socketpair()
    inout, err = Descriptor(ours.detach()), Descriptor(errors.detach())
    try:
        with theirs, their_errors:
            pid = processes.start(program, (theirs.fileno(), theirs.fileno(), their_errors.fileno()))
        await _framed(stream, processes, pid, inout, err)
    finally:
        inout.close()
        err.close()


async def _framed(stream: Stream, processes: Processes, pid: int, inout: Descriptor, errors: Descriptor | None) -> None:
    """Shell v2. `errors` is None where a terminal carries both outputs."""

    async def outward(source: Descriptor, kind: int) -> None:
        while data := await source.read():
            await stream.write(shell_packet(kind, data))

    async def inward() -> None:
        parser = ShellParser()
        while data := await stream.read():
            for kind, payload in parser.feed(data):
                await _input(inout, kind, payload, sockets=errors is not None)

    outputs = [outward(inout, SHELL_STDOUT)] + ([outward(errors, SHELL_STDERR)] if errors else [])
    writing: asyncio.Future[Any] = asyncio.gather(*outputs)
    reading: asyncio.Future[Any] = asyncio.ensure_future(inward())
    try:
        await asyncio.wait({writing, reading}, return_when=asyncio.FIRST_COMPLETED)
        if reading.done():
            await reading
        gone = not writing.done() or isinstance(writing.exception(), StreamClosedError)
        if gone:
            # Only the shell is told: what it started and waits for lives on, as on a phone.
            processes.hang_up(pid)
        else:
            await writing
    finally:
        await _settle(writing, reading)
    # Whoever still writes shall not wait for a reader.
    inout.close()
    if errors is not None:
        errors.close()
    code = await processes.ended(pid)
    if not gone:
        await stream.write(shell_packet(SHELL_EXIT, bytes([code & 0xFF])))


async def _input(inout: Descriptor, kind: int, payload: bytes, *, sockets: bool) -> None:
    if kind == SHELL_STDIN:
        try:
            await inout.write(payload)
        except OSError:
            return  # nobody reads it; the outputs still matter
    elif kind == SHELL_CLOSE_STDIN and sockets and inout.number >= 0:
        with socket.socket(fileno=os.dup(inout.number)) as half:
            half.shutdown(socket.SHUT_WR)
    elif kind == SHELL_WINDOW and not sockets and inout.number >= 0:
        size = re.match(rb"(\d+)x(\d+),(\d+)x(\d+)", payload)
        if size:
            numbers = [min(int(number), 0xFFFF) for number in size.groups()]
            fcntl.ioctl(inout.number, termios.TIOCSWINSZ, struct.pack("4H", *numbers))


async def _unframed(stream: Stream, processes: Processes, pid: int, terminal: Descriptor) -> None:
    """Shell v1 and exec: the bytes of a terminal, no exit code."""

    async def inward() -> None:
        while data := await stream.read():
            try:
                await terminal.write(data)
            except OSError:
                continue
        # What was typed before the end is still read; then the terminal hangs up on all processes in front of it.
        await asyncio.sleep(_LINGER)
        terminal.close()

    reading = asyncio.ensure_future(inward())
    try:
        while data := await terminal.read():
            try:
                await stream.write(data)
            except StreamClosedError:
                continue
    finally:
        await _settle(reading)
        terminal.close()
    await stream.close()
    await processes.ended(pid)


async def _settle(*tasks: asyncio.Future[Any]) -> None:
    """Cancel tasks and wait for their ends."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
