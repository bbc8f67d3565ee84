"""Rebuild the model files of this folder: `python models/build.py [--check] [NAME ...]`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

FOLDER = Path(__file__).resolve().parent
sys.path.insert(0, str(FOLDER.parent))  # started as a script, Python looks for modules in this folder only

from harness.errors import nearest  # noqa: E402
from harness.paths import write_atomically  # noqa: E402
from models.builder.catalog import builders, path_of  # noqa: E402


def main(arguments: Sequence[str] | None = None, folder: Path = FOLDER) -> int:
    """Write the models, or with `--check` compare them with what would be written.

    Args:
        arguments: the command line without the program's name; None takes the process's own.
        folder: where the files are.

    Returns:
        The exit code: 1 when `--check` found a file that is missing or differs.
    """
    parser = argparse.ArgumentParser(prog="models/build.py", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 and name the files that differ")
    parser.add_argument("names", metavar="NAME", nargs="*", help="for example deeplab or ops/add; default: all")
    options = parser.parse_args(arguments)
    known = builders()
    for name in options.names:
        if name not in known:
            parser.error(f"no model '{name}' is built here{nearest(name, known)}")
    differing = 0
    for name in options.names or known:
        path = path_of(name, folder)
        content = known[name]()
        state = "missing" if not path.exists() else "same" if path.read_bytes() == content else "differs"
        if options.check:
            differing += state != "same"
        elif state != "same":
            path.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(path, content)
            state = "written"
        if state != "same":
            print(f"{state}: {name}.tflite ({len(content)} bytes)")
    return 1 if differing else 0


if __name__ == "__main__":
    sys.exit(main())
