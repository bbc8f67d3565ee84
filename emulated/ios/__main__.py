"""`python -m emulated.ios`: a lab of emulated iPhones to try the harness on, until Ctrl-C."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from emulated.ios.build import emulated_app
from emulated.ios.description import named, names
from emulated.ios.lab import IosLab
from emulated.ios.phone import Phone
from emulated.serving import chosen, lab_file, parser_of, run, stay
from harness.devices.local import machine_name
from harness.environment import inherited

DEFAULT = "iphone-8,iphone-11,iphone-13,iphone-14,iphone-17"


def main(arguments: Sequence[str] | None = None) -> int:
    """Start the lab, write its devices.yaml, and stay until SIGINT or SIGTERM; the exit code."""
    return run(_serve, parser_of("ios", __doc__, DEFAULT, names()).parse_args(arguments))


def devices_yaml(phones: Sequence[Phone], address: str) -> str:
    """A devices.yaml for a lab: phones of one computer take turns, because they share its processor."""
    shared = {"usbmuxd": address, "machine": machine_name()}
    return lab_file(
        "ios", [(phone.description.name, {"udid": phone.udid, **shared, **_rsd(phone)}) for phone in phones]
    )


def _rsd(phone: Phone) -> dict[str, str]:
    return {"rsd": "{}:{}".format(*phone.rsd_address)} if phone.rsd_address is not None else {}


def _serve(options: argparse.Namespace, folder: Path) -> None:
    described = [named(name) for name in chosen(options, names())]
    emulated_app(inherited())  # so that a compiler that is missing is said now, and not by the first measurement
    lab = IosLab(folder / "lab")
    try:
        lab.start()
        phones = [lab.add(description, tls=True) for description in described]
        stay(
            options,
            folder,
            devices_yaml(phones, lab.address),
            there=f"{len(phones)} emulated iPhones on the usbmuxd at {lab.address}",
            looks=[
                f"tidevice --socket {lab.address} -u {phones[0].udid} info",
                f"USBMUXD_SOCKET_ADDRESS={lab.address} ideviceinfo -u {phones[0].udid}",
            ],
        )
    finally:
        lab.stop()


if __name__ == "__main__":
    raise SystemExit(main())
