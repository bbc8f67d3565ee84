"""Which benchmark_model a program is, and which of the newer flags it has.

A flag that the program does not know is no error to it: it says so on stdout, goes on without it and ends with exit
code 0. So flags are looked for in the program's bytes first, where their names stand as text.
"""

from __future__ import annotations

import mmap
from dataclasses import dataclass
from pathlib import Path

RESULT_FLAG = "result_file_path"
INFO_FLAG = "export_model_runtime_info"
INFO_FILE_FLAG = "model_runtime_info_output_file"
PEAK_FLAG = "report_peak_memory_footprint"
EXTRAS = (RESULT_FLAG, INFO_FLAG, INFO_FILE_FLAG, PEAK_FLAG)
"""Flags that older builds lack, and that a measurement can do without."""

# Words that only the LiteRT flavour holds; several, since compilers may build short ones from numbers.
_LITERT_MARKS = ("gpu-precision", "gpu_wait_for_weights_conversion_complete", "benchmark_litert_model")


@dataclass(frozen=True)
class Flavour:
    """What is known of a program.

    Attributes:
        litert: LiteRT's benchmark_model, which times compiled models; else TFLite's classic one.
        extras: those of `EXTRAS` that it has.
    """

    litert: bool
    extras: frozenset[str]


def flavour_of(program: Path) -> Flavour:
    """Look into a program. Raises OSError."""
    with program.open("rb") as stream:
        if not program.stat().st_size:
            return Flavour(False, frozenset())
        with mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as content:
            has = {word for word in (*EXTRAS, *_LITERT_MARKS) if content.find(word.encode()) >= 0}
    return Flavour(not has.isdisjoint(_LITERT_MARKS), frozenset(has.intersection(EXTRAS)))
