"""delegate_bench, built for arm64, with the arm64 LiteRT of the official wheel, on good and bad processors."""

from __future__ import annotations

import importlib.metadata
import json
import shutil
import sys
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter

from emulated.board.board import Board
from emulated.board.machine import CPU
from harness.lab.inventory import Inventory
from harness.runners.runtimes import WHEEL, Runtimes
from tests.boards import OLD_CPU, WRONG_CPU, arm64_runner, conv_2d_int8, needs_wrong_cpu
from tests.conftest import MODELS
from tests.emulated.board.conftest import CLOCK, SECONDS, MakeBoard, says, ssh
from tests.emulated.conftest import until

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="emulated boards run on Linux only")


OPTIONS = "--lib ./libLiteRt.so --input input --samples 1 --run-id 1 --out out --accelerator cpu"


class Inferred(NamedTuple):
    """What a board answered, and what this computer answers."""

    record: dict[str, Any]
    board: np.ndarray[Any, Any]
    here: np.ndarray[Any, Any]

    @property
    def worst(self) -> float:
        """The greatest difference, in units of the output's type."""
        return float(np.abs(self.board.astype(float) - self.here.astype(float)).max())


def put(board: Board, model: Path, values: np.ndarray[Any, Any]) -> None:
    """Everything that a run needs, in the home of the board's user."""
    runtime = Runtimes(Inventory(()), "none").get(None, "aarch64-linux")
    assert runtime.version == importlib.metadata.version(WHEEL), "that of this computer"
    for source in (arm64_runner(), runtime.files[0].source, model):
        shutil.copy(source, board.home)
    values.tofile(board.home / "input")
    (board.home / "out").mkdir()


def infer(board: Board, model: Path) -> Inferred:
    """Run a model of one input and one output on a board, as a person would by hand."""
    interpreter = Interpreter(str(model), num_threads=1)
    interpreter.allocate_tensors()
    (given,), (asked,) = interpreter.get_input_details(), interpreter.get_output_details()
    drawn = np.random.RandomState(0).uniform(-1, 1, given["shape"])
    values = drawn.astype(np.float32) if given["dtype"] == np.float32 else (100 * drawn).astype(given["dtype"])
    interpreter.set_tensor(given["index"], values)
    interpreter.invoke()
    here = interpreter.get_tensor(asked["index"])

    put(board, model, values)
    done = ssh(board, f"./delegate_bench {OPTIONS} --model {model.name}")
    record: dict[str, Any] = json.loads((board.home / "out" / "result.json").read_text())
    assert done.returncode == (record["error"] or {"exit_code": 0})["exit_code"]
    outputs = [board.home / "out" / entry["file"] for entry in record["outputs"]]
    found = np.fromfile(outputs[0], asked["dtype"]).reshape(here.shape) if outputs else np.empty(0)
    return Inferred(record, found, here)


def test_a_float_model_gives_what_this_computer_gives(make_board: MakeBoard) -> None:
    inferred = infer(make_board("aarch64"), MODELS / "ops" / "conv_2d.tflite")
    assert inferred.record["status"] == "ok"
    assert (inferred.record["machine"], inferred.record["os"]) == ("aarch64", "Linux")
    assert inferred.worst < 1e-5


@pytest.mark.parametrize(("cpu", "right"), [(CPU, True), (WRONG_CPU, False)])
def test_an_int8_model_is_right_on_one_processor_and_wrong_on_another(
    make_board: MakeBoard, tmp_path: Path, cpu: str, right: bool
) -> None:
    board = make_board("aarch64", cpu)
    if not right:
        needs_wrong_cpu()
    inferred = infer(board, conv_2d_int8(tmp_path / "conv_2d_int8.tflite"))
    assert inferred.record["status"] == "ok", "nothing but the numbers tells"
    assert inferred.worst == 0 if right else inferred.worst > 10


def test_a_processor_without_an_instruction_ends_the_runner(make_board: MakeBoard, tmp_path: Path) -> None:
    inferred = infer(make_board("aarch64", OLD_CPU), conv_2d_int8(tmp_path / "conv_2d_int8.tflite"))
    error = inferred.record["error"]
    assert (error["kind"], error["signal"], error["signal_name"]) == ("crash", 4, "SIGILL")


def test_nothing_of_a_runner_that_is_killed_goes_on(make_board: MakeBoard) -> None:
    board = make_board("aarch64")
    put(board, MODELS / "ops" / "conv_2d.tflite", np.zeros((1, 6, 8, 3), np.float32))
    endless = f"{OPTIONS} --model conv_2d.tflite --min-seconds 250 --max-seconds 250"
    says(board, f"setsid sh -c 'echo $$ >pid; exec ./delegate_bench {endless}' >/dev/null 2>&1 </dev/null &")
    until(lambda: len(board.processes()) == 2, SECONDS)  # it has forked: the child measures
    CLOCK.sleep(0.2)
    assert len(board.processes()) == 2
    says(board, "kill -KILL $(cat pid)")
    until(lambda: board.processes() == [], SECONDS)
