"""What can go wrong on the way to a device that is driven by its shell, whatever that way is."""

from __future__ import annotations

from typing import ClassVar

from harness.devices.base import DeviceError
from harness.plan.cell import ErrorClass


class WayError(DeviceError):
    """Something that a device was asked for did not happen.

    Attributes:
        device: its name in devices.yaml.
        command: what it was asked for.
        exit_code: of a command that ended.
        said: the device's own words, unabridged.
    """

    default_class: ClassVar[ErrorClass] = ErrorClass.DEVICE

    def __init__(
        self,
        message: str,
        *,
        device: str,
        command: str = "",
        exit_code: int | None = None,
        said: str = "",
        error_class: ErrorClass | None = None,
    ) -> None:
        super().__init__(message, device=device, error_class=error_class or self.default_class)
        self.command = command
        self.exit_code = exit_code
        self.said = said


class WayLostError(WayError):
    """The device is gone, or the connection ended in the middle."""


class WayTimeoutError(WayError):
    """The deadline passed."""


class WayRefusedError(WayError):
    """The device answered, and refused: no space left, permission denied, no such file."""
