"""The app's sources compile without a word, for this machine, other ones and, as far as that goes here, for iOS."""

from __future__ import annotations

import importlib.util
import os
import plistlib
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from emulated.ios.build import FLAGS, LINKED, app_sources, build_app, emulated_app
from harness.errors import UsageError
from harness.runners.build import source_folder

STRICT = ("-Wpedantic", "-Wshadow", "-Wstrict-prototypes", "-Werror")
zig = pytest.mark.skipif(importlib.util.find_spec("ziglang") is None, reason="install the extra: delegate-harness[zig]")


def compiled(folder: Path, *command: str) -> None:
    """Runs a compiler that has nothing to say."""
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@zig
@pytest.mark.parametrize(
    ("target", "libraries", "start"),
    [
        ("x86_64-linux-gnu.2.17", ("-ldl", "-lm"), rb"\x7fELF\x02\x01.{10}[\x02\x03]\0\x3e\0"),
        ("aarch64-linux-gnu.2.17", ("-ldl", "-lm"), rb"\x7fELF\x02\x01.{10}[\x02\x03]\0\xb7\0"),
        ("aarch64-macos", (), rb"\xcf\xfa\xed\xfe\x0c\0\0\x01"),
    ],
    ids=["x86_64-linux", "aarch64-linux", "aarch64-macos"],
)
def test_zig_builds_the_app_without_warnings(
    tmp_path: Path, target: str, libraries: tuple[str, ...], start: bytes
) -> None:
    sources = map(str, app_sources())
    command = (sys.executable, "-m", "ziglang", "cc", "-target", target, *FLAGS, *STRICT)
    compiled(tmp_path, *command, *sources, "-o", "app", *libraries)
    assert re.match(start, (tmp_path / "app").read_bytes(), re.DOTALL)


@zig
def test_what_differs_on_ios_compiles_for_it(tmp_path: Path) -> None:
    """With zig's headers of macOS, which are nearly the same. Nothing is linked, and UIKit's shell is not compiled."""
    spec = importlib.util.find_spec("ziglang")
    assert spec is not None
    assert spec.origin is not None
    headers = str(Path(spec.origin).parent / "lib" / "libc" / "include" / "any-darwin-any")
    command = (sys.executable, "-m", "ziglang", "cc", "-target", "aarch64-ios", "-std=c11", "-O2", *STRICT)
    for source in (source_folder() / "tools.c", source_folder() / "app" / "guard.c"):
        compiled(tmp_path, *command, "-Wall", "-Wextra", "-isystem", headers, "-c", str(source))
    tools = (tmp_path / "tools.o").read_bytes()
    assert b"_task_info" in tools
    assert b"proc_pid_rusage" not in tools, "not in the headers of iOS"


def test_the_xcode_project_has_the_sources_of_the_emulated_app() -> None:
    """All but the shell."""
    folder = source_folder() / "ios"
    project = yaml.safe_load((folder / "project.yml").read_text())
    (target,) = project["targets"].values()
    paths = {(folder / name).resolve() for name in target["sources"]}
    assert paths - {folder / "main.m"} == {path for path in app_sources() if path.is_relative_to(source_folder())}
    assert all(path.is_file() for path in paths)
    assert target["settings"]["base"]["INFOPLIST_FILE"] == "Info.plist"


def test_the_app_shares_its_files_and_states_its_versions() -> None:
    folder = source_folder() / "ios"
    info = plistlib.loads((folder / "Info.plist").read_bytes())
    assert info["UIFileSharingEnabled"] is True
    assert info["LSSupportsOpeningDocumentsInPlace"] is True
    settings = yaml.safe_load((folder / "project.yml").read_text())["settings"]["base"]
    for key in ("LiteRTVersion", "CFBundleShortVersionString", "CFBundleVersion", "CFBundleIdentifier"):
        assert settings[info[key].removeprefix("$(").removesuffix(")")]
    shell = (folder / "main.m").read_text()
    scenes = info["UIApplicationSceneManifest"]["UISceneConfigurations"]["UIWindowSceneSessionRoleApplication"]
    assert f"@interface {scenes[0]['UISceneDelegateClassName']} :" in shell
    assert 'of_info(@"LiteRTVersion")' in shell
    assert len(shell.splitlines()) < 150, "what cannot be tested here stays small"


def test_the_host_s_compiler_has_nothing_to_say_about_the_app(tmp_path: Path) -> None:
    compiler = os.environ.get("CC", "cc")
    compiled(tmp_path, compiler, *FLAGS, *STRICT, *map(str, app_sources()), "-o", "app", *LINKED)


def test_the_app_is_built_once(app_program: Path) -> None:
    before = app_program.stat().st_mtime_ns
    program = emulated_app(os.environ)
    assert program.argv == (str(app_program),)
    assert app_program.stat().st_mtime_ns == before
    assert Path(program.env["EMULATED_APP_LIBRARY"]).is_file()


def test_a_compiler_that_fails_is_quoted(tmp_path: Path) -> None:
    compiler = tmp_path / "broken"
    compiler.write_text("#!/bin/sh\necho 'main.c:1: error: no such header' >&2\nexit 1\n")
    compiler.chmod(0o755)
    with pytest.raises(UsageError, match=r"(?s)broken ended with exit code 1.*no such header"):
        build_app({**os.environ, "CC": str(compiler)})
    with pytest.raises(UsageError, match="cannot be built"):
        build_app({**os.environ, "CC": str(tmp_path / "absent")})
