"""Where runners' programs come from, and that none is used that is not for the target."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.devices.local import host_target
from harness.errors import UsageError
from harness.lab.inventory import load_inventory
from harness.lab.spec import IOS_TARGET, BinarySource
from harness.runners import binaries as module
from harness.runners.binaries import AUTO, Binaries, choose
from harness.runners.download import keep
from harness.runners.elf import Platform, misfit, platform_of
from harness.runners.fetched import remember
from tests.runners.android_files import LINKER, Server, elf, phone_elf, serving, sha

ARM64 = "aarch64-android"
OURS, UPSTREAM = "delegate_bench", "benchmark_model"


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / "cache"))
    for name in ("ANDROID_NDK_HOME", "ANDROID_NDK_ROOT", "ANDROID_NDK_LATEST_HOME"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path / "cache"


@pytest.fixture
def program(tmp_path: Path) -> Path:
    path = tmp_path / "benchmark_model"
    path.write_bytes(phone_elf("arm64-v8a"))
    return path


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    folder = tmp_path / "served"
    folder.mkdir()
    with serving(folder) as found:
        yield found


def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, entry: str, abi: str = "arm64-v8a") -> Binaries:
    """Binaries of a devices.yaml with one entry for benchmark_model."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HARNESS_SECRET", "s3cret")
    text = f"version: 1\nrunners:\n  benchmark_model:\n    {abi}: {entry}\ndevices: [{{name: a, kind: local}}]\n"
    (tmp_path / "devices.yaml").write_text(text)
    return Binaries(load_inventory(tmp_path / "devices.yaml").runners)


def refusal(binaries: Binaries, runner: str = UPSTREAM, target: str = ARM64, *, require_sha256: bool = False) -> str:
    with pytest.raises(UsageError) as caught:
        binaries.file(runner, target, require_sha256=require_sha256)
    return str(caught.value)


def builds(monkeypatch: pytest.MonkeyPatch, program: Path) -> list[str]:
    """Stands for the compiler; the targets that it was asked for."""
    asked: list[str] = []

    def build(target: str) -> Path:
        asked.append(target)
        return program

    monkeypatch.setattr(module, "build_runner", build)
    return asked


def test_a_program_by_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, program: Path) -> None:
    found = lab(tmp_path, monkeypatch, "{path: benchmark_model}").file(UPSTREAM, ARM64)
    assert (found.name, found.source, found.executable) == (UPSTREAM, program, True)
    assert found.sha256 == sha(program.read_bytes())


def test_it_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, program: Path) -> None:
    binaries = lab(tmp_path, monkeypatch, "{path: benchmark_model}")
    first = binaries.file(UPSTREAM, ARM64)
    program.unlink()
    assert binaries.file(UPSTREAM, ARM64) is first


WHERE = "devices.yaml:4: runners.benchmark_model.arm64-v8a: "


def test_a_file_that_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    message = refusal(lab(tmp_path, monkeypatch, "{path: gone}"))
    assert message == f"{WHERE}there is no file {tmp_path / 'gone'}"


def test_a_program_for_another_processor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, program: Path) -> None:
    program.write_bytes(phone_elf("x86_64"))
    message = refusal(lab(tmp_path, monkeypatch, "{path: benchmark_model}"))
    assert message == f"{WHERE}{program} is a program for x86_64 (ELF), not for aarch64 (ELF)"


def test_another_hash(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, program: Path) -> None:
    message = refusal(lab(tmp_path, monkeypatch, f"{{path: benchmark_model, sha256: {'0' * 64}}}"))
    assert message == f"{WHERE}{program} has SHA-256 {sha(program.read_bytes())}, not {'0' * 64}"


def test_a_release_suite_wants_the_hash_written_down(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, program: Path
) -> None:
    binaries = lab(tmp_path, monkeypatch, "{path: benchmark_model}")
    message = refusal(binaries, require_sha256=True)
    assert message.startswith(WHERE)
    assert f"add sha256: {sha(program.read_bytes())}" in message
    assert binaries.file(UPSTREAM, ARM64).source == program, "other suites of the run may use it"
    stated = lab(tmp_path, monkeypatch, f"{{path: benchmark_model, sha256: {sha(program.read_bytes())}}}")
    assert stated.file(UPSTREAM, ARM64, require_sha256=True).source == program


def test_a_program_by_link_is_downloaded_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, server: Server, program: Path
) -> None:
    data = program.read_bytes()
    (server.folder / "program").write_bytes(data)
    entry = f"{{url: {server.url}program, sha256: {sha(data)}}}"
    found = lab(tmp_path, monkeypatch, entry).file(UPSTREAM, ARM64, require_sha256=True)
    assert (found.name, found.source.read_bytes(), found.executable) == (UPSTREAM, data, True)
    assert lab(tmp_path, monkeypatch, entry).file(UPSTREAM, ARM64) == found, "the next run"
    assert server.gets() == ["/program"]


def test_a_bad_link_is_tried_once_per_run_and_shows_no_secret(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, server: Server
) -> None:
    entry = f'{{url: "{server.url}${{HARNESS_SECRET}}/program?token=t0ken", sha256: {"0" * 64}}}'
    binaries = lab(tmp_path, monkeypatch, entry)
    first, second = refusal(binaries), refusal(binaries)
    assert first == second
    assert first.startswith(f"{WHERE}{server.url}${{HARNESS_SECRET}}/program")
    assert "the server answered 404" in first
    assert "s3cret" not in first
    assert "t0ken" not in first
    assert server.gets() == ["/s3cret/program?token=t0ken"]


def test_a_query_is_not_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, server: Server) -> None:
    message = refusal(lab(tmp_path, monkeypatch, f"{{url: '{server.url}x?token=t0ken', sha256: {'0' * 64}}}"))
    assert message.startswith(f"{WHERE}{server.url}x: cannot be downloaded")
    assert "t0ken" not in message


def test_a_web_page_is_no_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, server: Server) -> None:
    page = b"<!DOCTYPE html><title>Please log in</title>"
    (server.folder / "program").write_bytes(page)
    message = refusal(lab(tmp_path, monkeypatch, f"{{url: {server.url}program, sha256: {sha(page)}}}"))
    assert message == f"{WHERE}{server.url}program is no ELF program, as phones need"


def test_scripts_stand_for_programs_on_other_devices_only(tmp_path: Path) -> None:
    script = tmp_path / "script"
    script.write_text("#!/bin/sh\n")
    sources = {UPSTREAM: {"x86_64-linux": BinarySource(path=str(script)), ARM64: BinarySource(path=str(script))}}
    assert Binaries(sources).file(UPSTREAM, "x86_64-linux").source == script
    assert refusal(Binaries(sources)) == f"runners: {UPSTREAM}: {ARM64}: {script} is no ELF program, as phones need"


def test_ours_for_phones_comes_with_the_command_that_brings_it(program: Path) -> None:
    assert refusal(Binaries({}), OURS) == (
        "there is no delegate_bench for arm64-v8a phones yet; run: harness fetch android "
        "(or set ANDROID_NDK_HOME to an Android NDK, which builds it)"
    )
    sha256 = keep(program)
    remember(ARM64, "runner", {"sha256": sha256})
    found = Binaries({}).file(OURS, ARM64, require_sha256=True)
    assert (found.name, found.source.read_bytes(), found.sha256) == (OURS, program.read_bytes(), sha256)
    assert "for armeabi-v7a phones yet" in refusal(Binaries({}), OURS, "armv7-android")


def test_a_fetched_program_that_was_damaged_is_not_used(program: Path) -> None:
    remember(ARM64, "runner", {"sha256": keep(program)})
    Binaries({}).file(OURS, ARM64).source.write_bytes(b"damaged")
    assert "run: harness fetch android" in refusal(Binaries({}), OURS)


def test_ours_is_built_where_an_ndk_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, program: Path) -> None:
    monkeypatch.setenv("ANDROID_NDK_HOME", str(tmp_path))
    assert "where no NDK is" in refusal(Binaries({}), OURS)
    tools = tmp_path / "toolchains/llvm/prebuilt/linux-x86_64/bin"
    tools.mkdir(parents=True)
    clang = tools / "aarch64-linux-android26-clang"
    copying = f'while [ "$1" != -o ]; do shift; done; cp "{program}" "$2"'
    clang.write_text(f'#!/bin/sh\ncase "$*" in *--version*) echo clang 1; exit;; esac\n{copying}\n')
    clang.chmod(0o755)
    assert Binaries({}).file(OURS, ARM64).source.read_bytes() == program.read_bytes()


def test_ours_is_built_for_this_machine(monkeypatch: pytest.MonkeyPatch, program: Path) -> None:
    asked = builds(monkeypatch, program)
    assert Binaries({}).file(OURS, "x86_64-linux").source == program
    assert asked == ["x86_64-linux"]


@pytest.mark.parametrize(
    ("target", "name", "key"),
    [
        (ARM64, "android_aarch64_benchmark_model", "arm64-v8a"),
        ("armv7-android", "android_arm_benchmark_model", "armeabi-v7a"),
        ("x86_64-linux", "linux_x86-64_benchmark_model", "x86_64-linux"),
    ],
)
def test_upstreams_comes_with_the_place_where_google_publishes_it(target: str, name: str, key: str) -> None:
    message = refusal(Binaries({}), UPSTREAM, target)
    assert f"/lite/tools/nightly/latest/{name})" in message
    assert f"runners: {{benchmark_model: {{{key}: {{path: {name}}}}}}}" in message


def test_what_nobody_publishes_has_to_be_named() -> None:
    message = refusal(Binaries({}), UPSTREAM, "x86_64-android")
    assert (
        "for x86_64 phones yet; name one in devices.yaml: runners: {benchmark_model: {x86_64: {path: FILE}}}" in message
    )
    assert "curl" not in message
    assert "there is no other for x86_64-linux yet; name one" in refusal(Binaries({}), "other", "x86_64-linux")


def test_several_devices_make_a_program_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, program: Path) -> None:
    asked = builds(monkeypatch, program)
    binaries = Binaries({})
    threads = [threading.Thread(target=binaries.file, args=(OURS, "x86_64-linux")) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(asked) == 1


def test_auto_is_ours_else_upstreams_else_ours_with_advice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, program: Path
) -> None:
    neither = Binaries({})
    theirs = Binaries({UPSTREAM: {ARM64: BinarySource(path=str(program))}})
    both = Binaries({runner: {ARM64: BinarySource(path=str(program))} for runner in (OURS, UPSTREAM)})
    assert choose(AUTO, ARM64, neither) == OURS
    assert choose(AUTO, ARM64, theirs) == UPSTREAM
    assert choose(AUTO, "armv7-android", theirs) == OURS, "it is for another target"
    assert choose(AUTO, ARM64, both) == OURS
    assert choose(AUTO, host_target(), theirs) == OURS, "it can be built here"
    assert choose(UPSTREAM, ARM64, both) == UPSTREAM
    remember(ARM64, "runner", {"sha256": keep(program)})
    assert choose(AUTO, ARM64, Binaries({UPSTREAM: {ARM64: BinarySource(path=str(program))}})) == OURS


def test_on_iphones_ours_is_inside_an_app_and_nothing_is_built_or_fetched(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    theirs = Binaries({UPSTREAM: {IOS_TARGET: BinarySource(path="program")}})
    assert choose(AUTO, IOS_TARGET, theirs) == OURS
    assert choose("ios_app", IOS_TARGET, theirs) == "ios_app"


def test_headers_are_read(tmp_path: Path) -> None:
    path = tmp_path / "program"

    def read(data: bytes) -> Platform | None:
        path.write_bytes(data)
        return platform_of(path)

    assert read(phone_elf("arm64-v8a")) == Platform("ELF", "aarch64", LINKER)
    assert read(phone_elf("armeabi-v7a")) == Platform("ELF", "armv7", "/system/bin/linker")
    assert read(elf(62, loader=None, kind=2)) == Platform("ELF", "x86_64", None, relocatable=False)
    assert read(elf(3, wide=False, loader=None)) == Platform("ELF", "x86")
    assert read(elf(243)) == Platform("ELF", "machine 243", LINKER)
    assert read(b"\xcf\xfa\xed\xfe\x0c\0\0\x01" + bytes(24)) == Platform("Mach-O", "aarch64")
    for broken in (b"", b"\x7fELF", elf()[:60], b"\x7fELF\x02\x02" + bytes(60), b"#!/bin/sh"):
        assert read(broken) is None


def test_the_real_runner_of_this_machine_fits_it_alone(own_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HARNESS_CACHE", str(own_cache))
    path = Binaries({}).file(OURS, host_target()).source
    assert misfit(path, host_target()) is None
    for target in ("aarch64-linux", "x86_64-linux", "aarch64-macos", "x86_64-macos", ARM64, "x86_64-android"):
        if target != host_target():
            assert misfit(path, target) is not None


@pytest.mark.parametrize(
    ("data", "target", "words"),
    [
        (elf(183), ARM64, None),
        (elf(183, loader=None), ARM64, None),
        (elf(40, wide=False, loader="/system/bin/linker"), "armv7-android", None),
        (elf(183, loader="/lib/ld-linux-aarch64.so.1"), "aarch64-linux", None),
        (elf(183, loader="/lib/ld-linux-aarch64.so.1", kind=2), "aarch64-linux", None),
        (b"\xcf\xfa\xed\xfe\x0c\0\0\x01" + bytes(24), "aarch64-macos", None),
        (
            elf(183, loader="/lib/ld-linux-aarch64.so.1"),
            ARM64,
            "was linked for another system than android: it asks for /lib/ld-linux-aarch64.so.1",
        ),
        (elf(183), "aarch64-linux", f"was linked for another system than linux: it asks for {LINKER}"),
        (elf(183, kind=2), ARM64, "is not position independent"),
        (elf(40, wide=False), ARM64, "is a program for armv7 (ELF), not for aarch64 (ELF)"),
        (b"\xcf\xfa\xed\xfe\x0c\0\0\x01" + bytes(24), "aarch64-linux", "aarch64 (Mach-O), not for aarch64 (ELF)"),
    ],
)
def test_what_fits_a_target(tmp_path: Path, data: bytes, target: str, words: str | None) -> None:
    path = tmp_path / "program"
    path.write_bytes(data)
    found = misfit(path, target)
    assert found is None if words is None else words in str(found)
