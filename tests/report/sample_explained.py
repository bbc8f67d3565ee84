"""A matrix in which every panel of the page has something to say. Same arguments, same matrix."""

from __future__ import annotations

from harness.plan.cell import cell_id
from harness.plan.explained import (
    CompatibilityRow,
    ConformanceRow,
    CulpritRow,
    DiagnosisRow,
    LocalisationRow,
    PredictionRow,
    RefusedOpRow,
)
from harness.plan.row import AccuracyRow, CellRow, Matrix, MetricsRow, NonfiniteRow, RegressionRow, WaiverRow
from tests.report import sample

TWINS = ("pixel-8-a", "pixel-8-b", "pixel-8-c")
"""Units of one phone; the last one is slower than the others."""
SLOWER = 1.6
HOSTILE = "<script>document.title = 'harmed'</script><img src=x onerror=\"document.title = 'harmed'\">"
PICTURES = ("reference", "device", "difference")
EXPLAINED = cell_id(sample.SUITE, "blazeface_mlkit_v1", "pixel-8-a", "gpu-fp16")
"""The cell that has every panel of the drawer."""


def explained() -> Matrix:
    """Twins, a baseline with changes, waivers of every status, conformance, and one cell with everything."""
    rows = [
        _twin_row(model, device, delegate)
        for model in sample.MODELS
        for device in TWINS
        for delegate in sample.DELEGATES
    ]
    for row in rows:
        if row["id"] == EXPLAINED:
            _explain(row)
    _change(rows)
    rows += [
        sample.cell_row(
            "yamnet", "this-machine", "gpu-fp16", outcome=outcome, reason=reason, median_us=None, suite=suite
        )
        for suite, outcome, reason in (
            ("nightly", "NOT_RUN", "this-machine was lost: it did not come back within 600 s"),
            ("weekly", "UNSUPPORTED", "10 of 47 operations do not run on the GPU"),
        )
    ]
    matrix = sample.matrix_of(rows, verdict="FAIL", waived=1)
    matrix["baseline"] = {
        "run": "2026-11-19T01-30-00Z-55aa",
        "path": "reports/2026-11-19T01-30-00Z-55aa",
        "gone": ["release::yamnet[pixel-7:cpu]"],
    }
    matrix["health"] = [{"device": TWINS[2], "state": "suspect", "reason": "slower than its twins", "faults": 2}]
    matrix["conformance"] = [
        _case(op, device, values)
        for op in ("ADD", "CONV_2D", "GATHER", "SOFTMAX")
        for device in TWINS
        for values in ("ordinary", "large")
    ]
    for device in matrix["devices"]:
        if device["name"] in TWINS:
            device["facts"] = {"model": "Pixel 8", **device["facts"]}
            device["serial"] = f"EXAMPLE-{device['name'][-1].upper()}"
    for model in matrix["models"]:
        model["compatibility"] = [_prediction("mldrift-litert-2.3", True), _prediction("classic-2.16", False)]
    matrix["waivers"] = [
        _waiver("W-12", "used", [EXPLAINED]),
        _waiver("W-9", "expired", []),
        _waiver("W-13", "unmatched", []),
        _waiver("W-14", "unused", [rows[0]["id"]]),
    ]
    return matrix


def hostile() -> Matrix:
    """Every text that comes from a device, a model or a user tries to be HTML."""
    matrix = explained()
    row = next(row for row in matrix["cells"] if row["id"] == EXPLAINED)
    row |= {
        "device": HOSTILE,
        "reason": HOSTILE,
        "notes": [HOSTILE],
        "artifacts": [HOSTILE, f"artifacts/{HOSTILE}.png"],
    }
    assert row["runner"] and row["delegation"] and row["localisation"] and row["localisation"]["op"]
    row["runner"]["command"] = row["delegation"]["evidence"] = row["localisation"]["words"] = row["localisation"]["op"][
        "name"
    ] = HOSTILE
    row["delegation"]["unsupported_ops"] = [HOSTILE]
    row["accuracy"][0]["outputs"][0]["name"] = HOSTILE
    for device in matrix["devices"]:
        if device["name"] == TWINS[0]:
            device |= {"name": HOSTILE, "adapter": HOSTILE, "facts": {"model": "Pixel 8", HOSTILE: HOSTILE}}
    matrix["waivers"][0] |= {"reason": HOSTILE, "ticket": HOSTILE, "owner": HOSTILE}
    matrix["health"][0]["reason"] = HOSTILE
    matrix["conformance"][0] |= {"op": HOSTILE, "case": HOSTILE, "device": HOSTILE, "reason": HOSTILE}
    return matrix


def _twin_row(model: str, device: str, delegate: str) -> CellRow:
    _, nodes, _, cpu_us = sample.MODELS[model]
    factor = {"cpu": 2.2, "gpu-fp16": 0.65, "gpu-fp32": 1.05}[delegate]
    unit = {TWINS[0]: 1.0, TWINS[1]: 1.02, TWINS[2]: SLOWER}[device]
    seed = len(model) + 31 * ord(device[-1]) + 97 * len(delegate)
    share = 2.1e-7 if delegate == "cpu" else 2.4e-3
    return sample.cell_row(
        model,
        device,
        delegate,
        median_us=cpu_us * factor * unit,
        speedup=None if delegate == "cpu" else 2.2 / factor,
        of_range=share,
        nodes=nodes,
        rounds=3,
        seed=seed,
    )


def _change(rows: list[CellRow]) -> None:
    for number, row in enumerate(rows):
        row["regression"] = _regression("SAME", row["outcome"], 1.01)
        if row["id"] == EXPLAINED or number == 7:
            row["regression"] = _regression("WORSE", "PASS", 1.31, "1.31 times as slow: 0.94 ms before")
        elif number == 11:
            row["regression"] = _regression("BETTER", "PASS", 0.71, "0.71 times as long")
        elif number == 13:
            row["regression"] = _regression("NEW", None, None)


def _regression(verdict: str, before: str | None, ratio: float | None, *reasons: str) -> RegressionRow:
    return RegressionRow(
        verdict=verdict,
        reasons=list(reasons),
        outcome_before=before,
        latency_ratio=ratio,
        accuracy_ratio=1.0 if before else None,
    )


def _explain(row: CellRow) -> None:
    row["outcome"] = "FAIL"
    row["reason"] = "max_abs_of_range 0.034 is over the limit 0.02; waived by W-12 until 2026-12-31"
    row["accuracy"] = [_accuracy(0.034), _against_cpu(0.033)]
    row["gates"] = [
        {"gate": "nonfinite", "limit": 0.0, "value": 0.0, "verdict": "PASS", "waiver": None},
        {"gate": "max_abs_of_range", "limit": 0.02, "value": 0.034, "verdict": "FAIL", "waiver": "W-12"},
        {"gate": "median_us", "limit": 2000.0, "value": 1910.0, "verdict": "MARGINAL", "waiver": None},
        {"gate": "speedup", "limit": 1.5, "value": 3.4, "verdict": "PASS", "waiver": None},
    ]
    assert row["latency"] and row["delegation"]
    for entry, celsius in zip(row["latency"]["rounds"], (30.5, 33.0, 36.5), strict=True):
        entry["device_state"] = {"temperature_c": celsius, "temperature_sensor": "skin", "battery_percent": 81}
    row["device_state"] = {
        "before": {"temperature_c": 30.5, "temperature_sensor": "skin", "battery_percent": 81},
        "after": {"temperature_c": 38.0, "temperature_sensor": "skin", "battery_percent": 80, "thermal_status": 1},
    }
    row["diagnosis"] = DiagnosisRow(
        kind="delegate",
        words="the device's CPU agrees with the reference, its GPU does not",
        cpu_max_abs_of_range=2.1e-7,
        delegate_max_abs_of_range=0.034,
    )
    row["delegation"] |= {
        "nodes_delegated": 160,
        "partitions": 3,
        "fallback": True,
        "unsupported_ops": ["GATHER v1: indices are not constant"],
    }
    row["compatibility"] = CompatibilityRow(
        predicted=_prediction("mldrift-litert-2.3", True),
        nodes_delegated=160,
        partitions=3,
        agrees=False,
        differences=["2 more nodes on the CPU than predicted: PAD"],
    )
    row["localisation"] = localisation_row()
    folder = f"artifacts/{row['model']}-{sample.sha(row['id'])[:8]}"
    row["artifacts"] = [
        f"{folder}/r1a1/stderr.log",
        f"{folder}/bundle.zip",
        *(f"{folder}/r1a1/pictures/s0_o0_{name}.png" for name in PICTURES),
    ]
    row["hints"] = ["the outputs look like those of an earlier cell"]
    row["notes"] = ["the adapter has no fp16: computed in fp32"]
    row["attempts"] = [
        sample.attempt_row("ERROR", "the device went away while pushing"),
        sample.attempt_row(round=1),
        sample.attempt_row(round=2),
    ]


def _accuracy(share: float) -> AccuracyRow:
    row = sample.accuracy_row(share, nonfinite=2)
    row |= {
        "snr_db": 41.2,
        "p99_rel": 0.02,
        "max_ulp": 5210.0,
        "worst": {"sample": 1, "output": 0},
        "task": {"box_iou": 0.97},
    }
    for output in row["outputs"]:
        output["per_sample"] = [_metrics(output["max_abs_of_range"] or 0.0, factor) for factor in (0.2, 1.0, 0.4)]
    row["outputs"][0]["nonfinite_values"] = NonfiniteRow(
        nan_measured=2, nan_reference=0, inf_measured=0, inf_reference=0, positions=[[1, 17], [1, 14335]]
    )
    return row


def _against_cpu(share: float) -> AccuracyRow:
    row = sample.accuracy_row(share)
    row["reference"] = {
        "kind": "same_device_cpu",
        "device": TWINS[0],
        "runtime": "2.3.0",
        "kernels": "xnnpack",
        "fallback_reason": None,
    }
    row["judged"] = False
    return row


def _metrics(share: float, factor: float) -> MetricsRow:
    return MetricsRow(
        nonfinite=0,
        range=20.2,
        max_abs=share * factor * 20.2,
        max_abs_of_range=share * factor,
        mean_abs=share * factor,
        rmse=share * factor * 2,
        max_rel=None,
        cosine=1 - share * factor,
        psnr_db=60.0,
        top1_agreement=None,
    )


def _prediction(profile: str, checked: bool) -> PredictionRow:
    refused = [RefusedOpRow(op="GATHER", version=1, why="indices are not constant", nodes=[101, 140])]
    return PredictionRow(
        profile=profile,
        checked=checked,
        compiles=True,
        why=None,
        nodes_total=164,
        nodes_delegated=162,
        partitions=2,
        refused=refused,
    )


def localisation_row() -> LocalisationRow:
    """One operation found, with a bundle."""
    return LocalisationRow(
        status="culprit",
        words="from here on the device's answer is off; alone on the reference's inputs it is off, too",
        op=CulpritRow(
            index=57,
            type="DEPTHWISE_CONV_2D",
            version=2,
            name="conv_pw_7/dw",
            inputs=[[1, 16, 16, 64], [1, 3, 3, 64]],
            outputs=[[1, 16, 16, 64]],
        ),
        first=57,
        last=57,
        error_before=4.1e-4,
        error_after=0.031,
        growth="76 times in one operation",
        reference="the CPU of the same device",
        invocations=11,
        seconds=14.2,
        cuts=[
            {"op": op, "error": error, "status": "run"}
            for op, error in (
                (81, 0.033),
                (40, 3.8e-4),
                (60, 0.031),
                (50, 4e-4),
                (55, 4.1e-4),
                (57, 0.031),
                (56, 4.1e-4),
            )
        ],
        bundle=f"artifacts/blazeface_mlkit_v1-{sample.sha(EXPLAINED)[:8]}/bundle.zip",
    )


def _case(op: str, device: str, values: str) -> ConformanceRow:
    bad = op == "GATHER" or (op == "CONV_2D" and device == TWINS[2] and values == "large")
    verdict = {"GATHER": "unsupported", "SOFTMAX": "fp16"}.get(op, "wrong" if bad else "exact")
    return ConformanceRow(
        device=device,
        delegate="gpu-fp16",
        op=op,
        version=1,
        case=f"{op.lower()}.4d",
        values=values,
        verdict=verdict,
        error=None if verdict == "unsupported" else 0.4 if verdict == "wrong" else 1e-4,
        reason="indices are not constant" if verdict == "unsupported" else None,
        cell=EXPLAINED,
    )


def _waiver(name: str, status: str, cells: list[str]) -> WaiverRow:
    return {
        "id": name,
        "owner": "vision team",
        "reason": "boxes are off by a pixel, tracked",
        "ticket": "VIS-12",
        "expires": "2026-10-31" if status == "expired" else "2026-12-31",
        "model": "*blazeface*",
        "device": "*",
        "delegate": "gpu-fp16",
        "gate": "*",
        "status": status,
        "cells": cells,
        "origin": "waivers.yaml:3",
    }
