"""Which libraries a cell runs with: the installed wheel's, a folder's, or those of a wheel that is fetched."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Sequence
from pathlib import Path

import pytest

from harness.devices.local import host_target
from harness.errors import UsageError
from harness.lab.inventory import Inventory
from harness.lab.spec import RuntimeSource
from harness.runners.runtimes import FOLDER, WHEEL, Runtimes, _wheel_folder
from tests.session.conftest import Lab

HOST = host_target()
SUFFIX = ".dylib" if HOST.endswith("macos") else ".so"


def runtimes(**named: RuntimeSource) -> Runtimes:
    return Runtimes(Inventory((), runtimes={name.replace("_", "-"): source for name, source in named.items()}), HOST)


def test_the_default_is_the_installed_wheel() -> None:
    found = runtimes().get(None, HOST)
    assert (found.name, found.version) == ("default", importlib.metadata.version(WHEEL))
    assert found.library == f"{FOLDER}/libLiteRt{SUFFIX}"
    assert found.files[0].name == found.library
    for file in found.files:
        assert hashlib.sha256(file.source.read_bytes()).hexdigest() == file.sha256
    assert found.sha256 == found.files[0].sha256
    assert any("Accelerator" in file.name for file in found.files)


def test_each_is_prepared_once_and_listed() -> None:
    known = runtimes()
    assert known.used == []
    first = known.get(None, HOST)
    assert known.get(None, HOST) is first
    assert known.used == [first]


def test_a_folder_of_libraries(tmp_path: Path) -> None:
    (tmp_path / f"libLiteRt{SUFFIX}").write_bytes(b"library")
    (tmp_path / f"libLiteRtWebGpuAccelerator{SUFFIX}").write_bytes(b"accelerator")
    (tmp_path / "other.txt").write_bytes(b"other")
    found = runtimes(release=RuntimeSource(path=str(tmp_path))).get("release", HOST)
    assert (found.name, found.version, found.target) == ("release", None, HOST)
    assert found.sha256 == hashlib.sha256(b"library").hexdigest()
    assert [file.name.rpartition("/")[2] for file in found.files] == [
        f"libLiteRt{SUFFIX}",
        f"libLiteRtWebGpuAccelerator{SUFFIX}",
    ]


def test_a_folder_without_the_library_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=f"runtime 'release': there is no libLiteRt{SUFFIX} in {tmp_path}"):
        runtimes(release=RuntimeSource(path=str(tmp_path))).get("release", HOST)


def test_an_unknown_name_comes_with_the_nearest_one(tmp_path: Path) -> None:
    known = runtimes(litert_nightly=RuntimeSource(path=str(tmp_path)))
    with pytest.raises(UsageError, match=r"no runtime called 'litert-nighty'.*did you mean 'litert-nightly'"):
        known.get("litert-nighty", HOST)


def test_an_archive_for_phones_has_nothing_for_this_machine() -> None:
    with pytest.raises(UsageError, match=f"runtime 'aar' is an Android archive; it has nothing for {HOST}"):
        runtimes(aar=RuntimeSource(aar="litert.aar")).get("aar", HOST)


def test_the_version_behind_a_name_is_told_without_fetching_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: pytest.fail("it fetches"))
    known = runtimes(old=RuntimeSource(wheel="2.2.0"), mine=RuntimeSource(path=str(tmp_path)))
    assert known.version("2.1.6") == "2.1.6"
    assert known.version("old") == "2.2.0"
    assert known.version("mine") is None
    with pytest.raises(UsageError, match="no runtime called 'oldd'"):
        known.version("oldd")


def test_a_target_without_wheel_is_named() -> None:
    words = r"has no wheel for armv7-linux; wheels exist for aarch64-linux, .*; build LiteRT for it, .*path: FOLDER"
    with pytest.raises(UsageError, match=words):
        runtimes().get("2.2.0", "armv7-linux")
    with pytest.raises(UsageError, match=words):
        runtimes().get(None, "armv7-linux")


def wheel(path: Path, *names: str) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name in names:
            archive.writestr(name, f"content of {name}")
    return path


class Pip:
    """Stands for pip: takes the wheel from a folder instead of a registry."""

    def __init__(self, patch: pytest.MonkeyPatch, source: Path | None, words: str = "") -> None:
        self.calls: list[Sequence[str]] = []
        self._source = source
        self._words = words
        patch.setattr("harness.runners.runtimes.subprocess.run", self.run)

    def run(self, command: Sequence[str], **options: object) -> subprocess.CompletedProcess[str]:
        self.calls.append(command)
        if self._source is None:
            return subprocess.CompletedProcess(command, 1, "", self._words)
        shutil.copy(self._source, command[command.index("--dest") + 1])
        return subprocess.CompletedProcess(command, 0, "", "")


@pytest.fixture
def empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.mark.usefixtures("empty_cache")
def test_a_wheel_is_fetched_once_and_only_its_libraries_are_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = ["libLiteRt.so", "libLiteRtWebGpuAccelerator.so", "interpreter.py"]
    content = wheel(tmp_path / "made.whl", *(f"ai_edge_litert/{name}" for name in names), "other/libLiteRt.so")
    pip = Pip(monkeypatch, content)
    folder = _wheel_folder("9.9.9", "aarch64-linux")
    assert {path.name for path in folder.iterdir()} == {*names[:2], "wheel.json"}
    assert (folder / "libLiteRt.so").read_text() == "content of ai_edge_litert/libLiteRt.so"
    assert json.loads((folder / "wheel.json").read_text()) == {
        "wheel": "made.whl",
        "sha256": hashlib.sha256(content.read_bytes()).hexdigest(),
    }
    assert _wheel_folder("9.9.9", "aarch64-linux") == folder
    assert len(pip.calls) == 1
    command = list(pip.calls[0])
    assert command[:4] == [sys.executable, "-m", "pip", "download"]
    assert command[-1] == f"{WHEEL}==9.9.9"
    assert all("aarch64" in command[index + 1] for index, word in enumerate(command) if word == "--platform")


@pytest.mark.usefixtures("empty_cache")
def test_a_wheel_that_cannot_be_had_says_what_pip_said(monkeypatch: pytest.MonkeyPatch) -> None:
    Pip(monkeypatch, None, "WARNING: x\nERROR: No matching distribution found for ai-edge-litert==9.9.9\n")
    with pytest.raises(UsageError, match=r"could not fetch ai-edge-litert 9\.9\.9 for .*No matching distribution"):
        runtimes().get("9.9.9", "x86_64-linux")


@pytest.mark.usefixtures("empty_cache")
def test_pip_that_is_not_there_is_no_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/gone/python")
    with pytest.raises(UsageError, match=r"could not fetch ai-edge-litert 9\.9\.9 for x86_64-linux"):
        runtimes().get("9.9.9", "x86_64-linux")


def test_a_damaged_wheel_is_no_traceback_and_is_not_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, empty_cache: Path
) -> None:
    content = tmp_path / "made.whl"
    content.write_bytes(b"half a wheel")
    Pip(monkeypatch, content)
    with pytest.raises(UsageError, match=r"the wheel made\.whl is damaged"):
        runtimes().get("9.9.9", "x86_64-linux")
    assert list((empty_cache / "runtimes").iterdir()) == []


@pytest.fixture
def older() -> str:
    """A version that the registry has, fetched into the tests' cache; or skip where there is no registry."""
    version = "2.2.0"
    if HOST not in ("x86_64-linux", "aarch64-linux", "aarch64-macos"):
        pytest.skip(f"{WHEEL} has no wheel for {HOST}")
    try:
        _wheel_folder(version, HOST)
    except UsageError as error:
        if os.environ.get("HARNESS_CI"):
            raise
        pytest.skip(f"needs a package registry: {error}")
    return version


def test_two_versions_are_compared_as_two_delegates(lab: Lab, older: str) -> None:
    lab.models("conv_2d")
    lab.suite(
        "gates: {old: {speedup: 0.001}}\nadvice: {speedup: {over: new}}\n",
        delegates=f"delegates:\n  new: {{accelerator: cpu}}\n  old: {{accelerator: cpu, runtime: {older}}}\n",
    )
    result = lab.inline()
    assert result.ret == 0
    new, old = (next(row for row in lab.matrix["cells"] if row["delegate"] == name) for name in ("new", "old"))
    assert (new["outcome"], old["outcome"]) == ("PASS", "PASS")
    assert (new["runtime"]["version"], old["runtime"]["version"]) == (importlib.metadata.version(WHEEL), older)
    assert new["runtime"]["sha256"] != old["runtime"]["sha256"]
    assert old["speedup"]["value"] > 0
    listed = {runtime["name"]: runtime for runtime in lab.matrix["runtimes"]}
    assert listed[older]["sha256"] == old["runtime"]["sha256"]
    assert listed["default"]["sha256"] == new["runtime"]["sha256"]
