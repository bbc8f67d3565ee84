"""Whose error it is, told from three comparisons."""

from __future__ import annotations

import numpy as np
import pytest

from harness.measure import accuracy, diagnosis
from harness.measure.diagnosis import Compared
from harness.plan.cell import TensorSpec
from harness.plan.row import ReferenceRow

GOLDEN: ReferenceRow = {
    "kind": "golden",
    "device": None,
    "runtime": "r",
    "kernels": "reference",
    "fallback_reason": None,
}


def compared(error: float, right: bool) -> Compared:
    """A comparison with an output whose range is 1."""
    y = np.array([0, 1], np.float32)
    spec = TensorSpec(0, "", "float32", (2,))
    return Compared(accuracy.compare([[y + np.float32(error)]], [[y]], [spec], "other", GOLDEN), right)


@pytest.mark.parametrize(
    ("judged_right", "cpu_right", "delegate_right", "kind"),
    [
        (True, True, True, "none"),
        (True, False, False, "none"),
        (False, True, False, "delegate"),
        (False, False, True, "model"),
        (False, False, False, "both"),
        (False, True, True, "both"),
        (False, None, False, "delegate"),
    ],
)
def test_a_delegate(judged_right: bool, cpu_right: bool | None, delegate_right: bool, kind: str) -> None:
    cpu = None if cpu_right is None else compared(0.0 if cpu_right else 0.5, cpu_right)
    row = diagnosis.of_delegate(judged_right, cpu, compared(0.0 if delegate_right else 0.25, delegate_right))
    assert row["kind"] == kind
    assert row["words"]
    assert row["delegate_max_abs_of_range"] == (0.0 if delegate_right else 0.25)
    assert row["cpu_max_abs_of_range"] == (None if cpu is None else 0.0 if cpu_right else 0.5)


def test_a_cpu() -> None:
    row = diagnosis.of_cpu(compared(0.5, False))
    assert (row["kind"], row["cpu_max_abs_of_range"], row["delegate_max_abs_of_range"]) == ("model", 0.5, None)
    assert "reference kernels" in row["words"]
    assert "0.5 of the range" in row["words"]
    assert diagnosis.of_cpu(compared(0.0, True))["kind"] == "none"
