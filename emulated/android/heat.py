"""A phone that warms up while a program that was pushed to it runs, and cools down afterwards."""

from __future__ import annotations

import asyncio
import contextlib
import os
from pathlib import Path

from emulated.android.phone import Body

_STEP = 0.2
_PUSHED = "/data/local/tmp/"


async def live(body: Body) -> None:
    """Keep the temperature of a phone whose description has `heating`; until cancelled."""
    heating = body.description.heating
    if heating is None:
        return
    file = body.root / heating.file.lstrip("/")
    coldest = float(file.read_text()) / 1000
    while True:
        await asyncio.sleep(_STEP)
        busy = any(_pushed(pid) for pid in body.userland.running())
        now = float(file.read_text()) / 1000
        then = now + heating.busy * _STEP if busy else max(coldest, now - heating.idle * _STEP)
        if then != now:
            body.files.write(heating.file, f"{round(1000 * then)}\n")


def _pushed(pid: int) -> bool:
    """Whether a process runs a program, or a script, from the folder that files are pushed to."""
    process = Path("/proc") / str(pid)
    with contextlib.suppress(OSError):
        if _PUSHED in str((process / "exe").readlink()):
            return True
        words = os.fsdecode((process / "cmdline").read_bytes()).split("\0")
        script = words[1] if len(words) > 1 else ""
        return "/" in script and "\n" not in script and _PUSHED in str((process / "cwd").readlink() / script)
    return False
