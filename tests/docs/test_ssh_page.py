"""docs/ssh.md says what the code does with boards and hosts."""

from __future__ import annotations

import re

from harness.devices.adb.server import DEFAULT_PORT
from harness.devices.board.facts import parse_facts
from harness.devices.board.state import parse_state
from harness.devices.ios.usbmux import SYSTEM
from harness.devices.shell.replies import script
from harness.devices.ssh.errors import PASSPHRASE
from harness.devices.ssh.transport import STALL_SECONDS
from tests.conftest import ROOT
from tests.docs.test_docs import CODE, page, rows

TEXT = page("ssh.md")
DF = "Filesystem 1K-blocks Used Available Use% Mounted on\n/dev/root 100 1 99 1% /"
FACTS = {
    "system": "Linux\naarch64\n6.6.31\n64",
    "libc": "glibc 2.36",
    "model": "A board",
    "release": 'PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"',
    "cpuinfo": "CPU implementer : 0x41\nCPU part : 0xd0b",
    "user": "pi",
    "tools": "cat\nsetsid",
    "memory": "MemTotal: 1000 kB",
    "df": DF,
    "cpus": "0 2400000 0",
    "gpu": "/dev/dri/renderD128",
    "opencl": "/usr/lib/libOpenCL.so",
    "vulkan": "/usr/share/vulkan/icd.d/broadcom_icd.json",
}
STATE = {
    "zones": "41000 cpu-thermal",
    "cpus": "1500000 ondemand",
    "uptime": "12.5 40.0",
    "load": "0.5 0.4 0.3 1/100 1000",
    "firmware": "throttled=0x50005",
    "df": DF,
}


def reply(kind: str, parts: dict[str, str]) -> str:
    """What a board would print, out of the script that would have it say so."""
    marks = re.findall(r"^echo; echo '(.*)'$", script(kind, parts), re.MULTILINE)
    return "\n".join(line for mark, text in zip(marks, [*parts.values(), ""], strict=True) for line in (mark, text))


def test_defaults_are_the_code_s() -> None:
    assert {PASSPHRASE, SYSTEM, f"127.0.0.1:{DEFAULT_PORT}"} <= set(CODE.findall(TEXT))
    assert f"silent for about {STALL_SECONDS} seconds" in TEXT


def test_messages_are_the_code_s() -> None:
    """Each is in some module of the ways there, word for word."""
    devices = ROOT / "harness" / "devices"
    modules = [file for folder in ("ssh", "hosts", "shell") for file in (devices / folder).glob("*.py")]
    code = "".join(file.read_text() for file in modules)
    for message, _ in rows(TEXT, "When something is wrong"):
        for words in message.split(" ... "):
            assert words in code, message


def test_figures_of_the_report_are_the_code_s() -> None:
    """Every fact and every figure of a board's state is in docs/report.md."""
    facts, state = parse_facts(reply("facts", FACTS)), parse_state(reply("state", STATE))
    assert len(facts) > 15
    assert len(state) > 8
    text = page("report.md").split("### Boards, and phones of other hosts\n")[1].split("\n#")[0]
    assert {*facts, *state} - {"target", "emulated"} - set(CODE.findall(text)) == set()
