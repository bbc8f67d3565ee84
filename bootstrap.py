#!/usr/bin/env python3
"""Sets up everything on a fresh machine with git and Python 3.10 to 3.13, then runs a command in it.

    python3 bootstrap.py pytest --devices devices.yaml     measure on this machine, write reports/latest/
    python3 bootstrap.py check                             ruff, mypy and all tests

The virtual environment is `.venv` beside this file. It is made once and refreshed when pyproject.toml or
constraints.txt changes. A machine without a C compiler gets one as a Python package (about 410 MB).
Commands run in this file's folder, so relative paths start there.
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
CHECK = ["-e", ".[tests]"]
CHECK_IN_CI = ["-e", ".[tests,zig]"]  # cross builds are tested with zig, which is large
OLDEST_PYTEST = "pytest==7.4.4"
TFLITE_RUNTIME = ("tflite-runtime==2.14.0", "numpy==1.26.4")
UNFINISHED = "unfinished"


def main(arguments: Sequence[str]) -> int:
    """Prepare the environment, run the command; the exit code is the command's."""
    if not (3, 10) <= sys.version_info < (3, 14):  # to say so in words
        print("Python 3.10 to 3.13 is needed; this is", sys.version.split()[0], file=sys.stderr)
        return 2
    if not arguments or arguments[0] in ("-h", "--help"):
        print(__doc__)
        return 0 if arguments else 2
    try:
        if arguments[0] == "check":
            return check(arguments[1:])
        python = environment(VENV, ["-e", "."], larger=(CHECK, CHECK_IN_CI))
        return become(python.parent / arguments[0], arguments[1:])
    except subprocess.CalledProcessError as error:
        print(f"bootstrap: this step failed: {' '.join(error.cmd)}", file=sys.stderr)
        return 1


def check(arguments: Sequence[str]) -> int:
    """The whole test command. Its last line is pytest's summary."""
    python = environment(VENV, CHECK_IN_CI if os.environ.get("HARNESS_CI") else CHECK)
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
    wanted = ["-e", ".[ios,ssh]", "jsonschema", "pexpect", "pytest-timeout", "pytest-xdist"]
    oldest = environment(ROOT / ".venv-oldest-pytest", wanted, base=_python("3.10"), pytest=OLDEST_PYTEST)
    # A test that hangs ends the run, with a stack. Much of the tests' time is waiting: two at once.
    how = ["--timeout=300", "-n", "2"]
    # Arm64 boards need zig, which is large, and ask nothing else of pytest than the other tests do.
    tests = ["tests/session", "--ignore=tests/session/test_arm64.py", "--ignore=tests/session/test_farm.py"]
    codes.append(run([str(oldest), "-m", "pytest", "-q", *how, "-p", "no:cacheprovider", *tests], settings))
    codes.append(run([str(python), "-m", "pytest", *how, *arguments], settings))
    return max(codes, key=abs)


def environment(
    folder: Path,
    wanted: list[str],
    *,
    larger: Sequence[list[str]] = (),
    base: str | None = None,
    pytest: str | None = None,
    constrained: bool = True,
) -> Path:
    """The Python of a virtual environment that has what is wanted; made or refreshed only if need be.

    Args:
        folder: of the environment.
        wanted: pip's arguments.
        larger: other such arguments, each of which brings all that is wanted and more.
        base: the interpreter to make it with; this one by default.
        pytest: a requirement that replaces the pinned pytest.
        constrained: whether constraints.txt holds.
    """
    pins = (ROOT / "constraints.txt").read_text()
    if pytest is not None:
        pins = "".join(line for line in pins.splitlines(keepends=True) if not line.startswith("pytest=="))
        wanted = [*wanted, pytest]
    if not _has_compiler():
        wanted = _with_zig(wanted)
        larger = [_with_zig(one) for one in larger]
    python = folder / "bin" / "python"
    stamp = folder / "bootstrap.stamp"
    project = (ROOT / "pyproject.toml").read_text()
    finished, *enough = [
        f"{hashlib.sha256(repr((one, base, pins, project)).encode()).hexdigest()} {folder}" for one in (wanted, *larger)
    ]
    state = stamp.read_text() if stamp.is_file() else None
    if state in (finished, *enough) and python.exists():
        return python
    print(f"bootstrap: preparing {folder.name} (once; some minutes on a slow line)", file=sys.stderr)
    # One that was cut short may hold half a package, which pip takes for a whole one; one that was moved has programs
    # that name the old place.
    if state is not None and not state.endswith(f" {folder}"):
        shutil.rmtree(folder)
    folder.mkdir(exist_ok=True)
    stamp.write_text(UNFINISHED)
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
    try:
        subprocess.run(command, cwd=ROOT, check=True)
    except subprocess.CalledProcessError as error:
        if error.returncode > 0:  # pip failed in good order: the next attempt goes on from here
            stamp.unlink()
        raise
    stamp.write_text(finished)
    return python


def _with_zig(wanted: list[str]) -> list[str]:
    more = {".": ".[zig]", ".[ios]": ".[ios,zig]", ".[tests]": ".[tests,zig]"}
    return [more.get(item, item) for item in wanted]


def become(program: Path, arguments: Sequence[str]) -> int:
    """Turn into a program, so that Ctrl-C and other signals reach it alone; returns only if there is none."""
    os.chdir(ROOT)
    sys.stdout.flush()
    try:
        os.execve(program, [str(program), *arguments], _environ(program))  # noqa: S606 - no shell is wanted
    except OSError:
        print(f"bootstrap: there is no program '{program.name}' in {VENV.name}", file=sys.stderr)
        return 2


def run(command: list[str], settings: dict[str, str] | None = None) -> int:
    """Run a command in the project's folder, with the environment's programs first on the path."""
    sys.stdout.flush()
    environ = {**_environ(Path(command[0])), **(settings or {})}
    return subprocess.run(command, cwd=ROOT, env=environ, check=False).returncode


def _environ(program: Path) -> dict[str, str]:
    return {**os.environ, "PATH": os.pathsep.join([str(program.parent), os.environ.get("PATH", "")])}


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
