"""What the parts of the device kind `android` share: scripts whose reply comes in sections."""

from __future__ import annotations

import hashlib
import secrets
import shlex
from collections.abc import Mapping
from dataclasses import dataclass

from harness.devices.adb.device import AdbDevice
from harness.devices.adb.errors import RemoteError, Subject

SAY = 'say() { echo; echo "@@$TOKEN $1"; }\n'
"""Defines `say NAME`, which begins a section of the reply.

The token in its heading is fresh for every call, so that nothing a program prints can be mistaken for a heading.
"""

STORE = "sha256"
"""Folder of files that are named by their content."""

_SHOWN = "a script of the harness"  # in messages: its text would tell a person nothing
_REPLY_LIMIT = 4 << 20
_LONGEST = 50_000
_LONGEST_OLD = 3_800  # adbd of before Android 7 takes a service of one packet, 4 KiB


@dataclass(frozen=True)
class Reply:
    """What a script printed.

    Attributes:
        sections: by name; on devices without shell v2 with the error messages in them.
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
    """A phone and the harness's folder on it."""

    def __init__(self, adb: AdbDevice, name: str, root: str) -> None:
        """Bind them.

        Args:
            adb: the way to the phone.
            name: of the device, for messages.
            root: the harness's folder.
        """
        self.adb = adb
        self.name = name
        self.root = root
        self.subject = Subject(name, adb.serial)
        self._placed: set[str] = set()

    def call(self, script: str, seconds: float, **variables: object) -> Reply:
        """Run a script with the shell variables TOKEN, ROOT and others; one service on the device.

        Raises:
            AdbError: it did not come to its end.
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
        result = self.adb.shell(self.place(text, seconds), seconds, limit=_REPLY_LIMIT, shown=_SHOWN)
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
            AdbError: it cannot be pushed.
        """
        content = script.encode()
        longest = _LONGEST if "shell_v2" in self.adb.features else _LONGEST_OLD
        if len(content) + beside <= longest:
            return script
        name = _name(content)
        if name not in self._placed:
            with self.adb.sync(seconds) as session:
                session.push(content, f"{self.root}/{STORE}/{name}", 0o755)
            self._placed.add(name)
        return f'. "{self.root}/{STORE}/{name}"\n'

    def place_of(self, script: str) -> str:
        """The file that a script was pushed to; "" if it was not."""
        name = _name(script.encode())
        return f"{self.root}/{STORE}/{name}" if name in self._placed else ""

    def refused(self, what: str, said: str, todo: str = "") -> RemoteError:
        """An error that quotes the device."""
        return self.subject.error(RemoteError, what, said=said.strip(), todo=todo)


def _name(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
