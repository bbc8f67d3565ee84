"""Entries of kind ssh in devices.yaml."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.errors import UsageError
from harness.lab.inventory import load_inventory
from harness.lab.spec import SshSpec, json_schema


def board(folder: Path, keys: str) -> SshSpec:
    (folder / "id_lab").touch()
    path = folder / "devices.yaml"
    path.write_text(f"version: 1\ndevices:\n  - {{name: b, kind: ssh, address: pi@rpi5.example:2222, {keys}}}\n")
    (spec,) = load_inventory(path).specs
    assert isinstance(spec, SshSpec)
    return spec


def test_a_key_file_is_no_identity_of_the_device(tmp_path: Path) -> None:
    spec = board(tmp_path, "identity: id_lab")
    assert (spec.identity, spec.key) == ("pi@rpi5.example:2222", str(tmp_path / "id_lab"))
    assert "id_lab" not in repr(spec)
    assert "identity" in json_schema()["$defs"]["SshSpec"]["properties"]


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ("identty: id_lab", "devices.yaml:3: devices[0].identty: unknown key; did you mean 'identity'?"),
        ("key: id_lab", "devices.yaml:3: devices[0].key: unknown key; known here: "),
        ("identity: other", "devices.yaml:3: devices[0].identity: no file 'other': expected a private key"),
        ("identity: 5", "devices.yaml:3: devices[0].identity: expected text, got 5"),
        ("root: a/b", "devices.yaml:3: devices[0].root: expected an absolute folder on the device"),
        ("host: rack", "devices.yaml:3: devices[0].host: unknown key"),
    ],
)
def test_mistakes_are_told_with_what_was_meant(tmp_path: Path, keys: str, words: str) -> None:
    with pytest.raises(UsageError) as caught:
        board(tmp_path, keys)
    assert words in str(caught.value)
