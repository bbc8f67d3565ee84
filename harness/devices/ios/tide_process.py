"""Starting, watching and ending an app through tidevice: iOS 16 and older. Only for the process that runs tidevice."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from typing import Any

from tidevice._instruments import ServiceInstruments
from tidevice._proto import LockdownService
from tidevice.exceptions import BaseError, MuxServiceError, ServiceError

from harness.devices.ios.tide_device import HarmlessDevice
from harness.devices.ios.tide_errors import Refusal

_SECURE_SINCE = 14
_DEVELOPER_MODE_SINCE = 16
_ELSEWHERE_SINCE = 17
AMFI = "com.apple.security.mac.amfi"
_LOCKED = ("Locked", "FBSOpenApplicationErrorDomain Code=7", "code 7")
_MISSING = ("not installed", "ApplicationNotFound", "Unable to find", "unknown to FrontBoard")


class Instruments:
    """The connection for developers, kept open while it works."""

    def __init__(self, device: HarmlessDevice, major: int) -> None:
        """Connect.

        Args:
            device: the phone.
            major: first number of its iOS version.

        Raises:
            Refusal: the phone does not offer it, and why.
        """
        if major >= _ELSEWHERE_SINCE:
            raise Refusal("unsupported_version", f"iOS {major}: tidevice starts no apps from iOS 17 on")
        secure = LockdownService.InstrumentsRemoteServerSecure
        name = secure if major >= _SECURE_SINCE else LockdownService.InstrumentsRemoteServer
        try:
            connection = device.start_service(name)
        except MuxServiceError as error:
            if "InvalidService" in str(error):
                raise self._why(device, major) from error
            raise
        connection.get_socket().settimeout(None)  # its reader waits for whatever comes, and ends at a timeout
        self._service = ServiceInstruments(connection)

    @property
    def works(self) -> bool:
        """Whether the connection is still there."""
        return not self._service._quitted.is_set()

    def close(self) -> None:
        """Let go of the connection."""
        with contextlib.suppress(Exception):
            self._service.close()

    def launch(self, bundle: str, args: Sequence[str], env: Mapping[str, str]) -> int:
        """Start an app; one that runs already is ended first. Its process number."""
        try:
            return int(self._service.app_launch(bundle, app_env=dict(env), args=list(args)))
        except ServiceError as error:
            said = " ".join(str(part) for part in error.args)
            if "NSError" not in said and "launch failed" not in said:
                raise
            kind = "locked" if _any(said, _LOCKED) else "app_missing" if _any(said, _MISSING) else "refused"
            raise Refusal(kind, said) from error

    def alive(self, pid: int) -> bool:
        """Whether a process runs."""
        return bool(self._service.is_running_pid(pid))

    def kill(self, pid: int) -> None:
        """End a process, and wait until the phone has taken the request."""
        self._service.app_kill(pid)
        self._service.is_running_pid(pid)  # the request has no answer of its own; the next one's comes after it

    @staticmethod
    def _why(device: HarmlessDevice, major: int) -> Refusal:
        if major >= _DEVELOPER_MODE_SINCE and device.ask("DeveloperModeStatus", AMFI) is False:
            return Refusal("developer_mode_off", "")
        return Refusal("no_developer_image", "")


def image_mounted(device: HarmlessDevice, major: int, seconds: float) -> bool:
    """Whether a developer image is mounted; it is not asked for one, and none is mounted."""
    connection = device.start_service("com.apple.mobile.mobile_image_mounter")
    try:
        kind = "Personalized" if major >= _ELSEWHERE_SINCE else "Developer"
        reply: Any = connection.send_recv_packet({"Command": "LookupImage", "ImageType": kind}, seconds)
    finally:
        with contextlib.suppress(BaseError, OSError):
            connection.close()
    if "DeviceLocked" in str(reply.get("Error", "")):
        raise Refusal("locked", str(reply["Error"]))
    return bool(reply.get("ImageSignature")) or bool(reply.get("ImagePresent"))


def _any(text: str, words: Sequence[str]) -> bool:
    return any(word in text for word in words)
