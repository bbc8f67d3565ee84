"""A relay that delays what goes through it, in a process of its own, and counts it. For benchmarks."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from dataclasses import dataclass
from typing import Any

from typing_extensions import Self


class Delay:
    """A port of loopback that leads to another one; a context manager.

    Attributes:
        port: that others connect to.
    """

    def __init__(self, port: int, seconds: float) -> None:
        """`port`: that it leads to; `seconds`: that each byte spends on its way, in either direction."""
        self._command = [sys.executable, __file__, str(port), str(seconds)]

    def __enter__(self) -> Self:
        self._child = subprocess.Popen(self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.port: int = self._answer()["port"]
        return self

    def __exit__(self, *exception: object) -> None:
        if self._child.stdin is not None:
            self._child.stdin.close()  # which ends it
        self._child.wait(60)

    def counts(self) -> tuple[int, int]:
        """Bytes that went to the port so far, and that came from there."""
        assert self._child.stdin is not None
        self._child.stdin.write("counts\n")
        self._child.stdin.flush()
        said = self._answer()
        return said["up"], said["down"]

    def _answer(self) -> dict[str, Any]:
        assert self._child.stdout is not None
        line = self._child.stdout.readline()
        if not line:
            raise SystemExit("the relay did not start")
        said: dict[str, Any] = json.loads(line)
        return said


@dataclass
class _Counts:
    up: int = 0
    down: int = 0


async def serve(port: int, seconds: float) -> None:
    """The child: answers a line "counts" with the counts, ends with its input."""
    counts = _Counts()
    loop = asyncio.get_running_loop()

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, name: str) -> None:
        while data := await reader.read(1 << 16):
            setattr(counts, name, getattr(counts, name) + len(data))
            loop.call_later(seconds, writer.write, data)
        loop.call_later(seconds, writer.close)

    async def lead(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", port)
        await asyncio.gather(pump(reader, far_writer, "up"), pump(far_reader, writer, "down"), return_exceptions=True)

    tasks: set[asyncio.Task[None]] = set()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # A task of our own: streams complain about one of theirs that is cancelled.
        task = asyncio.ensure_future(lead(reader, writer))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    print(json.dumps({"port": server.sockets[0].getsockname()[1]}), flush=True)
    while await loop.run_in_executor(None, sys.stdin.readline):
        print(json.dumps({"up": counts.up, "down": counts.down}), flush=True)


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1]), float(sys.argv[2])))
