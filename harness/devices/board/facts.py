"""What a board is: one script, run once when it is reached, and the parser of its reply. No I/O.

Where formats come from: /proc/device-tree/model is the kernel's view of the device tree (its text ends with a NUL);
/sys/class/dmi/id is Documentation/ABI/testing/sysfs-class-dmi; os-release(5); `getconf LONG_BIT` tells a 32-bit system
on a 64-bit kernel, as some Raspberry Pis have. "Hardware" in /proc/cpuinfo is what older Arm kernels have instead of a
model; newer ones name the implementer and the part of each core, in hexadecimal, as lscpu's tables do.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from harness.devices.shell.kernel import CORES, MEMORY, cores, memory_bytes
from harness.devices.shell.replies import FREE_SPACE, free_bytes, known, script, sections
from harness.errors import UsageError

_MACHINES = {
    "x86_64": "x86_64-linux",
    "amd64": "x86_64-linux",
    "aarch64": "aarch64-linux",
    "arm64": "aarch64-linux",
    "armv7l": "armv7-linux",
    "armv8l": "armv7-linux",
}
_32_BIT = {"aarch64-linux": "armv7-linux"}

_TOOLS = "cat chmod df getconf mkdir mv rm setsid sha256sum stat tail taskset timeout touch vcgencmd nvidia-smi"

_PARTS = {
    "0xd03": "Cortex-A53", "0xd04": "Cortex-A35", "0xd05": "Cortex-A55", "0xd07": "Cortex-A57", "0xd08": "Cortex-A72",
    "0xd09": "Cortex-A73", "0xd0a": "Cortex-A75", "0xd0b": "Cortex-A76", "0xd0c": "Neoverse-N1", "0xd0d": "Cortex-A77",
    "0xd40": "Neoverse-V1", "0xd41": "Cortex-A78", "0xd42": "Cortex-A78AE", "0xd44": "Cortex-X1",
    "0xc07": "Cortex-A7", "0xc08": "Cortex-A8", "0xc09": "Cortex-A9", "0xc0f": "Cortex-A15",
}  # fmt: skip
"""Arm's own cores (implementer 0x41)."""

FACTS_SCRIPT = script(
    "facts",
    {
        "system": "uname -s; uname -m; uname -r; getconf LONG_BIT || echo",
        "libc": """\
getconf GNU_LIBC_VERSION || for m in x86_64 aarch64 armhf; do
  [ -e /lib/ld-musl-$m.so.1 ] && echo musl
done""",
        "model": """\
for f in /proc/device-tree/model /sys/class/dmi/id/product_name; do
  if [ -s $f ]; then
    cat $f | tr '\\000' '\\n'
    break
  fi
done""",
        "vendor": "cat /sys/class/dmi/id/sys_vendor",
        "release": "cat /etc/os-release",
        "cpuinfo": "cat /proc/cpuinfo",
        "user": "id -un",
        "tools": f"for t in {_TOOLS}; do command -v $t >/dev/null && echo $t; done",
        "memory": MEMORY,
        "df": FREE_SPACE,
        "cpus": CORES,
        "gpu": """\
for n in /dev/dri/renderD* /dev/mali[0-9]* /dev/nvidia[0-9]* /dev/nvhost-gpu /dev/nvgpu /dev/kgsl-3d0 /dev/pvr_sync; do
  [ -e $n ] && echo $n
done""",
        "opencl": """\
for d in /usr/lib /usr/lib64 /usr/lib/aarch64-linux-gnu /usr/lib/x86_64-linux-gnu /usr/lib/arm-linux-gnueabihf; do
  for n in libOpenCL.so libOpenCL.so.1 libmali.so.1; do
    [ -e $d/$n ] && echo $d/$n
  done
done""",
        "vulkan": "for f in /usr/share/vulkan/icd.d/*.json /etc/vulkan/icd.d/*.json; do [ -e $f ] && echo $f; done",
        "emulated": "echo $HARNESS_EMULATED",
    },
)
"""POSIX sh that prints a board's facts for `parse_facts`; $ROOT is the folder whose free space is asked for."""

_LONGEST = 300
_FIELDS = re.compile(r"^(model name|Hardware|CPU implementer|CPU part)\s*:\s*(.*)$", re.MULTILINE)


def parse_facts(reply: str) -> dict[str, Any]:
    """Facts of a board from what `FACTS_SCRIPT` printed. Never raises; a key is absent when its fact is unknown.

    Returns:
        `model`, `cpu_model`, `os`, `kernel`, `architecture`, `libc`, `user`: text; `cores`: whole number;
        `memory_bytes`, `free_bytes`: bytes; `core_max_mhz`: MHz by number of the core, present when it is known for
        every core; `gpu_nodes`: list of the kernel's device files for GPUs (which adapter a program gets from them the
        runner says); `opencl`: path of an OpenCL library; `vulkan_drivers`: list of names of Vulkan drivers; `tools`:
        list of those commands that exist; `target`: see `target_of`; `emulated`: whether it only stands for a board,
        always present.
    """
    parts = sections(reply, "facts")
    system, machine, release, bits = [*(parts.get("system", "").split("\n")), "", "", "", ""][:4]
    opencl = parts.get("opencl", "").split()
    pairs: list[tuple[str, object]] = [
        ("model", _model(parts)),
        ("cpu_model", _cpu(parts.get("cpuinfo", ""))),
        ("os", _value(parts.get("release", ""), "PRETTY_NAME")),
        ("kernel", f"{system} {release}".strip()),
        ("architecture", machine),
        ("libc", parts.get("libc", "").partition("\n")[0]),
        ("target", _target(system, machine, bits)),
        ("memory_bytes", memory_bytes(parts.get("memory", ""))),
        ("free_bytes", free_bytes(parts.get("df", ""))),
        *cores(parts.get("cpus", "")).items(),
        ("gpu_nodes", [word for word in parts.get("gpu", "").split() if word.startswith("/")]),
        ("opencl", opencl[0] if opencl else None),
        ("vulkan_drivers", sorted({_stem(word) for word in parts.get("vulkan", "").split()})),
        ("tools", [word for word in parts.get("tools", "").split() if word in _TOOLS.split()]),
        ("user", parts.get("user", "")),
        ("emulated", parts.get("emulated", "").strip() == "1"),
    ]
    return dict(known((name, _line(value) if isinstance(value, str) else value) for name, value in pairs))


def target_of(facts: Mapping[str, Any]) -> str:
    """Target whose programs a board runs: "aarch64-linux", "x86_64-linux" or "armv7-linux".

    Raises:
        UsageError: LiteRT has no libraries for such a system.
    """
    machine, kernel = facts.get("architecture") or "an unknown machine", str(facts.get("kernel") or "an unknown system")
    if kernel.startswith("Darwin"):
        raise UsageError("a Mac is measured by the harness running on it (kind: local), not through ssh")
    target = facts.get("target")
    if not target:
        raise UsageError(
            f"boards can be Linux on {', '.join(_MACHINES)}; this one is {machine} with {kernel}; "
            "leave it out of the devices file"
        )
    if facts.get("libc") == "musl":
        raise UsageError(
            "its C library is musl (Alpine Linux and others), and LiteRT's libraries need glibc; "
            "install a distribution with glibc, such as Debian, or leave it out of the devices file"
        )
    return str(target)


def _target(system: str, machine: str, bits: str) -> str | None:
    target = _MACHINES.get(machine) if system == "Linux" else None
    return _32_BIT.get(target, target) if target and bits == "32" else target


def _model(parts: Mapping[str, str]) -> str:
    """A device tree's model names its maker already; DMI's product alone often says nothing."""
    model, vendor = (parts.get(name, "").partition("\n")[0].strip() for name in ("model", "vendor"))
    return f"{vendor} {model}" if vendor and model and not model.lower().startswith(vendor.lower()) else model


def _cpu(text: str) -> str | None:
    """The CPU's name; several kinds of cores are joined by "+", in the order of their numbers."""
    fields: list[tuple[str, str]] = _FIELDS.findall(text)
    named = [value.strip() for key, value in fields if key == "model name" and not value.startswith("ARMv")]
    if named:
        return named[0]
    makers = {value for key, value in fields if key == "CPU implementer"}
    parts = list(dict.fromkeys(value.strip() for key, value in fields if key == "CPU part"))
    if makers == {"0x41"} and parts and all(part in _PARTS for part in parts):
        return " + ".join(_PARTS[part] for part in parts)
    hardware = [value.strip() for key, value in fields if key == "Hardware"]
    return hardware[0] if hardware else None


def _value(text: str, name: str) -> str | None:
    found = re.search(rf"^{name}=[\"']?([^\"'\n]*)", text, re.MULTILINE)
    return str(found[1]) if found else None


def _stem(path: str) -> str:
    return path.rpartition("/")[2].removesuffix(".json")


def _line(text: str) -> str:
    """A text that comes from a vendor, as one printable line of bounded length."""
    return "".join(char for char in " ".join(text[: 4 * _LONGEST].split()) if char.isprintable())[:_LONGEST]
