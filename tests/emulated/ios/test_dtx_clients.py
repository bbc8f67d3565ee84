"""Instruments of emulated iPhones as other projects' clients see them: tidevice, pymobiledevice3, go-ios."""

from __future__ import annotations

import json
import queue
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from emulated.ios.lab import IosLab
from emulated.ios.phone import Phone
from tests.emulated.conftest import until
from tests.emulated.ios.dtx_client import LAUNCH, OUTPUT, PROBE, add_probe
from tests.emulated.ios.launchers import Launcher
from tests.ios_tools import needs_tidevice

PHONES = ["iphone-8", "iphone-11", "iphone-13"]  # the three ways to instruments: 13.7, 14.8, 16.4


@contextmanager
def tidevice(lab: IosLab, phone: Phone) -> Iterator[Any]:
    """tidevice's instruments; its thread is gone at the end."""
    needs_tidevice()
    from tidevice import Device, Usbmux

    instruments = Device(phone.udid, Usbmux(lab.address)).connect_instruments()
    try:
        yield instruments
    finally:
        instruments.close()
        for thread in threading.enumerate():
            if thread.name == "DTXMessage":
                thread.join(30)


@pytest.mark.usefixtures("tide_home")
@pytest.mark.parametrize("name", PHONES)
@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
def test_tidevice_starts_follows_and_ends_an_app(lab: IosLab, name: str, tls: bool) -> None:
    needs_tidevice()
    from tidevice._instruments import Event

    phone = lab.add(name, tls=tls)
    add_probe(phone)
    with tidevice(lab, phone) as instruments:
        told: queue.Queue[str] = queue.Queue()

        def heard(message: Any) -> None:
            if message is not None and message.result[0] == OUTPUT:
                told.put(message.result[1][0])

        instruments.register_callback(Event.NOTIFICATION, heard)
        pid = instruments.app_launch(PROBE, app_env={"A": "ü"}, args=["--once", "two words"])
        assert [told.get(timeout=30) for _ in range(2)] == ["args: --once two words\n", "A=ü\n"]
        info = instruments.make_channel("com.apple.instruments.server.services.deviceinfo")
        assert instruments.call_message(info, "isRunningPid:", [pid]) is True
        listed = {process["pid"]: process["name"] for process in instruments.app_running_processes()}
        assert listed[pid] == "Probe"
        assert instruments.system_info()["_productVersion"] == phone.description.os_version
        assert PROBE in [app["CFBundleIdentifier"] for app in instruments.app_list()]
        instruments.app_kill(pid)
        assert phone.wait_app(pid) == -signal.SIGKILL
        assert instruments.call_message(info, "isRunningPid:", [pid]) is False


@pytest.mark.usefixtures("tide_home")
def test_tidevice_says_why_an_app_does_not_start(lab: IosLab) -> None:
    needs_tidevice()
    from tidevice.exceptions import ServiceError

    phone = lab.add("iphone-13")
    add_probe(phone)
    with tidevice(lab, phone) as instruments:
        with pytest.raises(ServiceError, match=r'(?s)app launch failed.*returned nil for "com.example.absent"'):
            instruments.app_launch("com.example.absent")
        phone.lock()
        with pytest.raises(
            ServiceError, match=r"(?s)CODE:7 DOMAIN:FBSOpenApplicationErrorDomain.*could not be.*unlocked"
        ):
            instruments.app_launch(PROBE)


@pytest.mark.usefixtures("tide_home")
@pytest.mark.parametrize("fault", ["dtx_cut", "dtx_unknown_class", "unplug"])
def test_tidevice_loses_the_connection(lab: IosLab, fault: str) -> None:
    """A class that it does not know ends its reading thread: what the phone said is lost."""
    phone = lab.add("iphone-13")
    add_probe(phone)

    def pull() -> None:
        until(lambda: phone.processes.running(PROBE), 30)
        phone.unplug()

    puller = threading.Thread(target=pull, name="puller")
    with tidevice(lab, phone) as instruments:
        if fault == "unplug":
            phone.faults.dtx_unanswered = LAUNCH
            puller.start()
        else:
            setattr(phone.faults, fault, LAUNCH)
        # Its reading thread tells of the end only those calls that wait already; one that comes later waits 30 s for
        # nothing. Here all wait from the beginning.
        for number in range(50):
            assert instruments._reply_queues[number].empty()
        with pytest.raises(ConnectionError, match="connection closed"):
            instruments.app_launch(PROBE)
    if fault == "unplug":
        puller.join(30)


def test_pymobiledevice3_starts_and_ends_an_app(lab: IosLab, tmp_path: Path) -> None:
    """On iOS 13.7; tests/devices/ios/test_routes.py has it do the same on 16.4 and 26.1."""
    phone = lab.add("iphone-8", tls=True)
    add_probe(phone)
    launcher = Launcher.pymobiledevice3(lab, tmp_path)
    # Longer than a fragment of this client: it sends several.
    long = "x" * 90_000
    said = launcher("launch", "--udid", phone.udid, "--env", f"A={long}", "--env", f"B={long}", f"{PROBE} --once 'a b'")
    pid = phone.processes.running(PROBE)
    assert (said.returncode, said.stdout) == (0, f"Process launched with pid {pid}\n"), said.stderr
    assert pid is not None
    assert phone.processes.history[0].arguments == ("--once", "a b")
    killed = launcher("kill", "--udid", phone.udid, str(pid))
    assert (killed.returncode, killed.stdout) == (0, ""), killed.stderr
    assert phone.wait_app(pid) == -signal.SIGKILL


@pytest.mark.parametrize("name", PHONES)
def test_go_ios_starts_and_ends_an_app(lab: IosLab, tmp_path: Path, name: str) -> None:
    phone = lab.add(name, tls=True)
    add_probe(phone)
    launcher = Launcher.go_ios(lab, tmp_path)
    said = launcher("launch", PROBE, f"--udid={phone.udid}", "--kill-existing", "--arg=--once", "--arg=x", "--env=A=b")
    pid = phone.processes.running(PROBE)
    last = json.loads(said.stderr.splitlines()[-1])
    assert (said.returncode, last["msg"], last["pid"]) == (0, "Process launched", pid)
    assert pid is not None
    (listed,) = json.loads(launcher("ps", "--apps", f"--udid={phone.udid}").stdout)
    assert (listed["Pid"], listed["Name"]) == (pid, "Probe")
    assert launcher("kill", f"--pid={pid}", f"--udid={phone.udid}").returncode == 0
    assert phone.wait_app(pid) == -signal.SIGKILL
