"""Which operation is named, on devices that are wrong on purpose."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence

import numpy as np
import pytest

from harness.localise.locate import localise
from harness.localise.task import Array, Located, Probe, Side, Task, rounding
from harness.plan.cell import ErrorClass, Outcome, Problem
from tests.localise import models
from tests.localise.faults import (
    Change,
    Copy,
    Crash,
    Fault,
    FaultyProbe,
    not_a_number,
    other_weights,
    scaled,
    shifted,
)
from tests.localise.interpreter import InterpreterProcess

BRANCHES = models.branches()
INPUTS = (models.draw(1, *models.SHAPE), models.draw(2, *models.SHAPE))


def found(probe: Probe, model: bytes = BRANCHES, inputs: Sequence[Array] = INPUTS, **task: float) -> Located:
    """What is found without a limit of time."""
    return localise(Task(model, inputs, **task), probe, lambda: 100.0, lambda line: None)  # type: ignore[arg-type]


@pytest.mark.parametrize("place", range(12))
@pytest.mark.parametrize("change", [scaled(1.5), not_a_number], ids=["scaled", "nan"])
def test_every_operation_can_be_named(interpreter: InterpreterProcess, place: int, change: Change) -> None:
    probe = FaultyProbe(interpreter, Fault(f"op-{place}", change))
    located = found(probe)
    row = located.row
    assert row["status"] == "culprit", row["words"]
    assert row["op"] is not None
    assert (row["op"]["index"], row["op"]["name"], row["growth"]) == (place, f"op-{place}", "jump")
    assert row["invocations"] == len(probe.runs) <= 10
    assert row["error_before"] == 0.0
    assert row["error_after"] is not None
    assert row["error_after"] > 0.01


@pytest.mark.parametrize("change", [shifted, other_weights], ids=["shifted", "weights"])
def test_what_is_handed_back_shows_the_fault(interpreter: InterpreterProcess, change: Change) -> None:
    probe = FaultyProbe(interpreter, Fault("op-6", change))
    located = found(probe)
    assert located.submodel is not None
    assert len(models.unpacked(located.submodel).subgraphs[0].operators) == 1
    for side, kept in (("reference", located.reference_outputs), ("device", located.device_outputs)):
        answer = probe.run(side, located.submodel, located.inputs, 10)  # type: ignore[arg-type]
        assert not isinstance(answer, Problem)
        np.testing.assert_array_equal(answer[0], kept[0])
    off = np.abs(located.reference_outputs[0] - located.device_outputs[0]).max() / np.ptp(located.reference_outputs[0])
    assert 0 < located.tolerance < off


def test_what_rounding_may_do() -> None:
    single, half = rounding("fp32"), rounding("fp16")
    assert single < half
    assert (rounding("default"), rounding("default", True), rounding("default", False)) == (half, half, single)
    assert rounding("fp16", False) == half  # values are kept in half precision all the same


def test_an_infinite_error_is_a_number(interpreter: InterpreterProcess) -> None:
    row = found(FaultyProbe(interpreter, Fault("op-4", not_a_number))).row
    assert row["error_after"] == sys.float_info.max
    assert "NaN or infinite values" in row["words"]


def test_half_precision_alone_is_gradual(interpreter: InterpreterProcess) -> None:
    # Held to single precision, every operation would be at fault; held to half precision, none is.
    probe = FaultyProbe(interpreter, half=True)
    assert found(probe, noise=rounding("fp16")).row["status"] == "not_found"
    row = found(probe, noise=1e-4).row
    assert (row["status"], row["growth"], row["op"]) == ("gradual", "gradual", None)


@pytest.mark.parametrize("place", [2, 7])
def test_a_fault_among_errors_of_half_precision(interpreter: InterpreterProcess, place: int) -> None:
    probe = FaultyProbe(interpreter, Fault(f"op-{place}", scaled(1.5)), half=True)
    row = found(probe, noise=rounding("fp16")).row
    assert row["op"] is not None
    assert row["op"]["index"] == place


def test_an_arg_max_that_turns_a_small_error_into_a_large_one(interpreter: InterpreterProcess) -> None:
    probe = FaultyProbe(interpreter, Fault("op-1", scaled(1.004)), half=True)
    row = found(probe, models.labels(), [models.draw(3, 1, 16, 16, 4)], noise=rounding("fp16")).row
    assert (row["status"], row["op"]) == ("gradual", None)
    assert "op 3 ARG_MAX is right; it makes a difference that was there before it larger" in row["words"]


def test_an_arg_max_that_is_wrong_itself(interpreter: InterpreterProcess) -> None:
    row = found(FaultyProbe(interpreter, Fault("op-3", turned)), models.labels(), [models.draw(3, 1, 16, 16, 4)]).row
    assert row["op"] is not None
    assert row["op"]["type"] == "ARG_MAX"


@pytest.mark.parametrize(("wrong", "kind"), [("op-0", "DEQUANTIZE"), ("op-2", "CONV_2D"), ("op-3", "RELU")])
def test_what_unpacks_constants_is_told_from_what_uses_them(
    interpreter: InterpreterProcess, wrong: str, kind: str
) -> None:
    probe = FaultyProbe(interpreter, Fault(wrong, scaled(1.5)))
    row = found(probe, models.half_weights(), [INPUTS[0]]).row
    assert row["op"] is not None, row["words"]
    assert (row["op"]["name"], row["op"]["type"]) == (wrong, kind)


def test_two_operations_that_are_wrong_together_only(interpreter: InterpreterProcess) -> None:
    row = found(FaultyProbe(interpreter, Fault("op-5", together("op-4", scaled(1.5))))).row
    assert (row["status"], row["op"], row["first"], row["last"]) == ("segment", None, 4, 5)
    assert "right alone, but wrong together" in row["words"]


def test_a_fault_that_takes_the_whole_model_names_nobody(interpreter: InterpreterProcess) -> None:
    row = found(FaultyProbe(interpreter, Fault("op-10", together("op-0", scaled(1.5))))).row
    assert (row["status"], row["op"], row["last"]) == ("segment", None, 10)
    assert "it takes more of the model" in row["words"]


def test_answers_that_change_from_run_to_run(interpreter: InterpreterProcess) -> None:
    row = found(FaultyProbe(interpreter, Fault("op-10", together("op-0", unstable())))).row
    assert (row["status"], row["op"]) == ("not_found", None)
    assert "differently each time" in row["words"]


def test_cuts_that_crash_are_evidence_and_no_end(interpreter: InterpreterProcess) -> None:
    probe = FaultyProbe(interpreter, Fault("op-9", scaled(1.5)), Fault("op-8", last_one_crashes))
    row = found(probe).row
    assert row["op"] is not None, row["words"]
    assert row["op"]["index"] == 9
    assert "2 runs failed: op 8 CONV_2D (crash)" in row["words"]
    assert [(cut["side"], cut["status"]) for cut in row["cuts"] if cut["op"] == 8] == [
        ("prefix", "crash"),
        ("alone", "crash"),
    ]


def test_a_culprit_between_cuts_that_crash(interpreter: InterpreterProcess) -> None:
    crashes = [Fault(f"op-{place}", prefix_crashes) for place in (4, 5, 6)]
    row = found(FaultyProbe(interpreter, Fault("op-6", scaled(1.5)), *crashes)).row
    assert row["op"] is not None, row["words"]
    assert row["op"]["index"] == 6


def test_pieces_of_which_the_gpu_takes_nothing_are_right(interpreter: InterpreterProcess) -> None:
    """They run on the CPU, there as in the whole model."""

    class Partial(FaultyProbe):
        def run(self, side: Side, model: bytes, inputs: Sequence[Array], seconds: float) -> Sequence[Array] | Problem:
            if side == "device" and Copy(model).find("op-6") is None:
                return Problem(Outcome.UNSUPPORTED, "no operation ran on the GPU", kind="no_node_delegated")
            return super().run(side, model, inputs, seconds)

    row = found(Partial(interpreter, Fault("op-6", scaled(1.5)))).row
    assert row["op"] is not None, row["words"]
    assert row["op"]["index"] == 6


def test_a_whole_model_that_crashes(interpreter: InterpreterProcess) -> None:
    row = found(FaultyProbe(interpreter, Fault("op-11", last_one_crashes))).row
    assert (row["status"], row["invocations"]) == ("not_found", 2)
    assert "the whole model could not be run: the runner was killed by signal 11" in row["words"]


def test_a_model_that_is_right(interpreter: InterpreterProcess) -> None:
    row = found(FaultyProbe(interpreter)).row
    assert (row["status"], row["invocations"]) == ("not_found", 2)


def test_quantised_values_may_differ_by_steps_and_no_more(interpreter: InterpreterProcess) -> None:
    from tests.conftest import MODELS

    model = (MODELS / "ops" / "conv_2d_uint8.tflite").read_bytes()
    shape = models.unpacked(model).subgraphs[0].tensors[models.unpacked(model).subgraphs[0].inputs[0]].shape
    inputs = [np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)]
    assert found(FaultyProbe(interpreter), model, inputs).row["status"] == "not_found"
    name = models.unpacked(model).subgraphs[0].operators[-1].outputs[0]
    output = models.unpacked(model).subgraphs[0].tensors[name].name.decode()
    row = found(FaultyProbe(interpreter, Fault(output, other_weights)), model, inputs).row
    assert row["op"] is not None
    assert row["op"]["type"] == "CONV_2D"


@pytest.mark.parametrize("size", [1, 3000])
def test_the_reference_side_shows_as_much_as_it_may(interpreter: InterpreterProcess, size: int) -> None:
    probe = FaultyProbe(interpreter, Fault("op-7", scaled(1.5)))
    row = found(probe, expose_bytes=size).row
    assert row["op"] is not None
    assert row["op"]["index"] == 7
    assert probe.runs.count("reference") > 1


def test_time_that_is_used_up(interpreter: InterpreterProcess) -> None:
    probe = FaultyProbe(interpreter, Fault("op-7", scaled(1.5)))
    left: Callable[[], float] = lambda: 4.0 - len(probe.runs)  # noqa: E731
    row = localise(Task(BRANCHES, INPUTS), probe, left, lambda line: None).row
    assert (row["status"], row["op"], row["invocations"], row["seconds"]) == ("gave_up", None, 4, 4.0)
    assert (row["first"], row["last"]) == (6, 8)
    assert "narrowed down to between op 6 CONV_2D and op 8 CONV_2D" in row["words"]


def test_a_device_that_is_lost() -> None:
    class Lost:
        def run(self, side: Side, model: bytes, inputs: Sequence[Array], seconds: float) -> Problem:
            return Problem(Outcome.ERROR, "the phone was unplugged", ErrorClass.DEVICE, "lost")

    row = found(Lost()).row
    assert (row["status"], row["words"], row["invocations"]) == ("gave_up", "the phone was unplugged", 1)


@pytest.mark.parametrize(("model", "words"), [(models.stateful(), "variable tensors"), (b"", "cannot be read")])
def test_models_that_cannot_be_cut(interpreter: InterpreterProcess, model: bytes, words: str) -> None:
    row = found(FaultyProbe(interpreter), model).row
    assert (row["status"], row["invocations"]) == ("refused", 0)
    assert words in row["words"]


def turned(model: Copy, index: int) -> None:
    """A label map whose rows are in the opposite order."""
    hidden, output = model.redirect(index)
    axis = model.new_constant(output, np.array([1], np.int32))
    model.graph.operators.insert(index + 1, model.operator("REVERSE_V2", [hidden, axis], output, "ReverseV2Options"))


def together(other: str, change: Change) -> Change:
    """A change where another operation is in the same piece."""

    def change_both(model: Copy, index: int) -> None:
        if model.find(other) is not None:
            change(model, index)

    return change_both


def unstable() -> Change:
    """Another factor each time."""
    factors = iter(range(2, 1000))

    def change(model: Copy, index: int) -> None:
        scaled(float(next(factors)))(model, index)

    return change


def last_one_crashes(model: Copy, index: int) -> None:
    """A piece that ends with this operation."""
    if int(model.graph.operators[index].outputs[0]) in [int(tensor) for tensor in model.graph.outputs]:
        raise Crash


def prefix_crashes(model: Copy, index: int) -> None:
    """A piece that begins with the model and ends with this operation."""
    if model.find("op-1") is not None and model.find("op-8") is None:
        raise Crash
