"""Where an address leads: ~/.ssh/config as paramiko reads it, `Include` and jump hosts resolved."""

from __future__ import annotations

import getpass
import re
import shlex
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.devices.ssh.library import paramiko
from harness.errors import UsageError

Lookup = Callable[[str], Mapping[str, Any]]
"""What the config says about a host: keys in lower case, values as text, those of identityfile as a list."""

PORT = 22

_KEYS = ("id_rsa", "id_ecdsa", "id_ed25519")  # the order in which ssh tries them
_GLOBAL = "/etc/ssh/ssh_known_hosts /etc/ssh/ssh_known_hosts2"
_DEPTH = 8  # of jumps and of files that include others


@dataclass(frozen=True)
class Hop:
    """One computer on the way, as ssh would reach it.

    Attributes:
        name: as it was asked for: an alias of the config, or a host.
        host: name or address to connect to.
        port: of its sshd.
        user: who logs in.
        key_name: what known_hosts calls it.
        known_hosts: files with host keys, in order; the first one is the user's own.
        identities: private key files to try; those that were named exist or not.
        only_identities: whether an agent's other keys are left out.
        agent: whether the agent is asked.
        command: that connects to it instead of a TCP connection; "" for none.
    """

    name: str
    host: str
    port: int
    user: str
    key_name: str
    known_hosts: tuple[Path, ...]
    identities: tuple[Path, ...]
    only_identities: bool
    agent: bool
    command: str

    @property
    def address(self) -> str:
        """user@host:port, without the port if it is ssh's own."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.user}@{host}" + (f":{self.port}" if self.port != PORT else "")


def route(address: str, identity: str | None = None) -> tuple[Hop, ...]:
    """The computers on the way to an address, itself last. Reads files, opens no connection.

    Args:
        address: [user@]host[:port], where host may be a name of ~/.ssh/config. What is in the address is above what
            the config says.
        identity: private key file for it, tried instead of all others.

    Raises:
        UsageError: the config cannot be read, or uses what cannot be done here.
    """
    path = Path.home() / ".ssh" / "config"
    library = paramiko()
    try:
        config = library.SSHConfig.from_text("\n".join(_lines(path, _DEPTH)))
        return tuple(_hops(config.lookup, address, identity, _DEPTH))
    except UsageError:
        raise
    except (OSError, ValueError, KeyError, ImportError, library.ssh_exception.ConfigParseError) as error:
        raise UsageError(f"{path}: {error}; correct the file, or see what `ssh -G {address}` says") from error
    except library.ssh_exception.CouldNotCanonicalize as error:
        raise UsageError(f"{path}: '{address}' has no canonical name (CanonicalizeHostname): {error}") from error


def split(address: str) -> tuple[str | None, str, int | None]:
    """User, host and port of [user@]host[:port]; IPv6 addresses with a port are in brackets.

    Raises:
        UsageError: the port is no number of a port.
    """
    user, at, rest = address.removeprefix("ssh://").rpartition("@")
    found = re.fullmatch(r"\[(?P<six>[^\]]+)\](:(?P<a>.*))?|(?P<host>[^:]*)(:(?P<b>[^:]*))?", rest)
    if found is None:  # an IPv6 address without brackets
        return (user if at else None), rest, None
    host, port = found["six"] or found["host"], found["a"] or found["b"]
    if port and not (port.isdigit() and 0 < int(port) < 1 << 16):
        raise UsageError(f"'{address}': '{port}' is no port; write user@host:port, and IPv6 addresses in brackets")
    return (user if at else None), host, int(port) if port else None


def _hops(lookup: Lookup, address: str, identity: str | None, depth: int) -> Iterator[Hop]:
    user, name, port = split(address)
    if not name or name.startswith("-"):
        raise UsageError(f"'{address}' is no ssh address; write user@host, or a name from ~/.ssh/config")
    if depth == 0:
        raise UsageError(f"~/.ssh/config: ProxyJump of '{name}' leads through more than {_DEPTH} computers")
    said = lookup(name)
    jump = said.get("proxyjump") or "none"
    if jump.lower() != "none":
        for place in jump.split(","):
            yield from _hops(lookup, place.strip(), None, depth - 1)
    own = None if identity is None else (Path(identity).expanduser(),)
    named = said.get("identityfile", [])
    files = own or tuple(Path(file).expanduser() for file in named if file.lower() != "none")
    if not files and not named:
        files = tuple(path for key in _KEYS if (path := Path.home() / ".ssh" / key).is_file())
    host = said["hostname"]
    real_port = port or int(said.get("port", PORT))
    alias = said.get("hostkeyalias")
    yield Hop(
        name=name,
        host=host,
        port=real_port,
        user=user or said.get("user") or getpass.getuser(),
        key_name=alias or (host if real_port == PORT else f"[{host}]:{real_port}"),
        known_hosts=_known_hosts(said),
        identities=files,
        only_identities=own is not None or said.get("identitiesonly", "no") == "yes",
        agent=said.get("identityagent", "").lower() != "none",
        command=_command(said) if jump.lower() == "none" else "",
    )


def _command(said: Mapping[str, Any]) -> str:
    command: str = said.get("proxycommand") or ""
    return command


def _known_hosts(said: Mapping[str, Any]) -> tuple[Path, ...]:
    home = Path.home() / ".ssh"
    user = said.get("userknownhostsfile") or f"{shlex.quote(str(home / 'known_hosts'))} {home / 'known_hosts2'}"
    system = said.get("globalknownhostsfile") or _GLOBAL
    words = [word for text in (user, system) for word in shlex.split(text) if word.lower() != "none"]
    return tuple(Path(word.replace("%d", str(Path.home()))).expanduser() for word in words)


def _lines(path: Path, depth: int, block: str = "") -> Iterator[str]:
    """The lines of a config with those of the files that it includes; nothing if it does not exist."""
    if depth == 0:
        raise UsageError(f"{path}: files that include one another more than {_DEPTH} deep")
    try:
        text = path.read_text(encoding="utf-8", errors="surrogateescape")
    except FileNotFoundError:
        return
    for line in text.splitlines():
        word, _, rest = line.strip().replace("=", " ", 1).partition(" ")
        if word.lower() in ("host", "match"):
            block = line
        if word.lower() != "include":
            yield line
            continue
        for name in shlex.split(rest):
            place = Path(name).expanduser()
            pattern = str(place if place.is_absolute() else Path.home() / ".ssh" / place)
            for file in sorted(Path("/").glob(pattern.lstrip("/"))):
                yield from _lines(file, depth - 1, block)
        yield block or "Host *"  # an included file ends in its own blocks
