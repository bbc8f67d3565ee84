"""One output file of benchmark_model into one file per tensor.

`--output_filepath` puts the raw bytes of all outputs behind each other, in the order of the subgraph's outputs,
without names, types, shapes or padding: only the model's own specs tell where one ends.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Sequence
from pathlib import Path

from harness.plan.cell import ErrorClass, Outcome, Problem, TensorSpec
from harness.plan.result import OutputFile

_ITEM_BYTES = {
    **dict.fromkeys(("bool", "int8", "uint8"), 1),
    **dict.fromkeys(("bfloat16", "float16", "int16", "uint16"), 2),
    **dict.fromkeys(("float32", "int32", "uint32"), 4),
    **dict.fromkeys(("complex64", "float64", "int64", "uint64"), 8),
    "complex128": 16,
}
_ADVICE = "the runner delegate_bench can"


def split(path: Path, specs: Sequence[TensorSpec], sample: int) -> tuple[OutputFile, ...] | Problem:
    """Write each tensor of `path` into a file of its own beside it, and remove `path`, which holds nothing else.

    Args:
        path: what the tool wrote.
        specs: of the model's outputs, in the subgraph's order.
        sample: number of the input sample.

    Returns:
        The tensors, or the problem: ERROR of class runner for a file that is missing or of another size than static
        shapes demand, UNSUPPORTED for tensors whose size the model's file does not tell.
    """
    try:
        data = path.read_bytes()
    except OSError:
        return _broken(f"wrote no output file {path.name}, and does not say when it cannot")
    odd = next((spec for spec in specs if spec.dtype not in _ITEM_BYTES), None)
    if odd is not None:
        words = f"output '{odd.name or odd.index}' has type {odd.dtype}, whose size benchmark_model does not tell"
        return Problem(Outcome.UNSUPPORTED, f"{words}; {_ADVICE}", kind="output_dtype")
    sizes = [math.prod(spec.shape) * _ITEM_BYTES[spec.dtype] for spec in specs]
    if sum(sizes) != len(data):
        if any(spec.dynamic for spec in specs):
            words = f"{len(data)} bytes of outputs came back for shapes that are only known when the model runs"
            return Problem(
                Outcome.UNSUPPORTED, f"{words}, and benchmark_model does not tell them; {_ADVICE}", kind="output_shape"
            )
        return _broken(f"wrote {len(data)} bytes of outputs; the model's outputs take {sum(sizes)}")
    files, end = [], 0
    for spec, size in zip(specs, sizes, strict=True):
        part, end = data[end : end + size], end + size
        file = path.with_name(f"output{spec.index}.bin")
        file.write_bytes(part)
        crc = f"{zlib.crc32(part):08x}"
        files.append(OutputFile(sample, spec.index, spec.name, spec.dtype, spec.shape, str(file), size, crc))
    path.unlink()
    return tuple(files)


def _broken(what: str) -> Problem:
    return Problem(Outcome.ERROR, f"benchmark_model {what}", ErrorClass.RUNNER, "broken_result")
