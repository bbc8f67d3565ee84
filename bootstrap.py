#!/usr/bin/env python3
"""Sets up everything on a fresh machine with git and Python 3.10 to 3.13, then runs a command in it.

    python3 bootstrap.py pytest --devices devices.yaml     measure on this machine, write reports/latest/
    python3 bootstrap.py check                             ruff, mypy and all tests

The virtual environment is `.venv` beside this file. It is made once and refreshed when pyproject.toml or
constraints.txt changes. A machine without a C compiler gets one as a Python package (about 410 MB).
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent
VENV = ROOT / ".venv"
OLDEST_PYTEST = "pytest==7.4.4"
TFLITE_RUNTIME = ("tflite-runtime==2.14.0", "numpy==1.26.4")


def main(arguments: Sequence[str]) -> int:
    """Prepare the environment, run the command; the exit code is the command's."""
    if not (3, 10) <= sys.version_info < (3, 14):  # to say so in words
        print("Python 3.10 to 3.13 is needed; this is", sys.version.split()[0], file=sys.stderr)
        return 2
    if not arguments or arguments[0] in ("-h", "--help"):
        print(__doc__)
        return 2
    try:
        if arguments[0] == "check":
            return check(arguments[1:])
        python = environment(VENV, ["-e", "."])
        return run([str(python.parent / arguments[0]), *arguments[1:]])
    except subprocess.CalledProcessError as error:
        print(f"bootstrap: this step failed: {' '.join(error.cmd)}", file=sys.stderr)
        return 1


def check(arguments: Sequence[str]) -> int:
    """The whole test command. Its last line is pytest's summary."""
    # Cross builds are tested with zig, which is large: always in CI, elsewhere where it is there.
    python = environment(VENV, ["-e", ".[tests,zig]" if os.environ.get("HARNESS_CI") else ".[tests]"])
    tools = python.parent
    codes = [
        run([str(tools / "ruff"), "check", "."]),
        run([str(tools / "ruff"), "format", "--check", "."]),
        run([str(tools / "mypy")]),
    ]
    # The older reference runtime needs numpy 1 and an older Python: an environment of its own.
    settings = {}
    older = _python("3.11", "3.10")
    if older is not None and sys.platform == "linux":
        runtime = environment(ROOT / ".venv-tflite-runtime", list(TFLITE_RUNTIME), base=older, constrained=False)
        settings["HARNESS_TFLITE_RUNTIME_PYTHON"] = str(runtime)
    # The pytest side of the harness on the oldest pytest that is supported; the run below has the newest.
    wanted = ["-e", ".", "pexpect", "pytest-timeout", "pytest-xdist"]
    oldest = environment(ROOT / ".venv-oldest-pytest", wanted, base=_python("3.10"), pytest=OLDEST_PYTEST)
    hang = "--timeout=300"  # a test that hangs ends the run, with a stack
    codes.append(run([str(oldest), "-m", "pytest", "-q", hang, "-p", "no:cacheprovider", "tests/session"], settings))
    codes.append(run([str(python), "-m", "pytest", hang, *arguments], settings))
    return max(codes, key=abs)


def environment(
    folder: Path, wanted: list[str], base: str | None = None, pytest: str | None = None, constrained: bool = True
) -> Path:
    """The Python of a virtual environment that has what is wanted; made or refreshed only if need be.

    Args:
        folder: of the environment.
        wanted: pip's arguments.
        base: the interpreter to make it with; this one by default.
        pytest: a requirement that replaces the pinned pytest.
        constrained: whether constraints.txt holds.
    """
    pins = (ROOT / "constraints.txt").read_text()
    if pytest is not None:
        pins = "".join(line for line in pins.splitlines(keepends=True) if not line.startswith("pytest=="))
        wanted = [*wanted, pytest]
    if not _has_compiler():
        wanted = [{".": ".[zig]", ".[tests]": ".[tests,zig]"}.get(item, item) for item in wanted]
    python = folder / "bin" / "python"
    stamp = folder / "bootstrap.stamp"
    facts = (wanted, base, pins, (ROOT / "pyproject.toml").read_text())
    digest = hashlib.sha256(repr(facts).encode()).hexdigest()
    if stamp.is_file() and stamp.read_text() == digest and python.exists():
        return python
    print(f"bootstrap: preparing {folder.name} (once; some minutes on a slow line)", file=sys.stderr)
    if not python.exists():
        made = subprocess.run([base or sys.executable, "-m", "venv", str(folder)], check=False)
        if made.returncode != 0:
            shutil.rmtree(folder, ignore_errors=True)
            print("bootstrap: Python cannot make virtual environments; on Debian: apt install python3-venv")
            raise subprocess.CalledProcessError(made.returncode, ["python3", "-m", "venv"])
    command = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *wanted]
    if constrained:
        (folder / "constraints.txt").write_text(pins)
        command += ["-c", str(folder / "constraints.txt")]
    subprocess.run(command, cwd=ROOT, check=True)
    stamp.write_text(digest)
    return python


def run(command: list[str], settings: dict[str, str] | None = None) -> int:
    """Run a command in the project's folder, with the environment's programs first on the path."""
    paths = os.pathsep.join([str(Path(command[0]).parent), os.environ.get("PATH", "")])
    environ = {**os.environ, **(settings or {}), "PATH": paths}
    sys.stdout.flush()
    try:
        return subprocess.run(command, cwd=ROOT, env=environ, check=False).returncode
    except FileNotFoundError:
        print(f"bootstrap: there is no program '{Path(command[0]).name}' in {VENV.name}", file=sys.stderr)
        return 2


def _has_compiler() -> bool:
    return any(shutil.which(name) for name in (os.environ.get("CC") or "cc", "cc", "gcc", "clang"))


def _python(*versions: str) -> str | None:
    """An interpreter of one of these versions that really starts, or None."""
    for version in versions:
        name = shutil.which(f"python{version}")
        if f"{sys.version_info.major}.{sys.version_info.minor}" == version:
            return sys.executable
        if name and subprocess.run([name, "-c", ""], capture_output=True, check=False).returncode == 0:
            return name
    return None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
