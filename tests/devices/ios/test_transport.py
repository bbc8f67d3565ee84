"""The way to an iPhone: what it says, what it refuses, and what becomes of calls that hang."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from emulated.ios.apps import OWN_BUNDLE
from emulated.ios.lab import IosLab
from emulated.ios.phone import Phone
from harness.devices.base import DeviceError
from harness.devices.ios import tide_version
from harness.devices.ios.errors import (
    AppMissingError,
    CancelledError,
    DeveloperModeOffError,
    GoneError,
    IosError,
    IosTimeoutError,
    LockedError,
    NoDeveloperImageError,
    NoFileSharingError,
    NotPairedError,
    ToolError,
    UnsupportedVersionError,
    UsbmuxdDownError,
)
from harness.devices.ios.transport import AppInfo, Transport
from harness.errors import UsageError
from harness.plan.cell import ErrorClass
from tests.conftest import ROOT
from tests.devices.ios.conftest import CLOCK, SCRIPT, SECONDS, Connect, spec_of, with_script
from tests.emulated.conftest import until

PHONES = ("iphone-8", "iphone-11", "iphone-13", "iphone-14", "iphone-17")
OLD = ("iphone-8", "iphone-11", "iphone-13")


def child_of(transport: Transport) -> int:
    """The process that runs tidevice."""
    pid = transport._child.pid
    assert pid is not None
    return pid


def runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.parametrize(("name", "tls"), [*((name, True) for name in PHONES), ("iphone-13", False)])
def test_what_a_phone_says_and_takes(lab: IosLab, connect: Connect, name: str, tls: bool) -> None:
    phone = lab.add(name, tls=tls)
    transport = connect(phone)
    facts = transport.preflight(SECONDS)
    about = phone.description
    assert (facts.udid, facts.product_type, facts.version, facts.build) == (
        phone.udid,
        about.product_type,
        about.os_version,
        about.build,
    )
    assert (facts.major, facts.emulated, facts.connection) == (phone.major, True, "usb")
    assert facts.developer_mode is (True if phone.major >= 16 else None)
    assert facts.disk["TotalDataAvailable"] > 0
    assert transport.domain("com.apple.disk_usage", SECONDS).items() >= facts.disk.items()
    assert transport.domain(None, SECONDS)["ProductType"] == about.product_type
    assert transport.domain("com.example.absent", SECONDS) == {}
    battery = transport.battery(SECONDS)
    assert battery == {**facts.battery, "temperature": pytest.approx(phone.battery.temperature, abs=0.1)}
    assert battery["level"] == phone.battery.level
    app = transport.app(OWN_BUNDLE, SECONDS)
    assert app is not None
    assert (app.bundle, app.version, app.file_sharing) == (OWN_BUNDLE, "1.0", True)
    assert transport.app("com.example.absent", SECONDS) is None
    assert transport.developer_image(SECONDS) is True
    files = transport.files(OWN_BUNDLE)
    files.write("job.json", b"{}", SECONDS)
    assert files.read("job.json", 100, SECONDS) == b"{}"
    assert transport.crash_reports(SECONDS) == []


@pytest.mark.parametrize("name", OLD)
@pytest.mark.parametrize("tls", [True, False])
def test_an_app_is_started_watched_and_ended(lab: IosLab, connect: Connect, name: str, tls: bool) -> None:
    phone = with_script(lab.add(name, tls=tls))
    transport = connect(phone)
    pid = transport.launch(SCRIPT, ["--once", "1"], {"A": "b"}, SECONDS)
    assert transport.alive(pid, SECONDS) is True
    transport.kill(pid, SECONDS)
    until(lambda: not transport.alive(pid, SECONDS))
    transport.kill(pid, SECONDS)  # no error: it has ended
    with pytest.raises(AppMissingError, match="not installed"):
        transport.launch("com.example.absent", [], {}, SECONDS)


@pytest.mark.parametrize("name", ["iphone-14", "iphone-17"])
def test_newer_phones_need_another_launcher(lab: IosLab, connect: Connect, name: str) -> None:
    with pytest.raises(UnsupportedVersionError, match=r"docs/ios\.md") as caught:
        connect(lab.add(name)).launch(OWN_BUNDLE, [], {}, SECONDS)
    assert caught.value.error_class is ErrorClass.CONFIG


def test_connections_are_kept(phone: Phone, connect: Connect) -> None:
    transport = connect(phone)
    files = transport.files(OWN_BUNDLE)
    for number in range(3):
        files.write(f"file{number}", b"x", SECONDS)
        transport.battery(SECONDS)
        transport.launch(SCRIPT, [], {}, SECONDS)
    assert sorted(phone.opened) == sorted(set(phone.opened)), "each service was started once"


def test_one_phone_by_cable_and_by_air_is_reached_by_cable(lab: IosLab, connect: Connect) -> None:
    assert connect(lab.add("iphone-13", network=True)).preflight(SECONDS).connection == "usb"


def test_the_socket_of_a_usbmuxd(lab: IosLab, phone: Phone, connect: Connect) -> None:
    """Every computer's own usbmuxd has a path, and no port."""
    transport = connect(phone, usbmuxd=str(lab.socket))
    assert transport.preflight(SECONDS).emulated
    transport.files(OWN_BUNDLE).write("a", b"1", SECONDS)
    assert transport.files(OWN_BUNDLE).read("a", 1, SECONDS) == b"1"


def test_a_phone_that_is_not_there(lab: IosLab, phone: Phone, connect: Connect) -> None:
    other = lab.add("iphone-11")
    transport = connect(phone)
    phone.unplug()
    with pytest.raises(GoneError, match="not plugged in: usbmuxd has 1 other") as caught:
        transport.preflight(SECONDS)
    assert (caught.value.device, caught.value.udid) == (phone.description.name, phone.udid)
    assert caught.value.error_class is ErrorClass.DEVICE
    other.unplug()
    with pytest.raises(GoneError, match="usbmuxd has no phone; check its cable"):
        transport.preflight(SECONDS)
    with pytest.raises(GoneError):
        transport.values(SECONDS)


def test_a_phone_that_comes_back(phone: Phone, connect: Connect) -> None:
    transport = connect(phone)
    files = transport.files(OWN_BUNDLE)
    files.write("a", b"1", SECONDS)
    pid = transport.launch(SCRIPT, [], {}, SECONDS)
    phone.unplug()
    with pytest.raises(GoneError):
        files.read("a", 10, SECONDS)
    with pytest.raises(GoneError):
        transport.alive(pid, SECONDS)
    phone.plug()
    assert files.read("a", 10, SECONDS) == b"1"
    assert transport.alive(pid, SECONDS) is True
    assert transport.battery(SECONDS)["level"] == phone.battery.level
    phone.unplug()
    phone.plug()  # nobody noticed; its number at usbmuxd is another one now
    assert files.read("a", 10, SECONDS) == b"1"
    phone.reboot()
    assert transport.preflight(SECONDS).emulated
    with pytest.raises(NoDeveloperImageError):
        transport.alive(pid, SECONDS)


def test_no_usbmuxd(lab: IosLab, phone: Phone, connect: Connect) -> None:
    transport = connect(phone)
    files = transport.files(OWN_BUNDLE)
    files.write("a", b"1", SECONDS)
    lab.stop_usbmuxd()
    with pytest.raises(
        UsbmuxdDownError, match=f"no usbmuxd answers at {lab.address}.*USBMUXD_SOCKET_ADDRESS"
    ) as caught:
        transport.preflight(SECONDS)
    assert caught.value.error_class is ErrorClass.HOST
    with pytest.raises(UsbmuxdDownError):
        files.read("a", 10, SECONDS)
    lab.start_usbmuxd()
    assert files.read("a", 10, SECONDS) == b"1"


@pytest.mark.parametrize("tls", [True, False])
def test_a_phone_that_was_never_trusted_is_not_asked_to_pair(lab: IosLab, connect: Connect, tls: bool) -> None:
    phone = lab.add("iphone-13", tls=tls)
    phone.paired = False
    transport = connect(phone)
    for call in (transport.preflight, transport.battery):
        with pytest.raises(NotPairedError, match="tap Trust") as caught:
            call(SECONDS)
        assert caught.value.error_class is ErrorClass.CONFIG


@pytest.mark.parametrize("tls", [True, False])
def test_a_revoked_pairing_stays_as_it_is(lab: IosLab, connect: Connect, tls: bool) -> None:
    """tidevice by itself would delete the host's pair record here; the fixture `lab` sees that nobody does."""
    phone = lab.add("iphone-13", tls=tls)
    phone.revoke_pairing()
    transport = connect(phone)
    with pytest.raises(NotPairedError, match="it has forgotten this computer"):
        transport.preflight(SECONDS)
    with pytest.raises(NotPairedError):
        transport.files(OWN_BUNDLE).read("a", 1, SECONDS)


def test_the_private_key_is_nobody_elses_and_goes(lab: IosLab, homes: Path, connect: Connect) -> None:
    transport = connect(lab.add("iphone-13", tls=True))
    transport.preflight(SECONDS)
    keys = list(homes.rglob("*.pem"))
    assert keys, "tidevice writes this computer's key to its home"
    (home,) = homes.iterdir()
    assert stat.S_IMODE(home.stat().st_mode) == 0o700
    assert [stat.S_IMODE(key.stat().st_mode) for key in keys] == [0o600] * len(keys)
    transport.close()
    assert list(homes.iterdir()) == []


def test_a_locked_phone(phone: Phone, connect: Connect) -> None:
    transport = connect(phone)
    phone.lock()
    with pytest.raises(LockedError, match="unlock it") as caught:
        transport.files(OWN_BUNDLE).read("a", 1, SECONDS)
    assert caught.value.error_class is ErrorClass.DEVICE
    with pytest.raises(LockedError):
        transport.app(OWN_BUNDLE, SECONDS)
    with pytest.raises(LockedError):
        transport.launch(SCRIPT, [], {}, SECONDS)
    phone.unlock()
    pid = transport.launch(SCRIPT, [], {}, SECONDS)
    phone.lock()
    with pytest.raises(LockedError):
        transport.launch(SCRIPT, [], {}, SECONDS)
    phone.unlock()
    assert pid != transport.launch(SCRIPT, [], {}, SECONDS)


def test_developer_mode_and_image_are_needed_and_not_mended(lab: IosLab, connect: Connect) -> None:
    phone = with_script(lab.add("iphone-13"))
    transport = connect(phone)
    phone.developer_mode = phone.image_mounted = False
    with pytest.raises(DeveloperModeOffError, match="Privacy & Security") as caught:
        transport.launch(SCRIPT, [], {}, SECONDS)
    assert caught.value.error_class is ErrorClass.CONFIG
    phone.developer_mode = True
    with pytest.raises(NoDeveloperImageError, match="ideviceimagemounter"):
        transport.launch(SCRIPT, [], {}, SECONDS)
    assert transport.developer_image(SECONDS) is False
    assert not phone.image_mounted
    assert transport.preflight(SECONDS).developer_mode is True
    old = with_script(lab.add("iphone-11"))
    old.image_mounted = False
    with pytest.raises(NoDeveloperImageError):
        connect(old).launch(SCRIPT, [], {}, SECONDS)


def test_apps_whose_files_cannot_be_reached(phone: Phone, connect: Connect) -> None:
    transport = connect(phone)
    with pytest.raises(AppMissingError, match=r"com\.example\.absent.*docs/ios-app\.md"):
        transport.files("com.example.absent").read("a", 1, SECONDS)
    phone.apps[SCRIPT].file_sharing = False
    with pytest.raises(NoFileSharingError, match="UIFileSharingEnabled"):
        transport.files(SCRIPT).read("a", 1, SECONDS)
    app = transport.app(SCRIPT, SECONDS)
    assert app is not None
    assert app.file_sharing is False


@pytest.mark.parametrize("service", ["lockdown", "com.apple.mobile.house_arrest"])
def test_a_service_that_never_answers(phone: Phone, connect: Connect, service: str) -> None:
    transport = connect(phone)
    phone.faults.silent = {service}
    with pytest.raises(IosTimeoutError, match="did not answer in time"):
        transport.files(OWN_BUNDLE).read("a", 1, 0.5)
    phone.faults.silent = set()
    assert transport.files(OWN_BUNDLE).read("a", 1, SECONDS) is None


def test_a_call_that_hangs_is_ended_with_its_process(phone: Phone, homes: Path, connect: Connect) -> None:
    """tidevice waits half a minute for such an answer, whatever it is told."""
    transport = connect(phone)
    pid = transport.launch(SCRIPT, [], {}, SECONDS)
    child = child_of(transport)
    phone.faults.dtx_unanswered = "isRunningPid:"
    with pytest.raises(IosTimeoutError):
        transport.alive(pid, 0.5)
    assert not runs(child)
    assert list(homes.iterdir()) == []
    phone.faults.dtx_unanswered = None
    assert transport.alive(pid, SECONDS) is True
    assert child_of(transport) != child


@pytest.mark.parametrize("fault", ["dtx_cut", "dtx_unknown_class"])
def test_an_answer_of_instruments_that_is_lost(phone: Phone, connect: Connect, fault: str) -> None:
    transport = connect(phone)
    pid = transport.launch(SCRIPT, [], {}, SECONDS)
    setattr(phone.faults, fault, "isRunningPid:")
    with pytest.raises(IosError):
        transport.alive(pid, 5)
    setattr(phone.faults, fault, None)
    assert transport.alive(pid, SECONDS) is True


class Asking(threading.Thread):
    """Somebody else who uses a way to a phone; the answer, or the error."""

    def __init__(self, ask: Callable[[], object]) -> None:
        super().__init__(daemon=True)
        self._ask = ask
        self.answer: object = None
        self.start()

    def run(self) -> None:
        try:
            self.answer = self._ask()
        except DeviceError as error:
            self.answer = error

    def end(self) -> object:
        self.join(60)
        assert not self.is_alive()
        return self.answer


def test_a_process_that_dies_is_replaced(phone: Phone, connect: Connect) -> None:
    transport = connect(phone)
    transport.preflight(SECONDS)
    os.kill(child_of(transport), 9)
    until(lambda: transport._child._process is None or transport._child._process.poll() is not None)
    assert transport.preflight(SECONDS).emulated
    phone.faults.dtx_unanswered = "isRunningPid:"
    pid = transport.launch(SCRIPT, [], {}, SECONDS)
    asked = transport._child._number
    asking = Asking(lambda: transport.alive(pid, SECONDS))
    until(lambda: transport._child._number > asked)
    os.kill(child_of(transport), 9)
    error = asking.end()
    assert isinstance(error, ToolError)
    assert "the process that runs tidevice ended (exit code -9)" in str(error)
    assert error.error_class is ErrorClass.HOST


def test_cancelling_ends_what_runs_and_what_comes(phone: Phone, connect: Connect) -> None:
    transport = connect(phone)
    pid = transport.launch(SCRIPT, [], {}, SECONDS)
    child = child_of(transport)
    phone.faults.dtx_unanswered = "isRunningPid:"
    asking = Asking(lambda: transport.alive(pid, 300))
    until(transport._turn._now.locked)
    transport.cancel()
    assert isinstance(asking.end(), CancelledError)
    with pytest.raises(CancelledError):
        transport.battery(SECONDS)
    until(lambda: not runs(child))


def test_callers_take_turns(phone: Phone, connect: Connect) -> None:
    """So does the phone's state, which is asked from another thread while a job goes on."""
    transport = connect(phone)
    with transport._turn.taken():
        with pytest.raises(IosTimeoutError, match="is busy"):
            transport.battery(0.05)
        state = Asking(lambda: transport.battery(SECONDS)["level"])
        until(transport._turn._next.locked)
        job = Asking(lambda: transport.app(OWN_BUNDLE, SECONDS))
        assert state.is_alive()
    assert state.end() == phone.battery.level
    assert isinstance(job.end(), AppInfo)


def test_nothing_outlives_a_harness_that_is_killed(lab: IosLab, homes: Path, phone: Phone, connect: Connect) -> None:
    connect(phone)
    code = (
        "import sys\n"
        "from harness.clock import SystemClock\n"
        "from harness.devices.ios.transport import Transport\n"
        "from harness.lab.spec import IosSpec\n"
        "transport = Transport(IosSpec.model_validate_json(sys.argv[1]), SystemClock())\n"
        "transport.preflight(20)\n"
        "print(transport._child.pid, flush=True)\n"
        "sys.stdin.read()\n"
    )
    spec = spec_of(phone, lab).model_dump_json(include={"kind", "name", "udid", "usbmuxd"})
    environ = {**os.environ, "TMPDIR": str(homes), "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", code, spec]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environ) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        assert runs(child)
        assert list(homes.iterdir())
        parent.kill()
    until(lambda: not list(homes.iterdir()), 60)
    until(lambda: not runs(child), 60)


def test_a_tidevice_that_does_not_work_says_so(
    phone: Phone, connect: Connect, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "broken" / "tidevice"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("print('hello')\nraise ImportError('it is broken')\n")
    monkeypatch.setenv("PYTHONPATH", str(package.parent))
    with pytest.raises(ToolError, match=r"ended \(exit code 1\): ImportError: it is broken"):
        connect(phone).battery(SECONDS)


def test_what_is_missing_is_said_before_anything_starts(
    lab: IosLab, phone: Phone, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UsageError, match=r"devices\.yaml:3: `usbmuxd` is 'nonsense': expected a socket's path"):
        Transport(spec_of(phone, lab, usbmuxd="nonsense"), CLOCK)
    monkeypatch.setattr(tide_version, "installed", lambda: None)
    with pytest.raises(UsageError, match=r"devices\.yaml:3: .*tidevice.*pip install 'delegate-harness\[ios\]'"):
        Transport(spec_of(phone, lab), CLOCK)
    monkeypatch.setattr(tide_version, "installed", lambda: "0.13.0")
    with pytest.raises(UsageError, match=r"is version 0\.13\.0, and only 0\.12\.11"):
        Transport(spec_of(phone, lab), CLOCK)
