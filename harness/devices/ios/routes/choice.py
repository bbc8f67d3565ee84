"""Which way leads to starting an app on an iPhone, by its version of iOS and by what this computer has."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

from harness.devices.ios import usbmux
from harness.devices.ios.errors import Subject, UnsupportedVersionError
from harness.devices.ios.routes import go_ios, pymobile
from harness.devices.ios.routes.base import Route
from harness.devices.ios.routes.devicectl import DevicectlRoute
from harness.devices.ios.routes.manual import ManualRoute
from harness.devices.ios.routes.tide import TideRoute
from harness.devices.ios.routes.tool import Tool
from harness.devices.ios.transport import Transport
from harness.lab.spec import IosSpec

GO_IOS, PYMOBILEDEVICE3 = "HARNESS_GO_IOS", "HARNESS_PYMOBILEDEVICE3"
"""Variables that name the tools' programs where they are not on PATH."""
INSTALL: Mapping[str, str] = {
    "devicectl": "a Mac with Xcode 15 or newer",
    "go-ios": "`npm install -g go-ios`",
    "pymobiledevice3": "`pipx install pymobiledevice3`",
}
"""How to get each tool."""
BY_HAND = "`launcher: manual` in devices.yaml: a person opens the app, which works through all jobs by itself"

_XCRUN_SECONDS = 30.0
_MODERN = (17, 0)
_ROOTLESS = (17, 4)


@dataclass(frozen=True)
class Choice:
    """A way that was chosen.

    Attributes:
        name: as `launcher` in devices.yaml calls it.
        program: how its tool is called; empty for ways without one.
        version: of the phone's iOS, major and minor.
        needs: what must be true beside what can be seen on the phone, and how to make it true: a sentence each.
        image: how to mount the developer image that this way needs; None where it needs none, or mounts it by itself.
    """

    name: str
    program: tuple[str, ...]
    version: tuple[int, int]
    needs: tuple[str, ...]
    image: str | None = None


def choose(spec: IosSpec, version: str, environ: Mapping[str, str]) -> Choice:
    """The way to start apps on a phone.

    Args:
        spec: its entry in devices.yaml.
        version: of its iOS, as "17.5.1".
        environ: where tools are looked for: PATH, HARNESS_GO_IOS, HARNESS_PYMOBILEDEVICE3.

    Raises:
        UnsupportedVersionError: there is none; its message says what to install.
    """
    number = _number(version)
    name: str = spec.launcher
    if name == "auto":
        name = "tidevice" if number < _MODERN else next(iter(_suited(spec, environ)), "")
    tools = found_tools(environ)
    if name == "tidevice" and number >= _MODERN:
        raise _unsupported(spec, f"tidevice starts apps up to iOS 16, and it has iOS {version}", _advice())
    if name == "devicectl" and number < _MODERN:
        raise _unsupported(spec, f"devicectl drives iOS 17 and later, and it has iOS {version}", "use launcher: auto")
    if name == "devicectl" and spec.host:
        what = f"devicectl drives the phones of this computer, and it is plugged into {spec.host}"
        raise _unsupported(spec, what, "use launcher: auto")
    if not name:
        raise _unsupported(spec, f"nothing here can start an app on iOS {version}", _advice())
    if name in INSTALL and name not in tools:
        raise _unsupported(spec, f"its launcher {name} is not found on this computer", f"get it: {INSTALL[name]}")
    return Choice(name, tools.get(name, ()), number, _needs(name, number, spec.rsd), _image(name, number))


def found_tools(environ: Mapping[str, str]) -> Mapping[str, tuple[str, ...]]:
    """Those tools that this computer has, best first: name -> how it is called."""
    path = environ.get("PATH")
    found: dict[str, tuple[str, ...]] = {}
    xcrun = shutil.which("xcrun", path=path)
    if xcrun is not None and _has_devicectl(xcrun):
        found["devicectl"] = (xcrun, "devicectl")
    if named := _named(environ, GO_IOS) or shutil.which("ios", path=path):
        found["go-ios"] = (named,)
    if named := _named(environ, PYMOBILEDEVICE3) or shutil.which("pymobiledevice3", path=path):
        found["pymobiledevice3"] = (named,)
    elif find_spec("pymobiledevice3") is not None:
        found["pymobiledevice3"] = (sys.executable, "-m", "pymobiledevice3")
    return found


def open_route(choice: Choice, spec: IosSpec, transport: Transport) -> Route:
    """The way itself. Nothing is started yet."""
    udid = spec.udid or ""
    if choice.name == "manual":
        return ManualRoute()
    if choice.name == "tidevice":
        return TideRoute(transport)
    environ = {**usbmux.environ(spec.usbmuxd), **(pymobile.PLAIN if choice.name == "pymobiledevice3" else {})}
    tool = Tool(choice.name, choice.program, Subject(spec.name, udid), environ)
    if choice.name == "devicectl":
        return DevicectlRoute(tool, udid)
    if choice.name == "go-ios":
        return go_ios.GoIosRoute(tool, udid, choice.version, spec.rsd)
    return pymobile.PymobiledeviceRoute(tool, udid, choice.version, spec.rsd)


def _suited(spec: IosSpec, environ: Mapping[str, str]) -> list[str]:
    """Tools for iOS 17 and later: Apple's knows no tunnel of others, and no phone of another computer."""
    return [name for name in found_tools(environ) if not ((spec.rsd or spec.host) and name == "devicectl")]


def _needs(name: str, version: tuple[int, int], rsd: str | None) -> tuple[str, ...]:
    if name == "manual":
        return ("A person opens the app on the phone and leaves it open; it works through all jobs by itself.",)
    if name == "devicectl":
        return ("This computer is a Mac with Xcode 15 or newer; no tunnel and no root is needed.",)
    if version < _MODERN:
        return ()
    if rsd is not None:
        return (f"The tunnel that devices.yaml names is up at {rsd}.",)
    if version < _ROOTLESS:
        return (_root_tunnel(name),)
    if name == "go-ios":
        return (f"Its tunnel is up, without root: {go_ios.TUNNEL}.",)
    return ("No root and no tunnel of yours: from iOS 17.4 on pymobiledevice3 makes one by itself.",)


def _image(name: str, version: tuple[int, int]) -> str | None:
    if name in ("manual", "devicectl"):
        return None
    if version < _MODERN:
        return "open Xcode's Devices and Simulators window, or run `ideviceimagemounter` with the image of its iOS"
    how = "ios image auto" if name == "go-ios" else "pymobiledevice3 mounter auto-mount"
    return f"run `{how}`, once after each restart of the phone; it needs internet"


def _root_tunnel(name: str) -> str:
    how = go_ios.ROOT_TUNNEL if name == "go-ios" else pymobile.ROOT_TUNNEL
    return f"iOS 17.0 to 17.3 needs a tunnel that root keeps up: {how}; or update the phone to iOS 17.4 or later."


def _named(environ: Mapping[str, str], variable: str) -> str | None:
    """A program that a variable names, if it is there."""
    named = environ.get(variable)
    return named if named and Path(named).is_file() else None


@lru_cache(8)
def _has_devicectl(xcrun: str) -> bool:
    """Every Mac has xcrun, and only Xcode 15 and newer have devicectl."""
    try:
        answer = subprocess.run(
            [xcrun, "--find", "devicectl"],
            capture_output=True,
            timeout=_XCRUN_SECONDS,
            check=False,
            stdin=subprocess.DEVNULL,
        )
    except (OSError, subprocess.SubprocessError):
        return False
    return answer.returncode == 0


def _number(version: str) -> tuple[int, int]:
    parts = [int(part) for part in version.split(".")[:2] if part.isdigit()]
    return (parts[0] if parts else 0, parts[1] if len(parts) > 1 else 0)


def _advice() -> str:
    return f"install one of {', '.join(f'{name} ({how})' for name, how in INSTALL.items())}, or use {BY_HAND}"


def _unsupported(spec: IosSpec, what: str, todo: str) -> UnsupportedVersionError:
    return Subject(spec.name, spec.udid or "").error(UnsupportedVersionError, what, call="launch", todo=todo)
