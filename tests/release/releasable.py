"""A small run that may carry a release, for tests to spoil."""

from __future__ import annotations

from typing import Any

from harness.measure.latency import speedup, summarise
from harness.plan.qualification import Qualification
from harness.plan.row import CellRow, Matrix, WaiverRow
from harness.release.decide import Policy
from tests.report.sample import accuracy_row, cell_row, matrix_of, sha

DECIDED = "2026-11-20T12:00:00Z"
MODELS = ("blazeface_mlkit_v1", "yamnet")

WAIVER: WaiverRow = {
    "id": "W-1",
    "owner": "vision team",
    "reason": "known",
    "ticket": "VIS-12",
    "expires": "2026-12-31",
    "model": "blazeface*",
    "device": "*",
    "delegate": "*",
    "gate": "*",
    "status": "used",
    "cells": [],
    "origin": "waivers.yaml:3",
}


def rows() -> list[CellRow]:
    cells = [
        cell_row(model, "pixel-8", delegate, speedup=None if delegate == "cpu" else 4.0)
        for model in MODELS
        for delegate in ("cpu", "gpu-fp16")
    ]
    for row in cells:
        made = row["latency"]
        assert made is not None
        row["latency"] = summarise(made["rounds"], made["scope"], made["init_us"], made["first_us"], made["start"])
    for cpu, gpu in zip(cells[::2], cells[1::2], strict=True):
        assert cpu["latency"] and gpu["latency"]
        gpu["speedup"] = speedup(gpu["latency"], cpu["latency"], cpu["id"])
    return cells


def run(cells: list[CellRow] | None = None, *, profile: str = "release") -> Matrix:
    """Two models, CPU and GPU, on a real phone, with real inputs and every hash."""
    matrix = matrix_of(rows() if cells is None else cells, profile=profile)
    matrix["run"]["git"] = "0" * 40
    matrix["suite"]["name"] = "release"
    matrix["suite"]["cells"] = {"pixel-8": 4}
    matrix["suite"]["qualification"] = Qualification().model_dump(mode="json")
    matrix["devices"][0]["labels"] = ["flagship"]
    for model in matrix["models"]:
        model["input_source"] = "files"
    return matrix


def baseline() -> Matrix:
    matrix = run()
    matrix["run"]["id"] = "2026-11-01T01-30-00Z-release"
    return matrix


def policy(**asks: Any) -> Policy:
    return Policy(Qualification.model_validate(asks), "suites/release.yaml", sha("policy"))


def wrong(row: CellRow) -> CellRow:
    """The same cell with an answer that its gate refuses."""
    row["outcome"], row["reason"] = "FAIL", "max_abs_of_range 0.5 > 0.02"
    row["accuracy"] = [accuracy_row(0.5)]
    row["gates"][1]["value"], row["gates"][1]["verdict"] = 0.5, "FAIL"
    return row
