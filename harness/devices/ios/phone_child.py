"""The process in which tidevice runs: `python -m harness.devices.ios.phone_child HOME UDID USBMUXD`.

One line of JSON comes in for each call, `{"id", "call", "seconds", "arguments"}`, and one goes out for it,
`{"id", "value"}` or `{"id", "error", "said", "log"}`; one with the id 0 comes first, and says that it is ready. File
contents go through files that both processes can read.

tidevice keeps a copy of the private key of this computer in its home folder: HOME is a folder that nobody else may
enter, and is gone when this process ends.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
import sys
import traceback
import warnings
from collections import deque
from pathlib import Path
from typing import IO, Any

_LINES = 8


class _Log(logging.Handler):
    """The last lines of tidevice's log."""

    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self.lines: deque[str] = deque(maxlen=_LINES)

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a line."""
        self.lines.append(record.getMessage()[:300])


def main(arguments: list[str]) -> int:
    """Answer calls until there are no more."""
    home, udid, address = arguments
    os.umask(0o077)
    Path(home).chmod(0o700)
    os.environ["HOME"] = home
    replies = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # whatever prints must not get between the replies
    try:
        return _serve(udid, address, replies)
    finally:
        shutil.rmtree(home, ignore_errors=True)


def _serve(udid: str, address: str, replies: IO[str]) -> int:
    log = _Log()
    logging.basicConfig(handlers=[log], level=logging.INFO)
    warnings.simplefilter("ignore")  # tidevice uses what newer versions of Python warn of
    from harness.devices.ios.tide_calls import Calls
    from harness.devices.ios.tide_errors import classify

    logging.getLogger("tidevice").handlers = [log]
    calls = Calls(udid, address)
    _send(replies, {"id": 0, "value": "ready"})
    for line in sys.stdin:
        request = json.loads(line)
        log.lines.clear()
        answer: dict[str, Any] = {"id": request["id"]}
        try:
            answer["value"] = calls.do(request["call"], request["seconds"], request["arguments"])
        except Exception as error:
            answer["error"], answer["said"] = classify(error)
            answer["log"] = list(log.lines)
            if answer["error"] == "protocol":
                traceback.print_exc()
        _send(replies, answer)
    return 0


def _send(replies: IO[str], answer: dict[str, Any]) -> None:
    replies.write(json.dumps(answer) + "\n")
    replies.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
