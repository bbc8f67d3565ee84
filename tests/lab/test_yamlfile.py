from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from harness.errors import UsageError
from harness.yamlfile import Document, display, dotted, load, parse

ENV = {"HARNESS_KEY": "s3cret", "HARNESS_CORES": "8"}


def read(text: str) -> Document:
    return parse(text, "f.yaml", version=1, environ=ENV)


def values(text: str) -> dict[str, Any]:
    return read(f"version: 1\n{text}").data


def message(text: str) -> str:
    with pytest.raises(UsageError) as caught:
        read(text)
    return str(caught.value)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a: 2e-2", 0.02),
        ("a: 1E3", 1000.0),
        ("a: -.5", -0.5),
        ("a: 12", 12),
        ("a: '12'", "12"),
        ("a: 0123", "0123"),
        ("a: 12:34", "12:34"),
        ("a: 2026-11-20", "2026-11-20"),
        ("a: 2.2.0", "2.2.0"),
        ("a: EXAMPLE8P065R", "EXAMPLE8P065R"),
        ("a: no", "no"),
        ("a: true", True),
        ("a: ~", None),
        ("a:", None),
        ("a: .inf", float("inf")),
        ("a: [1, {b: c}]", [1, {"b": "c"}]),
    ],
)
def test_scalars_follow_yaml_1_2(text: str, expected: object) -> None:
    found = values(text)["a"]
    assert found == expected
    assert type(found) is type(expected)


def test_anchors_and_merge_keys() -> None:
    found = values("base: &b {x: 1, y: 2}\nother: &o {z: 3, y: 9}\na: {<<: [*b, *o], x: 5}\n")
    assert found["a"] == {"x": 5, "y": 2, "z": 3}


def test_lines_of_keys_items_and_merged_keys() -> None:
    document = read("version: 1\nbase: &b\n  x: 1\nlist:\n  - a: 1\n  - <<: *b\n    c: 2\n")
    assert document.where(("base", "x")) == "f.yaml:3"
    assert document.where(("list", 0, "a")) == "f.yaml:5"
    assert document.where(("list", 1)) == "f.yaml:6"
    assert document.where(("list", 1, "x")) == "f.yaml:3"
    assert document.where(("list", 1, "c")) == "f.yaml:7"
    assert document.where(("list", 1, "nothing")) == "f.yaml:6"
    assert document.known(("list", "label", 1, "c", "int")) == ("list", 1, "c")


def test_aliases_of_aliases_cost_nothing() -> None:
    levels = "\n".join(f"l{n}: &l{n} [{', '.join([f'*l{n - 1}'] * 10)}]" for n in range(1, 40))
    assert len(values(f"l0: &l0 [x]\n{levels}")["l39"]) == 10


@pytest.mark.parametrize("value", ["${HARNESS_KEY}", '"${HARNESS_KEY}"', "'${HARNESS_KEY}'"])
def test_placeholders_are_replaced_in_block_and_flow(value: str) -> None:
    found = values(f"a: {{b: {value}, c: [x, {value}]}}\nd: {value}\n")
    assert found == {"version": 1, "a": {"b": "s3cret", "c": ["x", "s3cret"]}, "d": "s3cret"}


def test_placeholders_may_be_a_part() -> None:
    assert values("a: {b: p${HARNESS_KEY}q${HARNESS_CORES}, c: 1}")["a"] == {"b": "ps3cretq8", "c": 1}


def test_values_from_the_environment_are_not_shown() -> None:
    document = read("version: 1\na: {b: 'x ${HARNESS_KEY}'}\nc: plain\n")
    assert document.shown(("a", "b")) == "'x ${HARNESS_KEY}'"
    assert document.has_placeholder(("a", "b"))
    assert not document.has_placeholder(("c",))
    assert "s3cret" not in str(document.error(("a", "b"), f"got {document.shown(('a', 'b'))}"))
    assert document.text.count("s3cret") == 0


def test_placeholders_in_comments_mean_nothing() -> None:
    assert values("a: 1  # ${HOME}") == {"version": 1, "a": 1}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "version: 1\na: [1,\n  ${HARNESS_NONE}]",
            "f.yaml:3: the environment variable HARNESS_NONE is not set; set it, e.g. 'export HARNESS_NONE=...'",
        ),
        ("version: 1\na: ${HOME}", "f.yaml:2: '${HOME}' is not replaced: only names that start with HARNESS_ are"),
        ("version: 1\na: ${HARNESS_KEY", "f.yaml:2: '${' without a closing '}'"),
        ("version: 1\n${HARNESS_KEY}: 1", "f.yaml:2: placeholders are replaced in values, not in keys"),
        ("version: 1\na: 1\nb: 2\na: 3", "f.yaml:4: duplicate key 'a' (first at line 2)"),
        ("version: 1\nx:\n  - {a: 1, a: 2}", "f.yaml:3: duplicate key 'a' (first at line 3)"),
        ("version: 1\n1: x", "f.yaml:2: expected a text key, got 1; put it in quotes"),
        ("version: 1\n[a]: x", "f.yaml:2: expected a text key, got a list; put it in quotes"),
        (
            "version: 1\na: !!python/object:os.system x",
            "f.yaml:2: the tag '!!python/object:os.system' is not used here",
        ),
        ("version: 1\na: !mine {}", "f.yaml:2: the tag '!mine' is not used here; leave it out"),
        ("version: 1\na: !!int x", "f.yaml:2: x is no int"),
        ("version: 1\na: &a [*a]", "f.yaml:2: an anchor cannot contain itself"),
        ("version: 1\na: {<<: 5}", "f.yaml:2: '<<' takes a mapping, or a list of mappings"),
        ("version: 1\na: [1\nb: 2", "f.yaml:3:2: not valid YAML: "),
        ("version: 1\na: *b", "f.yaml:2:4: not valid YAML: found undefined alias"),
        ("version: 1\na:\n\tb: 1", "f.yaml:3:1: not valid YAML: a tab cannot indent YAML; use spaces"),
        ("version: 1\na: \x07", "f.yaml:2: not valid YAML: a control character"),
        ("version: 1\n---\na: 1", "f.yaml:2:1: not valid YAML: but found another document"),
        ("", "f.yaml: the file is empty; expected a mapping that starts with 'version: 1'"),
        ("# only a comment\n", "f.yaml: the file is empty; expected a mapping that starts with 'version: 1'"),
        ("- a\n- b", "f.yaml:1: expected a mapping (key: value), got a list"),
        ("just text", "f.yaml:1: expected a mapping (key: value), got 'just text'"),
        ("a: 1", "f.yaml: required key 'version' is missing; write 'version: 1' at the top"),
        ("a: 1\nversion: 2", "f.yaml:2: version: this harness reads version 1, got 2"),
        ("version: '1'", "f.yaml:1: version: this harness reads version 1, got '1'"),
        ("version: true", "f.yaml:1: version: this harness reads version 1, got true"),
    ],
)
def test_mistakes_have_one_line_that_says_where(text: str, expected: str) -> None:
    found = message(text)
    assert found.startswith(expected)
    assert "\n" not in found
    assert "s3cret" not in found


def test_deep_nesting_is_no_crash() -> None:
    assert message("version: 1\na: " + "[" * 100_000) == "f.yaml:2: not valid YAML: nested too deeply"


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "devices.yaml").write_text("version: 1\n")
    (tmp_path / "binary.yaml").write_bytes(b"version: 1\na: \xff\xfe\n")
    for name, expected in {
        "devces.yaml": "no such file; did you mean 'devices.yaml'?",
        "none/devices.yaml": "no such file",
        ".": "is a folder; expected a YAML file",
    }.items():
        with pytest.raises(UsageError, match=r"^[^\n]*$") as caught:
            load(tmp_path / name, version=1)
        assert str(caught.value) == f"{tmp_path / name}: {expected}"
    with pytest.raises(UsageError) as caught:
        load(tmp_path / "binary.yaml", version=1)
    assert str(caught.value) == f"{tmp_path / 'binary.yaml'}:2: not a text file in UTF-8"


def test_a_byte_order_mark_is_no_key(tmp_path: Path) -> None:
    path = tmp_path / "bom.yaml"
    path.write_bytes(b"\xef\xbb\xbfversion: 1\n")
    assert load(path, version=1).data == {"version": 1}


def test_paths_are_shown_from_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert display(tmp_path / "a" / "b.yaml") == str(Path("a") / "b.yaml")
    assert display(Path("/elsewhere/b.yaml")) == "/elsewhere/b.yaml"


def test_dotted_paths() -> None:
    assert dotted(("devices", 2, "serial")) == "devices[2].serial"
    assert dotted(("gates", "gpu-*", "psnr_db")) == 'gates["gpu-*"].psnr_db'
