"""The input sets that every cell of a model is checked with, as files.

A file holds one tensor: raw, C order, little endian (as every platform that the runtime exists for). Its name is
the SHA-256 of its content, so that equal inputs of different models are one file, in the cache and on a device.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.errors import UsageError, nearest
from harness.paths import cache_dir, sha256_file, write_atomically
from harness.plan.cell import ErrorClass, InputFile, InputPlan, Model, Outcome, Problem, TensorSpec
from harness.reference import noise
from harness.reference.files import describe, tensor_from_file

LARGEST = 1 << 30
"""Bytes that all input sets of one model may take together."""

# Of other types 8 are assumed: 64-bit numbers, and handles to strings and the like.
_ITEM_BYTES = {
    **dict.fromkeys(("bool", "int2", "int4", "int8", "uint4", "uint8", "float8_e4m3fn", "float8_e5m2"), 1),
    **dict.fromkeys(("bfloat16", "float16", "int16", "uint16"), 2),
    **dict.fromkeys(("float32", "int32", "uint32"), 4),
    "complex128": 16,
}


@dataclass(frozen=True)
class InputSet:
    """A model's inputs.

    Attributes:
        sha256: over all files in order.
        specs: the input tensors.
        samples: per sample, one file per input tensor; a file's stem is the SHA-256 of its content.
        notes: what a reader of the report should know about them.
    """

    sha256: str
    specs: tuple[TensorSpec, ...]
    samples: tuple[tuple[Path, ...], ...]
    notes: tuple[str, ...] = ()

    def arrays(self, sample: int) -> tuple[NDArray[Any], ...]:
        """One sample's tensors, in the order of `specs`."""
        return tuple(
            np.fromfile(path, np.dtype(spec.dtype)).reshape(spec.shape)
            for spec, path in zip(self.specs, self.samples[sample], strict=True)
        )


def tensor_bytes(model: Model) -> int:
    """Bytes that one sample's inputs and outputs take, as far as the file states their shapes."""
    return sum(_bytes(spec) for spec in (*model.inputs, *model.outputs))


def make_inputs(model: Model) -> InputSet | Problem:
    """Make a model's input files, or find them in the cache.

    Tensors without files are filled from the plan's seed: see `harness.reference.noise.values`. Where the plan
    names fewer files than samples, there are as many samples as files.

    Args:
        model: a model without problem.

    Returns:
        The files, or the problem: UNSUPPORTED for a tensor that does not hold plain numbers, ERROR of class config
        for input files that are missing or do not fit, and for inputs larger than `LARGEST`.
    """
    plan = model.ref.inputs
    for spec in model.inputs:
        if spec.dtype not in noise.DTYPES:
            reason = f"{describe(spec)} is of a type that cannot be fed: only plain numbers and booleans can"
            return Problem(Outcome.UNSUPPORTED, reason, kind="input_dtype")
    try:
        files = _files_by_position(model)
        samples, notes = _sample_count(model, files)
        total = samples * sum(_bytes(spec) for spec in model.inputs)
        if total > LARGEST:
            raise UsageError(
                f"{samples} samples of the inputs take {total / 2**20:.0f} MiB, more than the {LARGEST / 2**20:.0f} "
                "MiB allowed; lower `samples:`"
            )
        stored = tuple(
            tuple(_store(_tensor(spec, plan, files, sample)) for spec in model.inputs) for sample in range(samples)
        )
    except UsageError as error:
        where = f"{plan.origin}: " if plan.origin else ""
        return Problem(Outcome.ERROR, f"{where}inputs of '{model.ref.name}': {error}", ErrorClass.CONFIG, "inputs")
    names = "".join(f"{number} {path.stem}\n" for number, sample in enumerate(stored) for path in sample)
    return InputSet(hashlib.sha256(names.encode()).hexdigest(), model.inputs, stored, notes)


def _bytes(spec: TensorSpec) -> int:
    return math.prod(spec.shape) * _ITEM_BYTES.get(spec.dtype, 8)


def _files_by_position(model: Model) -> dict[int, tuple[InputFile, ...]]:
    """The plan's files by input position; its keys are names or positions."""
    positions: dict[int, tuple[InputFile, ...]] = {}
    for key, files in model.ref.inputs.files.items():
        named = [spec.index for spec in model.inputs if spec.name == key]
        if len(named) > 1:
            raise UsageError(f"{len(named)} inputs are called '{key}'; use their positions {named} as keys")
        if not named and key.isdecimal() and int(key) < len(model.inputs):
            named = [int(key)]
        if not named:
            known = [spec.name for spec in model.inputs]
            listed = ", ".join(f"{spec.index} '{spec.name}'" for spec in model.inputs) or "none"
            raise UsageError(f"there is no input '{key}'{nearest(key, known)}; the model's inputs are: {listed}")
        if named[0] in positions:
            raise UsageError(f"files for input {named[0]} are given twice, by name and by position")
        if not files:
            raise UsageError(f"the list of files for '{key}' is empty")
        positions[named[0]] = files
    return positions


def _sample_count(model: Model, files: dict[int, tuple[InputFile, ...]]) -> tuple[int, tuple[str, ...]]:
    """How many samples there are, and notes."""
    wanted = model.ref.inputs.samples
    if not model.inputs:
        return 1, ("the model takes no inputs",)
    samples = min([wanted, *(len(given) for given in files.values())])
    notes = []
    if samples < wanted:
        notes.append(f"{samples} of {wanted} samples: there are no more input files")
    for spec in model.inputs:
        given = len(files.get(spec.index, ()))
        if given > samples:
            notes.append(f"input '{spec.name or spec.index}': {given - samples} of {given} files are not used")
        if not given and spec.dtype in noise.SMALL_INTEGERS:
            highest = noise.INTEGER_RANGE - 1
            notes.append(f"input '{spec.name or spec.index}' ({spec.dtype}) holds random integers 0..{highest}")
    return samples, tuple(notes)


def _tensor(spec: TensorSpec, plan: InputPlan, files: dict[int, tuple[InputFile, ...]], sample: int) -> NDArray[Any]:
    """One tensor of one sample, from a file or from the generator."""
    if spec.index in files:
        return tensor_from_file(files[spec.index][sample], spec)
    return noise.values(spec, plan.seed, sample, plan.values)


def _store(array: NDArray[Any]) -> Path:
    """The file that holds an array's bytes, written unless it is there already."""
    data = array.tobytes()
    digest = hashlib.sha256(data).hexdigest()
    path = cache_dir("inputs", digest[:2]) / f"{digest}.bin"
    if not path.is_file() or sha256_file(path) != digest:
        write_atomically(path, data)
    return path
