"""The way to a board or a host through SSH: is it there, is its key the known one, does it let this computer in."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Callable
from dataclasses import dataclass

from harness.devices.base import DeviceError
from harness.devices.ssh.connection import SshConnection
from harness.devices.ssh.errors import (
    AuthRefusedError,
    HostKeyChangedError,
    HostKeyUnknownError,
    PassphraseError,
    SshError,
)
from harness.doctor.findings import Finding, missing, note, ok
from harness.doctor.ways import Ways
from harness.errors import UsageError

WITHOUT = "without paramiko nothing can be said of it, see above"
_INSTALL = "pip install 'delegate-harness[ssh]'"
_SECONDS = 20.0
_WHAT = {
    HostKeyUnknownError: "host key",
    HostKeyChangedError: "host key",
    AuthRefusedError: "login",
    PassphraseError: "login",
}
"""What a finding is called that an error is the cause of."""


@dataclass(frozen=True)
class Link:
    """What came of connecting.

    Attributes:
        findings: how far it went.
        connection: where commands can be run; None if it did not come to that.
    """

    findings: tuple[Finding, ...]
    connection: SshConnection | None = None


def check_paramiko() -> Finding:
    """The package that speaks SSH; for labs that need it."""
    version = paramiko_version()
    if version is None:
        return missing("paramiko", "is not installed: neither boards nor hosts can be reached without it", _INSTALL)
    return ok("paramiko", version)


def check_link(opened: Callable[[], SshConnection], name: str, ways: Ways, *, required: bool = True) -> Link:
    """Connect, once and without patience.

    Args:
        opened: gives the connection to the board or host, on which nothing was asked yet.
        name: of the board or host.
        ways: to devices.
        required: whether it is missing when it is not there; what is there has to be usable in any case.
    """
    if paramiko_version() is None:
        return Link((missing("reachable", WITHOUT),))
    try:
        connection = opened()
        ways.add(connection.interrupt)
        connection.connect(_SECONDS, ways.cancelled)
    except UsageError as error:
        return Link((missing("address", str(error)),))
    except DeviceError as error:
        return Link((failed(error, name, "reachable", required=required),))
    words = (
        ok("reachable", f"{connection.address_words}, {connection.server}"),
        ok("host key", f"{connection.fingerprint}, as known_hosts has it"),
        ok("login", connection.login),
    )
    return Link(words, connection)


def failed(error: DeviceError, name: str, otherwise: str, *, required: bool = True) -> Finding:
    """What an error says, and what a person can do, apart from each other."""
    what = next((word for kind, word in _WHAT.items() if isinstance(error, kind)), None)
    todo = error.todo if isinstance(error, SshError) else ""
    words = str(error).removeprefix(f"{name}: ").removesuffix(f"; {todo}")
    return (missing if required or what else note)(what or otherwise, words, todo or None)


def paramiko_version() -> str | None:
    """Its version; None if it is not installed."""
    try:
        return importlib.metadata.version("paramiko")
    except importlib.metadata.PackageNotFoundError:
        return None
