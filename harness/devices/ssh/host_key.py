"""Whether a computer is the one that it should be: its key against known_hosts. Nothing is ever added there."""

from __future__ import annotations

import shlex
from pathlib import Path

from harness.devices.ssh.config import PORT, Hop
from harness.devices.ssh.errors import HostKeyChangedError, HostKeyUnknownError, SshAccessError, Subject
from harness.devices.ssh.known_hosts import AUTHORITY, REVOKED, KnownKey, fingerprint, known_keys

_ALGORITHMS = {"ssh-rsa": ("rsa-sha2-512", "rsa-sha2-256")}  # which prove the same key


def known_types(hop: Hop, subject: Subject) -> tuple[str, ...]:
    """Algorithms of the keys that are known for it: the server is asked for these first.

    Raises:
        SshAccessError: a known_hosts file cannot be read.
    """
    kinds = [entry.kind for entry in _known(hop, subject) if not entry.marker]
    return tuple(name for kind in kinds for name in _ALGORITHMS.get(kind, (kind,)))


def check(hop: Hop, key: bytes, kind: str, subject: Subject, *, direct: bool) -> None:
    """Raise unless known_hosts has this key for this computer.

    Args:
        hop: the computer.
        key: that it has proven to have.
        kind: of the key.
        subject: who errors are about.
        direct: whether it can be asked for its key from here, without a computer between.

    Raises:
        HostKeyUnknownError: no file has a key for it.
        HostKeyChangedError: a file has another one, or says that this one is revoked.
        SshAccessError: a known_hosts file cannot be read.
    """
    known = _known(hop, subject)
    revoked = next((entry for entry in known if entry.marker == REVOKED and entry.key == key), None)
    shown = named(key, kind)
    if revoked is not None:
        error: HostKeyChangedError | HostKeyUnknownError = subject.error(
            HostKeyChangedError,
            f"{hop.address} shows the {shown}, which {revoked.where} revokes",
            command="connect",
            todo="somebody may have stolen it; ask who keeps that computer",
        )
    elif any(entry.key == key and not entry.marker for entry in known):
        return
    elif changed := [entry for entry in known if not entry.marker and entry.kind == kind]:
        error = _changed(hop, shown, kind, changed[0], subject, direct=direct)
    else:
        error = _unknown(hop, shown, kind, known, subject, direct=direct)
    error.fingerprint = fingerprint(key)
    raise error


def named(key: bytes, kind: str) -> str:
    """A key in words: kind and fingerprint."""
    return f"{kind} key {fingerprint(key)}"


def _known(hop: Hop, subject: Subject) -> list[KnownKey]:
    try:
        return known_keys(hop.known_hosts, hop.key_name)
    except OSError as error:
        what = f"{error.filename} cannot be read"
        raise subject.error(SshAccessError, what, said=error.strerror or str(error)) from error


def _changed(
    hop: Hop, shown: str, kind: str, entry: KnownKey, subject: Subject, *, direct: bool
) -> HostKeyChangedError:
    remove = f"ssh-keygen -R {shlex.quote(hop.key_name)} -f {_shown(entry.file)}"
    return subject.error(
        HostKeyChangedError,
        f"{hop.address} shows another host key than before: now the {shown}; "
        f"{entry.where} has {fingerprint(entry.key)}. Its system may be new, or somebody is in between",
        command="connect",
        todo=f"if the new key is right: `{remove} && {_accept(hop, kind, entry.file, direct=direct)}`",
    )


def _unknown(
    hop: Hop, shown: str, kind: str, known: list[KnownKey], subject: Subject, *, direct: bool
) -> HostKeyUnknownError:
    files = [file for file in hop.known_hosts if str(file) != "/dev/null"]
    if not files:
        todo = "name a file with UserKnownHostsFile in ~/.ssh/config: host keys are always checked"
    else:
        todo = f"if that is its key: `{_accept(hop, kind, files[0], direct=direct)}`"
    others = [entry for entry in known if not entry.marker]
    authority = next((entry for entry in known if entry.marker == AUTHORITY), None)
    rest = f"; {others[0].where} has one of kind {others[0].kind} only" if others else ""
    if authority is not None:
        rest = f"; {authority.where} trusts an authority for it, but certificates of hosts are not supported here"
    what = f"{hop.address} is not known: it shows the {shown}, which no known_hosts file has{rest}"
    return subject.error(HostKeyUnknownError, what, command="connect", todo=todo)


def _accept(hop: Hop, kind: str, file: Path, *, direct: bool) -> str:
    """The command that has this key in known_hosts afterwards."""
    plain = hop.key_name in (hop.host, f"[{hop.host}]:{hop.port}")
    port = f"-p {hop.port} " if hop.port != PORT else ""
    if direct and plain:
        word = "rsa" if kind == "ssh-rsa" else kind.removeprefix("ssh-").split("-")[0]
        return f"ssh-keyscan -t {word} {port}{shlex.quote(hop.host)} >> {_shown(file)}"
    # It is known under another name, or cannot be reached directly: ssh knows both, and asks.
    port = port if hop.name == hop.host else ""
    return f"ssh {port}{shlex.quote(f'{hop.user}@{hop.name}')} true"


def _shown(file: Path) -> str:
    home = Path.home()
    return f"~/{shlex.quote(str(file.relative_to(home)))}" if file.is_relative_to(home) else shlex.quote(str(file))
