"""A matrix as large as the largest labs: every cell its own samples and figures. Same arguments, same matrix."""

from __future__ import annotations

from functools import cache
from typing import Any, cast

import numpy as np

from harness.measure.verdict import summarise
from harness.plan.cell import cell_id
from harness.plan.row import (
    AccuracyRow,
    CellRow,
    DeviceRow,
    GateRow,
    LatencyRow,
    Matrix,
    ModelRow,
    RegressionRow,
    RoundRow,
)
from tests.report import sample

FAMILIES = ("mobilenet", "efficientnet", "deeplab", "blazeface", "yolo", "posenet", "yamnet", "resnet", "bert", "unet")
PHONES = ("Phone A", "Phone B", "Phone C", "Phone D", "Phone E", "Tablet F", "Board G", "Phone H")
DELEGATES = ("cpu", "gpu-fp16", "gpu-fp32")
SUITE = "release"


def make_large(models: int = 100, devices: int = 200, delegates: int = 3, *, samples: int = 50) -> Matrix:
    """Models x devices x delegates cells; about one in fourteen does not pass, and some differ from a baseline."""
    source = np.random.default_rng(7)
    model_rows = [_model(number) for number in range(models)]
    device_rows = [_device(number) for number in range(devices)]
    names = [DELEGATES[number] if number < len(DELEGATES) else f"gpu-{number}" for number in range(delegates)]
    cells: list[CellRow] = []
    for model in model_rows:
        measured = _Samples(source, devices * delegates, samples)
        places = [(device["name"], delegate) for device in device_rows for delegate in names]
        cells += [
            _cell(source, model["name"], device, delegate, measured.row(index))
            for index, (device, delegate) in enumerate(places)
        ]
    frame = sample.matrix_of([sample.cell_row()])
    return frame | {
        "delegates": {name: sample.delegate_entry(name) for name in names},
        "baseline": {"run": "20261113T010000Z-release", "path": "reports/20261113T010000Z-release"},
        "devices": device_rows,
        "models": model_rows,
        "cells": cells,
        "summary": summarise(cells, 0, []),
    }


def _model(number: int) -> ModelRow:
    return sample.model_row(f"{FAMILIES[number % len(FAMILIES)]}_v{number // len(FAMILIES) + 1}_{224 + number}")


def _device(number: int) -> DeviceRow:
    model = PHONES[number % len(PHONES)]
    name = f"{model.lower().replace(' ', '-')}-{number:04d}"
    return DeviceRow(
        name=name,
        kind="ssh" if model.startswith("Board") else "android",
        serial=f"EMULATED{number:06d}",
        machine=name,
        emulated=True,
        adapter=f"emulated GPU {number % 8}",
        adapter_software=False,
        facts={"model": model, "os": f"Android {13 + number % 4}", "memory_bytes": (4 + number % 5) << 30},
    )


def _cell(source: np.random.Generator, model: str, device: str, delegate: str, latency: LatencyRow) -> CellRow:
    luck = float(source.random())
    share = float(10 ** source.uniform(-7, -2.5)) + (0.05 if luck < 0.03 else 0)
    outcome, reason = _fate(luck)
    row = {
        **_blank(delegate),
        "id": cell_id(SUITE, model, device, delegate),
        "device": device,
        "model": model,
        "delegate": delegate,
        "outcome": outcome,
        "reason": reason,
        "artifacts": [f"artifacts/{model}-{device}-{delegate}/r1a1/stderr.log"],
    }
    if outcome in ("PASS", "FAIL"):
        row |= {
            "latency": latency,
            "accuracy": [_accuracy(share)],
            "gates": [_gate(share)],
            "regression": _regression(-1.0 if outcome == "FAIL" else float(source.random())),
        }
        if delegate != "cpu":
            speed, over = float(source.lognormal(0.8, 0.6)), cell_id(SUITE, model, device, "cpu")
            row["speedup"] = {"over": over, "value": speed, "ci95": (speed * 0.95, speed * 1.05)}
    return cast(CellRow, row)


@cache
def _blank(delegate: str) -> CellRow:
    """What cells have in common; nothing in it is ever changed."""
    return sample.cell_row(delegate=delegate, median_us=None)


def _fate(luck: float) -> tuple[str, str | None]:
    for limit, outcome, reason in (
        (0.03, "FAIL", "max_abs_of_range is over its limit"),
        (0.04, "ERROR", "the runner was killed by SIGSEGV"),
        (0.05, "UNSUPPORTED", "3 operations do not run on the GPU"),
        (0.06, "TIMEOUT", "no result after 300 s"),
        (0.07, "NOT_RUN", "the device was lost"),
    ):
        if luck < limit:
            return outcome, reason
    return "PASS", None


@cache
def _accuracy_model() -> AccuracyRow:
    return sample.accuracy_row(1e-3)


def _accuracy(share: float) -> AccuracyRow:
    blank = _accuracy_model()
    figures: Any = {"max_abs": share * 20.2, "max_abs_of_range": share, "mean_abs": share / 12, "rmse": share / 8}
    outputs: Any = [{**output, **figures} for output in blank["outputs"]]
    return cast(AccuracyRow, {**blank, **figures, "outputs": outputs})


def _gate(share: float) -> GateRow:
    verdict = "FAIL" if share > 0.02 else "PASS"
    return {"gate": "max_abs_of_range", "limit": 0.02, "value": share, "verdict": verdict, "waiver": None}


class _Samples:
    """Latencies of one model on all devices and delegates at once: one row per cell."""

    def __init__(self, source: np.random.Generator, cells: int, count: int) -> None:
        medians = source.uniform(300, 40_000, cells)[:, np.newaxis]
        values = np.round(medians * (0.96 + source.lognormal(-3.2, 0.8, (cells, count))), 1)
        self.values = values.tolist()
        self.points = np.percentile(values, (0, 50, 90, 100), axis=1).T.tolist()
        self.means, self.deviations = values.mean(axis=1).tolist(), values.std(axis=1).tolist()

    def row(self, index: int) -> LatencyRow:
        low, middle, ninety, high = self.points[index]
        samples = self.values[index]
        return LatencyRow(
            samples_us=samples,
            scope="invoke+read",
            count=len(samples),
            median_us=middle,
            p90_us=ninety,
            p99_us=None,
            mean_us=self.means[index],
            stdev_us=self.deviations[index],
            min_us=low,
            max_us=high,
            median_ci95_us=(middle * 0.98, middle * 1.02),
            init_us=middle * 40,
            first_us=middle * 3,
            start="warm",
            rounds=[
                RoundRow(
                    round=1,
                    order=1,
                    started=sample.STARTED,
                    samples_us=samples,
                    device_state={"temperature_c": 31.0},
                )
            ],
        )


def _regression(luck: float) -> RegressionRow:
    verdict = "WORSE" if luck < 0.01 else "BETTER" if luck < 0.02 else "SAME"
    reasons = {"WORSE": ["latency worse: 1.21 times"], "BETTER": ["latency better: 0.80 times"]}.get(verdict, [])
    return {
        "verdict": verdict,
        "reasons": reasons,
        "outcome_before": "PASS",
        "latency_ratio": 1.21 if verdict == "WORSE" else 0.8 if verdict == "BETTER" else 1.0,
        "accuracy_ratio": 1.0,
    }
