"""`harness plan`: what a run would measure, and what a GPU should take of each model, before any device is touched."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from harness.commands import Commands

if TYPE_CHECKING:
    from harness.lab.spec import DeviceSpec
    from harness.plan.cell import Model
    from harness.plan.explained import PredictionRow, RefusedOpRow
    from harness.plan.suite import Suite
    from harness.report.surface import Surface

_DEVICES = "devices.yaml"
_SUITES = (".yaml", ".yml")
_PLACES = 5


def add(commands: Commands) -> None:
    """Add the command to the program."""
    plan = commands.add_parser("plan", help="say what a run would measure, and what a GPU should take of each model")
    plan.add_argument("files", nargs="+", type=Path, metavar="SUITE|MODEL", help="suites, or .tflite files")
    plan.add_argument("--devices", metavar="FILE|auto", help=f"the lab; else {_DEVICES}, if it is there")
    plan.add_argument("--explain", action="store_true", help="what a GPU should take of each model, and why not all")
    plan.add_argument("--json", action="store_true", help="the same for programs")
    plan.set_defaults(run=_plan)


def _plan(options: argparse.Namespace) -> int:
    import json
    import os

    from harness.report.surface import surface_of

    suites = _read_suites(options.files)
    specs, unknown = _lab(options.devices)
    models = _read_models(suites) if options.explain else {}
    explained = {path: _predictions(model) for path, model in models.items()}
    surface = surface_of(sys.stdout, os.environ)
    if options.json:
        rows = [_suite_row(suite, specs) for suite in suites]
        found = [_model_row(model, explained[path]) for path, model in models.items()]
        print(json.dumps({"schema": 1, "suites": rows, "models": found, "notes": unknown}, indent=2))
    else:
        for suite in suites:
            print("\n".join(_cell_lines(suite, specs)))
        for note in unknown:
            print("\n".join(_wrapped("note: ", note, surface.width)))
        for path, model in models.items():
            print("\n".join(["", *_explained(model, explained[path], surface)]))
    return 1 if any(model.problem for model in models.values()) else 0


def _read_suites(files: Sequence[Path]) -> list[Suite]:
    """The suites that are named, and one on the spot for all models that are."""
    from harness.measure.metrics import METRICS
    from harness.plan.load import load_suite, model_suite

    suites = [load_suite(file, METRICS, rootdir=Path.cwd()) for file in files if file.suffix in _SUITES]
    models = [file for file in files if file.suffix not in _SUITES]
    return [*suites, model_suite(models, METRICS)[0]] if models else suites


def _lab(devices: str | None) -> tuple[list[DeviceSpec], list[str]]:
    """The devices that are known by name, and notes about those that only a run finds."""
    from harness.lab.inventory import open_inventory

    if devices is None and not Path(_DEVICES).is_file():
        return [], [f"no {_DEVICES} here: name a lab with --devices, and its devices are in the plan"]
    specs = open_inventory(devices or _DEVICES).specs
    known = [spec for spec in specs if not spec.wildcard]
    found = len(specs) - len(known)
    note = f"{found} entries of the lab mean whatever is plugged in; a run finds out, and their cells are not listed"
    return known, [note] if found else []


def _read_models(suites: Sequence[Suite]) -> dict[str, Model]:
    """Each model file once, by its path; signatures that differ between suites count as one."""
    from harness.plan.tflite_file import describe

    refs = {ref.path: ref for suite in suites for ref in suite.models}
    return {path: describe(ref) for path, ref in refs.items()}


def _predictions(model: Model) -> list[PredictionRow]:
    from harness.plan.compatibility import predictions

    return [] if model.problem else predictions(Path(model.ref.path), model.subgraph)


def _cells(suite: Suite, specs: Sequence[DeviceSpec]) -> list[str]:
    from harness.plan.expand import expand

    return [cell.id for cell in expand(suite, specs)] if specs else []


def _suite_row(suite: Suite, specs: Sequence[DeviceSpec]) -> dict[str, object]:
    return {
        "name": suite.name,
        "path": str(suite.path) if suite.path else None,
        "models": [model.name for model in suite.models],
        "delegates": [delegate.name for delegate in suite.delegates],
        "cells": _cells(suite, specs),
    }


def _model_row(model: Model, rows: list[PredictionRow]) -> dict[str, object]:
    return {
        "name": model.ref.name,
        "path": model.ref.path,
        "sha256": model.sha256,
        "nodes": model.nodes,
        "problem": model.problem.reason if model.problem else None,
        "compatibility": rows,
    }


def _cell_lines(suite: Suite, specs: Sequence[DeviceSpec]) -> list[str]:
    cells = _cells(suite, specs)
    each = f"{_count(len(suite.models), 'model')}, {_count(len(suite.delegates), 'delegate')}"
    if not cells:
        return [f"{suite.name}: {_count(len(suite.combinations), 'cell')} for each device ({each})"]
    return [*cells, f"{suite.name}: {_count(len(cells), 'cell')} ({each})"]


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _explained(model: Model, rows: Sequence[PredictionRow], surface: Surface) -> list[str]:
    """What every profile says of a model, in lines no wider than the terminal."""
    from harness.plan.compatibility import profiles
    from harness.report.figures import plain, to_ascii

    if model.problem:
        lines = _wrapped("", plain(model.problem.reason), surface.width)
    else:
        lines = [f"{plain(model.ref.name)}: {model.nodes} nodes"]
    for profile, row in zip(profiles(), rows, strict=False):
        lines += _wrapped("  ", f"{row['profile']} ({profile.words}): {_verdict(row)}", surface.width)
        for head, text in _reasons(row):
            lines += _wrapped(f"    {head}: ", plain(text), surface.width)
    return lines if surface.unicode else [to_ascii(line) for line in lines]


def _reasons(row: PredictionRow) -> list[tuple[str, str]]:
    """Nodes on the CPU with why, a line for each operation and reason; those of the last two kinds together."""
    from harness.plan.compatibility import NOT_REFUSED

    lines: list[tuple[str, str]] = []
    others: dict[str, list[RefusedOpRow]] = {}
    for entry in row["refused"]:
        count = len(entry["nodes"])
        if entry["why"] in NOT_REFUSED:
            others.setdefault(entry["why"], []).append(entry)
            continue
        places = ", ".join(map(str, entry["nodes"][:_PLACES])) + (", ..." if count > _PLACES else "")
        lines.append((f"{count} x {entry['op']} v{entry['version']}", f"{entry['why']} (node {places})"))
    for why, entries in others.items():
        ops = sorted({entry["op"] for entry in entries})
        named = ", ".join(ops[:_PLACES]) + (", ..." if len(ops) > _PLACES else "")
        lines.append((f"{sum(len(entry['nodes']) for entry in entries)} x {named}", why))
    return lines


def _verdict(row: PredictionRow) -> str:
    if not row["compiles"]:
        return f"does not compile: {row['why']}"
    total, taken = row["nodes_total"], row["nodes_delegated"]
    if taken == total:
        return f"all {total} nodes on the GPU"
    if not taken:
        return "no node on the GPU"
    return f"{taken} of {total} nodes on the GPU with `fallback: partial`, UNSUPPORTED with `fallback: forbid`"


def _wrapped(head: str, text: str, width: int) -> list[str]:
    """`text` after `head`, with later lines under its beginning."""
    import textwrap

    indent = " " * min(len(head), 8)
    return textwrap.wrap(f"{head}{text}", width, subsequent_indent=indent, break_on_hyphens=False) or [head]
