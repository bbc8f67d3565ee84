"""Facts of boards: the script in shells that boards have, and the forms in which they answer it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from harness.devices.board.facts import FACTS_SCRIPT, parse_facts, target_of
from harness.errors import UsageError
from tests.devices.android.phone import SHELLS, Phone, garbage, reply

CORES = "0 1800000 0 1 2 3\n1 1800000 0 1 2 3\n2 1800000 0 1 2 3\n3 1800000 0 1 2 3\n4 2400000 4 5\n5 2400000 4 5\n"


def facts(**parts: str) -> dict[str, Any]:
    return parse_facts(reply("facts", parts))


def system(machine: str, bits: str = "64", name: str = "Linux", **parts: str) -> dict[str, Any]:
    return facts(system=f"{name}\n{machine}\n6.6.31\n{bits}", **parts)


@pytest.fixture
def board(tmp_path: Path) -> Phone:
    """A board of files, with the formats of a device tree."""
    board = Phone(tmp_path)
    for tool in ("tr", "sh"):
        board.link(tool)
    board.program("uname", {"-s": "Linux\n", "-m": "aarch64\n", "-r": "6.6.31-v8\n"})
    board.program("getconf", {"LONG_BIT": "64\n", "GNU_LIBC_VERSION": "glibc 2.36\n"})
    board.program("id", {"-un": "pi\n"})
    board.program("df", {"/": "Filesystem 1K-blocks Used Available Use% Mounted on\n/dev/root 100 40 60 40% /\n"})
    board.file("proc/meminfo", "MemTotal:        8048000 kB\n")
    board.file("proc/device-tree/model", "A board Rev 1.0\0")
    board.file(
        "proc/cpuinfo", "".join(f"processor\t: {i}\nCPU implementer\t: 0x41\nCPU part\t: 0xd0b\n" for i in range(4))
    )
    board.file("etc/os-release", 'NAME="Debian GNU/Linux"\nPRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\n')
    for core in range(4):
        board.file(f"sys/devices/system/cpu/cpu{core}/cpufreq/cpuinfo_max_freq", "2400000\n")
    board.file("dev/dri/renderD128", "")
    board.file("usr/share/vulkan/icd.d/broadcom_icd.json", "{}")
    return board


@pytest.mark.parametrize("shell", SHELLS)
def test_a_board_as_its_own_shell_reports_it(board: Phone, shell: str) -> None:
    found = parse_facts(board.run(shell, FACTS_SCRIPT, root="/no-such-folder/harness"))
    assert found.pop("gpu_nodes")[0].endswith("/dev/dri/renderD128")
    found.pop("opencl", None)  # this computer's
    assert found == {
        "model": "A board Rev 1.0",
        "cpu_model": "Cortex-A76",
        "os": "Debian GNU/Linux 12 (bookworm)",
        "kernel": "Linux 6.6.31-v8",
        "architecture": "aarch64",
        "libc": "glibc 2.36",
        "target": "aarch64-linux",
        "memory_bytes": 8048000 * 1024,
        "free_bytes": 60 * 1024,
        "cores": 4,
        "core_max_mhz": [2400] * 4,
        "vulkan_drivers": ["broadcom_icd"],
        "tools": ["cat", "df", "getconf"],
        "user": "pi",
        "emulated": False,
    }
    assert target_of(found) == "aarch64-linux"


def test_a_board_that_has_next_to_nothing_is_no_mistake(tmp_path: Path) -> None:
    board = Phone(tmp_path)
    found = parse_facts(board.run("sh", FACTS_SCRIPT))
    assert found["emulated"] is False
    assert "model" not in found
    with pytest.raises(UsageError, match="unknown machine"):
        target_of(found)


@pytest.mark.parametrize(
    ("machine", "bits", "target"),
    [
        ("x86_64", "64", "x86_64-linux"),
        ("aarch64", "64", "aarch64-linux"),
        ("aarch64", "", "aarch64-linux"),
        ("aarch64", "32", "armv7-linux"),  # a 32-bit system on a 64-bit kernel
        ("armv7l", "32", "armv7-linux"),
        ("armv8l", "32", "armv7-linux"),
    ],
)
def test_the_target_is_that_of_the_system_not_of_the_kernel(machine: str, bits: str, target: str) -> None:
    assert target_of(system(machine, bits)) == target


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (system("riscv64"), "this one is riscv64 with Linux 6.6.31"),
        (system("armv6l", "32"), "this one is armv6l"),
        (system("amd64", name="FreeBSD"), "FreeBSD 6.6.31"),
        (system("arm64", name="Darwin"), r"kind: local"),
        (system("x86_64", libc="musl"), "Alpine Linux.*install a distribution with glibc"),
    ],
)
def test_what_cannot_be_measured_is_refused_with_words(found: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        target_of(found)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("model name\t: AMD EPYC\nmodel name\t: AMD EPYC\n", "AMD EPYC"),
        (
            "CPU implementer : 0x41\nCPU part : 0xd05\nCPU implementer : 0x41\nCPU part : 0xd0b\n",
            "Cortex-A55 + Cortex-A76",
        ),
        ("model name\t: ARMv7 Processor rev 3 (v7l)\nCPU implementer : 0x41\nCPU part : 0xd08\n", "Cortex-A72"),
        ("CPU implementer : 0x4e\nCPU part : 0x004\n", None),
        ("CPU implementer : 0x4e\nCPU part : 0x004\nHardware\t: BCM2711\n", "BCM2711"),
        ("", None),
    ],
)
def test_the_cpu_is_named(text: str, name: str | None) -> None:
    assert facts(cpuinfo=text).get("cpu_model") == name


@pytest.mark.parametrize(
    ("model", "vendor", "name"),
    [
        ("A board Rev 1.0", "", "A board Rev 1.0"),
        ("NUC1", "Maker", "Maker NUC1"),
        ("Maker NUC1", "Maker", "Maker NUC1"),
        ("", "Maker", None),
    ],
)
def test_the_model_has_its_maker(model: str, vendor: str, name: str | None) -> None:
    assert facts(model=model, vendor=vendor).get("model") == name


def test_fast_cores_are_known() -> None:
    assert facts(cpus=CORES)["core_max_mhz"] == [1800] * 4 + [2400] * 2


def test_an_emulated_board_says_so() -> None:
    assert facts(emulated="1")["emulated"] is True


def test_garbage_is_no_mistake() -> None:
    texts = [reply("facts", {"system": "Linux\naarch64\n6.6\n64", "cpuinfo": "CPU part : 0xd0b", "cpus": CORES})]
    for text in garbage(texts, 300):
        assert isinstance(parse_facts(text)["emulated"], bool)
