"""What can go wrong between the controller and an iPhone. All of it is a DeviceError; each message says what to do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, TypeVar

from harness.devices.base import DeviceError, worded
from harness.plan.cell import ErrorClass


class IosError(DeviceError):
    """Something that an iPhone was asked for did not happen.

    Attributes:
        device: its name in devices.yaml.
        udid: as in devices.yaml; "" when the error is about a usbmuxd.
        call: what was asked for.
        said: the words of the device, of usbmuxd or of a tool, unabridged.
        advice: what a person can do about it, which ends the message; "" if nothing is known.
    """

    default_class: ClassVar[ErrorClass] = ErrorClass.DEVICE
    what: ClassVar[str] = "failed"
    """What happened, unless the error says more."""
    todo: ClassVar[str] = ""
    """What a person can do about it."""

    def __init__(
        self, message: str, *, device: str, udid: str = "", call: str = "", said: str = "", advice: str = ""
    ) -> None:
        super().__init__(message, device=device, error_class=self.default_class)
        self.udid = udid
        self.call = call
        self.said = said
        self.advice = advice


class GoneError(IosError):
    """The phone is not plugged in, or the connection ended in the middle."""

    what = "cannot be reached"
    todo = "check its cable; `idevice_id -l`, or Finder on a Mac, shows which phones are plugged in"


class LockedError(IosError):
    """What was asked for needs an unlocked phone."""

    what = "is locked"
    todo = "unlock it, and keep it unlocked (Settings > Display & Brightness > Auto-Lock > Never)"


class NotPairedError(IosError):
    """The phone does not trust this computer, or no longer. The harness never pairs by itself."""

    default_class = ErrorClass.CONFIG
    what = "does not trust this computer"
    todo = "plug it in, unlock it and tap Trust; if it does not ask, run `idevicepair pair` (on a Mac: open Finder)"


class DeveloperModeOffError(IosError):
    """iOS 16 and later start an app for a computer only in Developer Mode."""

    default_class = ErrorClass.CONFIG
    what = "its Developer Mode is off"
    todo = "switch it on under Settings > Privacy & Security > Developer Mode; the phone restarts"


class NoDeveloperImageError(IosError):
    """Starting an app needs the developer image. The harness never downloads or mounts one."""

    default_class = ErrorClass.CONFIG
    what = "no developer image is mounted, which starting an app needs"
    todo = "mount it with Xcode (open Devices and Simulators), or `ideviceimagemounter`; see docs/ios.md"


class AppMissingError(IosError):
    """The app is not installed."""

    default_class = ErrorClass.CONFIG
    what = "the app is not installed"
    todo = "build, sign and install it (docs/ios-app.md), or give its `bundle` in devices.yaml"


class NoFileSharingError(IosError):
    """The app does not share its Documents folder with computers."""

    default_class = ErrorClass.CONFIG
    what = "the app does not share its Documents folder"
    todo = "its Info.plist needs UIFileSharingEnabled; build and install it again (docs/ios-app.md)"


class UnsupportedVersionError(IosError):
    """This version of iOS needs another tool for this."""

    default_class = ErrorClass.CONFIG
    what = "its version of iOS cannot be driven this way"
    todo = "docs/ios.md says which launcher each version of iOS needs"


class NoSpaceError(IosError):
    """The phone's storage is full."""

    what = "no space is left on it"
    todo = "remove something from the phone"


class RefusedError(IosError):
    """The phone answered, and refused: no such file, permission denied, a service not offered."""

    what = "refused"


class IosTimeoutError(IosError):
    """The deadline passed."""

    what = "did not answer in time"
    todo = "check that it is unlocked and its cable is well; restart it if that does not help"


class IosProtocolError(IosError):
    """What came back is no reply that is known."""

    what = "its answer cannot be understood"


class CancelledError(IosError):
    """The run was ended from another thread."""

    what = "cancelled"


class UsbmuxdDownError(IosError):
    """No usbmuxd answers, or it hangs: the controller's fault, not the phone's."""

    default_class = ErrorClass.HOST
    what = "no usbmuxd answers"
    todo = (
        "install and start it (on Debian: apt-get install usbmuxd), or give its address: "
        "`usbmuxd` in devices.yaml, or USBMUXD_SOCKET_ADDRESS"
    )


class ToolError(IosError):
    """A program on the controller that leads to the phone failed."""

    default_class = ErrorClass.HOST
    what = "a program on this computer failed"


KINDS: Mapping[str, type[IosError]] = {
    "gone": GoneError,
    "locked": LockedError,
    "not_paired": NotPairedError,
    "developer_mode_off": DeveloperModeOffError,
    "no_developer_image": NoDeveloperImageError,
    "app_missing": AppMissingError,
    "no_file_sharing": NoFileSharingError,
    "unsupported_version": UnsupportedVersionError,
    "no_space": NoSpaceError,
    "refused": RefusedError,
    "timeout": IosTimeoutError,
    "protocol": IosProtocolError,
    "usbmuxd_down": UsbmuxdDownError,
    "tool": ToolError,
}
"""Errors by the word that the process which runs tidevice has for them."""

E = TypeVar("E", bound=IosError)


@dataclass(frozen=True)
class Subject:
    """Who an error is about: a phone, or a usbmuxd (then without UDID)."""

    device: str
    udid: str = ""

    def error(self, kind: type[E], what: str = "", *, call: str = "", said: str = "", todo: str = "") -> E:
        """An error whose message is "<device>: what happened: its own words; what to do".

        Args:
            kind: class of the error.
            what: what happened; the kind's own words by default.
            call: what was asked for.
            said: the device's or a tool's own words; shortened in the message, kept whole in the error.
            todo: what a person can do about it; the kind's advice by default.
        """
        advice = todo or kind.todo
        return kind(
            worded(self.device, what or kind.what, said, advice),
            device=self.device,
            udid=self.udid,
            call=call,
            said=said,
            advice=advice,
        )
