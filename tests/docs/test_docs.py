"""The documentation says what the code does: its examples load, its keys and links exist, none is left out."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from harness.lab import spec
from harness.lab.inventory import load_inventory
from harness.measure.metrics import METRICS
from harness.plan import suite, waivers
from harness.plan.cell import Outcome
from harness.plan.expand import expand
from harness.plan.load import load_suite
from harness.plan.row import SummaryRow
from harness.plan.suite import PROFILES
from harness.plan.waivers import load_waivers
from harness.report.matrix import json_schema as matrix_schema
from tests.conftest import MODELS, ROOT
from tests.session.conftest import Lab, lab

__all__ = ["lab"]

DOCS = ROOT / "docs"
PAGES = [
    *sorted(DOCS.glob("*.md")),
    *(ROOT / name for name in ("README.md", "reports/README.md", "CHANGELOG.md")),
]
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
FILE = re.compile(r"# (suites/\S+\.yaml|devices\.yaml|waivers\.yaml)\b")
CODE = re.compile(r"`([^`\n]+)`")
LINK = re.compile(r"\]\(([^()\s]+)\)")

Schema = Callable[[], dict[str, Any]]


def page(name: str) -> str:
    return (DOCS / name).read_text()


def examples() -> Iterator[tuple[str, str, str]]:
    """Page, file and text of every YAML example that is a whole file."""
    for path in PAGES:
        for language, text in BLOCK.findall(path.read_text()):
            found = FILE.match(text)
            if language == "yaml" and found:
                yield path.name, found[1], text


EXAMPLES = list(examples())


def lay(folder: Path, name: str, text: str) -> Path:
    """The example as a file, with the files that it names beside it; models and inputs may be empty ones here."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    (folder / "models").mkdir(exist_ok=True)
    for model in MODELS.glob("*.tflite"):
        (folder / "models" / model.name).touch()
    for named in re.findall(r"[\w/.-]+\.(?:png|npy|bin)\b", text):
        (path.parent / named).parent.mkdir(parents=True, exist_ok=True)
        (path.parent / named).touch()
    return path


@pytest.fixture
def environ(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """What the examples name: variables, and key files, which have to exist."""
    monkeypatch.setenv("HOME", str(tmp_path))
    key = tmp_path / ".ssh" / "lab_ed25519"
    key.parent.mkdir()
    key.touch()
    return {"HARNESS_LAVAPIPE": "/lavapipe", "HARNESS_SSH_KEY": str(key)}


def test_there_are_examples_of_every_file() -> None:
    assert {file.partition("/")[0] for _, file, _ in EXAMPLES} == {"suites", "devices.yaml", "waivers.yaml"}
    marked = [text for path in PAGES for language, text in BLOCK.findall(path.read_text()) if language == "yaml"]
    assert len(marked) == len(EXAMPLES)  # no YAML escapes these tests for want of its first line


@pytest.mark.parametrize(("where", "name", "text"), EXAMPLES, ids=[f"{where}-{name}" for where, name, _ in EXAMPLES])
def test_yaml_examples_load(tmp_path: Path, environ: dict[str, str], where: str, name: str, text: str) -> None:
    path = lay(tmp_path, name, text)
    if name == "devices.yaml":
        assert load_inventory(path, environ=environ).specs
        return
    if name == "waivers.yaml":
        assert load_waivers(path)
        return
    loaded = load_suite(path, METRICS, rootdir=tmp_path, environ=environ)
    assert loaded.combinations
    device = spec.LocalSpec(kind="local", name="this-machine", labels=loaded.devices.labels)
    assert len(expand(loaded, [device])) == len(loaded.combinations)


def keys(schema: Schema) -> set[str]:
    """Every key that a file may have, at any depth."""
    found = schema()
    return {key for part in [found, *found["$defs"].values()] for key in part.get("properties", {})}


def mentioned(text: str) -> set[str]:
    """Words in `code` of a page."""
    return {word for code in CODE.findall(text) for word in re.findall(r"\w+", code)}


@pytest.mark.parametrize(
    ("names", "schema"),
    [
        (("suites.md", "release.md"), suite.json_schema),
        (("devices.md",), spec.json_schema),
        (("release.md",), waivers.json_schema),
    ],
    ids=["suites", "devices", "waivers"],
)
def test_every_key_is_explained(names: tuple[str, ...], schema: Schema) -> None:
    assert keys(schema) - set().union(*(mentioned(page(name)) for name in names)) == set()


@pytest.mark.parametrize(
    ("start", "schema"),
    [("suites/", suite.json_schema), ("devices", spec.json_schema), ("waivers", waivers.json_schema)],
    ids=["suites", "devices", "waivers"],
)
def test_every_key_is_in_some_example(start: str, schema: Schema) -> None:
    used = {key for _, name, text in EXAMPLES if name.startswith(start) for key in re.findall(r"(\w+):", text)}
    assert keys(schema) - used == set()


def rows(text: str, heading: str) -> list[list[str]]:
    """Cells of the first table under a heading, without its head."""
    section = text.split(f"# {heading}\n", maxsplit=1)[1]
    lines = section[section.index("\n|") + 1 :].split("\n\n", maxsplit=1)[0].splitlines()
    return [[part.strip().strip("`") for part in line.strip("|").split("|")] for line in lines[2:]]


def test_the_table_of_gates_is_the_code_s() -> None:
    table = {row[0]: row[1] for row in rows(page("suites.md"), "Gates")}
    assert table == {name: {"max": "at most", "min": "at least"}[metric.direction] for name, metric in METRICS.items()}


def test_the_table_of_profiles_is_the_code_s() -> None:
    table = {row[0]: row[2:] for row in rows(page("suites.md").replace("warmup.", "warmup_"), "Runs and profiles")}
    for column, profile in enumerate(("quick", "nightly", "release")):
        expected = {key: f"{getattr(PROFILES[profile], key):g}" for key in table}
        assert {key: values[column] for key, values in table.items()} == expected


def test_defaults_in_the_tables_are_the_code_s() -> None:
    delegate = suite.DelegateEntry()
    for key, default, *_ in rows(page("suites.md"), "Delegates"):
        value = getattr(delegate, key)
        assert default == str(value) or value in (None, ()), key


def test_the_table_of_outcomes_is_whole() -> None:
    for name, heading in (("suites.md", "Outcomes"), ("architecture.md", "1. Vocabulary")):
        found = {outcome for row in rows(page(name), heading) for outcome in re.findall(r"[A-Z_]{4,}", row[0])}
        assert found == {outcome.value for outcome in Outcome}, name


def test_every_field_of_the_matrix_is_in_its_contract() -> None:
    contract = next(text for _, text in BLOCK.findall(page("architecture.md")) if '"summary"' in text)
    named = set(re.findall(r'"(\w+)"', contract))
    schema = matrix_schema()
    fields = set(schema["properties"])
    for part in ("RunRow", "SuiteRow", "DeviceRow", "ModelRow", "CellRow", "LatencyRow", "AccuracyRow", "GateRow"):
        fields |= set(schema["$defs"][part]["properties"])
    fields |= set(SummaryRow.__annotations__)
    assert fields - named == set()


LINKED = [*PAGES, ROOT / "native" / "README.md", ROOT / "emulated" / "README.md"]


@pytest.mark.parametrize("path", LINKED, ids=[str(path.relative_to(ROOT)) for path in LINKED])
def test_relative_links_lead_somewhere(path: Path) -> None:
    for link in LINK.findall(path.read_text()):
        if "://" in link:
            continue
        target, _, anchor = link.partition("#")
        file = (path.parent / target).resolve() if target else path
        assert file.is_file(), link
        assert not anchor or anchor in anchors(file.read_text()), link


def anchors(text: str) -> set[str]:
    """What a link to a heading is called: lower case, spaces as hyphens, no other signs."""
    headings = re.findall(r"^#+ (.+)$", BLOCK.sub("", text), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_files_that_pages_name_exist() -> None:
    known = re.compile(r"(?:harness|native|suites|models|docs|benchmarks|\.ci)/[\w./-]*\w")
    for path in PAGES:
        for code in CODE.findall(BLOCK.sub("", path.read_text())):
            if known.fullmatch(code):
                assert (ROOT / code).exists(), f"{path.name}: {code}"


def test_the_example_of_an_own_test_runs(lab: Lab) -> None:
    (text,) = (text for language, text in BLOCK.findall(page("own_tests.md")) if language == "python")
    (lab.path / "models" / "mobilenet_v1.tflite").symlink_to(MODELS / "mobilenet_v1.tflite")
    lab.pytester.makepyfile(test_mine=text)
    result = lab.inline("test_mine.py")
    result.assert_outcomes(passed=1)
    assert lab.outcomes == {"mobilenet_v1[box:cpu]": "PASS"}
