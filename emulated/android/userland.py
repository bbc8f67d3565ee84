"""How a command runs on an emulated phone: with a file system of its own, or with paths put in its place."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Literal, Protocol

from emulated.android.processes import kill_all, marked
from emulated.android.tools import shell

Isolation = Literal["namespace", "rewrite"]
NAMESPACE = Path(__file__).parent / "bin" / "namespace.sh"
MARK = "HARNESS_EMULATED_PHONE"
"""Environment variable of everything that runs on a phone, so that it can be found."""


class Userland(Protocol):
    """Where a phone's commands run."""

    seen: str
    """What the phone's root is called inside it."""

    def argv(self, command: str | None) -> list[str]:
        """What to start on the computer to run a shell command, or a shell if None."""

    def running(self) -> list[int]:
        """Processes that run on the phone, by their numbers on the computer."""

    def close(self) -> None:
        """End everything that runs, and give back what is held."""


@cache
def isolation() -> Isolation:
    """What this computer allows: user namespaces, as an ordinary user too, or only rewriting of paths."""
    for tool in ("unshare", "nsenter", "pivot_root"):
        # Ordinary users of Debian have no sbin in their PATH.
        if shutil.which(tool, path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin") is None:
            return "rewrite"
    tried = subprocess.run(["unshare", "-rm", "true"], capture_output=True, check=False, timeout=10)
    return "rewrite" if tried.returncode else "namespace"


class Namespace:
    """A mount namespace in which the phone's folders are at /data, /sys, /system, ...

    One process holds it. A command enters it with nsenter, which becomes the command: no process stands between.

    Attributes:
        holder: that process.
        servants: other processes that belong to the phone's machinery, not to what runs on it.
    """

    seen = ""

    def __init__(self, root: Path, *, network: bool = False) -> None:
        """Make the namespace.

        Args:
            root: the phone's root.
            network: with a network of its own too, and with Android's shell as /bin/sh: Debian's adbd needs both.

        Raises:
            OSError: the computer refuses; its own words.
        """
        self._network = network
        view, table = _view(root, {"/bin/sh": shell()} if network else {})
        self._holder = subprocess.Popen(
            ["unshare", "-rmn" if network else "-rm", "--propagation", "private", "sh", NAMESPACE, view, table],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        assert self._holder.stdout
        if self._holder.stdout.readline() != b"ready\n":
            said = self._holder.communicate()[1].decode("utf-8", "replace").strip()
            raise OSError(f"no namespace for the emulated phone in {root}: {said}")
        self.holder = self._holder.pid
        self.servants: set[int] = set()
        self._identity = _namespace_of(self.holder)
        if self._identity in (None, _namespace_of(os.getpid())):  # all that is in it gets killed in the end
            self._holder.kill()
            self._holder.communicate()
            raise OSError(f"the namespace of the emulated phone in {root} has gone")

    def argv(self, command: str | None) -> list[str]:
        """See `Userland.argv`."""
        return [*self.enter(), "/system/bin/sh", *(() if command is None else ("-c", command))]

    def enter(self) -> list[str]:
        """What goes before a program to run it inside."""
        network = ["-n"] if self._network else []
        return [_nsenter(), "-t", str(self.holder), "-U", "-m", *network, "-r", "-w", "--preserve-credentials"]

    def running(self) -> list[int]:
        """See `Userland.running`."""
        numbers = [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]
        return [
            pid for pid in numbers if pid not in {self.holder, *self.servants} and _namespace_of(pid) == self._identity
        ]

    def close(self) -> None:
        """See `Userland.close`. If this process dies without it, the holder does the same when its input ends."""
        kill_all(self.running)
        self._holder.kill()
        self._holder.communicate()


class Rewrite:
    """No isolation: the phone's folders are written into command lines in place of /data/, /sys/, ...

    Paths show through in what commands print, and absolute paths inside scripts that were pushed are the computer's.
    """

    def __init__(self, root: Path) -> None:
        """Take the folders that are in `root` for the phone's."""
        self.seen = str(root)
        folders = "|".join(re.escape(entry.name) for entry in root.iterdir() if entry.name != "proc")
        self._own = re.compile(rf"(?<![\w./-])/(?=(?:{folders})(?:[/\s'\";:)&|<>]|$))") if folders else None
        files = "|".join(re.escape(entry.name) for entry in (root / "proc").glob("*"))
        self._proc = re.compile(rf"(?<![\w./-])/proc/(?={files}\b)") if files else None

    def argv(self, command: str | None) -> list[str]:
        """See `Userland.argv`."""
        return [f"{self.seen}/system/bin/sh", *(() if command is None else ("-c", self.rewritten(command)))]

    def rewritten(self, command: str) -> str:
        """A command line with the phone's paths replaced by the computer's."""
        if self._own is not None:
            command = self._own.sub(lambda _: f"{self.seen}/", command)
        if self._proc is not None:
            command = self._proc.sub(lambda _: f"{self.seen}/proc/", command)
        return command

    def running(self) -> list[int]:
        """See `Userland.running`."""
        return marked(MARK, self.seen)

    def close(self) -> None:
        """See `Userland.close`."""
        kill_all(self.running)


def environment(userland: Userland, root: Path, gpu: Mapping[str, str], own: Mapping[str, str]) -> dict[str, str]:
    """The environment of a phone's shell.

    Args:
        userland: where it runs.
        root: of the phone, on the computer.
        gpu: variables of the computer that say which Vulkan driver is the phone's GPU.
        own: what the phone's description adds; "" takes a variable away.
    """
    seen = userland.seen
    variables = {
        "PATH": ":".join(f"{seen}/{folder}" for folder in ("system/bin", "vendor/bin", "data/local/bin")),
        "HOME": "/",
        "SHELL": f"{seen}/system/bin/sh",
        "USER": "shell",
        "LOGNAME": "shell",
        "TMPDIR": f"{seen}/data/local/tmp",
        "ANDROID_DATA": f"{seen}/data",
        "ANDROID_ROOT": f"{seen}/system",
        "EXTERNAL_STORAGE": f"{seen}/sdcard",
        MARK: str(root),
        **gpu,
        **own,
    }
    return {name: value for name, value in variables.items() if value}


def _view(root: Path, replaced: Mapping[str, str]) -> tuple[Path, Path]:
    """Prepare the folder that becomes a phone's /, and the table of what is mounted in it.

    Everything of the computer stays visible, the phone's own folders lie over it. `replaced`: file of the computer ->
    file that the phone has in its place.
    """
    view, table = root / ".view", root / ".mounts"
    (view / ".old").mkdir(parents=True)
    mounts = []
    own = {entry.name: entry for entry in root.iterdir() if not entry.name.startswith(".") and entry.name != "proc"}
    for name, entry in {**{entry.name: entry for entry in Path("/").iterdir()}, **own}.items():
        if entry.is_symlink():
            (view / name).symlink_to(entry.readlink())
        elif entry.is_dir():
            (view / name).mkdir()
            mounts.append((str(entry), str(view / name), "rbind"))
    for file in (root / "proc").glob("*"):
        if Path("/proc", file.name).exists():  # nothing can be added to /proc
            mounts.append((str(file), str(view / "proc" / file.name), "bind"))
    for path, other in replaced.items():
        mounts.append((other, f"{view}{Path(path).resolve()}", "bind"))
    # Last, so that `df` names it rather than another folder of the same disk.
    mounts.sort(key=lambda mount: mount[1] == str(view / "data"))
    lines = (" ".join(_octal(word) for word in mount[:2]) + f" none {mount[2]} 0 0\n" for mount in mounts)
    table.write_text("".join(lines), encoding="utf-8")
    return view, table


def _octal(path: str) -> str:
    """A path as fstab(5) writes it."""
    return re.sub(r"[\s\\]", lambda found: f"\\{ord(found[0]):03o}", path)


@cache
def _nsenter() -> str:
    found = shutil.which("nsenter")
    assert found is not None
    return found


def _namespace_of(pid: int) -> str | None:
    with contextlib.suppress(OSError):
        return str(Path(f"/proc/{pid}/ns/mnt").readlink())
    return None
