"""A lab of emulated phones: a private adb server, and phones that are plugged into it, all in one thread."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import tempfile
import threading
from collections.abc import Callable, Coroutine, Mapping
from pathlib import Path
from typing import Any, TypeVar

from typing_extensions import Self

from emulated.android import real_adbd
from emulated.android.daemon import Daemon
from emulated.android.description import Description, named
from emulated.android.heat import live
from emulated.android.hub import Hub
from emulated.android.phone import EMULATED_FAULTS, Backend, Body, Cable, Phone
from emulated.android.real_adbd import RealAdbd
from emulated.android.server import PrivateServer, clean
from emulated.android.userland import Isolation, Namespace, isolation
from harness.clock import Clock, SystemClock
from harness.errors import UsageError

T = TypeVar("T")
_SECONDS = 30.0


class AdbLab:
    """A private adb server and any number of emulated phones, which share one thread with one asyncio loop.

    Used as a context manager, or with `start` and `stop`. Its methods may be called from any thread.

    Attributes:
        phones: those that were added and not closed.
    """

    def __init__(
        self,
        folder: Path,
        *,
        environ: Mapping[str, str] | None = None,
        isolation: Isolation | None = None,
        clock: Clock | None = None,
    ) -> None:
        """Describe a lab; nothing runs yet.

        Args:
            folder: for the phones' files and the server's; absent or empty.
            environ: the lab's environment; the process's by default. The Vulkan driver that it names is the GPU of the
                phones that have one.
            isolation: how commands of phones are kept apart from this computer; the best it allows by default.
            clock: time.
        """
        self._folder = folder
        self._environ = dict(os.environ if environ is None else environ)
        self._isolation = isolation
        self._clock = clock or SystemClock()
        self._server = PrivateServer(folder, self._clock)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._hub: Hub | None = None
        self._sockets: Path | None = None
        self._count = 0
        self._heated: dict[str, asyncio.Task[None]] = {}
        self.phones: list[Phone] = []

    @property
    def server_port(self) -> int:
        """Port of the private adb server."""
        return self._server.port

    @property
    def environ(self) -> dict[str, str]:
        """The whole environment for child processes that shall use the lab's adb server."""
        return clean(self._environ) | self._server.environ

    def start(self) -> None:
        """Start the server. Raises OSError if it does not start."""
        self._folder.mkdir(parents=True, exist_ok=True)
        # The path of a unix socket may be about 100 characters long, the lab's folder longer.
        self._sockets = Path(tempfile.mkdtemp(prefix="adb-lab-"))
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="emulated phones", daemon=True)
        self._thread.start()
        try:
            self._on_loop(self._server.start)
        except OSError:
            self.stop()
            raise
        self._hub = Hub(self._server.port)
        self.run(self._hub.start())

    def stop(self) -> None:
        """Take the phones away and end the server. Nothing is left running; the phones' files stay."""
        if self._loop is None:
            return
        if self._hub is not None:
            self.run(self._hub.stop())
            self._hub = None
        self._server.kill()
        with contextlib.suppress(OSError):  # somebody may have started another one in its place
            self._server.ask("host:kill", 2.0)
        for phone in list(self.phones):
            phone.close()
        self.run(self._settle())
        self._loop.call_soon_threadsafe(self._loop.stop)
        if self._thread is not None:
            self._thread.join()
        self._loop.close()
        self._loop = self._thread = None
        if self._sockets is not None:
            shutil.rmtree(self._sockets)
            self._sockets = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.stop()

    def add(
        self,
        phone: str | Description,
        *,
        serial: str | None = None,
        backend: Backend = "emulated",
        tcp: bool = False,
    ) -> Phone:
        """Make a phone and plug it in: the adb server reaches it when this returns.

        Args:
            phone: a name in `phones/`, the path of a description, or one.
            serial: its serial number; EMULATED01 and so on by default.
            backend: whose adbd it has, ours or Debian's.
            tcp: reached through a port of this computer: its serial is 127.0.0.1:PORT, and adb commands may connect
                and disconnect it. Otherwise it stands for a phone on USB: whichever server runs on the lab's port
                finds it.

        Raises:
            UsageError: no such phone, or its file is wrong; or there is no adbd of Debian here.
            OSError: this computer does not let the phone be made.
        """
        description = named(phone) if isinstance(phone, str) else phone
        assert self._sockets is not None, "the lab was not started"
        self._count += 1
        number = serial or f"EMULATED{self._count:02d}"
        kind = self._isolation or isolation()
        if backend == "real" and (why := real_adbd.absent(kind)):
            raise UsageError(f"{description.name} with Debian's adbd: {why}")
        root = self._folder / "phones" / number
        body = Body(description, root, number, self._environ, kind, network=backend == "real")
        cable: Cable
        if backend == "real":
            assert isinstance(body.userland, Namespace)
            cable = RealAdbd(body.userland, body.environ, self._sockets / f"{number}.adbd")
        else:
            cable = Daemon(body)
        address: Path | int = self._sockets / number
        listed = f"localfilesystem:{address}"
        try:
            if tcp:
                address = self._free_port(cable)
                listed = f"127.0.0.1:{address}"
            can = real_adbd.FAULTS if backend == "real" else EMULATED_FAULTS
            made = Phone(body, cable, serial=listed, number=number, backend=backend, can=can, address=address, lab=self)
            said = made.plug()
        except OSError:
            self.run(cable.close())
            body.close()
            raise
        self.phones.append(made)
        if made.serial not in self._listed("device"):
            raise OSError(f"{description.name}: the adb server does not reach it: {said}")
        if description.heating is not None:
            self._heated[listed] = self._on_loop(lambda: asyncio.ensure_future(live(body)))
        return made

    def kill_server(self) -> None:
        """The server crashes."""
        self._server.kill()

    def stop_server(self) -> None:
        """The server hangs: it accepts connections, and answers nothing."""
        self._server.signal(signal.SIGSTOP)

    def continue_server(self) -> None:
        """The server goes on."""
        self._server.signal(signal.SIGCONT)

    def restart_server(self) -> None:
        """The server is replaced by a new one on the same port; phones on USB are back when this returns."""
        self._server.kill()
        self._on_loop(self._server.start)
        for phone in self.phones:
            if phone.plugged and not _on_tcp(phone):
                self.connect(phone)

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine on the lab's loop, and wait for its result."""
        assert self._loop is not None, "the lab was not started"
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(_SECONDS)

    def connect(self, phone: Phone) -> str:
        """Make the server know a phone, and wait until it is ready or cannot be; what the server said."""
        try:
            said = self._server.ask(f"host:connect:{phone.serial}")
        finally:  # after the question: what the hub does about a phone would otherwise race with it for the answer
            if not _on_tcp(phone) and self._hub is not None:
                self._hub.plugged.add(phone.serial)
        if said.startswith(("connected", "already connected")):
            with contextlib.suppress(TimeoutError):
                self._server.ask(f"host-serial:{phone.serial}:wait-for-any-device", 5.0)
        return said

    def disconnect(self, phone: Phone) -> None:
        """Make the server forget a phone on USB; one on TCP it keeps, as offline, until it is closed."""
        if self._hub is not None:
            self._hub.plugged.discard(phone.serial)
        if not _on_tcp(phone):
            self._disconnect(phone)

    def forget(self, phone: Phone) -> None:
        """The phone is closed: what the lab keeps of it goes, and the server forgets it, on TCP too."""
        if phone in self.phones:
            self.phones.remove(phone)
        if (task := self._heated.pop(phone.serial, None)) is not None:
            self._on_loop(task.cancel)
        self.disconnect(phone)
        if _on_tcp(phone):
            self._disconnect(phone)

    def _disconnect(self, phone: Phone) -> None:
        with contextlib.suppress(OSError):  # the server may be down, or may not know it
            self._server.ask(f"host:disconnect:{phone.serial}", 2.0)

    def _listed(self, state: str) -> list[str]:
        lines = (line.split("\t") for line in self._server.ask("host:devices").splitlines())
        return [serial for serial, listed in lines if listed == state]

    def _free_port(self, cable: Cable) -> int:
        async def probe() -> int | None:
            port = await cable.start(0)
            await cable.stop()
            return port

        port = self.run(probe())
        assert isinstance(port, int)
        return port

    def _on_loop(self, act: Callable[[], T]) -> T:
        async def call() -> T:
            return act()

        return self.run(call())

    async def _settle(self) -> None:
        """End what is left on the loop, so that nothing is destroyed while it waits."""
        left = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)
        await asyncio.get_running_loop().shutdown_default_executor()


def _on_tcp(phone: Phone) -> bool:
    return not phone.serial.startswith("localfilesystem:")
