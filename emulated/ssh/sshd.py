"""OpenSSH's sshd on a port of loopback, with keys and a home of its own. Needs no root; Linux only."""

from __future__ import annotations

import contextlib
import os
import pwd
import random
import re
import shlex
import shutil
import signal
import socket
import subprocess
from collections.abc import Mapping
from pathlib import Path

from typing_extensions import Self

from emulated.android.processes import kill_all, marked
from harness.clock import SystemClock

MARKER = "HARNESS_SSHD"
"""Environment variable that tells what was started through this sshd from all other processes."""

_CLOCK = SystemClock()
_START_SECONDS = 20.0
_POLL_SECONDS = 0.02
_PORTS = range(20_000, 32_000)  # below those that Linux gives to clients: still free when sshd starts again
_TRIES = 20
_PLAIN = 'exec /bin/sh -c "$SSH_ORIGINAL_COMMAND"'


def absent() -> str | None:
    """Why no sshd can be started here, with what to install; None if one can."""
    needed = [name for name in ("sshd", "ssh-keygen") if shutil.which(name, path=_path()) is None]
    if needed or _sftp_server() is None:
        return f"needs {' and '.join(needed or ['sftp-server'])}: apt-get install openssh-server"
    return None


class Sshd:
    """One sshd. Use it as a context manager, or call `start` and `stop`.

    Attributes:
        folder: everything of it: keys, configuration, log, home.
        home: $HOME and working folder of every session.
        user: who logs in: whoever runs this.
        port: on 127.0.0.1; stays the same when it is started again.
        identity: private key that it lets in.
        host_key: its own private key; the public one lies beside it.
        known_hosts: a file that knows the host key that it had when it was started first.
        log: what it says.
    """

    def __init__(
        self,
        folder: Path,
        *,
        command: str | None = None,
        env: Mapping[str, str] | None = None,
        max_sessions: int | None = None,
        options: str = "",
    ) -> None:
        """Make keys; nothing is started.

        Args:
            folder: made if absent.
            command: for /bin/sh, run in `home` instead of everything that clients ask for, files included; what they
                asked for is in $SSH_ORIGINAL_COMMAND.
            env: variables of every session, above sshd's own.
            max_sessions: sessions (commands, file sessions) that one connection may have; OpenSSH's default is 10.
            options: more lines of sshd_config, above all others. The first line for a keyword counts.
        """
        self.folder = folder
        self.home = folder / "home"
        self.user = pwd.getpwuid(os.getuid()).pw_name
        self.port = 0
        self.identity = folder / "id_ed25519"
        self.host_key = folder / "host_ed25519"
        self.known_hosts = folder / "known_hosts"
        self.log = folder / "sshd.log"
        self.options = options
        self._command = command or _PLAIN
        self._max_sessions = max_sessions
        self._token = f"{os.getpid()}-{os.urandom(6).hex()}"
        self._env = {**(env or {}), "HOME": str(self.home), MARKER: self._token}
        self._process: subprocess.Popen[bytes] | None = None
        self.home.mkdir(parents=True)
        keygen(self.identity)
        keygen(self.host_key)
        shutil.copy(self.identity.with_suffix(".pub"), folder / "authorized_keys")

    def __enter__(self) -> Self:
        """Start it."""
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop it."""
        self.stop()

    @property
    def address(self) -> str:
        """user@host:port."""
        return f"{self.user}@127.0.0.1:{self.port}"

    @property
    def known_host(self) -> str:
        """The line of known_hosts for its key of now."""
        kind, key = self.host_key.with_suffix(".pub").read_text().split()[:2]
        return f"[127.0.0.1]:{self.port} {kind} {key}\n"

    def config(self, name: str) -> str:
        """What ~/.ssh/config has to say so that `ssh NAME` leads here."""
        return (
            f"Host {name}\n  HostName 127.0.0.1\n  Port {self.port}\n  User {self.user}\n"
            f"  IdentityFile {self.identity}\n  IdentitiesOnly yes\n  UserKnownHostsFile {self.known_hosts}\n"
        )

    def start(self) -> None:
        """Start it, again after `stop` or `kill`; back when it answers.

        Raises:
            OSError: it does not start; its log is in the message.
        """
        if os.getuid() == 0:
            Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)  # else sshd refuses to start as root
        ports = [self.port] if self.port else random.sample(_PORTS, _TRIES)
        for port in ports:
            if self._listens(port):
                self.port = port
                if not self.known_hosts.exists():
                    self.known_hosts.write_text(self.known_host)
                return
        raise OSError(f"sshd does not start: {self.log.read_text()[-2000:]}")

    def stop(self) -> None:
        """End it and everything that was started through it."""
        self.kill(sessions=True)

    def kill(self, *, sessions: bool = False) -> None:
        """SIGKILL to it and to the processes of its connections; with `sessions` also to what runs through them.

        What runs on does so without anybody who hears it, as when a board's sshd dies.
        """
        if self._process is not None:
            for pid in self._servers():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            self._process.wait()
            self._process = None
        if sessions:
            kill_all(self.alive)

    def drop(self) -> None:
        """SIGKILL to the processes of its connections alone: clients have to connect again."""
        self._signal(signal.SIGKILL, self._servers()[1:])

    def stall(self) -> None:
        """Have it answer nothing any more, on any connection, while all of them stay open; see `resume`."""
        self._signal(signal.SIGSTOP, self._servers())

    def resume(self) -> None:
        """The end of a stall."""
        self._signal(signal.SIGCONT, self._servers())

    def restart(self) -> None:
        """End it and its connections, and start it again on the same port."""
        self.kill()
        self.start()

    def new_host_key(self) -> None:
        """Have another host key from the next start on. `known_hosts` keeps the old one."""
        self.host_key.unlink()
        keygen(self.host_key)

    def alive(self) -> list[int]:
        """Pids of everything that was started through it and has not ended."""
        return marked(MARKER, self._token)

    def _listens(self, port: int) -> bool:
        """Start it on a port; whether it answers there. It does not if somebody else has the port."""
        settings = self.folder / "sshd_config"
        settings.write_text(self._settings(port))
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [str(shutil.which("sshd", path=_path())), "-D", "-e", "-f", str(settings)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        end = _CLOCK.monotonic() + _START_SECONDS
        while self._process.poll() is None and _CLOCK.monotonic() < end:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), _START_SECONDS) as opened:
                if opened.recv(4) == b"SSH-":
                    return self._process.poll() is None
            _CLOCK.sleep(_POLL_SECONDS)
        self.kill()
        return False

    def _settings(self, port: int) -> str:
        set_env = " ".join(f'"{name}={value}"' for name, value in self._env.items())
        lines = [
            self.options,
            f"Port {port}",
            "ListenAddress 127.0.0.1",
            f"HostKey {self.host_key}",
            f"AuthorizedKeysFile {self.folder / 'authorized_keys'}",
            "PidFile none",
            "StrictModes no",
            "UsePAM no",
            "PermitRootLogin prohibit-password",
            "PasswordAuthentication no",
            "KbdInteractiveAuthentication no",
            "MaxStartups 200",
            "LoginGraceTime 60",
            "PrintLastLog no",
            f"MaxSessions {self._max_sessions}" if self._max_sessions is not None else "",
            "PerSourcePenalties no" if _version() >= (9, 8) else "",
            f"SetEnv {set_env}",
            f"ForceCommand cd {shlex.quote(str(self.home))} && {self._command}",
            f"Subsystem sftp {_sftp_server()}" if "Subsystem sftp" not in self.options else "",
        ]
        return "".join(f"{line}\n" for line in lines if line)

    def _servers(self) -> list[int]:
        """Pids of sshd and of the processes of its connections, itself first."""
        if self._process is None:
            return []
        found = [self._process.pid]
        for pid in found:  # grows meanwhile
            found += [child for child in _children(pid) if (_name(child) or "").startswith("sshd")]
        return found

    @staticmethod
    def _signal(number: int, pids: list[int]) -> None:
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)


def keygen(path: Path, kind: str = "ed25519", passphrase: str = "", bits: int | None = None) -> None:
    """Make a key pair in `path` and `path`.pub."""
    size = ["-b", str(bits)] if bits else []
    subprocess.run(
        ["ssh-keygen", "-q", "-t", kind, *size, "-N", passphrase, "-C", "test", "-f", str(path)],
        check=True,
        stdin=subprocess.DEVNULL,
        capture_output=True,
    )


def _children(parent: int) -> list[int]:
    found: list[int] = []
    with contextlib.suppress(OSError):  # it may end meanwhile
        for task in Path(f"/proc/{parent}/task").iterdir():
            found += [int(pid) for pid in (task / "children").read_text().split()]
    return found


def _name(pid: int) -> str | None:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/comm").read_text().strip()
    return None


def _version() -> tuple[int, int]:
    said = subprocess.run(["ssh", "-V"], capture_output=True, text=True, check=False).stderr
    found = re.search(r"OpenSSH_(\d+)\.(\d+)", said)
    return (int(found[1]), int(found[2])) if found else (0, 0)


def _path() -> str:
    return os.environ.get("PATH", "") + ":/usr/sbin:/sbin"


def _sftp_server() -> str | None:
    places = ("/usr/lib/openssh", "/usr/libexec/openssh", "/usr/libexec", "/usr/lib/ssh", "/usr/lib/misc")
    return shutil.which("sftp-server", path=":".join(places))
