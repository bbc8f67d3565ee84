"""The findings can be followed: their models build, their links lead somewhere, and none is left out of the list."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from harness.plan.cell import ModelRef
from harness.plan.tflite_file import describe
from tests.conftest import ROOT

FOLDER = ROOT / "docs" / "findings"
PAGES = sorted(path for path in FOLDER.glob("*.md") if path.name != "README.md")
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^()\s#]+)")
MODEL = re.compile(r"`?(models/gpu_ops/[\w.]+\.tflite)")
HEADINGS = ["What happens", "Expected and actual", "Minimal model", "Versions", "Reproduce"]


def test_every_page_is_listed() -> None:
    assert PAGES
    listed = set(LINK.findall((FOLDER / "README.md").read_text()))
    assert {path.name for path in PAGES} == {name for name in listed if "/" not in name}


@pytest.mark.parametrize("path", [*PAGES, FOLDER / "README.md"], ids=lambda path: path.stem)
def test_links_and_models_are_there(path: Path) -> None:
    text = path.read_text()
    assert [name for name in LINK.findall(text) if "://" not in name and not (FOLDER / name).exists()] == []
    assert [name for name in MODEL.findall(text) if not (ROOT / name).is_file()] == []


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_a_page_says_all_that_a_maintainer_needs(path: Path) -> None:
    found = re.findall(r"^## (.*)$", path.read_text(), re.MULTILINE)
    assert [name for name in found if name in HEADINGS] == HEADINGS


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_minimal_models_build(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for text in BLOCK.findall(path.read_text()):
        names: dict[str, object] = {}
        exec(compile(text, str(path), "exec"), names)
        graph = names["graph"]
        (tmp_path / "made.tflite").write_bytes(graph.to_bytes())  # type: ignore[attr-defined]
        model = describe(ModelRef("made", str(tmp_path / "made.tflite")))
        assert model.problem is None
        assert model.nodes == 1
