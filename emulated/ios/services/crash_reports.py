"""Crash reports: one for each app that died of a signal which nobody sent to end it."""

from __future__ import annotations

import json
import signal
from datetime import datetime, timezone

from emulated.ios.connection import Connection
from emulated.ios.phone import Phone
from emulated.ios.processes import Process

_ENDED = (signal.SIGKILL, signal.SIGTERM)
"""How people and tools end an app; that is no crash."""


async def serve_mover(phone: Phone, connection: Connection) -> None:
    """com.apple.crashreportmover: put what is new where clients can fetch it, then say "ping"."""
    move(phone)
    await connection.write(b"ping\0")


def move(phone: Phone) -> None:
    """Write the reports that are not written yet."""
    folder = phone.folder / "CrashReports"
    folder.mkdir(parents=True, exist_ok=True)
    for process in list(phone.processes.history):
        key = (process.pid, process.started)
        if process.status is None or process.status >= 0 or -process.status in _ENDED or key in phone.services.reported:
            continue
        phone.services.reported.add(key)
        at = datetime.fromtimestamp(process.started, timezone.utc)
        name = f"{process.app.executable}-{at:%Y-%m-%d-%H%M%S}"
        if (folder / f"{name}.ips").exists():
            name = f"{name}.{process.pid}"
        (folder / f"{name}.ips").write_text(report(phone, process, at), encoding="utf-8")


def report(phone: Phone, process: Process, at: datetime) -> str:
    """A report as iOS 15 and later write it, one line about it and the rest; short, for nothing was analysed."""
    assert process.status is not None
    number = signal.Signals(-process.status)
    app = process.app
    told = {"app_name": app.executable, "bundleID": app.bundle, "app_version": app.version, "build_version": app.build}
    head = {
        **told,
        "name": app.executable,
        "bug_type": "309",
        "os_version": f"iPhone OS {phone.description.os_version} ({phone.description.build})",
        "timestamp": f"{at:%Y-%m-%d %H:%M:%S.00 +0000}",
    }
    body = {
        "pid": process.pid,
        "procName": app.executable,
        "modelCode": phone.description.product_type,
        "procLaunch": f"{at:%Y-%m-%d %H:%M:%S.%f +0000}",
        "exception": {"signal": number.name},
        "termination": {"namespace": "SIGNAL", "code": int(number), "indicator": signal.strsignal(number)},
        "note": "written by an emulated iPhone",
    }
    return json.dumps(head) + "\n" + json.dumps(body, indent=2) + "\n"
