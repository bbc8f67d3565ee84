"""What a profile is: the rules of one GPU delegate, as data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from harness.plan.compatibility.checks import Check


@dataclass(frozen=True)
class OpRule:
    """When a delegate takes an operation.

    Attributes:
        version: the highest version that it knows; None for any.
        checks: all of them have to hold.
        inputs: types that computed inputs may have; None for those of the profile.
        outputs: likewise for outputs.
    """

    version: int | None = None
    checks: tuple[Check, ...] = ()
    inputs: frozenset[str] | None = None
    outputs: frozenset[str] | None = None


@dataclass(frozen=True)
class Profile:
    """The rules of one GPU delegate.

    Attributes:
        name: as reports say it.
        words: which delegate this is, for people.
        checked: whether its rules were held against the real accelerator.
        ops: built-in operations that it takes; no other.
        custom: custom operations that it takes, by name.
        composites: names of StableHLO composites that it takes.
        inputs: types that computed inputs may have.
        outputs: types that outputs may have.
        most_dimensions: of any tensor, constants included.
        partitions: how many partitions it takes.
        variables: whether models with variable tensors can be compiled at all.
        empty_inputs: whether nothing is known against inputs of zero size.
        kernels: custom operations that the runtime itself can execute, so that a model with them compiles.
    """

    name: str
    words: str
    checked: bool
    ops: Mapping[str, OpRule]
    custom: Mapping[str, OpRule]
    composites: frozenset[str]
    inputs: frozenset[str]
    outputs: frozenset[str]
    most_dimensions: int
    partitions: int
    variables: bool
    empty_inputs: bool
    kernels: frozenset[str]


CPU_CUSTOM_OPS = frozenset({"AudioSpectrogram", "Mfcc", "NumericVerify", "TFLite_Detection_PostProcess"})
"""Custom operations for which the runtime has a CPU kernel."""
