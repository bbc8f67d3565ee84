"""What a board has in /proc and /sys: files that lie over those of this computer."""

from __future__ import annotations

import os
import uuid
from collections.abc import Mapping

from emulated.board.machine import Arch

BOOT_ID = "/proc/sys/kernel/random/boot_id"
TEMPERATURE = "/sys/class/thermal/thermal_zone0/temp"
_CPUFREQ = {
    "cpuinfo_max_freq": "2400000",
    "cpuinfo_min_freq": "1500000",
    "scaling_cur_freq": "2400000",
    "scaling_governor": "performance",
}

# One core of an Arm Neoverse N1 (Debian's kernel 6.1 prints these lines), which qemu 7.2 has. LiteRT reads which
# instructions there are out of this file and nowhere else.
_CORE = """\
processor	: {core}
BogoMIPS	: 125.00
Features	: fp asimd evtstrm aes pmull sha1 sha2 crc32 atomics fphp asimdhp cpuid asimdrdm lrcpc dcpop asimddp
CPU implementer	: 0x41
CPU architecture: 8
CPU variant	: 0x3
CPU part	: 0xd0c
CPU revision	: 1

"""


def new_boot_id() -> str:
    """The line of /proc/sys/kernel/random/boot_id: another one after every start."""
    return f"{uuid.uuid4()}\n"


def own_files(arch: Arch) -> Mapping[str, str]:
    """Absolute path -> content. It has as many cores as this computer, so that numbers of cores mean the same."""
    cores = range(os.cpu_count() or 1)
    last = f"0-{len(cores) - 1}\n" if len(cores) > 1 else "0\n"
    cpu = "/sys/devices/system/cpu"
    files = {
        BOOT_ID: new_boot_id(),
        "/proc/device-tree/model": f"Emulated board ({arch})\0",
        "/sys/class/thermal/thermal_zone0/type": "cpu-thermal\n",
        TEMPERATURE: "41000\n",
        **{f"{cpu}/{name}": last for name in ("possible", "present", "online")},
    }
    for core in cores:
        files |= {f"{cpu}/cpu{core}/cpufreq/{name}": f"{value}\n" for name, value in _CPUFREQ.items()}
        files[f"{cpu}/cpu{core}/cpufreq/related_cpus"] = f"{core}\n"
    if arch == "aarch64":
        files["/proc/cpuinfo"] = "".join(_CORE.format(core=core) for core in cores)
    return files
