"""The release workflow, as far as it can run here: what it packs is what `harness fetch android` takes."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from harness.cli import main
from harness.runners.build import NDK_VARIABLES
from harness.runners.runtimes import WHEEL
from tests.drivers import absent
from tests.runners.android_files import aar, elf, phone_elf

ROOT = Path(__file__).resolve().parents[2]
WORKFLOW: dict[str, Any] = yaml.safe_load((ROOT / ".github/workflows/release.yml").read_text())
JOB: dict[str, Any] = WORKFLOW["jobs"]["android"]
STEPS = [step for job in WORKFLOW["jobs"].values() for step in job["steps"]]
SCRIPTS: dict[str, str] = {step["name"]: step["run"] for step in STEPS if "run" in step}
ABIS: list[str] = JOB["env"]["ABIS"].split()
LITERT = re.findall(rf"^{WHEEL}==(.+)$", (ROOT / "constraints.txt").read_text(), re.MULTILINE)[0]

ARCHIVE = "build/litert/aar/litert.aar"


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A folder as the job has it, with programs built and the archive fetched."""
    for name in ("constraints.txt", "LICENSE", "harness/__init__.py", ".github/pack_runtime.py"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    (tmp_path / "dist").mkdir()
    for abi in ABIS:
        (tmp_path / "dist" / f"delegate_bench-{abi}").write_bytes(phone_elf(abi))
    (tmp_path / ARCHIVE).parent.mkdir(parents=True)
    aar(tmp_path / ARCHIVE, *ABIS)
    return tmp_path


def run(step: str, folder: Path, **environ: str) -> subprocess.CompletedProcess[str]:
    """A step's script, as the CI machine runs it."""
    tools = folder / "tools"
    tools.mkdir(exist_ok=True)
    if not (tools / "python3").exists():
        (tools / "python3").symlink_to(sys.executable)
    environment = {**os.environ, "ABIS": " ".join(ABIS), "PATH": f"{tools}:{os.environ['PATH']}", **environ}
    command = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", SCRIPTS[step]]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize("step", SCRIPTS)
def test_scripts_are_bash(step: str) -> None:
    done = subprocess.run(["bash", "-n"], input=SCRIPTS[step], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_what_is_packed_is_what_is_fetched(
    checkout: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    done = run("Pack", checkout)
    assert done.returncode == 0, done.stderr
    names = [*(f"delegate_bench-{abi}" for abi in ABIS), *(f"litert-{LITERT}-{abi}.zip" for abi in ABIS), "SHA256SUMS"]
    assert sorted(path.name for path in (checkout / "dist").iterdir()) == sorted(names)
    monkeypatch.setenv("HARNESS_CACHE", str(checkout / "cache"))
    assert main(["fetch", "android", "--from", str(checkout / "dist")]) == 0
    said = capsys.readouterr().out
    for abi in ABIS:
        assert f"{abi}: delegate_bench and LiteRT {LITERT} are here (GPU: libLiteRtClGlAccelerator.so)" in said


def test_the_same_archive_gives_the_same_bytes(checkout: Path) -> None:
    run("Pack", checkout)
    first = (checkout / "dist" / "SHA256SUMS").read_text()
    assert run("Pack", checkout).returncode == 0
    assert (checkout / "dist" / "SHA256SUMS").read_text() == first


def test_an_archive_that_lacks_something(checkout: Path) -> None:
    aar(checkout / ARCHIVE, ABIS[0])
    done = run("Pack", checkout)
    assert done.returncode == 0
    assert f"::warning::LiteRT {LITERT} has no runtime for {ABIS[1]}" in done.stdout
    aar(checkout / ARCHIVE, *ABIS, gpu=False)
    done = run("Pack", checkout)
    assert done.returncode == 1
    assert f"has no GPU accelerator for {ABIS[0]}" in done.stderr


def test_a_tag_of_another_version_is_refused(checkout: Path) -> None:
    from harness import __version__

    assert run("The tag is the version", checkout, GITHUB_REF_NAME=f"v{__version__}").returncode == 0
    done = run("The tag is the version", checkout, GITHUB_REF_NAME="v0.0.0")
    assert done.returncode == 1
    assert f"the version is {__version__}" in done.stdout


def test_the_ndk_is_found_by_a_name_that_the_harness_knows_too() -> None:
    named = set(re.findall(r"ANDROID_NDK_\w+", SCRIPTS["Build delegate_bench"]))
    assert named
    assert named <= set(NDK_VARIABLES)


def test_what_is_not_fit_for_phones_is_not_released(checkout: Path) -> None:
    if shutil.which("readelf") is None or shutil.which("file") is None:
        absent("needs readelf and file: apt-get install binutils file")
    done = run("Check what was built", checkout)
    assert done.returncode == 0, done.stdout + done.stderr
    program = checkout / "dist" / "delegate_bench-arm64-v8a"
    for wrong in (phone_elf("x86_64"), elf(kind=2), elf(loader="/lib/ld-linux-aarch64.so.1"), elf(align=4096)):
        program.write_bytes(wrong)
        assert run("Check what was built", checkout).returncode == 1
    program.write_bytes(phone_elf("arm64-v8a"))
    (checkout / "dist" / "delegate_bench-armeabi-v7a").write_bytes(phone_elf("arm64-v8a"))
    assert run("Check what was built", checkout).returncode == 1


def test_only_the_job_that_publishes_may_write() -> None:
    assert WORKFLOW["permissions"] == {"contents": "read"}
    assert [name for name, job in WORKFLOW["jobs"].items() if "permissions" in job] == ["publish"]
    assert not any("checkout" in step.get("uses", "") for step in WORKFLOW["jobs"]["publish"]["steps"])
