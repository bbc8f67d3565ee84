"""What can go wrong between the controller and a phone. All of it is a DeviceError, so that the engine retries it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

from harness.devices.base import worded
from harness.devices.shell.errors import WayError, WayLostError, WayRefusedError, WayTimeoutError
from harness.plan.cell import ErrorClass

_LINE = 120
_LOOKED_AT = 400  # characters of a service, which may be a script of some KB

REPLUG = "check its cable, its screen and `adb devices -l`"
TAP_ALLOW = "tap 'Allow USB debugging' on the phone"


class AdbError(WayError):
    """Something that adb was asked for did not happen.

    Attributes:
        serial: as in devices.yaml; "" when the error is about a server.
    """

    def __init__(
        self,
        message: str,
        *,
        device: str,
        serial: str = "",
        command: str = "",
        exit_code: int | None = None,
        said: str = "",
    ) -> None:
        super().__init__(message, device=device, command=command, exit_code=exit_code, said=said)
        self.serial = serial


class DeviceLostError(AdbError, WayLostError):
    """The device is gone or offline, or the connection ended in the middle."""


class DeviceTimeoutError(AdbError, WayTimeoutError):
    """The deadline passed."""


class RemoteError(AdbError, WayRefusedError):
    """The device answered, and refused: no space left, permission denied, no such file, service not offered."""


class UnauthorizedError(AdbError):
    """The phone does not trust this computer yet."""


class AdbProtocolError(AdbError):
    """What came back is no reply of adb's."""


class ServerDownError(AdbError):
    """No adb server answers, or it hangs: the controller's fault, not the device's."""

    default_class = ErrorClass.HOST


E = TypeVar("E", bound=AdbError)


@dataclass(frozen=True)
class Subject:
    """Who an error is about: a device, or a server (then without serial)."""

    device: str
    serial: str = ""

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
            command: the service or the file that it is about.
            exit_code: of a command that ended.
            said: the device's or server's own words; shortened in the message, kept whole in the error.
            todo: what a person can do about it.
        """
        return kind(
            worded(self.device, what, said, todo),
            device=self.device,
            serial=self.serial,
            command=command,
            exit_code=exit_code,
            said=said,
        )

    def refused(self, said: str, command: str) -> AdbError:
        """The error for an adb server's refusal to lead to a device, told by the server's own words."""
        if "unauthorized" in said or "still authorizing" in said:
            return self.error(
                UnauthorizedError, "does not trust this computer yet", command=command, said=said, todo=TAP_ALLOW
            )
        if "more than one device" in said:
            todo = "name it by its path in devices.yaml (serial: usb:...; `adb devices -l` shows it)"
            return self.error(RemoteError, "its serial is not unique", command=command, said=said, todo=todo)
        if "permission" in said:
            todo = "this user may not open the USB device: add udev rules or the group plugdev"
            return self.error(RemoteError, "cannot be opened", command=command, said=said, todo=todo)
        if any(word in said for word in ("not found", "offline", "no devices", "still connecting", "closed")):
            return self.error(DeviceLostError, "cannot be reached", command=command, said=said, todo=REPLUG)
        return self.error(RemoteError, "refused", command=command, said=said)


def shorten(service: str) -> str:
    """A service string as an error may show it: one line of at most 120 characters."""
    line = " ".join(service[:_LOOKED_AT].split())
    return line if len(line) <= _LINE and len(service) <= _LOOKED_AT else f"{line[: _LINE - 3]}..."
