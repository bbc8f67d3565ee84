"""A lab of emulated phones on a private adb server: plugged, unplugged, restarted, and nothing left."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import adbutils
import pytest

from emulated.android.__main__ import main
from emulated.android.description import named
from emulated.android.lab import AdbLab
from emulated.android.phone import EMULATED_FAULTS
from emulated.android.real_adbd import FAULTS
from emulated.android.userland import isolation
from harness.clock import SystemClock
from harness.devices.local import machine_name
from harness.errors import UsageError
from harness.lab.inventory import load_inventory
from harness.lab.spec import AndroidSpec
from tests.conftest import ROOT
from tests.emulated.bench import adb, alive, listed, mentioning
from tests.emulated.conftest import until

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="emulated phones run on Linux only")


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[AdbLab]:
    before = set(threading.enumerate())
    with AdbLab(tmp_path / "lab") as made:
        yield made
        assert [failure for phone in made.phones for failure in phone.failures] == []
    assert set(threading.enumerate()) == before
    assert mentioning(str(tmp_path)) == []


@pytest.fixture
def short(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for temporary files: the path of a unix socket in it must not be long."""
    return tmp_path_factory.mktemp("t")


def free(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0


def test_a_phone_is_reachable_when_it_was_added(lab: AdbLab) -> None:
    phone = lab.add("pixel-8")
    assert listed(lab) == {phone.serial: "device"}
    assert "product:shiba model:Pixel_8 device:shiba" in adb(lab, None, "devices", "-l").stdout
    done = adb(lab, phone, "shell", "getprop ro.serialno; exit 3")
    assert (done.returncode, done.stdout, done.stderr) == (3, "EMULATED01\n", "")
    assert phone.number == "EMULATED01"
    assert [service.rpartition(":")[2] for service in phone.opened] == ["getprop ro.serialno; exit 3"]
    assert phone.can == EMULATED_FAULTS


def test_files_go_both_ways(lab: AdbLab, tmp_path: Path) -> None:
    phone = lab.add("pixel-8")
    content = bytes(range(256)) * 4000
    (tmp_path / "a").write_bytes(content)
    assert adb(lab, phone, "push", str(tmp_path / "a"), "/data/local/tmp/new folder/a").returncode == 0
    assert (phone.root / "data/local/tmp/new folder/a").read_bytes() == content
    assert phone.received_bytes == len(content)
    assert adb(lab, phone, "shell", "ln -s '/data/local/tmp/new folder/a' /data/local/tmp/link").returncode == 0
    assert adb(lab, phone, "pull", "/data/local/tmp/link", str(tmp_path / "b")).returncode == 0
    assert (tmp_path / "b").read_bytes() == content
    refused = adb(lab, phone, "push", str(tmp_path / "a"), "/a")
    assert refused.returncode == 1
    assert "Read-only file system" in refused.stderr


def test_phones_of_one_lab_are_told_apart(lab: AdbLab) -> None:
    first, second = lab.add("pixel-8"), lab.add("pixel-8", serial="CHEAP")
    assert (first.number, second.number) == ("EMULATED01", "CHEAP")
    second.set_file("data/local/tmp/x", "mine")
    assert adb(lab, first, "shell", "cat /data/local/tmp/x").returncode == 1
    assert adb(lab, second, "shell", "cat /data/local/tmp/x").stdout == "mine"


def test_a_phone_can_be_changed_while_it_is_plugged_in(lab: AdbLab) -> None:
    phone = lab.add("pixel-8")
    phone.set_property("ro.product.model", "Other")
    phone.set_reply("dumpsys battery", "level: 3\n")
    phone.set_command("am", 'echo "am: $*"\n')
    said = adb(lab, phone, "shell", "getprop ro.product.model; dumpsys battery; am start x").stdout
    assert said == "Other\nlevel: 3\nam: start x\n"
    phone.reboot()
    assert "model:Other" in adb(lab, None, "devices", "-l").stdout


def test_an_old_phone_has_an_old_adbd(lab: AdbLab) -> None:
    phone = lab.add("old-32bit")
    assert adb(lab, phone, "features").stdout.strip() == ""
    assert adb(lab, phone, "shell", "getprop ro.product.cpu.abi").stdout.splitlines() == ["armeabi-v7a"]


def test_an_unplugged_phone_is_gone_and_comes_back_with_its_files(lab: AdbLab) -> None:
    phone, other = lab.add("pixel-8"), lab.add("no-gpu")
    phone.set_file("data/local/tmp/x", "kept")
    phone.unplug()
    assert listed(lab) == {other.serial: "device"}
    phone.plug()
    assert listed(lab) == {phone.serial: "device", other.serial: "device"}
    assert adb(lab, phone, "shell", "cat /data/local/tmp/x").stdout == "kept"


@pytest.mark.parametrize("tcp", [False, True])
def test_a_phone_that_restarts_loses_what_ran_on_it(lab: AdbLab, tcp: bool) -> None:
    phone = lab.add("pixel-8", tcp=tcp)
    adb(lab, phone, "shell", "(setsid sleep 1000 </dev/null >/dev/null 2>&1 &); echo x > /data/local/tmp/x")
    until(phone.processes)
    (job,) = phone.processes()
    phone.reboot()
    assert not alive(job)
    until(lambda: listed(lab) == {phone.serial: "device"})
    assert adb(lab, phone, "shell", "cat /data/local/tmp/x").stdout == "x\n"


def test_a_phone_on_tcp_stays_on_the_list_and_can_be_connected(lab: AdbLab) -> None:
    phone = lab.add("pixel-8", tcp=True)
    assert phone.serial.startswith("127.0.0.1:")
    phone.unplug()
    until(lambda: listed(lab) == {phone.serial: "offline"})
    phone.plug()
    until(lambda: listed(lab) == {phone.serial: "device"})
    adb(lab, None, "disconnect", phone.serial)
    assert listed(lab) == {}
    assert adb(lab, None, "connect", phone.serial).stdout == f"connected to {phone.serial}\n"


def test_a_dropped_connection_comes_back_by_itself(lab: AdbLab) -> None:
    phone = lab.add("pixel-8")
    phone.drop()
    until(lambda: adb(lab, phone, "shell", "echo hi").stdout == "hi\n")


def test_a_person_has_to_tap_allow(lab: AdbLab) -> None:
    phone = lab.add("pixel-8")
    phone.unplug()
    phone.faults.auth = "after"
    assert "failed to authenticate" in phone.plug()
    assert listed(lab) == {phone.serial: "unauthorized"}
    phone.faults.allow()
    until(lambda: listed(lab) == {phone.serial: "device"})


def test_a_new_server_finds_the_phones_on_usb_but_not_those_on_tcp(lab: AdbLab) -> None:
    usb, tcp = lab.add("pixel-8"), lab.add("no-gpu", tcp=True)
    lab.restart_server()
    assert listed(lab) == {usb.serial: "device"}
    adb(lab, None, "connect", tcp.serial)
    assert listed(lab) == {usb.serial: "device", tcp.serial: "device"}


def test_a_server_that_somebody_else_starts_finds_them_too_and_ends_with_the_lab(tmp_path: Path) -> None:
    with AdbLab(tmp_path / "lab") as lab:
        phone = lab.add("pixel-8")
        lab.kill_server()
        assert free(lab.server_port)
        home = {"HOME": str(tmp_path), "TMPDIR": str(tmp_path)}
        subprocess.run([adbutils.adb_path(), "start-server"], env=lab.environ | home, check=True, capture_output=True)
        until(lambda: listed(lab) == {phone.serial: "device"})
        assert adb(lab, phone, "shell", "echo hi").stdout == "hi\n"
    until(lambda: free(lab.server_port))


def test_a_stopped_server_answers_nothing_until_it_goes_on(lab: AdbLab) -> None:
    phone = lab.add("pixel-8")
    lab.stop_server()
    with pytest.raises(subprocess.TimeoutExpired):
        subprocess.run([adbutils.adb_path(), "devices"], env=lab.environ, capture_output=True, timeout=0.3, check=False)
    lab.continue_server()
    assert listed(lab) == {phone.serial: "device"}


def test_a_lab_with_a_stopped_server_can_be_ended(tmp_path: Path) -> None:
    started = SystemClock().monotonic()
    with AdbLab(tmp_path / "lab") as lab:
        lab.add("pixel-8")
        lab.stop_server()
    assert SystemClock().monotonic() - started < 8
    assert mentioning(str(tmp_path)) == []


def test_two_labs_do_not_see_each_other(lab: AdbLab, tmp_path: Path) -> None:
    phone = lab.add("pixel-8")
    with AdbLab(tmp_path / "other") as other:
        stranger = other.add("pixel-8")
        assert listed(lab) == {phone.serial: "device"}
        assert listed(other) == {stranger.serial: "device"}


def test_children_are_led_to_this_server_only(tmp_path: Path) -> None:
    misled = {**os.environ, "ADB_SERVER_SOCKET": "tcp:elsewhere:1", "ANDROID_SERIAL": "X", "KEPT": "yes"}
    lab = AdbLab(tmp_path, environ=misled)
    assert "ADB_SERVER_SOCKET" not in lab.environ
    assert "ANDROID_SERIAL" not in lab.environ
    assert lab.environ["KEPT"] == "yes"
    assert lab.environ["ANDROID_ADB_SERVER_PORT"] == str(lab.server_port) != "5037"


def test_without_namespaces_a_phone_works_as_far_as_it_can(tmp_path: Path) -> None:
    with AdbLab(tmp_path / "lab", isolation="rewrite") as lab:
        phone = lab.add("pixel-8")
        (tmp_path / "a").write_text("content\n")
        assert adb(lab, phone, "push", str(tmp_path / "a"), "/data/local/tmp/a").returncode == 0
        assert (
            adb(lab, phone, "shell", "cat /data/local/tmp/a; getprop ro.product.model").stdout == "content\nPixel 8\n"
        )
        with pytest.raises(UsageError, match="pixel-8 with Debian's adbd: "):
            lab.add("pixel-8", backend="real")
    assert mentioning(str(tmp_path)) == []


def test_many_phones_share_one_thread(lab: AdbLab) -> None:
    threads = threading.active_count()
    phones = [lab.add(named("no-gpu")) for _ in range(12)]
    assert threading.active_count() == threads
    assert listed(lab) == {phone.serial: "device" for phone in phones}
    assert {adb(lab, phone, "shell", "getprop ro.serialno").stdout for phone in phones} == {
        f"EMULATED{number:02d}\n" for number in range(1, 13)
    }


def test_namespaces_need_no_sbin_in_the_path_of_an_ordinary_user(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if isolation() != "namespace":
        pytest.skip("this computer allows no user namespaces")
    monkeypatch.setenv("PATH", "/usr/local/bin:/usr/bin:/bin")
    isolation.cache_clear()
    assert isolation() == "namespace"
    with AdbLab(tmp_path / "lab") as lab:
        phone = lab.add("pixel-8")
        assert adb(lab, phone, "shell", "cd /data/local/tmp && pwd").stdout == "/data/local/tmp\n"


KILLED = """
import os, signal, sys
from pathlib import Path
from emulated.android.lab import AdbLab
lab = AdbLab(Path(sys.argv[1]))
lab.start()
phone = lab.add("pixel-8")
program = phone.body.program("(setsid sleep 1000 </dev/null >/dev/null 2>&1 &)", {})
import subprocess
subprocess.run(program.argv, env=program.env, check=True)
while not phone.processes():
    pass
print(lab.server_port, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_nothing_outlives_a_lab_whose_process_is_killed(tmp_path: Path, short: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", KILLED, str(tmp_path / "lab")],
        cwd=ROOT,
        env={**os.environ, "TMPDIR": str(short)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    until(lambda: mentioning(str(tmp_path)) == [])
    until(lambda: free(int(done.stdout)))


# The command line.


def test_the_command_writes_a_devices_file_and_ends_cleanly(tmp_path: Path, short: Path) -> None:
    file = tmp_path / "devices.yaml"
    argv = [sys.executable, "-m", "emulated.android", "--phones", "pixel-8,no-gpu,pixel-8", "--devices", str(file)]
    environ = {**os.environ, "TMPDIR": str(short), "PYTHONWARNINGS": "error"}
    with subprocess.Popen(
        argv, cwd=ROOT, env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout
        said = [child.stdout.readline() for _ in range(5)]
        assert f"  pytest --devices={file} suites/smoke.yaml\n" in said
        specs = load_inventory(file).specs
        assert [spec.name for spec in specs] == ["pixel-8", "no-gpu", "pixel-8-2"]
        for spec in specs:
            assert isinstance(spec, AndroidSpec)
            assert spec.machine == machine_name()
            assert spec.adb_server
            port = spec.adb_server.rpartition(":")[2]
            ask = [adbutils.adb_path(), "-P", port, "-s", str(spec.serial), "shell", "getprop ro.harness.emulated"]
            done = subprocess.run(ask, capture_output=True, text=True, check=False, timeout=20)
            assert done.stdout == "1\n", done
        child.send_signal(signal.SIGINT)
        assert child.communicate(timeout=20) == ("", "")
    assert child.returncode == 0
    assert list(short.iterdir()) == []
    assert mentioning(str(short)) == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--phones", "pixl-8"], "no emulated phone is called 'pixl-8'; did you mean 'pixel-8'?"),
        (["--phones", ","], "--phones names no phone; known here: galaxy-s23, hot, no-gpu, old-32bit, pixel-8"),
        (["--phones", "no-gpu", "--devices", "/nowhere/x.yaml"], "--devices /nowhere/x.yaml: cannot be written"),
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


def test_both_backends_say_what_can_be_done_to_them() -> None:
    everybody = {"crash", "drop", "drop_after", "hung", "rate", "stall_after"}
    assert everybody == FAULTS
    assert everybody | {"auth", "open_delay", "quota", "refuse_open"} == EMULATED_FAULTS
