"""One emulated board: sshd on a port of loopback, and behind it a shell that says it is somewhere else."""

from __future__ import annotations

from pathlib import Path

from typing_extensions import Self

from emulated.board import machine
from emulated.board.files import BOOT_ID, new_boot_id, own_files
from emulated.board.machine import CPU, Arch
from emulated.ssh import sshd
from emulated.ssh.sshd import Sshd
from harness.errors import UsageError

# Without a command somebody wants to look around. A login shell of any kind understands the outer one.
_SHELL = """exec /bin/sh -c 'exec /bin/sh ${SSH_ORIGINAL_COMMAND:+-c "$SSH_ORIGINAL_COMMAND"}'"""


def absent(arch: Arch = "aarch64") -> str | None:
    """Why no such board can be emulated here, with what to install; None if one can."""
    return machine.absent(arch) or sshd.absent()


class Board:
    """A board that is reached through ssh. Use it as a context manager, or call `start` and `stop`. Linux only.

    Its programs are this computer's, but for what is pushed to it: arm64 programs run under qemu, with Debian's arm64
    libraries. It has files of its own in /proc and /sys (`set_file`); everything else is this computer's.

    Attributes:
        sshd: how it is reached, with the faults that a connection can have.
        root: its own files, `set_file`'s and what programs of the board wrote in their place.
        home: $HOME of its user, which is whoever runs this.
        ssh_config: a file for `ssh -F FILE board`, or for ~/.ssh/config of the client.
    """

    def __init__(
        self, folder: Path, arch: Arch = "aarch64", cpu: str = CPU, *, max_sessions: int | None = None
    ) -> None:
        """Make keys and files; nothing is started.

        Args:
            folder: for all of it; made if absent.
            arch: its processor: 64-bit Arm, or this computer's own, which is faster.
            cpu: which Arm processor, as `qemu-aarch64 -cpu help` names it.
            max_sessions: see `Sshd`.

        Raises:
            UsageError: something that it needs is not installed.
        """
        why = absent(arch)
        if why is not None:
            raise UsageError(f"a board cannot be emulated here: {why}")
        self.root = folder / "root"
        self.ssh_config = folder / "ssh_config"
        self._programs = folder / "bin"
        self._programs.mkdir(parents=True)
        for path, content in own_files(arch).items():
            self.set_file(path, content)
        if arch == "aarch64":
            (self.root / "lib").symlink_to(machine.libraries())
            (self.root / "usr/share/vulkan/icd.d").mkdir(parents=True)  # this computer's drivers are none of arm64's
        env = machine.variables(arch, cpu, self.root)
        env["PATH"] = f"{self._programs}:/usr/local/bin:/usr/bin:/bin"
        self.sshd = Sshd(folder / "sshd", command=_SHELL, env=env, max_sessions=max_sessions)
        self.home = self.sshd.home

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
        return self.sshd.address

    @property
    def identity(self) -> Path:
        """Private key file that it lets in."""
        return self.sshd.identity

    @property
    def known_hosts(self) -> Path:
        """A file that knows its host key."""
        return self.sshd.known_hosts

    def start(self) -> None:
        """Start it, again after `stop` or `crash`; back when it answers.

        Raises:
            OSError: sshd does not start.
        """
        self.sshd.start()
        self.ssh_config.write_text(self.sshd.config("board"))

    def stop(self) -> None:
        """End it and everything that runs on it. Its files stay."""
        self.sshd.stop()

    def crash(self) -> None:
        """The power is gone: nothing of it runs any more, and the next start is another boot."""
        self.sshd.stop()
        self.set_file(BOOT_ID, new_boot_id())

    def reboot(self) -> None:
        """It restarts: what ran on it is gone, files stay."""
        self.crash()
        self.start()

    def processes(self) -> list[int]:
        """What runs on it, by its numbers on this computer: shells, jobs, orphans."""
        return self.sshd.alive()

    def set_file(self, path: str, content: str) -> None:
        """Change a file of the board: `"/sys/class/thermal/thermal_zone0/temp", "85000"`.

        It lies over this computer's. A folder that has such files shows them alone, but for those right below `/`.
        """
        file = self.root / path.lstrip("/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content, encoding="utf-8")

    def set_command(self, name: str, script: str) -> None:
        """Install a shell script as a program of the board: `"vcgencmd", "echo throttled=0x0"`."""
        program = self._programs / name
        program.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
        program.chmod(0o755)
