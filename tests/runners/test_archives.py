"""LiteRT for phones: out of an Android archive by path, or what was fetched."""

from __future__ import annotations

import struct
import zipfile
from pathlib import Path

import pytest

from harness.errors import UsageError
from harness.lab.inventory import Inventory
from harness.lab.spec import ABIS, RuntimeSource
from harness.runners import archives
from harness.runners.archives import abis_in, unpacked, version_in
from harness.runners.fetched import remember
from harness.runners.runtimes import Runtime, Runtimes
from tests.runners.android_files import aar, sha

ARM64 = "aarch64-android"


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def get(source: RuntimeSource | None, target: str = ARM64, name: str | None = "x") -> Runtime:
    known = {} if source is None else {"x": source}
    return Runtimes(Inventory((), runtimes=known), "x86_64-linux").get(name, target)


def test_libraries_of_an_abi(tmp_path: Path) -> None:
    path = aar(tmp_path / "litert.aar", "arm64-v8a", "armeabi-v7a")
    for abi in ("arm64-v8a", "armeabi-v7a"):
        found = get(RuntimeSource(aar=str(path), sha256=sha(path.read_bytes())), ABIS[abi])
        assert (found.name, found.version, found.target, found.library) == (
            "x",
            "2.3.0",
            ABIS[abi],
            "runtime/libLiteRt.so",
        )
        assert {file.name: file.source.read_text() for file in found.files} == {
            f"runtime/{name}": f"{name} for {abi}" for name in ("libLiteRt.so", "libLiteRtClGlAccelerator.so")
        }
        assert found.sha256 == found.files[0].sha256 == sha(f"libLiteRt.so for {abi}".encode())


def test_every_library_of_litert_is_taken(tmp_path: Path) -> None:
    path = aar(tmp_path / "litert.aar", "arm64-v8a")
    with zipfile.ZipFile(path, "a") as archive:
        for name in ("libLiteRtGpuAccelerator.so", "libLiteRtDispatch_X.so", "deeper/libLiteRt.so", "libLiteRt.txt"):
            archive.writestr(f"jni/arm64-v8a/{name}", name)
    assert [file.name for file in get(RuntimeSource(aar=str(path))).files] == [
        "runtime/libLiteRt.so",
        "runtime/libLiteRtClGlAccelerator.so",
        "runtime/libLiteRtDispatch_X.so",
        "runtime/libLiteRtGpuAccelerator.so",
    ]


def test_it_is_unpacked_once_by_its_hash(tmp_path: Path) -> None:
    path = aar(tmp_path / "litert.aar", "arm64-v8a")
    first = unpacked(path, "arm64-v8a")
    before = (first / "libLiteRt.so").stat().st_mtime_ns
    copy = path.rename(tmp_path / "other name.aar")
    assert unpacked(copy, "arm64-v8a") == first
    assert (first / "libLiteRt.so").stat().st_mtime_ns == before
    second = unpacked(aar(tmp_path / "new.aar", "arm64-v8a", version="2.4.0"), "arm64-v8a")
    assert second != first
    assert sorted(first.parent.iterdir()) == sorted([first, second]), "no scratch is left"


def test_the_version_is_what_the_manifest_states(tmp_path: Path) -> None:
    assert version_in(aar(tmp_path / "a.aar", version="2.4.0-alpha1")) == "2.4.0-alpha1"
    assert version_in(aar(tmp_path / "b.aar", version=None)) is None
    assert version_in(aar(tmp_path / "c.aar", version="@string/none")) is None
    with zipfile.ZipFile(tmp_path / "d.aar", "w") as archive:
        archive.writestr("classes.jar", b"")
    assert version_in(tmp_path / "d.aar") is None
    assert get(RuntimeSource(aar=str(aar(tmp_path / "e.aar", "arm64-v8a", version=None)))).version is None


def test_another_hash(tmp_path: Path) -> None:
    path = aar(tmp_path / "litert.aar", "arm64-v8a")
    with pytest.raises(UsageError) as caught:
        get(RuntimeSource(aar=str(path), sha256="0" * 64))
    assert str(caught.value) == f"runtime 'x': {path} has SHA-256 {sha(path.read_bytes())}, not {'0' * 64}"


def test_an_archive_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"runtime 'x': .*gone\.aar cannot be read: No such file"):
        get(RuntimeSource(aar=str(tmp_path / "gone.aar")))


def test_an_archive_without_the_abi_says_what_it_has(tmp_path: Path) -> None:
    path = aar(tmp_path / "litert.aar", "arm64-v8a", "x86_64")
    assert abis_in(path) == ["arm64-v8a", "x86_64"]
    with pytest.raises(UsageError, match=r"has no runtime for armeabi-v7a .*it has one for arm64-v8a, x86_64"):
        get(RuntimeSource(aar=str(path)), "armv7-android")
    with pytest.raises(UsageError, match="it has none at all"):
        get(RuntimeSource(aar=str(aar(tmp_path / "none.aar"))))


def test_a_damaged_archive_leaves_nothing(tmp_path: Path, cache: Path) -> None:
    path = aar(tmp_path / "litert.aar", "arm64-v8a")
    data = bytearray(path.read_bytes())
    start = data.index(b"libLiteRt.so for arm64-v8a")
    data[start : start + 4] = b"LIBx"
    path.write_bytes(data)
    with pytest.raises(UsageError, match=r"runtime 'x': .*is no Android archive \(AAR\), or is damaged: Bad CRC-32"):
        get(RuntimeSource(aar=str(path)))
    assert list((cache / "runtimes").iterdir()) == []


def test_an_archive_that_would_fill_the_disk(tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "LIMIT", 1000)
    path = tmp_path / "bomb.aar"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("jni/arm64-v8a/libLiteRt.so", bytes(100000))
    with pytest.raises(UsageError, match="its libraries for arm64-v8a are larger than"):
        get(RuntimeSource(aar=str(path)))
    # One that lies about its size is cut off by the zip format itself.
    data = bytearray(path.read_bytes())
    for signature, offset in ((b"PK\3\4", 22), (b"PK\1\2", 24)):
        struct.pack_into("<I", data, data.index(signature) + offset, 10)
    path.write_bytes(data)
    with pytest.raises(UsageError, match="damaged"):
        get(RuntimeSource(aar=str(path)))
    assert list((cache / "runtimes").iterdir()) == []


def test_a_cache_that_cannot_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = aar(tmp_path / "litert.aar", "arm64-v8a")
    monkeypatch.setenv("HARNESS_CACHE", str(path / "cache"))
    with pytest.raises(UsageError, match="the cache cannot be written: Not a directory"):
        get(RuntimeSource(aar=str(path)))


ADVICE = "run: harness fetch android (or name an AAR: runtimes: {"


@pytest.mark.parametrize(("abi", "target"), ABIS.items())
def test_phones_have_no_runtime_until_one_is_fetched(abi: str, target: str) -> None:
    with pytest.raises(UsageError) as caught:
        get(None, target, None)
    assert str(caught.value) == f"there is no LiteRT runtime for {abi} phones yet; {ADVICE}x: {{aar: FILE}}}})"


def fetched(tmp_path: Path, version: str | None) -> None:
    path = aar(tmp_path / "litert.aar", "arm64-v8a", version=version)
    unpacked(path, "arm64-v8a")
    remember(ARM64, "runtime", {"sha256": sha(path.read_bytes()), "version": version})


def test_the_fetched_one_is_the_default_and_answers_to_its_version(tmp_path: Path) -> None:
    fetched(tmp_path, "2.3.0")
    assert (get(None, name=None).name, get(None, name=None).version) == ("default", "2.3.0")
    assert (get(None, name="2.3.0").name, get(None, name="2.3.0").version) == ("2.3.0", "2.3.0")
    with pytest.raises(UsageError) as caught:
        get(None, name="2.2.0")
    expected = f"the runtime for arm64-v8a phones is LiteRT 2.3.0, not 2.2.0; {ADVICE}2.2.0: {{aar: FILE}}}})"
    assert str(caught.value) == expected


def test_one_of_unknown_version_is_the_default_and_no_other(tmp_path: Path) -> None:
    fetched(tmp_path, None)
    assert get(None, name=None).version is None
    with pytest.raises(UsageError, match=r"is one of unknown version, not 2\.2\.0"):
        get(None, name="2.2.0")


def test_a_cache_that_was_emptied_is_as_one_that_never_was(tmp_path: Path, cache: Path) -> None:
    fetched(tmp_path, "2.3.0")
    for path in (cache / "runtimes").rglob("libLiteRt.so"):
        path.unlink()
    with pytest.raises(UsageError, match="there is no LiteRT runtime for arm64-v8a phones yet"):
        get(None, name=None)
    for path in (cache / "android").rglob("*.json"):
        path.write_text("{half")
    with pytest.raises(UsageError, match="there is no LiteRT runtime for arm64-v8a phones yet"):
        get(None, name=None)
