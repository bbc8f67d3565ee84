"""From finished cells to the matrix: the advice speed-ups, the devices and models, the sums, the verdict."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from harness.devices.registry import kind_of
from harness.engine.executor import Slot
from harness.engine.judge import CellResult
from harness.engine.speedups import fastest_speedup
from harness.lab.spec import DeviceSpec
from harness.measure import conformance, verdict, waiving
from harness.plan.cell import Cell, Model, cell_id
from harness.plan.row import SCHEMA_VERSION, CellRow, DeviceRow, Matrix, ModelRow, RunRow, SuiteRow, WaiverRow
from harness.plan.suite import Suite
from harness.runners.runtimes import Runtime


def build(
    *,
    run: RunRow,
    suites: Sequence[Suite],
    specs: Mapping[str, DeviceSpec],
    slots: Mapping[str, Slot],
    models: Iterable[Model],
    runtimes: Iterable[Runtime],
    cells: Sequence[Cell],
    results: Mapping[str, CellResult],
    baseline: Mapping[str, Any] | None,
    unreached: Sequence[str],
    waivers: Sequence[WaiverRow] = (),
) -> Matrix:
    """The whole matrix of a run in which every planned cell has a result.

    Args:
        run: provenance.
        suites: of the run.
        specs: devices by name.
        slots: their places in the engine.
        models: what is known of the models.
        runtimes: that were used.
        cells: every planned cell, helpers included, in plan order.
        results: by cell id; every planned cell must have one.
        baseline: {"run", "path"} of the run that this one was compared with.
        unreached: names of required devices that could not be reached.
        waivers: permissions to fail that cells were judged with.
    """
    rows = [results[cell.id].row for cell in cells]
    for cell in cells:
        row = results[cell.id].row
        if row["speedup"] is None and row["latency"] is not None and cell.policy.speedup_over:
            row["speedup"] = fastest_speedup(row, _over(cell, results))
    known = list(models)
    suite_rows = [_suite_row(suite) for suite in suites]
    coverage = max((suite.coverage for suite in suites), default=0.0)
    must = {cell.id for cell in cells if cell.delegate.expect == "measured"}
    matrix: Matrix = {
        "schema": SCHEMA_VERSION,
        "run": run,
        "suite": suite_rows[0],
        "delegates": _delegates(cells),
        "runtimes": [_runtime_row(runtime) for runtime in runtimes],
        "baseline": dict(baseline) if baseline else None,
        "waivers": waiving.used(waivers, rows, run["started"][:10]),
        "health": [],
        "devices": [_device_row(name, spec, slots.get(name), results) for name, spec in specs.items()],
        "models": _model_rows(known, results.values()),
        "cells": rows,
        "summary": verdict.summarise(rows, coverage, unreached, must),
    }
    if len(suite_rows) > 1:
        matrix["suites"] = suite_rows
    if rows_of_ops := conformance.rows(rows, known):
        matrix["conformance"] = rows_of_ops
    return matrix


def _over(cell: Cell, results: Mapping[str, CellResult]) -> list[CellRow]:
    ids = (cell_id(cell.suite, cell.model.name, cell.device, name) for name in cell.policy.speedup_over)
    return [results[one].row for one in ids if one in results]


def _delegates(cells: Iterable[Cell]) -> dict[str, dict[str, Any]]:
    """Delegates by name; by `suite::name` where two suites mean different things by one name."""
    rows: dict[str, dict[str, Any]] = {}
    for cell in cells:
        row = asdict(cell.delegate)
        name = cell.delegate.name
        if rows.setdefault(name, row) != row:
            rows[f"{cell.suite}::{name}"] = row
    return rows


def _suite_row(suite: Suite) -> SuiteRow:
    gates = {pattern: dict(limits) for pattern, limits in suite.gates.items()}
    qualification = suite.qualification.model_dump(mode="json") if suite.qualification else None
    return {
        "path": str(suite.path) if suite.path else None,
        "sha256": suite.sha256,
        "gates": gates,
        "name": suite.name,
        "coverage": suite.coverage,
        "qualification": qualification,
    }


def _runtime_row(runtime: Runtime) -> dict[str, Any]:
    return {
        "name": runtime.name,
        "version": runtime.version,
        "target": runtime.target,
        "sha256": runtime.sha256,
        "files": {file.name.rpartition("/")[2]: file.sha256 for file in runtime.files},
    }


def _device_row(name: str, spec: DeviceSpec, slot: Slot | None, results: Mapping[str, CellResult]) -> DeviceRow:
    rounds = [one for result in results.values() if result.cell.device == name for one in result.rounds]
    named = next((one for one in rounds if one.adapter), None)
    facts = dict(slot.facts or {}) if slot else {}
    return {
        "name": name,
        "kind": kind_of(spec),
        "serial": spec.identity,
        "machine": slot.machine if slot else name,
        "emulated": bool(facts.pop("emulated", False)),
        "adapter": named.adapter if named else None,
        "adapter_software": named.adapter_software if named else None,
        "facts": facts,
        "labels": list(spec.labels),
    }


def _model_rows(models: Iterable[Model], results: Iterable[CellResult]) -> list[ModelRow]:
    foretold = {result.cell.model.name: result.predictions for result in results if result.predictions}
    rows: dict[str, ModelRow] = {}
    for model in models:
        source, task = _input_source(model), str(model.ref.task)
        before = rows.get(model.ref.name)
        if before is not None:  # another suite has it too: its inputs are files only if they are in both
            source = source if before["input_source"] == "files" else before["input_source"]
            task = task if task != "other" else before["task"]
        rows[model.ref.name] = {
            "name": model.ref.name,
            "sha256": model.sha256,
            "bytes": model.size,
            "task": task,
            "inputs": [{"name": t.name, "dtype": t.dtype, "shape": list(t.shape)} for t in model.inputs],
            "outputs": [{"name": t.name, "dtype": t.dtype, "shape": list(t.shape)} for t in model.outputs],
            "ops": [{"name": op.name, "version": op.version, "count": op.count} for op in model.ops],
            "compatibility": list(foretold[model.ref.name]) if model.ref.name in foretold else None,
            "input_source": source,
        }
    return list(rows.values())


def _input_source(model: Model) -> str:
    """Whether a model was fed files or noise."""
    given = len(model.ref.inputs.files)
    return "noise" if not given else "files" if given >= len(model.inputs) else "mixed"


def baseline_rows(matrix: Matrix) -> dict[str, CellRow]:
    """An earlier run's rows by cell id."""
    return {row["id"]: row for row in matrix["cells"]}
