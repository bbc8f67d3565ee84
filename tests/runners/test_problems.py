"""Each kind of error that the runner knows, and what becomes of it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from harness.plan.cell import Delegate, ErrorClass, Outcome, Problem
from harness.runners import problems
from harness.runners.problems import operations
from tests.conftest import ROOT

CPU, GPU = Delegate("cpu"), Delegate("gpu", "gpu")
E, U = Outcome.ERROR, Outcome.UNSUPPORTED
RUNNER, MODEL, CONFIG, HOST = ErrorClass.RUNNER, ErrorClass.MODEL, ErrorClass.CONFIG, ErrorClass.HOST


def problem_of(record: dict[str, Any], delegate: Delegate, target: str = "x86_64-linux") -> Problem:
    return problems.problem_of(record, delegate, target)


TABLE: list[tuple[str, Delegate, Outcome, ErrorClass | None]] = [
    ("usage", CPU, E, RUNNER),
    ("runtime_library", CPU, E, CONFIG),
    ("abi", CPU, E, CONFIG),
    ("model", CPU, E, MODEL),
    ("input", CPU, E, CONFIG),
    ("run", CPU, E, RUNNER),
    ("output", CPU, E, HOST),
    ("output_limit", CPU, E, CONFIG),
    ("crash", CPU, E, RUNNER),
    ("memory", CPU, E, RUNNER),
    ("compile", CPU, E, MODEL),
    ("compile", GPU, U, None),
    ("not_fully_accelerated", GPU, U, None),
    ("accelerator_unavailable", GPU, U, None),
    ("unsupported", CPU, U, None),
    ("timeout", CPU, Outcome.TIMEOUT, None),
    ("cancelled", CPU, Outcome.NOT_RUN, None),
    ("a kind of tomorrow", CPU, E, RUNNER),
]


def record(kind: str, **fields: Any) -> dict[str, Any]:
    error = {"kind": kind, "message": "the words", "stage": "compile", "signal": None}
    extra: dict[str, Any] = {key: fields.pop(key) for key in ("unsupported_ops", "stderr_tail") if key in fields}
    return {"status": "error", "error": {**error, **fields}, **extra}


@pytest.mark.parametrize(("kind", "delegate", "outcome", "error_class"), TABLE, ids=lambda value: str(value)[:24])
def test_what_becomes_of_each_kind(
    kind: str, delegate: Delegate, outcome: Outcome, error_class: ErrorClass | None
) -> None:
    problem = problem_of(record(kind), delegate)
    assert (problem.outcome, problem.error_class) == (outcome, error_class)
    assert (problem.kind, problem.stage) == (kind, "compile")
    assert problem.reason
    assert problem.retried == (kind == "output")


def test_the_table_has_every_kind_that_the_runner_writes() -> None:
    sources = "".join(path.read_text() for path in Path(ROOT / "native").glob("*.[ch]"))
    written = set(re.findall(r'\[KIND_\w+\] = \{"([a-z_]+)"', sources)) - {"none"}
    assert written, "the runner's table of errors was not found"
    assert written <= {kind for kind, *_ in TABLE}


@pytest.mark.parametrize(
    ("fields", "delegate", "words"),
    [
        ({"kind": "timeout", "stage": "run"}, CPU, "the deadline passed during 'run'"),
        ({"kind": "cancelled"}, CPU, "cancelled while it ran"),
        ({"kind": "compile"}, CPU, "the model does not compile: the words"),
        ({"kind": "compile"}, GPU, "the GPU accelerator refuses the model: the words"),
        ({"kind": "memory", "stage": "load"}, CPU, "the runner passed the memory limit during 'load': the words"),
        (
            {"kind": "crash", "signal": 11, "signal_name": "SIGSEGV", "stage": "run"},
            GPU,
            "the runner crashed with signal 11 (SIGSEGV) during 'run'",
        ),
        ({"kind": "crash", "signal": 6}, GPU, "the runner crashed with signal 6 (unknown) during 'compile'"),
        (
            {
                "kind": "not_fully_accelerated",
                "unsupported_ops": ["EXP: Operation is not supported.", "CUMSUM: rank 5"],
            },
            GPU,
            "the GPU does not take EXP, CUMSUM (rank 5)",
        ),
        (
            {
                "kind": "crash",
                "signal": 6,
                "signal_name": "SIGABRT",
                "stderr_tail": "F0101 a.cc:1] Check failed: x\nERROR: b\n",
            },
            GPU,
            "the runner crashed with signal 6 (SIGABRT) during 'compile'; Check failed: x",
        ),
        (
            {
                "kind": "run",
                "stderr_tail": "INFO: a\nERROR: node 3 failed\nERROR: Following operations are not supported\n",
            },
            CPU,
            "the words; node 3 failed",
        ),
        (
            {"kind": "compile", "stderr_tail": "ERROR: Encountered unresolved custom op: MyOp.\n"},
            GPU,
            "the runtime lacks an operation of this model: Encountered unresolved custom op: MyOp.",
        ),
    ],
)
def test_reasons_say_what_happened(fields: dict[str, Any], delegate: Delegate, words: str) -> None:
    assert problem_of(record(**fields), delegate).reason == words


def test_a_missing_adapter_comes_with_what_to_install() -> None:
    problem = problem_of(record("accelerator_unavailable", message="no adapter was found"), GPU)
    assert problem.reason.startswith("no adapter was found; install a Vulkan loader")
    assert "VK_ICD_FILENAMES" in problem.reason
    phone = problem_of(record("accelerator_unavailable", message="no adapter was found"), GPU, "aarch64-android")
    assert "context: app" in phone.reason
    assert "VK_ICD" not in phone.reason
    other = problem_of(record("accelerator_unavailable", message="no such library"), GPU)
    assert other.reason == "no such library"


def test_a_missing_operation_of_the_runtime_is_no_error_whatever_the_accelerator() -> None:
    log = "ERROR: Select TensorFlow op(s), included in the given model, is(are) not supported\n"
    for kind in ("compile", "run", "model"):
        for delegate in (CPU, GPU):
            problem = problem_of(record(kind, stderr_tail=log), delegate)
            assert (problem.outcome, problem.error_class) == (U, None)
            assert "lacks an operation" in problem.reason


def test_a_crash_stays_a_crash_whatever_the_log_says() -> None:
    problem = problem_of(record("crash", signal=11, stderr_tail="ERROR: unresolved custom op: X\n"), GPU)
    assert (problem.outcome, problem.error_class, problem.signal) == (E, RUNNER, 11)


@pytest.mark.parametrize("found", [{}, {"error": None}, {"error": {}}, {"error": {"kind": None, "message": None}}])
def test_an_error_without_words_is_still_a_problem(found: dict[str, Any]) -> None:
    problem = problem_of(found, CPU)
    assert (problem.outcome, problem.error_class, problem.kind) == (E, RUNNER, "unknown")
    assert problem.reason == "no message"


def test_the_list_of_operations_is_kept_for_the_report() -> None:
    problem = problem_of(record("not_fully_accelerated", unsupported_ops=[" EXP: no \n"]), GPU)
    assert problem.unsupported_ops == ("EXP: no",)


@pytest.mark.parametrize(
    ("lines", "phrase"),
    [
        ([], ""),
        (["EXP: Operation is not supported."], "EXP"),
        (["EXP"], "EXP"),
        (["EXP: no", "EXP: again"], "EXP (no)"),
        (["EXP: Operation is not supported.", "EXP: rank 5"], "EXP (rank 5)"),
        (["A: x: y", "B: z"], "A (x: y), B (z)"),
    ],
)
def test_operations_as_one_phrase(lines: list[str], phrase: str) -> None:
    assert operations(lines) == phrase
