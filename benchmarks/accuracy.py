"""All accuracy figures in one chunked pass, against whole-array numpy that computes the same; and the pass's memory.

Printed before the last line: peak extra memory of comparing two float32 tensors of 256 MB, over the size of one; over
0.25 the script exits 1 too. The last line is the worst of two ratios of time: a map of probabilities with its labels,
where all figures are defined, and plain float32 numbers, each 64 MB (`--quick`: 32). One thread on either side,
everything warm; CPU time, which the rest of the machine does not change.
"""

from __future__ import annotations

import math
import os

os.environ["OPENBLAS_NUM_THREADS"] = "1"  # before numpy is imported

import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from common import arguments, conclude
from numpy.typing import NDArray

from harness.measure import accuracy
from harness.plan.cell import Task, TensorSpec
from harness.plan.row import ReferenceRow

Floats = NDArray[np.float32]
REFERENCE: ReferenceRow = {"kind": "golden", "device": None, "runtime": None, "kernels": None, "fallback_reason": None}
CLASSES = 32
MB = 1 << 20
MEMORY_GOAL, TIME_GOAL = 0.25, 0.6


def main() -> None:
    """Both goals."""
    if sys.argv[1:] == ["--memory"]:
        print(extra_memory(256 * MB))
        return
    size, rounds = (32 * MB, 3) if arguments(__doc__ or "") else (64 * MB, 9)
    child = [sys.executable, __file__, "--memory"]
    memory = float(subprocess.run(child, capture_output=True, text=True, check=True).stdout) / (256 * MB)
    print(f"peak extra memory / tensor of 256 MB: {memory:.3f} (goal <= {MEMORY_GOAL:g})")
    ratios = [ratio(size, "segment", rounds), ratio(size, "other", rounds)]
    if memory > MEMORY_GOAL:
        print(f"accuracy: {max(ratios):.3f} (goal <= {TIME_GOAL:g}); the memory goal is missed")
        sys.exit(1)
    conclude("accuracy", max(ratios), TIME_GOAL)


def tensors(size: int, task: Task) -> tuple[Floats, Floats]:
    """A measured and a reference tensor of `size` bytes, made in pieces so that nothing larger is ever there."""
    pixels = size // 4 // CLASSES
    measured, reference = (np.empty((1, 64, pixels // 64, CLASSES), np.float32) for _ in range(2))
    rng = np.random.default_rng(0)
    for start in range(0, pixels, 1 << 14):
        scores = rng.standard_normal((min(1 << 14, pixels - start), CLASSES), np.float32) * np.float32(3.0)
        noisy = scores + rng.standard_normal(scores.shape, np.float32) * np.float32(0.01)
        for array, values in ((measured, noisy), (reference, scores)):
            array.reshape(-1, CLASSES)[start : start + len(values)] = softmax(values) if task == "segment" else values
    return measured, reference


def softmax(scores: Floats) -> Floats:
    """Probabilities of each row."""
    powers: Floats = np.exp(scores)
    powers /= powers.sum(axis=1, keepdims=True)
    return powers


def ratio(size: int, task: Task, rounds: int) -> float:
    """CPU seconds of ours over whole-array numpy's, median of paired rounds; both must find the same figures."""
    x, y = tensors(size, task)
    agree(ours(x, y, task), whole_array(x, y, task))  # and warms both
    pairs = []
    for _ in range(rounds):
        seconds = []
        for compute in (ours, whole_array):
            began = time.process_time()
            compute(x, y, task)
            seconds.append(time.process_time() - began)
        pairs.append(seconds)
    mine, theirs = (statistics.median(column) for column in zip(*pairs, strict=True))
    rate = 2 * size / mine / 1e9
    print(f"{task}, {size // MB} MB: {mine:.3f} s ({rate:.2f} GB/s read), whole-array numpy {theirs:.3f} s")
    return statistics.median(mine / theirs for mine, theirs in pairs)


def ours(x: Floats, y: Floats, task: Task) -> dict[str, Any]:
    """The harness's figures."""
    spec = TensorSpec(0, "map", "float32", x.shape)
    row = accuracy.compare([[x]], [[y]], [spec], task, REFERENCE)
    return {**row, **row.get("task", {})}


def whole_array(x: Floats, y: Floats, task: Task) -> dict[str, Any]:
    """The same figures as one would write them with numpy, an array at a time."""
    finite = np.isfinite(x) & np.isfinite(y)
    x64, y64 = x.reshape(-1).astype(np.float64), y.reshape(-1).astype(np.float64)
    error = x64 - y64
    np.abs(error, out=error)
    span = float(y.max()) - float(y.min())
    squares, yy = float(error @ error), float(y64 @ y64)
    relative = np.abs(y64)
    np.maximum(relative, 1e-3 * span, out=relative)
    np.divide(error, relative, out=relative)
    largest, place = float(relative.max()), math.ceil(0.99 * relative.size) - 1
    relative.partition(place)
    rmse = math.sqrt(squares / error.size)
    found: dict[str, Any] = {
        "nonfinite": int(np.count_nonzero(~finite)),
        "range": span,
        "max_abs": float(error.max()),
        "max_abs_of_range": float(error.max()) / span,
        "mean_abs": float(error.mean()),
        "rmse": rmse,
        "max_rel": largest,
        "p99_rel": float(relative[place]),
        "max_ulp": float(np.abs(ordered(x) - ordered(y)).max()),
        "cosine": float(x64 @ y64) / math.sqrt(float(x64 @ x64) * yy),
        "psnr_db": 20.0 * math.log10(span / rmse),
        "snr_db": 10.0 * math.log10(yy / squares),
    }
    if y.min() >= 0.0 and np.allclose(y.sum(axis=-1), 1.0, atol=1e-2):
        p, q = np.maximum(y64, 1e-7), np.maximum(x64, 1e-7)
        found["kl"] = float((p * np.log(p / q) - p + q).sum()) / (y.size // y.shape[-1])
    if task == "segment":
        a, b = x.argmax(axis=-1).reshape(-1), y.argmax(axis=-1).reshape(-1)
        found["label_agreement"] = float(np.mean(a == b))
        table = np.bincount(b * CLASSES + a, minlength=CLASSES**2).reshape(CLASSES, CLASSES)
        both, there = np.diag(table), table.sum(axis=1)
        found["mean_iou"] = float(np.mean((both / (there + table.sum(axis=0) - both))[there > 0]))
    return found


def ordered(values: Floats) -> NDArray[np.int64]:
    """Integers in the order of the floats, neighbours 1 apart."""
    bits = values.reshape(-1).view(np.int32).astype(np.int64)
    return np.where(bits < 0, -(bits & 0x7FFFFFFF), bits)


def agree(mine: dict[str, Any], theirs: dict[str, Any]) -> None:
    """Stop unless both sides found the same."""
    for name, value in theirs.items():
        if not math.isclose(mine[name], value, rel_tol=1e-9, abs_tol=1e-15):
            sys.exit(f"{name}: {mine[name]} is not whole-array numpy's {value}")


def extra_memory(size: int) -> int:
    """Bytes by which this process grows at most while two tensors of `size` bytes are compared (Linux)."""
    x, y = tensors(size, "segment")
    ours(x[:, :1, :1024], y[:, :1, :1024], "segment")
    Path("/proc/self/clear_refs").write_text("5")  # the peak is what is used now
    before = memory("VmRSS")
    ours(x, y, "segment")
    return memory("VmHWM") - before


def memory(key: str) -> int:
    """A figure of this process's memory, in bytes."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{key}:"))


if __name__ == "__main__":
    main()
