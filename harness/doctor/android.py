"""A phone: can it be reached, does it trust this computer, what is it, and how is it."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from harness.clock import Clock
from harness.devices.adb.device import USB, AdbDevice
from harness.devices.adb.errors import AdbError, DeviceLostError, DeviceTimeoutError, UnauthorizedError
from harness.devices.adb.server import AdbServer, ListedDevice
from harness.devices.android.facts import FACTS_SCRIPT, parse_facts, target_of
from harness.devices.android.state import STATE_SCRIPT, parse_state
from harness.devices.shell.replies import NEAREST_FOLDER, script, sections
from harness.doctor.findings import Finding, Section, missing, note, ok
from harness.doctor.supplies import Supplies, free_space, size
from harness.doctor.ways import Ways
from harness.errors import UsageError
from harness.lab.spec import AndroidSpec, abi_of

AGAIN = "run harness doctor again"
_PLUG = f"plug the phone in, unlock it, switch its USB debugging on (docs/first-phone.md), then {AGAIN}"
_SWITCH_ON = f"see that the phone is switched on and has the address that devices.yaml says, then {AGAIN}"
TAP = f"tap Allow on the phone, then {AGAIN}"
REPLUG = f"unplug it and plug it in again, then {AGAIN}"
_ON_USB_SECONDS = 5.0
_ON_NETWORK_SECONDS = 12.0  # adb itself gives up on an address after 10
_UNREADY_SECONDS = 1.5
_HOPELESS = ("unauthorized", "no permissions", "recovery", "sideload", "bootloader")
_ANSWER_SECONDS = 5.0
_SCRIPT_SECONDS = 30.0  # old phones start a virtual machine for some commands
_THERMAL = ("none", "light", "moderate", "severe", "critical", "emergency", "shutdown")
_SOFTWARE = ("pixelflinger", "swiftshader", "llvmpipe", "lavapipe")
_WARM = 1
"""Android's thermal status from which on clocks may be lowered."""

_ROOT = script("root", {"unwritable": f'{NEAREST_FOLDER}[ -w "$d" ] || echo "$d"'})


@dataclass(frozen=True)
class Reached:
    """A phone that answers.

    Attributes:
        device: the way to it.
        facts: what `FACTS_SCRIPT` printed.
        state: what `STATE_SCRIPT` printed.
        unwritable: the folder that nothing can be written to, if so.
    """

    device: AdbDevice
    facts: str
    state: str
    unwritable: str | None


def title_of(spec: AndroidSpec) -> str:
    """How a phone's section is called."""
    return f"{spec.name} (android)"


def reach(spec: AndroidSpec, server: AdbServer, listed: Sequence[ListedDevice], ways: Ways, clock: Clock) -> Reached:
    """Connect to a phone and ask for its facts and state.

    Args:
        spec: of one phone, not "*".
        server: its adb server.
        listed: what that server lists.
        ways: to devices.
        clock: time.

    Raises:
        AdbError: it is not there, does not trust this computer, or does not answer in time.
    """
    device = AdbDevice(server, spec.serial or "", spec.name, clock)
    ways.add(device.interrupt)
    states = [one.state for one in listed if spec.serial in (one.serial, one.path)]
    # What is absent, or waits for a person, does not change while it is waited for; the words come from there.
    seconds = _ON_USB_SECONDS if states else _UNREADY_SECONDS
    if any(state.startswith(_HOPELESS) for state in states):
        seconds = _UNREADY_SECONDS
    elif device.network:
        seconds = _ON_NETWORK_SECONDS
    device.connect(seconds, lambda text: None, ways.cancelled)
    device.shell("echo", _ANSWER_SECONDS)  # what hangs is still listed as ready
    root = f"ROOT={shlex.quote(spec.root)}\n"
    facts = device.shell(root + FACTS_SCRIPT + _ROOT, _SCRIPT_SECONDS).text
    state = device.shell(root + STATE_SCRIPT, _SCRIPT_SECONDS).text
    return Reached(device, facts, state, sections(facts, "root").get("unwritable") or None)


def check_android(
    spec: AndroidSpec,
    server: AdbServer,
    listed: Sequence[ListedDevice],
    supplies: Supplies,
    *,
    ways: Ways,
    clock: Clock,
) -> Section:
    """Everything about one phone. Nothing on it is changed, and nobody is waited for.

    Args:
        spec: of one phone, not "*".
        server: its adb server, which answers.
        listed: what that server lists.
        supplies: of the lab.
        ways: to devices.
        clock: time.
    """
    try:
        phone = reach(spec, server, listed, ways, clock)
    except AdbError as error:
        return Section(title_of(spec), (_unreachable(spec, listed, error),))
    facts, state = parse_facts(phone.facts), parse_state(phone.state)
    findings = [ok("reachable", _way(spec, listed)), _platform(facts), _gpu(facts)]
    try:
        findings += supplies.findings(target_of(facts))
    except UsageError as error:
        findings.append(missing("runner", str(error)))
    findings += [*_room(spec, phone.unwritable, facts), *_condition(spec, state), *_oddities(phone.device, facts)]
    return Section(title_of(spec), tuple(findings))


def _unreachable(spec: AndroidSpec, listed: Sequence[ListedDevice], error: AdbError) -> Finding:
    """An optional phone may be absent; one that is there has to be usable."""
    words = str(error).removeprefix(f"{spec.name}: ")
    if isinstance(error, UnauthorizedError):
        return missing("authorised", words, TAP)
    there = any(spec.serial in (one.serial, one.path) for one in listed)
    mend = None
    if isinstance(error, DeviceTimeoutError):
        words, mend = f"is listed as ready, and does not answer: {words}", REPLUG
    elif isinstance(error, DeviceLostError):
        mend = REPLUG if there else _SWITCH_ON if _on_network(spec) else _PLUG
    return (missing if spec.required or there else note)("reachable", words, mend)


def _on_network(spec: AndroidSpec) -> bool:
    serial = spec.serial or ""
    return ":" in serial and not serial.startswith(USB)


def _way(spec: AndroidSpec, listed: Sequence[ListedDevice]) -> str:
    path = next((one.path for one in listed if spec.serial in (one.serial, one.path)), None)
    words = ["authorised", f"serial {spec.serial}"]
    words += [path] if path and path != spec.serial else []
    if spec.host is not None:
        words.append(f"on {spec.host}")
    elif spec.adb_server:
        words.append(f"adb server {spec.adb_server}")
    return ", ".join(words)


def _platform(facts: Mapping[str, Any]) -> Finding:
    words = [str(facts[key]) for key in ("manufacturer", "model", "soc") if key in facts]
    if "android_version" in facts:
        words.append(f"Android {facts['android_version']} (SDK {facts.get('sdk', 'unknown')})")
    if "memory_bytes" in facts:
        words.append(f"{size(facts['memory_bytes'])} RAM")
    words.append(f"ABIs {', '.join(facts.get('abis', ['unknown']))}")
    if facts.get("emulated"):
        words.append("EMULATED: its rows can never qualify a release")
    return ok("platform", ", ".join(words))


def _gpu(facts: Mapping[str, Any]) -> Finding:
    """What the phone says of its GPU; whether a model runs on it is known when one does."""
    apis = []
    if "opengl_es" in facts:
        apis.append(f"OpenGL ES {facts['opengl_es']}")
    if "vulkan" in facts:
        apis.append(f"Vulkan {facts['vulkan']}")
    apis.append("OpenCL" if "opencl" in facts else "no OpenCL library seen")
    if "gpu_renderer" not in facts:
        return note("GPU", f"it names no GPU driver ({', '.join(apis)}): GPU cells may be UNSUPPORTED")
    driver = f", driver {facts['gpu_driver']}" if "gpu_driver" in facts else ""
    words = f"{facts['gpu_renderer']}{driver}; {', '.join(apis)}"
    if any(name in words.lower() for name in _SOFTWARE):
        return note("GPU", f"{words}: that is drawn by the CPU, and no GPU")
    return ok("GPU", words)


def _room(spec: AndroidSpec, unwritable: str | None, facts: Mapping[str, Any]) -> list[Finding]:
    found = []
    if unwritable is not None:
        words = f"{facts.get('shell_user', 'the shell')} may not write to {unwritable}, where {spec.root} would be"
        found.append(missing("folder", words, f"give {spec.name} another `root` in devices.yaml"))
    if "free_bytes" in facts:
        found.append(free_space(facts["free_bytes"], f"on the phone, for {spec.root}"))
    else:
        found.append(note("space", "unknown: the phone has no `df` that says it"))
    return found


def _condition(spec: AndroidSpec, state: Mapping[str, Any]) -> list[Finding]:
    """Battery and heat, against the limits of devices.yaml where it states some."""
    words, faults = [], []
    percent, celsius = state.get("battery_percent"), state.get("temperature_c")
    if percent is not None:
        words.append(f"{percent} %{', charging' if state.get('charging') else ''}")
        if spec.limits.battery is not None and percent < spec.limits.battery:
            faults.append(f"below the limit of {spec.limits.battery:g} %")
    found = [(note if faults else ok)("battery", ", ".join([*words, *faults]))] if words else []
    words, faults = [], []
    if celsius is not None:
        words.append(f"{celsius:.1f} °C ({state.get('temperature_sensor', 'unnamed sensor')})")
        if spec.limits.temperature is not None and celsius > spec.limits.temperature:
            faults.append(f"above the limit of {spec.limits.temperature:g} °C")
    status = state.get("thermal_status")
    if status is not None:
        words.append(f"thermal status {status} ({_THERMAL[status]})")
        if status >= _WARM:
            faults.append("let it cool before you measure")
    if words:
        found.append((note if faults else ok)("heat", ", ".join([*words, *faults])))
    return found


def _oddities(device: AdbDevice, facts: Mapping[str, Any]) -> list[Finding]:
    found = []
    if "shell_v2" not in device.features:
        found.append(note("adb", "an old adbd without shell_v2: a run ends when its connection does"))
    lacking = [tool for tool in ("sha256sum", "setsid", "timeout") if tool not in facts.get("tools", [])]
    if lacking:
        found.append(note("tools", f"the phone has no {', '.join(lacking)}; the harness does without, more slowly"))
    if abi_of(str(facts.get("target"))) == "armeabi-v7a":
        found.append(note("ABI", "32 bits only: large models may not fit into its address space"))
    return found
