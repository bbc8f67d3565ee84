"""A board reached through SSH: can it be logged in to, what is it, can programs run there, and how is it."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Any

from harness.clock import Clock
from harness.devices.base import DeviceError
from harness.devices.board.device import BOARD
from harness.devices.board.way import SshWay
from harness.devices.shell.replies import NEAREST_FOLDER, script, sections
from harness.devices.ssh.connection import SshConnection
from harness.doctor.findings import Finding, Section, missing, note, ok
from harness.doctor.links import check_link, failed
from harness.doctor.supplies import Supplies, free_space, size
from harness.doctor.ways import Ways
from harness.errors import UsageError
from harness.lab.spec import SshSpec

_SECONDS = 30.0
_NEEDED = ("setsid", "timeout")

# A mount hides what was mounted there before it: the last line that names the mount point counts.
_ROOT = script(
    "root",
    {
        "folder": f'{NEAREST_FOLDER}echo "$d"; [ -w "$d" ] && echo writable',
        "options": """\
m=; for w in $(df -P "$d"); do m=$w; done
o=; while read -r a b c e f; do [ "$b" = "$m" ] && o=$e; done </proc/mounts
echo "$o" """,
    },
)
"""Whether the harness's folder can be written to and executed from, asked without writing anything."""


def check_board(spec: SshSpec, supplies: Supplies, ways: Ways, clock: Clock) -> Section:
    """Everything about one board. Nothing on it is changed.

    Args:
        spec: its entry in devices.yaml.
        supplies: of the lab.
        ways: to devices.
        clock: time.
    """
    title = f"{spec.name} (ssh)"
    if spec.any:
        words = f"{spec.origin}: 'any' cannot be driven yet; list the boards one by one, each with its 'address'"
        return Section(title, (missing("address", words),))

    def opened() -> SshConnection:
        return SshConnection(spec.address or "", spec.key, spec.name, clock, owner="device")

    link = check_link(opened, spec.name, ways, required=spec.required)
    if link.connection is None:
        return Section(title, link.findings)
    try:
        found = _findings(spec, link.connection, supplies)
    except DeviceError as error:
        found = [failed(error, spec.name, "shell")]
    finally:
        link.connection.close()
    return Section(title, (*link.findings, *found))


def _findings(spec: SshSpec, connection: SshConnection, supplies: Supplies) -> list[Finding]:
    way = SshWay(connection)
    root = f"ROOT={shlex.quote(spec.root)}\n" if spec.root else "ROOT=$HOME/.cache/harness\n"
    reply = way.shell(f"{root}{BOARD.facts_script}{_ROOT}{BOARD.state_script}", _SECONDS, shown="a script").text
    facts, state = BOARD.parse_facts(reply), BOARD.parse_state(reply)
    found = [_platform(facts), _gpu(facts)]
    try:
        found += supplies.findings(BOARD.target_of(facts))
    except UsageError as error:
        found.append(missing("runner", str(error)))
    found += [*_folder(spec, sections(reply, "root"), facts), *_tools(spec, facts), *_condition(spec, state)]
    return found


def _platform(facts: Mapping[str, Any]) -> Finding:
    words = [str(facts[key]) for key in ("model", "cpu_model") if key in facts]
    if "cores" in facts:
        words.append(f"{facts['cores']} cores")
    words += [str(facts[key]) for key in ("os", "kernel", "architecture") if key in facts]
    if "memory_bytes" in facts:
        words.append(f"{size(facts['memory_bytes'])} RAM")
    if facts.get("emulated"):
        words.append("EMULATED: its rows can never qualify a release")
    return ok("platform", ", ".join(words))


def _gpu(facts: Mapping[str, Any]) -> Finding:
    """What there is of a GPU; whether a model runs on it is known when one does."""
    drivers = facts.get("vulkan_drivers", [])
    nodes = facts.get("gpu_nodes", [])
    if not drivers and "opencl" not in facts:
        return note("GPU", "no Vulkan driver and no OpenCL library seen: GPU cells may be UNSUPPORTED")
    words = [f"Vulkan drivers: {', '.join(drivers)}"] if drivers else []
    words += [f"OpenCL: {facts['opencl']}"] if "opencl" in facts else []
    if not nodes:
        return note("GPU", f"{'; '.join(words)}; the kernel shows no GPU, so that they may compute on the CPU")
    return ok("GPU", "; ".join([*words, f"devices: {', '.join(nodes)}"]))


def _folder(spec: SshSpec, parts: Mapping[str, str], facts: Mapping[str, Any]) -> list[Finding]:
    folder, *marks = [*parts.get("folder", "").split("\n")]
    another = f"give {spec.name} another `root` in devices.yaml: {BOARD.elsewhere}"
    where = spec.root or f"~/.cache/harness of {facts.get('user', 'its user')}"
    found = []
    options = parts.get("options", "").strip().split(",")
    if "ro" in options:
        words = f"{folder}, where {where} would be, is on a file system that is mounted read-only"
        found.append(missing("folder", words, another))
    elif "noexec" in options:
        words = f"{folder}, where {where} would be, is on a file system that runs no programs (noexec)"
        found.append(missing("folder", words, another))
    elif "writable" not in marks:
        words = f"{facts.get('user', 'its user')} may not write to {folder or 'any folder'}, where {where} would be"
        found.append(missing("folder", words, another))
    else:
        found.append(ok("folder", f"{where}: can be written to, and programs can run there"))
    if "free_bytes" in facts:
        found.append(free_space(facts["free_bytes"], "on the board"))
    else:
        found.append(note("space", "unknown: the board has no `df` that says it"))
    return found


def _tools(spec: SshSpec, facts: Mapping[str, Any]) -> list[Finding]:
    """What a run cannot do without, what devices.yaml asks for, and what a run does without."""
    there = facts.get("tools", [])
    lacking = [tool for tool in _NEEDED if tool not in there]
    if lacking:
        words = f"the board has no {', '.join(lacking)}, which end a job whose connection broke"
        return [missing("tools", words, f"install coreutils and util-linux on {spec.name}")]
    if spec.cores and "taskset" not in there:
        words = "devices.yaml asks for cores, and the board has no taskset"
        return [missing("tools", words, f"install util-linux on {spec.name}, or leave `cores` out")]
    if "sha256sum" not in there:
        return [note("tools", "the board has no sha256sum; the harness does without, and checks less")]
    return [ok("tools", ", ".join(there))]


def _condition(spec: SshSpec, state: Mapping[str, Any]) -> list[Finding]:
    """Heat, against the limit of devices.yaml where it states one, and what slows the board down."""
    found = []
    celsius, limit = state.get("temperature_c"), spec.limits.temperature
    if celsius is not None:
        words = f"{celsius:.1f} °C ({state.get('temperature_sensor', 'unnamed sensor')})"
        if limit is not None and celsius > limit:
            found.append(note("heat", f"{words}, above the limit of {limit:g} °C"))
        else:
            found.append(ok("heat", words))
    if state.get("throttled"):
        words = ", ".join(state["throttled"])
        found.append(note("throttled", f"now: {words}; times would be too long: look at its power supply and cooling"))
    elif state.get("throttled_before"):
        found.append(note("throttled", f"since it started: {', '.join(state['throttled_before'])}"))
    return found
