"""An emulated iPhone: apps, processes, state, and a cable that can be pulled."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Protocol, TypeVar

from emulated.ios.apps import App, AppError, Program
from emulated.ios.connection import Connection
from emulated.ios.description import Battery, Description
from emulated.ios.faults import Faults
from emulated.ios.processes import Processes
from emulated.ios.services.state import ServiceState
from harness.clock import Clock

T = TypeVar("T")
ThermalState = Literal["nominal", "fair", "serious", "critical"]
Handler = Callable[["Phone", Connection], Awaitable[None]]
"""Talks to one client of a phone until either has had enough."""


class Desk(Protocol):
    """What a phone needs of its lab."""

    clock: Clock

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine on the lab's loop, from another thread."""

    async def attach(self, phone: Phone) -> None:
        """The cable goes in. On the loop."""

    async def detach(self, phone: Phone) -> None:
        """The cable comes out; every connection over it is cut. On the loop."""

    async def gone(self, phone: Phone) -> None:
        """It is off, and no connection is left, over Wi-Fi neither. On the loop."""


class Phone:
    """A phone in a lab. Methods that are no coroutines may be called from any thread but the lab's own.

    Attributes:
        description: what it is like.
        udid: its identifier.
        major: major version of its iOS.
        folder: its files on this computer.
        tls: whether lockdown asks for TLS.
        network: whether it is listed a second time, over Wi-Fi.
        faults: what is wrong with it.
        services: what its services remember.
        paired: the host has a pair record of it.
        trusted: it accepts the host's pair record; `revoke_pairing` takes that away.
        locked: the screen is locked with a passcode; see `lock`.
        developer_mode: Settings > Privacy & Security > Developer Mode; means something from iOS 16 on.
        image_mounted: a developer image is mounted.
        free_bytes: what files can still take.
        battery: its battery.
        apps: bundle -> app.
        processes: what runs on it.
        ports: ports that lockdown has started services on -> their names.
        opened: names of services that were started, in order.
        received: path and size of every file that was written to it, in order.
        asked: requests about pairing that it got: "Pair", "Unpair".
        rsd_address: where its RSD front is, from iOS 17 on, while it is plugged in.
        failures: mistakes of the emulation itself; a test that finds one says nothing about the harness.
    """

    def __init__(
        self,
        description: Description,
        udid: str,
        folder: Path,
        environ: Mapping[str, str],
        desk: Desk,
        *,
        tls: bool = False,
        network: bool = False,
    ) -> None:
        """For `IosLab.add`; `environ` is what its processes get."""
        self.description = description
        self.udid = udid
        self.major = description.major
        self.folder = folder
        self.tls = tls
        self.network = network
        self.faults = Faults()
        self.services = ServiceState()
        self.paired = True
        self.trusted = True
        self.locked = False
        self.developer_mode = True
        self.image_mounted = True
        self.free_bytes = description.storage.free
        self.battery = Battery(**description.battery.model_dump())
        self.apps: dict[str, App] = {}
        self.processes = Processes(environ, desk.clock)
        self.ports: dict[int, str] = {}
        self.opened: list[str] = []
        self.received: list[tuple[str, int]] = []
        self.asked: list[str] = []
        self.rsd_address: tuple[str, int] | None = None
        self.failures: list[BaseException] = []
        self._desk = desk
        self._containers = 0
        self._falling: set[asyncio.Task[None]] = set()
        self._thermal_state: ThermalState = "nominal"
        self._low_power_mode = False
        self._app_fault: tuple[int, str] | None = None
        folder.mkdir(parents=True, exist_ok=True)

    # What a person does, and what tests do to it.

    def plug(self) -> None:
        """Put the cable in; usbmuxd lists it, under a new device id, when this returns."""
        self._desk.run(self._desk.attach(self))

    def unplug(self) -> None:
        """Pull the cable: usbmuxd forgets it, and every connection over it is cut. Apps go on."""
        self._desk.run(self._desk.detach(self))

    def reboot(self) -> None:
        """It restarts: what ran is gone, the developer image too, files stay; plugged in when this returns."""
        self._desk.run(self._reboot())

    def lock(self) -> None:
        """The screen locks: apps are suspended, and services that need an unlocked phone refuse."""
        self.locked = True
        self._desk.run(self._signal_all(signal.SIGSTOP))

    def unlock(self) -> None:
        """A person enters the passcode; apps go on."""
        self.locked = False
        self._desk.run(self._signal_all(signal.SIGCONT))

    def revoke_pairing(self) -> None:
        """A person resets "Location & Privacy" in its settings: the host's pair record is worth nothing now."""
        self.trusted = False

    def open_app(self, bundle: str) -> int:
        """A person taps the app's icon; its pid. Raises AppError."""
        return self._desk.run(self.start_app(bundle))

    def kill_app(self, bundle: str, number: int = signal.SIGKILL) -> None:
        """A signal to an app: SIGKILL is what the system does when memory runs out, SIGSEGV a crash."""
        self._desk.run(self._signal(bundle, number))

    def wait_app(self, pid: int) -> int:
        """Wait for the end of a process; its exit status, -N for signal N."""
        return self._desk.run(self.processes.wait(pid))

    @property
    def thermal_state(self) -> ThermalState:
        """What the system tells apps of its temperature."""
        return self._thermal_state

    @thermal_state.setter
    def thermal_state(self, state: ThermalState) -> None:
        self._thermal_state = state
        self.tell_apps()

    @property
    def low_power_mode(self) -> bool:
        """Whether it saves power."""
        return self._low_power_mode

    @low_power_mode.setter
    def low_power_mode(self, on: bool) -> None:
        self._low_power_mode = on
        self.tell_apps()

    @property
    def app_fault(self) -> tuple[int, str] | None:
        """Signal and stage at which our app kills itself, such as (11, "run"); stages are delegate_bench's."""
        return self._app_fault

    @app_fault.setter
    def app_fault(self, fault: tuple[int, str] | None) -> None:
        self._app_fault = fault
        self.tell_apps()

    # Apps.

    def add_app(
        self,
        bundle: str,
        program: Program | Callable[[], Program],
        *,
        name: str = "",
        executable: str = "",
        version: str = "1.0",
        build: str = "1",
        file_sharing: bool = True,
        developer: bool = True,
    ) -> App:
        """Install an app, in an empty container of its own.

        Args:
            bundle: its identifier.
            program: what runs when it is started.
            name: see `App`, as for the others.
            executable: as the bundle's name if absent.
            version: CFBundleShortVersionString.
            build: CFBundleVersion.
            file_sharing: UIFileSharingEnabled.
            developer: signed for development.
        """
        self._containers += 1
        container = self.folder / "containers" / f"{self._containers:04d}"
        app = App(bundle, container, program, version, build, name, executable, file_sharing, developer)
        self.apps[bundle] = app
        self.tell_apps()
        return app

    def tell_apps(self) -> None:
        """Write what apps would ask the system for into their containers. After changing `battery`, too."""
        state: dict[str, Any] = {
            "thermal_state": self._thermal_state,
            "low_power_mode": self._low_power_mode,
            "battery_level": self.battery.level / 100,
            "charging": self.battery.charging,
            "system": {"name": "iOS", "version": self.description.os_version, "machine": self.description.product_type},
        }
        if self._app_fault is not None:
            state["fault"] = {"signal": self._app_fault[0], "stage": self._app_fault[1]}
        for app in list(self.apps.values()):
            app.tell(state)

    async def start_app(
        self,
        bundle: str,
        arguments: Sequence[str] = (),
        env: Mapping[str, str] | None = None,
        *,
        kill_existing: bool = False,
    ) -> int:
        """Start an app, or bring the one that runs to the front; the pid of its process. On the lab's loop.

        Raises:
            AppError: it is not installed, or the phone is locked, or its program cannot be started here.
        """
        app = self.apps.get(bundle)
        if app is None:
            raise AppError("missing", bundle, f"{bundle} is not installed")
        if self.locked:
            raise AppError("locked", bundle, f"{bundle} cannot be opened: the phone is locked")
        running = self.processes.running(bundle)
        if running is not None and kill_existing:
            self.processes.kill(running)
            await self.processes.wait(running)
        return await self.processes.launch(app, arguments, env, crash=bundle in self.faults.crash_at_start)

    # For those who serve it, on the lab's loop.

    def lose_cable(self) -> None:
        """The cable comes out while something is carried."""
        task = asyncio.ensure_future(self._desk.detach(self))
        self._falling.add(task)  # the loop itself holds tasks only weakly
        task.add_done_callback(self._falling.discard)

    def listen(self, service: str) -> int:
        """A port that the next connection reaches a service on."""
        port = max(self.ports, default=49151) + 1
        self.ports[port] = service
        return port

    async def serve(self, connection: Connection, service: str, handler: Handler) -> None:
        """Serve one client to the end, and close the connection. Mistakes of the emulation go to `failures`."""
        connection.reach(self, service)
        try:
            await handler(self, connection)
        except (EOFError, ConnectionError):
            pass  # the client has had enough, or the cable
        except Exception as error:
            self.failures.append(error)
        finally:
            connection.close()

    async def _reboot(self) -> None:
        await self._desk.gone(self)
        await self.processes.kill_all()
        self.image_mounted = False
        self.ports.clear()
        await self._desk.attach(self)

    async def _signal(self, bundle: str, number: int) -> None:
        if (pid := self.processes.running(bundle)) is not None:
            self.processes.signal(pid, number)
            if number == signal.SIGKILL:
                await self.processes.wait(pid)

    async def _signal_all(self, number: int) -> None:
        for process in self.processes.live:
            with contextlib.suppress(ProcessLookupError):
                self.processes.signal(process.pid, number)
