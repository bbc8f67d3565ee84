"""Phones and labs for tests, and `adb` as a person would type it."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

import adbutils

from emulated.android.description import Description, named
from emulated.android.lab import AdbLab
from emulated.android.phone import Body, Phone
from emulated.android.userland import Isolation, isolation
from tests.drivers import absent

SECONDS = 20


def make(
    phone: str | Description, root: Path, kind: Isolation = "namespace", environ: Mapping[str, str] | None = None
) -> Body:
    """A phone without an adbd, or skip where this computer has no namespaces."""
    if kind == "namespace" and isolation() != "namespace":
        absent("needs user namespaces: `unshare -rm true` fails here")
    description = named(phone) if isinstance(phone, str) else phone
    return Body(description, root, "EMULATED01", environ or {}, kind)


def shell(body: Body, command: str) -> tuple[int, str, str]:
    """Exit code, output and errors of a command on a phone."""
    program = body.program(command, {})
    done = subprocess.run(
        program.argv, env=program.env, cwd=program.cwd, capture_output=True, text=True, timeout=SECONDS, check=False
    )
    return done.returncode, done.stdout, done.stderr


def says(body: Body, command: str) -> str:
    """What a command prints; it must succeed."""
    code, out, err = shell(body, command)
    assert (code, err) == (0, ""), (command, code, out, err)
    return out


def adb(lab: AdbLab, phone: Phone | None, *words: str) -> subprocess.CompletedProcess[str]:
    """`adb -s PHONE WORDS` against the lab's server."""
    device = ["-s", phone.serial] if phone else []
    argv = [adbutils.adb_path(), *device, *words]
    return subprocess.run(argv, env=lab.environ, capture_output=True, text=True, timeout=SECONDS, check=False)


def listed(lab: AdbLab) -> dict[str, str]:
    """Serial -> state, as `adb devices` prints it."""
    lines = adb(lab, None, "devices").stdout.splitlines()[1:]
    return dict(line.split("\t") for line in lines if line)


def alive(pid: int) -> bool:
    """Whether a process runs; one that is dead and not waited for does not."""
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False


def mentioning(text: str) -> list[int]:
    """Processes that have this text in their command line or environment, but for the test itself."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            if text.encode() in (entry / "cmdline").read_bytes() + (entry / "environ").read_bytes():
                found.append(int(entry.name))
        except OSError:
            continue
    return [pid for pid in found if alive(pid)]
