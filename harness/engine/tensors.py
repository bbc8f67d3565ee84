"""Output files as arrays."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from harness.plan.result import OutputFile

Arrays = list[list[npt.NDArray[Any]]]

MAPPED = 1 << 20
"""Bytes from which on a file is mapped instead of read: outputs are compared chunk by chunk."""


def load_samples(outputs: Sequence[OutputFile]) -> Arrays:
    """Output files as arrays, per sample and output, in order."""
    samples: Arrays = []
    for file in sorted(outputs, key=lambda output: (output.sample, output.index)):
        if file.sample == len(samples):
            samples.append([])
        samples[file.sample].append(_load(file))
    return samples


def _load(file: OutputFile) -> npt.NDArray[Any]:
    """One output tensor as an array. Raises ValueError for a type that numpy cannot hold."""
    if file.dtype == "bfloat16":
        import ml_dtypes

        dtype: npt.DTypeLike = ml_dtypes.bfloat16
    else:
        try:
            dtype = np.dtype(file.dtype)
        except TypeError:
            raise ValueError(f"output '{file.name}' has type {file.dtype}") from None
    path = Path(file.path)
    if path.stat().st_size < MAPPED:
        return np.fromfile(path, dtype=dtype).reshape(file.shape)
    return np.asarray(np.memmap(path, dtype, mode="r")).reshape(file.shape)
