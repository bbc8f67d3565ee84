"""Which iPhones a lab has: entries with '*' become those that are plugged in."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

from harness.clock import Clock
from harness.devices.base import DeviceError
from harness.devices.ios import tide_version, usbmux
from harness.devices.ios.errors import NotPairedError, Subject
from harness.devices.ios.models import marketing_name
from harness.devices.ios.usbmux import ListedIphone
from harness.devices.naming import at, clean, digest, given_names, unique_names
from harness.errors import UsageError
from harness.lab.spec import DeviceSpec, IosSpec

Lister = Callable[[str | None], Sequence[ListedIphone]]
"""Lists the phones of the usbmuxd at an address, or of the default one. Raises DeviceError."""

_SECONDS = 5.0


@dataclass(frozen=True)
class Found:
    """The entries of a lab, each of kind `ios` for one phone.

    Attributes:
        specs: in the order of the file; entries of other kinds as they were.
        notes: what was left out and why, entries that matched nothing.
    """

    specs: tuple[DeviceSpec, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class _Unit:
    """A phone that an entry with '*' found."""

    udid: str
    product: str

    def names(self) -> tuple[str, str, str]:
        """Names to choose from; a later one is longer, and shared with fewer others."""
        model = clean(marketing_name(self.product)).strip("-") or "iPhone"
        short = f"{model}-{clean(self.udid[-4:])}"
        return short, f"{short}-{digest(self.udid, 6)}", f"{short}-{digest(self.udid, 16)}"


@dataclass
class _Muxes:
    """What the usbmuxds said, each asked once, and only if somebody wants to know."""

    clock: Clock
    lister: Lister | None
    answers: dict[str | None, tuple[Sequence[ListedIphone], str]] = field(default_factory=dict)

    def ask(self, spec: IosSpec) -> tuple[Sequence[ListedIphone], str]:
        """Phones that the spec's usbmuxd lists, and what is wrong with it, if anything is."""
        if spec.usbmuxd not in self.answers:
            try:
                self.answers[spec.usbmuxd] = (self._list(spec.usbmuxd), "")
            except DeviceError as error:
                self.answers[spec.usbmuxd] = ([], str(error))
            except UsageError as error:
                raise UsageError(f"{at(spec)}{error}") from None
        return self.answers[spec.usbmuxd]

    def _list(self, address: str | None) -> Sequence[ListedIphone]:
        if self.lister is not None:
            return self.lister(address)
        return usbmux.list_devices(address, _SECONDS, self.clock)


def find(specs: Sequence[DeviceSpec], clock: Clock, lister: Lister | None = None) -> Found:
    """The entries of a lab: each with UDID '*' replaced by the phones that no other entry claims.

    A phone found by '*' is named after its model and the last four characters of its UDID, so that it has the same
    name in every run; of several that would share a name, each has a part of its UDID's digest added. An optional
    phone that is not plugged in is left out. An entry of no file, which `--devices auto` makes, says nothing where
    there is no tidevice, no usbmuxd or no phone.

    Args:
        specs: in the order of the file.
        clock: time.
        lister: lists the phones of a usbmuxd; by default that usbmuxd is asked, for at most 5 seconds.

    Raises:
        UsageError: tidevice is not installed, or an entry asks for what cannot be driven yet.
    """
    phones = [spec for spec in specs if isinstance(spec, IosSpec)]
    for phone in phones:
        if not _auto(phone):
            tide_version.require(phone.origin)
    problems = [problem for phone in phones if (problem := _not_yet(phone))]
    if problems:
        raise UsageError("\n".join(problems))
    muxes = _Muxes(clock, lister)
    claimed = {phone.udid for phone in phones if not phone.wildcard and phone.udid}
    notes: list[str] = []
    rows: list[tuple[DeviceSpec, list[_Unit] | None]] = []
    for spec in specs:
        if isinstance(spec, IosSpec) and spec.wildcard:
            rows.append((spec, _plugged_in(spec, muxes, claimed, notes)))
        elif not isinstance(spec, IosSpec) or spec.required or _is_there(spec, muxes, notes):
            rows.append((spec, None))
    names = unique_names([unit for _, units in rows for unit in units or ()], given_names(specs))
    found: list[DeviceSpec] = []
    for spec, units in rows:
        if units is None or not isinstance(spec, IosSpec):
            found.append(spec)
        else:
            found += [spec.as_found(names[unit], unit.udid) for unit in sorted(units, key=lambda unit: names[unit])]
    return Found(tuple(found), tuple(notes))


def _auto(spec: IosSpec) -> bool:
    return spec.wildcard and not spec.origin


def _not_yet(spec: IosSpec) -> str | None:
    if spec.any:
        return f"{at(spec)}'any' cannot be driven yet; list the phones one by one, each with its 'udid'"
    return None


def _is_there(spec: IosSpec, muxes: _Muxes, notes: list[str]) -> bool:
    """Whether an optional phone is plugged in."""
    devices, problem = muxes.ask(spec)
    if any(spec.udid == device.udid for device in devices):
        return True
    why = problem or f"{spec.udid} is not plugged in{f' at {spec.host}' if spec.host else ''}"
    notes.append(f"{at(spec)}{spec.name} is left out, as it is not required: {why}")
    return False


def _plugged_in(spec: IosSpec, muxes: _Muxes, claimed: set[str], notes: list[str]) -> list[_Unit]:
    """Phones that an entry with '*' stands for. All that it looked at are claimed: the next such entry skips them."""
    if _auto(spec) and tide_version.installed() != tide_version.PINNED:
        return []
    try:
        devices, problem = muxes.ask(spec)
    except UsageError as error:
        if not _auto(spec):
            raise
        notes.append(f"no iPhone is looked for: {error}")
        return []
    units = []
    for device in devices:
        if device.udid in claimed or any(fnmatchcase(device.udid, pattern) for pattern in spec.exclude):
            continue
        claimed.add(device.udid)
        try:
            units.append(_Unit(device.udid, _product(spec, device, muxes.clock)))
        except DeviceError as error:
            words = str(error).removeprefix(f"{device.udid}: ")
            notes.append(f"{at(spec)}{device.udid} is left out: {words}")
    if not units and not _auto(spec):
        mux = f"the usbmuxd of {spec.host}" if spec.host else "usbmuxd"
        listed = f"of {len(devices)} at {mux} none is left" if devices else f"{mux} has none"
        notes.append(f"{at(spec)}no iPhone was found for udid '*': {problem or listed}")
    return units


def _product(spec: IosSpec, device: ListedIphone, clock: Clock) -> str:
    """The product type of a phone. Raises IosError if it cannot be used."""
    if not usbmux.paired(device.udid, spec.usbmuxd, _SECONDS, clock):
        raise Subject(device.udid, device.udid).error(NotPairedError)
    return usbmux.product_of(device, spec.usbmuxd, _SECONDS, clock)
