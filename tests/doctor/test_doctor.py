"""`harness doctor`: what there is, what is missing, and what mends it; never a traceback, never a long wait."""

from __future__ import annotations

import contextlib
import importlib.metadata
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from emulated.android.lab import AdbLab
from harness.cli import main
from harness.clock import SystemClock
from harness.doctor import adb_servers, android, examine
from harness.doctor.android import Reached
from harness.doctor.findings import Section, missing, show_end, show_section
from harness.report.surface import Surface
from tests.conftest import ROOT
from tests.devices.android.test_discovery import Quick, Server, plugged
from tests.doctor.conftest import Doctor
from tests.runners.android_files import aar, phone_elf

pytestmark = pytest.mark.timeout(120)

Entry = Callable[..., str]
CLOCK = SystemClock()


def test_a_phone_that_has_everything(phones: AdbLab, doctor: Doctor, entry: Entry) -> None:
    phone = phones.add("pixel-8")
    said = doctor([entry("flagship", phone.serial)])
    assert (said.code, said.err) == (0, "")
    assert "authorised" in said.words("reachable", "ok")
    platform = said.words("platform", "ok")
    assert "Pixel 8, Tensor G3, Android 14 (SDK 34)" in platform
    assert "ABIs arm64-v8a" in platform
    assert "EMULATED" in platform
    assert said.words("GPU", "ok").startswith("Mali-G715, driver ")
    assert said.words("runner", "ok").startswith("delegate_bench for ")
    assert said.words("runtime", "ok").startswith("LiteRT ")
    assert "free on the phone" in said.words("space", "ok")
    assert said.words("battery", "ok").startswith("87 %, charging")
    assert "thermal status 0 (none)" in said.words("heat", "ok")
    assert f"localhost:{phones.server_port}, version 41, 1 device" in said.words("adb server", "ok")
    assert said.words("adb", "ok")
    assert said.out.endswith("\nEverything needed is there.\n")


def test_text_is_plain_and_eighty_columns_wide(phones: AdbLab, doctor: Doctor, entry: Entry) -> None:
    phone = phones.add("pixel-8")
    said = doctor([entry("flagship", phone.serial), entry("gone", "NOTTHERE01")])
    assert "\x1b" not in said.out
    unbreakable = {phone.serial, said.words("adb")}
    for line in said.out.splitlines():
        assert len(line) <= 80 or line.strip() in unbreakable


def test_colours_only_where_they_are_wanted() -> None:
    section = Section("phone (android)", (missing("runner", "there is none", "harness fetch android"),))
    plain = show_section(section, Surface(80, colour=False, unicode=False))
    colourful = show_section(section, Surface(80, colour=True, unicode=True))
    assert plain == "phone (android)\n  MISSING runner     there is none\n"
    assert "\x1b[1;31mMISSING" in colourful


def test_each_thing_to_do_is_said_once() -> None:
    fault = missing("runner", "there is none", "harness fetch android")
    end = show_end(
        [Section("a", (fault, fault)), Section("b", (fault, missing("space", "3 MB", "free some")))], Surface()
    )
    assert end == "4 things are missing. What mends it:\n  harness fetch android\n  free some\n"


def test_a_command_stays_on_one_line() -> None:
    command = "ssh-keyscan -t ed25519 -p 2222 a-board-with-a-long-name.example >> ~/.ssh/known_hosts"
    end = show_end([Section("a", (missing("host key", "unknown", f"if that is its key: `{command}`"),))], Surface(60))
    assert end == f"1 thing is missing. What mends it:\n  if that is its key:\n    {command}\n"


def test_what_a_device_says_cannot_steer_the_terminal() -> None:
    shown = show_section(Section("a", (missing("reachable", "evil\x1b[2J\r\nwords"),)), Surface())
    assert "\x1b" not in shown
    assert "evil [2J words" in shown


def test_an_unauthorised_phone_is_not_waited_for(phones: AdbLab, doctor: Doctor, entry: Entry) -> None:
    phone = phones.add("pixel-8")
    phone.faults.auth = "never"
    phone.drop()
    until(lambda: "unauthorized" in states(phones))
    began = CLOCK.monotonic()
    said = doctor([entry("flagship", phone.serial)])
    assert CLOCK.monotonic() - began < 15
    assert said.code == 1
    assert "does not trust this computer" in said.words("authorised", "MISSING")
    assert "1 thing is missing. What mends it:\n  tap Allow on the phone, then run harness doctor again\n" in said.out


def test_an_unauthorised_phone_that_an_asterisk_found(phones: AdbLab, doctor: Doctor) -> None:
    phone = phones.add("pixel-8")
    other = phones.add("pixel-8")
    other.faults.auth = "never"
    other.drop()
    until(lambda: "unauthorized" in states(phones))
    said = doctor([f'kind: android, serial: "*", adb_server: "localhost:{phones.server_port}"'])
    assert said.code == 1
    assert other.serial in said.words("phone", "MISSING")
    assert "tap Allow on the phone" in said.out.rpartition("What mends it:")[2]
    assert phone.serial in said.words("reachable", "ok")


def test_a_lab_without_phones_lacks_nothing(phones: AdbLab, doctor: Doctor) -> None:
    said = doctor([f'kind: android, serial: "*", adb_server: "localhost:{phones.server_port}"'])
    assert said.code == 0
    assert said.words("devices", "note")


def test_a_phone_that_is_not_plugged_in(phones: AdbLab, doctor: Doctor, entry: Entry) -> None:
    said = doctor([entry("gone", "NOTTHERE01"), entry("guest", "NOTTHERE02", ", required: false")])
    assert said.code == 1
    assert said.words("reachable", "MISSING").startswith("is not connected to the adb server at ")
    assert "What mends it:\n  plug the phone in, unlock it, switch its USB debugging on" in said.out
    assert "guest is left out, as it is not required" in said.words("devices", "note")


def test_a_phone_that_hangs(phones: AdbLab, doctor: Doctor, entry: Entry, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harness.doctor.android._ANSWER_SECONDS", 1.0)
    phone = phones.add("pixel-8")
    phone.faults.hung = True
    began = CLOCK.monotonic()
    said = doctor([entry("flagship", phone.serial)])
    assert CLOCK.monotonic() - began < 30
    assert said.code == 1
    words = said.words("reachable", "MISSING")
    assert words.startswith("is listed as ready, and does not answer: no end of 'echo' within ")
    assert said.out.endswith("What mends it:\n  unplug it and plug it in again, then run harness doctor again\n")
    optional = doctor([entry("flagship", phone.serial, ", required: false")])
    assert (optional.code, optional.words("reachable", "MISSING")) == (1, words)  # it is there, and no use
    phone.faults.hung = False


def test_a_phone_of_the_network_that_is_not_there_is_no_matter_of_cables(
    phones: AdbLab, doctor: Doctor, entry: Entry
) -> None:
    said = doctor([entry("far", "127.0.0.1:1")])
    assert "Connection refused" in said.words("reachable", "MISSING")
    mend = said.out.rpartition("What mends it:")[2]
    assert "plug" not in mend
    assert "has the address that devices.yaml says" in " ".join(mend.split())


def test_what_answers_is_no_adb_server(doctor: Doctor) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]

        thread = threading.Thread(target=answer, args=(listener,))
        thread.start()
        said = doctor([f'name: a, kind: android, serial: X1, adb_server: "127.0.0.1:{port}"'])
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()
    assert said.code == 1
    assert said.words("adb server", "MISSING")
    assert said.words("reachable", "MISSING") == "its adb server does not answer, see above"


def test_an_interrupted_doctor_leaves_at_once(phones: AdbLab, tmp_path: Path, entry: Entry) -> None:
    phone = phones.add("pixel-8")
    file = tmp_path / "devices.yaml"
    file.write_text(f"version: 1\ndevices:\n  - {{{entry('flagship', phone.serial)}}}\n")
    phone.faults.hung = True
    code = f"import sys; from harness.cli import main; sys.exit(main(['doctor', '--devices', {str(file)!r}]))"
    with subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "This computer\n"
        CLOCK.sleep(1.0)
        process.send_signal(signal.SIGINT)
        began = CLOCK.monotonic()
        assert process.wait(20) == 2
        assert CLOCK.monotonic() - began < 10
    phone.faults.hung = False


def test_servers_that_only_optional_phones_need_may_be_absent(doctor: Doctor) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        thread = threading.Thread(target=answer, args=(listener,))
        thread.start()
        said = doctor([f'kind: android, serial: "*", adb_server: "127.0.0.1:{port}"', "name: box, kind: local"])
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()
    assert said.code == 0
    assert said.words("adb server", "note")


def test_a_real_phone_needs_what_fetch_brings(
    phones: AdbLab, doctor: Doctor, entry: Entry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ANDROID_NDK_HOME", raising=False)
    monkeypatch.delenv("ANDROID_NDK_ROOT", raising=False)
    phone = phones.add("pixel-8")
    phone.set_property("ro.harness.target", "aarch64-android")
    said = doctor([entry("flagship", phone.serial)])
    assert said.code == 1
    assert "no delegate_bench for arm64-v8a phones" in said.words("runner", "MISSING")
    assert "no LiteRT runtime for arm64-v8a phones" in said.words("runtime", "MISSING")
    assert said.out.endswith("2 things are missing. What mends it:\n  harness fetch android\n")


def test_a_program_for_another_processor_is_mended_in_devices_yaml(
    phones: AdbLab, doctor: Doctor, entry: Entry, tmp_path: Path
) -> None:
    phone = phones.add("pixel-8")
    phone.set_property("ro.harness.target", "aarch64-android")
    runners = "\nrunners: {benchmark_model: {arm64-v8a: {path: other}}}"
    (tmp_path / "other").write_bytes(phone_elf("x86_64"))
    said = doctor([entry("flagship", phone.serial) + "}" + runners + " #"])
    assert "is a program for x86_64" in said.words("runner", "MISSING")
    mend = "".join(said.out.rpartition("What mends it:")[2].split())
    assert mend == f"correct{tmp_path}/devices.yaml:4:runners.benchmark_model.arm64-v8a"


def test_what_was_fetched_for_a_phone(
    phones: AdbLab, doctor: Doctor, entry: Entry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / "cache"))
    phone = phones.add("pixel-8")
    phone.set_property("ro.harness.target", "aarch64-android")
    (tmp_path / "bench").write_bytes(phone_elf("arm64-v8a"))
    for gpu, mark in ((True, "ok"), (False, "note")):
        archive = aar(tmp_path / "litert.aar", "arm64-v8a", gpu=gpu)
        assert main(["fetch", "android", "--runner", str(tmp_path / "bench"), "--aar", str(archive)]) == 0
        said = doctor([entry("flagship", phone.serial)])
        assert said.code == 0
        assert said.words("runner", "ok") == "delegate_bench for arm64-v8a (ours)"
        words = said.words("runtime", mark)
        assert words.startswith("LiteRT 2.3.0 for arm64-v8a")
        assert ("no GPU accelerator" in words) is not gpu


def test_a_renderer_in_software_is_no_gpu(phones: AdbLab, doctor: Doctor, entry: Entry) -> None:
    said = doctor([entry("bare", phones.add("no-gpu").serial)])
    assert said.code == 0
    assert said.words("GPU", "note").endswith("that is drawn by the CPU, and no GPU")


def test_limits_of_the_devices_file(phones: AdbLab, doctor: Doctor, entry: Entry) -> None:
    phone = phones.add("pixel-8")
    said = doctor([entry("flagship", phone.serial, ", limits: {battery: 95, temperature: 20}")])
    assert said.code == 0
    assert said.words("battery", "note") == "87 %, charging, below the limit of 95 %"
    assert "above the limit of 20 °C" in said.words("heat", "note")


def test_an_old_phone(phones: AdbLab, doctor: Doctor, entry: Entry) -> None:
    phone = phones.add("old-32bit")
    said = doctor([entry("old", phone.serial)])
    assert said.code == 0
    assert "without shell_v2" in said.words("adb", "note") + said.out
    assert "sha256sum" in said.words("tools", "note")


def test_a_folder_that_cannot_be_written(
    phones: AdbLab, doctor: Doctor, entry: Entry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is beyond the reach of the root that tests may run as, so that the phone's answer is made up."""
    phone = phones.add("pixel-8")
    real = android.reach

    def reach(*arguments: object) -> Reached:
        found = real(*arguments)  # type: ignore[arg-type]
        return Reached(found.device, found.facts, found.state, "/data/local")

    monkeypatch.setattr(android, "reach", reach)
    said = doctor([entry("flagship", phone.serial)])
    assert said.code == 1
    assert "may not write to /data/local, where /data/local/tmp/harness would be" in said.words("folder", "MISSING")


def test_this_computer_as_a_device(doctor: Doctor) -> None:
    said = doctor(["name: box, kind: local"])
    assert said.code == 0
    assert said.words("platform", "ok")
    assert said.words("runner", "ok").startswith("delegate_bench for ")
    assert not said.words("adb server")  # no phone, no server


def test_a_driver_that_is_not_there(doctor: Doctor, tmp_path: Path) -> None:
    said = doctor([f"name: box, kind: local, env: {{VK_ICD_FILENAMES: {tmp_path}/none.json}}"])
    assert said.code == 1
    assert "which is no file" in said.words("GPU", "MISSING")


def test_a_missing_package(doctor: Doctor, monkeypatch: pytest.MonkeyPatch) -> None:
    real = importlib.metadata.version

    def version(name: str) -> str:
        if name == "adbutils":
            raise importlib.metadata.PackageNotFoundError(name)
        return real(name)

    monkeypatch.setattr(importlib.metadata, "version", version)
    said = doctor(["name: box, kind: local"])
    assert said.code == 1
    assert said.out.endswith("What mends it:\n  pip install adbutils\n")


def test_no_such_device(doctor: Doctor) -> None:
    said = doctor(["name: box, kind: local"], "--device", "bx")
    assert said.code == 4
    assert said.err == "harness: no device is called 'bx'; did you mean 'box'?; there are: box\n"


def test_boards_that_cannot_be_driven_yet(doctor: Doctor) -> None:
    said = doctor(["name: rpi, kind: ssh, any: [pi@rpi-1.example, pi@rpi-2.example]"])
    assert said.code == 1
    assert "'any' cannot be driven yet" in said.words("address", "MISSING")


def test_a_server_that_was_just_started_has_a_moment_to_find_its_phones(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    server = Server(False, [], [plugged("A", state="connecting")], [plugged("A")])
    monkeypatch.setattr(adb_servers, "open_server", lambda address, clock: server)
    file = tmp_path / "devices.yaml"
    file.write_text("version: 1\ndevices:\n  - {kind: android, serial: '*'}\n")
    with examine.Lab(examine.inventory_of(str(file)), Quick()) as lab:
        assert len(lab.specs) == 1
    assert server.closed


def answer(listener: socket.socket) -> None:
    """Be another kind of server, until the listener is closed."""
    with contextlib.suppress(OSError):
        while True:
            connection, _ = listener.accept()
            with connection:
                connection.recv(100)
                connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")


def states(lab: AdbLab) -> list[str]:
    from harness.devices.adb.server import AdbServer

    return [device.state for device in AdbServer("localhost", lab.server_port, CLOCK).devices()]


def until(condition: Callable[[], bool]) -> None:
    end = CLOCK.monotonic() + 20
    while not condition():
        assert CLOCK.monotonic() < end
        CLOCK.sleep(0.05)
