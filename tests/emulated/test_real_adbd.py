"""Debian's adbd in an emulated phone does what ours does, also when the way to it fails."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from emulated.android import real_adbd
from emulated.android.lab import AdbLab
from emulated.android.phone import Backend, Phone
from harness.clock import SystemClock
from harness.errors import UsageError
from tests.drivers import absent
from tests.emulated.bench import adb, alive, listed, mentioning
from tests.emulated.conftest import until

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="emulated phones run on Linux only")
SIZE = 3_000_000


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[AdbLab]:
    before = set(threading.enumerate())
    with AdbLab(tmp_path / "lab") as made:
        yield made
        assert [failure for phone in made.phones for failure in phone.failures] == []
    assert set(threading.enumerate()) == before
    assert mentioning(str(tmp_path)) == []


@pytest.fixture(params=["emulated", "real"])
def phone(lab: AdbLab, request: pytest.FixtureRequest) -> Phone:
    backend: Backend = request.param
    if backend == "real" and (why := real_adbd.absent()):
        absent(why)
    return lab.add("pixel-8", backend=backend)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    made = tmp_path / "file"
    made.write_bytes(SystemClock().now().isoformat().encode() * (SIZE // 32))
    return made


def push(lab: AdbLab, phone: Phone, file: Path) -> subprocess.CompletedProcess[str]:
    return adb(lab, phone, "push", "-Z", str(file), "/data/local/tmp/file")


def test_shell_and_files_work(lab: AdbLab, phone: Phone, file: Path) -> None:
    done = adb(
        lab, phone, "shell", "getprop ro.product.model; cat /sys/class/thermal/thermal_zone0/temp; echo e >&2; exit 7"
    )
    assert (done.returncode, done.stdout, done.stderr) == (7, "Pixel 8\n38000\n", "e\n")
    assert push(lab, phone, file).returncode == 0
    assert (phone.root / "data/local/tmp/file").read_bytes() == file.read_bytes()
    assert phone.received_bytes >= file.stat().st_size
    code = adb(lab, phone, "shell", "nosuch")
    assert code.returncode == 127
    assert "inaccessible or not found" in code.stderr or "not found" in code.stderr


def test_phones_with_a_network_of_their_own_stand_side_by_side(lab: AdbLab) -> None:
    if why := real_adbd.absent():
        absent(why)
    phones = [lab.add("pixel-8", backend="real") for _ in range(2)]
    assert {adb(lab, phone, "shell", "getprop ro.serialno").stdout for phone in phones} == {
        "EMULATED01\n",
        "EMULATED02\n",
    }
    # It listens on all addresses of its machine: that must not be this one.
    listening = Path("/proc/net/tcp").read_text() + Path("/proc/net/tcp6").read_text()
    assert ":15B3 00000000:0000 0A" not in listening


def test_its_own_processes_are_not_the_phones(lab: AdbLab, phone: Phone) -> None:
    assert phone.processes() == []
    adb(lab, phone, "shell", "(setsid sleep 1000 </dev/null >/dev/null 2>&1 &)")
    until(phone.processes)
    assert len(phone.processes()) == 1


def test_the_connection_is_cut_after_that_many_bytes(lab: AdbLab, phone: Phone, file: Path) -> None:
    phone.faults.drop_after = 1_000_000
    assert push(lab, phone, file).returncode != 0
    until(lambda: push(lab, phone, file).returncode == 0)
    assert (phone.root / "data/local/tmp/file").read_bytes() == file.read_bytes()


def test_nothing_moves_after_that_many_bytes_until_it_may(lab: AdbLab, phone: Phone, file: Path) -> None:
    phone.faults.stall_after = 1_000_000
    with pytest.raises(subprocess.TimeoutExpired):
        subprocess.run(
            [lab.environ["ADBUTILS_ADB_PATH"], "-s", phone.serial, "push", "-Z", str(file), "/data/local/tmp/file"],
            env=lab.environ,
            capture_output=True,
            timeout=0.5,
            check=False,
        )
    phone.faults.stall_after = None
    assert push(lab, phone, file).returncode == 0


def test_a_slow_phone_is_slow(lab: AdbLab, phone: Phone, file: Path) -> None:
    phone.faults.rate = 6_000_000
    started = SystemClock().monotonic()
    assert push(lab, phone, file).returncode == 0
    assert SystemClock().monotonic() - started > 0.4


def test_a_hung_phone_says_nothing_and_is_still_listed(lab: AdbLab, phone: Phone) -> None:
    phone.faults.hung = True
    with pytest.raises(subprocess.TimeoutExpired):
        subprocess.run(
            [lab.environ["ADBUTILS_ADB_PATH"], "-s", phone.serial, "shell", "echo hi"],
            env=lab.environ,
            capture_output=True,
            timeout=0.5,
            check=False,
        )
    assert listed(lab) == {phone.serial: "device"}
    phone.faults.hung = False
    assert adb(lab, phone, "shell", "echo hi").stdout == "hi\n"


def test_cut_connections_come_back(lab: AdbLab, phone: Phone) -> None:
    phone.drop()
    until(lambda: adb(lab, phone, "shell", "echo hi").stdout == "hi\n")


def test_a_cable_that_is_pulled_leaves_jobs_running_and_a_crash_does_not(lab: AdbLab, phone: Phone) -> None:
    adb(lab, phone, "shell", "(setsid sleep 1000 </dev/null >/dev/null 2>&1 &)")
    until(phone.processes)
    (job,) = phone.processes()
    phone.unplug()
    assert listed(lab) == {}
    assert alive(job)
    phone.plug()
    assert phone.processes() == [job]
    phone.reboot()
    assert not alive(job)
    assert adb(lab, phone, "shell", "echo hi").stdout == "hi\n"


def test_a_lab_without_the_adbd_says_what_to_do(lab: AdbLab, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(real_adbd, "UNPACKED", tmp_path)
    with pytest.raises(UsageError, match=r"bash \.ci/adbd"):
        lab.add("pixel-8", backend="real")
    assert real_adbd.absent() == "needs Debian's adbd: bash .ci/adbd .cache/adbd"
