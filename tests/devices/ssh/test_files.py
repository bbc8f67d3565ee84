"""Files through the real sftp-server."""

from __future__ import annotations

import contextlib
import os
import stat
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from emulated.ssh.sshd import Sshd
from harness.devices.shell.way import PushFile
from harness.devices.ssh import transport
from harness.devices.ssh.connection import SshConnection
from harness.devices.ssh.errors import SshLostError, SshProtocolError, SshRefusedError, SshTimeoutError
from harness.devices.ssh.files import SftpSession
from tests.devices.ssh.conftest import BOUND, NEVER, STALL_BOUND, Background, Connect, until

PLAIN = 'exec sh -c "$SSH_ORIGINAL_COMMAND"'


@pytest.fixture
def there(own: Sshd) -> Path:
    """The folder that paths start from, seen from this computer."""
    return own.home


@pytest.fixture
def board(own: Sshd, to: Connect) -> SshConnection:
    return to(own)


@pytest.fixture
def files(board: SshConnection) -> Iterator[SftpSession]:
    with board.files(BOUND) as session:
        yield session


@pytest.mark.parametrize("size", [0, 1, 32 << 10, 262_143, 5_000_001])
def test_there_and_back(files: SftpSession, there: Path, tmp_path: Path, size: int) -> None:
    data = os.urandom(size)
    (tmp_path / "source").write_bytes(data)
    assert files.push(tmp_path / "source", "file", 0o755) == size
    assert (there / "file").read_bytes() == data
    assert stat.S_IMODE((there / "file").stat().st_mode) == 0o755
    assert files.pull("file", tmp_path / "back", size) == size
    assert (tmp_path / "back").read_bytes() == data
    assert not (tmp_path / "back.part").exists()


def test_many_files_into_folders_that_are_missing(files: SftpSession, there: Path) -> None:
    sources = {f"a/b{number % 3}/c{number}": os.urandom(number * 997) for number in range(100)}
    pushed = [PushFile(data, name, 0o640) for name, data in sources.items()]
    assert files.push_many(pushed) == sum(map(len, sources.values()))
    for name, data in sources.items():
        assert (there / name).read_bytes() == data
        assert stat.S_IMODE((there / name).stat().st_mode) == 0o640
    listed = dict(files.list("a/b0"))
    assert len(listed) == 34
    assert listed["c99"].size == 99 * 997
    assert stat.S_ISDIR(dict(files.list("a"))["b1"].mode)
    assert files.push_many([]) == 0


def test_a_push_replaces_what_is_there(files: SftpSession, there: Path) -> None:
    (there / "file").write_bytes(bytes(1000))
    (there / "file").chmod(0o600)
    files.push(b"short", "file", 0o755)
    assert (there / "file").read_bytes() == b"short"
    assert stat.S_IMODE((there / "file").stat().st_mode) == 0o755


def test_absolute_paths_and_names_of_every_kind(files: SftpSession, there: Path) -> None:
    for name in ("with blanks", "quote'\"", "ünï", "back\\slash", "new\nline", "raw\udcff"):
        files.push(b"x", f"{there}/odd/{name}")
        assert files.stat(f"{there}/odd/{name}") is not None
    assert len(files.list(f"{there}/odd")) == 6
    assert "raw\udcff" in dict(files.list("odd"))


def test_a_folder_with_more_entries_than_one_answer_holds(files: SftpSession, there: Path) -> None:
    (there / "many").mkdir()
    for number in range(1500):
        (there / "many" / f"{number:04}").touch()
    assert sorted(name for name, _ in files.list("many")) == [f"{number:04}" for number in range(1500)]


def test_what_is_at_a_path(files: SftpSession, there: Path) -> None:
    (there / "file").write_bytes(b"12345")
    os.utime(there / "file", (1_000, 2_000))
    (there / "link").symlink_to("file")
    found = files.stat("link")
    assert found is not None
    assert (stat.S_ISREG(found.mode), found.size, found.mtime) == (True, 5, 2_000)
    assert files.stat("missing") is None
    assert files.stat("file/below") is None
    assert stat.S_ISLNK(dict(files.list("."))["link"].mode), "described itself"


def test_refusals_name_the_path_and_the_session_goes_on(files: SftpSession, there: Path, tmp_path: Path) -> None:
    (there / "folder").mkdir()
    (there / "link").symlink_to("file")
    os.mkfifo(there / "pipe")
    (there / "file").write_bytes(bytes(100))
    refused: list[tuple[Callable[[], object], str]] = [
        (lambda: files.push(b"", "folder"), "rpi5: 'folder' cannot be pushed to: it is a folder"),
        (lambda: files.push(b"", "new/"), "'new/' cannot be pushed to: it is a folder"),
        (lambda: files.push(b"", "link"), "'link' cannot be pushed to: it is a link"),
        (lambda: files.push(b"", "file/below"), "'file/below' was not taken: No such file or directory"),
        (lambda: files.pull("missing", tmp_path / "x", 9), "'missing' cannot be pulled: No such file or directory"),
        (lambda: files.pull("folder", tmp_path / "x", 9), "'folder' cannot be pulled: not a regular file"),
        (lambda: files.pull("pipe", tmp_path / "x", 9), "'pipe' cannot be pulled: not a regular file"),
        (lambda: files.pull("file", tmp_path / "x", 99), "'file' has 100 bytes, more than the 99 allowed"),
        (lambda: files.list("missing"), "'missing' cannot be listed: No such file or directory"),
        (lambda: files.list("file"), "'file' cannot be listed"),
    ]
    for call, words in refused:
        with pytest.raises(SshRefusedError) as caught:
            call()
        assert words in str(caught.value)
    assert files.push(b"fine", "file") == 4
    assert not (tmp_path / "x").exists()


def test_a_source_that_is_missing(files: SftpSession, there: Path, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        files.push(tmp_path / "missing", "file")
    assert files.push(b"fine", "file") == 4


def test_a_file_that_grows_while_it_is_read(own: Sshd, to: Connect, tmp_path: Path) -> None:
    """/proc says that its files are empty, and gives more."""
    with to(own).files(BOUND) as files, pytest.raises(SshRefusedError, match="changed while it was read, from 0 to 1"):
        files.pull("/proc/version", tmp_path / "x", 1000)
    assert list(tmp_path.glob("x*")) == []


def test_portions_are_entered_around_stretches(files: SftpSession, there: Path, tmp_path: Path) -> None:
    inside = False
    entered: list[int] = []

    @contextlib.contextmanager
    def portion() -> Iterator[None]:
        nonlocal inside
        assert not inside
        inside = True
        entered.append(1)
        yield
        inside = False

    data = os.urandom(13 << 20)
    files.push(data, "file", portion=portion)
    assert not inside
    assert len(entered) >= 4, "each at most 4 MiB"
    assert (there / "file").read_bytes() == data
    before = len(entered)
    files.pull("file", tmp_path / "back", 13 << 20, portion)
    assert len(entered) - before >= 4


def test_a_deadline_ends_the_session(board: SshConnection, own: Sshd) -> None:
    with board.files(BOUND) as files:
        files.push(b"x", "file")
    with board.files(1.0) as files:
        own.stall()
        with pytest.raises(SshTimeoutError, match="within 1 s"):
            files.stat("file")
        own.resume()
        with pytest.raises(SshTimeoutError):
            files.stat("file")


def test_an_sshd_that_dies_in_the_middle_of_a_transfer(board: SshConnection, own: Sshd, there: Path) -> None:
    with board.files(BOUND) as files:
        files.push(b"x", "first")
        pushing = Background(lambda: files.push_many([PushFile(bytes(1 << 20), f"big{n}") for n in range(2000)]))
        until((there / "big3").exists)
        own.kill()
        error = pushing.join()
        assert isinstance(error, SshLostError)
        assert "big" in str(error)
        with pytest.raises(SshLostError):
            files.stat("first")
    until(lambda: not board.up)
    own.start()
    board.connect(BOUND, NEVER)
    with board.files(BOUND) as files:
        assert files.stat("first") is not None


def test_a_link_that_stalls_in_the_middle_of_a_transfer(
    board: SshConnection, own: Sshd, there: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with board.files(1000.0) as files:
        pushing = Background(lambda: files.push_many([PushFile(bytes(1 << 20), f"big{n}") for n in range(2000)]))
        until((there / "big3").exists)
        own.stall()
        monkeypatch.setattr(transport, "STALL_SECONDS", 2)
        error = pushing.join(STALL_BOUND)
    assert isinstance(error, SshLostError)
    assert "nothing came from it any more" in str(error)
    own.resume()


def mounted(options: str) -> str:
    """A command for sessions that see a small file system at `disk`; skips where nobody may mount one."""
    inner = f"mkdir -p disk && mount -t tmpfs -o {options} none disk && {PLAIN}"
    if subprocess.run(["unshare", "-Urm", "mount", "-t", "tmpfs", "none", "/mnt"], check=False).returncode:
        pytest.skip("needs user namespaces, to mount a small file system")
    return f"exec unshare -Urm sh -c '{inner}'"


def test_a_full_disk_is_told_in_words(tmp_path: Path, to: Connect) -> None:
    with Sshd(tmp_path / "sshd", command=mounted("size=512k")) as server, to(server).files(BOUND) as files:
        assert files.push(bytes(100_000), "disk/small") == 100_000
        with pytest.raises(SshRefusedError) as caught:
            files.push_many([PushFile(bytes(200_000), f"disk/file{number}") for number in range(9)])
        assert caught.value.said == "No space left on device"
        assert "'disk/file" in str(caught.value)
        assert files.stat("disk") is not None


def test_a_read_only_disk_is_told_in_words(tmp_path: Path, to: Connect) -> None:
    with Sshd(tmp_path / "sshd", command=mounted("ro")) as server, to(server).files(BOUND) as files:
        for name in ("disk/file", "disk/sub/file"):
            with pytest.raises(SshRefusedError) as caught:
                files.push(b"x", name)
        assert caught.value.said in ("Read-only file system", "No such file or directory")


def test_a_limit_that_the_server_has_no_word_for(tmp_path: Path, to: Connect) -> None:
    """A quota, say: here, of one file's size."""
    command = f"ulimit -f 64; trap '' XFSZ; {PLAIN}"
    with (
        Sshd(tmp_path / "sshd", command=command) as server,
        to(server).files(BOUND) as files,
        pytest.raises(SshRefusedError, match="'big' was not taken: Failure"),
    ):
        files.push(bytes(1 << 20), "big")


def test_a_folder_that_may_not_be_written(tmp_path: Path, to: Connect) -> None:
    powerless = "exec setpriv --bounding-set -all --inh-caps -all " if os.getuid() == 0 else ""
    with Sshd(tmp_path / "sshd", command=f"{powerless}{PLAIN.removeprefix('exec ')}") as server:
        server.home.chmod(0o555)
        with to(server).files(BOUND) as files:
            with pytest.raises(SshRefusedError, match="'file' was not taken: Permission denied"):
                files.push(b"x", "file")
            with pytest.raises(SshRefusedError, match="'a/b/file' was not taken: No such file or directory"):
                files.push(b"x", "a/b/file")
        server.home.chmod(0o755)


def test_an_sshd_without_a_file_service(tmp_path: Path, to: Connect) -> None:
    with (
        Sshd(tmp_path / "sshd", options="# no Subsystem sftp") as server,
        to(server).files(BOUND) as files,
        pytest.raises(SshRefusedError, match=r"offers no file service.*Subsystem sftp internal-sftp"),
    ):
        files.stat("file")


def test_login_scripts_that_talk_in_between(tmp_path: Path, to: Connect) -> None:
    with (
        Sshd(tmp_path / "sshd", command=f"echo Welcome to this board; {PLAIN}") as server,
        to(server).files(BOUND) as files,
        pytest.raises(SshProtocolError, match=r"Welcome.*login scripts"),
    ):
        files.stat("file")
