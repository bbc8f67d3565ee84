"""`harness fetch android`: what it says, asks, fetches and verifies; and that a phone's cell finds it afterwards."""

from __future__ import annotations

import importlib.metadata
import io
import re
import sys
from collections.abc import Iterator
from email.message import Message
from pathlib import Path
from typing import Any

import pytest

from harness import __version__
from harness.cli import main
from harness.errors import UsageError
from harness.lab.inventory import Inventory
from harness.lab.spec import ABIS
from harness.runners.binaries import Binaries
from harness.runners.fetch import plan
from harness.runners.fetched import fetched_runner, fetched_runtime
from harness.runners.runtimes import Runtimes
from tests.runners.android_files import Server, aar, elf, phone_elf, release, serving, sha, write_sums

ARM64 = "aarch64-android"
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    with serving(release(tmp_path / "served", "arm64-v8a", "armeabi-v7a")) as found:
        yield found


class Console:
    """The command, and what it printed."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys

    def run(self, *arguments: object) -> tuple[int, str]:
        code = main(["fetch", "android", *map(str, arguments)])
        said = self._capsys.readouterr()
        return code, said.out + said.err

    def refuses(self, *arguments: object) -> str:
        """What it says when it refuses; nothing was noted."""
        code, said = self.run(*arguments)
        assert code == 4
        assert "harness: " in said
        assert [target for target in ABIS.values() if fetched_runner(target) or fetched_runtime(target)] == []
        return said


@pytest.fixture
def console(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Console:
    # As for a script: standard input is no terminal.
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    return Console(capsys)


def typed(*arguments: str) -> Any:
    """The command on a terminal."""
    pexpect = pytest.importorskip("pexpect")
    program = "import sys; from harness.cli import main; sys.exit(main(sys.argv[1:]))"
    command = ["-c", program, "fetch", "android", *arguments]
    return pexpect.spawn(sys.executable, command, cwd=str(ROOT), encoding="utf-8", timeout=30)


def test_a_phone_finds_what_was_fetched(server: Server, console: Console) -> None:
    code, said = console.run("--from", server.url, "--yes")
    assert code == 0
    size = len(phone_elf("arm64-v8a"))
    assert re.search(rf"From {server.url}?:\n  delegate_bench-arm64-v8a +{size / 1e3:.1f} kB\n", said)
    gpu = "(GPU: libLiteRtClGlAccelerator.so)"
    assert f"arm64-v8a: delegate_bench and LiteRT 2.3.0 are here {gpu}\n" in said
    assert f"armeabi-v7a: delegate_bench and LiteRT 2.3.0 are here {gpu}\n" in said
    found = Binaries({}).file("delegate_bench", ARM64, require_sha256=True)
    assert found.source.read_bytes() == phone_elf("arm64-v8a")
    runtime = Runtimes(Inventory(()), "x86_64-linux").get(None, ARM64)
    assert (runtime.name, runtime.version, runtime.target) == ("default", "2.3.0", ARM64)
    assert [file.name for file in runtime.files] == ["runtime/libLiteRt.so", "runtime/libLiteRtClGlAccelerator.so"]
    assert runtime.files[0].source.read_text() == "libLiteRt.so for arm64-v8a"


def test_what_is_there_is_not_fetched_again(server: Server, console: Console) -> None:
    console.run("--from", server.url, "--yes")
    server.asked.clear()
    code, said = console.run("--from", server.url)
    assert (code, said.count("are here")) == (0, 2), "and nobody is asked"
    assert server.gets() == ["/SHA256SUMS"]


def test_one_abi(server: Server, console: Console) -> None:
    code, said = console.run("--from", server.url, "--yes", "--abi", "armeabi-v7a")
    assert (code, said.count("are here")) == (0, 1)
    assert fetched_runner("armv7-android") is not None
    assert fetched_runner(ARM64) is None
    assert not [path for path in server.gets() if "arm64" in path]


def test_a_script_has_to_agree_beforehand(server: Server, console: Console) -> None:
    said = console.refuses("--from", server.url)
    assert "there is no terminal to ask on; --yes agrees beforehand" in said
    assert server.gets() == ["/SHA256SUMS"]


@pytest.mark.parametrize(("answer", "code"), [("y", 0), ("", 1), ("no", 1)])
def test_a_person_is_asked_once(server: Server, cache: Path, answer: str, code: int) -> None:
    child = typed("--from", server.url, "--abi", "arm64-v8a")
    child.expect(r"delegate_bench-arm64-v8a +\d+\.\d kB\r\n +litert-2\.3\.0-arm64-v8a\.zip +\d+\.\d kB\r\n")
    child.expect(r"Download 2 files, \d+\.\d kB\? \[y/N\] ")
    assert server.gets() == ["/SHA256SUMS"], "nothing was downloaded before"
    child.sendline(answer)
    rest = child.read()
    child.close()
    assert child.exitstatus == code
    assert ("are here" in rest) is (code == 0)
    assert ("Nothing was downloaded." in rest) is (code == 1)
    assert (fetched_runner(ARM64) is not None) is (code == 0)


def test_ctrl_c_at_the_question_is_no_traceback(server: Server) -> None:
    child = typed("--from", server.url)
    child.expect(r"\[y/N\] ")
    child.sendintr()
    rest = child.read()
    child.close()
    assert child.exitstatus == 2
    assert "Traceback" not in rest


def test_a_folder_of_this_computer_needs_no_question(tmp_path: Path, console: Console) -> None:
    code, said = console.run("--from", release(tmp_path / "release here", "arm64-v8a"))
    assert (code, said.count("are here")) == (0, 1)


def test_a_file_that_does_not_match_its_sum(server: Server, console: Console) -> None:
    (server.folder / "litert-2.3.0-armeabi-v7a.zip").write_bytes(b"other")
    said = console.refuses("--from", server.url, "--yes")
    assert "litert-2.3.0-armeabi-v7a.zip: what is there has SHA-256" in said


def test_a_file_that_is_listed_but_not_there(server: Server, console: Console) -> None:
    (server.folder / "delegate_bench-arm64-v8a").unlink()
    said = console.refuses("--from", server.url, "--yes")
    assert "delegate_bench-arm64-v8a: cannot be downloaded: the server answered 404" in said
    assert re.search(r"delegate_bench-arm64-v8a +size unknown\n", said)


def test_no_release_there(tmp_path: Path, console: Console, server: Server) -> None:
    said = console.refuses("--from", f"{server.url}v9", "--yes")
    assert f"{server.url}v9/SHA256SUMS: cannot be downloaded: the server answered 404" in said
    assert "--from gone: there is no such folder" in console.refuses("--from", "gone")
    (tmp_path / "empty").mkdir()
    assert "empty: has no SHA256SUMS, as the folder of a release has" in console.refuses("--from", tmp_path / "empty")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("<!DOCTYPE html>\n", "SHA256SUMS:1: expected a SHA-256 and a file's name, as sha256sum writes them"),
        ("", "has nothing for any phone; it has none"),
        (f"{'0' * 64}  delegate_bench-riscv64\n", "has nothing for any phone"),
        (f"{'0' * 64}  delegate_bench-arm64-v8a\n", "has nothing for any phone"),
        (
            "".join(f"{'0' * 64}  litert-{version}-x86_64.zip\n" for version in ("2.2.0", "2.3.0")),
            "has two runtimes for x86_64, litert-2.2.0-x86_64.zip and litert-2.3.0-x86_64.zip; it may have one",
        ),
    ],
)
def test_sums_that_are_none(tmp_path: Path, console: Console, text: str, words: str) -> None:
    (tmp_path / "SHA256SUMS").write_text(text)
    assert words in console.refuses("--from", tmp_path)


def test_names_that_lead_elsewhere_are_not_followed(tmp_path: Path, console: Console) -> None:
    folder = release(tmp_path / "release", "arm64-v8a")
    with (folder / "SHA256SUMS").open("a") as sums:
        sums.write(f"{'0' * 64} *../../delegate_bench-x86_64\n{'0' * 64}  notes.txt\n")
    code, said = console.run("--from", folder)
    assert (code, said.count("are here")) == (0, 1)


def test_an_abi_without_a_runtime_is_left_out_unless_asked_for(tmp_path: Path, console: Console) -> None:
    folder = release(tmp_path / "release", "arm64-v8a", "armeabi-v7a")
    (folder / "litert-2.3.0-armeabi-v7a.zip").unlink()
    write_sums(folder)
    said = console.refuses("--from", folder, "--abi", "armeabi-v7a")
    assert "SHA256SUMS lists no litert-<version>-armeabi-v7a.zip" in said
    code, said = console.run("--from", folder)
    assert (code, said.count("are here")) == (0, 1)


def test_a_runner_for_another_processor(tmp_path: Path, console: Console) -> None:
    folder = release(tmp_path / "release", "arm64-v8a")
    (folder / "delegate_bench-arm64-v8a").write_bytes(phone_elf("x86_64"))
    write_sums(folder)
    assert "delegate_bench-arm64-v8a of" in (said := console.refuses("--from", folder))
    assert "is a program for x86_64 (ELF), not for aarch64 (ELF)" in said


def test_an_unknown_abi(tmp_path: Path, console: Console) -> None:
    said = console.refuses("--from", tmp_path, "--abi", "arm64")
    assert "--abi arm64: expected one of arm64-v8a, armeabi-v7a, x86_64; did you mean 'arm64-v8a'?" in said


def test_files_of_the_users_own(tmp_path: Path, console: Console) -> None:
    archive = aar(tmp_path / "litert.aar", "arm64-v8a", "x86_64")
    runner = tmp_path / "built"
    runner.write_bytes(phone_elf("arm64-v8a"))
    code, said = console.run("--aar", archive)
    assert code == 0
    assert "arm64-v8a: LiteRT is here, delegate_bench is missing: harness fetch android --from RELEASE" in said
    code, said = console.run("--runner", runner)
    assert (code, said) == (
        0,
        "arm64-v8a: delegate_bench and LiteRT 2.3.0 are here (GPU: libLiteRtClGlAccelerator.so)\n",
    )
    runner.unlink()
    archive.unlink()
    assert Binaries({}).file("delegate_bench", ARM64).sha256 == sha(phone_elf("arm64-v8a"))
    assert fetched_runtime("x86_64-android") is not None


def test_both_at_once_and_an_archive_of_unknown_version(tmp_path: Path, console: Console) -> None:
    archive = aar(tmp_path / "litert.aar", "arm64-v8a", version=None, gpu=False)
    (tmp_path / "built").write_bytes(phone_elf("arm64-v8a"))
    code, said = console.run("--aar", archive, "--runner", tmp_path / "built")
    assert code == 0
    words = f"LiteRT (archive {sha(archive.read_bytes())[:12]}) are here (CPU only: it has no GPU accelerator)"
    assert said == f"arm64-v8a: delegate_bench and {words}\n"
    code, said = console.run("--aar", archive, "--runner", tmp_path / "built", "--from", "x")
    assert code == 4
    assert "--from has nothing to give beside --aar and --runner" in said


def test_an_archive_takes_the_place_of_the_releases(tmp_path: Path, console: Console, server: Server) -> None:
    archive = aar(tmp_path / "litert.aar", "arm64-v8a", "armeabi-v7a", version="2.4.0")
    code, said = console.run("--from", server.url, "--aar", archive, "--yes")
    assert (code, said.count("LiteRT 2.4.0 are here")) == (0, 2)
    assert not [path for path in server.gets() if "litert" in path]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"PK\3\4 half an archive", "is no Android archive (AAR), or is damaged"),
        (None, "there is no such file"),
    ],
)
def test_archives_that_are_none(tmp_path: Path, console: Console, content: bytes | None, words: str) -> None:
    path = tmp_path / "litert.aar"
    if content is not None:
        path.write_bytes(content)
    assert f"{path}: {words}" in console.refuses("--aar", path)


def test_an_archive_without_the_abi(tmp_path: Path, console: Console) -> None:
    archive = aar(tmp_path / "litert.aar", "arm64-v8a")
    said = console.refuses("--aar", archive, "--abi", "armeabi-v7a")
    assert f"{archive}: has nothing for armeabi-v7a; it has arm64-v8a" in said
    assert "has nothing for any phone" in console.refuses("--aar", aar(tmp_path / "none.aar"))


def test_runners_that_are_none(tmp_path: Path, console: Console) -> None:
    path = tmp_path / "built"
    assert f"--runner {path} cannot be read: No such file" in console.refuses("--runner", path)
    path.write_bytes(b"#!/bin/sh")
    assert f"--runner {path} is no ELF program" in console.refuses("--runner", path)
    path.write_bytes(elf(62, loader="/lib64/ld-linux-x86-64.so.2"))
    assert "was linked for another system than android" in console.refuses("--runner", path)
    path.write_bytes(phone_elf("x86_64"))
    said = console.refuses("--runner", path, "--abi", "arm64-v8a")
    assert f"--runner {path} is for x86_64, --abi asks for arm64-v8a" in said


def metadata(monkeypatch: pytest.MonkeyPatch, *urls: str) -> None:
    """What the installed package's metadata names."""
    message = Message()
    for url in urls:
        message["Project-URL"] = url
    monkeypatch.setattr(importlib.metadata, "metadata", lambda name: message)


def test_without_a_release_page_it_says_what_to_give(console: Console, monkeypatch: pytest.MonkeyPatch) -> None:
    metadata(monkeypatch, "Documentation, https://example.invalid")
    said = console.refuses()
    assert "names no release page to fetch from; say where the files are: --from URL or FOLDER" in said


def test_the_release_page_of_the_metadata(
    tmp_path: Path, console: Console, monkeypatch: pytest.MonkeyPatch, server: Server
) -> None:
    metadata(monkeypatch, f"Releases, {server.url}releases")
    release(server.folder / "releases" / "download" / f"v{__version__}", "arm64-v8a")
    code, said = console.run("--yes")
    assert (code, said.count("are here")) == (0, 1)


def test_another_version_of_the_harness_fetches_anew(
    tmp_path: Path, console: Console, monkeypatch: pytest.MonkeyPatch
) -> None:
    console.run("--from", release(tmp_path / "release", "arm64-v8a"))
    assert fetched_runner(ARM64) is not None
    monkeypatch.setattr("harness.runners.fetched.__version__", "99.0")
    assert fetched_runner(ARM64) is None


def test_a_link_with_a_password_is_refused_and_not_shown() -> None:
    with pytest.raises(UsageError) as caught:
        plan("https://me:hunter2@example.com/release", None, None, ())
    assert "hunter2" not in str(caught.value)
    assert "password" in str(caught.value)
