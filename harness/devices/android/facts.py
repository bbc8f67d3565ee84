"""What a phone is: one script, run once when it is reached, and the parser of its reply. No I/O.

Where formats come from (AOSP): `GLES: vendor, renderer, version` is RenderEngine's part of `dumpsys SurfaceFlinger`;
vkjson is frameworks/native/vulkan/vkjson, printed by GpuService; `feature:NAME=VERSION` is PackageManagerShellCommand;
versions in them are packed as the Vulkan specification's VK_MAKE_API_VERSION; `id` is toybox or toolbox.
Of the names of OpenCL libraries the first three are those that TFLite's opencl_wrapper.cc loads, the rest vendors'.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from harness.devices.android.properties import properties
from harness.devices.shell.kernel import CORES, MEMORY, cores, memory_bytes
from harness.devices.shell.replies import FREE_SPACE, free_bytes, known, script, sections, whole
from harness.errors import UsageError

TARGETS = {
    "arm64-v8a": "aarch64-android",
    "armeabi-v7a": "armv7-android",
    "x86_64": "x86_64-android",
    "x86": "x86-android",
}
"""ABI as Android calls it -> target as this project calls it."""

_TOOLS = (
    "am cat chmod cmd cp df du dumpsys find grep input ln logcat md5sum mkdir mv nohup pm readlink rm rmdir "
    "settings setsid sha256sum sort stat svc sync taskset timeout touch toybox xargs"
)
_OPENCL = (
    "libOpenCL.so libOpenCL-pixel.so libOpenCL-car.so libPVROCL.so "
    "egl/libGLES_mali.so egl/libGLES_mali_v2.so libmali.so"
)

FACTS_SCRIPT = script(
    "facts",
    {
        "getprop": "getprop",
        "user": "id",
        # mksh has aliases named after programs that may not be there, such as nohup.
        "tools": f"unalias -a; for t in {_TOOLS}; do command -v $t >/dev/null && echo $t; done",
        "toybox": "toybox --version",
        "memory": MEMORY,
        "df": FREE_SPACE,
        "cpus": CORES,
        "gles": "dumpsys SurfaceFlinger | grep 'GLES: '",
        # pm starts a virtual machine on old phones: it is asked only when the driver itself did not answer.
        "vulkan": """\
v=$(cmd gpu vkjson | grep -e '"apiVersion"' -e '"deviceName"' -e '"driverInfo"' -e '"driverVersion"')
case $v in
*deviceName*) echo "$v" ;;
*) pm list features | grep hardware.vulkan.version ;;
esac""",
        "opencl": f"""\
for d in /vendor/lib64 /system/vendor/lib64 /vendor/lib /system/vendor/lib; do
  for n in {_OPENCL}; do
    [ -e $d/$n ] && echo $d/$n
  done
done""",
    },
)
"""POSIX sh that prints a phone's facts for `parse_facts`; $ROOT is the folder whose free space is asked for."""

_LONGEST = 300
_GLES = re.compile(r"GLES: ([^,\n]*), ([^\n]*?), OpenGL ES(?:-C[ML])? (\d+\.\d+)[.\d]*([^\n]*)")
_DECLARED = re.compile(r"vulkan\.version=(0[xX][0-9a-fA-F]{1,8}|\d{1,10})\b", re.ASCII)


def parse_facts(reply: str) -> dict[str, Any]:
    """Facts of a phone from what `FACTS_SCRIPT` printed. Never raises; a key is absent when its fact is unknown.

    Returns:
        `model`, `manufacturer`, `device`, `soc`, `android_version`, `build_fingerprint`, `shell_user`, `toybox`: text;
        `abis`: list of text, best first; `sdk`, `cores`: whole numbers; `memory_bytes`, `free_bytes`: bytes;
        `core_max_mhz`: MHz by number of the core, present when it is known for every core;
        `gpu_vendor`, `gpu_renderer`, `gpu_driver`, `opengl_es`: as the GL driver names itself, else the Vulkan driver;
        `vulkan`: version of the driver's API, or the one that the phone declares; `opencl`: path of the OpenCL library
        (absence proves nothing: a phone may forbid looking); `tools`: list of those commands that exist;
        `emulated`: whether it only stands for a phone, always present; `target`: see `target_of`.
    """
    parts = sections(reply, "facts")
    props = properties(parts.get("getprop", ""))
    abis = _abis(props)
    emulated = _is(props, "ro.harness.emulated")
    vulkan = _vulkan(parts.get("vulkan", ""))
    gpu = _gles(parts.get("gles", "")) or {key: value for key, value in vulkan.items() if key != "vulkan"}
    opencl = parts.get("opencl", "").split()
    user = re.search(r"\buid=(\d+)(?:\(([^)\s]+)\))?", parts.get("user", ""))
    toybox = re.search(r"toybox v?(\d[\w.-]*)", parts.get("toybox", ""))
    pairs: list[tuple[str, object]] = [
        ("model", props.get("ro.product.model")),
        ("manufacturer", props.get("ro.product.manufacturer")),
        ("device", props.get("ro.product.device")),
        ("soc", _soc(props)),
        ("abis", abis),
        ("android_version", props.get("ro.build.version.release")),
        ("sdk", whole(props.get("ro.build.version.sdk"))),
        ("build_fingerprint", props.get("ro.build.fingerprint")),
        *gpu.items(),
        ("vulkan", vulkan.get("vulkan")),
        ("opencl", opencl[0] if opencl else None),
        ("memory_bytes", memory_bytes(parts.get("memory", ""))),
        ("free_bytes", free_bytes(parts.get("df", ""))),
        *cores(parts.get("cpus", "")).items(),
        ("tools", [word for word in parts.get("tools", "").split() if word in _TOOLS.split()]),
        ("toybox", toybox[1] if toybox else None),
        ("shell_user", (user[2] or user[1]) if user else None),
        # Rows of the Android emulator say nothing about a phone either.
        ("emulated", emulated or _is(props, "ro.kernel.qemu") or _is(props, "ro.boot.qemu")),
        ("target", (props.get("ro.harness.target") if emulated else None) or _target(abis)),
    ]
    return dict(known((name, _line(value) if isinstance(value, str) else value) for name, value in pairs))


def target_of(facts: Mapping[str, Any]) -> str:
    """Target whose programs a phone runs: "aarch64-android", "armv7-android", "x86_64-android", "x86-android".

    It is that of the best ABI which is known here. One of this project's emulated phones names another, since it runs
    programs of the computer that it lives on.

    Raises:
        UsageError: none of the phone's ABIs is known here.
    """
    target = facts.get("target")
    if target:
        return str(target)
    phone = facts.get("model") or "the phone"
    abis = ", ".join(map(str, facts.get("abis") or ())) or "none that could be read (`getprop ro.product.cpu.abilist`)"
    raise UsageError(
        f"{phone}: programs are built for the ABIs {', '.join(TARGETS)}, and this phone has {abis}; "
        "leave it out of the devices file"
    )


def _target(abis: list[str]) -> str | None:
    return next((TARGETS[abi] for abi in abis if abi in TARGETS), None)


def _line(text: str) -> str:
    """A text that comes from a vendor, as one printable line of bounded length."""
    return "".join(char for char in " ".join(text[: 4 * _LONGEST].split()) if char.isprintable())[:_LONGEST]


def _is(props: Mapping[str, str], name: str) -> bool:
    return props.get(name, "") in ("1", "true")


def _abis(props: Mapping[str, str]) -> list[str]:
    """Android before 5.0 has no list."""
    several = props.get("ro.product.cpu.abilist", "").split(",")
    names = several if any(several) else [props.get("ro.product.cpu.abi", ""), props.get("ro.product.cpu.abi2", "")]
    return [name.strip() for name in names if name.strip()]


def _soc(props: Mapping[str, str]) -> str | None:
    """Android 12 and newer have a property for it; before, each vendor had its own."""
    for name in ("ro.soc.model", "ro.hardware.chipname", "ro.chipname", "ro.mediatek.platform", "ro.board.platform"):
        if props.get(name):
            return props[name]
    return props.get("ro.hardware")


def _gles(text: str) -> dict[str, str]:
    match = _GLES.search(text)
    if match is None:
        return {}
    names = ("gpu_vendor", "gpu_renderer", "opengl_es", "gpu_driver")
    return {name: value.strip() for name, value in zip(names, match.groups(), strict=True) if value.strip()}


def _vulkan(text: str) -> dict[str, str]:
    """The first device of vkjson; else what the package manager says the phone declares."""
    name = re.search(r'"deviceName"\s*:\s*"([^"\n]*)"', text)
    if name is None:
        declared = _DECLARED.search(text)
        return {"vulkan": _unpacked(int(declared[1], 16 if "x" in declared[1].lower() else 10))} if declared else {}
    found = {"gpu_renderer": name[1]}
    # The instance has an apiVersion as well, before its devices; a device's own stands right before its name.
    versions = re.findall(r'"apiVersion"\s*:\s*"?(\d{1,10})\b', text[: name.start()], re.ASCII)
    if versions:
        found["vulkan"] = _unpacked(int(versions[-1]))
    info = re.search(r'"driverInfo"\s*:\s*"([^"\n]+)"', text)
    packed = re.search(r'"driverVersion"\s*:\s*(\d{1,10})\b', text, re.ASCII)
    if info:
        found["gpu_driver"] = info[1]
    elif packed:
        found["gpu_driver"] = _unpacked(int(packed[1]))
    return found


def _unpacked(version: int) -> str:
    """Text of a packed Vulkan version: 10 bits of major, 10 of minor, 12 of patch (no phone sets the variant)."""
    return f"{version >> 22 & 0x3FF}.{version >> 12 & 0x3FF}.{version & 0xFFF}"
