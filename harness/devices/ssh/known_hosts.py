"""Which key a computer must show: known_hosts files, as sshd(8) describes them."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

REVOKED, AUTHORITY = "@revoked", "@cert-authority"


@dataclass(frozen=True)
class KnownKey:
    """A line about a host.

    Attributes:
        file: that it is in.
        line: its number there, from 1.
        marker: REVOKED, AUTHORITY or "".
        kind: of the key: "ssh-ed25519", "ssh-rsa", ...
        key: the public key as SSH sends it.
    """

    file: Path
    line: int
    marker: str
    kind: str
    key: bytes

    @property
    def where(self) -> str:
        """file:line."""
        return f"{self.file}:{self.line}"


def known_keys(files: Iterable[Path], name: str) -> list[KnownKey]:
    """Everything that the files say about a host, in order. Files that do not exist say nothing.

    Args:
        files: known_hosts files.
        name: "host", or "[host]:port" where the port is not 22.

    Raises:
        OSError: a file is there, and cannot be read.
    """
    found = []
    for file in files:
        try:
            text = file.read_text(encoding="utf-8", errors="replace")
        except FileNotFoundError:
            continue
        found += [entry for entry, names in _entries(file, text) if _matches(names, name.lower())]
    return found


def fingerprint(key: bytes) -> str:
    """SHA256:..., as ssh-keygen -l shows it."""
    return "SHA256:" + base64.b64encode(hashlib.sha256(key).digest()).decode().rstrip("=")


def _entries(file: Path, text: str) -> Iterator[tuple[KnownKey, str]]:
    for number, line in enumerate(text.splitlines(), 1):
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        marker = words.pop(0) if words[0].startswith("@") else ""
        if len(words) < 3 or marker not in ("", REVOKED, AUTHORITY):
            continue  # ssh, too, goes on after a line that it cannot read
        try:
            key = base64.b64decode(words[2], validate=True)
        except (binascii.Error, ValueError):
            continue
        yield KnownKey(file, number, marker, words[1], key), words[0]


def _matches(names: str, name: str) -> bool:
    """Whether a line's first field is about a host: patterns with * and ?, !not, or one hashed name."""
    if names.startswith("|1|"):
        return _is_hash_of(names, name)
    matched = False
    for pattern in names.lower().split(","):
        wanted = pattern.removeprefix("!")
        # In a pattern, brackets are those of [host]:port and no set of characters.
        if fnmatchcase(name, re.sub(r"\[", "[[]", wanted)):
            if pattern.startswith("!"):
                return False
            matched = True
    return matched


def _is_hash_of(hashed: str, name: str) -> bool:
    """|1|salt|HMAC-SHA1 of the name."""
    try:
        salt, wanted = (base64.b64decode(part, validate=True) for part in hashed[3:].split("|"))
    except (binascii.Error, ValueError):
        return False
    return hmac.compare_digest(hmac.new(salt, name.encode(), "sha1").digest(), wanted)
