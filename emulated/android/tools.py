"""What is in a phone's /system/bin: the computer's tools under Android's names, Android's own as scripts, replies."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from emulated.android.description import Description, Reply

SCRIPTS = Path(__file__).parent / "bin"

FAKES = ("am", "cmd", "dumpsys", "getprop", "input", "log", "logcat", "pm", "setprop", "settings", "svc")
"""Android's own programs, as far as they are needed; each is a script in `bin/`."""

NAMES = Path(__file__).parent / "programs.txt"
"""Other programs of Android 14; those that this computer does not have are missing on its phones too."""

_SCREEN = ("dumpsys power", "dumpsys display")
"""Replies that tell whether the screen is on: `input` changes them."""


@cache
def toybox() -> tuple[str, frozenset[str]]:
    """The computer's toybox and the programs in it; ("", nothing) where it has none."""
    path = shutil.which("toybox")
    if path is None:
        return "", frozenset()
    listed = subprocess.run([path], capture_output=True, text=True, check=True, timeout=10)
    return path, frozenset(listed.stdout.split())


def shell() -> str:
    """The shell that stands for Android's: mksh, which is the same program, else the computer's /bin/sh."""
    return shutil.which("mksh") or "/bin/sh"


class Tools:
    """A phone's /system/bin, and the files that its scripts keep state in."""

    def __init__(self, root: Path, seen: str, description: Description) -> None:
        """Install everything.

        Args:
            root: of the phone, on the computer.
            seen: what `root` is called inside the phone: "" where it has a file system of its own.
            description: of the phone.
        """
        self._bin = root / "system/bin"
        self._state = root / "system/emulated"
        self._seen = seen
        self._missing = frozenset(description.missing)
        self._replies: dict[str, Reply] = {}
        self._scripts: dict[str, str] = dict(description.scripts)
        for folder in (self._bin, self._state / "replies", self._state / "screen"):
            folder.mkdir(parents=True, exist_ok=True)
        (self._state / "log").touch()
        (self._bin / "sh").symlink_to(shell())
        for space in ("system", "secure", "global"):
            self._write_pairs(f"settings.{space}", description.settings.get(space, {}))
        for name in NAMES.read_text(encoding="utf-8").split():
            self._link(name)
        for line, reply in description.replies().items():
            self._keep(line, reply)
        replied = {line.split(maxsplit=1)[0] for line in self._replies}
        for name in {*FAKES, *self._scripts, *replied}:
            self._install(name)

    def set_properties(self, properties: Mapping[str, str]) -> None:
        """Replace everything that `getprop` knows."""
        lines = (f"[{name}]: [{value}]\n" for name, value in sorted(properties.items()))
        self._replace(self._state / "properties", "".join(lines))

    def property_values(self) -> dict[str, str]:
        """Everything that `getprop` knows, with what scripts have set."""
        text = (self._state / "properties").read_text(encoding="utf-8")
        return dict(re.findall(r"^\[(.*?)\]: \[(.*)\]$", text, re.MULTILINE))

    def set_reply(self, line: str, reply: Reply) -> None:
        """Give a command line another reply."""
        self._keep(line, reply)
        self._install(line.split(maxsplit=1)[0])

    def set_script(self, name: str, script: str) -> None:
        """Make a program of a shell script; command lines with a recorded reply go before it."""
        self._scripts[name] = script
        self._install(name)

    def _keep(self, line: str, reply: Reply) -> None:
        self._replies[line] = reply
        output, error = self._file(line, "out"), self._file(line, "err")
        self._replace(output, reply.output)
        if reply.script is not None:
            self._program(output, self._filled(reply.script))
        elif reply.error:
            self._replace(error, reply.error)

    def _file(self, line: str, kind: str) -> Path:
        number = list(self._replies).index(line)
        return self._state / ("screen" if line in _SCREEN else "replies") / f"{number}.{kind}"

    def _install(self, name: str) -> None:
        """Write the program `name`: recorded replies first, then the script of that name, then the computer's tool."""
        if name in self._missing:
            return
        cases: list[str] = []
        for line, reply in self._replies.items():
            program, _, arguments = line.partition(" ")
            if program != name:
                continue
            path = shlex.quote(self._inside(self._file(line, "out")))
            actions = [f'exec {path} "$@"'] if reply.script is not None else [f"{_host('cat')} {path}"]
            if actions[0].startswith("/") and not (reply.error or reply.exit):
                actions = [f"exec {actions[0]}"]  # one process less, and reading the state takes several
            if reply.error:
                actions.append(f"{_host('cat')} {shlex.quote(self._inside(self._file(line, 'err')))} >&2")
            cases.append(f"{shlex.quote(arguments)}) {'; '.join(actions)}; exit {reply.exit} ;;\n")
        text = 'case "$*" in\n' + "".join(cases) + "esac\n" if cases else ""
        self._program(self._bin / name, text + self._otherwise(name))

    def _otherwise(self, name: str) -> str:
        if name in self._scripts:
            return self._filled(self._scripts[name])
        if name in FAKES:
            return self._filled((SCRIPTS / name).read_text(encoding="utf-8"))
        target = _tool(name)
        if target is None:
            return f'echo {shlex.quote(name + ": no reply is recorded for:")} "$*" >&2\nexit 1\n'
        box = f"{target} {name}" if target == toybox()[0] else target
        return f'exec {box} "$@"\n'

    def _filled(self, script: str) -> str:
        names = {"ROOT": self._seen, "STATE": self._inside(self._state), "BIN": self._inside(self._bin)}
        names |= {tool.upper(): _host(tool) for tool in ("cat", "df", "mv", "rm", "sed", "tail")}
        return re.sub(r"@([A-Z]+)@", lambda match: names.get(match[1], match[0]), script)

    def _link(self, name: str) -> None:
        target = _tool(name)
        if target is not None and name not in self._missing:
            (self._bin / name).symlink_to(target)

    def _program(self, path: Path, text: str) -> None:
        self._replace(path, f"#!{self._inside(self._bin / 'sh')}\n{text}", 0o755)

    def _inside(self, path: Path) -> str:
        return f"{self._seen}/{path.relative_to(self._bin.parent.parent)}"

    def _write_pairs(self, name: str, pairs: Mapping[str, str]) -> None:
        self._replace(self._state / name, "".join(f"{key}={value}\n" for key, value in pairs.items()))

    @staticmethod
    def _replace(path: Path, text: str, mode: int = 0o644) -> None:
        """In one step: the phone may be running the program, or reading the file."""
        part = path.with_name(f".{path.name}.new")
        part.write_text(text, encoding="utf-8")
        part.chmod(mode)
        part.replace(path)


def _tool(name: str) -> str | None:
    box, programs = toybox()
    return box if name in programs else shutil.which(name, path=os.defpath)


def _host(name: str) -> str:
    """The computer's own tool, for scripts: the phone's may be replaced or missing."""
    return shutil.which(name, path=os.defpath) or name
