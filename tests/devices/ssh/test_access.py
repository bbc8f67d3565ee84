"""Who is let in, and whom we trust: real keys, a real agent, a real sshd."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from emulated.ssh.sshd import Sshd, keygen
from harness.devices.ssh.errors import (
    PASSPHRASE,
    AuthRefusedError,
    HostKeyChangedError,
    HostKeyUnknownError,
    PassphraseError,
    SshLostError,
    SshTimeoutError,
)
from harness.plan.cell import ErrorClass
from tests.devices.ssh.conftest import BOUND, NEVER, Connect, until

SECRET = "open sesame"


def let_in(server: Sshd, key: Path) -> None:
    shutil.copy(key.with_name(key.name + ".pub"), server.folder / "authorized_keys")


def config(server: Sshd, *keys: Path, more: str = "") -> str:
    files = "".join(f"  IdentityFile {key}\n" for key in keys)
    head, _, _ = server.config("board").partition("  IdentityFile")
    return f"{head}{files}  UserKnownHostsFile {server.known_hosts}\n{more}"


@pytest.fixture
def agent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    path = tmp_path / "agent"
    process = subprocess.Popen(["ssh-agent", "-D", "-a", str(path)], stdout=subprocess.DEVNULL)
    try:
        until(path.exists)
        monkeypatch.setenv("SSH_AUTH_SOCK", str(path))
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait()


def add(key: Path) -> None:
    subprocess.run(["ssh-add", "-q", str(key)], check=True, capture_output=True, stdin=subprocess.DEVNULL)


@pytest.mark.parametrize(("kind", "bits"), [("ed25519", None), ("ecdsa", 384), ("rsa", 2048)])
def test_key_files_of_every_kind(own: Sshd, to: Connect, tmp_path: Path, kind: str, bits: int | None) -> None:
    key = tmp_path / "key"
    keygen(key, kind, bits=bits)
    let_in(own, key)
    connection = to(own, address=own.address, identity=str(key), config=config(own).replace("Host board", "Host *"))
    connection.connect(BOUND, NEVER)
    assert connection.login == f"{own.user}, with {key}"
    assert "OpenSSH" in connection.server


def test_the_key_of_ssh_itself_is_found(own: Sshd, to: Connect, home: Path) -> None:
    keygen(home / ".ssh" / "id_ecdsa", "ecdsa")
    keygen(home / ".ssh" / "id_ed25519")
    let_in(own, home / ".ssh" / "id_ed25519")
    connection = to(own, config=config(own))
    connection.connect(BOUND, NEVER)
    assert connection.login.endswith("id_ed25519"), "after the one that was not let in"


def test_a_certificate_beside_the_key_is_shown(own: Sshd, to: Connect, tmp_path: Path) -> None:
    authority, key = tmp_path / "authority", tmp_path / "key"
    keygen(authority)
    keygen(key)
    subprocess.run(
        ["ssh-keygen", "-q", "-s", str(authority), "-I", "test", "-n", own.user, f"{key}.pub"],
        check=True,
        capture_output=True,
    )
    public = authority.with_suffix(".pub").read_text()
    (own.folder / "authorized_keys").write_text(f"cert-authority {public}")
    to(own, config=config(own, key)).connect(BOUND, NEVER)


def test_an_agent_with_a_key_that_has_a_passphrase(own: Sshd, to: Connect, tmp_path: Path, agent: None) -> None:
    plain, key = tmp_path / "plain", tmp_path / "key"
    keygen(plain)
    keygen(key, passphrase=SECRET)
    let_in(own, key)
    subprocess.run(["ssh-keygen", "-q", "-p", "-P", SECRET, "-N", "", "-f", str(key)], check=True, capture_output=True)
    add(key)
    subprocess.run(["ssh-keygen", "-q", "-p", "-P", "", "-N", SECRET, "-f", str(key)], check=True, capture_output=True)
    add(plain)
    for settings in (config(own, key), config(own), config(own, key, more="  IdentitiesOnly yes\n")):
        connection = to(own, config=settings)
        connection.connect(BOUND, NEVER)
        assert "a key of the agent" in connection.login


def test_identities_only_leaves_the_agents_other_keys_out(own: Sshd, to: Connect, tmp_path: Path, agent: None) -> None:
    key, other = tmp_path / "key", tmp_path / "other"
    keygen(key)
    keygen(other)
    let_in(own, key)
    add(key)
    with pytest.raises(AuthRefusedError, match=re.escape(f"shown: {other}")) as caught:
        to(own, config=config(own, other, more="  IdentitiesOnly yes\n")).connect(BOUND, NEVER)
    assert "agent" not in str(caught.value)


def test_a_passphrase_comes_from_the_environment(
    own: Sshd, to: Connect, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = tmp_path / "key"
    keygen(key, passphrase=SECRET)
    let_in(own, key)
    monkeypatch.setenv(PASSPHRASE, SECRET)
    to(own, config=config(own, key)).connect(BOUND, NEVER)


@pytest.mark.parametrize(("kind", "given"), [("ed25519", None), ("rsa", "wrong"), ("ed25519", "wrong")])
def test_a_passphrase_that_is_missing_or_wrong(
    own: Sshd, to: Connect, monkeypatch: pytest.MonkeyPatch, kind: str, given: str | None
) -> None:
    tmp_path = own.folder
    key = tmp_path / "key"
    keygen(key, kind, SECRET, bits=2048 if kind == "rsa" else None)
    let_in(own, key)
    if given is not None:
        monkeypatch.setenv(PASSPHRASE, given)
    with pytest.raises(PassphraseError) as caught:
        to(own, config=config(own, key)).connect(BOUND, NEVER)
    error = caught.value
    assert error.error_class is ErrorClass.HOST
    assert str(key) in str(error)
    assert f"set {PASSPHRASE} in the environment" in error.todo
    assert "wrong" not in str(error), "the passphrase is never shown"


def test_a_key_that_is_not_let_in(shared: Sshd, to: Connect, tmp_path: Path) -> None:
    key = tmp_path / "key"
    keygen(key)
    missing = tmp_path / "missing"
    with pytest.raises(AuthRefusedError) as caught:
        to(shared, config=config(shared, key, missing)).connect(BOUND, NEVER)
    error = caught.value
    assert error.error_class is ErrorClass.HOST
    assert f"shown: {key}; not usable: {missing} does not exist" in str(error)
    assert error.todo == f"let a key in: `ssh-copy-id {shared.user}@board`, and try `ssh {shared.user}@board true`"


def test_no_key_at_all_and_a_file_that_is_none(shared: Sshd, to: Connect, tmp_path: Path) -> None:
    with pytest.raises(AuthRefusedError, match="there was no key to show"):
        to(shared, config=config(shared)).connect(BOUND, NEVER)
    key = tmp_path / "key"
    key.write_text("no key\n")
    with pytest.raises(AuthRefusedError, match=re.escape(f"there was no key to show; not usable: {key}: ")):
        to(shared, config=config(shared, key)).connect(BOUND, NEVER)


def test_a_computer_that_lets_no_key_in(tmp_path: Path, to: Connect) -> None:
    options = "PubkeyAuthentication no\nKbdInteractiveAuthentication yes\nAuthenticationMethods keyboard-interactive"
    words = "it wants keyboard-interactive, and only keys are supported"
    with Sshd(tmp_path / "sshd", options=options) as server, pytest.raises(AuthRefusedError, match=words):
        to(server).connect(BOUND, NEVER)


def test_more_keys_than_it_wants_to_see(tmp_path: Path, to: Connect) -> None:
    keys = [tmp_path / f"key{number}" for number in range(3)]
    for key in keys:
        keygen(key)
    words = r"Too many authentication failures.*name the right key"
    with Sshd(tmp_path / "sshd", options="MaxAuthTries 2") as server, pytest.raises(AuthRefusedError, match=words):
        to(server, config=config(server, *keys, server.identity)).connect(BOUND, NEVER)


def test_an_unknown_host_key_is_told_with_the_command_that_accepts_it(own: Sshd, to: Connect, home: Path) -> None:
    fingerprint = subprocess.run(
        ["ssh-keygen", "-lf", f"{own.host_key}.pub"], capture_output=True, text=True, check=True
    ).stdout.split()[1]
    settings = own.config("board").replace(str(own.known_hosts), str(home / ".ssh" / "known_hosts"))
    connection = to(own, config=settings)
    with pytest.raises(HostKeyUnknownError) as caught:
        connection.connect(BOUND, NEVER)
    error = caught.value
    assert error.error_class is ErrorClass.HOST
    assert error.fingerprint == fingerprint
    assert f"shows the ssh-ed25519 key {fingerprint}" in str(error)
    assert not (home / ".ssh" / "known_hosts").exists(), "nothing is accepted by itself"

    command = error.todo.split("`")[1]
    assert command == f"ssh-keyscan -t ed25519 -p {own.port} 127.0.0.1 >> ~/.ssh/known_hosts"
    subprocess.run(["sh", "-c", command], check=True, capture_output=True)  # $HOME is the test's
    connection.connect(BOUND, NEVER)
    assert fingerprint in connection.fingerprint


def test_a_changed_host_key_is_told_with_the_command_that_accepts_it(own: Sshd, to: Connect) -> None:
    connection = to(own)
    connection.connect(BOUND, NEVER)
    before = connection.fingerprint.split()[-1]
    own.new_host_key()
    own.restart()
    until(lambda: not connection.up)
    with pytest.raises(HostKeyChangedError) as caught:
        connection.connect(BOUND, NEVER)
    error = caught.value
    assert error.error_class is ErrorClass.HOST
    assert f"{own.known_hosts}:1 has {before}" in str(error)
    assert error.fingerprint not in ("", before)

    command = error.todo.split("`")[1]
    assert command.startswith(f"ssh-keygen -R '[127.0.0.1]:{own.port}' -f {own.known_hosts} && ssh-keyscan ")
    subprocess.run(["sh", "-c", command], check=True, capture_output=True)
    connection.connect(BOUND, NEVER)
    assert connection.fingerprint.split()[-1] == error.fingerprint


def test_a_computer_known_by_another_name_is_accepted_through_ssh(own: Sshd, to: Connect, home: Path) -> None:
    settings = own.config("board").replace(str(own.known_hosts), str(home / "none")) + "  HostKeyAlias the-board\n"
    with pytest.raises(HostKeyUnknownError) as caught:
        to(own, config=settings).connect(BOUND, NEVER)
    assert caught.value.todo == f"if that is its key: `ssh {own.user}@board true`"


def test_revoked_keys_and_authorities(own: Sshd, to: Connect) -> None:
    line = own.known_host
    own.known_hosts.write_text(f"{line}@revoked * {' '.join(line.split()[1:])}\n")
    with pytest.raises(HostKeyChangedError, match=re.escape(f"which {own.known_hosts}:2 revokes")):
        to(own).connect(BOUND, NEVER)
    own.known_hosts.write_text(f"@cert-authority {line}")
    with pytest.raises(HostKeyUnknownError, match="certificates of hosts are not supported here"):
        to(own).connect(BOUND, NEVER)


def test_it_is_asked_for_the_key_that_is_known(tmp_path: Path, to: Connect) -> None:
    for kind, bits in (("ecdsa", None), ("rsa", 2048)):
        keygen(tmp_path / kind, kind, bits=bits)
    options = f"HostKey {tmp_path / 'ecdsa'}\nHostKey {tmp_path / 'rsa'}"
    with Sshd(tmp_path / "sshd", options=options) as server:
        for kind, name in (("rsa", "ssh-rsa"), ("ecdsa", "ecdsa-sha2-nistp256")):
            words = (tmp_path / f"{kind}.pub").read_text().split()[:2]
            server.known_hosts.write_text(f"[127.0.0.1]:{server.port} {' '.join(words)}\n")
            connection = to(server)
            connection.connect(BOUND, NEVER)
            assert connection.fingerprint.startswith(f"{name} key SHA256:")
        server.known_hosts.write_text(f"[127.0.0.1]:{server.port} ssh-dss AAAAB3NzaC1kc3M=\n")
        with pytest.raises(HostKeyUnknownError, match="known_hosts:1 has one of kind ssh-dss only"):
            to(server).connect(BOUND, NEVER)


def test_through_other_computers(tmp_path: Path, to: Connect) -> None:
    with Sshd(tmp_path / "gate") as gate, Sshd(tmp_path / "far", env={"WHERE": "far"}) as far:
        settings = gate.config("gate") + far.config("board") + "  ProxyJump gate\n"
        connection = to(far, config=settings)
        assert connection.run("echo $WHERE", BOUND).text == "far\n"
        assert connection.address_words == f"board ({far.address} through {gate.address})"
        gate.drop()
        until(lambda: not connection.up)
        assert connection.run("echo $WHERE", BOUND).text == "far\n"
        far.known_hosts.unlink()
        with pytest.raises(HostKeyUnknownError, match=f"{far.port} is not known.*`ssh {far.user}@board true`"):
            to(far, config=settings).connect(BOUND, NEVER)
        far.kill()
        with pytest.raises(SshLostError, match=f"{far.port}: cannot be reached from {gate.address}"):
            to(far, config=settings).run("true", BOUND)


def test_through_a_command(shared: Sshd, to: Connect, tmp_path: Path) -> None:
    """ProxyCommand: what it started ends with the connection."""
    program = tmp_path / "relay.py"
    program.write_text(
        "import os, socket, sys, threading\n"
        "s = socket.create_connection((sys.argv[1], int(sys.argv[2])))\n"
        "open(sys.argv[3], 'w').write(str(os.getpid()))\n"
        "def up():\n"
        "    while data := os.read(0, 65536): s.sendall(data)\n"
        "threading.Thread(target=up, daemon=True).start()\n"
        "while data := s.recv(65536): os.write(1, data)\n"
    )
    command = f"python3 {program} %h %p {tmp_path / 'pid'}"
    connection = to(shared, config=shared.config("board") + f"  ProxyCommand {command}\n")
    assert connection.run("echo there", BOUND).text == "there\n"
    pid = int((tmp_path / "pid").read_text())
    connection.close()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    broken = to(shared, config=shared.config("board") + "  ProxyCommand exit 7\n")
    with pytest.raises(SshLostError, match="hung up while we connected"):
        broken.run("true", BOUND)


def test_nobody_there(own: Sshd, to: Connect) -> None:
    own.kill()
    with pytest.raises(SshLostError, match=r"cannot be reached: Connection refused; is it switched on") as caught:
        to(own).run("true", BOUND)
    assert caught.value.error_class is ErrorClass.DEVICE
    with pytest.raises(SshLostError) as caught:
        to(own, owner="host").connect(2.0, NEVER)
    assert caught.value.error_class is ErrorClass.HOST


def test_somebody_who_is_no_sshd(own: Sshd, to: Connect) -> None:
    own.kill()
    with (
        socket.create_server(("127.0.0.1", own.port)),
        pytest.raises(SshTimeoutError, match=r"does not agree on keys within \d s"),
    ):
        to(own).connect(3.0, NEVER)
