from __future__ import annotations

import os
import subprocess
import sys
from datetime import datetime, timezone
from pathlib import Path

import pytest

from harness.clock import SystemClock
from harness.errors import UsageError
from harness.lab.lease import DeviceBusyError, Lease, Leases, lease_keys
from harness.lab.spec import AndroidSpec, LocalSpec, SshSpec

ROOT = Path(__file__).parents[2]

HOLDER = """
import sys
from pathlib import Path
from harness.clock import SystemClock
from harness.lab.lease import Lease
lease = Lease("android-A1", SystemClock(), "pytest --devices lab.yaml", Path(sys.argv[1]))
lease.acquire()
print("held", flush=True)
sys.stdin.read()
"""


class Noon(SystemClock):
    def now(self) -> datetime:
        return datetime(2026, 11, 20, 12, tzinfo=timezone.utc)


def lease(folder: Path, key: str = "android-A1") -> Lease:
    return Lease(key, Noon(), "pytest -k it", folder)


def test_the_second_run_is_told_who_holds_the_device(tmp_path: Path) -> None:
    with lease(tmp_path), pytest.raises(DeviceBusyError) as caught:
        lease(tmp_path).acquire()
    text = str(caught.value)
    assert text.startswith(f"android-A1 is in use by process {os.getpid()} of ")
    assert text.endswith(" since 2026-11-20T12:00:00.000Z (pytest -k it); wait for it, or end it")


def test_a_released_device_is_free(tmp_path: Path) -> None:
    with lease(tmp_path):
        pass
    with lease(tmp_path):
        pass


def test_devices_do_not_disturb_each_other(tmp_path: Path) -> None:
    with lease(tmp_path, "android-A1"), lease(tmp_path, "android-host:5555"), lease(tmp_path, "android-host/5555"):
        assert len(list(tmp_path.glob("*.lock"))) == 3


def test_a_killed_process_frees_its_device(tmp_path: Path) -> None:
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(DeviceBusyError, match=rf"in use by process {holder.pid} of .*pytest --devices lab.yaml"):
            lease(tmp_path).acquire()
        holder.kill()
        holder.wait()
        with lease(tmp_path):
            pass


def test_a_holder_without_a_record_is_still_a_holder(tmp_path: Path) -> None:
    with lease(tmp_path):
        (path,) = tmp_path.glob("*.lock")
        path.write_text("{")
        with pytest.raises(DeviceBusyError, match="android-A1 is in use by another process"):
            lease(tmp_path).acquire()


def test_several_leases_are_held_together_or_not_at_all(tmp_path: Path) -> None:
    with (
        lease(tmp_path, "b"),
        pytest.raises(DeviceBusyError, match="b is in use"),
        Leases(["b", "a"], Noon(), "x", tmp_path),
    ):
        pytest.fail("held")
    with Leases(["machine-desk", "machine-desk", "a"], Noon(), "x", tmp_path), pytest.raises(DeviceBusyError):
        lease(tmp_path, "a").acquire()
    with lease(tmp_path, "a"):
        pass


def test_all_users_may_lock(tmp_path: Path) -> None:
    folder = tmp_path / "locks"
    before = os.umask(0o077)
    try:
        with lease(folder):
            (path,) = folder.glob("*.lock")
            assert path.stat().st_mode & 0o777 == 0o666
            assert folder.stat().st_mode & 0o7777 == 0o1777
    finally:
        os.umask(before)


def test_links_are_not_followed(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("precious")
    folder = tmp_path / "locks"
    folder.mkdir()
    (folder / "android-A1.lock").symlink_to(victim)
    with pytest.raises(UsageError, match=r"android-A1\.lock: cannot be used as a lock file: "):
        lease(folder).acquire()
    assert victim.read_text() == "precious"


def test_what_has_to_be_held() -> None:
    assert lease_keys(LocalSpec(name="a", kind="local"), "desk") == ("machine-desk",)
    assert lease_keys(LocalSpec(name="a", kind="local", machine="other"), "desk") == ("machine-other",)
    assert lease_keys(AndroidSpec(name="a", kind="android", serial="A1"), "desk") == ("android-A1",)
    assert lease_keys(AndroidSpec(name="a", kind="android", any=("A1", "B2")), "desk") == ("android-A1", "android-B2")
    assert lease_keys(SshSpec(name="a", kind="ssh", address="pi@x"), "desk") == ("ssh-pi@x",)


def test_who_waits_is_served_before_one_who_measures_on_and_on(tmp_path: Path) -> None:
    busy, waiting = lease(tmp_path), lease(tmp_path)
    busy.acquire()
    with pytest.raises(DeviceBusyError):
        waiting.acquire(waiting=True)
    busy.release()
    with pytest.raises(DeviceBusyError):
        busy.acquire()  # at once, and yet behind
    waiting.acquire()
    waiting.release()
    busy.acquire()
    busy.release()


def test_who_gives_up_waiting_is_in_nobodys_way(tmp_path: Path) -> None:
    busy, waiting = lease(tmp_path), lease(tmp_path)
    busy.acquire()
    with pytest.raises(DeviceBusyError):
        waiting.acquire(waiting=True)
    waiting.release()
    busy.release()
    busy.acquire()
    busy.release()
