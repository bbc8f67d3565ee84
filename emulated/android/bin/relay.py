"""Runs Debian's adbd in a network of its own, and leads a unix socket to it: relay.py SOCKET PROGRAM ARGUMENT...

That adbd listens on every address of its machine, so that it gets a machine with a loopback device only. Prints the
pid of the adbd once it listens.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import socket
import struct
import sys

PORT = 5555
_SIOCGIFFLAGS, _SIOCSIFFLAGS, _IFF_UP = 0x8913, 0x8914, 1


def loopback_up() -> None:
    """Switch on the loopback device of a new network namespace (netdevice(7))."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        reply = fcntl.ioctl(any_socket, _SIOCGIFFLAGS, struct.pack("16sH14x", b"lo", 0))
        flags = struct.unpack("16sH14x", reply)[1]
        fcntl.ioctl(any_socket, _SIOCSIFFLAGS, struct.pack("16sH14x", b"lo", flags | _IFF_UP))


async def copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Everything, in one direction; then both are closed."""
    try:
        while data := await reader.read(1 << 18):
            writer.write(data)
            await writer.drain()
    except ConnectionError:
        pass
    finally:
        writer.close()


async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """One adb server."""
    inner_reader, inner_writer = await asyncio.open_connection("127.0.0.1", PORT)
    await asyncio.gather(copy(reader, inner_writer), copy(inner_reader, writer))


async def main(path: str, program: list[str]) -> None:
    """Start the adbd, and serve until killed."""
    loopback_up()
    adbd = await asyncio.create_subprocess_exec(*program, env={**os.environ, "ADBD_PORT": str(PORT)})
    while adbd.returncode is None:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", PORT)
        except ConnectionRefusedError:
            await asyncio.sleep(0.005)
            continue
        writer.close()
        break
    server = await asyncio.start_unix_server(connected, path)
    sys.stdout.write(f"{adbd.pid}\n")
    sys.stdout.flush()
    await adbd.wait()
    server.close()


asyncio.run(main(sys.argv[1], sys.argv[2:]))
