"""`harness doctor` for boards: how far it comes on the way there, what the board is, and nothing on it is touched."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from emulated.board.board import Board
from emulated.ssh.sshd import Sshd, keygen
from harness.devices.local import host_target
from harness.doctor import links
from tests.boards import needs_board
from tests.doctor.conftest import Doctor

pytestmark = pytest.mark.timeout(120)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home of the one who calls the doctor, with no key and no known host in it."""
    needs_board("native")
    folder = tmp_path / "home"
    (folder / ".ssh").mkdir(parents=True)
    monkeypatch.setenv("HOME", str(folder))
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    return folder


@pytest.fixture
def board(home: Path, tmp_path: Path) -> Iterator[Board]:
    """A board of this computer's own architecture, called `rpi` in ~/.ssh/config."""
    with Board(tmp_path / "board", arch="native") as made:
        (home / ".ssh" / "config").write_text(made.sshd.config("rpi"))
        yield made


def entry(more: str = "") -> str:
    return f"name: rpi5, kind: ssh, address: rpi{more}"


def files(folder: Path) -> list[str]:
    return sorted(str(path) for path in folder.rglob("*"))


def test_a_board_that_has_everything(board: Board, doctor: Doctor) -> None:
    board.set_file("/proc/device-tree/model", "Board of the Tests Rev 1\0")
    before = files(board.home)
    said = doctor([entry()])
    assert (said.code, said.err) == (0, ""), said.out
    assert said.words("paramiko", "ok")
    assert f"127.0.0.1:{board.sshd.port}" in said.words("reachable", "ok")
    assert "OpenSSH" in said.words("reachable", "ok")
    assert "SHA256:" in said.words("host key", "ok")
    assert board.sshd.user in said.words("login", "ok")
    platform = said.words("platform", "ok")
    assert platform.startswith("Board of the Tests Rev 1, ")
    assert "EMULATED" in platform
    assert said.words("runner", "ok").startswith(f"delegate_bench for {host_target()}")
    assert said.words("runtime", "ok").startswith("LiteRT ")
    assert said.words("folder", "ok").startswith("~/.cache/harness of ")
    assert said.words("space", "ok").endswith("free on the board")
    assert said.words("heat", "ok").startswith("41.0 °C")
    assert said.out.endswith("\nEverything needed is there.\n")
    assert files(board.home) == before, "nothing is put on the board"


def test_a_key_that_known_hosts_does_not_have(board: Board, doctor: Doctor) -> None:
    board.known_hosts.unlink()
    said = doctor([entry()])
    assert said.code == 1
    assert "SHA256:" in said.words("host key", "MISSING")
    assert "ssh-keyscan" in said.out.rpartition("What mends it:")[2]
    assert not board.known_hosts.exists(), "no key is ever added"


def test_a_key_that_is_another_one_than_before(board: Board, doctor: Doctor) -> None:
    board.sshd.new_host_key()
    board.sshd.restart()
    said = doctor([entry()])
    assert said.code == 1
    words = said.words("host key", "MISSING")
    assert "SHA256:" in words
    assert f"{board.known_hosts}:1" in words.replace(" ", "")
    assert "ssh-keygen -R" in " ".join(said.out.rpartition("What mends it:")[2].split())


def test_a_board_that_lets_nobody_in(board: Board, doctor: Doctor) -> None:
    (board.sshd.folder / "authorized_keys").write_text("")
    said = doctor([entry(", required: false")])
    assert said.code == 1, "it is there, and no use"
    assert board.identity.name in said.words("login", "MISSING")
    assert "ssh-copy-id" in said.out.rpartition("What mends it:")[2]


def test_a_key_file_whose_passphrase_is_not_told(
    board: Board, doctor: Doctor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = tmp_path / "locked"
    keygen(key, passphrase="open sesame")
    (board.sshd.folder / "authorized_keys").write_bytes(key.with_suffix(".pub").read_bytes())
    line = entry(f', identity: "{key}"')
    said = doctor([line])
    assert said.code == 1
    assert "HARNESS_SSH_PASSPHRASE" in said.words("login", "MISSING") + said.out.rpartition("What mends it:")[2]
    monkeypatch.setenv("HARNESS_SSH_PASSPHRASE", "open sesame")
    said = doctor([line])
    assert said.code == 0, said.out
    assert "open sesame" not in said.out


@pytest.mark.usefixtures("home")
def test_a_board_that_is_not_there(doctor: Doctor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(links, "_SECONDS", 1.0)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    said = doctor([f'name: gone, kind: ssh, address: "pi@127.0.0.1:{port}"'])
    assert said.code == 1
    assert said.words("reachable", "MISSING")
    said = doctor([f'name: gone, kind: ssh, address: "pi@127.0.0.1:{port}", required: false'])
    assert said.code == 0
    assert said.words("reachable", "note")


def test_a_board_that_answers_nothing(board: Board, doctor: Doctor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(links, "_SECONDS", 2.0)
    board.sshd.stall()
    said = doctor([entry()])
    board.sshd.resume()
    assert said.code == 1
    assert said.words("reachable", "MISSING")


def test_without_paramiko_the_rest_is_looked_at(board: Board, doctor: Doctor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(links, "paramiko_version", lambda: None)
    said = doctor([entry(), "name: box, kind: local"])
    assert said.code == 1
    assert said.words("paramiko", "MISSING")
    assert said.words("reachable", "MISSING") == "without paramiko nothing can be said of it, see above"
    assert "pip install 'delegate-harness[ssh]'" in said.out.rpartition("What mends it:")[2]
    assert "box (local)" in said.out


@pytest.mark.parametrize(
    ("options", "words"), [("ro", "is mounted read-only"), ("rw,noexec", "runs no programs (noexec)")]
)
def test_a_file_system_that_is_no_use(board: Board, doctor: Doctor, options: str, words: str) -> None:
    board.set_command(
        "df", "echo Filesystem 1024-blocks Used Available Capacity Mounted on; echo d 9 1 9000000 1% /data"
    )
    board.set_file("/proc/mounts", f"d / ext4 rw,relatime 0 0\nd /data ext4 {options},relatime 0 0\n")
    said = doctor([entry()])
    assert said.code == 1
    assert words in said.words("folder", "MISSING"), said.out
    assert "give rpi5 another `root` in devices.yaml" in " ".join(said.out.rpartition("What mends it:")[2].split())


@pytest.mark.parametrize(
    ("tool", "more", "mark", "words"),
    [
        ("setsid", "", "MISSING", "has no setsid"),
        ("taskset", ", cores: [0]", "MISSING", "asks for cores, and the board has no taskset"),
        ("taskset", "", "ok", "setsid"),
        ("sha256sum", "", "note", "has no sha256sum"),
    ],
)
def test_a_board_without_a_tool(
    home: Path, doctor: Doctor, tmp_path: Path, *, tool: str, more: str, mark: str, words: str
) -> None:
    programs = tmp_path / "programs"
    programs.mkdir()
    for program in Path("/usr/bin").iterdir():
        if program.name != tool:
            (programs / program.name).symlink_to(program)
    with Sshd(tmp_path / "bare", env={"PATH": str(programs)}) as bare:
        (home / ".ssh" / "config").write_text(bare.config("rpi"))
        said = doctor([entry(more)])
    assert words in said.words("tools", mark), said.out
    assert said.code == (mark == "MISSING")


@pytest.mark.skipif(os.getuid() == 0, reason="root may write anywhere")
def test_a_folder_that_is_somebody_else_s(board: Board, doctor: Doctor) -> None:
    said = doctor([entry(", root: /usr/harness")])
    assert said.code == 1
    assert "may not write to /usr, where /usr/harness would be" in said.words("folder", "MISSING")


def test_a_hot_and_throttled_board(board: Board, doctor: Doctor) -> None:
    board.set_file("/sys/class/thermal/thermal_zone0/temp", "85000")
    board.set_command("vcgencmd", "echo throttled=0x50005")
    said = doctor([entry(", limits: {temperature: 60}")])
    assert said.code == 0
    assert said.words("heat", "note").endswith("above the limit of 60 °C")
    assert "under-voltage" in said.words("throttled", "note")


def test_a_mistake_in_the_ssh_config_is_named(home: Path, doctor: Doctor) -> None:
    (home / ".ssh" / "config").write_text("Host rpi\n  Port many\n")
    said = doctor([entry(), "name: box, kind: local"])
    assert said.code == 1
    assert "config" in said.words("address", "MISSING")
    assert "box (local)" in said.out


def test_one_device_alone(board: Board, doctor: Doctor) -> None:
    said = doctor([entry(), "name: box, kind: local"], "--device", "rpi5")
    assert "rpi5 (ssh)" in said.out
    assert "box (local)" not in said.out


def test_a_record_is_of_phones(board: Board, doctor: Doctor, tmp_path: Path) -> None:
    said = doctor([entry()], "--record", str(tmp_path / "board.yaml"), "--device", "rpi5")
    assert said.code == 4
    assert "'rpi5' is no phone" in said.err
