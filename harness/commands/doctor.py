"""`harness doctor`: say what a lab lacks, and what mends it."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from harness.commands import Commands


def add(commands: Commands) -> None:
    """Add the command to the program."""
    doctor = commands.add_parser("doctor", help="say what a lab lacks before it can measure, and what mends it")
    doctor.add_argument(
        "--devices", metavar="FILE|auto", help="the lab; else devices.yaml, else whatever is plugged in"
    )
    doctor.add_argument("--device", metavar="NAME", help="look at this device alone")
    doctor.add_argument(
        "--record", type=Path, metavar="FILE", help="write a phone's replies, without what names it or its owner"
    )
    doctor.set_defaults(run=_doctor)


def _doctor(options: argparse.Namespace) -> int:
    import os

    from harness.clock import SystemClock
    from harness.devices.base import DeviceError
    from harness.doctor.examine import Lab, inventory_of
    from harness.doctor.findings import show_end, show_section
    from harness.report.surface import surface_of

    surface = surface_of(sys.stdout, os.environ)
    sections = []
    try:
        with Lab(inventory_of(options.devices), SystemClock()) as lab:
            if options.record is not None:
                print(lab.record(options.device, options.record))
                return 0
            for section in lab.sections(options.device):
                sections.append(section)
                print(show_section(section, surface), flush=True)
    except DeviceError as error:
        print(f"harness: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 2
    print(show_end(sections, surface), end="")
    return 1 if any(section.missing for section in sections) else 0
