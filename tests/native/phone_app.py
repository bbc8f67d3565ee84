"""A folder that the app takes for its container: puts jobs there, starts the app, reads back what it left."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.clock import SystemClock

WAIT_SECONDS = 60.0
FAKE_MODEL = b"\x1c\0\0\0TFL3\0\0\0\0"
"""What the misbehaving runtime takes for a model; its one input is float32[2]."""


def job_id(number: int) -> str:
    """An id as the harness makes them."""
    return f"{number:016x}"


def wait_until(happened: Callable[[], bool]) -> None:
    """Waits for something, within generous bounds."""
    clock = SystemClock()
    deadline = clock.monotonic() + WAIT_SECONDS
    while not happened() and clock.monotonic() < deadline:
        clock.sleep(0.01)


@dataclass(frozen=True)
class Ended:
    """One start of the app with --once: its exit code, and what it left for the job."""

    code: int
    app: dict[str, Any]
    result: dict[str, Any]
    done: str | None
    said: str

    @property
    def error(self) -> dict[str, Any]:
        """The error in app.json, which there is."""
        assert self.app["error"] is not None, self.app
        error: dict[str, Any] = self.app["error"]
        return error


class PhoneApp:
    """The app with a container of its own."""

    def __init__(self, program: Path, library: Path, accelerators: Path, home: Path) -> None:
        self.program = program
        self.home = home
        self.documents = home / "Documents"
        (self.documents / "store").mkdir(parents=True)
        self.environ = {
            **os.environ,
            "HOME": str(home),
            "EMULATED_APP_LIBRARY": str(library),
            "EMULATED_APP_ACCELERATORS": str(accelerators),
            "EMULATED_APP_RUNTIME_VERSION": "1.2.3",
        }

    def store(self, data: bytes) -> dict[str, Any]:
        """A file in the store, as job.json names it."""
        name = hashlib.sha256(data).hexdigest()
        (self.documents / "store" / name).write_bytes(data)
        return {"path": f"store/{name}", "bytes": len(data), "sha256": name}

    def state(self, **keys: Any) -> None:
        """How the emulated phone is."""
        (self.home / "harness-state.json").write_text(json.dumps(keys))

    def put(self, identity: str, arguments: Sequence[str], files: Sequence[Any] = (), **env: str) -> None:
        """A job, whole at once."""
        self.put_text(
            json.dumps({"schema": 1, "id": identity, "arguments": [*arguments], "files": [*files], "env": env}).encode()
        )

    def put_text(self, text: bytes) -> None:
        """Whatever shall be in job.json."""
        part = self.documents / "job.json.part"
        part.write_bytes(text)
        part.replace(self.documents / "job.json")

    def once(self, identity: str, env: Mapping[str, str] | None = None) -> Ended:
        """Starts the app for one job."""
        done = subprocess.run(
            [str(self.program), "--once", identity],
            env={**self.environ, **(env or {})},
            cwd=self.home,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=120,
            check=False,
        )
        said = done.stdout + done.stderr
        return Ended(done.returncode, self.app(identity), self.result(identity), self.done(), said)

    def job(self, identity: str, arguments: Sequence[str], files: Sequence[Any] = (), **env: str) -> Ended:
        """A job and its end."""
        self.put(identity, arguments, files, **env)
        return self.once(identity)

    def run_fake(self, identity: str, *arguments: str, misbehave: str = "") -> Ended:
        """A run of the misbehaving runtime's model."""
        model, values = self.store(FAKE_MODEL), self.store(bytes(8))
        words = ["--model", model["path"], *arguments, "--input", values["path"]]
        return self.job(identity, words, [model, values], FAKE_LITERT=misbehave)

    def out(self, identity: str) -> Path:
        """A job's folder."""
        return self.documents / "out" / identity

    def app(self, identity: str) -> dict[str, Any]:
        """What app.json of a job holds; {} without one."""
        return _json(self.out(identity) / "app.json")

    def result(self, identity: str) -> dict[str, Any]:
        """What result.json of a job holds; {} without one."""
        return _json(self.out(identity) / "result.json")

    def done(self) -> str | None:
        """Whose done marker is there."""
        marker = self.documents / "done"
        return marker.read_text() if marker.exists() else None

    def is_running(self) -> bool:
        """Whether the marker of a job that runs is there."""
        return (self.documents / "running").exists()

    @contextmanager
    def opened(self) -> Iterator[subprocess.Popen[bytes]]:
        """The app as a person opens it, until it is closed."""
        process = subprocess.Popen([str(self.program)], env=self.environ, cwd=self.home, stdout=subprocess.DEVNULL)
        with process:
            try:
                yield process
            finally:
                process.kill()

    def measures(self, identity: str) -> bool:
        """Whether a job has begun its run."""
        return (self.out(identity) / "stderr.log").exists()

    def wait_for(self, identity: str, process: subprocess.Popen[bytes]) -> dict[str, Any]:
        """Waits for a job's done marker; its app.json."""
        wait_until(lambda: self.done() == identity or process.poll() is not None)
        assert self.done() == identity, f"the app ended with {process.poll()}"
        return self.app(identity)


def _json(path: Path) -> dict[str, Any]:
    value: dict[str, Any] = json.loads(path.read_bytes()) if path.exists() else {}
    return value
