from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from harness.clock import SystemClock
from harness.errors import UsageError
from harness.plan.row import SCHEMA_VERSION
from harness.report import matrix, write
from tests.report import sample


@pytest.fixture
def written(tmp_path: Path) -> Path:
    path = tmp_path / "matrix.json"
    path.write_bytes(matrix.encode(sample.make_matrix()))
    return path


def edited(path: Path, **changes: Any) -> Path:
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))
    return path


def test_what_is_written_satisfies_the_published_schema(written: Path) -> None:
    schema = matrix.json_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.Draft202012Validator(schema).validate(json.loads(written.read_text()))


def test_the_schema_names_its_draft_and_has_no_id() -> None:
    schema = matrix.json_schema()
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert schema["title"]
    assert "$id" not in json.dumps(schema)


@pytest.mark.parametrize(
    "change",
    [
        lambda document: document.pop("summary"),
        lambda document: document["cells"][0].pop("outcome"),
        lambda document: document["cells"][0]["latency"].update(median_us="fast"),
        lambda document: document["cells"][0]["latency"].update(median_ci95_us=[1.0]),
        lambda document: document.update(schema=SCHEMA_VERSION + 1),
    ],
)
def test_the_schema_refuses_what_is_no_matrix(written: Path, change: Any) -> None:
    document = json.loads(written.read_text())
    change(document)
    assert not jsonschema.Draft202012Validator(matrix.json_schema()).is_valid(document)


def test_a_matrix_survives_writing_and_reading(written: Path) -> None:
    assert matrix.load(written) == sample.make_matrix()


def test_a_run_folder_is_as_good_as_its_file(written: Path) -> None:
    assert matrix.load(written.parent) == matrix.load(written)


def test_unknown_fields_are_ignored(written: Path) -> None:
    document = json.loads(written.read_text())
    document["novelty"] = document["cells"][0]["novelty"] = {"x": 1}
    written.write_text(json.dumps(document))
    assert matrix.load(written) == sample.make_matrix()


def test_a_newer_schema_is_refused_with_words(written: Path) -> None:
    with pytest.raises(UsageError, match=rf"newer harness \(schema {SCHEMA_VERSION + 1}.*upgrade"):
        matrix.load(edited(written, schema=SCHEMA_VERSION + 1))


def test_a_schema_that_never_was_is_refused(written: Path) -> None:
    with pytest.raises(UsageError, match="schema 0 is not known"):
        matrix.load(edited(written, schema=0))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", "is not JSON"),
        ('{"schema": 1, "run"', "cut short"),
        ('{"schema": 1, "run": NaN}', "NaN is not a JSON number"),
        ("[]", "expected an object"),
        ('{"schema": "1"}', "number under 'schema'"),
        ('{"schema": 1}', r"run: .*suite: .*and \d+ more"),
        ("[" * 200_000, "nested too deeply"),
    ],
)
def test_a_malformed_file_is_refused_with_words(tmp_path: Path, content: str, words: str) -> None:
    path = tmp_path / "matrix.json"
    path.write_text(content)
    with pytest.raises(UsageError, match=words) as caught:
        matrix.load(path)
    assert str(path) in str(caught.value)


def test_a_wrong_type_is_named_with_its_place(written: Path) -> None:
    document = json.loads(written.read_text())
    document["cells"][3]["latency"]["median_us"] = "fast"
    written.write_text(json.dumps(document))
    with pytest.raises(UsageError, match=r"cells\[3\]\.latency\.median_us"):
        matrix.load(written)


def test_a_missing_file_is_refused_with_words(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="folder of a finished run"):
        matrix.load(tmp_path)


@pytest.mark.parametrize("key", ["planned", "pass", "not_run"])
def test_outcomes_that_do_not_add_up_are_never_written(tmp_path: Path, key: str) -> None:
    content = sample.make_matrix()
    content["summary"][key] += 1  # type: ignore[literal-required]
    with pytest.raises(matrix.MatrixError, match="add up to"):
        write.write_all(content, tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_planned_cell_without_a_row_is_noticed() -> None:
    content = sample.make_matrix()
    lost = next(row for row in content["cells"] if row["role"] == "cell" and row["outcome"] == "PASS")
    content["cells"].remove(lost)
    with pytest.raises(matrix.MatrixError, match="PASS: 26 in the summary, 25 rows"):
        matrix.check_sums(content)


def test_a_cell_with_two_rows_is_noticed() -> None:
    row = sample.cell_row()
    with pytest.raises(matrix.MatrixError, match="more than one row"):
        matrix.check_sums(sample.matrix_of([row, row]))


def test_an_outcome_that_is_none_is_noticed() -> None:
    content = sample.matrix_of([sample.cell_row()])
    content["cells"][0]["outcome"] = "GREAT"
    with pytest.raises(matrix.MatrixError, match="GREAT"):
        matrix.check_sums(content)


def test_helpers_are_counted() -> None:
    content = sample.matrix_of([sample.cell_row(), sample.cell_row(delegate="cpu", role="helper")])
    assert content["summary"]["planned"] == 2
    matrix.check_sums(content)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_nan_and_infinity_are_never_written(tmp_path: Path, value: float) -> None:
    content = sample.make_matrix()
    latency = content["cells"][2]["latency"]
    assert latency is not None
    latency["samples_us"][1] = value
    with pytest.raises(matrix.MatrixError, match=r"cells\[2\]\.latency\.samples_us\[1\] is (nan|-?inf)"):
        matrix.encode(content)
    with pytest.raises(write.ReportError, match=r"cells\[2\]\.latency\.samples_us\[1\]"):
        write.write_all(content, tmp_path)
    assert not (tmp_path / "matrix.json").exists()


def test_what_json_has_no_type_for_is_named() -> None:
    content = sample.make_matrix()
    content["devices"][0]["facts"]["path"] = Path("x")
    with pytest.raises(matrix.MatrixError, match=r"devices\[0\]\.facts\.path is a .*Path"):
        matrix.encode(content)


def test_one_changed_field_is_one_changed_line() -> None:
    before, after = sample.make_matrix(), sample.make_matrix()
    after["cells"][5]["outcome"] = "MARGINAL"
    old, new = matrix.encode(before).splitlines(), matrix.encode(after).splitlines()
    assert [line for line in zip(old, new, strict=True) if line[0] != line[1]] == [
        (b'   "outcome": "PASS",', b'   "outcome": "MARGINAL",')
    ]


def test_text_that_is_no_unicode_does_not_lose_the_report(tmp_path: Path) -> None:
    content = sample.make_matrix()
    content["cells"][0]["notes"] = ["driver said \udcff"]
    (tmp_path / "matrix.json").write_bytes(matrix.encode(content))
    assert matrix.load(tmp_path)["cells"][0]["notes"] == ["driver said ?"]


def test_a_large_run_is_written_and_read_in_seconds(tmp_path: Path) -> None:
    rows = [sample.cell_row(f"m{number}", rounds=1, seed=number) for number in range(1000)]
    clock = SystemClock()
    started = clock.monotonic()
    (tmp_path / "matrix.json").write_bytes(matrix.encode(sample.matrix_of(rows)))
    assert len(matrix.load(tmp_path)["cells"]) == 1000
    assert clock.monotonic() - started < 20  # about 0.5 s on two slow cores
