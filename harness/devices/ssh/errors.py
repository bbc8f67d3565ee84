"""What can go wrong between the controller and a computer that it reaches through SSH."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeVar

from harness.devices.base import worded
from harness.devices.shell.errors import WayError, WayLostError, WayRefusedError, WayTimeoutError
from harness.plan.cell import ErrorClass

Owner = Literal["device", "host"]
"""Whose way it is: a board's own, or that of a host whose phones are behind it."""

PASSPHRASE = "HARNESS_SSH_PASSPHRASE"  # noqa: S105 a variable's name
"""The environment variable with the passphrase of key files."""

CHECK = "is it switched on and on the network, and does its sshd run?"

_LINE = 120
_LOOKED_AT = 400  # characters of a command, which may be a script of some KB


class SshError(WayError):
    """Something that was asked for through SSH did not happen.

    Attributes:
        address: user@host:port.
        todo: what a person can do about it: the one command, where there is one; "" for nothing in particular.
    """

    def __init__(
        self,
        message: str,
        *,
        device: str,
        address: str = "",
        command: str = "",
        exit_code: int | None = None,
        said: str = "",
        todo: str = "",
        error_class: ErrorClass | None = None,
    ) -> None:
        super().__init__(
            f"{message}; {todo}" if todo else message,
            device=device,
            command=command,
            exit_code=exit_code,
            said=said,
            error_class=error_class,
        )
        self.address = address
        self.todo = todo


class SshLostError(SshError, WayLostError):
    """Nobody answers there, or the connection ended in the middle."""


class SshTimeoutError(SshError, WayTimeoutError):
    """The deadline passed."""


class NoSessionError(SshTimeoutError):
    """All sessions that the server allows on a connection were in use for the whole time."""


class NoSuchNameError(SshLostError):
    """No name server knows the host."""


class SshRefusedError(SshError, WayRefusedError):
    """The other computer answered, and refused: no space left, permission denied, no such file, no such service."""


class SshProtocolError(SshError):
    """What came back is not what the protocol says."""


class SshAccessError(SshError):
    """Something about keys, which no further try mends: an error of class host, for boards too."""

    default_class = ErrorClass.HOST


class HostKeyUnknownError(SshAccessError):
    """No known_hosts file has a key for this computer. Attribute `fingerprint`: of the key that it showed."""

    fingerprint: str = ""


class HostKeyChangedError(SshAccessError):
    """It showed another key than known_hosts has, or one that is revoked there. `fingerprint`: of that key."""

    fingerprint: str = ""


class AuthRefusedError(SshAccessError):
    """It lets none of our keys in."""


class PassphraseError(SshAccessError):
    """A key file needs a passphrase that we have not got."""


E = TypeVar("E", bound=SshError)


@dataclass(frozen=True)
class Subject:
    """Who an error is about.

    Attributes:
        device: name of the device or host in devices.yaml.
        address: as a person would type it after `ssh`.
        owner: whose way it is.
    """

    device: str
    address: str
    owner: Owner = "device"

    def error(
        self,
        kind: type[E],
        what: str,
        *,
        command: str = "",
        exit_code: int | None = None,
        said: str = "",
        todo: str = "",
    ) -> E:
        """An error whose message is "<device>: what happened: its own words; what to do".

        Args:
            kind: class of the error.
            what: what happened.
            command: the command or the file that it is about.
            exit_code: of a command that ended.
            said: the other side's own words; shortened in the message, kept whole in the error.
            todo: what a person can do about it.
        """
        return kind(
            worded(self.device, what, said),
            device=self.device,
            address=self.address,
            command=command,
            exit_code=exit_code,
            said=said,
            todo=todo,
            error_class=ErrorClass.HOST if self.owner == "host" else None,
        )


def shorten(text: str) -> str:
    """A command or path as an error may show it: one line of at most 120 characters."""
    line = " ".join(text[:_LOOKED_AT].split())
    return line if len(line) <= _LINE and len(text) <= _LOOKED_AT else f"{line[: _LINE - 3]}..."


def either(words: Sequence[str]) -> str:
    """Words as "a, b and c"."""
    return " and ".join(part for part in (", ".join(words[:-1]), *words[-1:]) if part)
