"""What tidevice's exceptions mean. Only for the process that runs tidevice.

Its own exceptions say little: most are `MuxError` with a text, and the cause may be further down the chain.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tidevice._proto import UsbmuxReplyCode
from tidevice.exceptions import BaseError, MuxReplyError, SocketError

_WORDS = {
    "PasswordProtected": "locked",
    "DeviceLocked": "locked",
    "ApplicationLookupFailed": "app_missing",
    "InstallationLookupFailed": "no_file_sharing",
    "InvalidHostID": "not_paired",
    "InvalidPairRecord": "not_paired",
    "MissingHostID": "not_paired",
    "PairingDialogResponsePending": "not_paired",
    "UserDeniedPairing": "not_paired",
    "not ready": "gone",
    "unable to connect": "usbmuxd_down",
    "socket connect error": "usbmuxd_down",
    "socket timeout": "timeout",
    "wait reply timeout": "timeout",
    "InvalidService": "refused",
}
_LONGEST = 1000


class Refusal(Exception):
    """A phone's refusal whose kind is known.

    Attributes:
        kind: see `errors.KINDS`.
        said: the phone's words.
    """

    def __init__(self, kind: str, said: str) -> None:
        super().__init__(said)
        self.kind = kind
        self.said = said


class NoFileError(Refusal):
    """There is no such file on the phone."""

    def __init__(self, path: str) -> None:
        super().__init__("refused", f"there is no {path}")


def chain(error: BaseException) -> Iterator[BaseException]:
    """An exception, and those that led to it."""
    seen: set[int] = set()
    current: BaseException | None = error
    while current is not None and id(current) not in seen:
        seen.add(id(current))
        yield current
        current = current.__cause__ or current.__context__


def classify(error: BaseException) -> tuple[str, str]:
    """The kind of an error (see `errors.KINDS`), and what was said."""
    links = list(chain(error))
    said = "; ".join(dict.fromkeys(text for link in links if (text := _text(link))))[:_LONGEST]
    for link in links:
        if isinstance(link, Refusal):
            return link.kind, link.said
        for word, kind in _WORDS.items():
            if isinstance(link, BaseError) and word in str(link):
                return kind, said
        if isinstance(link, TimeoutError):
            return "timeout", said
    for link in links:
        if isinstance(link, MuxReplyError):
            bad = link.reply_code in {UsbmuxReplyCode.BadDevice, UsbmuxReplyCode.ConnectionRefused}
            return ("gone" if bad else "protocol"), f"usbmuxd says {link.reply_code.name}"
        if isinstance(link, (SocketError, ConnectionError, EOFError)):
            return "gone", said
    if any(isinstance(link, BaseError) for link in links):
        return "refused", said
    if isinstance(error, OSError):
        return "tool", said
    return "protocol", said


def is_broken(kind: str) -> bool:
    """Whether connections cannot be used any more after such an error."""
    return kind in {"gone", "timeout", "protocol", "usbmuxd_down"}


def _text(error: BaseException) -> str:
    text: Any = str(error)
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
