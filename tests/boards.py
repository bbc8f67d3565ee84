"""Emulated boards as tests use them; and what to install where one cannot be had."""

from __future__ import annotations

import importlib.util
import re
import subprocess
from pathlib import Path

import numpy as np

from emulated.board.board import absent as board_absent
from emulated.board.machine import Arch, qemu
from harness.runners.build import build_runner
from models.builder import layers
from models.builder.graph import Graph, Quantization
from tests.drivers import absent

WRONG_CPU = "max"
"""A processor on which qemu 7.2 gets int8 convolutions wrong: its matrix extension (SME)."""
OLD_CPU = "cortex-a53"
"""A processor without instructions that LiteRT uses on the board, because /proc/cpuinfo there names them."""


def needs_board(arch: Arch = "aarch64") -> None:
    """Skip where no such board can be emulated, or no runner be built for it."""
    if why := board_absent(arch):
        absent(why)
    if arch == "aarch64" and importlib.util.find_spec("ziglang") is None:
        absent("needs zig: pip install -c constraints.txt -e '.[tests,zig]'")


def needs_wrong_cpu() -> None:
    """Skip where qemu is not of the version that computes wrongly."""
    said = subprocess.run([str(qemu()), "--version"], capture_output=True, text=True, check=True).stdout
    if not re.search(r"version 7\.2\b", said):
        absent(f"needs qemu-aarch64 of version 7.2, as in Debian 12, not {said.splitlines()[0]}")


def arm64_runner() -> Path:
    """delegate_bench for arm64 boards."""
    return build_runner("aarch64-linux")


def conv_2d_int8(path: Path) -> Path:
    """A model whose convolution is int8 throughout, written to `path`: 1 x 8 x 8 x 3 to 1 x 8 x 8 x 5."""
    graph = Graph("conv_2d_int8", "One int8 convolution for tests, seeded random weights")
    x = graph.input("x", (1, 8, 8, 3), "int8", quantization=Quantization((1 / 64,), (-3,)))
    drawn = np.random.RandomState(0).randint(-127, 128, (5, 3, 3, 3)).astype(np.int8)
    weights = graph.constant("weights", drawn, quantization=Quantization((1 / 256,), (0,)))
    # A bias is stored in units of input scale times weight scale.
    values = np.arange(-2000, 3000, 1000, dtype=np.int32)
    bias = graph.constant("bias", values, quantization=Quantization((1 / 64 / 256,), (0,)))
    graph.output(layers.conv_2d(graph, x, weights, bias, name="y", quantization=Quantization((1 / 8,), (0,))))
    path.write_bytes(graph.to_bytes())
    return path
