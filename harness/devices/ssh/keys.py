"""Our side of a login: the keys of the agent and of files. Nobody is ever asked for a passphrase."""

from __future__ import annotations

import base64
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.devices.ssh.config import Hop
from harness.devices.ssh.errors import PASSPHRASE
from harness.devices.ssh.library import paramiko


@dataclass(frozen=True)
class Key:
    """A key that may be shown.

    Attributes:
        key: paramiko's.
        words: what a message calls it.
    """

    key: Any
    words: str


@dataclass
class Keys:
    """Keys for one login, as they are asked for, in ssh's order: the agent's first, those that are named above others.

    Attributes:
        locked: key files that need a passphrase which we have not got, with the reason.
        unusable: key files that cannot be read, with the reason.
    """

    hop: Hop
    locked: list[str] = field(default_factory=list)
    unusable: list[str] = field(default_factory=list)

    def __iter__(self) -> Iterator[Key]:
        """Each key once. Files are read when it is their turn."""
        public = {path: _public(path) for path in self.hop.identities}
        agent = paramiko().Agent() if self.hop.agent else None
        try:
            held = list(agent.get_keys()) if agent is not None else []
            named = [key for key in held if _blob(key) in public.values()]
            others = [] if self.hop.only_identities else [key for key in held if key not in named]
            for key in (*named, *others):
                yield Key(key, f"a key of the agent ({key.comment or key.get_name()})")
            shown = {_blob(key) for key in named}
            for path, blob in public.items():
                if blob is None or blob not in shown:
                    loaded = self._load(path)
                    if loaded is not None:
                        yield loaded
        finally:
            if agent is not None:
                agent.close()

    def _load(self, path: Path) -> Key | None:
        library = paramiko()
        if not path.is_file():
            self.unusable.append(f"{path} does not exist")
            return None
        passphrase = os.environ.get(PASSPHRASE)
        try:
            return Key(_read(path, None), str(path))
        except (TypeError, library.PasswordRequiredException):
            pass  # it has a passphrase
        except (OSError, ValueError, library.SSHException) as error:
            self.unusable.append(f"{path}: {_first_line(error)}")
            return None
        if passphrase is None:
            self.locked.append(f"{path} has a passphrase")
            return None
        try:
            return Key(_read(path, passphrase), str(path))
        except (TypeError, ValueError, library.SSHException):
            self.locked.append(f"{path} has another passphrase than ${PASSPHRASE}")
            return None


def _read(path: Path, passphrase: str | None) -> Any:  # noqa: ANN401 paramiko has no types
    data = None if passphrase is None else passphrase.encode()
    return paramiko().PKey.from_path(str(path), data)


def _public(path: Path) -> bytes | None:
    """The public half of a key file, from the file beside it; None without one."""
    try:
        words = path.with_name(path.name + ".pub").read_text(encoding="utf-8").split()
        return base64.b64decode(words[1])
    except (OSError, ValueError, IndexError):
        return None


def _blob(key: Any) -> bytes:  # noqa: ANN401
    return bytes(key.asbytes())


def _first_line(error: BaseException) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]
