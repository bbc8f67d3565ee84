from __future__ import annotations

from pathlib import Path

import pytest

from harness.report import github
from tests.report.sample import make_matrix


def test_the_worst_comes_first_and_a_waived_failure_only_warns() -> None:
    matrix = make_matrix()
    matrix["suite"]["path"] = None
    lines = github.workflow_commands(matrix)
    assert lines[0].startswith("::error title=FAIL ")
    waived = [line for line in lines if "(waived)" in line]
    assert waived
    assert all(line.startswith("::warning ") for line in waived)
    assert not any("UNSUPPORTED" in line for line in lines)


def test_no_more_than_github_keeps() -> None:
    matrix = make_matrix()
    for number, row in enumerate(matrix["cells"]):
        row["outcome"], row["reason"], row["gates"] = "ERROR", f"reason {number}", []
    lines = github.workflow_commands(matrix)
    assert len(lines) == github.MOST


def test_words_of_a_device_are_no_commands() -> None:
    matrix = make_matrix()
    row = matrix["cells"][0]
    row["outcome"], row["reason"], row["gates"] = "ERROR", "100%\n::set-env name=X::y", []
    lines = github.workflow_commands(matrix)
    assert all(line.startswith(("::error ", "::warning ")) for line in lines)
    assert "\n" not in "".join(lines)
    assert any("100%25 ::set-env" in line for line in lines)


def test_the_suite_is_named_where_it_is_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a,b.yaml").touch()
    matrix = make_matrix()
    matrix["suite"]["path"] = str(tmp_path / "a,b.yaml")
    assert github.workflow_commands(matrix)[0].startswith("::error file=a%2Cb.yaml,title=")


def test_the_summary_is_added_to_the_steps(tmp_path: Path) -> None:
    file = tmp_path / "summary"
    file.write_text("before\n")
    github.write_summary(make_matrix(), {"GITHUB_STEP_SUMMARY": str(file)})
    text = file.read_text()
    assert text.startswith("before\n## FAIL")
    github.write_summary(make_matrix(), {})
    file.write_bytes(b"x" * ((1 << 20) - 10))
    github.write_summary(make_matrix(), {"GITHUB_STEP_SUMMARY": str(file)})
    assert file.stat().st_size == (1 << 20) - 10


def test_only_in_a_workflow() -> None:
    assert github.active({"GITHUB_ACTIONS": "true"})
    assert not github.active({"CI": "true"})
