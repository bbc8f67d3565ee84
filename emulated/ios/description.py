"""What an iPhone is like, as a file says: model, system, storage, battery, what lockdown knows."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field

from harness.errors import UsageError
from harness.yamlfile import display, parse, suggest
from harness.yamlmodel import Name, Section, Size, Version, Whole, validate

VERSION = 1
PHONES = Path(__file__).parent / "phones"


def _product_type(text: str) -> str:
    if not re.fullmatch(r"(iPhone|iPad|iPod)[0-9]+,[0-9]+", text):
        raise ValueError(f"'{text}' is no product type such as iPhone14,5")
    return text


class Storage(Section):
    """Its flash, in bytes.

    Attributes:
        total: of the whole disk.
        system: of that, taken by iOS.
        free: what apps and files can still have.
    """

    total: Size
    system: Size
    free: Size


class Charge(Section):
    """Its battery.

    Attributes:
        level: per cent.
        charging: current flows into it.
        external: a cable gives power.
        temperature: of the battery, in degrees Celsius.
        cycles: how often it was charged.
        capacity_mah: when it was new, in mAh.
    """

    level: Annotated[Whole, Field(ge=0, le=100)] = 80
    charging: bool = False
    external: bool = True
    temperature: Annotated[float, Field(gt=-50, lt=150)] = 28.0
    cycles: Annotated[Whole, Field(ge=0)] = 100
    capacity_mah: Annotated[Whole, Field(gt=0)] = 3000


@dataclass
class Battery:
    """A battery: `level` in per cent, `temperature` in degrees Celsius; see `Charge`."""

    level: int
    charging: bool
    external: bool
    temperature: float
    cycles: int
    capacity_mah: int


class Description(Section):
    """An iPhone. Everything that a client can see of it and that is not here, the emulator adds.

    Attributes:
        version: of this file format.
        name: for people.
        product_type: such as iPhone14,5.
        hardware_model: Apple's name of its board, such as D17AP.
        os_version: ProductVersion.
        build: BuildVersion.
        chip_id: ChipID as a decimal number.
        cpu_architecture: arm64 or arm64e.
        storage: its flash.
        battery: how it begins.
        values: more that lockdown knows in its main domain.
        domains: more domains of lockdown.
    """

    version: Literal[1]
    name: Name
    product_type: Annotated[str, AfterValidator(_product_type)]
    hardware_model: Name
    os_version: Version
    build: Name
    chip_id: Annotated[Whole, Field(gt=0)]
    cpu_architecture: Literal["arm64", "arm64e"] = "arm64e"
    storage: Storage
    battery: Charge = Charge()
    values: Mapping[str, Any] = {}
    domains: Mapping[str, Mapping[str, Any]] = {}

    @property
    def major(self) -> int:
        """Major version of its iOS."""
        return int(self.os_version.partition(".")[0])

    def udid(self, number: int) -> str:
        """A UDID for the phone with this number, in the form that its chip has: the A11 and before have no hyphen."""
        if self.chip_id < 0x8020:
            return f"{number:040x}"
        return f"{self.chip_id:08X}-{0xE0000000 + number:016X}"


def load(path: Path) -> Description:
    """Read the description of a phone.

    Raises:
        UsageError: for anything that is wrong with the file, with file, line and key.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{display(path)}: cannot be read: {error}; expected the description of an iPhone") from None
    return validate(Description, parse(text, display(path), version=VERSION))


def named(phone: str) -> Description:
    """The description of a phone by its name in `phones/`, or by the path of a file of one's own.

    Raises:
        UsageError: no phone is called so, or its file is wrong.
    """
    if phone.endswith((".yaml", ".yml")):
        return load(Path(phone))
    if phone not in names():
        raise UsageError(
            f"no emulated iPhone is called '{phone}'{suggest(phone, names(), 'known here')}; "
            "the path of a file that ends in .yaml will do as well"
        )
    return load(PHONES / f"{phone}.yaml")


def names() -> list[str]:
    """Names of the phones that come with the project."""
    return sorted(path.stem for path in PHONES.glob("*.yaml"))
