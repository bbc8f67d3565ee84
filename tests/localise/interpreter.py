"""LiteRT's interpreter in a process beside this one: some pieces of models end the process they run in."""

from __future__ import annotations

import contextlib
import pickle
import subprocess
import sys
from collections.abc import Sequence
from types import TracebackType

from harness.localise.task import Array
from harness.plan.cell import ErrorClass, Outcome, Problem
from tests.conftest import ROOT


class InterpreterProcess:
    """Runs models on the CPU with XNNPACK, one after another; started anew after one that crashed."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> InterpreterProcess:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()

    def run(self, model: bytes, inputs: Sequence[Array]) -> list[Array] | Problem:
        """What a model answers."""
        if self._process is None:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.localise.interpreter"],
                cwd=ROOT,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
            )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            pickle.dump((model, list(inputs)), self._process.stdin)
            self._process.stdin.flush()
            answer = pickle.load(self._process.stdout)
        except (EOFError, BrokenPipeError):
            code = self._end()
            return Problem(Outcome.ERROR, f"killed by signal {-code}", ErrorClass.RUNNER, "crash", -code)
        if isinstance(answer, str):
            return Problem(Outcome.ERROR, answer, ErrorClass.RUNNER, "error")
        found: list[Array] = answer
        return found

    def outputs(self, model: bytes, inputs: Sequence[Array]) -> list[Array]:
        """The same, of a model that runs."""
        answer = self.run(model, inputs)
        assert not isinstance(answer, Problem), answer.reason
        return answer

    def _end(self) -> int:
        if self._process is None:
            return 0
        process, self._process = self._process, None
        for stream in (process.stdin, process.stdout):
            if stream is not None:
                with contextlib.suppress(BrokenPipeError):
                    stream.close()
        return process.wait()


def _interpret(model: bytes, inputs: Sequence[Array]) -> list[Array] | str:
    from ai_edge_litert.interpreter import Interpreter

    try:
        interpreter = Interpreter(model_content=model, num_threads=1)
        interpreter.allocate_tensors()
        for detail, values in zip(interpreter.get_input_details(), inputs, strict=True):
            interpreter.set_tensor(detail["index"], values)
        interpreter.invoke()
        return [interpreter.get_tensor(detail["index"]).copy() for detail in interpreter.get_output_details()]
    except (RuntimeError, ValueError) as error:
        return " ".join(str(error).split()) or "failed"


if __name__ == "__main__":
    while True:
        try:
            given = pickle.load(sys.stdin.buffer)
        except EOFError:
            break
        pickle.dump(_interpret(*given), sys.stdout.buffer)
        sys.stdout.buffer.flush()
