"""Facts of phones: the script in Android's shell, and the formats in which phones answer it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from harness.devices.android.facts import FACTS_SCRIPT, TARGETS, parse_facts, target_of
from harness.devices.shell.replies import script
from harness.errors import UsageError

from .phone import SHELLS, Phone, garbage, reply, sample


def facts(**parts: str) -> dict[str, Any]:
    return parse_facts(reply("facts", parts))


def props(**values: str) -> str:
    return "".join(f"[{name.replace('__', '.')}]: [{value}]\n" for name, value in values.items())


@pytest.fixture
def phone(tmp_path: Path) -> Phone:
    phone = Phone(tmp_path)
    phone.program("getprop", {"": sample("tensor/getprop.txt")})
    phone.program("id", {"": sample("tensor/id.txt")})
    phone.program("toybox", {"--version": "toybox 0.8.11-android\n"})
    phone.program("dumpsys", {"SurfaceFlinger": sample("tensor/surfaceflinger.txt")})
    phone.program("cmd", {"gpu vkjson": sample("tensor/vkjson.txt")})
    phone.program("pm", {"list features": sample("tensor/features.txt")})
    phone.program("df", {"/": sample("tensor/df.txt")})
    phone.file("proc/meminfo", sample("tensor/meminfo.txt"))
    for core, khz in enumerate((1704000, 1704000, 2367000, 2914000)):
        phone.file(f"sys/devices/system/cpu/cpu{core}/cpufreq/cpuinfo_max_freq", f"{khz}\n")
    phone.file("vendor/lib64/libOpenCL.so", "")
    return phone


@pytest.mark.parametrize("shell", SHELLS)
def test_a_phone_as_its_own_shell_reports_it(phone: Phone, shell: str) -> None:
    found = parse_facts(phone.run(shell, FACTS_SCRIPT, root="/no-such-folder/harness"))
    assert found.pop("opencl").endswith("/vendor/lib64/libOpenCL.so")
    assert found == {
        "model": "Pixel 8",
        "manufacturer": "Google",
        "device": "shiba",
        "soc": "Tensor G3",
        "abis": ["arm64-v8a"],
        "android_version": "15",
        "sdk": 35,
        "build_fingerprint": "google/shiba/shiba:15/AP0A.000000.001/1:user/release-keys",
        "gpu_vendor": "ARM",
        "gpu_renderer": "Mali-G715",
        "gpu_driver": "v1.r44p1-01eac0.97cfdb5d8a3b5e3f4f5c6d7e8f901234",
        "opengl_es": "3.2",
        "vulkan": "1.3.279",
        "memory_bytes": 7697028 * 1024,
        "free_bytes": 91841660 * 1024,
        "cores": 4,
        "core_max_mhz": [1704, 1704, 2367, 2914],
        "tools": ["cat", "cmd", "df", "dumpsys", "grep", "pm", "toybox"],
        "toybox": "0.8.11-android",
        "shell_user": "shell",
        "emulated": False,
        "target": "aarch64-android",
    }
    assert "pm list features" not in phone.started(), "a slow question that the driver has answered already"


@pytest.mark.parametrize("shell", SHELLS)
def test_a_phone_that_has_no_command_at_all_is_unknown_not_broken(tmp_path: Path, shell: str) -> None:
    phone = Phone(tmp_path)
    (phone.bin / "cat").unlink()
    (phone.bin / "grep").unlink()
    assert parse_facts(phone.run(shell, FACTS_SCRIPT)) == {"emulated": False}


@pytest.mark.parametrize("shell", SHELLS)
def test_what_the_package_manager_declares_stands_in_for_the_driver(phone: Phone, shell: str) -> None:
    phone.program("cmd", {})
    found = parse_facts(phone.run(shell, FACTS_SCRIPT))
    assert (found["vulkan"], found["gpu_renderer"]) == ("1.3.0", "Mali-G715")


@pytest.mark.parametrize("shell", SHELLS)
def test_free_space_is_asked_of_the_folder_or_of_its_nearest_parent(phone: Phone, tmp_path: Path, shell: str) -> None:
    folder = tmp_path / "with space"
    folder.mkdir()
    for root in (folder / "harness" / "deep", folder, Path("not-here")):
        phone.run(shell, FACTS_SCRIPT, root=str(root))
    assert [line for line in phone.started() if line.startswith("df")] == [f"df {folder}", f"df {folder}", "df /"]


@pytest.mark.parametrize("shell", SHELLS)
def test_a_script_can_stand_inside_another(tmp_path: Path, shell: str) -> None:
    """It changes no variable and no folder, takes nothing from standard input and cannot end the script around it."""
    phone = Phone(tmp_path)
    inner = script("facts", {"user": "d=changed; cat; cd /; echo $unset; false; exit 3", "never": "echo reached"})
    around = f'set -eu; d=kept; f() {{ {inner}}}\nhere=$PWD; f || :; [ "$PWD" = "$here" ] && echo d is $d'
    assert "d is kept" in phone.run(shell, around)


def test_output_around_and_between_the_sections_is_no_part_of_them() -> None:
    text = "noise\r\n[ro.product.model]: [wrong]\r\n" + reply("state", {"getprop": props(ro__product__model="wrong")})
    text += reply("facts", {"getprop": props(ro__product__model="right").replace("\n", "\r\n"), "end": ""})
    text += props(ro__product__model="wrong") + reply("facts", {"getprop": props(ro__product__model="second")})
    assert parse_facts(text)["model"] == "right"


@pytest.mark.parametrize(
    ("line", "vendor", "renderer", "version", "driver"),
    [
        (
            sample("adreno/surfaceflinger.txt"),
            "Qualcomm",
            "Adreno (TM) 740",
            "3.2",
            "V@0676.42 (GIT@4f3a1c2b5d, I0123456789, 1690000000) (Date:07/22/23)",
        ),
        ("GLES: ARM, Mali-450 MP, OpenGL ES 2.0 3d6a80e", "ARM", "Mali-450 MP", "2.0", "3d6a80e"),
        ("GLES: Imagination Technologies, PowerVR Rogue GE8320, OpenGL ES 3.2 build 1.11@5425693",
         "Imagination Technologies", "PowerVR Rogue GE8320", "3.2", "build 1.11@5425693"),
        ("GLES: Google Inc. (Qualcomm), ANGLE (Qualcomm, Vulkan 1.3 (Adreno (TM) 740)), OpenGL ES 3.2.0 (ANGLE 2.1)",
         "Google Inc. (Qualcomm)", "ANGLE (Qualcomm, Vulkan 1.3 (Adreno (TM) 740))", "3.2", "(ANGLE 2.1)"),
    ],
)  # fmt: skip
def test_gl_drivers(line: str, vendor: str, renderer: str, version: str, driver: str) -> None:
    found = facts(gles=line)
    assert [found[key] for key in ("gpu_vendor", "gpu_renderer", "opengl_es", "gpu_driver")] == [
        vendor,
        renderer,
        version,
        driver,
    ]


def test_a_phone_that_draws_with_vulkan_names_its_gpu_through_vulkan() -> None:
    assert facts(vulkan=sample("adreno/vkjson.txt")) == {
        "gpu_renderer": "Adreno (TM) 740",
        "gpu_driver": "512.676.42",
        "vulkan": "1.3.256",
        "emulated": False,
    }


def test_no_gpu_driver_is_no_gpu() -> None:
    found = facts(gles="", vulkan="feature:android.software.vulkan.deqp.level=132580097", opencl="")
    assert found == {"emulated": False}


@pytest.mark.parametrize(
    ("declared", "version"), [("4194307", "1.0.3"), ("4198400", "1.1.0"), ("0x00400303", "1.0.771")]
)
def test_declared_versions_of_vulkan(declared: str, version: str) -> None:
    assert facts(vulkan=f"feature:android.hardware.vulkan.version={declared}\n")["vulkan"] == version


def test_the_toolbox_of_android_5() -> None:
    found = facts(getprop=sample("old/getprop.txt"), df=sample("old/df.txt"), user=sample("old/id.txt"))
    assert (found["abis"], found["soc"], found["sdk"]) == (["armeabi-v7a", "armeabi"], "msm8226", 22)
    assert found["free_bytes"] == round(9.1 * 2**30)
    assert (found["target"], found["shell_user"]) == ("armv7-android", "shell")


@pytest.mark.parametrize(
    ("df", "free"),
    [
        ("Filesystem     Size Used Avail Use% Mounted on\n/dev/fuse       25G 1.5G   24G   6% /storage", 24 << 30),
        ("Filesystem 512-blocks Used Available Use% Mounted on\ntmpfs 800 400 400 50% /a b", 400 * 512),
        ("Filesystem 1024-blocks Used Available Capacity Mounted on\nC: 1 1 7 99% /x", 7 * 1024),
        ("Filesystem 1K-blocks Used Available Use% Mounted on\n/a/very/long/name\n 10 4 6 40% /data", 6 * 1024),
        ("Filesystem               Size     Used     Free   Blksize\n/data -1.0K -1.0K -1.0K 4096", None),
        ("df: /data: Permission denied", None),
        ("Filesystem 1K-blocks Used Available Use% Mounted on\n", None),
        ("", None),
    ],
)
def test_free_space(df: str, free: int | None) -> None:
    assert facts(df=df).get("free_bytes") == free


@pytest.mark.parametrize(
    ("cpus", "cores", "mhz"),
    [
        ("0 1400000 0 1\n1 ? \n2 2000000 2 3\n3 ?", 4, [1400, 1400, 2000, 2000]),
        ("0 1400000\n10 3000000\n1 1400000", 3, None),
        ("0 1400000 0\n1 ?", 2, None),
        ("[0-9]* ? ", None, None),
    ],
)
def test_cores_that_are_switched_off(cpus: str, cores: int | None, mhz: list[int] | None) -> None:
    found = facts(cpus=cpus)
    assert (found.get("cores"), found.get("core_max_mhz")) == (cores, mhz)


def test_a_property_may_span_lines() -> None:
    text = "[a]: [one\n\ntwo]\n[ro.product.model]: [a [b] c]\n[ro.product.device]: []\njunk\n[ro.soc.model]: [X]"
    found = facts(getprop=text)
    assert (found["model"], found["soc"]) == ("a [b] c", "X")
    assert "device" not in found


@pytest.mark.parametrize(
    ("abilist", "target"),
    [
        ("arm64-v8a,armeabi-v7a,armeabi", "aarch64-android"),
        ("armeabi-v7a,armeabi", "armv7-android"),
        ("x86_64,arm64-v8a,x86", "x86_64-android"),
        ("x86", "x86-android"),
        ("riscv64,arm64-v8a", "aarch64-android"),
    ],
)
def test_targets(abilist: str, target: str) -> None:
    assert target_of(facts(getprop=props(ro__product__cpu__abilist=abilist))) == target


def test_an_unknown_abi_is_an_error_that_lists_the_known_ones() -> None:
    with pytest.raises(UsageError, match="riscv64") as caught:
        target_of(facts(getprop=props(ro__product__cpu__abilist="riscv64", ro__product__model="Board")))
    assert str(caught.value).startswith("Board: ")
    assert all(abi in str(caught.value) for abi in TARGETS)
    with pytest.raises(UsageError, match="getprop"):
        target_of(facts())


def test_only_an_emulated_phone_names_its_own_target() -> None:
    own = {"ro__harness__target": "x86_64-linux", "ro__product__cpu__abilist": "arm64-v8a"}
    emulated = facts(getprop=props(ro__harness__emulated="1", **own))
    assert (emulated["emulated"], target_of(emulated)) == (True, "x86_64-linux")
    real = facts(getprop=props(**own))
    assert (real["emulated"], target_of(real)) == (False, "aarch64-android")


def test_the_android_emulator_is_no_phone_either() -> None:
    assert facts(getprop=props(ro__boot__qemu="1"))["emulated"]


def test_what_a_vendor_says_is_one_printable_line_of_bounded_length() -> None:
    hostile = 'Pix"el\n<b>\x1b[31m\u202e 8'
    found = facts(getprop=props(ro__product__model=hostile, ro__build__fingerprint="x" * 100_000))
    assert found["model"] == 'Pix"el <b>[31m 8'
    assert found["build_fingerprint"] == "x" * 300


def test_junk_never_raises() -> None:
    parts = {
        "getprop": sample("tensor/getprop.txt"),
        "df": sample("tensor/df.txt"),
        "cpus": "0 1400000 0 1\n1 1400000",
        "gles": sample("tensor/surfaceflinger.txt"),
        "vulkan": sample("tensor/vkjson.txt"),
        "memory": sample("tensor/meminfo.txt"),
        "user": sample("tensor/id.txt"),
    }
    texts = [reply("facts", parts), *(reply("facts", {name: text}) for name, text in parts.items())]
    huge = reply("facts", {"df": "Filesystem 1K-blocks\na 1 1 " + "9" * 5000 + " 1% /", "cpus": "0 " + "9" * 5000})
    for text in [huge, *garbage(texts, 400)]:
        found = parse_facts(text)
        assert isinstance(found["emulated"], bool)
        assert all(value is not None for value in found.values())
