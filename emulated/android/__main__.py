"""`python -m emulated.android`: a lab of emulated phones to try the harness on, until Ctrl-C."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from emulated.android.description import named, names
from emulated.android.lab import AdbLab
from emulated.android.phone import Backend, Phone
from emulated.serving import chosen, lab_file, parser_of, run, stay
from harness.devices.local import machine_name

DEFAULT = "pixel-8,galaxy-s23,old-32bit,no-gpu"


def main(arguments: Sequence[str] | None = None) -> int:
    """Start the lab, write its devices.yaml, and stay until SIGINT or SIGTERM; the exit code."""
    parser = parser_of("android", __doc__, DEFAULT, names())
    parser.add_argument(
        "--real-adbd", action="store_true", help="Debian's adbd in place of ours (see emulated/README.md)"
    )
    return run(_serve, parser.parse_args(arguments))


def devices_yaml(phones: Sequence[Phone], port: int) -> str:
    """A devices.yaml for a lab: phones of one computer take turns, because they share its processor."""
    shared = {"adb_server": f"localhost:{port}", "machine": machine_name()}
    return lab_file("android", [(phone.description.name, {"serial": phone.serial, **shared}) for phone in phones])


def _serve(options: argparse.Namespace, folder: Path) -> None:
    described = [named(name) for name in chosen(options, names())]
    lab = AdbLab(folder / "lab")
    try:
        lab.start()
        backend: Backend = "real" if options.real_adbd else "emulated"
        phones = [lab.add(description, backend=backend) for description in described]
        stay(
            options,
            folder,
            devices_yaml(phones, lab.server_port),
            there=f"{len(phones)} emulated phones on the adb server at localhost:{lab.server_port}",
            looks=[f"adb -P {lab.server_port} -s {phones[0].serial} shell"],
        )
    finally:
        lab.stop()


if __name__ == "__main__":
    raise SystemExit(main())
