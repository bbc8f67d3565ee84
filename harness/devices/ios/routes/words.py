"""What tools say when they fail, as errors of ours.

Their words come from their sources and from what they say to this project's emulated iPhones; a real phone may make
them say something else, which then is a ToolError that quotes them.
"""

from __future__ import annotations

import re

from harness.devices.ios.errors import (
    AppMissingError,
    DeveloperModeOffError,
    GoneError,
    IosError,
    LockedError,
    NoDeveloperImageError,
    NotPairedError,
    Subject,
    ToolError,
    UsbmuxdDownError,
)

_IMAGE = "mount it: `pymobiledevice3 mounter auto-mount`, `ios image auto`, or open Xcode with the phone plugged in"
_UNLISTED = r"\]:0\b"  # go-ios dials port 0 when a tunnel does not list the service

_KINDS: tuple[tuple[type[IosError], str, str], ...] = (
    (NoDeveloperImageError, _UNLISTED, _IMAGE),
    (UsbmuxdDownError, r"usbmuxd socket|dial (tcp|unix) \S+: connect: (connection refused|no such file)", ""),
    (LockedError, r"PasswordProtected|password protected|passcode|could not be, unlocked|\b(is|was) locked\b", ""),
    (NoDeveloperImageError, r"Failed to start service|developer ?(disk ?)?image|InvalidService", _IMAGE),
    (DeveloperModeOffError, r"developer mode", ""),
    (NotPairedError, r"not paired|InvalidHostID|NotTrusted|pairing|must be paired|trust this computer", ""),
    (
        AppMissingError,
        r"not installed|ApplicationLookupFailed|FBSApplicationLibrary\W+returned nil|unknown to FrontBoard"
        r"|no (such )?app\b|app\w* (was )?not found|FBSOpenApplicationServiceErrorDomain\W+4\b",
        "",
    ),
    (
        GoneError,
        r"device\W.{0,60}not found|not connected|no device|disconnected|channel closed"
        r"|connection (was )?(closed|reset|terminated|lost)|\bEOF\b|broken pipe|no route to host",
        "",
    ),
)
_TUNNEL = re.compile(r"tunnel|\bRSD\b|CoreDeviceProxy|ConnectionRefused", re.IGNORECASE)
_ERROR_LINE = re.compile(r"^\d{4}-\d\d-\d\d \S+ \S+ \S+\[\d+\] (?:ERROR|CRITICAL) (.*)$", re.MULTILINE)


def error_of(subject: Subject, tool: str, call: str, said: str, *, tunnel: str = "") -> IosError:
    """The error that a tool's words stand for.

    Args:
        subject: the phone.
        tool: its name.
        call: what it was asked for.
        said: its own words.
        tunnel: what to do when the tunnel is missing that iOS 17 and later needs.
    """
    what = f"{tool} failed at `{call}`"
    if tunnel and _TUNNEL.search(said) and not re.search(_UNLISTED, said):
        return subject.error(ToolError, what, call=call, said=said, todo=tunnel)
    for kind, pattern, advice in _KINDS:
        if re.search(pattern, said, re.IGNORECASE):
            todo = f"check its cable; or {tunnel}" if tunnel and kind is GoneError else advice
            return subject.error(kind, what, call=call, said=said, todo=todo)
    return subject.error(ToolError, what, call=call, said=said or "it said nothing")


def last_words(text: str) -> str:
    """What a tool says in the end: its log lines of level ERROR, without their heads, or else its last line."""
    errors = [match[1].strip() for match in _ERROR_LINE.finditer(text)]
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return "; ".join(dict.fromkeys(errors)) or (lines or [""])[-1]
