"""The op suite's models: each is one operator, runs on the CPU, and means the same to both sets of kernels."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

from harness.plan.cell import ModelRef, TensorSpec, Values
from harness.plan.load import load_suite
from harness.plan.tflite_file import describe
from harness.reference import noise
from models.builder.catalog import builders
from models.builder.op_suite.case import WITHOUT_FLOATS
from tests.models.runtime import MODELS, SUITE, Answers, error_of_range, path_of, run, unpacked

NAMES = [name for name in builders() if name.startswith(SUITE)]
OF_2019 = {
    "ADD", "AVERAGE_POOL_2D", "CONCATENATION", "CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "LOGISTIC",
    "MAX_POOL_2D", "MUL", "PAD", "PRELU", "RELU", "RELU6", "RESHAPE", "RESIZE_BILINEAR", "SOFTMAX", "STRIDED_SLICE",
    "SUB", "TRANSPOSE_CONV",
}  # fmt: skip
WITHOUT_REFERENCE = {"ceil", "elu", "round"}  # in LiteRT 2.3.0's reference kernels
RECIPES: dict[str, Values] = {
    **dict.fromkeys(("log", "pow", "rsqrt", "sqrt"), "positive"),
    "cast": "large",
    **dict.fromkeys(("cast.to_bool", "equal", "not_equal"), "negative_zero"),
}


def operator_of(name: str) -> str:
    return name.removeprefix(SUITE).partition(".")[0]


@pytest.fixture(scope="module")
def suite_answers(tmp_path_factory: pytest.TempPathFactory) -> Answers:
    models = {name: path_of(name) for name in NAMES}
    inputs = {}
    for name, path in models.items():
        recipe = RECIPES.get(name.removeprefix(SUITE), RECIPES.get(operator_of(name), "ordinary"))
        specs = describe(ModelRef("m", str(path))).inputs
        inputs[name] = [[noise.values(spec, 0, 0, recipe) for spec in specs]]
    return run(tmp_path_factory.mktemp("suite"), models, inputs, ("xnnpack", "ref"))


def test_every_file_is_one_operator_and_is_named_after_it() -> None:
    for name in NAMES:
        model = unpacked(path_of(name).read_bytes())
        (operator,) = model.subgraphs[0].operators
        code = model.operatorCodes[operator.opcodeIndex].builtinCode
        assert code == getattr(schema.BuiltinOperator, operator_of(name).upper()), name


def test_the_list_of_2019_and_at_least_40_more_are_there_with_odd_shapes() -> None:
    cases: dict[str, set[str]] = {}
    for name in NAMES:
        cases.setdefault(operator_of(name).upper(), set()).add(name.split(".")[1])
    assert cases.keys() >= OF_2019
    assert len(cases) >= len(OF_2019) + 40
    for operator, found in cases.items():
        first = "basic" if operator in WITHOUT_FLOATS else "plain"
        assert found >= {first, "odd", "batch"}, operator
    assert unpacked(path_of("gpu_ops/depthwise_conv_2d.dilated").read_bytes()).operatorCodes[0].version == 2


def test_plain_cases_take_floats_and_basic_ones_none() -> None:
    for name in NAMES:
        kinds = {spec.dtype for spec in describe(ModelRef("m", str(path_of(name)))).inputs}
        if name.endswith(".plain"):
            assert "float32" in kinds, name
        if name.endswith(".basic"):
            assert "float32" not in kinds, name


def test_both_sets_of_cpu_kernels_agree(suite_answers: Answers) -> None:
    missing = {operator_of(name) for name, kernels in suite_answers.errors if kernels == "ref"}
    assert missing == WITHOUT_REFERENCE
    assert not [name for name, kernels in suite_answers.errors if kernels == "xnnpack"]
    for name in NAMES:
        if operator_of(name) in WITHOUT_REFERENCE:
            continue
        for measured, reference in zip(suite_answers.of(name), suite_answers.of(name, "ref"), strict=True):
            assert np.isfinite(reference).all(), name
            assert error_of_range(measured.astype(float), reference.astype(float)) < 1e-5, name


def test_answers_are_not_all_the_same(suite_answers: Answers) -> None:
    """A constant would agree with anything."""
    for name in NAMES:
        outputs = suite_answers.of(name)
        if max(output.size for output in outputs) >= 8:
            assert any(len(np.unique(output)) > 1 for output in outputs), name


def test_the_suite_has_every_file_and_every_recipe_once() -> None:
    suite = load_suite(MODELS.parent / "suites" / "gpu_ops.yaml")
    assert {Path(model.path).stem for model in suite.models} == {name.removeprefix(SUITE) for name in NAMES}
    plain = [name for name in NAMES if name.endswith(".plain")]
    recipes = Counter(model.inputs.values for model in suite.models)
    for recipe in ("large", "tiny", "negative_zero", "denormal", "nonfinite"):
        assert recipes[recipe] >= len(plain)
    judged = [model for model in suite.models if model.gates is None]
    defined = {"ordinary", "positive", "negative", "large", "negative_zero"}  # the last two for CAST and EQUAL
    assert {model.inputs.values for model in judged} == defined
    assert {model.name for model in judged if model.inputs.values != "ordinary"} >= {"log.odd", "cast.odd"}


def test_generated_indices_fit_the_tables_that_they_look_up() -> None:
    ids = noise.values(TensorSpec(0, "ids", "int32", (1000,)), 0, 0)
    assert 0 <= ids.min() <= ids.max() < 10
