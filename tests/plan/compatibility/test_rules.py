"""What the profiles say of small models, each on one side of one rule; no accelerator is asked."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

from harness.errors import UsageError
from harness.plan.compatibility import predict, predictions, profiles
from harness.plan.explained import PredictionRow
from tests.plan.compatibility.probes import PROBES
from tests.reference.real_models import ours, shared

MLDRIFT, CLASSIC = (profile.name for profile in profiles())


def row_of(name: str, profile: str = MLDRIFT) -> PredictionRow:
    return predict(PROBES[name](), 0, profile)


def why(row: PredictionRow) -> str:
    return "; ".join(entry["why"] for entry in row["refused"])


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("relu.v3", "version 3; the GPU knows up to 2"),
        ("strided_slice.shrink", "shrink_axis_mask"),
        ("strided_slice.backwards", "does not reverse"),
        ("strided_slice.int64", "an input is int64"),
        ("softmax.beta_2", "beta is 2"),
        ("gather.2d", "2 dimension(s)"),
        ("pad.2", "paddings are 2x2"),
        ("mirror_pad.symmetric", "REFLECT"),
        ("arg_max.int64", "an output is int64"),
        ("sub.same_twice", "the same tensor"),
        ("add.five_dimensions", "5 dimensions"),
        ("add.computed_scalar", "computed scalar"),
        ("mul.constant_int64", "single int64"),
        ("transpose.5", "2 to 4 dimensions"),
        ("prelu.rows", "4x1x1"),
        ("space_to_depth.1", "block size is 1"),
        ("fully_connected.uint8", "quantised uint8"),
        ("select.row", "1x1x1x8"),
        ("squeeze", "no such operation"),
    ],
)
def test_refused_with_the_reason(name: str, words: str) -> None:
    row = row_of(name)
    assert row["compiles"]
    assert (row["nodes_delegated"], row["partitions"]) == (0, 0)
    assert words in why(row)
    assert [entry["nodes"] for entry in row["refused"]] == [[0]]


@pytest.mark.parametrize(
    "name",
    [
        "relu.v2",
        "strided_slice.two_dimensions",
        "softmax.beta_1",
        "gather.1d",
        "pad.3",
        "arg_max.int32",
        "add.same_twice",
    ],
)
def test_taken(name: str) -> None:
    row = row_of(name)
    assert (row["nodes_delegated"], row["partitions"], row["refused"]) == (row["nodes_total"], 1, [])


def test_float16_constants_go_along_when_everything_fits() -> None:
    assert row_of("halves.all")["nodes_delegated"] == 2
    row = row_of("halves.partial")
    assert row["nodes_delegated"] == 1
    assert {entry["op"]: entry["nodes"] for entry in row["refused"]} == {
        "LOCAL_RESPONSE_NORMALIZATION": [2],
        "DEQUANTIZE": [0],
    }
    assert "float16" in why(row)


def test_the_largest_part_is_taken() -> None:
    row = row_of("islands")
    assert (row["nodes_delegated"], row["partitions"]) == (3, 1)
    assert row["refused"][0]["nodes"] == [2], "what the GPU refuses comes first"
    assert sorted(node for entry in row["refused"][1:] for node in entry["nodes"]) == [0, 1]
    assert "outside the largest" in row["refused"][1]["why"]


def test_a_branch_does_not_split_what_it_does_not_feed() -> None:
    assert row_of("branches")["nodes_delegated"] == 3


def test_profiles_differ_where_the_delegates_do() -> None:
    assert row_of("strided_slice.v3", CLASSIC)["nodes_delegated"] == 1
    assert row_of("strided_slice.two_dimensions", CLASSIC)["nodes_delegated"] == 0
    assert row_of("arg_max.int32", CLASSIC)["nodes_delegated"] == 0
    assert "CAST or SELECT" in why(row_of("greater.bool", CLASSIC))


def test_a_profile_that_nobody_checked_says_so() -> None:
    assert [profile.checked for profile in profiles()] == [True, False]
    rows = predictions(ours("ops/add"))
    assert [row["checked"] for row in rows] == [True, False]
    assert "not checked" in profiles()[1].words


def test_a_real_model_in_parts() -> None:
    row = predict(shared("float/mobilenet_v1_0.25_224_float_meta.tflite"), 0, MLDRIFT)
    assert (row["nodes_delegated"], row["nodes_total"]) == (29, 31)
    assert row["refused"][0]["op"] == "SQUEEZE"
    assert sum(len(entry["nodes"]) for entry in row["refused"]) == 2


@pytest.mark.parametrize("name", sorted(PROBES))
def test_every_node_is_either_taken_or_explained(name: str) -> None:
    for row in predictions(PROBES[name]()):
        left = [node for entry in row["refused"] for node in entry["nodes"]]
        assert len(set(left)) == len(left)
        assert not row["compiles"] or len(left) + row["nodes_delegated"] == row["nodes_total"]
        assert json.loads(json.dumps(row)) == row


def test_an_unknown_profile() -> None:
    with pytest.raises(UsageError, match="did you mean 'mldrift"):
        predict(ours("ops/add"), 0, "mldrift-litert-2.2")


def test_damage_is_an_error_in_words(tmp_path: Path) -> None:
    dice = random.Random(7)
    data = ours("ops/conv_2d").read_bytes()
    refused = 0
    for _ in range(200):
        damaged = bytearray(data)
        for _ in range(dice.choice([1, 8, 60])):
            damaged[dice.randrange(8, len(data))] = dice.choice([0, 1, 127, 255, dice.randrange(256)])
        try:
            predictions(bytes(damaged))
        except ValueError as error:
            refused += 1
            assert "the model" in str(error)
    assert refused > 20
    with pytest.raises(ValueError, match="is not there"):
        predictions(tmp_path / "nothing.tflite")
