"""What changed since the baseline."""

from __future__ import annotations

from typing import Any

from harness.report.changes import change_words, changes
from tests.report.sample import cell_row, matrix_of


def changed(model: str, verdict: str, before: str | None, outcome: str = "PASS", **fields: Any) -> Any:
    regression = {
        "verdict": verdict,
        "reasons": [],
        "outcome_before": before,
        "latency_ratio": None,
        "accuracy_ratio": None,
        **fields,
    }
    return cell_row(model, outcome=outcome) | {"regression": regression}


def test_cells_are_told_apart_by_what_became_of_them() -> None:
    matrix = matrix_of(
        [
            changed("a", "WORSE", "PASS", "FAIL"),
            changed("b", "WORSE", "PASS", latency_ratio=1.2),
            changed("c", "BETTER", "FAIL"),
            changed("d", "BETTER", "PASS"),
            changed("e", "NEW", None),
            changed("f", "UNCOMPARABLE", "PASS"),
            changed("g", "SAME", "PASS"),
        ]
    )
    matrix["baseline"] = {"run": "v2.3", "gone": ["release::old[pixel-8:cpu]"]}
    found = changes(matrix)
    assert found is not None
    assert found.sentence == "2 worse, 1 fixed, 1 better, 1 new, 1 gone, 1 not comparable, 1 same"
    assert [row["model"] for row in found.rows["worse"]] == ["a", "b"]
    assert found.gone == ("release::old[pixel-8:cpu]",)


def test_without_a_baseline_there_are_none() -> None:
    assert changes(matrix_of([cell_row()])) is None


def test_words_say_what_it_was_and_what_is_worse() -> None:
    row = changed("a", "WORSE", "PASS", "FAIL", reasons=["accuracy same: 1.0 times", "latency worse: 1.3 times"])
    assert change_words(row) == "PASS before; latency worse: 1.3 times"


def test_words_of_what_is_not_comparable_are_its_reasons() -> None:
    assert change_words(changed("a", "UNCOMPARABLE", "PASS", reasons=["other inputs"])) == "other inputs"
