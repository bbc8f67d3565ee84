"""iOS 17 and later (and earlier): the command line of pymobiledevice3, a program of its own (GPL), starts apps.

From iOS 17.4 on it makes its tunnel by itself, inside its own process and without root. iOS 17.0 to 17.3 needs a tunnel
that root keeps up; devices.yaml may name any tunnel that is up as `rsd: host:port`.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Mapping, Sequence

from harness.devices.ios.errors import IosError, ToolError
from harness.devices.ios.routes.base import Handle
from harness.devices.ios.routes.tool import Said, Tool
from harness.devices.ios.routes.words import error_of, last_words

ROOT_TUNNEL = "run `sudo pymobiledevice3 remote tunneld` in another terminal, and leave it running"
PLAIN: Mapping[str, str] = {"COLUMNS": "1000", "NO_COLOR": "1", "_TYPER_STANDARD_TRACEBACK": "1"}
"""Variables that make it say what is wrong in one line, without frames."""
_LAUNCHED = re.compile(r"launched with pid (\d+)")


class PymobiledeviceRoute:
    """Each call is a process of one to two seconds on this computer."""

    name = "pymobiledevice3"
    by_hand = False
    look_seconds = 10.0

    def __init__(self, tool: Tool, udid: str, version: tuple[int, int], rsd: str | None) -> None:
        """Bind it.

        Args:
            tool: the command line.
            udid: of the phone.
            version: of its iOS, major and minor.
            rsd: host:port of a tunnel that is up.
        """
        self._tool = tool
        self._udid = udid
        self._rsd = rsd
        self._tunnel = ""
        if rsd is not None:
            host, _, port = rsd.rpartition(":")
            self._way = ["--rsd", host.strip("[]"), port]
            self._tunnel = f"start the tunnel at {rsd} (`rsd` in devices.yaml) again"
        elif version >= (17, 4):
            self._way = ["--userspace", "--udid", udid]
            self._tunnel = "plug it in by cable; its tunnel goes through usbmuxd"
        elif version >= (17, 0):
            self._way = ["--tunnel", udid]
            self._tunnel = f"iOS 17.0 to 17.3 needs a tunnel that root keeps up: {ROOT_TUNNEL}, or update the phone"
        else:
            self._way = ["--udid", udid]

    def launch(self, bundle: str, args: Sequence[str], env: Mapping[str, str], seconds: float) -> Handle:
        """See `Route.launch`."""
        self._check_tunnel(seconds)
        variables = [word for name, value in env.items() for word in ("--env", f"{name}={value}")]
        said = self._run("launch", [*variables, shlex.join([bundle, *args])], seconds)
        match = _LAUNCHED.search(said.out)
        if match is None:
            raise self._error("launch", said)
        return Handle(int(match[1]))

    def alive(self, handle: Handle, seconds: float) -> bool | None:
        """See `Route.alive`."""
        if handle.pid is None:
            return None
        said = self._run("is-running-pid", [str(handle.pid)], seconds)
        try:
            return bool(json.loads(said.out))
        except ValueError:
            raise self._error("is-running-pid", said) from None

    def kill(self, handle: Handle, seconds: float) -> None:
        """See `Route.kill`."""
        if handle.pid is not None:
            said = self._tool.run(["developer", "dvt", "kill", *self._way, str(handle.pid)], seconds)
            if said.code != 0 and not re.search(r"NSPOSIXErrorDomain \(code 3\b", said.err):  # ESRCH: it has ended
                raise self._error("kill", said)

    def cancel(self) -> None:
        """See `Route.cancel`."""
        self._tool.cancel()

    def _check_tunnel(self, seconds: float) -> None:
        """Whether the tunnel that devices.yaml names leads to this phone: the tool takes what is there. Once."""
        if self._rsd is None:
            return
        said = self._tool.run(["remote", "rsd-info", *self._way], seconds)
        try:
            found = json.loads(said.out)["Properties"]["UniqueDeviceID"]
        except (ValueError, KeyError, TypeError):
            raise self._error("rsd-info", said) from None
        if found != self._udid:
            what = f"the tunnel at {self._rsd} (`rsd` in devices.yaml) leads to another phone, {found}"
            raise self._tool.subject.error(ToolError, what, call="rsd-info", todo="give the address of its own")
        self._rsd = None

    def _run(self, verb: str, words: Sequence[str], seconds: float) -> Said:
        said = self._tool.run(["developer", "dvt", verb, *self._way, *words], seconds)
        if said.code != 0:
            raise self._error(verb, said)
        return said

    def _error(self, verb: str, said: Said) -> IosError:
        words = last_words(said.err) or last_words(said.out)
        return error_of(self._tool.subject, self.name, verb, words, tunnel=self._tunnel)
