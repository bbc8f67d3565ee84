"""A device that is driven by its shell: scripts whose reply comes in sections."""

from __future__ import annotations

import hashlib
import secrets
import shlex
from collections.abc import Mapping
from dataclasses import dataclass

from harness.devices.shell.kind import Kind
from harness.devices.shell.way import Way

SAY = 'say() { echo; echo "@@$TOKEN $1"; }\n'
"""Defines `say NAME`, which begins a section of the reply.

The token in its heading is fresh for every call, so that nothing a program prints can be mistaken for a heading.
"""

STORE = "sha256"
"""Folder of files that are named by their content."""

_SHOWN = "a script of the harness"  # in messages: its text would tell a person nothing
_REPLY_LIMIT = 4 << 20


@dataclass(frozen=True)
class Reply:
    """What a script printed.

    Attributes:
        sections: by name; on phones without shell v2 with the error messages in them.
        exit_code: of the script.
        said: what stands before the first section, and error messages.
    """

    sections: Mapping[str, str]
    exit_code: int
    said: str

    def words(self, name: str) -> list[str]:
        """The words of a section; none if it is absent."""
        return self.sections.get(name, "").split()


class Remote:
    """A device and the harness's folder on it."""

    def __init__(self, way: Way, name: str, root: str, kind: Kind) -> None:
        """Bind them.

        Args:
            way: to the device.
            name: of the device, for messages.
            root: the harness's folder; "" until the device has told its own (see `scripts.prepare_script`).
            kind: of the device.
        """
        self.way = way
        self.name = name
        self.root = root
        self.kind = kind
        self._placed: set[str] = set()

    def call(self, script: str, seconds: float, **variables: object) -> Reply:
        """Run a script with the shell variables TOKEN, ROOT and others; one command on the device.

        Raises:
            WayError: it did not come to its end.
        """
        reply = self._call_once(script, seconds, variables)
        if reply.exit_code != 0 and not reply.sections and self._placed:
            self._placed.clear()  # what was pushed may be gone
            reply = self._call_once(script, seconds, variables)
        return reply

    def _call_once(self, script: str, seconds: float, variables: Mapping[str, object]) -> Reply:
        token = secrets.token_hex(6)
        values = {"TOKEN": token, "ROOT": self.root, **variables}
        head = "".join(f"{name}={shlex.quote(str(value))}\n" for name, value in values.items())
        text = head + self.place(script, seconds, len(head))
        result = self.way.shell(self.place(text, seconds), seconds, limit=_REPLY_LIMIT, shown=_SHOWN)
        before, *parts = f"\n{result.text}".split(f"\n@@{token} ")
        pairs = (part.partition("\n") for part in parts)
        said = before.strip() or result.stderr.decode("utf-8", "replace").strip()
        return Reply({name.strip(): text for name, _, text in pairs}, result.exit_code, said)

    def section(self, script: str, seconds: float) -> str:
        """What a script prints that knows no sections; see `call`."""
        return self.call(f"{SAY}say all\n{script}", seconds).sections.get("all", "")

    def place(self, script: str, seconds: float, beside: int = 0) -> str:
        """Have a script on the device if it is too long for a call.

        Args:
            script: POSIX sh.
            seconds: for pushing it.
            beside: bytes of the call that are needed for something else.

        Returns:
            What to call: the script, or a line that reads it there.

        Raises:
            WayError: it cannot be pushed.
        """
        content = script.encode()
        if len(content) + beside <= self.way.longest:
            return script
        name = _name(content)
        if name not in self._placed:
            with self.way.sync(seconds) as session:
                session.push(content, f"{self.root}/{STORE}/{name}", 0o755)
            self._placed.add(name)
        return f'. "{self.root}/{STORE}/{name}"\n'

    def place_of(self, script: str) -> str:
        """The file that a script was pushed to; "" if it was not."""
        name = _name(script.encode())
        return f"{self.root}/{STORE}/{name}" if name in self._placed else ""


def _name(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
