"""Whose error it is: the delegate's, or the model's (its conversion, or what kernels make of it), or both."""

from __future__ import annotations

from dataclasses import dataclass

from harness.plan.explained import DiagnosisRow
from harness.plan.row import AccuracyRow


@dataclass(frozen=True)
class Compared:
    """One comparison: how far off, and whether that is within the limits of the side that is compared."""

    row: AccuracyRow
    right: bool

    @property
    def error(self) -> float | None:
        """`max_abs_of_range`; None where nothing finite was left to compare."""
        return self.row["max_abs_of_range"]

    @property
    def text(self) -> str:
        """The error in words, to be put into brackets."""
        if count := self.row["nonfinite"]:
            return f"{count} value{'s' if count != 1 else ''} NaN or infinite on one side only"
        return "not comparable" if self.error is None else f"{self.error:.2g} of the range"


def of_cpu(against_golden: Compared) -> DiagnosisRow:
    """A CPU cell beside golden: no delegate is involved, so what is wrong is the model, or kernels that differ."""
    kernels = against_golden.row["reference"]["kernels"] or "golden"
    if against_golden.right:
        kind, words = "none", "this device's CPU agrees with golden"
    else:
        kind = "model"
        words = (
            f"this device's CPU and golden ({kernels} kernels) disagree ({against_golden.text}), and no delegate is "
            "involved: the model's conversion, or an operation that the two kinds of kernels compute differently"
        )
    return _row(kind, words, against_golden, None)


def of_delegate(judged_right: bool, cpu: Compared | None, delegate: Compared) -> DiagnosisRow:
    """A GPU cell beside the same device's CPU, and that one beside golden.

    Args:
        judged_right: whether the cell's accuracy holds against the reference that judges it.
        cpu: the same device's CPU against golden (else against what judges); None if it cannot be told.
        delegate: the cell against that CPU.
    """
    if judged_right:
        aside = "" if cpu is None or cpu.right else f"; the CPU itself does not agree with golden ({cpu.text})"
        return _row("none", f"the delegate agrees with its reference{aside}", cpu, delegate)
    if cpu is None:
        kind = "none" if delegate.right else "delegate"
        words = f"the delegate stands beside this device's CPU alone ({delegate.text}); there are no golden outputs"
    elif cpu.right and delegate.right:
        kind = "both"
        words = (
            f"delegate and CPU are within their limits of one another ({delegate.text}), and so are CPU and golden "
            f"({cpu.text}), but not together: rounding adds up"
        )
    elif cpu.right:
        kind = "delegate"
        words = (
            f"this device's CPU agrees with golden, the delegate with neither ({delegate.text}): not the model's fault"
        )
    elif delegate.right:
        kind = "model"
        words = (
            f"the delegate agrees with this device's CPU, and golden disagrees with both ({cpu.text}): the model's "
            "conversion, or golden's kernels, not the delegate"
        )
    else:
        kind = "both"
        words = f"this device's CPU disagrees with golden ({cpu.text}), and the delegate with the CPU ({delegate.text})"
    return _row(kind, words, cpu, delegate)


def _row(kind: str, words: str, cpu: Compared | None, delegate: Compared | None) -> DiagnosisRow:
    return {
        "kind": kind,
        "words": words,
        "cpu_max_abs_of_range": cpu.error if cpu else None,
        "delegate_max_abs_of_range": delegate.error if delegate else None,
    }
