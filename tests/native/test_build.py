"""Building the runner: once, for every target, without warnings, and with advice where it cannot be."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from harness.devices.local import host_target
from harness.errors import UsageError
from harness.runners import build
from harness.runners.build import build_runner, find_toolchain, source_folder, sources_of
from tests.drivers import absent
from tests.native.conftest import ROOT

FOREIGN = "aarch64-linux" if host_target() != "aarch64-linux" else "x86_64-linux"


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache."""
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def fake_compiler(folder: Path, name: str, body: str) -> Path:
    """A program that calls itself a compiler."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f'#!/bin/sh\ncase "$*" in *--version*) echo {name} 1.0; exit;; esac\n{body}\n')
    path.chmod(0o755)
    return path


COPYING = 'while [ "$1" != -o ]; do shift; done; echo made > "$2"'


def test_a_binary_is_built_once(cache: Path, tmp_path: Path) -> None:
    compiler = fake_compiler(tmp_path, "cc1", f'echo run >> "{tmp_path}/calls"; {COPYING}')
    first = build_runner(compiler=str(compiler))
    assert first.read_text() == "made\n"
    assert first.is_relative_to(cache)
    assert build_runner(compiler=str(compiler)) == first
    assert (tmp_path / "calls").read_text() == "run\n"
    assert sorted(path.name for path in first.parent.iterdir()) == ["delegate_bench"], "no scratch is left"


def test_what_a_binary_is_made_from_names_it(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one = fake_compiler(tmp_path, "cc1", COPYING)
    other = fake_compiler(tmp_path, "cc2", COPYING)
    sources = tmp_path / "native"
    shutil.copytree(source_folder(), sources)
    monkeypatch.setattr(build, "source_folder", lambda: sources)
    made = {build_runner(compiler=str(one)), build_runner(compiler=str(other))}
    made |= {build_runner(compiler=f"{one} -g"), build_runner(FOREIGN, compiler=str(one))}
    (sources / "bench.h").write_text((sources / "bench.h").read_text() + "\n// changed\n")
    made.add(build_runner(compiler=str(one)))
    assert len(made) == 5
    assert all(path.is_relative_to(cache) for path in made)


@pytest.mark.usefixtures("cache")
def test_two_processes_may_build_at_once(tmp_path: Path) -> None:
    compiler = fake_compiler(tmp_path, "cc1", f"{COPYING}; sleep 0.3")
    program = f"from harness.runners.build import build_runner; print(build_runner(compiler={str(compiler)!r}))"
    processes = [
        subprocess.Popen([sys.executable, "-c", program], cwd=ROOT, stdout=subprocess.PIPE, text=True) for _ in range(2)
    ]
    printed = {process.communicate(timeout=60)[0].strip() for process in processes}
    assert [process.returncode for process in processes] == [0, 0]
    assert len(printed) == 1
    assert Path(printed.pop()).read_text() == "made\n"


@pytest.mark.usefixtures("cache")
def test_a_compiler_that_fails_is_quoted(tmp_path: Path) -> None:
    compiler = fake_compiler(tmp_path, "cc1", "echo 'tools.c:1: error: no such header' >&2; exit 1")
    with pytest.raises(UsageError, match=r"(?s)cc1 ended with exit code 1.*no such header"):
        build_runner(compiler=str(compiler))
    silent = fake_compiler(tmp_path, "cc2", "exit 0")
    with pytest.raises(UsageError, match="it said nothing"):
        build_runner(compiler=str(silent))


def test_the_sources_of_an_installed_package_are_beside_the_module(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert source_folder() == ROOT / "native"
    module = tmp_path / "site-packages" / "harness" / "runners" / "build.py"
    monkeypatch.setattr(build, "__file__", str(module))
    with pytest.raises(UsageError, match="sources of delegate_bench are missing"):
        source_folder()
    shutil.copytree(ROOT / "native", module.parent / "native")
    assert source_folder() == (module.parent / "native").resolve()


def test_an_unknown_target() -> None:
    with pytest.raises(UsageError, match=r"'aarch64-linx': expected one of .*did you mean 'aarch64-linux'"):
        build_runner("aarch64-linx")


def test_cc_is_honoured_and_checked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CC", f"{fake_compiler(tmp_path, 'mycc', COPYING)} -m64")
    found = find_toolchain()
    assert (found.command[-1], found.identity, found.target) == ("-m64", "mycc 1.0", host_target())
    monkeypatch.setenv("CC", "nocc-here")
    with pytest.raises(UsageError, match=r"\$CC names the C compiler 'nocc-here', which cannot be run"):
        find_toolchain()


def test_no_compiler_at_all_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CC", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r"install one \(.+\), or zig: pip install 'delegate-harness\[zig\]'"):
        find_toolchain()
    with pytest.raises(UsageError, match=rf"for {FOREIGN} on this {host_target()} machine needs zig"):
        find_toolchain(FOREIGN)


@pytest.mark.parametrize(
    ("target", "abi", "compiler"),
    [
        ("aarch64-android", "arm64-v8a", "aarch64-linux-android26-clang"),
        ("armv7-android", "armeabi-v7a", "armv7a-linux-androideabi26-clang"),
        ("x86_64-android", "x86_64", "x86_64-linux-android26-clang"),
    ],
)
def test_android_needs_the_ndk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, target: str, abi: str, compiler: str
) -> None:
    for name in ("ANDROID_NDK_HOME", "ANDROID_NDK_ROOT", "ANDROID_NDK_LATEST_HOME"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(UsageError, match=rf"android\.toolchain\.cmake -DANDROID_ABI={abi} "):
        find_toolchain(target)
    monkeypatch.setenv("ANDROID_NDK_ROOT", str(tmp_path))
    with pytest.raises(UsageError, match=r"\$ANDROID_NDK_ROOT is .*, where no NDK is"):
        find_toolchain(target)
    clang = fake_compiler(tmp_path / "toolchains/llvm/prebuilt/linux-x86_64/bin", compiler, COPYING)
    found = find_toolchain(target)
    assert found.command == (str(clang),)
    assert "-Wl,-z,max-page-size=16384" in found.flags, "phones with 16 KiB pages"


def strict(target: str | None, output: Path) -> subprocess.CompletedProcess[str]:
    """Compiles with every warning."""
    toolchain = find_toolchain(target)
    extra = ["-Wpedantic", "-Wshadow", "-Wstrict-prototypes", "-Werror"]  # Werror: zig keeps what only warned
    command = [*toolchain.argv(sources_of(source_folder()), output), *extra]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)


def test_the_host_s_compiler_has_nothing_to_say(tmp_path: Path) -> None:
    done = strict(None, tmp_path / "binary")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.skipif(importlib.util.find_spec("ziglang") is None, reason="install the extra: delegate-harness[zig]")
@pytest.mark.parametrize(
    ("target", "start"),
    [
        ("x86_64-linux", rb"\x7fELF\x02\x01.{10}[\x02\x03]\0\x3e\0"),
        ("aarch64-linux", rb"\x7fELF\x02\x01.{10}[\x02\x03]\0\xb7\0"),
        ("aarch64-macos", rb"\xcf\xfa\xed\xfe\x0c\0\0\x01"),
    ],
    ids=["x86_64-linux", "aarch64-linux", "aarch64-macos"],
)
def test_zig_builds_every_target_without_warnings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, target: str, start: bytes
) -> None:
    """The file's first bytes (`start`, a pattern) tell its format and machine."""
    monkeypatch.setattr(build, "host_target", lambda: "none")  # the host's own target with zig, too
    done = strict(target, tmp_path / "binary")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert re.match(start, (tmp_path / "binary").read_bytes(), re.DOTALL)
    if target == "x86_64-linux" == host_target():
        shown = subprocess.run([str(tmp_path / "binary"), "--version"], capture_output=True, text=True, check=True)
        assert shown.stdout.startswith("delegate_bench ")


def test_cmake_builds_the_same_sources(tmp_path: Path) -> None:
    folder = source_folder()
    listed = set(re.findall(r"\b\w+\.c\b", (folder / "CMakeLists.txt").read_text()))
    assert listed == {path.name for path in sources_of(folder)}
    if shutil.which("cmake") is None:
        absent("needs cmake: apt-get install cmake")
    environment = {name: value for name, value in os.environ.items() if name != "CC"}
    for command in (["cmake", "-S", str(folder), "-B", str(tmp_path)], ["cmake", "--build", str(tmp_path)]):
        done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=300, check=False)
        assert done.returncode == 0, done.stderr
        assert "warning" not in done.stderr + done.stdout
    assert (tmp_path / "delegate_bench").is_file()
