from __future__ import annotations

import subprocess
from pathlib import Path

from emulated.ssh.sshd import keygen
from harness.devices.ssh.known_hosts import fingerprint, known_keys


def key(folder: Path, name: str) -> str:
    keygen(folder / name)
    return " ".join((folder / f"{name}.pub").read_text().split()[:2])


def found(file: Path, name: str) -> list[int]:
    return [entry.line for entry in known_keys([file], name)]


def test_names_patterns_and_negations(tmp_path: Path) -> None:
    one = key(tmp_path, "one")
    file = tmp_path / "known_hosts"
    file.write_text(
        f"# a comment\n\nboard,192.0.2.7 {one}\n*.example,!bad.example {one} who@where\n[board]:2222 {one}\n"
        f"Upper {one}\nboard?x {one}\n@revoked board {one}\n@unknown board {one}\nboard ssh-ed25519 no-base64!\nboard\n"
    )
    assert found(file, "board") == [3, 8]
    assert found(file, "192.0.2.7") == [3]
    assert found(file, "good.example") == [4]
    assert found(file, "bad.example") == []
    assert found(file, "[board]:2222") == [5]
    assert found(file, "[board]:2223") == []
    assert found(file, "b") == [], "brackets are no set of characters"
    assert found(file, "upper") == [6]
    assert found(file, "boardyx") == [7]
    assert [entry.marker for entry in known_keys([file], "board")] == ["", "@revoked"]


def test_hashed_names_as_ssh_keygen_makes_them(tmp_path: Path) -> None:
    one = key(tmp_path, "one")
    file = tmp_path / "known_hosts"
    file.write_text(f"board {one}\n[board]:2222 {one}\n|1|broken {one}\n")
    subprocess.run(["ssh-keygen", "-q", "-H", "-f", str(file)], check=True, capture_output=True)
    assert file.read_text().count("|1|") >= 2
    assert found(file, "board") == [1]
    assert found(file, "[board]:2222") == [2]
    assert found(file, "other") == []


def test_files_come_in_order_and_need_not_exist(tmp_path: Path) -> None:
    one = key(tmp_path, "one")
    (tmp_path / "b").write_text(f"board {one}\n")
    entries = known_keys([tmp_path / "a", tmp_path / "b", tmp_path / "b"], "board")
    assert [entry.where for entry in entries] == [f"{tmp_path / 'b'}:1"] * 2
    assert entries[0].kind == "ssh-ed25519"


def test_fingerprints_are_those_of_ssh_keygen(tmp_path: Path) -> None:
    one = key(tmp_path, "one")
    file = tmp_path / "known_hosts"
    file.write_text(f"board {one}\n")
    said = subprocess.run(["ssh-keygen", "-lf", str(tmp_path / "one.pub")], capture_output=True, text=True, check=True)
    assert fingerprint(known_keys([file], "board")[0].key) == said.stdout.split()[1]
