"""What an emulated phone is: its description, its files, its programs."""

from __future__ import annotations

import asyncio
import errno
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from emulated.android.description import Description, Reply, load, named, names
from emulated.android.heat import live
from emulated.android.phone import Body
from emulated.android.userland import Isolation, Rewrite
from harness.clock import SystemClock
from harness.devices.local import host_target
from harness.errors import UsageError
from tests.drivers import absent
from tests.emulated.bench import alive, make, says, shell

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="emulated phones run on Linux only")

PLAIN = "version: 1\nname: x\nproperties: {}\n"
Make = Callable[..., Body]


@pytest.fixture(params=["namespace", "rewrite"])
def kind(request: pytest.FixtureRequest) -> Isolation:
    chosen: Isolation = request.param
    return chosen


@pytest.fixture
def phone(tmp_path: Path) -> Iterator[Make]:
    made: list[Body] = []

    def add(what: str | Description, kind: Isolation = "namespace", **environ: str) -> Body:
        made.append(make(what, tmp_path / f"phone{len(made)}", kind, environ))
        return made[-1]

    yield add
    for body in made:
        body.close()
        assert body.userland.running() == []


def described(tmp_path: Path, text: str) -> Description:
    file = tmp_path / "phone.yaml"
    file.write_text(PLAIN + text)
    return load(file)


# The file.


@pytest.mark.parametrize("name", names())
def test_every_phone_of_the_project_says_what_it_is(phone: Make, name: str) -> None:
    body = phone(name)
    assert body.description.name == name
    properties = dict(line[1:-1].split("]: [") for line in says(body, "getprop").splitlines())
    assert properties["ro.harness.emulated"] == "1"
    assert properties["ro.harness.target"] == host_target()
    assert properties["ro.serialno"] == "EMULATED01"
    assert body.banner["ro.product.model"] == properties["ro.product.model"] != ""
    assert "Current Battery Service state:" in says(body, "dumpsys battery")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("comands: {}\n", "phone.yaml:4: comands: unknown key; did you mean 'commands'?"),
        ("missing: cat\n", "phone.yaml:4: missing: expected a list"),
        (
            "settings: {globl: {}}\n",
            "phone.yaml:4: settings: 'globl' is no namespace of settings; did you mean 'global'?",
        ),
        ("files: {sys/x: a}\n", "phone.yaml:4: files: 'sys/x' is no absolute path of a file"),
        ("files: {/etc/passwd: a}\n", "phone.yaml:4: files: '/etc/passwd' cannot be a file of the phone"),
        ("commands: {a  b: c}\n", "phone.yaml:4: commands: 'a  b' is no command line with single blanks"),
        ('settings: {global: {a: "1\\n2"}}\n', "phone.yaml:4: settings.global.a: expected text of one line"),
        ("commands: {x: {outpt: a}}\n", "phone.yaml:4: commands.x.outpt: unknown key; did you mean 'output'?"),
        ("commands: {x: {output: a, script: b}}\n", "a reply has either 'script', or 'output'"),
        ("heating: {file: /sys/t, busy: 1, idle: 1}\n", "'heating' is about /sys/t, which is no number among 'files'"),
    ],
)
def test_a_mistake_in_a_description_is_one_message_with_its_place(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        described(tmp_path, text)
    assert message in str(caught.value)


def test_a_phone_that_does_not_exist_is_a_usage_error_with_the_nearest_name() -> None:
    with pytest.raises(UsageError, match=r"no emulated phone is called 'pixl-8'; did you mean 'pixel-8'\?"):
        named("pixl-8")
    with pytest.raises(UsageError, match=r"nowhere\.yaml: cannot be read"):
        named("nowhere.yaml")


def test_dollar_braces_are_text_in_a_description(tmp_path: Path, phone: Make) -> None:
    body = phone(described(tmp_path, "commands: {wm size: '${HARNESS_NOPE} ${x'}\n"))
    assert says(body, "wm size") == "${HARNESS_NOPE} ${x"


# Programs.


def test_properties_can_be_read_and_set_but_for_read_only_ones(phone: Make, kind: Isolation) -> None:
    body = phone("pixel-8", kind)
    assert says(body, "getprop ro.product.model") == "Pixel 8\n"
    assert says(body, "getprop no.such") == "\n"
    assert says(body, "getprop no.such fallback") == "fallback\n"
    assert says(body, "setprop debug.x 'a b]'; getprop debug.x") == "a b]\n"
    assert body.tools.property_values()["debug.x"] == "a b]"
    code, _, err = shell(body, "setprop ro.product.model other")
    assert code == 1
    assert "Failed to set property" in err
    assert says(body, "getprop ro.product.model") == "Pixel 8\n"


def test_settings_keep_what_is_put(phone: Make, kind: Isolation) -> None:
    body = phone("pixel-8", kind)
    assert says(body, "settings get system screen_off_timeout") == "30000\n"
    assert says(body, "settings put system screen_off_timeout '1 2'; settings get system screen_off_timeout") == "1 2\n"
    assert says(body, "settings get system brand_new") == "null\n"
    assert says(body, "settings put system brand_new =; settings get system brand_new") == "=\n"
    assert says(body, "settings delete system brand_new; settings get system brand_new") == "Deleted 1 rows\nnull\n"
    assert says(body, "settings delete system brand_new") == "Deleted 0 rows\n"
    assert shell(body, "settings get nowhere x")[0] == 255


def test_commands_reply_as_recorded_and_others_fail_as_on_android(phone: Make, kind: Isolation, tmp_path: Path) -> None:
    replies = """
commands:
  dumpsys a: "one\\n"
  dumpsys a b: "two\\n"
  cmd gpu vkjson: {output: "half\\n", error: "broken\\n", exit: 20}
  wm size: {script: 'echo "$1 $#"'}
"""
    body = phone(described(tmp_path, replies), kind)
    assert says(body, "dumpsys a") == "one\n"
    assert says(body, "dumpsys  a   b") == "two\n"
    assert says(body, "dumpsys -t 5 a") == "one\n"
    assert says(body, "wm size") == "size 1\n"
    assert shell(body, "cmd gpu vkjson") == (20, "half\n", "broken\n")
    assert shell(body, "dumpsys nothing") == (0, "", "Can't find service: nothing\n")
    assert shell(body, "cmd nothing")[0] == 20
    assert shell(body, "wm density") == (1, "", "wm: no reply is recorded for: density\n")
    code, out, err = shell(body, "am start -n a.b/.C")
    assert (code, err) == (1, "")
    assert out.endswith("Error: Activity class {a.b/.C} does not exist.\n")
    code, _, err = shell(body, "nosuch")
    assert code == 127
    assert "not found" in err


def test_replies_of_a_tool_go_before_the_tool_itself(phone: Make) -> None:
    body = phone("pixel-8")
    assert says(body, "id -un; uname -m") == "shell\naarch64\n"
    assert says(body, "uname -s") == "Linux\n"


def test_replies_and_programs_can_be_changed_while_it_runs(phone: Make) -> None:
    body = phone("pixel-8")
    body.tools.set_reply("dumpsys battery", Reply(output="level: 3\n"))
    body.tools.set_script("am", 'log -t app "started $*"\n')
    assert says(body, "dumpsys battery") == "level: 3\n"
    assert "Thermal Status: 0" in says(body, "dumpsys thermalservice")
    assert says(body, "logcat -c; am start x; am stop") == ""
    lines = says(body, "logcat -d").splitlines()
    assert [line.split("): ")[1] for line in lines[1:]] == ["started start x", "started stop"]


def test_the_screen_is_what_keys_made_of_it(phone: Make, kind: Isolation) -> None:
    body = phone("galaxy-s23", kind)
    look = "dumpsys power | grep -e mWakefulness= -e 'Display Power'; dumpsys display | grep mScreenState"
    on, off = ("Awake", "ON", "ON"), ("Asleep", "OFF", "OFF")

    def state() -> tuple[str, ...]:
        return tuple(line.rpartition("=")[2] for line in says(body, look).splitlines())

    assert state() == ("Dozing", "DOZE", "DOZE")
    for key, after in (("WAKEUP", on), ("WAKEUP", on), ("POWER", off), ("POWER", on), ("SLEEP", off), ("HOME", off)):
        says(body, f"input keyevent KEYCODE_{key}")
        assert state() == after
    assert says(body, "svc power stayon usb; settings get global stay_on_while_plugged_in") == "2\n"
    assert state() == on
    assert says(body, "svc power stayon false; settings get global stay_on_while_plugged_in") == "0\n"


def test_shell_and_tools_are_the_programs_of_android(phone: Make, kind: Isolation) -> None:
    for program in ("mksh", "toybox"):
        if shutil.which(program) is None:
            absent(f"needs {program}: apt-get install {program}")
    body = phone("pixel-8", kind)
    assert "MIRBSD KSH" in says(body, "echo $KSH_VERSION")
    assert says(body, "toybox --version").startswith("toybox 0.")
    assert "sha256sum" in says(body, "toybox").split()


def test_an_old_phone_lacks_what_toolbox_lacks(phone: Make, kind: Isolation) -> None:
    body = phone("old-32bit", kind)
    for name in ("sha256sum", "timeout", "setsid", "taskset", "stat", "cmd", "head", "toybox"):
        assert shell(body, f"{name} x")[0] == 127, name
    assert body.features == ()
    assert (body.version, body.max_payload) == (0x01000000, 4096)
    header, line = says(body, "df /data").splitlines()
    assert header.split() == ["Filesystem", "Size", "Used", "Free", "Blksize"]
    assert line.split()[-1] == "4096"


# Files.


def test_folders_of_the_phone_are_its_own(phone: Make, kind: Isolation) -> None:
    first, second = phone("pixel-8", kind), phone("no-gpu", kind)
    says(first, "mkdir -p /data/local/tmp/a && echo mine > '/data/local/tmp/a/x y'")
    assert (first.root / "data/local/tmp/a/x y").read_text() == "mine\n"
    assert shell(second, "cat '/data/local/tmp/a/x y'")[0] == 1
    assert says(first, "cat /sys/class/thermal/thermal_zone0/temp") == "38000\n"
    assert says(first, "cat /proc/meminfo").startswith("MemTotal:        7757676 kB\n")
    assert says(second, "grep MemTotal /proc/meminfo").split()[1] == "1930176"
    first.files.write("sys/class/thermal/thermal_zone0/temp", "41000\n")
    first.files.write("/proc/meminfo", "MemTotal: 1 kB\n")
    assert says(first, "cat /sys/class/thermal/thermal_zone0/temp /proc/meminfo") == "41000\nMemTotal: 1 kB\n"


def test_a_program_of_this_computer_runs_where_it_was_pushed(phone: Make, kind: Isolation) -> None:
    body = phone("pixel-8", kind)
    says(body, "cp /bin/true /data/local/tmp/prog && chmod 755 /data/local/tmp/prog")
    assert shell(body, "cd /data/local/tmp && exec ./prog") == (0, "", "")


def test_in_a_namespace_the_rest_is_the_computers_and_cannot_be_written_to(phone: Make, tmp_path: Path) -> None:
    body = phone("pixel-8")
    (tmp_path / "seen").write_text("yes")
    assert says(body, f"cat '{tmp_path}/seen'") == "yes"
    code, _, err = shell(body, "echo x > /new")
    assert code != 0
    assert "Read-only file system" in err
    assert says(body, "pwd; ls -d /sdcard/. /system/bin/sh") == "/\n/sdcard/.\n/system/bin/sh\n"
    assert says(body, "df /data/local/tmp | tail -n 1").split()[-1] == "/data"


@pytest.mark.parametrize("folder", ["with space", "with\\backslash"])
def test_the_phones_folder_may_have_any_name(tmp_path: Path, folder: str) -> None:
    body = make("pixel-8", tmp_path / folder / "phone")
    try:
        assert says(body, "cat /sys/class/thermal/thermal_zone0/type") == "BIG\n"
        assert says(body, "getprop ro.product.model") == "Pixel 8\n"
    finally:
        body.close()


def test_paths_of_the_phone_become_paths_of_the_computer(phone: Make, kind: Isolation) -> None:
    body = phone("pixel-8", kind)
    root = body.root
    tmp = root / "data/local/tmp"
    (tmp / "target").write_text("")
    (tmp / "absolute").symlink_to("/data/local/tmp/target")
    (tmp / "folder").symlink_to("/data/local")
    (tmp / "round").symlink_to("round")

    def at(remote: str, follow: bool = True) -> Path:
        return body.resolve(remote, follow=follow)

    assert at("/data/local/tmp/new") == at("data//local/./tmp/new") == at("/../data/local/tmp/new") == tmp / "new"
    assert at("/data/local/tmp/absolute") == tmp / "target"
    assert at("/data/local/tmp/absolute", follow=False) == tmp / "absolute"
    assert at("/data/local/tmp/folder/tmp/absolute", follow=False) == tmp / "absolute"
    assert at("/sdcard/x") == root / "storage/emulated/0/x"
    assert at("/sdcard", follow=False) == root / "sdcard"
    with pytest.raises(OSError) as caught:
        at("/data/local/tmp/round")
    assert caught.value.errno == errno.ELOOP
    with pytest.raises(OSError) as caught:
        at("/brand-new").write_text("")
    assert caught.value.errno == errno.EROFS
    assert not Path("/brand-new").exists()
    assert at("/usr/bin/env").exists()


@pytest.mark.parametrize(
    ("line", "rewritten"),
    [
        ("cat /data/x", "cat R/data/x"),
        ("cd /data && A=/sys/a ls '/data/a b'>/system/x", "cd R/data && A=R/sys/a ls 'R/data/a b'>R/system/x"),
        ("cat /dataset /proc/cpuinfo ./data/x a/data/x", "cat /dataset /proc/cpuinfo ./data/x a/data/x"),
        ("grep x /proc/meminfo /proc/meminfo2", "grep x R/proc/meminfo /proc/meminfo2"),
    ],
)
def test_without_namespaces_the_phones_paths_are_replaced(phone: Make, line: str, rewritten: str) -> None:
    userland = phone("pixel-8", "rewrite").userland
    assert isinstance(userland, Rewrite)
    assert userland.rewritten(line) == rewritten.replace("R/", f"{userland.seen}/")


# Environment and processes.


def test_the_labs_vulkan_driver_is_the_phones_unless_it_has_none(phone: Make) -> None:
    ask = "echo $VK_ICD_FILENAMES $SECRET_OF_THE_LAB"
    assert says(phone("pixel-8", VK_ICD_FILENAMES="/x.json", SECRET_OF_THE_LAB="1"), ask) == "/x.json\n"
    assert says(phone("no-gpu", VK_ICD_FILENAMES="/x.json"), ask) == "/vendor/etc/vulkan/none.json\n"


def test_only_the_phones_programs_are_found(phone: Make) -> None:
    body = phone("pixel-8")
    assert says(body, "echo $PATH").split(":")[0] == "/system/bin"
    assert shell(body, "python3 -c 1")[0] == 127


def test_what_still_runs_is_seen_and_ends_with_the_phone(tmp_path: Path, kind: Isolation) -> None:
    body, other = make("pixel-8", tmp_path / "a", kind), make("pixel-8", tmp_path / "b", kind)
    try:
        says(body, "(setsid sleep 1000 </dev/null >/dev/null 2>&1 &)")
        while not (running := body.userland.running()):
            SystemClock().sleep(0.01)
        assert len(running) == 1
        assert other.userland.running() == []
    finally:
        body.close()
        other.close()
    assert not alive(running[0])


def test_a_shell_is_the_process_that_was_started(phone: Make, kind: Isolation) -> None:
    # adbd hangs up on exactly that process: nothing may stand between.
    program = phone("pixel-8", kind).program("echo $$; read x", {})
    with subprocess.Popen(
        program.argv, env=program.env, cwd=program.cwd, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as child:
        assert child.stdout
        assert int(child.stdout.readline()) == child.pid
        child.communicate(b"\n")


def test_a_hot_phone_warms_up_while_a_pushed_program_runs(phone: Make) -> None:
    body = phone("hot")
    file = body.root / "sys/class/thermal/thermal_zone12/temp"

    threads = threading.active_count()

    async def run() -> list[int]:
        heat = asyncio.ensure_future(live(body))
        program = body.program("cp /system/bin/sh /data/local/tmp/bench; /data/local/tmp/bench -c 'read x'", {})
        cold = int(file.read_text())
        child = subprocess.Popen(program.argv, env=program.env, stdin=subprocess.PIPE)
        while int(file.read_text()) == cold:
            await asyncio.sleep(0.01)
        await asyncio.to_thread(child.communicate, b"\n")
        warm = int(file.read_text())
        while int(file.read_text()) == warm:
            await asyncio.sleep(0.01)
        heat.cancel()
        with suppress(asyncio.CancelledError):
            await heat
        return [cold, warm, int(file.read_text())]

    cold, warm, later = asyncio.run(asyncio.wait_for(run(), 20))
    assert cold == 31000
    assert cold < warm
    assert later < warm
    assert threading.active_count() == threads


@pytest.mark.parametrize(("milli", "status"), [(31000, 0), (39000, 1), (45000, 3), (56000, 6)])
def test_a_hot_phones_thermal_status_follows_its_skin(phone: Make, milli: int, status: int) -> None:
    body = phone("hot")
    body.files.write("sys/class/thermal/thermal_zone12/temp", f"{milli}\n")
    said = says(body, "dumpsys thermalservice")
    assert f"Thermal Status: {status}\n" in said
    assert f"mValue={milli // 1000}.0, mType=3, mName=VIRTUAL-SKIN, mStatus={status}}}" in said
