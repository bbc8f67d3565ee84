"""Starts delegate_bench for the tests and reads back what it left."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
RUN_ID = "nonce-1"


@dataclass(frozen=True)
class Finished:
    """One finished process. `record` is {} when it left no result.json."""

    code: int
    record: dict[str, Any]
    stdout: str
    stderr: str
    out: Path

    @property
    def error(self) -> dict[str, Any]:
        """The error of the record, with its promises checked."""
        assert self.record["status"] == "error", self.record
        error: dict[str, Any] = self.record["error"]
        assert self.code == error["exit_code"]
        return error

    def ok(self) -> dict[str, Any]:
        """The record of a run that went well."""
        assert self.code == 0, (self.code, self.stderr, self.record.get("error"), self.record.get("stderr_tail"))
        assert self.record["status"] == "ok"
        assert self.record["error"] is None
        assert self.record["run_id"] == RUN_ID
        return self.record

    def output(self, index: int, sample: int = 0) -> Array:
        """An output as the record describes it."""
        entry = next(o for o in self.record["outputs"] if (o["sample"], o["index"]) == (sample, index))
        return np.fromfile(self.out / entry["file"], entry["dtype"]).reshape(entry["shape"])


class Bench:
    """A built delegate_bench with a runtime, working in a folder of its own."""

    def __init__(self, binary: Path, library: Path, folder: Path) -> None:
        self.binary = binary
        self.library = library
        self.folder = folder
        self.out = folder / "out"

    def command(self, model: Path, *arguments: str, inputs: Sequence[Sequence[Array]] = ()) -> list[str]:
        """The command line for one run; `inputs` holds one sequence of arrays per sample."""
        command = [str(self.binary), "--lib", str(self.library), "--model", str(model), "--out", str(self.out)]
        command += ["--run-id", RUN_ID, *arguments]
        if inputs:
            command += ["--samples", str(len(inputs)), "--input"]
        for number, sample in enumerate(inputs):
            for index, array in enumerate(sample):
                path = self.folder / f"s{number}_i{index}.bin"
                np.ascontiguousarray(array).tofile(path)
                command.append(str(path))
        return command

    def run(
        self,
        model: Path,
        *arguments: str,
        inputs: Sequence[Sequence[Array]] = (),
        env: Mapping[str, str] | None = None,
    ) -> Finished:
        """One run, waited for."""
        return self.finish(self.command(model, *arguments, inputs=inputs), env)

    def finish(self, command: Sequence[str], env: Mapping[str, str] | None = None) -> Finished:
        """The same for a command line of the caller's."""
        environment = {**os.environ, **(env or {})}
        done = subprocess.run(
            command, capture_output=True, text=True, env=environment, cwd=self.folder, timeout=120, check=False
        )
        return Finished(done.returncode, self.record(), done.stdout, done.stderr, self.out)

    def record(self) -> dict[str, Any]:
        """What result.json holds; {} without one."""
        path = self.out / "result.json"
        record: dict[str, Any] = json.loads(path.read_bytes()) if path.exists() else {}
        return record

    def inputs(self, model: Path, samples: int = 1, signature: int = 0, seed: int = 0) -> list[list[Array]]:
        """Seeded inputs for a model, as the binary itself describes it."""
        described = self.run(model, "--describe").ok()
        generator = np.random.default_rng(seed)
        tensors = described["signature_details"][signature]["inputs"]
        return [[_random(generator, t["dtype"], t["shape"]) for t in tensors] for _ in range(samples)]


def _random(generator: np.random.Generator, dtype: str, shape: Sequence[int]) -> Array:
    kind = np.dtype(dtype)
    if kind.kind == "f":
        return generator.uniform(-1, 1, shape).astype(kind)
    if kind.kind == "b":
        return generator.integers(0, 2, shape).astype(kind)
    return generator.integers(0, 100, shape).astype(kind)
