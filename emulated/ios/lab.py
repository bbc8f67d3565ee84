"""A lab of emulated iPhones: one usbmuxd, and phones that are plugged into it, all in one thread."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import sys
import tempfile
import threading
from collections.abc import Coroutine, Mapping
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from typing_extensions import Self

from emulated.ios import lockdown
from emulated.ios.apps import OWN_BUNDLE, UPSTREAM_BUNDLE, Program
from emulated.ios.build import emulated_app
from emulated.ios.description import Description, named
from emulated.ios.phone import Handler, Phone
from emulated.ios.rsd.front import RsdFront
from emulated.ios.services.table import SERVICES
from emulated.ios.tls import identity
from emulated.ios.usbmuxd import Usbmuxd
from harness.clock import Clock, SystemClock
from harness.environment import inherited
from harness.errors import UsageError

T = TypeVar("T")
_SECONDS = 120.0
_UPSTREAM = Path(__file__).parent / "app" / "upstream.py"

PASSED_ON = (
    "PATH",
    "VK_ICD_FILENAMES",
    "VK_DRIVER_FILES",
    "LD_LIBRARY_PATH",
    "XDG_RUNTIME_DIR",
    "MESA_SHADER_CACHE_DIR",
    "LP_NUM_THREADS",
)
"""Variables of the lab's environment that apps get: those that say which Vulkan driver is the phones' GPU."""

_NOWHERE = "http://127.0.0.1:9"
"""A proxy that nobody runs: tools that would download a developer image fail at once, and say so."""


class IosLab:
    """A usbmuxd of its own and any number of emulated iPhones, which share one thread with one asyncio loop.

    Used as a context manager, or with `start` and `stop`. Its methods may be called from any thread but its own.

    Attributes:
        clock: time.
        phones: those that were added, plugged in or not.
    """

    def __init__(self, folder: Path, *, environ: Mapping[str, str] | None = None, clock: Clock | None = None) -> None:
        """Describe a lab; nothing runs yet.

        Args:
            folder: for the phones' files; absent or empty.
            environ: the lab's environment; the process's by default. Its Vulkan driver is the phones' GPU.
            clock: time.
        """
        self.clock: Clock = clock or SystemClock()
        self.phones: list[Phone] = []
        self._folder = folder
        self._environ = dict(inherited() if environ is None else environ)
        self._usbmuxd = Usbmuxd()
        self._fronts: dict[str, RsdFront] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._sockets: Path | None = None
        self._count = 0

    @property
    def address(self) -> str:
        """Where its usbmuxd listens, as devices.yaml and the tools want it: 127.0.0.1:PORT."""
        return f"127.0.0.1:{self._usbmuxd.port}"

    @property
    def socket(self) -> Path:
        """The unix socket on which its usbmuxd listens as well, as the system's own does."""
        assert self._sockets is not None, "the lab was not started"
        return self._sockets / "usbmuxd"

    @property
    def environ(self) -> dict[str, str]:
        """The whole environment for child processes that shall see the lab's phones and no others, and no internet."""
        kept = {
            name: value
            for name, value in self._environ.items()
            if not name.startswith(("USBMUXD_", "PYMOBILEDEVICE3_")) and not name.lower().endswith("_proxy")
        }
        proxies = dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy"), _NOWHERE)
        local = dict.fromkeys(("NO_PROXY", "no_proxy"), "127.0.0.1,localhost,::1")
        return {**kept, **proxies, **local, "USBMUXD_SOCKET_ADDRESS": self.address}

    @property
    def pairing(self) -> list[str]:
        """What clients did to pair records: "SavePairRecord UDID", "DeletePairRecord UDID". Nobody should."""
        return self._usbmuxd.pairing

    @property
    def failures(self) -> list[BaseException]:
        """Mistakes of the emulation itself; a test that finds one says nothing about the harness."""
        return [*self._usbmuxd.failures, *(failure for phone in self.phones for failure in phone.failures)]

    def start(self) -> None:
        """Start usbmuxd. Raises OSError."""
        self._folder.mkdir(parents=True, exist_ok=True)
        # The path of a unix socket may be about 100 characters long, the lab's folder longer.
        self._sockets = Path(tempfile.mkdtemp(prefix="usbmuxd-"))
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="emulated iPhones", daemon=True)
        self._thread.start()
        try:
            self.run(self._usbmuxd.start(self.socket))
        except OSError:
            self.stop()
            raise

    def stop(self) -> None:
        """End everything. Nothing is left running; the phones' files stay."""
        if self._loop is None or self._thread is None:
            return
        self.run(self._stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
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
        self, phone: str | Description, *, udid: str | None = None, tls: bool = False, network: bool = False
    ) -> Phone:
        """Make a phone with both measuring apps on it, paired and trusted, and plug it in.

        Args:
            phone: a name in `phones/`, the path of a description, or one.
            udid: its identifier; one that is made from the lab's port and its number there by default.
            tls: its lockdown asks for TLS, as phones do. Without, the same dialogue goes on in plain.
            network: it is listed a second time, as reached over Wi-Fi.

        Raises:
            UsageError: no such phone, or its file is wrong; or TLS, and there is no `openssl` program here.
        """
        description = named(phone) if isinstance(phone, str) else phone
        if tls:
            identity()  # a mistake of this computer belongs to the caller, not to the loop
        with contextlib.suppress(UsageError):  # who starts the app is told
            emulated_app(self._environ)  # built now: clients wait half a minute for an app to start, and no longer
        self._count += 1
        # With the port in it: leases go by UDID, and labs of several processes must not be in each other's way.
        number = udid or description.udid(self._usbmuxd.port << 8 | self._count)
        if any(one.udid == number for one in self.phones):
            raise UsageError(f"there is an emulated iPhone {number} already")
        passed = {name: self._environ[name] for name in PASSED_ON if name in self._environ}
        environ = {"LANG": "C.UTF-8", **passed}
        made = Phone(description, number, self._folder / number, environ, self, tls=tls, network=network)
        made.add_app(OWN_BUNDLE, partial(emulated_app, self._environ), name="DelegateBench", executable="DelegateBench")
        made.add_app(UPSTREAM_BUNDLE, Program((sys.executable, str(_UPSTREAM))), name="LiteRTBenchmark")
        self.phones.append(made)
        made.plug()
        return made

    def stop_usbmuxd(self) -> None:
        """It is gone: nothing listens, and connections through it are cut."""
        self.run(self._usbmuxd.stop())
        self.socket.unlink(missing_ok=True)  # Python 3.13 does that by itself

    def start_usbmuxd(self) -> None:
        """It is back, on the same port."""
        self.run(self._usbmuxd.start(self.socket))

    def run(self, work: Coroutine[Any, Any, T], seconds: float = _SECONDS) -> T:
        """Run a coroutine on the lab's loop, and wait for its result. Raises TimeoutError."""
        assert self._loop is not None, "the lab was not started"
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(seconds)

    async def attach(self, phone: Phone) -> None:
        """For `Phone.plug`."""
        if phone.major >= 17 and phone.rsd_address is None:
            front = self._fronts.setdefault(phone.udid, RsdFront(phone, _handlers(phone)))
            phone.rsd_address = await front.start()
        self._usbmuxd.attach(phone)

    async def detach(self, phone: Phone) -> None:
        """For `Phone.unplug`; what goes over Wi-Fi stays."""
        self._usbmuxd.detach(phone, "USB")
        await self._stop_front(phone)

    async def gone(self, phone: Phone) -> None:
        """For `Phone.reboot`: it is reached in no way any more."""
        self._usbmuxd.detach(phone)
        await self._stop_front(phone)

    async def _stop_front(self, phone: Phone) -> None:
        if phone.rsd_address is not None:
            phone.rsd_address = None
            await self._fronts[phone.udid].stop()

    async def _stop(self) -> None:
        await self._usbmuxd.stop()
        for phone in self.phones:
            await self._stop_front(phone)
            await phone.processes.kill_all()
        # End what is left on the loop, so that nothing is destroyed while it waits.
        left = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)
        await asyncio.get_running_loop().shutdown_default_executor()
        await asyncio.sleep(0)  # transports that were closed just now say so in the next round


def _handlers(phone: Phone) -> dict[str, Handler]:
    """What the RSD front offers: lockdown's services but those of the developer image, and lockdown itself."""
    found: dict[str, Handler] = {
        name: service.handler
        for name, service in SERVICES.items()
        if service.exists(phone.major) and not service.developer
    }
    return {**found, f"{lockdown.TYPE}.remote.trusted": lockdown.serve_trusted}
