"""`python -m emulated.ios`: a lab of emulated iPhones to try the harness on, until Ctrl-C."""

from __future__ import annotations

import argparse
import signal
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from emulated.ios.build import emulated_app
from emulated.ios.description import named, names
from emulated.ios.lab import IosLab
from emulated.ios.phone import Phone
from harness.devices.local import machine_name
from harness.environment import inherited
from harness.errors import UsageError
from harness.yamlfile import display

DEFAULT = "iphone-8,iphone-11,iphone-13,iphone-14,iphone-17"


def main(arguments: Sequence[str] | None = None) -> int:
    """Start the lab, write its devices.yaml, and stay until SIGINT or SIGTERM; the exit code."""
    parser = argparse.ArgumentParser(prog="python -m emulated.ios", description=__doc__)
    parser.add_argument(
        "--phones",
        default=DEFAULT,
        help=f"names with commas between, out of {', '.join(names())}, or paths of descriptions (default: %(default)s)",
    )
    parser.add_argument("--devices", type=Path, metavar="FILE", help="where to write the devices.yaml")
    options = parser.parse_args(arguments)
    # Before anything is started, so that none of it is left behind by a signal that comes early.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _leave)
    try:
        with tempfile.TemporaryDirectory(prefix="emulated-iphones-") as folder:
            return _serve(options, Path(folder))
    except UsageError as error:
        sys.stderr.write(f"{error}\n")
        return 4
    except OSError as error:
        sys.stderr.write(f"the lab cannot be started: {error}\n")
        return 1
    except _Left:
        return 0


def devices_yaml(phones: Sequence[Phone], address: str) -> str:
    """A devices.yaml for a lab: phones of one computer take turns, because they share its processor."""
    lines = ["# Emulated iPhones, for as long as `python -m emulated.ios` runs.", "version: 1", "devices:"]
    seen: dict[str, int] = {}
    for phone in phones:
        kind = phone.description.name
        seen[kind] = seen.get(kind, 0) + 1
        name = kind if seen[kind] == 1 else f"{kind}-{seen[kind]}"
        lines += [
            f"  - name: {name}",
            "    kind: ios",
            f'    udid: "{phone.udid}"',
            f'    usbmuxd: "{address}"',
            f'    machine: "{machine_name()}"',
        ]
        if phone.rsd_address is not None:
            host, port = phone.rsd_address
            lines.append(f'    rsd: "{host}:{port}"')
    return "\n".join(lines) + "\n"


class _Left(BaseException):
    """The person, or the system, has asked the lab to end."""


def _leave(number: int, frame: object) -> None:
    raise _Left


def _serve(options: argparse.Namespace, folder: Path) -> int:
    described = [named(name) for name in options.phones.split(",") if name]
    if not described:
        raise UsageError(f"--phones names no phone; known here: {', '.join(names())}")
    emulated_app(inherited())  # so that a compiler that is missing is said now, and not by the first measurement
    file: Path = options.devices or folder / "devices.yaml"
    lab = IosLab(folder / "lab")
    try:
        lab.start()
        phones = [lab.add(description, tls=True) for description in described]
        try:
            file.write_text(devices_yaml(phones, lab.address), encoding="utf-8")
        except OSError as error:
            raise UsageError(f"--devices {file}: cannot be written: {error.strerror}") from None
        _say(f"{len(phones)} emulated iPhones on the usbmuxd at {lab.address}; Ctrl-C ends them.")
        _say("Measure on them, in another terminal:")
        _say(f"  pytest --devices={display(file)} suites/smoke.yaml")
        _say("Look at one:")
        _say(f"  tidevice --socket {lab.address} -u {phones[0].udid} info")
        _say(f"  USBMUXD_SOCKET_ADDRESS={lab.address} ideviceinfo -u {phones[0].udid}")
        while True:
            signal.pause()
    finally:
        lab.stop()


def _say(words: str) -> None:
    sys.stdout.write(f"{words}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
