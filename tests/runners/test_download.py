"""Downloads: whole and verified in the cache, or one message and nothing left behind."""

from __future__ import annotations

import http.client
import os
import shutil
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.errors import UsageError
from harness.runners import download as module
from harness.runners.download import download, keep, kept, read_text, size_of
from tests.runners.android_files import Server, serving, sha

ROOT = Path(__file__).resolve().parents[2]
DATA = bytes(range(256)) * 4000
HASH = sha(DATA)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / "cache"))
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    return tmp_path / "cache"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    folder = tmp_path / "served"
    folder.mkdir()
    (folder / "program").write_bytes(DATA)
    with serving(folder) as found:
        yield found


def get(server: Server, path: str = "program", sha256: str = HASH) -> Path:
    return download(server.url + path, sha256, f"the link {path}")


def refused(server: Server, path: str = "program", sha256: str = HASH) -> str:
    """The message of a download that fails, and proof that nothing is left of it."""
    with pytest.raises(UsageError) as caught:
        get(server, path, sha256)
    assert list((Path(os.environ["HARNESS_CACHE"]) / "files").iterdir()) == []
    assert f"the link {path}" in str(caught.value)
    return str(caught.value)


def test_a_file_is_downloaded_once(server: Server, cache: Path) -> None:
    path = get(server)
    assert path.read_bytes() == DATA
    assert path.is_relative_to(cache)
    assert get(server) == path
    assert server.gets() == ["/program"]
    assert [found.name for found in path.parent.iterdir()] == [HASH]


def test_a_size_that_is_not_stated_is_no_hindrance(server: Server) -> None:
    server.silent.add("/program")
    assert get(server).read_bytes() == DATA
    assert size_of(server.url + "program", "x") is None


def test_a_file_that_breaks_off(server: Server) -> None:
    server.cut["/program"] = 70000
    message = refused(server)
    assert f"ended after 70000 of {len(DATA)} bytes" in message
    assert "check the link, the network and the proxy" in message
    server.cut.clear()
    assert get(server).read_bytes() == DATA


def test_a_file_that_breaks_off_unnoticed_has_another_hash(server: Server) -> None:
    server.cut["/program"] = 70000
    server.silent.add("/program")
    assert f"has SHA-256 {sha(DATA[:70000])}, not {HASH}" in refused(server)


def test_other_content(server: Server) -> None:
    message = refused(server, sha256="0" * 64)
    assert f"has SHA-256 {HASH}, not {'0' * 64}" in message


def test_a_link_that_leads_nowhere(server: Server) -> None:
    assert "the server answered 404" in refused(server, "gone")


def test_no_server(tmp_path: Path) -> None:
    with serving(tmp_path) as gone:
        pass
    with pytest.raises(UsageError, match=r"the link: cannot be downloaded: Connection refused; check the link"):
        download(f"{gone.url}program", HASH, "the link")


@pytest.mark.parametrize("url", ["http://[half/x", "http://127.0.0.1:port/x", "ftp2://x/y", "file:///gone/x"])
def test_links_that_are_none(url: str) -> None:
    with pytest.raises(UsageError, match="the link: cannot be downloaded: "):
        download(url, HASH, "the link")


def test_redirects_are_followed(server: Server) -> None:
    server.redirects |= {"/old": "/older", "/older": f"{server.url}program"}
    assert get(server, "old").read_bytes() == DATA
    assert server.gets() == ["/old", "/older", "/program"]


def test_a_circle_of_redirects_ends(server: Server) -> None:
    server.redirects["/old"] = "/old"
    assert "cannot be downloaded" in refused(server, "old")
    assert len(server.asked) < 20


def test_a_redirect_does_not_reach_into_this_computer(server: Server, tmp_path: Path) -> None:
    server.redirects["/old"] = (tmp_path / "served" / "program").as_uri()
    assert "cannot be downloaded" in refused(server, "old")


def test_https_never_leads_to_http() -> None:
    request = urllib.request.Request("https://example.invalid/x")
    fp = open(os.devnull, "rb")  # noqa: PTH123, SIM115 - closed by what is tested
    with pytest.raises(urllib.error.URLError, match="not encrypted"):
        module._Redirects().redirect_request(request, fp, 302, "", http.client.HTTPMessage(), "http://x/y")
    assert fp.closed


def test_the_environments_proxy_is_used(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", server.url)
    server.redirects["http://example.invalid/program"] = server.url + "program"
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    assert download("http://example.invalid/program", HASH, "the link").read_bytes() == DATA
    assert server.gets()[0] == "http://example.invalid/program"


def test_files_of_this_computer(tmp_path: Path) -> None:
    (tmp_path / "a program").write_bytes(DATA)
    assert download((tmp_path / "a program").as_uri(), HASH, "x").read_bytes() == DATA


@pytest.mark.parametrize("stated", [True, False])
def test_too_much_is_refused(server: Server, monkeypatch: pytest.MonkeyPatch, stated: bool) -> None:
    monkeypatch.setattr(module, "LIMIT", 1 << 19)
    if not stated:
        server.silent.add("/program")
    with pytest.raises(UsageError, match="is larger than 0 MiB"):
        get(server)
    assert kept(HASH) is None


def test_what_was_damaged_in_the_cache_is_downloaded_anew(server: Server) -> None:
    path = get(server)
    path.write_bytes(b"damaged")
    assert kept(HASH) is None
    assert get(server).read_bytes() == DATA
    assert len(server.gets()) == 2


def test_two_at_once_do_not_disturb_each_other(server: Server) -> None:
    found: list[Path] = []
    threads = [threading.Thread(target=lambda: found.append(get(server))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(found)) == 1
    assert found[0].read_bytes() == DATA
    assert len(list(found[0].parent.iterdir())) == 1


def test_a_cache_that_cannot_be(tmp_path: Path, server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(UsageError, match=r"the cache cannot be written: Not a directory: .*set HARNESS_CACHE"):
        get(server)


def test_a_read_only_cache(tmp_path: Path, cache: Path) -> None:
    """What is there already can be used; nothing can be added."""
    (tmp_path / "source").write_bytes(DATA)
    keep(tmp_path / "source")
    (tmp_path / "other").write_bytes(b"other")
    program = (
        "from pathlib import Path; from harness.runners.download import keep, kept\n"
        "from harness.errors import UsageError\n"
        f"print(kept({HASH!r}) is not None)\n"
        f"try: keep(Path({str(tmp_path / 'other')!r}))\n"
        "except UsageError as error: print(error)\n"
    )
    command = [sys.executable, "-c", program]
    if os.geteuid() == 0:  # who may write everywhere, unless told not to
        if shutil.which("setpriv") is None:
            pytest.skip("root needs setpriv (util-linux) to see a read-only folder")
        command = ["setpriv", "--bounding-set", "-dac_override", *command]
    (cache / "files").chmod(0o555)
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    (cache / "files").chmod(0o755)
    assert done.stdout.splitlines()[:1] == ["True"], done.stderr
    assert "the cache cannot be written: Permission denied: " in done.stdout
    assert "set HARNESS_CACHE to a folder that can be" in done.stdout


def test_texts(server: Server) -> None:
    (server.folder / "text").write_text("ümlaut\n")
    assert read_text(server.url + "text", "x", 100) == "ümlaut\n"
    with pytest.raises(UsageError, match="x: has more than 4 bytes"):
        read_text(server.url + "text", "x", 4)
    with pytest.raises(UsageError, match="x: is no text"):
        read_text(server.url + "program", "x", 1 << 21)
    assert size_of(server.url + "text", "x") == 8
    server.forbidden_methods.add("HEAD")
    assert size_of(server.url + "text", "x") is None
