from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from harness.devices.android.screen import Screen
from harness.devices.base import DeviceError
from harness.devices.shell.remote import Remote, Reply
from tests.devices.android.conftest import Add, Bench, until

PLUGGED = ("global", "stay_on_while_plugged_in")
TIMEOUT = ("system", "screen_off_timeout")


def setting(bench: Bench, name: tuple[str, str]) -> str:
    return bench.device._way.shell(f"settings get {name[0]} {name[1]}", 10).text.strip()


def put(bench: Bench, name: tuple[str, str], value: str) -> None:
    bench.device._way.shell(f"settings put {name[0]} {name[1]} {value}", 10)


def restored(bench: Bench) -> tuple[str, str, bool]:
    return setting(bench, PLUGGED), setting(bench, TIMEOUT), (bench.root / "restore").exists()


@pytest.mark.parametrize("kind", ["pixel-8", "old-32bit"])
def test_the_screen_is_kept_awake_and_restored(add: Add, kind: str) -> None:
    bench = add(kind)
    put(bench, PLUGGED, "3")
    put(bench, TIMEOUT, "60000")
    bench.device._way.shell("input keyevent KEYCODE_SLEEP", 10)
    bench.connect()
    assert restored(bench) == ("15", "1800000", True)
    assert bench.device.state()["screen"] == "on"
    bench.device.close()
    assert restored(bench) == ("3", "60000", False)


def test_a_killed_run_is_made_good_by_the_next_one(add: Add) -> None:
    bench = add()
    put(bench, PLUGGED, "0")
    put(bench, TIMEOUT, "30000")
    bench.connect()  # and never closed
    later = bench.another()
    later.connect()
    assert restored(bench) == ("15", "1800000", True)
    later.device.close()
    assert restored(bench) == ("0", "30000", False)


def test_a_phone_that_was_found_keeps_its_settings(add: Add) -> None:
    bench = add()
    put(bench, PLUGGED, "0")
    put(bench, TIMEOUT, "30000")
    found = bench.another(found=True)
    found.connect()
    assert restored(bench) == ("0", "30000", False)
    put(bench, TIMEOUT, "45000")
    found.device.close()
    assert restored(bench) == ("0", "45000", False)


def test_a_phone_that_was_found_gets_back_what_a_killed_run_changed(add: Add) -> None:
    bench = add()
    put(bench, PLUGGED, "0")
    put(bench, TIMEOUT, "30000")
    bench.connect()
    bench.another(found=True).connect()
    assert restored(bench) == ("0", "30000", False)


def test_a_setting_that_was_not_there_is_not_there_afterwards(add: Add) -> None:
    bench = add()
    bench.device._way.shell("settings delete global stay_on_while_plugged_in", 10)
    assert setting(bench, PLUGGED) == "null"
    bench.connect()
    assert setting(bench, PLUGGED) == "15"
    bench.device.close()
    assert setting(bench, PLUGGED) == "null"


@pytest.mark.parametrize("note", ["", "; reboot", "$(reboot) 5", "null"])
def test_a_note_that_makes_no_sense_changes_nothing(add: Add, note: str) -> None:
    bench = add()
    put(bench, PLUGGED, "0")
    put(bench, TIMEOUT, "30000")
    bench.root.mkdir(parents=True)
    (bench.root / "restore").write_text(f"{note}\n")
    Screen(bench.device._remote, change=False).keep_awake()
    assert setting(bench, TIMEOUT) in ("30000", "5")
    assert setting(bench, PLUGGED) == ("null" if note == "null" else "0")


def test_runs_that_begin_at_once_do_not_take_each_others_settings_for_the_phones_own(add: Add) -> None:
    bench = add()
    put(bench, PLUGGED, "3")
    put(bench, TIMEOUT, "60000")
    runs = [bench.another() for _ in range(6)]
    with ThreadPoolExecutor(len(runs)) as pool:
        facts = list(pool.map(Bench.connect, runs))
        assert [fact["model"] for fact in facts] == ["Pixel 8"] * len(runs)
        list(pool.map(lambda run: run.device.close(), runs))
    assert restored(bench) == ("3", "60000", False)
    assert sorted(path.name for path in bench.root.iterdir()) == ["jobs", "sha256"]


def test_settings_are_changed_to_the_end_when_the_connection_breaks(add: Add) -> None:
    bench = add()
    put(bench, PLUGGED, "3")
    settings = bench.phone.root / "system/bin/settings"
    text = settings.read_text()
    settings.write_text(text.replace("\n", "\nsleep 0.2\n", 1))
    call = threading.Thread(target=bench.connect)  # which tries again
    call.start()
    until((bench.root / "restore.lock").exists)
    bench.phone.drop()
    call.join()
    settings.write_text(text)
    assert bench.device.target
    assert not (bench.root / "restore.lock").exists()
    assert setting(bench, PLUGGED) == "15"
    bench.device.close()
    assert setting(bench, PLUGGED) == "3"


def test_a_lock_that_was_left_is_broken(add: Add) -> None:
    bench = add()
    put(bench, PLUGGED, "3")
    (bench.root / "restore.lock").mkdir(parents=True)
    bench.connect()
    bench.device.close()
    assert setting(bench, PLUGGED) == "3"
    assert not (bench.root / "restore.lock").exists()


def test_a_screen_that_goes_off_is_on_again_for_the_next_job(pixel: Bench) -> None:
    pixel.run("exit 0")
    other = pixel.another()
    other.connect()
    other.device.close()  # which sets the settings back
    pixel.device._way.shell("input keyevent KEYCODE_SLEEP", 10)
    assert pixel.run("exit 0").state_after["screen"] == "off"
    assert pixel.run("exit 0").state_after["screen"] == "on"
    assert setting(pixel, PLUGGED) == "15"


def test_a_run_that_is_cancelled_while_it_connects_leaves_nothing(add: Add, monkeypatch: pytest.MonkeyPatch) -> None:
    bench = add()
    put(bench, PLUGGED, "3")
    call = Remote.call

    def cancelled(remote: Remote, script: str, seconds: float, **variables: object) -> Reply:
        reply = call(remote, script, seconds, **variables)
        if "keyevent" in script:
            bench.device.cancel()
            raise remote.way.lost("the connection was closed from our side")
        return reply

    monkeypatch.setattr(Remote, "call", cancelled)
    with pytest.raises(DeviceError, match="phone: cancelled"):
        bench.connect()
    assert setting(bench, PLUGGED) == "15"
    bench.device.close()
    assert setting(bench, PLUGGED) == "3"


def test_a_phone_without_the_command(add: Add) -> None:
    bench = add()
    (bench.phone.root / "system/bin/settings").unlink()
    bench.connect()
    assert bench.run("echo fine").stdout == "fine\n"
    bench.device.close()
    assert not (bench.root / "restore").exists()
