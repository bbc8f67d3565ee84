"""Any iOS version: `ios` of go-ios, a program of its own (MIT), starts apps.

For iOS 17 and later it asks an agent for the way to the phone: `ios tunnel start --userspace`, which the user keeps
running; the harness never starts one. It prints one JSON object per line, log lines included.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from harness.devices.ios.errors import IosError
from harness.devices.ios.routes.base import Handle
from harness.devices.ios.routes.tool import Said, Tool
from harness.devices.ios.routes.words import error_of
from harness.errors import UsageError

TUNNEL = "run `ios tunnel start --userspace` in another terminal, and leave it running"
ROOT_TUNNEL = "run `sudo ios tunnel start` in another terminal, and leave it running"


class GoIosRoute:
    """Each call is a process of a tenth of a second on this computer."""

    name = "go-ios"
    by_hand = False
    look_seconds = 5.0

    def __init__(self, tool: Tool, udid: str, version: tuple[int, int], rsd: str | None) -> None:
        """Bind it.

        Args:
            tool: the command line.
            udid: of the phone.
            version: of its iOS, major and minor.
            rsd: host:port of a tunnel that is up.
        """
        self._tool = tool
        self._way = [f"--udid={udid}"]
        self._tunnel = ""
        if version >= (17, 0):
            old = f"iOS 17.0 to 17.3 needs a tunnel that root keeps up: {ROOT_TUNNEL}, or update the phone"
            self._tunnel = TUNNEL if version >= (17, 4) else old
        if rsd is not None:
            host, _, port = rsd.rpartition(":")
            # It takes addresses of IPv6 only; what listens on this computer mostly does so on both.
            address = "::1" if host in ("127.0.0.1", "localhost") else host.strip("[]")
            self._way += [f"--address={address}", f"--rsd-port={port}"]
            self._tunnel = f"start the tunnel at {rsd} (`rsd` in devices.yaml) again"

    def launch(self, bundle: str, args: Sequence[str], env: Mapping[str, str], seconds: float) -> Handle:
        """See `Route.launch`. Raises UsageError for a variable that it would cut: it splits at every "="."""
        if cut := [name for name, value in env.items() if "=" in value]:
            where = f"{self._tool.subject.device}: variable {cut[0]}"
            raise UsageError(f"{where}: go-ios cannot pass a value with '=' in it; use another launcher")
        words = [bundle, "--kill-existing", *(f"--arg={word}" for word in args)]
        words += [f"--env={name}={value}" for name, value in env.items()]
        said = self._run(["launch", *words], seconds)
        pid = next((entry["pid"] for entry in _entries(said) if isinstance(entry.get("pid"), int)), None)
        if pid is None:
            raise self._error("launch", said)
        return Handle(pid)

    def alive(self, handle: Handle, seconds: float) -> bool | None:
        """See `Route.alive`."""
        if handle.pid is None:
            return None
        said = self._run(["ps", "--apps"], seconds)
        lines = [line for line in said.out.splitlines() if line.strip()]
        if not lines:
            raise self._error("ps", said)
        running = _json(lines[-1])  # null when none runs
        return any(isinstance(entry, dict) and entry.get("Pid") == handle.pid for entry in running or ())

    def kill(self, handle: Handle, seconds: float) -> None:
        """See `Route.kill`."""
        if handle.pid is not None:
            said = self._tool.run(["kill", f"--pid={handle.pid}", *self._way], seconds)
            if said.code != 0 and "process not found" not in said.err:
                raise self._error("kill", said)

    def cancel(self) -> None:
        """See `Route.cancel`."""
        self._tool.cancel()

    def _run(self, words: Sequence[str], seconds: float) -> Said:
        said = self._tool.run([*words, *self._way], seconds)
        if said.code != 0:
            raise self._error(words[0], said)
        return said

    def _error(self, verb: str, said: Said) -> IosError:
        found = [
            ": ".join(str(entry[key]) for key in ("msg", "err", "error") if entry.get(key))
            for entry in _entries(said)
            if str(entry.get("level", "")).upper() in ("ERROR", "FATAL")  # it warns with every call
        ]
        words = "; ".join(found) or said.err.strip()[-400:] or said.out.strip()[-400:]
        return error_of(self._tool.subject, self.name, verb, words, tunnel=self._tunnel)


def _entries(said: Said) -> Iterator[dict[str, Any]]:
    """JSON objects that it printed, log lines last."""
    for line in [*said.out.splitlines(), *said.err.splitlines()]:
        value = _json(line)
        if isinstance(value, dict):
            yield value


def _json(line: str) -> Any:  # noqa: ANN401 - JSON
    try:
        return json.loads(line)
    except ValueError:
        return None
