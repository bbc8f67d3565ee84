"""A phone or board made of files: its programs print samples, and its /sys, /proc and others are folders of a test."""

from __future__ import annotations

import random
import re
import shutil
import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path

from tests.drivers import absent

SAMPLES = Path(__file__).parent / "samples"
SHELLS = ("mksh", "sh")
"""Android's own shell, and whatever this computer calls sh."""

_ROOTS = re.compile(r"(?<![\w}])/(sys|proc|vendor|system|etc|dev/dri|usr/share)/")


def sample(name: str) -> str:
    return (SAMPLES / name).read_text(encoding="utf-8")


def reply(kind: str, parts: Mapping[str, str]) -> str:
    """What a phone's script prints when its commands say `parts`."""
    return "".join(f"\n=-=harness {kind} {name}\n{text}\n" for name, text in parts.items())


def garbage(texts: Iterable[str], count: int) -> Iterable[str]:
    """Replies with bytes dropped, doubled and overwritten, and replies of nothing but random bytes."""
    chance = random.Random(20)
    originals = [text.encode() for text in texts]
    for _ in range(count):
        data = bytearray(chance.choice(originals))
        for _ in range(chance.randrange(1, 40)):
            place = chance.randrange(len(data) + 1)
            end = min(len(data), place + chance.randrange(1, 12))
            choice = chance.randrange(3)
            if choice == 0:
                del data[place:end]
            elif choice == 1:
                data[place:place] = data[place:end] * chance.randrange(1, 4)
            else:
                data[place:end] = chance.randbytes(end - place)
        yield bytes(data).decode("utf-8", chance.choice(["replace", "surrogateescape", "ignore"]))
        yield chance.randbytes(chance.randrange(200)).decode("utf-8", "replace")


class Phone:
    """Runs scripts with nothing in PATH but what was put there."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "root"
        self.bin = folder / "bin"
        self.log = folder / "log"
        self.bin.mkdir()
        self.root.mkdir()
        for tool in ("cat", "grep"):
            self.link(tool)

    def link(self, tool: str) -> None:
        found = shutil.which(tool)
        assert found
        (self.bin / tool).symlink_to(found)

    def program(self, name: str, answers: Mapping[str, str]) -> None:
        """A program that prints a text for certain arguments, and fails as Android's do for all others."""
        cases = []
        for number, (arguments, text) in enumerate(answers.items()):
            file = self.bin.parent / f"{name}-{number}.txt"
            file.write_text(text, encoding="utf-8")
            cases.append(f"{arguments!r}) exec cat {file} ;;")
        script = f'#!/bin/sh\necho "{name} $*" >> {self.log}\ncase "$*" in\n' + "\n".join(cases)
        path = self.bin / name
        path.write_text(script + '\n*) echo "Can\'t find service: $*" >&2; exit 20 ;;\nesac\n', encoding="utf-8")
        path.chmod(0o755)

    def file(self, path: str, text: str) -> None:
        target = self.root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding="utf-8")

    def zones(self, text: str) -> None:
        """Thermal zones from lines of `VALUE NAME`."""
        for number, line in enumerate(text.splitlines()):
            value, name = line.split(maxsplit=1)
            self.file(f"sys/class/thermal/thermal_zone{number}/type", f"{name}\n")
            self.file(f"sys/class/thermal/thermal_zone{number}/temp", f"{value}\n")

    def run(self, shell: str, script: str, root: str = "/data/local/tmp/harness") -> str:
        """What a script prints; it must say nothing on standard error and end well."""
        program = shutil.which(shell)
        if program is None:
            absent(f"needs {shell}: apt-get install {shell}")
        moved = _ROOTS.sub(lambda match: f"{self.root}/{match[1]}/", script)
        answer = subprocess.run(
            [program, "-c", moved],
            env={"PATH": str(self.bin), "ROOT": root},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=20,
            check=False,
        )
        assert (answer.returncode, answer.stderr) == (0, b"")
        return answer.stdout.decode()

    def started(self) -> list[str]:
        """Command lines of the programs that ran."""
        return self.log.read_text().splitlines() if self.log.exists() else []
