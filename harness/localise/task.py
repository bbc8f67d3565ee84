"""What localisation is given, what it needs of whoever runs models for it, and what it hands back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from numpy.typing import NDArray

from harness.plan.cell import Problem
from harness.plan.explained import LocalisationRow

Array = NDArray[Any]
Side = Literal["reference", "device"]

_SINGLE = 5e-6
_HALF = 2.5e-3


def rounding(precision: str, half: bool | None = None) -> float:
    """What rounding may do in one operation, as a share of its output's range.

    Single precision: 3e-6 was the most in 59 public models on a software GPU. Half precision: 0.3 % for convolutions,
    0.7 % for a resize.

    Args:
        precision: of a delegate.
        half: whether the adapter can compute in float16, which "default" then does; None if that is not known.
    """
    return _SINGLE if precision == "fp32" or (precision == "default" and half is False) else _HALF


class Probe(Protocol):
    """Runs pieces of a model on either side, each in a process of its own."""

    def run(self, side: Side, model: bytes, inputs: Sequence[Array], seconds: float) -> Sequence[Array] | Problem:
        """Run one model on one sample.

        Args:
            side: "device" is what is doubted, "reference" what it is held against.
            model: a whole `.tflite` without signatures.
            inputs: of its first subgraph, in order.
            seconds: how long it may take.

        Returns:
            The outputs in order, or why there are none.
        """


@dataclass(frozen=True)
class Task:
    """One model whose output is wrong.

    Attributes:
        model: content of the file.
        inputs: of the sample with the worst output, in the order of the subgraph's inputs.
        subgraph: position of the one that is run.
        noise: see `rounding`.
        reference: what the reference side is, for the row.
        expose_bytes: most bytes of values that the reference side is asked for in one invocation.
        invocations: most runs on both sides together.
    """

    model: bytes
    inputs: Sequence[Array]
    subgraph: int = 0
    noise: float = _SINGLE
    reference: str = "same_device_cpu"
    expose_bytes: int = 64 << 20
    invocations: int = 24


@dataclass(frozen=True)
class Located:
    """What was found.

    Attributes:
        row: for the matrix; its `bundle` is None.
        submodel: the smallest model that shows the fault; None if none was found.
        inputs: values of the reference side for it.
        reference_outputs: what the reference side answers to them.
        device_outputs: what the device answers.
        tolerance: error (max_abs_of_range) from which on an answer of the sub-model is wrong.
    """

    row: LocalisationRow
    submodel: bytes | None = None
    inputs: tuple[Array, ...] = ()
    reference_outputs: tuple[Array, ...] = ()
    device_outputs: tuple[Array, ...] = ()
    tolerance: float = 0.0


def no_finding(status: str, words: str, reference: str = "") -> LocalisationRow:
    """The row of a search that named no operation, before anything was counted."""
    return {
        "status": status,
        "words": words,
        "op": None,
        "first": None,
        "last": None,
        "error_before": None,
        "error_after": None,
        "growth": None,
        "reference": reference,
        "invocations": 0,
        "seconds": 0.0,
        "cuts": [],
        "bundle": None,
    }
