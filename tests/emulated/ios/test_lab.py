"""A lab of emulated iPhones: apps that run, phones that go and come back, faults, and nothing left."""

from __future__ import annotations

import gc
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from emulated.ios.__main__ import main
from emulated.ios.apps import OWN_BUNDLE, UPSTREAM_BUNDLE, AppError, Program
from emulated.ios.description import load, named, names
from emulated.ios.lab import IosLab
from emulated.ios.phone import Phone
from harness.devices.local import machine_name
from harness.errors import UsageError
from harness.lab.inventory import load_inventory
from harness.lab.spec import IosSpec
from tests.conftest import ROOT
from tests.emulated.bench import alive, mentioning
from tests.emulated.conftest import until
from tests.emulated.ios.conftest import Tool
from tests.emulated.ios.wire import LOCKDOWN, WRITE, Afc, Wire, packed, service

AFC = "com.apple.afc"
APP = "com.example.shell"


def with_app(lab: IosLab, script: str, phone: str = "iphone-13") -> Phone:
    """A phone with an app that is a shell script; its launch arguments are $1, ..."""
    made = lab.add(phone)
    made.add_app(APP, Program(("/bin/sh", "-c", script, "app")))
    return made


def launch(lab: IosLab, phone: Phone, *arguments: str, kill_existing: bool = False, **env: str) -> int:
    return lab.run(phone.start_app(APP, arguments, env, kill_existing=kill_existing))


def state(pid: int) -> str:
    """What the computer says of a process: R, S, T, ..."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


# Apps.


def test_an_app_is_a_process_that_lives_in_its_container(tmp_path: Path) -> None:
    environ = {"PATH": os.environ["PATH"], "SECRET": "x", "VK_ICD_FILENAMES": "/driver.json"}
    with IosLab(tmp_path / "lab", environ=environ) as lab:
        phone = with_app(lab, 'pwd; echo "$HOME|$*|$COLOUR|$SECRET|$VK_ICD_FILENAMES"; printf last >&2; exit 7')
        pid = launch(lab, phone, "--graph=a b", "c", COLOUR="red", HOME="/elsewhere")
        assert phone.wait_app(pid) == 7
        home = phone.apps[APP].container
        process = phone.processes.history[-1]
    assert process.lines == [str(home), f"{home}|--graph=a b c|red||/driver.json", "last"]
    assert (process.pid, process.status, process.killed, list(process.arguments)) == (
        pid,
        7,
        False,
        ["--graph=a b", "c"],
    )
    assert process.finished is not None
    assert process.finished >= process.started > 1.7e9
    assert [folder.is_dir() for folder in (home / "Documents", home / "tmp")] == [True, True]


def test_one_process_for_each_app(lab: IosLab) -> None:
    phone = with_app(lab, "exec sleep 1000")
    first = phone.open_app(APP)
    assert phone.processes.alive(first)
    assert phone.open_app(APP) == first, "it comes to the front"
    second = launch(lab, phone, kill_existing=True)
    assert second != first
    assert not alive(first)
    assert (phone.processes.running(APP), phone.processes.running(OWN_BUNDLE)) == (second, None)
    assert [(process.status, process.killed) for process in phone.processes.ended] == [(-9, True)]


def test_what_an_app_started_ends_with_it(lab: IosLab) -> None:
    phone = with_app(lab, 'sleep 1000 & echo "$!"')
    assert phone.wait_app(phone.open_app(APP)) == 0
    child = int(phone.processes.history[-1].lines[0])
    until(lambda: not alive(child))


def test_an_app_can_crash_or_be_killed(lab: IosLab) -> None:
    phone = with_app(lab, "exec sleep 1000")
    phone.open_app(APP)
    phone.kill_app(APP)
    pid = phone.open_app(APP)
    phone.kill_app(APP, signal.SIGSEGV)
    assert phone.wait_app(pid) == -signal.SIGSEGV
    phone.kill_app(APP)  # it does not run: nothing happens
    phone.faults.crash_at_start.add(APP)
    assert phone.wait_app(phone.open_app(APP)) == -signal.SIGABRT
    assert [process.status for process in phone.processes.ended] == [-9, -11, -6]
    assert [process.killed for process in phone.processes.ended] == [False, False, False], "nobody asked for it"


def test_what_cannot_be_started_is_said(lab: IosLab) -> None:
    phone = with_app(lab, "exec sleep 1000")
    phone.add_app("com.example.gone", Program(("no-such-program",)))
    phone.add_app("com.example.empty", Program(()))

    def trouble(bundle: str) -> str:
        with pytest.raises(AppError) as caught:
            phone.open_app(bundle)
        assert caught.value.bundle == bundle
        return caught.value.trouble

    assert trouble("com.example.gone") == trouble("com.example.empty") == "failed"
    assert trouble("com.example.nobody") == "missing"
    phone.lock()
    assert trouble(APP) == "locked"
    assert phone.processes.history == []


def test_an_app_is_suspended_while_the_phone_is_locked(lab: IosLab) -> None:
    phone = with_app(lab, "exec sleep 1000")
    pid = phone.open_app(APP)
    phone.lock()
    until(lambda: state(pid) == "T")
    phone.unlock()
    until(lambda: state(pid) == "S")


def test_an_app_can_ask_how_the_phone_is(lab: IosLab) -> None:
    phone = lab.add("iphone-13")
    file = phone.apps[OWN_BUNDLE].container / "harness-state.json"

    def told(key: str) -> Any:
        return json.loads(file.read_text())[key]

    assert (told("thermal_state"), told("low_power_mode"), told("charging")) == ("nominal", False, True)
    assert told("system") == {"name": "iOS", "version": "16.4", "machine": "iPhone14,5"}
    phone.thermal_state, phone.low_power_mode, phone.battery.level = "serious", True, 12
    phone.app_fault = 11, "run"
    assert (told("thermal_state"), told("low_power_mode"), told("battery_level")) == ("serious", True, 0.12)
    assert told("fault") == {"signal": 11, "stage": "run"}


def test_both_measuring_apps_are_installed(lab: IosLab) -> None:
    phone = lab.add("iphone-17")
    assert set(phone.apps) == {OWN_BUNDLE, UPSTREAM_BUNDLE}
    assert all(app.file_sharing for app in phone.apps.values())


def test_our_app_really_runs(lab: IosLab) -> None:
    phone = lab.add("iphone-13")
    documents = phone.apps[OWN_BUNDLE].documents
    job = "00000000000000e1"
    asked = {"schema": 1, "id": job, "arguments": [], "files": [], "env": {}}
    (documents / "job.json").write_text(json.dumps(asked))
    pid = lab.run(phone.start_app(OWN_BUNDLE, ["--once", job]))
    assert phone.wait_app(pid) == 0, phone.processes.history[-1].lines
    assert (documents / "done").read_text().strip() == job
    said = json.loads((documents / "out" / job / "app.json").read_text())
    assert (said["emulated"], said["error"]) == (True, None)
    assert said["system"]["machine"] == "iPhone14,5"


# The cable.


def test_an_unplugged_phone_goes_on_working(lab: IosLab, tool: Tool) -> None:
    phone = with_app(lab, "exec sleep 1000", "iphone-17")
    address = phone.rsd_address
    pid = phone.open_app(APP)
    with service(lab.address, phone, AFC) as wire:
        phone.unplug()
        with pytest.raises((EOFError, ConnectionError)):
            wire.exactly(1)
    assert tool("idevice_id", None, "-l").stdout == ""
    assert phone.rsd_address is None
    phone.plug()
    assert tool("idevice_id", None, "-l").stdout.split() == [phone.udid]
    assert phone.rsd_address == address, "a tunnel's address in devices.yaml stays true"
    assert phone.processes.running(APP) == pid


def test_a_phone_that_restarts_loses_what_ran_on_it_and_its_image(lab: IosLab) -> None:
    phone = with_app(lab, "exec sleep 1000")
    (phone.apps[APP].documents / "kept").write_text("x")
    pid = phone.open_app(APP)
    with service(lab.address, phone, AFC) as wire:
        phone.reboot()
        with pytest.raises((EOFError, ConnectionError)):
            wire.exactly(1)
    assert not alive(pid)
    assert not phone.image_mounted
    assert (phone.apps[APP].documents / "kept").is_file()
    service(lab.address, phone, AFC).close()


# Faults that are counted in bytes.


def push(wire: Wire, phone: Phone, size: int) -> None:
    """Write a file of zeros in blocks of 64 KiB, and wait for each to be confirmed."""
    with Afc(wire) as afc:
        handle = afc.open("/a", 3)
        for _ in range(size >> 16):
            assert afc.ask(WRITE, packed(handle), bytes(1 << 16))[0] == 0


def test_the_cable_comes_out_in_the_middle_of_a_file(lab: IosLab) -> None:
    phone = lab.add("iphone-13")
    phone.faults.unplug_after = 1_000_000
    with pytest.raises((EOFError, ConnectionError)):
        push(service(lab.address, phone, AFC), phone, 4 << 20)
    with Wire(lab.address) as wire:
        assert wire.mux(MessageType="ListDevices")["DeviceList"] == []
    assert 0 < (phone.folder / "Media" / "a").stat().st_size < 1_000_000
    assert not phone.faults.unplug_after
    phone.plug()
    push(service(lab.address, phone, AFC), phone, 4 << 20)


def test_a_connection_breaks_in_the_middle_of_a_file(lab: IosLab) -> None:
    phone = lab.add("iphone-13")
    phone.faults.cut_after = 1_000_000
    with service(lab.address, phone, "com.apple.mobile.diagnostics_relay") as other:
        with pytest.raises((EOFError, ConnectionError)):
            push(service(lab.address, phone, AFC), phone, 4 << 20)
        assert other.ask(Request="Goodbye")["Status"] == "Success"
    push(service(lab.address, phone, AFC), phone, 4 << 20)


def test_a_phone_falls_silent_in_the_middle_of_a_file(lab: IosLab) -> None:
    phone = lab.add("iphone-13")
    phone.faults.on, phone.faults.silent_after = AFC, 1_000_000
    with service(lab.address, phone, AFC) as wire:
        wire.socket.settimeout(0.5)
        with pytest.raises(TimeoutError):
            push(wire, phone, 4 << 20)
    with service(lab.address, phone, AFC) as wire:  # it stays so
        wire.socket.settimeout(0.2)
        with pytest.raises(TimeoutError):
            push(wire, phone, 1 << 16)
    with service(lab.address, phone, "com.apple.mobile.diagnostics_relay") as other:
        assert other.ask(Request="Goodbye")["Status"] == "Success"
    phone.faults.silent_after = None
    push(service(lab.address, phone, AFC), phone, 1 << 16)


def test_one_service_can_be_silent_from_the_beginning(lab: IosLab) -> None:
    phone = lab.add("iphone-13")
    phone.faults.silent.add("lockdown")
    with Wire(lab.address) as wire:
        wire.reach(phone.udid, LOCKDOWN)
        wire.socket.settimeout(0.2)
        with pytest.raises(TimeoutError):
            wire.ask(Request="QueryType")


# The end.


def test_nothing_is_left_of_a_lab_that_was_busy(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    short = tmp_path_factory.mktemp("t")
    monkeypatch.setattr("tempfile.tempdir", str(short))
    gc.collect()  # what other tests left for the collector
    descriptors = len(list(Path("/proc/self/fd").iterdir()))
    lab = IosLab(tmp_path / "lab")
    lab.start()
    phone = with_app(lab, "trap '' TERM HUP; while :; do sleep 1000; done", "iphone-17")
    pid = phone.open_app(APP)
    phone.lock()
    phone.faults.silent.add(AFC)
    listener, client = Wire(lab.address), Wire(lab.address)
    listener.mux(MessageType="Listen")
    client.reach(phone.udid, LOCKDOWN)
    phone.unlock()
    quiet = service(lab.address, phone, AFC)
    lab.stop()
    lab.stop()  # twice is once
    assert not alive(pid)
    assert lab.failures == []
    for wire in (listener, client, quiet):
        with pytest.raises((EOFError, ConnectionError)):
            while True:
                wire.exactly(1)
        wire.close()
    assert len(list(Path("/proc/self/fd").iterdir())) <= descriptors
    assert list(short.iterdir()) == []
    assert mentioning(str(tmp_path)) == []


KILLED = """
import os, signal, sys, time
from pathlib import Path
from emulated.ios.apps import Program
from emulated.ios.lab import IosLab
lab = IosLab(Path(sys.argv[1]))
lab.start()
phone = lab.add("iphone-13")
phone.add_app("a.b", Program(("sleep", "1000")))
pid = phone.open_app("a.b")
while not Path(f"/proc/{pid}/cmdline").read_bytes().startswith(b"sleep"):  # on its leash from here on
    time.sleep(0.01)
print(pid, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.skipif(shutil.which("setpriv") is None, reason="needs setpriv of util-linux")
def test_nothing_outlives_a_lab_whose_process_is_killed(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    argv = [sys.executable, "-c", KILLED, str(tmp_path / "lab")]
    environ = {**os.environ, "TMPDIR": str(tmp_path_factory.mktemp("t"))}
    done = subprocess.run(argv, cwd=ROOT, env=environ, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == -signal.SIGKILL, done.stderr
    until(lambda: not alive(int(done.stdout)))
    until(lambda: mentioning(str(tmp_path)) == [])


# The environment of tools, descriptions, the command line.


def test_tools_see_the_labs_phones_and_no_internet(tmp_path: Path) -> None:
    outside = {
        "PATH": "/bin",
        "https_proxy": "http://proxy:1",
        "USBMUXD_SOCKET_ADDRESS": "x",
        "PYMOBILEDEVICE3_UDID": "y",
    }
    with IosLab(tmp_path / "lab", environ=outside) as lab:
        assert lab.environ["USBMUXD_SOCKET_ADDRESS"] == lab.address
        assert lab.address.startswith("127.0.0.1:")
        assert (lab.environ["PATH"], lab.environ["https_proxy"]) == ("/bin", "http://127.0.0.1:9")
        assert "PYMOBILEDEVICE3_UDID" not in lab.environ


def test_five_phones_come_with_the_project() -> None:
    assert {name: named(name).os_version for name in names()} == {
        "iphone-8": "13.7",
        "iphone-11": "14.8",
        "iphone-13": "16.4",
        "iphone-14": "17.5",
        "iphone-17": "26.1",
    }
    assert (named("iphone-8").udid(10), named("iphone-13").udid(10)) == (f"{10:040x}", "00008110-00000000E000000A")


@pytest.mark.parametrize(
    ("wrong", "right", "message"),
    [
        ("product_type: iPhone14,5", "product_type: iFone", "'iFone' is no product type such as iPhone14,5"),
        ("chip_id", "chip", "unknown key; did you mean 'chip_id'?"),
        ("level: 87", "level: 870", "battery.level: expected a number of at most 100, got 870"),
        ("arm64e", "mips", "cpu_architecture: expected one of arm64, arm64e, got 'mips'"),
        ("free: 75GB", "free: lots", "storage.free: expected a size"),
    ],
)
def test_mistakes_in_a_description_are_named(tmp_path: Path, wrong: str, right: str, message: str) -> None:
    text = (ROOT / "emulated" / "ios" / "phones" / "iphone-13.yaml").read_text()
    assert wrong in text
    file = tmp_path / "mine.yaml"
    file.write_text(text.replace(wrong, right))
    with pytest.raises(UsageError) as caught:
        load(file)
    assert message in str(caught.value)
    assert str(caught.value).startswith(f"{file}:")


def test_a_phone_of_ones_own_and_two_with_one_udid(lab: IosLab, tmp_path: Path, tool: Tool) -> None:
    text = (ROOT / "emulated" / "ios" / "phones" / "iphone-13.yaml").read_text()
    file = tmp_path / "mine.yaml"
    file.write_text(f"{text}values: {{ProductName: Own, DeviceName: Mine}}\ndomains: {{com.example.x: {{a: 1}}}}\n")
    phone = lab.add(str(file), udid="0123")
    assert tool("ideviceinfo", phone, "-k", "DeviceName").stdout == "Mine\n"
    assert tool("ideviceinfo", phone, "-q", "com.example.x").stdout == "a: 1\n"
    with pytest.raises(UsageError, match="there is an emulated iPhone 0123 already"):
        lab.add("iphone-8", udid="0123")


def test_the_command_writes_a_devices_file_and_ends_cleanly(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    short = tmp_path_factory.mktemp("t")
    file = tmp_path / "devices.yaml"
    argv = [sys.executable, "-m", "emulated.ios", "--phones", "iphone-13,iphone-17,iphone-13", "--devices", str(file)]
    environ = {**os.environ, "TMPDIR": str(short), "PYTHONWARNINGS": "error"}
    with subprocess.Popen(
        argv, cwd=ROOT, env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout
        said = [child.stdout.readline() for _ in range(6)]
        assert f"  pytest --devices={file} suites/smoke.yaml\n" in said
        specs = load_inventory(file).specs
        assert [spec.name for spec in specs] == ["iphone-13", "iphone-17", "iphone-13-2"]
        for spec in specs:
            assert isinstance(spec, IosSpec)
            assert spec.machine == machine_name()
            assert (spec.rsd is not None) == (spec.name == "iphone-17")
        assert isinstance(specs[0], IosSpec)
        assert specs[0].usbmuxd
        with Wire(specs[0].usbmuxd) as wire:
            listed = wire.mux(MessageType="ListDevices")["DeviceList"]
        assert [one["Properties"]["SerialNumber"] for one in listed] == [spec.identity for spec in specs]
        child.send_signal(signal.SIGINT)
        assert child.communicate(timeout=20) == ("", "")
    assert child.returncode == 0
    assert list((short).iterdir()) == []
    assert mentioning(str(short)) == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--phones", "iphone-31"], "no emulated iPhone is called 'iphone-31'; did you mean 'iphone-1"),
        (
            ["--phones", ","],
            "--phones names no phone; known here: iphone-11, iphone-13, iphone-14, iphone-17, iphone-8",
        ),
        (["--phones", "iphone-8", "--devices", "/nowhere/x.yaml"], "--devices /nowhere/x.yaml: cannot be written"),
    ],
)
def test_mistakes_on_the_command_line_are_said_in_one_line(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        assert main(arguments) == 4
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(message)
    assert err.count("\n") == 1
