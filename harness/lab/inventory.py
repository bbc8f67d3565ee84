"""A lab: the devices of one devices.yaml, and what they need."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from harness.errors import UsageError
from harness.lab.spec import (
    ABIS,
    TARGETS,
    VERSION,
    WILDCARD,
    AndroidSpec,
    BinarySource,
    DevicesFile,
    DeviceSpec,
    HostSpec,
    IosSpec,
    LocalSpec,
    PluggedSpec,
    RuntimeSource,
    SshSpec,
)
from harness.yamlfile import Document, dotted, load, suggest
from harness.yamlmodel import validate

AUTO = "auto"
_VERSION = re.compile(r"[0-9]+(\.[0-9]+)+([a-z]+[0-9]+)?")


@dataclass(frozen=True)
class Inventory:
    """A lab, as its file describes it.

    Attributes:
        specs: the devices, in the file's order; wildcards are not resolved yet.
        runners: runner -> target -> its program, with an absolute path; Android's ABIs are targets by now.
        runtimes: the named runtimes, with absolute paths.
        hosts: the computers that devices are plugged into, with absolute paths of their key files.
        path: of the file, absolute; None for a lab that has none.
        sha256: of the file's content.
    """

    specs: tuple[DeviceSpec, ...]
    runners: Mapping[str, Mapping[str, BinarySource]] = field(default_factory=dict)
    runtimes: Mapping[str, RuntimeSource] = field(default_factory=dict)
    hosts: Mapping[str, HostSpec] = field(default_factory=dict)
    path: Path | None = None
    sha256: str = hashlib.sha256(b"").hexdigest()

    def runtime(self, name: str) -> RuntimeSource:
        """Where the runtime that a suite names comes from: a named one, else the wheel of that version.

        Raises:
            UsageError: if it is neither.
        """
        if name in self.runtimes:
            return self.runtimes[name]
        if _VERSION.fullmatch(name):
            return RuntimeSource(wheel=name)
        file = self.path.name if self.path else "the lab"
        hint = suggest(name, self.runtimes, "'runtimes' has")
        raise UsageError(
            f"no runtime called '{name}' in {file}{hint}; "
            f"add it there, or name a version of the ai-edge-litert wheel, such as 2.2.0"
        )


def open_inventory(devices: str, *, environ: Mapping[str, str] | None = None) -> Inventory:
    """The lab that `--devices` names: a file, or "auto" for what can be found without one. Raises UsageError."""
    if not devices.strip():
        raise UsageError("--devices is empty: name a devices file, or 'auto' for this machine")
    return auto_inventory() if devices == AUTO else load_inventory(Path(devices), environ=environ)


def auto_inventory() -> Inventory:
    """This machine, and every phone that is plugged in."""
    phones = AndroidSpec(kind="android", serial=WILDCARD, required=False)
    iphones = IosSpec(kind="ios", udid=WILDCARD, required=False)
    return Inventory(specs=(LocalSpec(name="this-machine", kind="local"), phones, iphones))


def load_inventory(path: Path, *, environ: Mapping[str, str] | None = None) -> Inventory:
    """Read a devices.yaml.

    Args:
        path: of the file; paths in it are relative to its folder.
        environ: where `${HARNESS_*}` is looked up; the process's environment by default.

    Raises:
        UsageError: one line for each thing that is wrong, with file, line and key.
    """
    document = load(path, version=VERSION, environ=environ)
    if "delegates" in document.data and "devices" not in document.data:
        raise UsageError(
            f"{document.name}: is a suite, not a devices file; write --devices devices.yaml {document.name}"
        )
    file = validate(DevicesFile, document)
    folder = path.absolute().parent
    _check(document, file, folder)
    return Inventory(
        specs=tuple(
            _placed_device(spec, folder).at(document.where(("devices", index)))
            for index, spec in enumerate(file.devices)
        ),
        runners={name: _programs(document, name, targets, folder) for name, targets in file.runners.items()},
        runtimes={name: _placed_runtime(runtime, folder) for name, runtime in file.runtimes.items()},
        hosts={name: _placed_host(host, folder) for name, host in file.hosts.items()},
        path=path.absolute(),
        sha256=document.sha256,
    )


def _check(document: Document, file: DevicesFile, folder: Path) -> None:
    """What no entry can tell alone: names are unique, hosts and key files exist, the runners' targets are some."""
    problems = [
        str(document.error(loc, f"no file {document.shown(loc)}: expected a private key (`ssh-keygen` makes one)"))
        for loc, key in _key_files(file)
        if not _placed(key, folder).is_file()
    ]
    for runner, targets in file.runners.items():
        known: dict[str, str] = {}
        for name in targets:
            place = ("runners", runner, name)
            target = ABIS.get(name, name)
            if target not in TARGETS:  # it would be left unused, and a program be measured with that nobody named
                hint = suggest(name, (*TARGETS, *ABIS), "known here")
                problems.append(str(document.error(place, f"no target is called '{name}'{hint}")))
            elif target in known:
                problems.append(str(document.error(place, f"'{name}' and '{known[target]}' are the same target")))
            known.setdefault(target, name)
    first: dict[str, int] = {}
    for index, spec in enumerate(file.devices):
        loc = ("devices", index, "name")
        if spec.name and spec.name in first:
            before = document.where(("devices", first[spec.name], "name"))
            problems.append(str(document.error(loc, f"duplicate name {document.shown(loc)} (first at {before})")))
        first.setdefault(spec.name, index)
        if isinstance(spec, PluggedSpec) and spec.host is not None and spec.host not in file.hosts:
            loc = ("devices", index, "host")
            hint = suggest("" if document.has_placeholder(loc) else spec.host, file.hosts, "'hosts' has")
            problems.append(str(document.error(loc, f"no host called {document.shown(loc)}{hint}")))
    if problems:
        raise UsageError("\n".join(problems))


def _key_files(file: DevicesFile) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """Where a private key file is named, and its name."""
    for name, host in file.hosts.items():
        if host.identity is not None:
            yield ("hosts", name, "identity"), host.identity
    for index, spec in enumerate(file.devices):
        if isinstance(spec, SshSpec) and spec.key is not None:
            yield ("devices", index, "identity"), spec.key


def _placed(path: str, folder: Path) -> Path:
    return folder / Path(path).expanduser()


def _placed_host(host: HostSpec, folder: Path) -> HostSpec:
    if host.identity is None:
        return host
    return host.model_copy(update={"identity": str(_placed(host.identity, folder))})


def _placed_device(spec: DeviceSpec, folder: Path) -> DeviceSpec:
    if not isinstance(spec, SshSpec) or spec.key is None:
        return spec
    return spec.model_copy(update={"key": str(_placed(spec.key, folder))})


def _programs(
    document: Document, runner: str, targets: Mapping[str, BinarySource], folder: Path
) -> dict[str, BinarySource]:
    """A runner's programs by target, whatever name the file uses for it."""
    programs = {}
    for name, source in targets.items():
        place = ("runners", runner, name)
        link = (*place, "url")
        shown = document.shown(link).strip("'") if document.has_placeholder(link) else ""
        programs[ABIS.get(name, name)] = source.at(f"{document.where(place)}: {dotted(place)}", folder, shown)
    return programs


def _placed_runtime(runtime: RuntimeSource, folder: Path) -> RuntimeSource:
    files = {"aar": runtime.aar, "path": runtime.path}
    placed = {key: str(folder / value) for key, value in files.items() if value is not None}
    return runtime.model_copy(update=placed)
