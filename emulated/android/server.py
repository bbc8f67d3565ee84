"""A private adb server for a lab, and the few words that the lab says to it."""

from __future__ import annotations

import shutil
import signal
import socket
import subprocess
from collections.abc import Mapping
from pathlib import Path

import adbutils

from harness.clock import Clock
from harness.environment import inherited

_SECONDS = 15.0


class PrivateServer:
    """`adb server` as a child process, which ends with its parent. Never on adb's own port, never on USB.

    Attributes:
        port: on localhost; the same after a restart.
        environ: variables with which `adb` and adbutils use this server and no other.
    """

    def __init__(self, folder: Path, clock: Clock) -> None:
        """`folder` takes its keys, its log and its temporary files."""
        self._folder = folder
        self._clock = clock
        self._process: subprocess.Popen[bytes] | None = None
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port: int = probe.getsockname()[1]
        self.environ = {
            "ANDROID_ADB_SERVER_PORT": str(self.port),
            "ADBUTILS_ADB_PATH": adbutils.adb_path(),
            "ADB_USB": "0",
            "ADB_MDNS": "0",
            "ADB_EMU": "0",
        }

    def start(self) -> None:
        """Start it, and wait until it answers.

        The thread that starts it must live as long as it shall: the kernel ends it with that thread.

        Raises:
            OSError: it does not start; its own words.
        """
        leash = [] if (setpriv := shutil.which("setpriv")) is None else [setpriv, "--pdeathsig", "KILL"]
        log = self._folder / "server.log"
        environ = clean(inherited()) | self.environ | {"HOME": str(self._folder), "TMPDIR": str(self._folder)}
        with log.open("ab") as stream:
            self._process = subprocess.Popen(
                [*leash, adbutils.adb_path(), "-L", f"tcp:localhost:{self.port}", "server", "nodaemon"],
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=stream,
                env=environ,
                cwd=self._folder,
                start_new_session=True,
            )
        give_up = self._clock.monotonic() + _SECONDS
        while True:
            try:
                self.ask("host:version")
                return
            except OSError:
                if self._process.poll() is not None or self._clock.monotonic() > give_up:
                    self.kill()
                    words = log.read_text(errors="replace").strip()
                    raise OSError(f"the private adb server did not start on port {self.port}: {words}") from None
                self._clock.sleep(0.005)

    def kill(self) -> None:
        """End it at once, as a crash would."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def signal(self, number: signal.Signals) -> None:
        """Send a signal, such as SIGSTOP, to it. Nothing if it does not run."""
        if self._process is not None:
            self._process.send_signal(number)

    def ask(self, service: str, seconds: float = _SECONDS) -> str:
        """What the server replies to a host service, such as "host:connect:..."; blocks.

        Raises:
            OSError: nobody answers, or the server says FAIL.
        """
        with socket.create_connection(("127.0.0.1", self.port), timeout=seconds) as connection:
            connection.sendall(b"%04x%s" % (len(service), service.encode()))
            with connection.makefile("rb") as stream:
                status = stream.read(4)
                if status == b"OKAY" and ":wait-for-" in service:
                    status = stream.read(4)  # the first OKAY says that it waits
                    return status.decode("utf-8", "replace")
                size = stream.read(4)
                text = stream.read(int(size, 16)).decode("utf-8", "replace") if len(size) == 4 else ""
        if status != b"OKAY":
            raise OSError(f"the adb server says to {service}: {text or 'nothing'}")
        return text


def clean(environ: Mapping[str, str]) -> dict[str, str]:
    """An environment without the variables that lead adb to another server or to one device."""
    return {name: value for name, value in environ.items() if name not in ("ADB_SERVER_SOCKET", "ANDROID_SERIAL")}
