"""Builds matrices like those of real runs, for tests of the reports. Same arguments, same matrix."""

from __future__ import annotations

import hashlib
import random
import statistics
from collections import Counter
from collections.abc import Sequence

from harness.plan.cell import Outcome, cell_id
from harness.plan.row import (
    AccuracyRow,
    AttemptRow,
    CellRow,
    DelegationRow,
    DeviceRow,
    GateRow,
    LatencyRow,
    Matrix,
    ModelRow,
    OutputAccuracyRow,
    RoundRow,
    SummaryRow,
)

SUITE = "release"
STARTED = "2026-11-20T01:30:00.000Z"
MODELS = {
    "mobilenet_v1_1.0_224": ("classify", 67, 16_900_000, 6_600.0),
    "mobilenet_v2_1.0_224_quant": ("classify", 65, 3_697_000, 6_100.0),
    "blazeface_mlkit_v1": ("detect", 164, 356_000, 700.0),
    "face_detection_full_range_sparse": ("detect", 388, 697_000, 3_500.0),
    "deeplabv3_257_mv_gpu": ("segment", 70, 2_780_000, 15_300.0),
    "yamnet": ("classify", 47, 4_127_000, 1_000.0),
}
"""Name -> task, nodes, bytes, median latency on one CPU in microseconds."""
DELEGATES = ("cpu", "gpu-fp16", "gpu-fp32")
DEVICES = ("this-machine", "pixel-8")
COMMAND = "pytest --devices lab.yaml suites/release.yaml"


def sha(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def latency_row(median_us: float, *, count: int = 50, rounds: int = 2, seed: int = 0) -> LatencyRow:
    """Samples with a long right tail, over several rounds; every summary figure is computed from them."""
    source = random.Random(seed)
    all_rounds = [
        RoundRow(
            round=number,
            order=number * 7 - 6,
            started=STARTED,
            samples_us=[
                round(median_us * (0.96 + source.lognormvariate(-3.2, 0.8) + 0.03 * number), 1) for _ in range(count)
            ],
            device_state={"temperature": 30.5 + number},
        )
        for number in range(1, rounds + 1)
    ]
    samples = [sample for entry in all_rounds for sample in entry["samples_us"]]
    middle, deviation = statistics.median(samples), statistics.stdev(samples)
    error = 1.96 * 1.2533 * deviation / len(samples) ** 0.5
    return LatencyRow(
        samples_us=samples,
        scope="invoke+read",
        count=len(samples),
        median_us=middle,
        p90_us=statistics.quantiles(samples, n=10, method="inclusive")[-1],
        p99_us=None,
        mean_us=statistics.fmean(samples),
        stdev_us=deviation,
        min_us=min(samples),
        max_us=max(samples),
        median_ci95_us=(middle - error, middle + error),
        init_us=median_us * 40,
        first_us=median_us * 3,
        start="warm",
        rounds=all_rounds,
    )


def accuracy_row(of_range: float | None, *, nonfinite: int = 0, value_range: float = 20.2) -> AccuracyRow:
    """Two outputs; the first one differs by `of_range` of its range, the second by a tenth of that."""

    def output(index: int, share: float | None, broken: int) -> OutputAccuracyRow:
        known = share is not None
        return OutputAccuracyRow(
            index=index,
            name=("regressors", "classificators")[index],
            dtype="float32",
            shape=[1, 896, 16 >> (4 * index)],
            nonfinite=broken,
            range=value_range,
            max_abs=share * value_range if share is not None else None,
            max_abs_of_range=share,
            mean_abs=share * value_range / 12 if share is not None else None,
            rmse=share * value_range / 8 if share is not None else None,
            max_rel=None,
            cosine=1 - share if share is not None else None,
            psnr_db=62.1 if known else None,
            top1_agreement=None,
        )

    outputs = [output(0, of_range, nonfinite), output(1, None if of_range is None else of_range / 10, 0)]
    first = outputs[0]
    return AccuracyRow(
        reference={
            "kind": "golden",
            "device": None,
            "runtime": "2.3.0",
            "kernels": "reference",
            "fallback_reason": None,
        },
        nonfinite=nonfinite,
        range=first["range"],
        max_abs=first["max_abs"],
        max_abs_of_range=of_range,
        mean_abs=first["mean_abs"],
        rmse=first["rmse"],
        max_rel=None,
        cosine=first["cosine"],
        psnr_db=first["psnr_db"],
        top1_agreement=None,
        outputs=outputs,
        samples=3,
    )


def attempt_row(
    outcome: str = "MEASURED", reason: str | None = None, *, seconds: float = 4.2, round: int = 1
) -> AttemptRow:
    return AttemptRow(
        round=round,
        number=1,
        outcome=outcome,
        reason=reason,
        started=STARTED,
        seconds=seconds,
        transfer_bytes=612_000,
    )


def cell_row(
    model: str = "blazeface_mlkit_v1",
    device: str = "pixel-8",
    delegate: str = "gpu-fp16",
    *,
    outcome: str = "PASS",
    reason: str | None = None,
    role: str = "cell",
    median_us: float | None = 1_230.0,
    speedup: float | None = 4.2,
    of_range: float | None = 1.2e-3,
    nonfinite: int = 0,
    nodes: int = 164,
    suite: str = SUITE,
    rounds: int = 2,
    seed: int = 0,
) -> CellRow:
    """A measured cell; without a median one that was not measured."""
    measured = median_us is not None
    accelerated = delegate != "cpu"
    return CellRow(
        id=cell_id(suite, model, device, delegate),
        role=role,
        device=device,
        unit=None,
        model=model,
        delegate=delegate,
        outcome=outcome,
        reason=reason,
        error=None,
        from_run=None,
        inputs_sha256=sha(model),
        latency=latency_row(median_us, rounds=rounds, seed=seed) if median_us is not None else None,
        speedup={
            "over": cell_id(suite, model, device, "cpu"),
            "value": speedup,
            "ci95": (speedup * 0.96, speedup * 1.05),
        }
        if speedup is not None and measured
        else None,
        accuracy=[accuracy_row(of_range, nonfinite=nonfinite)] if measured else [],
        delegation=DelegationRow(
            nodes_total=nodes,
            nodes_delegated=nodes,
            partitions=1,
            fallback=False,
            unsupported_ops=[],
            evidence=f"Replacing {nodes} out of {nodes} node(s) with delegate" if accelerated else "no delegate",
        )
        if measured
        else None,
        memory={"peak_rss_bytes": 182_000_000} if measured else None,
        energy=None,
        sustained=None,
        compatibility=None,
        localisation=None,
        artifacts=[f"artifacts/{model}-{sha(model + device + delegate)[:8]}/stderr.log"],
        validity={"void": False, "reasons": []},
        notes=[],
        regression=None,
        device_state={"before": {"temperature": 30.5}, "after": {"temperature": 33.0}} if measured else None,
        gates=_gates(of_range, nonfinite) if measured else [],
        runner={
            "name": "delegate_bench",
            "context": "shell",
            "version": "1",
            "sha256": sha("runner"),
            "command": f"./delegate_bench --model {model}.tflite --accelerator {delegate.partition('-')[0]} --count 50",
        },
        runtime={"version": "2.3.0", "sha256": sha("runtime")},
        attempts=[attempt_row(round=number + 1) for number in range(rounds)]
        if measured
        else [attempt_row(outcome, reason)],
    )


def _gates(of_range: float | None, nonfinite: int) -> list[GateRow]:
    def verdict(value: float | None, limit: float) -> str:
        if value is None:
            return "UNSET"
        return "FAIL" if value > limit else "MARGINAL" if value > 0.9 * limit else "PASS"

    return [
        GateRow(gate="nonfinite", limit=0, value=nonfinite, verdict=verdict(nonfinite, 0), waiver=None),
        GateRow(gate="max_abs_of_range", limit=2e-2, value=of_range, verdict=verdict(of_range, 2e-2), waiver=None),
    ]


def device_row(name: str) -> DeviceRow:
    if name == "this-machine":
        facts = {
            "cpu_model": "Xeon E5",
            "cores": 2,
            "os": "Debian 12",
            "architecture": "x86_64",
            "memory_bytes": 4 << 30,
        }
        return DeviceRow(
            name=name,
            kind="local",
            serial=None,
            machine="this-machine",
            emulated=False,
            adapter="SwiftShader Device (Subzero)",
            adapter_software=True,
            facts=facts,
        )
    return DeviceRow(
        name=name,
        kind="android",
        serial="EXAMPLE8P065R",
        machine=name,
        emulated=False,
        adapter="Mali-G715",
        adapter_software=False,
        facts={"soc": "Tensor G3", "os": "Android 16", "architecture": "aarch64", "memory_bytes": 8 << 30},
    )


def model_row(name: str) -> ModelRow:
    task, nodes, size, _ = MODELS.get(name, ("other", 10, 1_000, 100.0))
    return ModelRow(
        name=name,
        sha256=sha(name),
        bytes=size,
        task=task,
        inputs=[{"name": "input", "dtype": "float32", "shape": [1, 224, 224, 3]}],
        outputs=[
            {"name": "regressors", "dtype": "float32", "shape": [1, 896, 16]},
            {"name": "classificators", "dtype": "float32", "shape": [1, 896, 1]},
        ],
        ops=[
            {"name": "CONV_2D", "version": 1, "count": nodes // 2},
            {"name": "DEPTHWISE_CONV_2D", "version": 1, "count": nodes - nodes // 2},
        ],
        compatibility=None,
    )


def summarise(rows: Sequence[CellRow], verdict: str, waived: int = 0) -> SummaryRow:
    counts = Counter(row["outcome"] for row in rows)
    count = {outcome: counts[outcome.value] for outcome in Outcome}
    return {
        "verdict": verdict,
        "planned": len(rows),
        "pass": count[Outcome.PASS],
        "marginal": count[Outcome.MARGINAL],
        "fail": count[Outcome.FAIL],
        "waived": waived,
        "unsupported": count[Outcome.UNSUPPORTED],
        "error": count[Outcome.ERROR],
        "timeout": count[Outcome.TIMEOUT],
        "not_run": count[Outcome.NOT_RUN],
    }


def matrix_of(rows: Sequence[CellRow], *, verdict: str = "PASS", waived: int = 0, profile: str = "release") -> Matrix:
    """A matrix around some rows."""
    devices = list(dict.fromkeys(row["device"] for row in rows))
    models = list(dict.fromkeys(row["model"] for row in rows))
    delegates = list(dict.fromkeys(row["delegate"] for row in rows))
    return Matrix(
        schema=1,
        run={
            "id": "2026-11-20T01-30-00Z-7f3a",
            "started": STARTED,
            "finished": "2026-11-20T01:52:10.000Z",
            "command": COMMAND,
            "harness_version": "0.1.0",
            "git": "3059a78",
            "host": "rack-1",
            "profile": profile,
        },
        suite={
            "path": "suites/release.yaml",
            "sha256": sha("suite"),
            "gates": {"*": {"nonfinite": 0.0}, "gpu-*": {"max_abs_of_range": 2e-2}},
        },
        delegates={name: delegate_entry(name) for name in delegates},
        runtimes=[{"name": "litert-2.3.0", "version": "2.3.0", "target": "aarch64-android", "sha256": sha("runtime")}],
        baseline=None,
        waivers=[],
        health=[],
        devices=[device_row(name) for name in devices],
        models=[model_row(name) for name in models],
        cells=list(rows),
        summary=summarise(rows, verdict, waived),
    )


def delegate_entry(name: str) -> dict[str, object]:
    accelerator, _, precision = name.partition("-")
    if accelerator == "cpu":
        return {"accelerator": "cpu", "kernels": "xnnpack", "threads": 4, "fallback": "forbid"}
    return {"accelerator": accelerator, "precision": precision, "fallback": "forbid", "expect": "if_available"}


def make_matrix() -> Matrix:
    """Six models x two devices x three delegates with every outcome, a helper, a waiver and a void timing."""
    rows = [_row(model, device, delegate) for model in MODELS for device in DEVICES for delegate in DELEGATES]
    matrix = matrix_of(rows, verdict="FAIL", waived=1)
    waived = [row["id"] for row in rows if any(gate["waiver"] for gate in row["gates"])]
    matrix["waivers"] = [
        {
            "id": "W-12",
            "owner": "vision team",
            "reason": "boxes are off by a pixel, tracked",
            "ticket": "VIS-12",
            "expires": "2026-12-31",
            "model": "*blazeface*",
            "device": "*",
            "delegate": "gpu-fp16",
            "gate": "*",
            "status": "used",
            "cells": waived,
            "origin": "waivers.yaml:3",
        }
    ]
    return matrix


def _row(model: str, device: str, delegate: str) -> CellRow:
    _, nodes, _, cpu_us = MODELS[model]
    phone = device == "pixel-8"
    factor = {"cpu": 1.0, "gpu-fp16": 1 / 3.4 if phone else 64.0, "gpu-fp32": 1 / 2.1 if phone else 71.0}[delegate]
    share = {"cpu": 2.1e-7, "gpu-fp16": 2.4e-3 if phone else 1.1e-6, "gpu-fp32": 6.3e-7}[delegate]
    row = cell_row(
        model,
        device,
        delegate,
        median_us=cpu_us * (2.2 if phone else 1.0) * factor,
        speedup=None if delegate == "cpu" else 1 / factor,
        of_range=share,
        nodes=nodes,
        seed=len(model) + 31 * len(device) + 97 * len(delegate),
    )
    return _troubled(row, model, device, delegate)


def _troubled(row: CellRow, model: str, device: str, delegate: str) -> CellRow:
    """What went wrong, where it did."""
    place = (model.partition("_")[0], device, delegate)
    match place:
        case ("face", "pixel-8", "gpu-fp16"):
            row = cell_row(model, device, delegate, of_range=None, nonfinite=1240, median_us=2_700.0, speedup=2.9)
            row |= {"outcome": "FAIL", "reason": "1240 of 36864 output values are NaN or infinite (limit 0)"}
        case ("face", "this-machine", "gpu-fp32"):
            row |= {"accuracy": [accuracy_row(0.394)], "gates": _gates(0.394, 0), "outcome": "FAIL"}
            row["reason"] = "max_abs_of_range 0.39 is over the limit 0.02; output 0, sample 1"
        case ("blazeface", "pixel-8", "gpu-fp16"):
            row |= {"accuracy": [accuracy_row(0.034)], "gates": _gates(0.034, 0), "outcome": "FAIL"}
            row["gates"][1]["waiver"] = "W-12"
            row["reason"] = "max_abs_of_range 0.034 is over the limit 0.02; waived by W-12 until 2026-12-31"
        case ("deeplabv3", "pixel-8", "gpu-fp16"):
            row |= {"accuracy": [accuracy_row(0.0187)], "gates": _gates(0.0187, 0), "outcome": "MARGINAL"}
            row["reason"] = "max_abs_of_range 0.019 is within 10 % of the limit 0.02"
        case ("yamnet", "this-machine", "gpu-fp16" | "gpu-fp32"):
            row = _unmeasured(model, device, delegate, "ERROR", "the runner was killed by SIGABRT while compiling")
            row["error"] = {"class": "runner", "kind": "crash", "signal": 6, "stage": "compile"}
        case ("yamnet", "pixel-8", "gpu-fp16" | "gpu-fp32"):
            row = _unmeasured(model, device, delegate, "UNSUPPORTED", "10 of 47 operations do not run on the GPU")
            row["delegation"] = DelegationRow(
                nodes_total=47,
                nodes_delegated=0,
                partitions=0,
                fallback=False,
                unsupported_ops=[
                    "STRIDED_SLICE: only 4D tensors",
                    "RFFT2D: not supported",
                    "COMPLEX_ABS: not supported",
                ],
                evidence="compiled for the accelerator alone: kLiteRtStatusErrorUnsupported",
            )
        case ("mobilenet", "pixel-8", "gpu-fp32") if "quant" in model:
            row = _unmeasured(model, device, delegate, "TIMEOUT", "no result after 300 s, while compiling")
        case ("deeplabv3", "pixel-8", "gpu-fp32"):
            row = _unmeasured(model, device, delegate, "NOT_RUN", "pixel-8 was quarantined after 3 faults in a row")
            row |= {"attempts": [], "runner": None, "runtime": None}
        case ("deeplabv3", "this-machine", "gpu-fp16"):
            row["validity"] = {"void": True, "reasons": ["another process used 80 % of a core while this was timed"]}
            row["notes"] = ["the adapter has no fp16: computed in fp32"]
        case ("mobilenet", "pixel-8", "cpu") if "v1" in model:
            row["role"] = "helper"
    return row


def _unmeasured(model: str, device: str, delegate: str, outcome: str, reason: str) -> CellRow:
    return cell_row(model, device, delegate, outcome=outcome, reason=reason, median_us=None)
