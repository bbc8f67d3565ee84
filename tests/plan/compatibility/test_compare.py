from __future__ import annotations

import pytest

from harness.plan.compatibility import compare, of_runner, predictions
from harness.plan.explained import PredictionRow
from harness.plan.row import DelegationRow
from tests.plan.compatibility.probes import PROBES


def predicted(name: str) -> PredictionRow:
    return predictions(PROBES[name]())[0]


def told(
    nodes: int | None = None, total: int | None = None, partitions: int | None = None, *lines: str
) -> DelegationRow:
    return {
        "nodes_total": total,
        "nodes_delegated": nodes,
        "partitions": partitions,
        "fallback": None,
        "unsupported_ops": list(lines),
        "evidence": "",
    }


def test_as_foretold() -> None:
    row = compare(predicted("islands"), told(3, 6))
    assert row["agrees"] is True
    assert (row["nodes_delegated"], row["differences"]) == (3, [])


def test_other_numbers() -> None:
    row = compare(predicted("islands"), told(2, 6, 2))
    assert row["agrees"] is False
    assert row["differences"] == [
        "3 nodes were to be on the GPU, 2 were",
        "1 partition(s) were to be on the GPU, 2 were",
    ]


def test_counts_of_several_subgraphs_tell_nothing() -> None:
    assert compare(predicted("islands"), told(3, 9))["agrees"] is None


@pytest.mark.parametrize("delegation", [None, told()])
def test_a_runner_that_does_not_tell(delegation: DelegationRow | None) -> None:
    row = compare(predicted("islands"), delegation)
    assert (row["agrees"], row["differences"]) == (None, [])


def test_names_of_refused_operations() -> None:
    name = "LOCAL_RESPONSE_NORMALIZATION"
    assert compare(predicted("islands"), told(None, None, None, f"{name}: Operation is not supported."))["agrees"]
    halves = told(None, None, None, "DEQUANTIZE: ", f"{name}: Operation is not supported.")
    assert compare(predicted("halves.partial"), halves)["agrees"], "widened constants are no refusal"
    row = compare(predicted("islands"), told(None, None, None, "CUSTOM Foo: no", "EXP: no"))
    assert row["differences"] == [
        "EXP was to be taken, and was refused",
        "Foo was to be taken, and was refused",
        f"{name} was to be refused, and was not",
    ]


def test_a_model_that_was_not_compiled() -> None:
    assert compare(predicted("reshape.computed"), None, refused=True)["agrees"] is True
    assert compare(predicted("islands"), None, refused=True)["agrees"] is False
    row = compare(predicted("reshape.computed"), told(1, 1))
    assert row["agrees"] is False
    assert "was not to compile" in row["differences"][0]


@pytest.mark.parametrize(
    ("runner", "runtime", "profile"),
    [
        ("delegate_bench", "2.3.0", "mldrift-litert-2.3"),
        ("delegate_bench", "2.10.0rc1", "mldrift-litert-2.3"),
        ("delegate_bench", None, "mldrift-litert-2.3"),
        ("delegate_bench", "2.1.6", None),
        ("benchmark_model", "2.3.0", "classic-2.16"),
        ("another", "2.3.0", None),
    ],
)
def test_which_profile_a_runner_is_held_against(runner: str, runtime: str | None, profile: str | None) -> None:
    found = of_runner(predictions(PROBES["islands"]()), runner, runtime)
    assert (found["profile"] if found else None) == profile
