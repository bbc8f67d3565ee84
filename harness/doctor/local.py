"""This computer as a device."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from harness.clock import Clock
from harness.devices.base import DeviceError
from harness.devices.registry import open_device
from harness.doctor.findings import Finding, Section, missing, note, ok
from harness.doctor.supplies import Supplies, free_space
from harness.lab.spec import LocalSpec

_DRIVERS = "docs/gpu_drivers.md says where drivers come from"
_MANIFESTS = ("/etc/vulkan/icd.d", "/usr/share/vulkan/icd.d", "/usr/local/share/vulkan/icd.d")
_NAMED = ("VK_DRIVER_FILES", "VK_ICD_FILENAMES")


def check_local(spec: LocalSpec, supplies: Supplies, clock: Clock) -> Section:
    """Processor, GPU driver, runner, runtime and space."""
    title = f"{spec.name} (local)"
    device = open_device(spec, clock)
    try:
        facts = device.connect(lambda text: None)
        target = device.target or "unknown"
        state = device.state()
    except DeviceError as error:
        return Section(title, (missing("platform", str(error)),))
    finally:
        device.close()
    findings = [ok("platform", f"{facts['cpu_model']}, {facts['cores']} cores, {facts['os']} ({target})")]
    findings += [check_vulkan(spec.env), *supplies.findings(target)]
    findings.append(free_space(shutil.disk_usage(tempfile.gettempdir()).free, "for temporary files"))
    if "temperature_c" in state:
        findings.append(ok("heat", f"{state['temperature_c']:.0f} °C"))
    return Section(title, tuple(findings))


def check_vulkan(env: Mapping[str, str]) -> Finding:
    """Which Vulkan drivers the loader will find; whether they work shows when a model runs on one."""
    variable = next((name for name in _NAMED if env.get(name) or os.environ.get(name)), None)
    if variable is not None:
        named = (env.get(variable) or os.environ[variable]).split(os.pathsep)
        absent = [name for name in named if not Path(name).is_file()]
        if absent:
            return missing("GPU", f"{variable} names {', '.join(absent)}, which is no file; {_DRIVERS}")
        return ok("GPU", f"Vulkan driver {', '.join(Path(name).stem for name in named)} ({variable})")
    if not sys.platform.startswith("linux"):
        return note("GPU", "not looked for on this system; a run shows whether a model runs on it")
    found = sorted({path.stem for folder in _MANIFESTS for path in Path(folder).glob("*.json")})
    if not found:
        return note("GPU", f"no Vulkan driver is installed: GPU cells will be UNSUPPORTED; {_DRIVERS}")
    return ok("GPU", f"Vulkan drivers: {', '.join(found)}")
