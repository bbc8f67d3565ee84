"""Golden models that share a process, but for the fork that each of them runs in."""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from harness.clock import SystemClock
from harness.paths import cache_dir
from harness.plan.cell import Limits, Problem
from harness.reference.golden import Golden, GoldenRunner
from tests.engine.farm import until
from tests.reference.computing import arrays, computed, inputs_of, runner
from tests.reference.real_models import ours, read

__all__ = ["runner"]

FAULTY_PYTHON = """#!{python}
import os, runpy, signal, sys, time

sys.argv.pop(0)
child = runpy.run_path(sys.argv[0])
original = child["_attempt"]


def attempt(request):
    with open({pids!r}, "a") as stream:
        stream.write(f"{{os.getppid()}}\\n")
    if request["model"].endswith("mul.tflite"):
        os.kill(os.getpid(), signal.SIGSEGV)
    if request["model"].endswith("sub.tflite"):
        time.sleep(60)
    return original(request)


child["main"].__globals__["_attempt"] = attempt
sys.exit(child["main"](sys.argv[1:]))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="forks only on Linux")
class TestServer:
    """Models that share a process, but for the fork that each of them runs in."""

    @pytest.fixture
    def faulty(self, tmp_path: Path) -> Iterator[GoldenRunner]:
        """A runner whose runtime crashes with one model and hangs with another; and who forked is written down."""
        python = tmp_path / "python"
        python.write_text(FAULTY_PYTHON.format(python=sys.executable, pids=str(tmp_path / "pids")))
        python.chmod(0o755)
        runner = GoldenRunner(SystemClock(), python=str(python), serve=True)
        yield runner
        runner.close()

    def servers(self, folder: Path) -> list[int]:
        """Of each model in turn, the process that forked."""
        return [int(line) for line in (folder / "pids").read_text().split()]

    def test_the_answer_is_that_of_a_process_of_its_own(self, runner: GoldenRunner, tmp_path: Path) -> None:
        model = read(ours("face_contour"))
        served = arrays(computed(runner, model), 0)
        shutil.rmtree(cache_dir("golden"))
        own = arrays(computed(GoldenRunner(SystemClock()), model), 0)
        assert all(np.array_equal(a, b) for a, b in zip(served, own, strict=True))

    def test_a_crash_costs_its_model_alone(self, faulty: GoldenRunner, tmp_path: Path) -> None:
        computed(faulty, read(ours("ops/add")))
        problem = faulty.compute(model := read(ours("ops/mul")), inputs_of(model), Limits())
        assert isinstance(problem, Problem)
        assert (problem.kind, problem.signal) == ("reference_crash", signal.SIGSEGV)
        computed(faulty, read(ours("ops/softmax")))
        assert len(self.servers(tmp_path)) == 3
        assert len(set(self.servers(tmp_path))) == 1

    def test_a_deadline_ends_the_server_and_the_next_model_has_another(
        self, faulty: GoldenRunner, tmp_path: Path
    ) -> None:
        computed(faulty, read(ours("ops/add")))
        problem = faulty.compute(model := read(ours("ops/sub")), inputs_of(model), Limits(deadline_seconds=0.5))
        assert isinstance(problem, Problem)
        assert problem.kind == "reference_timeout"
        computed(faulty, read(ours("ops/softmax")))
        first, *_, last = self.servers(tmp_path)
        assert first != last
        with pytest.raises(ProcessLookupError):
            os.kill(first, 0)

    def test_limits_hold_for_each_model(self, runner: GoldenRunner, tmp_path: Path) -> None:
        model = read(ours("ops/add"))
        inputs = inputs_of(model)
        small = runner.compute(model, inputs, Limits(memory_bytes=40 << 20))
        assert isinstance(small, Problem)
        assert small.kind == "reference_memory"
        computed(runner, model, inputs)

    def test_a_server_that_does_not_start_costs_nothing(self, tmp_path: Path) -> None:
        python = tmp_path / "python"
        python.write_text(f'#!/bin/sh\n[ "$2" = --serve ] && exit 1\nexec {shlex.quote(sys.executable)} "$@"\n')
        python.chmod(0o755)
        computed(GoldenRunner(SystemClock(), python=str(python), serve=True), read(ours("ops/add")))

    def test_cancelled_while_it_serves(self, faulty: GoldenRunner, tmp_path: Path) -> None:
        model = read(ours("ops/sub"))
        results: list[Golden | Problem] = []
        inputs = inputs_of(model)
        thread = threading.Thread(target=lambda: results.append(faulty.compute(model, inputs, Limits())))
        thread.start()
        until((tmp_path / "pids").exists)
        faulty.cancel()
        thread.join(60)
        (result,) = results
        assert isinstance(result, Problem)
        assert result.kind == "cancelled"
