"""An iPhone: one line for each thing that has to be true before a run, and what makes it true."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator

from harness.clock import Clock
from harness.devices.ios import tide_version
from harness.devices.ios.errors import (
    AppMissingError,
    DeveloperModeOffError,
    GoneError,
    IosError,
    LockedError,
    NoDeveloperImageError,
    NoFileSharingError,
    NotPairedError,
    UnsupportedVersionError,
)
from harness.devices.ios.models import chip, marketing_name
from harness.devices.ios.routes import Choice, choose
from harness.devices.ios.transport import Lockdown, Transport
from harness.doctor.findings import Finding, Section, missing, note, ok
from harness.doctor.supplies import free_space
from harness.doctor.usbmuxds import Usbmuxd
from harness.doctor.ways import Ways
from harness.lab.spec import OWN_BUNDLE, IosSpec

_SECONDS = 15.0
_AGAIN = ", then run harness doctor again"
_HOW = {
    NotPairedError: "trusted",
    LockedError: "unlocked",
    GoneError: "attached",
    DeveloperModeOffError: "developer",
    NoDeveloperImageError: "image",
    AppMissingError: "app",
    NoFileSharingError: "app",
    UnsupportedVersionError: "route",
}
"""What a finding is called that an error is the cause of."""
_TUNNELLED = ("go-ios", "pymobiledevice3")
_DEVELOPER_MODE, _MODERN = 16, 17
_TUNNEL_SECONDS = 3.0
_WARM = 35.0  # deg C; iPhones lower their clocks from about there


def title_of(spec: IosSpec) -> str:
    """How a phone's section is called."""
    return f"{spec.name} (ios)"


def check_ios(spec: IosSpec, usbmuxd: Usbmuxd, ways: Ways, clock: Clock) -> Section:
    """Everything about one phone. Nothing on it is changed, no app is started, and nobody is waited for.

    Args:
        spec: of one phone, not "*".
        usbmuxd: that has it.
        ways: to devices.
        clock: time.
    """
    if usbmuxd.problem is not None:
        where = "" if usbmuxd.place is None else f" on {usbmuxd.place.host}"
        words = f"its usbmuxd{where} does not answer, see above"
        return Section(title_of(spec), ((missing if spec.required else note)("attached", words),))
    if tide_version.installed() != tide_version.PINNED:
        return Section(title_of(spec), (missing("tidevice", "without tidevice nothing can be said of it, see above"),))
    transport = Transport(spec, clock)
    ways.add(transport.cancel)
    try:
        return Section(title_of(spec), tuple(_findings(spec, usbmuxd, transport)))
    finally:
        transport.close()


def _findings(spec: IosSpec, usbmuxd: Usbmuxd, transport: Transport) -> Iterator[Finding]:
    listed = next((one for one in usbmuxd.listed if one.udid == spec.udid), None)
    where = "" if spec.host is None else f" on {spec.host}"
    if listed is None:
        place = usbmuxd.address if usbmuxd.place is None else usbmuxd.place.far
        words = f"{place}{where} does not list {spec.udid}"
        yield (missing if spec.required else note)("attached", words, f"plug {spec.name} in and unlock it{_AGAIN}")
        return
    if listed.connection == "usb":
        yield ok("attached", f"by cable{where}, UDID {spec.udid}")
    else:
        words = f"over the network{where}, UDID {spec.udid}: pushing models is slow, and no cable charges it"
        yield note("attached", words)
    try:
        lockdown = transport.preflight(_SECONDS)
    except IosError as error:
        yield _failed(spec, error, "trusted")
        return
    yield ok("trusted", "it trusts this computer")
    yield _platform(lockdown)
    answers = True
    try:
        yield from _apps(spec, transport)
    except IosError as error:
        yield _failed(spec, error, "unlocked")
        answers = False
    yield from _route(spec, transport, lockdown, answers=answers)
    yield from _condition(spec, transport)
    free = lockdown.disk.get("TotalDataAvailable")
    yield free_space(free, "on the phone") if isinstance(free, int) else note("space", "the phone does not say it")


def _platform(lockdown: Lockdown) -> Finding:
    name = marketing_name(lockdown.product_type)
    words = [name if name == lockdown.product_type else f"{name} ({lockdown.product_type})"]
    if made_with := chip(lockdown.product_type):
        words.append(made_with)
    words.append(f"iOS {lockdown.version} ({lockdown.build})")
    if lockdown.emulated:
        words.append("EMULATED: its rows can never qualify a release")
    return ok("platform", ", ".join(words))


def _apps(spec: IosSpec, transport: Transport) -> Iterator[Finding]:
    """Ours; upstream's is enough if nobody says what ours is called. A phone that answers at all is unlocked."""
    own = transport.app(spec.bundle, _SECONDS)
    upstream = transport.app(spec.benchmark_bundle, _SECONDS)
    yield ok("unlocked", "it answers; a run needs it unlocked all the time (Auto-Lock: Never)")
    for bundle, app in ((spec.bundle, own), (spec.benchmark_bundle, upstream)):
        if app is None:
            continue
        words = f"{bundle} {app.version} ({app.build})"
        if app.file_sharing:
            yield ok("app", words)
        else:
            yield missing("app", f"{words}: {NoFileSharingError.what}", f"{NoFileSharingError.todo}{_AGAIN}")
    if own is not None:
        return
    words = f"{spec.bundle} is not installed"
    if upstream is None or spec.bundle != OWN_BUNDLE:
        yield missing("app", words, f"{AppMissingError.todo}{_AGAIN}")
    else:
        yield note("app", f"{words}: only suites with `runner: ios_app` can be measured, times without accuracy")


def _route(spec: IosSpec, transport: Transport, lockdown: Lockdown, *, answers: bool) -> Iterator[Finding]:
    """How apps are started, and what that needs. A phone that does not answer is not asked again."""
    try:
        choice = choose(spec, lockdown.version, os.environ)
    except UnsupportedVersionError as error:
        yield _failed(spec, error, "route")
        if lockdown.major >= _DEVELOPER_MODE:
            yield _developer_mode(lockdown)  # whatever is installed then will need it
        return
    yield ok("route", choice.name if choice.needs else f"{choice.name}: it needs no root, no tunnel and no Mac")
    yield from (note("needs", words) for words in choice.needs)
    if spec.rsd is not None and choice.name in _TUNNELLED and lockdown.major >= _MODERN:
        yield _tunnel(spec.rsd)
    if choice.name == "manual":
        return
    if lockdown.major >= _DEVELOPER_MODE:
        yield _developer_mode(lockdown)
    if not answers:
        yield note("image", "whether a developer image is mounted is not known, see above")
        return
    try:
        yield _image(choice, transport)
    except IosError as error:
        yield _failed(spec, error, "image")


def _tunnel(rsd: str) -> Finding:
    """Whether anything listens where devices.yaml says that a tunnel ends."""
    host, _, port = rsd.rpartition(":")
    try:
        with socket.create_connection((host.strip("[]"), int(port)), _TUNNEL_SECONDS):
            return ok("tunnel", rsd)
    except (OSError, ValueError) as error:
        words = f"nothing answers at {rsd}, which devices.yaml names as `rsd`: {error}"
        return missing("tunnel", words, f"start the tunnel to it again, and correct `rsd`{_AGAIN}")


def _developer_mode(lockdown: Lockdown) -> Finding:
    if lockdown.developer_mode is False:
        return missing("developer", DeveloperModeOffError.what, f"{DeveloperModeOffError.todo}{_AGAIN}")
    if lockdown.developer_mode:
        return ok("developer", "its Developer Mode is on")
    return note("developer", f"it does not say whether its Developer Mode is on; {DeveloperModeOffError.todo}")


def _image(choice: Choice, transport: Transport) -> Finding:
    """Raises IosError."""
    if transport.developer_image(_SECONDS):
        return ok("image", "a developer image is mounted")
    if choice.image is None:
        return note("image", f"no developer image is mounted; {choice.name} mounts one by itself")
    return missing("image", NoDeveloperImageError.what, f"{choice.image}{_AGAIN}")


def _condition(spec: IosSpec, transport: Transport) -> Iterator[Finding]:
    """Battery and heat, against the limits of devices.yaml where it states some."""
    try:
        battery = transport.battery(_SECONDS)
    except IosError as error:
        yield note("battery", str(error).removeprefix(f"{spec.name}: "))
        return
    level, celsius = battery.get("level"), battery.get("temperature")
    if level is not None:
        words = [f"{level:g} %{', charging' if battery.get('charging') else ''}"]
        low = spec.limits.battery is not None and level < spec.limits.battery
        words += [f"below the limit of {spec.limits.battery:g} %"] if low else []
        yield (note if low else ok)("battery", ", ".join(words))
    if celsius is not None:
        words = [f"{celsius:.1f} °C (battery)"]
        limit = spec.limits.temperature
        warm = celsius > (_WARM if limit is None else limit)
        if warm:
            words.append("let it cool before you measure" if limit is None else f"above the limit of {limit:g} °C")
        yield (note if warm else ok)("heat", ", ".join(words))


def _failed(spec: IosSpec, error: IosError, otherwise: str) -> Finding:
    """What an error says, and what a person can do, apart from each other."""
    what = next((word for kind, word in _HOW.items() if isinstance(error, kind)), otherwise)
    advice = error.advice
    words = str(error).removeprefix(f"{spec.name}: ").removesuffix(f"; {advice}")
    return missing(what, words, f"{advice}{_AGAIN}" if advice else None)
