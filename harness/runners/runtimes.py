"""Runtimes: one version of the LiteRT shared libraries for one target.

The default is the one inside the installed `ai-edge-litert` wheel. Others are fetched as the official wheel for
the device's platform with pip (so mirrors and proxies configured for pip apply), unpacked once, and kept by
version and target. There are no wheels for phones: theirs come out of an Android archive, the default out of what
`harness fetch android` brought.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import shutil
import subprocess
import sys
import tempfile
import threading
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path

from harness.devices.base import JobFile
from harness.errors import UsageError
from harness.lab.inventory import Inventory
from harness.lab.spec import abi_of
from harness.paths import cache_dir, sha256_file
from harness.runners.archives import sha256_of, unpacked, version_in
from harness.runners.fetched import COMMAND, fetched_runtime

WHEEL = "ai-edge-litert"
FOLDER = "runtime"
_PLATFORMS = {
    "x86_64-linux": ("manylinux_2_27_x86_64", "manylinux_2_17_x86_64", "manylinux2014_x86_64"),
    "aarch64-linux": ("manylinux_2_27_aarch64", "manylinux_2_17_aarch64", "manylinux2014_aarch64"),
    "aarch64-macos": ("macosx_12_0_arm64", "macosx_11_0_arm64"),
}
_LIBRARY = {"linux": "libLiteRt.so", "android": "libLiteRt.so", "macos": "libLiteRt.dylib"}
_PIP_SECONDS = 600
_OWN = (
    "name the folder of its libraries in the devices file (runtimes: {mine: {path: FOLDER}}) and give the suite's "
    "delegates 'runtime: mine'"
)


@dataclass(frozen=True)
class Runtime:
    """A runtime's files on the controller.

    Attributes:
        name: as the suite names it; "default" for the installed wheel's.
        version: of the wheel; None when it is a folder of the user's.
        target: platform of the libraries.
        library: name of the main library in the job's folder.
        sha256: of that library.
        files: what has to be on the device.
    """

    name: str
    version: str | None
    target: str
    library: str
    sha256: str
    files: tuple[JobFile, ...]


class Runtimes:
    """Finds, fetches and describes runtimes; each is prepared once per run."""

    def __init__(self, lab: Inventory, host: str) -> None:
        """Runtimes as `lab` names them; `host` is the controller's own target."""
        self._lab = lab
        self._host = host
        self._lock = threading.Lock()
        self._known: dict[tuple[str | None, str], Runtime] = {}

    def get(self, name: str | None, target: str) -> Runtime:
        """The runtime `name` (None: the installed wheel's version) for a target.

        Raises:
            UsageError: an unknown name, a version that cannot be had, or files that are no runtime.
        """
        key = (name, target)
        with self._lock:  # two devices must not fetch the same wheel at once
            if key not in self._known:
                self._known[key] = self._make(name, target)
            return self._known[key]

    def version(self, name: str) -> str | None:
        """The version that a name stands for, without getting it; None for a folder of the user's.

        Raises:
            UsageError: an unknown name, or an archive that cannot be read.
        """
        source = self._lab.runtime(name)
        return version_in(Path(source.aar)) if source.aar is not None else source.wheel

    @property
    def used(self) -> list[Runtime]:
        """Every runtime that was asked for so far."""
        return list(self._known.values())

    def _make(self, name: str | None, target: str) -> Runtime:
        abi = abi_of(target)
        if name is None:
            if abi is not None:
                return _describe("default", *_fetched(target, abi))
            installed = _installed_version()
            if target == self._host:
                return _describe("default", installed, target, _installed_folder())
            return _describe("default", installed, target, _wheel_folder(installed, target))
        source = self._lab.runtime(name)
        if source.wheel is not None:
            if abi is not None:
                return _describe(name, *_fetched(target, abi, source.wheel))
            return _describe(name, source.wheel, target, _wheel_folder(source.wheel, target))
        if source.path is not None:
            return _describe(name, None, target, Path(source.path))
        archive = Path(source.aar or "")
        if abi is None:
            raise UsageError(f"runtime '{name}' is an Android archive; it has nothing for {target}")
        try:
            found = sha256_of(archive)
            if source.sha256 not in (None, found):
                raise UsageError(f"{archive} has SHA-256 {found}, not {source.sha256}")
            return _describe(name, version_in(archive), target, unpacked(archive, abi))
        except UsageError as error:
            raise UsageError(f"runtime '{name}': {error}") from None


def _fetched(target: str, abi: str, version: str | None = None) -> tuple[str | None, str, Path]:
    """Version, target and folder of the fetched runtime, which has to be the `version` that a suite asks for."""
    advice = f"run: {COMMAND} (or name an AAR: runtimes: {{{version or 'x'}: {{aar: FILE}}}})"
    runtime = fetched_runtime(target)
    if runtime is None:
        raise UsageError(f"there is no LiteRT runtime for {abi} phones yet; {advice}")
    if version not in (None, runtime.version):
        here = f"LiteRT {runtime.version}" if runtime.version else "one of unknown version"
        raise UsageError(f"the runtime for {abi} phones is {here}, not {version}; {advice}")
    return runtime.version, target, runtime.folder


def _installed_version() -> str:
    try:
        return importlib.metadata.version(WHEEL)
    except importlib.metadata.PackageNotFoundError:
        raise UsageError(f"{WHEEL} is not installed; run: pip install {WHEEL}") from None


def _installed_folder() -> Path:
    spec = importlib.util.find_spec("ai_edge_litert")
    if spec is None or spec.origin is None:
        raise UsageError(f"{WHEEL} is not installed; run: pip install {WHEEL}")
    return Path(spec.origin).parent


def _describe(name: str, version: str | None, target: str, folder: Path) -> Runtime:
    library = _LIBRARY.get(target.rpartition("-")[2], "libLiteRt.so")
    main = folder / library
    if not main.is_file():
        raise UsageError(f"runtime '{name}': there is no {library} in {folder}")
    # On phones the accelerators have more names, and some need helpers beside them.
    pattern = f"libLiteRt*{'' if abi_of(target) else 'Accelerator'}{main.suffix}"
    sources = [main, *sorted(set(folder.glob(pattern)) - {main})]
    files = tuple(JobFile(f"{FOLDER}/{source.name}", source, sha256_file(source)) for source in sources)
    return Runtime(name, version, target, f"{FOLDER}/{library}", files[0].sha256, files)


def _wheel_folder(version: str, target: str) -> Path:
    """The unpacked wheel of a version for a target, from the cache or fetched now."""
    if target not in _PLATFORMS:
        raise UsageError(
            f"{WHEEL} has no wheel for {target}; wheels exist for {', '.join(sorted(_PLATFORMS))}; "
            f"build LiteRT for it, and {_OWN}"
        )
    parent = cache_dir("runtimes")
    folder = parent / f"{version}-{target}"
    if (folder / "wheel.json").is_file():
        return folder
    with tempfile.TemporaryDirectory(dir=parent) as scratch:
        wheel = _download(version, target, Path(scratch))
        unpacked = Path(scratch) / "unpacked"
        unpacked.mkdir()
        try:
            _unpack(wheel, unpacked)
        except (zipfile.BadZipFile, zlib.error, EOFError) as error:
            raise UsageError(
                f"the wheel {wheel.name} is damaged: {error}; clear pip's cache (pip cache purge)"
            ) from None
        record = {"wheel": wheel.name, "sha256": sha256_file(wheel)}
        (unpacked / "wheel.json").write_text(json.dumps(record), encoding="utf-8")
        try:
            unpacked.rename(folder)
        except OSError:
            if not (folder / "wheel.json").is_file():  # else another process was faster
                raise
    return folder


def _unpack(wheel: Path, folder: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        for member in archive.infolist():
            path = Path(member.filename)
            if path.name.startswith("libLiteRt") and path.parent.name == "ai_edge_litert":
                with archive.open(member) as source, (folder / path.name).open("wb") as copy:
                    shutil.copyfileobj(source, copy)


def _download(version: str, target: str, scratch: Path) -> Path:
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"]
    for tag in _PLATFORMS[target]:
        command += ["--platform", tag]
    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    command += ["--python-version", python, "--implementation", "cp", "--dest", str(scratch), f"{WHEEL}=={version}"]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=_PIP_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise UsageError(f"could not fetch {WHEEL} {version} for {target}: {error}") from None
    wheels = sorted(scratch.glob("*.whl"))
    if answer.returncode != 0 or not wheels:
        last = (answer.stderr.strip().splitlines() or ["pip said nothing"])[-1]
        raise UsageError(
            f"could not fetch {WHEEL} {version} for {target}: {last}; pip has to reach a package registry or a mirror "
            f"once; or {_OWN}"
        )
    return wheels[0]
