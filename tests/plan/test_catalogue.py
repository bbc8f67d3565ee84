from __future__ import annotations

from pathlib import Path

import pytest

from harness.plan.catalogue import Catalogue, slug


@pytest.fixture
def catalogue(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Catalogue:
    for name in (
        "root/models/shared.tflite",
        "root/models/deep.tflite",
        "root/models/notes.md",
        "root/team/models/shared.tflite",
        "root/team/models/two words.tflite",
        "root/team/models/raw.bin",
        "root/team/suites/own_1.tflite",
        "root/team/suites/sub[1]/a.tflite",
        "root/team/suites/sub[1]/deeper/b.bin",
    ):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    monkeypatch.chdir(tmp_path / "root")
    return Catalogue(tmp_path / "root" / "team" / "suites", tmp_path / "root")


def found(catalogue: Catalogue, pattern: str, root: Path) -> list[str]:
    return [str(path.resolve().relative_to(root.resolve())) for path in catalogue.find(pattern)]


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("own_1", ["team/suites/own_1.tflite"]),
        ("own_1.tflite", ["team/suites/own_1.tflite"]),
        ("deep", ["models/deep.tflite"]),
        ("deep.tflite", ["models/deep.tflite"]),
        ("shared", ["team/models/shared.tflite"]),
        ("two_words", ["team/models/two words.tflite"]),
        (
            "*",
            [
                "models/deep.tflite",
                "team/suites/own_1.tflite",
                "team/models/shared.tflite",
                "team/models/two words.tflite",
            ],
        ),
        ("*_*", ["team/suites/own_1.tflite", "team/models/two words.tflite"]),
        ("../models/raw.bin", ["team/models/raw.bin"]),
        ("../models/*", ["team/models/raw.bin", "team/models/shared.tflite", "team/models/two words.tflite"]),
        ("../../models/*", ["models/deep.tflite", "models/shared.tflite"]),
        ("sub[1]/a.tflite", ["team/suites/sub[1]/a.tflite"]),
        ("./**/b.bin", ["team/suites/sub[1]/deeper/b.bin"]),
        ("raw", []),
        ("notes", []),
        ("../models", []),
        ("", []),
        ("x" * 5000, []),
        ("nul\0", []),
        ("../nul\0/*", []),
        ("../" + "x" * 5000, []),
    ],
)
def test_names_globs_and_paths(catalogue: Catalogue, tmp_path: Path, pattern: str, expected: list[str]) -> None:
    assert found(catalogue, pattern, tmp_path / "root") == expected
    assert catalogue.unknown(pattern, "'it'", hint=True)


def test_absolute_paths(catalogue: Catalogue, tmp_path: Path) -> None:
    models = tmp_path / "root" / "models"
    assert catalogue.find(str(models / "deep.tflite")) == [models / "deep.tflite"]
    assert catalogue.find(f"{models}/d*.tflite") == [models / "deep.tflite"]


def test_what_is_there_is_listed(catalogue: Catalogue) -> None:
    assert catalogue.unknown("depe", "'depe'", hint=True) == (
        "no model called 'depe'; did you mean 'deep'? models in team/suites, team/models, models: "
        "deep, own_1, shared, two_words"
    )
    assert "did you mean" not in catalogue.unknown("depe", "'${HARNESS_X}'", hint=False)


def test_long_lists_are_cut(tmp_path: Path) -> None:
    for number in range(25):
        (tmp_path / f"m{number:02}.tflite").touch()
    assert Catalogue(tmp_path).unknown("zzz", "'zzz'", hint=True).endswith("m18, m19 and 5 more")


def test_no_models_at_all(tmp_path: Path) -> None:
    assert Catalogue(tmp_path / "suites").unknown("x", "'x'", hint=True) == "no model called 'x'; models in : none"


def test_slugs() -> None:
    assert slug("a b/ü.v1-2_x") == "a_b_.v1-2_x"
