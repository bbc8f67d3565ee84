"""This computer as both sides: delegate_bench on the CPU, and on the GPU accelerator over a software driver."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from harness.environment import inherited
from harness.localise.task import Array, Side
from harness.plan.cell import ErrorClass, Outcome, Problem
from harness.runners.build import build_runner


class LocalProbe:
    """Each run is a process of delegate_bench."""

    def __init__(self, env: Mapping[str, str], *, precision: str = "fp32", accelerator: str = "gpu,cpu") -> None:
        """Choose the device side: driver, precision, and whether the CPU may take what the GPU refuses."""
        spec = importlib.util.find_spec("ai_edge_litert")
        assert spec is not None
        assert spec.origin is not None
        self._runtime = Path(spec.origin).parent
        self._program = build_runner()
        self._env = {**inherited(), **env}
        self._device = ["--accelerator", accelerator, "--precision", precision]

    def run(self, side: Side, model: bytes, inputs: Sequence[Array], seconds: float) -> Sequence[Array] | Problem:
        """See `harness.localise.task.Probe`."""
        with tempfile.TemporaryDirectory(prefix="harness-") as name:
            work = Path(name)
            (work / "model.tflite").write_bytes(model)
            command = [str(self._program), "--lib", str(self._runtime / "libLiteRt.so"), "--model", "model.tflite"]
            command += ["--out", "out", "--run-id", "x", "--warmup", "0", "--runs", "0"]
            command += ["--timeout", f"{max(1.0, seconds):g}"]
            command += self._device if side == "device" else ["--accelerator", "cpu"]
            for number, values in enumerate(inputs):
                (work / f"i{number}.bin").write_bytes(values.tobytes())
                command += ["--input", f"i{number}.bin"]
            subprocess.run(command, cwd=work, env=self._env, capture_output=True, check=False)
            record = json.loads((work / "out" / "result.json").read_text())
            if record["status"] != "ok":
                error = record["error"]
                timed_out = error["kind"] == "timeout"
                return Problem(
                    Outcome.TIMEOUT if timed_out else Outcome.ERROR,
                    error["message"],
                    None if timed_out else ErrorClass.RUNNER,
                    error["kind"],
                    error["signal"],
                )
            return [
                np.fromfile(work / "out" / entry["file"], np.dtype(entry["dtype"])).reshape(entry["shape"])
                for entry in record["outputs"]
            ]
