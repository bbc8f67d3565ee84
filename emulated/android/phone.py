"""An emulated phone: a description made into files and programs, behind a cable that can be pulled."""

from __future__ import annotations

from collections.abc import Coroutine, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Protocol, TypeVar

from emulated.android import protocol
from emulated.android.daemon import Program
from emulated.android.description import Description, Reply
from emulated.android.faults import Faults
from emulated.android.files import Files
from emulated.android.processes import kill_all
from emulated.android.tools import Tools
from emulated.android.userland import Isolation, Namespace, Rewrite, Userland, environment
from harness.devices.local import host_target

Backend = Literal["emulated", "real"]
T = TypeVar("T")

EMULATED_FAULTS = frozenset(
    {"drop", "drop_after", "stall_after", "rate", "quota", "open_delay", "refuse_open", "hung", "auth", "crash"}
)
"""What can go wrong with a phone whose adbd is ours."""

GPU_VARIABLES = (
    "VK_ICD_FILENAMES",
    "VK_DRIVER_FILES",
    "LD_LIBRARY_PATH",
    "XDG_RUNTIME_DIR",
    "MESA_SHADER_CACHE_DIR",
    "LP_NUM_THREADS",
)
"""Variables of the lab's environment that make its Vulkan driver the GPU of the phones."""


class Cable(Protocol):
    """The adbd of a phone, ours or Debian's. Coroutines run on the lab's loop."""

    faults: Faults
    opened: list[str]
    failures: list[BaseException]

    @property
    def received_bytes(self) -> int:
        """Bytes that were pushed to the phone."""

    async def start(self, address: Path | int) -> int | None:
        """Listen on a unix socket or a port of this computer; the port."""

    async def stop(self) -> None:
        """Pull the cable: nothing listens, connections are cut."""

    async def crash(self) -> None:
        """The phone dies: as `stop`, and nothing runs on it any more."""

    async def close(self) -> None:
        """Give everything back."""

    def drop(self) -> None:
        """Cut the connections, and go on listening. From any thread."""


class Body:
    """What a phone is, without its adbd: files, programs, properties, and how commands run. A `daemon.Handset`.

    Attributes:
        root: its file system, on the computer: `root/"data/local/tmp"`, `root/"sys"`, ...
        features: as its description says.
        version: of the adb protocol.
        max_payload: longest packet, in bytes.
    """

    def __init__(
        self,
        description: Description,
        root: Path,
        serial: str,
        environ: Mapping[str, str],
        isolation: Isolation,
        *,
        network: bool = False,
    ) -> None:
        """Make the phone.

        Args:
            description: what it is like.
            root: an empty or absent folder for its files.
            serial: what it prints as its serial number.
            environ: the lab's; `GPU_VARIABLES` are taken from it.
            isolation: how its commands are kept apart from the computer.
            network: with a network of its own, which Debian's adbd needs; isolation "namespace" only.

        Raises:
            OSError: the computer refuses a namespace, or the files.
        """
        self.description = description
        self.root = root
        self.features: Sequence[str] = description.features
        old = description.protocol == "old"
        self.version = protocol.VERSION_CHECKSUM if old else protocol.VERSION_NO_CHECKSUM
        self.max_payload = protocol.OLD_PAYLOAD if old else protocol.PAYLOAD
        self.files = Files(root)
        for path, content in description.files.items():
            self.files.write(path, content)
        self.tools = Tools(root, "" if isolation == "namespace" else str(root), description)
        own = {
            "ro.serialno": serial,
            "ro.boot.serialno": serial,
            "ro.harness.emulated": "1",
            "ro.harness.target": host_target(),
        }
        self.tools.set_properties({**description.properties, **own})
        self.userland: Userland
        if isolation == "namespace":
            namespace = Namespace(root, network=network)
            self.files.around = Path(f"/proc/{namespace.holder}/root")
            self.userland = namespace
        else:
            self.userland = Rewrite(root)
        gpu = {name: environ[name] for name in GPU_VARIABLES if name in environ}
        self.environ = environment(self.userland, root, gpu, description.environment)

    @property
    def banner(self) -> Mapping[str, str]:
        """What `adb devices -l` shows."""
        known = self.tools.property_values()
        return {name: known.get(name, "") for name in ("ro.product.name", "ro.product.model", "ro.product.device")}

    def resolve(self, remote: str, *, follow: bool) -> Path:
        """The file on the computer that a path of the phone means. Raises OSError."""
        return self.files.resolve(remote, follow=follow)

    def program(self, command: str | None, env: Mapping[str, str]) -> Program:
        """What to start on the computer for a shell command of the phone, or for a shell."""
        return Program(self.userland.argv(command), {**self.environ, **env}, Path("/"))

    def kill(self) -> None:
        """End everything that runs on the phone."""
        kill_all(self.userland.running)

    def close(self) -> None:
        """End everything, and give the namespace back. The files stay."""
        self.userland.close()


class Phone:
    """A phone in a lab. Its methods may be called from any thread but the lab's own.

    Attributes:
        serial: as adb servers list it, and as devices.yaml names it.
        number: its serial number as `getprop ro.serialno` prints it.
        backend: whose adbd it has.
        can: the faults that it can have; see `EMULATED_FAULTS` and `real_adbd.FAULTS`.
        plugged: whether its cable is in.
    """

    def __init__(
        self,
        body: Body,
        cable: Cable,
        *,
        serial: str,
        number: str,
        backend: Backend,
        can: frozenset[str],
        address: Path | int,
        lab: Desk,
    ) -> None:
        """For `AdbLab.add`: `address` is what the cable listens on, as `serial` says it to an adb server."""
        self.body = body
        self.serial = serial
        self.number = number
        self.backend: Backend = backend
        self.can = can
        self.plugged = False
        self._cable = cable
        self._address = address
        self._lab = lab

    @property
    def description(self) -> Description:
        """What it is like."""
        return self.body.description

    @property
    def root(self) -> Path:
        """Its file system on the computer: `root/"data/local/tmp"`."""
        return self.body.root

    @property
    def faults(self) -> Faults:
        """What is wrong with it; set the attributes from any thread."""
        return self._cable.faults

    @property
    def opened(self) -> list[str]:
        """Every service that was opened on it: "shell,v2,raw:...", "sync:". Debian's adbd does not tell: empty."""
        return self._cable.opened

    @property
    def received_bytes(self) -> int:
        """Content that came in through sync. Debian's adbd does not tell: what came in altogether."""
        return self._cable.received_bytes

    @property
    def failures(self) -> list[BaseException]:
        """Mistakes of the emulation itself; a test that finds one says nothing about the harness."""
        return self._cable.failures

    def plug(self) -> str:
        """Put the cable in, and tell the adb server; what the server says.

        Returns when the phone is ready, or when the server says that it cannot be.
        """
        self._lab.run(self._cable.start(self._address))
        self.plugged = True
        return self._lab.connect(self)

    def unplug(self) -> None:
        """Pull the cable. As on USB, the adb server forgets the phone at once; one on TCP it lists as offline."""
        self.plugged = False
        self._lab.run(self._cable.stop())
        self._lab.disconnect(self)

    def crash(self) -> None:
        """The phone dies: everything that ran on it is gone, and half-written files stay."""
        self.plugged = False
        self._lab.run(self._cable.crash())
        self.body.kill()
        self._lab.disconnect(self)

    def reboot(self) -> str:
        """The phone restarts: what ran on it is gone, files stay; ready when it returns, with what the server said."""
        self.crash()
        return self.plug()

    def drop(self) -> None:
        """Cut the connections; the phone stays plugged in, and the server comes back by itself."""
        self._cable.drop()

    def set_property(self, name: str, value: str) -> None:
        """Change what `getprop` prints; read-only properties too."""
        self.body.tools.set_properties({**self.body.tools.property_values(), name: value})

    def set_file(self, path: str, content: str) -> None:
        """Change a file of the phone: `"sys/class/thermal/thermal_zone0/temp", "41000"`."""
        self.body.files.write(path, content)

    def set_reply(self, command: str, reply: str | Reply) -> None:
        """Change what a command line prints: `"dumpsys battery", "..."`."""
        self.body.tools.set_reply(command, Reply(output=reply) if isinstance(reply, str) else reply)

    def set_command(self, name: str, script: str) -> None:
        """Install a shell script as a program of the phone."""
        self.body.tools.set_script(name, script)

    def processes(self) -> list[int]:
        """What runs on the phone, by its numbers on the computer: shells, jobs, orphans. Not its adbd."""
        return self.body.userland.running()

    def close(self) -> None:
        """Take it away for good. Its files stay."""
        self.plugged = False
        self._lab.run(self._cable.close())
        self.body.close()
        self._lab.forget(self)


class Desk(Protocol):
    """What a phone needs of its lab."""

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine on the lab's loop, and wait for it."""

    def connect(self, phone: Phone) -> str:
        """Make the adb server know the phone."""

    def disconnect(self, phone: Phone) -> None:
        """Make the adb server forget the phone, if it is one that stands for USB."""

    def forget(self, phone: Phone) -> None:
        """The phone is closed."""
