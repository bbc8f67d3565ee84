"""The way to one iPhone: what its services are asked, each call with a deadline.

tidevice runs in a child process, because some of its calls never end; see `child` and `phone_child`. There is one such
process for each phone. Calls take turns, first come first served, and large files go in portions, so that the
phone's state can be read while a file is pushed: it waits for one portion.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from harness.clock import Clock
from harness.devices.ios import tide_version
from harness.devices.ios.child import Child
from harness.devices.ios.errors import GoneError, IosTimeoutError, Subject
from harness.devices.ios.files import AppFiles
from harness.devices.ios.usbmux import address_of, list_devices
from harness.errors import UsageError
from harness.lab.spec import IosSpec

_LISTING_SECONDS = 5.0


@dataclass(frozen=True)
class Lockdown:
    """What a phone says about itself to a computer that it trusts.

    Attributes:
        udid: its identity.
        connection: how it is connected.
        name: what its owner calls it: personal, so that it belongs into no report.
        product_type: "iPhone14,5".
        version: of iOS.
        build: of iOS.
        hardware_model: "D17AP".
        architecture: "arm64e".
        emulated: whether it only stands for a phone.
        developer_mode: whether it is on; None where iOS does not say.
        disk: bytes, by lockdown's names, such as TotalDataAvailable.
        battery: see `Transport.battery`.
    """

    udid: str
    connection: Literal["usb", "network"]
    name: str | None
    product_type: str
    version: str
    build: str | None
    hardware_model: str | None
    architecture: str | None
    emulated: bool
    developer_mode: bool | None
    disk: Mapping[str, int] = field(default_factory=dict)
    battery: Mapping[str, Any] = field(default_factory=dict)

    @property
    def major(self) -> int:
        """First number of the iOS version; 0 if it has none."""
        first = self.version.partition(".")[0]
        return int(first) if first.isdecimal() else 0


@dataclass(frozen=True)
class AppInfo:
    """An installed app.

    Attributes:
        bundle: its identifier.
        version: as its users know it.
        build: of that version.
        executable: name of its program, which crash reports begin with.
        file_sharing: whether computers may read and write its Documents folder.
        developer: whether it was signed for development; None if the phone does not say.
    """

    bundle: str
    version: str | None
    build: str | None
    executable: str | None
    file_sharing: bool
    developer: bool | None


class Transport:
    """One phone. All its methods may be called from any thread."""

    def __init__(self, spec: IosSpec, clock: Clock) -> None:
        """Stand for the phone; nothing is opened.

        Args:
            spec: its entry in devices.yaml, with a UDID.
            clock: time.

        Raises:
            UsageError: tidevice is not installed, or `usbmuxd` is no address.
        """
        tide_version.require(spec.origin)
        try:
            address = address_of(spec.usbmuxd)
        except UsageError as error:
            raise UsageError(f"{spec.origin}: {error}" if spec.origin else str(error)) from None
        udid = spec.udid or ""
        self.subject = Subject(spec.name, udid)
        self.udid = udid
        self._usbmuxd = spec.usbmuxd
        self._clock = clock
        self._child = Child(self.subject, udid, str(address), clock)
        self._turn = _Turn()

    def preflight(self, seconds: float) -> Lockdown:
        """Whether the phone is attached, paired and answers, and what it is. Nothing is changed on either side.

        Raises:
            UsbmuxdDownError: usbmuxd does not answer.
            GoneError: the phone is not plugged in.
            NotPairedError: it does not trust this computer. It is not asked to.
            LockedError: it has not been unlocked since it was started.
            IosError: it does not answer.
        """
        self.listed(min(seconds, _LISTING_SECONDS))
        return self.values(seconds)

    def listed(self, seconds: float) -> None:
        """Return if usbmuxd lists the phone. Raises GoneError, UsbmuxdDownError."""
        known = {phone.udid for phone in list_devices(self._usbmuxd, seconds, self._clock, self.subject)}
        if self.udid not in known:
            others = f"usbmuxd has {len(known)} other phones" if known else "usbmuxd has no phone"
            raise self.subject.error(GoneError, f"{self.udid} is not plugged in", call="list", said=others)

    def values(self, seconds: float) -> Lockdown:
        """What the phone says about itself. Raises IosError."""
        found = self.call("values", seconds)
        return Lockdown(udid=self.udid, **found)

    def domain(self, name: str | None, seconds: float) -> Mapping[str, Any]:
        """All values of a domain of lockdown, of the main one for None, but those that JSON has no type for.

        They hold much that is personal: serial numbers, addresses, names. Raises IosError.
        """
        found: Mapping[str, Any] = self.call("domain", seconds, name=name or "")
        return found

    def battery(self, seconds: float) -> Mapping[str, Any]:
        """`level` in percent, `charging`, `connected`, `temperature` in degrees Celsius; what is unknown is left out.

        Raises IosError; IosTimeoutError also when another call takes longer than `seconds`.
        """
        found: Mapping[str, Any] = self.call("battery", seconds)
        return found

    def app(self, bundle: str, seconds: float) -> AppInfo | None:
        """An installed app; None if there is none of that identifier. Raises IosError."""
        found = self.call("app", seconds, bundle=bundle)
        return None if found is None else AppInfo(**found)

    def files(self, bundle: str) -> AppFiles:
        """The Documents folder of an app."""
        return AppFiles(self, bundle)

    def launch(self, bundle: str, args: Sequence[str], env: Mapping[str, str], seconds: float) -> int:
        """Start an app on iOS 16 or older; if it runs already, that process is ended first.

        Args:
            bundle: its identifier.
            args: what its program is given.
            env: environment variables for it.
            seconds: until it must have started.

        Returns:
            Its process number.

        Raises:
            UnsupportedVersionError: this needs another tool from iOS 17 on.
            AppMissingError: it is not installed.
            DeveloperModeOffError: that mode is off.
            NoDeveloperImageError: the image is not mounted.
            LockedError: the phone is locked.
            IosError: it does not start.
        """
        return int(self.call("launch", seconds, bundle=bundle, args=list(args), env=dict(env)))

    def alive(self, pid: int, seconds: float) -> bool:
        """Whether a process runs. Raises IosError."""
        return bool(self.call("alive", seconds, pid=pid))

    def kill(self, pid: int, seconds: float) -> None:
        """End a process; one that has ended is fine. Raises IosError."""
        self.call("kill", seconds, pid=pid)

    def developer_image(self, seconds: float) -> bool:
        """Whether a developer image is mounted. Raises IosError."""
        return bool(self.call("developer_image", seconds))

    def crash_reports(self, seconds: float) -> list[str]:
        """Names of the crash reports on the phone. Raises IosError."""
        return [str(name) for name in self.call("crash_reports", seconds)]

    def reset(self) -> None:
        """Let go of all connections, and of what is kept on this computer; the next call starts afresh."""
        with self._turn.taken():
            self._child.kill()

    def cancel(self) -> None:
        """From another thread: end what runs now; it and all later calls raise CancelledError."""
        self._child.cancel()

    def close(self) -> None:
        """Let go of everything; nothing is left on this computer."""
        self.reset()

    def call(self, name: str, seconds: float, /, **arguments: Any) -> Any:  # noqa: ANN401 - JSON
        """Have the child process do something, in turn; see `tide_calls`. Raises IosError."""
        with self._in_turn(name, seconds) as left:
            return self._child.call(name, left, **arguments)

    @contextmanager
    def scratch(self, name: str, seconds: float) -> Iterator[tuple[Path, Any]]:
        """Hold the turn, with a file that nobody else may read, and a function that calls the child process."""
        with self._in_turn(name, seconds) as left:
            path = self._child.folder / "content"
            try:
                yield path, lambda **arguments: self._child.call(name, left, local=str(path), **arguments)
            finally:
                path.unlink(missing_ok=True)

    @contextmanager
    def _in_turn(self, name: str, seconds: float) -> Iterator[float]:
        end = self._clock.monotonic() + seconds
        if not self._turn.take(seconds):
            raise self.subject.error(IosTimeoutError, "is busy", call=name, todo="try again")
        try:
            yield max(0.1, end - self._clock.monotonic())
        finally:
            self._turn.give()


class _Turn:
    """A lock that is given in the order in which it was asked for."""

    def __init__(self) -> None:
        self._next = threading.Lock()  # whoever holds it is the next one
        self._now = threading.Lock()

    def take(self, seconds: float = -1) -> bool:
        """Wait for it, at most so long; whether it was given."""
        if not self._next.acquire(timeout=seconds):
            return False
        try:
            return self._now.acquire(timeout=seconds)
        finally:
            self._next.release()

    def give(self) -> None:
        """Let the next one have it."""
        self._now.release()

    @contextmanager
    def taken(self) -> Iterator[None]:
        """Wait for it for as long as it takes, and hold it."""
        self.take()
        try:
            yield
        finally:
            self.give()
