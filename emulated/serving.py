"""What `python -m emulated.android` and `python -m emulated.ios` share: a lab for a person to try things on."""

from __future__ import annotations

import argparse
import signal
import sys
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from harness.errors import UsageError
from harness.yamlfile import display

Serve = Callable[[argparse.Namespace, Path], None]
"""Starts a lab in a folder, hands it to `stay`, and ends it whatever happens."""


class _Left(BaseException):
    """The person, or the system, has asked the lab to end."""


def parser_of(kind: str, about: str | None, default: str, known: Sequence[str]) -> argparse.ArgumentParser:
    """The options that all labs have.

    Args:
        kind: of phones, as the package is called: "android".
        about: one line on what it starts.
        default: names of phones, with commas between.
        known: names of phones that come with the project.
    """
    parser = argparse.ArgumentParser(prog=f"python -m emulated.{kind}", description=about)
    parser.add_argument(
        "--phones",
        default=default,
        help=f"names with commas between, out of {', '.join(known)}, or paths of descriptions (default: %(default)s)",
    )
    parser.add_argument("--devices", type=Path, metavar="FILE", help="where to write the devices.yaml")
    return parser


def run(serve: Serve, options: argparse.Namespace) -> int:
    """Serve in a folder of its own until SIGINT or SIGTERM; the exit code."""
    # Before anything is started, so that none of it is left behind by a signal that comes early.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _leave)
    try:
        with tempfile.TemporaryDirectory(prefix="emulated-phones-") as folder:
            serve(options, Path(folder))
    except UsageError as error:
        sys.stderr.write(f"{error}\n")
        return 4
    except OSError as error:
        sys.stderr.write(f"the lab cannot be started: {error}\n")
        return 1
    except _Left:
        pass
    return 0


def chosen(options: argparse.Namespace, known: Sequence[str]) -> list[str]:
    """The phones that were asked for. Raises UsageError: there is none."""
    names = [name for name in options.phones.split(",") if name]
    if not names:
        raise UsageError(f"--phones names no phone; known here: {', '.join(known)}")
    return names


def lab_file(kind: str, phones: Iterable[tuple[str, Mapping[str, str]]]) -> str:
    """A devices.yaml for a lab.

    Args:
        kind: of its phones, as devices.yaml has it.
        phones: name of each, which others may have too, and the other keys of its entry.
    """
    lines = [f"# Emulated phones, for as long as `python -m emulated.{kind}` runs.", "version: 1", "devices:"]
    seen: dict[str, int] = {}
    for name, keys in phones:
        seen[name] = seen.get(name, 0) + 1
        lines += [f"  - name: {name if seen[name] == 1 else f'{name}-{seen[name]}'}", f"    kind: {kind}"]
        lines += [f'    {key}: "{value}"' for key, value in keys.items()]
    return "\n".join(lines) + "\n"


def stay(options: argparse.Namespace, folder: Path, devices: str, *, there: str, looks: Sequence[str]) -> None:
    """Write the devices.yaml, say what to type, and wait for a signal.

    Args:
        options: of the command line.
        folder: for the devices.yaml, if the options name no file.
        devices: its content.
        there: what has been started, and where.
        looks: commands that look at a phone.

    Raises:
        UsageError: the file cannot be written.
    """
    file: Path = options.devices or folder / "devices.yaml"
    try:
        file.write_text(devices, encoding="utf-8")
    except OSError as error:
        raise UsageError(f"--devices {file}: cannot be written: {error.strerror}") from None
    measure = f"pytest --devices={display(file)} suites/smoke.yaml"
    said = [f"{there}; Ctrl-C ends them.", "Measure on them, in another terminal:", f"  {measure}", "Look at one:"]
    sys.stdout.write("\n".join([*said, *(f"  {command}" for command in looks)]) + "\n")
    sys.stdout.flush()
    while True:
        signal.pause()


def _leave(number: int, frame: object) -> None:
    raise _Left
