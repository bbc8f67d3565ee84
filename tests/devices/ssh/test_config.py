from __future__ import annotations

from pathlib import Path

import pytest

from harness.devices.ssh.config import Hop, route, split
from harness.errors import UsageError


def hop(home: Path, config: str, address: str = "board", identity: str | None = None) -> Hop:
    (home / ".ssh" / "config").write_text(config)
    return route(address, identity)[-1]


@pytest.mark.parametrize(
    ("address", "parts"),
    [
        ("board", (None, "board", None)),
        ("pi@board", ("pi", "board", None)),
        ("pi@board:2222", ("pi", "board", 2222)),
        ("ssh://pi@board:2222", ("pi", "board", 2222)),
        ("a@b@board", ("a@b", "board", None)),
        ("pi@[2001:db8::7]:2222", ("pi", "2001:db8::7", 2222)),
        ("[2001:db8::7]", (None, "2001:db8::7", None)),
        ("2001:db8::7", (None, "2001:db8::7", None)),
    ],
)
def test_addresses(address: str, parts: tuple[str | None, str, int | None]) -> None:
    assert split(address) == parts


def test_without_a_config_it_is_what_ssh_would_do(home: Path) -> None:
    (home / ".ssh" / "id_ed25519").write_text("")
    found = route("pi@board:2222")[-1]
    assert (found.user, found.host, found.port) == ("pi", "board", 2222)
    assert found.key_name == "[board]:2222"
    assert found.address == "pi@board:2222"
    assert found.identities == (home / ".ssh" / "id_ed25519",), "only those that exist"
    assert found.known_hosts[0] == home / ".ssh" / "known_hosts"
    assert not found.only_identities
    assert found.agent


def test_what_a_config_says(home: Path) -> None:
    found = hop(
        home,
        "Host board\n  HostName 192.0.2.7\n  Port 2200\n  User pi\n  IdentityFile ~/.ssh/lab\n  IdentitiesOnly yes\n"
        '  UserKnownHostsFile ~/.ssh/lab_hosts "~/.ssh/more hosts"\n  HostKeyAlias the-board\nHost *\n  User other\n',
    )
    assert (found.name, found.host, found.port, found.user) == ("board", "192.0.2.7", 2200, "pi")
    assert found.key_name == "the-board"
    assert found.identities == (home / ".ssh" / "lab",)
    assert found.only_identities
    assert found.known_hosts[:2] == (home / ".ssh" / "lab_hosts", home / ".ssh" / "more hosts")


def test_the_address_is_above_the_config_and_identity_above_both(home: Path) -> None:
    found = hop(home, "Host board\n  Port 2200\n  User pi\n  IdentityFile ~/a\n", "me@board:22", "~/mine")
    assert (found.user, found.port, found.key_name) == ("me", 22, "board")
    assert found.identities == (home / "mine",)
    assert found.only_identities


def test_included_files_belong_to_the_block_that_they_are_in(home: Path) -> None:
    (home / ".ssh" / "conf.d").mkdir()
    (home / ".ssh" / "conf.d" / "a").write_text("Host board\n  User included\n")
    found = hop(home, "Include conf.d/* nothing-here\nHost other\n  User wrong\n")
    assert found.user == "included"
    found = hop(home, "Host board\n  Include conf.d/a\n  Port 2200\n")
    assert (found.user, found.port) == ("included", 2200)


def test_files_that_include_themselves_end_in_words(home: Path) -> None:
    with pytest.raises(UsageError, match="include one another"):
        hop(home, "Include config\n")


def test_jumps_each_with_their_own_settings(home: Path) -> None:
    (home / ".ssh" / "config").write_text(
        "Host board\n  ProxyJump gate,pi@second:2222\n  HostName 10.0.0.7\nHost gate\n  User lab\n  ProxyJump outer\n"
    )
    ways = route("root@board")
    assert [way.address.partition("@")[2] for way in ways] == ["outer", "gate", "second:2222", "10.0.0.7"]
    assert [way.user for way in ways[1:]] == ["lab", "pi", "root"]


def test_jumps_in_a_circle_end_in_words(home: Path) -> None:
    with pytest.raises(UsageError, match="ProxyJump of"):
        hop(home, "Host a\n  ProxyJump b\nHost b\n  ProxyJump a\n", "a")


@pytest.mark.parametrize(
    ("config", "address", "words"),
    [
        ("", "pi@", "'pi@' is no ssh address; write user@host"),
        ("", "-oProxyCommand=x", "is no ssh address"),
        ("", "pi@board:ssh", "'ssh' is no port"),
        ("", "pi@board:99999", "'99999' is no port"),
        ("Host board\n  Port many\n", "board", "config: .*many.*ssh -G board"),
        ("Host board\nnonsense\n", "board", "config: .*nonsense"),
        ('Host board\n  UserKnownHostsFile "a\n', "board", "config: "),
    ],
)
def test_mistakes(home: Path, config: str, address: str, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        hop(home, config, address)
