from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from harness.measure import latency
from harness.plan.row import AccuracyRow, CellRow, LatencyRow, ReferenceRow


@pytest.fixture
def reference_row() -> ReferenceRow:
    return {"kind": "golden", "device": None, "runtime": "2.3.0", "kernels": "reference", "fallback_reason": None}


@pytest.fixture
def make_latency() -> Callable[..., LatencyRow]:
    """Latency rows from one list of samples per round."""

    def make(*rounds: list[float], scope: str = "invoke+read") -> LatencyRow:
        rows: list[Any] = [
            {"round": number, "order": number, "started": "", "samples_us": list(samples), "device_state": {}}
            for number, samples in enumerate(rounds, start=1)
        ]
        return latency.summarise(rows, scope, 1000.0, 50.0, "warm")

    return make


@pytest.fixture
def make_accuracy(reference_row: ReferenceRow) -> Callable[..., AccuracyRow]:
    """Accuracy rows of an output that is right, but for the figures given."""

    def make(**figures: Any) -> AccuracyRow:
        row: AccuracyRow = {
            "reference": reference_row,
            "outputs": [],
            "nonfinite": 0,
            "range": 1.0,
            "max_abs": 1e-3,
            "max_abs_of_range": 1e-3,
            "mean_abs": 1e-4,
            "rmse": 2e-4,
            "max_rel": 1e-2,
            "cosine": 0.9999,
            "psnr_db": 74.0,
            "p99_rel": 5e-3,
            "max_ulp": 9000.0,
            "max_steps": 2.0,
            "snr_db": 70.0,
            "kl": 1e-6,
            "top1_agreement": None,
        }
        row.update(figures)  # type: ignore[typeddict-item]
        return row

    return make


@pytest.fixture
def make_cell() -> Callable[..., CellRow]:
    """Cells that passed and measured nothing, but for the fields given."""

    def make(name: str = "s::m[d:gpu]", **fields: Any) -> CellRow:
        row: CellRow = {
            "id": name,
            "role": "cell",
            "device": "d",
            "unit": None,
            "model": "m",
            "delegate": "gpu",
            "outcome": "PASS",
            "reason": None,
            "error": None,
            "from_run": None,
            "inputs_sha256": "abc",
            "latency": None,
            "speedup": None,
            "accuracy": [],
            "delegation": None,
            "memory": None,
            "energy": None,
            "sustained": None,
            "compatibility": None,
            "localisation": None,
            "artifacts": [],
            "validity": {"void": False, "reasons": []},
            "notes": [],
            "regression": None,
            "device_state": None,
            "gates": [],
            "runner": {
                "name": "delegate_bench",
                "context": "shell",
                "version": "1",
                "sha256": None,
                "command": None,
            },
            "runtime": {"version": "litert 2.3.0", "sha256": None},
            "attempts": [],
        }
        row.update(fields)  # type: ignore[typeddict-item]
        return row

    return make
