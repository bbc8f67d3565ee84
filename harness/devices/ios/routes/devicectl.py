"""iOS 17 and later on a Mac: Apple's own `xcrun devicectl` of Xcode 15 or newer starts apps. It needs no tunnel.

Written after its help texts and its documented `--json-output FILE` (text on stdout is for people, says Apple), and
tested against a stand-in script called xcrun: nobody has run it against a phone yet.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from harness.devices.ios.errors import IosError
from harness.devices.ios.routes.base import Handle
from harness.devices.ios.routes.tool import Said, Tool
from harness.devices.ios.routes.words import error_of

_SPARE = 2.0  # seconds: it should end by its own time limit before it is killed


class DevicectlRoute:
    """Each call is a process on this computer, which talks to Apple's CoreDevice service."""

    name = "devicectl"
    by_hand = False
    look_seconds = 5.0

    def __init__(self, tool: Tool, udid: str) -> None:
        """Bind it.

        Args:
            tool: `xcrun devicectl`.
            udid: of the phone.
        """
        self._tool = tool
        self._udid = udid

    def launch(self, bundle: str, args: Sequence[str], env: Mapping[str, str], seconds: float) -> Handle:
        """See `Route.launch`."""
        words = ["device", "process", "launch", "--terminate-existing"]
        if env:
            words += ["--environment-variables", json.dumps(dict(env))]
        result = self._run(words, [bundle, *args], seconds)
        pid = result.get("process", {}).get("processIdentifier")
        return Handle(pid if isinstance(pid, int) else None)

    def alive(self, handle: Handle, seconds: float) -> bool | None:
        """See `Route.alive`."""
        if handle.pid is None:
            return None
        running = self._run(["device", "info", "processes"], [], seconds).get("runningProcesses", [])
        return any(process.get("processIdentifier") == handle.pid for process in running)

    def kill(self, handle: Handle, seconds: float) -> None:
        """See `Route.kill`."""
        if handle.pid is not None:
            self._run(["device", "process", "signal", "--pid", str(handle.pid), "--signal", "SIGKILL"], [], seconds)

    def cancel(self) -> None:
        """See `Route.cancel`."""
        self._tool.cancel()

    def _run(self, verb: Sequence[str], words: Sequence[str], seconds: float) -> dict[str, Any]:
        """The `result` of a call."""
        with tempfile.TemporaryDirectory(prefix="harness-devicectl-") as folder:
            answer = Path(folder) / "answer.json"
            limit = str(max(5, int(seconds - _SPARE)))  # devicectl takes no less than 5
            options = ["--device", self._udid, "--timeout", limit, "--quiet", "--json-output", str(answer)]
            said = self._tool.run([*verb, *options, *words], seconds)
            try:
                found = json.loads(answer.read_bytes())
            except (OSError, ValueError):
                found = None
        result = found.get("result") if isinstance(found, dict) else None
        if said.code != 0 or not isinstance(result, dict):
            raise self._error(" ".join(verb), said, found)
        return result

    def _error(self, call: str, said: Said, found: object) -> IosError:
        error = found.get("error") if isinstance(found, dict) else None
        words = "; ".join(_messages(error)) or said.err.strip()[-400:] or said.out.strip()[-400:]
        return error_of(self._tool.subject, self.name, call, words)


def _messages(error: object) -> list[str]:
    """What an NSError says, and the errors below it: domain, code and localised texts."""
    if not isinstance(error, dict):
        return []
    details = error.get("userInfo")
    details = details if isinstance(details, dict) else {}
    texts = [
        value["string"]
        for key in ("NSLocalizedDescription", "NSLocalizedFailureReason")
        if isinstance(value := details.get(key), dict) and isinstance(value.get("string"), str)
    ]
    head = f"{error.get('domain', 'error')} {error.get('code', '')}".strip()
    below = details.get("NSUnderlyingError")
    return [": ".join([head, *texts]), *_messages(below.get("error", below) if isinstance(below, dict) else None)]
