"""What can go wrong between the controller and an iPhone: how it is caused, and what a job is to see of it.

Rows are those of the table of faults that was measured with tidevice, where some hang for ever, some spin for ever, and
some start a download. Each row: a job that meets the fault, then the same phone again once somebody mended it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from emulated.ios.apps import OWN_BUNDLE
from harness.devices.ios.errors import (
    AppMissingError,
    DeveloperModeOffError,
    GoneError,
    IosError,
    IosTimeoutError,
    LockedError,
    NoDeveloperImageError,
    NoFileSharingError,
    NoSpaceError,
    NotPairedError,
    RefusedError,
    UsbmuxdDownError,
)
from harness.plan.cell import ErrorClass
from tests.devices.ios.bench import Bench

Step = Callable[[Bench], object]

LAUNCH = "launchSuspendedProcessWithDevicePath:bundleIdentifier:environment:arguments:options:"
AFC = "com.apple.mobile.house_arrest"


@dataclass(frozen=True)
class Row:
    """A fault.

    Attributes:
        name: of the row.
        cause: makes it happen.
        expected: class of the error.
        error_class: whose fault it is.
        mend: somebody puts it right.
        mid: whether it happens while the app measures, and not before the job.
        said: part of the message.
        deadline: seconds of the job, where that is what ends it.
        also: another class that it may have: tidevice sees the end of a connection only in a call that waits already.
        phone: which one.
        ballast: bytes of one more file that the job needs.
    """

    name: str
    cause: Step
    expected: type[IosError]
    error_class: ErrorClass
    mend: Step
    mid: bool = False
    said: str = ""
    deadline: float = 60.0
    also: type[IosError] | None = None
    phone: str = "iphone-13"
    ballast: int = 0


def fault(**values: object) -> Step:
    """Set attributes of the phone's faults."""

    def cause(bench: Bench) -> None:
        for name, value in values.items():
            setattr(bench.phone.faults, name, value)

    return cause


def phone(**values: object) -> Step:
    """Set attributes of the phone itself."""

    def cause(bench: Bench) -> None:
        for name, value in values.items():
            setattr(bench.phone, name, value)

    return cause


def sharing(on: bool) -> Step:
    """Whether our app shares its files; the connections that there are end, as when it is installed anew."""

    def cause(bench: Bench) -> None:
        bench.phone.apps[OWN_BUNDLE].file_sharing = on
        bench.device._transport.reset()

    return cause


class Removed:
    """Our app is removed from the phone, and installed again."""

    def __init__(self) -> None:
        self._apps: dict[str, object] = {}

    def remove(self, bench: Bench) -> None:
        self._apps[bench.phone.udid] = bench.phone.apps.pop(OWN_BUNDLE)
        bench.device._transport.reset()

    def install(self, bench: Bench) -> None:
        bench.phone.apps[OWN_BUNDLE] = self._apps.pop(bench.phone.udid)  # type: ignore[assignment]


def forget(bench: Bench) -> None:
    """Connections end, so that the next question is asked anew."""
    bench.device._transport.reset()


def then_anew(cause: Step) -> Step:
    """Something happens, and connections end."""

    def both(bench: Bench) -> None:
        cause(bench)
        forget(bench)

    return both


APP = Removed()
DEVICE, HOST, CONFIG = ErrorClass.DEVICE, ErrorClass.HOST, ErrorClass.CONFIG
PLUG: Step = lambda bench: bench.phone.plug()  # noqa: E731
MB = 1 << 20

ROWS = (
    Row("usbmuxd gone", then_anew(lambda b: b.lab.stop_usbmuxd()), UsbmuxdDownError, HOST,
        lambda b: b.lab.start_usbmuxd(), said="usbmuxd"),
    Row("usbmuxd gone mid-run", lambda b: b.lab.stop_usbmuxd(), UsbmuxdDownError, HOST,
        lambda b: b.lab.start_usbmuxd(), mid=True),
    Row("unplugged", lambda b: b.phone.unplug(), GoneError, DEVICE, PLUG, said="check its cable"),
    Row("unplugged mid-push", fault(on=AFC, unplug_after=3 * MB), GoneError, DEVICE, PLUG, ballast=9 * MB),
    Row("unplugged mid-run", lambda b: b.phone.unplug(), GoneError, DEVICE, PLUG, mid=True),
    Row("files silent", fault(on=AFC, silent_after=300), IosTimeoutError, DEVICE, fault(silent_after=None, on=""),
        deadline=1.0),
    Row("files silent mid-run", fault(silent={AFC}), IosTimeoutError, DEVICE, fault(silent=set()), mid=True),
    Row("launch unanswered", fault(dtx_unanswered=LAUNCH), IosTimeoutError, DEVICE, fault(dtx_unanswered=None),
        deadline=2.0),
    Row("launch cut", fault(dtx_cut=LAUNCH), GoneError, DEVICE, fault(dtx_cut=None), also=IosTimeoutError),
    Row("launch answered by nonsense", fault(dtx_unknown_class=LAUNCH), GoneError, DEVICE,
        fault(dtx_unknown_class=None), also=IosTimeoutError),
    Row("app removed", APP.remove, AppMissingError, CONFIG, APP.install, said="docs/ios-app.md"),
    Row("no file sharing", sharing(False), NoFileSharingError, CONFIG, sharing(True), said="UIFileSharingEnabled"),
    Row("locked", then_anew(lambda b: b.phone.lock()), LockedError, DEVICE, lambda b: b.phone.unlock(),
        said="unlock it"),
    Row("locked mid-run", lambda b: b.phone.lock(), LockedError, DEVICE, lambda b: b.phone.unlock(), mid=True,
        said="suspends the app"),
    Row("no developer image", then_anew(phone(image_mounted=False)), NoDeveloperImageError, CONFIG,
        phone(image_mounted=True), said="mount it"),
    Row("developer mode off", then_anew(phone(developer_mode=False)), DeveloperModeOffError, CONFIG,
        phone(developer_mode=True), said="Privacy & Security"),
    Row("never paired", then_anew(phone(paired=False)), NotPairedError, CONFIG, phone(paired=True),
        said="idevicepair pair"),
    Row("pairing revoked", then_anew(lambda b: b.phone.revoke_pairing()), NotPairedError, CONFIG,
        phone(trusted=True), said="Trust"),
    Row("full", phone(free_bytes=MB), NoSpaceError, DEVICE, phone(free_bytes=1 << 34), said="space"),
    Row("a file that shrinks", fault(shrinking="s0_o0.bin"), RefusedError, DEVICE, fault(shrinking=None)),
    Row("files refused", fault(denied="/Documents/store"), RefusedError, DEVICE, fault(denied=None)),
    Row("restarted mid-run", lambda b: b.phone.reboot(), GoneError, DEVICE, phone(image_mounted=True), mid=True,
        said="restarted"),
    Row("no tunnel", fault(no_tunnel=True), GoneError, DEVICE, fault(no_tunnel=False), phone="iphone-17",
        said="`rsd` in devices.yaml"),
)  # fmt: skip
