"""`python -m emulated.android`: a lab of emulated phones to try the harness on, until Ctrl-C."""

from __future__ import annotations

import argparse
import signal
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from emulated.android.description import named, names
from emulated.android.lab import AdbLab
from emulated.android.phone import Backend, Phone
from harness.devices.local import machine_name
from harness.errors import UsageError
from harness.yamlfile import display

DEFAULT = "pixel-8,galaxy-s23,old-32bit,no-gpu"


def main(arguments: Sequence[str] | None = None) -> int:
    """Start the lab, write its devices.yaml, and stay until SIGINT or SIGTERM; the exit code."""
    parser = argparse.ArgumentParser(prog="python -m emulated.android", description=__doc__)
    parser.add_argument(
        "--phones",
        default=DEFAULT,
        help=f"names with commas between, out of {', '.join(names())}, or paths of descriptions (default: %(default)s)",
    )
    parser.add_argument("--devices", type=Path, metavar="FILE", help="where to write the devices.yaml")
    parser.add_argument(
        "--real-adbd", action="store_true", help="Debian's adbd in place of ours (see emulated/README.md)"
    )
    options = parser.parse_args(arguments)
    # Before anything is started, so that none of it is left behind by a signal that comes early.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _leave)
    try:
        with tempfile.TemporaryDirectory(prefix="emulated-phones-") as folder:
            return _serve(options, Path(folder))
    except UsageError as error:
        sys.stderr.write(f"{error}\n")
        return 4
    except OSError as error:
        sys.stderr.write(f"the lab cannot be started: {error}\n")
        return 1
    except _Left:
        return 0


def devices_yaml(phones: Sequence[Phone], port: int) -> str:
    """A devices.yaml for a lab: phones of one computer take turns, because they share its processor."""
    lines = ["# Emulated phones, for as long as `python -m emulated.android` runs.", "version: 1", "devices:"]
    seen: dict[str, int] = {}
    for phone in phones:
        kind = phone.description.name
        seen[kind] = seen.get(kind, 0) + 1
        name = kind if seen[kind] == 1 else f"{kind}-{seen[kind]}"
        lines += [
            f"  - name: {name}",
            "    kind: android",
            f'    serial: "{phone.serial}"',
            f'    adb_server: "localhost:{port}"',
            f'    machine: "{machine_name()}"',
        ]
    return "\n".join(lines) + "\n"


class _Left(BaseException):
    """The person, or the system, has asked the lab to end."""


def _leave(number: int, frame: object) -> None:
    raise _Left


def _serve(options: argparse.Namespace, folder: Path) -> int:
    described = [named(name) for name in options.phones.split(",") if name]
    if not described:
        raise UsageError(f"--phones names no phone; known here: {', '.join(names())}")
    file: Path = options.devices or folder / "devices.yaml"
    lab = AdbLab(folder / "lab")
    try:
        lab.start()
        backend: Backend = "real" if options.real_adbd else "emulated"
        phones = [lab.add(description, backend=backend) for description in described]
        try:
            file.write_text(devices_yaml(phones, lab.server_port), encoding="utf-8")
        except OSError as error:
            raise UsageError(f"--devices {file}: cannot be written: {error.strerror}") from None
        _say(f"{len(phones)} emulated phones on the adb server at localhost:{lab.server_port}; Ctrl-C ends them.")
        _say("Measure on them, in another terminal:")
        _say(f"  pytest --devices={display(file)} suites/smoke.yaml")
        _say("Look at one:")
        _say(f"  adb -P {lab.server_port} -s {phones[0].serial} shell")
        while True:
            signal.pause()
    finally:
        lab.stop()


def _say(words: str) -> None:
    sys.stdout.write(f"{words}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    raise SystemExit(main())
