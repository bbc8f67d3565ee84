"""`harness schema`: print a JSON Schema."""

from __future__ import annotations

import argparse
import json

from harness.commands import Commands


def add(commands: Commands) -> None:
    """Add the command to the program."""
    schema = commands.add_parser("schema", help="print a JSON Schema, for editors and for readers of our files")
    schema.add_argument("file", choices=("devices", "suite", "waivers", "matrix"))
    schema.set_defaults(run=_schema)


def _schema(options: argparse.Namespace) -> int:
    if options.file == "devices":
        from harness.lab.spec import json_schema
    elif options.file == "suite":
        from harness.plan.suite import json_schema
    elif options.file == "waivers":
        from harness.plan.waivers import json_schema
    else:
        from harness.report.matrix import json_schema
    print(json.dumps(json_schema(), indent=2))
    return 0
