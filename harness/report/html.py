"""`index.html`: the whole run on one page that needs nothing else, not even a network."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import quote

from jinja2 import Environment, FileSystemBytecodeCache, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from harness.measure.verdict import GOOD, is_waived
from harness.paths import cache_dir
from harness.plan.row import CellRow, DeviceRow, Matrix
from harness.report import fields, figures, plot, reasons, words
from harness.report.grid import Grid, make_grid

_TEMPLATES = Path(__file__).parent / "templates"
_DETAILED_CELLS = 3000
"""In a larger run only cells that are not PASS carry their details: browsers choke on hundreds of megabytes."""


@dataclass(frozen=True)
class Entry:
    """A cell as the page shows it."""

    anchor: str
    row: CellRow
    marks: tuple[str, ...]
    delegation: str
    detailed: bool
    share_of_slowest: float | None
    """Its median over the largest median of its model on its device: the length of a bar."""


@dataclass(frozen=True)
class Link:
    """A file beside the page; `href` is None for a path that leads out of the report's folder."""

    text: str
    href: str | None


def render(matrix: Matrix) -> str:
    """The page. Text from devices, models and users is escaped; nothing is loaded from anywhere."""
    environment = _environment()
    grid = make_grid(matrix)
    entries = _entries(matrix)
    anchors = {id(entry.row): entry for entry in entries}
    script, style = _source("page.js"), _source("page.css")
    return environment.get_template("index.html.j2").render(
        matrix=matrix,
        run=matrix["run"],
        summary=matrix["summary"],
        headline=words.headline(matrix),
        cautions=words.cautions(matrix),
        not_for_release=words.not_for_release(matrix),
        slower=[(entry, [anchors[id(row)] for row in entry.rows]) for entry in words.slower(matrix)],
        counts=[(outcome.value, count) for outcome, count in words.outcome_counts(matrix["summary"]).items()],
        groups=[(group, [anchors[id(row)] for row in group.rows]) for group in words.not_passing(matrix)],
        not_passing=sum(row["outcome"] not in GOOD for row in matrix["cells"]),
        grid=grid,
        grid_entries=[[anchors[id(row)] if row else None for row in line.rows] for line in grid.lines],
        places=_places(grid),
        starts=_first_columns(grid),
        entries=sorted(entries, key=lambda entry: figures.rank(entry.row)),
        devices={device["name"]: device for device in matrix["devices"]},
        suites=matrix.get("suites") or [matrix["suite"]],
        script=Markup(script),  # noqa: S704 - our own file
        style=Markup(style),  # noqa: S704 - our own file
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
    )


def _source(name: str) -> str:
    return (_TEMPLATES / name).read_text(encoding="utf-8")


def _compiled() -> FileSystemBytecodeCache | None:
    """Compiled templates of earlier runs; a cache that cannot be used costs time, not the report."""
    try:
        return FileSystemBytecodeCache(str(cache_dir("templates")))
    except OSError:
        return None


def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        bytecode_cache=_compiled(),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        us=figures.format_us,
        ms=_aligned_ms,
        file_name=_file_name,
        size=figures.format_bytes,
        ratio=lambda value: figures.format_ratio(value).replace("x", "×"),  # noqa: RUF001
        error=figures.format_error,
        number=figures.format_number,
        share=figures.format_of_range,
        seconds=figures.format_seconds,
        fact=fields.fact,
        label=fields.label,
        link=link,
        shape=lambda shape: "×".join(map(str, shape)) or "scalar",  # noqa: RUF001
        short=figures.short,
    )
    environment.globals.update(
        accuracy_text=figures.accuracy_text,
        nonfinite=figures.nonfinite,
        worst=figures.worst,
        reason=reasons.reason,
        device_marks=words.device_marks,
        latency_plot=plot.latency_plot,
        plot_caption=plot.plot_caption,
        passing=GOOD,
        nothing=figures.NOTHING,
    )
    return environment


def _aligned_ms(microseconds: float | None, places: int = 3) -> str:
    text = figures.format_ms(microseconds)
    return figures.align_decimal(text, places, digit="\u2007", point="\u2008") if places else text


def _places(grid: Grid) -> list[int]:
    """Decimals that each column's medians and 90th percentiles need."""
    return [
        max(
            (
                len(figures.format_ms(value).partition(".")[2])
                for line in grid.lines
                if (row := line.rows[column]) is not None and row["latency"]
                for value in (row["latency"]["median_us"], row["latency"]["p90_us"])
            ),
            default=0,
        )
        for column in range(len(grid.columns))
    ]


def _file_name(path: str) -> str:
    """An artifact's path inside the folder of its cell."""
    parts = PurePosixPath(path).parts
    return "/".join(parts[2:]) if parts[:1] == ("artifacts",) and len(parts) > 2 else path


def link(path: str) -> Link:
    """A relative link to an artifact. Whatever is no plain path inside the report's folder becomes text."""
    parts = PurePosixPath(path).parts
    inside = bool(parts) and ".." not in parts and not path.startswith("/")
    return Link(path, quote(path, safe="/") if inside else None)


def _first_columns(grid: Grid) -> set[int]:
    """Columns that begin a device."""
    return {first for _, first, _ in grid.devices()}


def _entries(matrix: Matrix) -> list[Entry]:
    devices = {device["name"]: device for device in matrix["devices"]}
    slowest = _slowest(matrix["cells"])
    small = len(matrix["cells"]) <= _DETAILED_CELLS
    return [
        Entry(
            anchor=f"c{number}",
            row=row,
            marks=tuple(_marks(row, devices.get(row["device"]), matrix["delegates"])),
            delegation=words.delegation_text(row, matrix["delegates"]),
            detailed=small or row["outcome"] != "PASS",
            share_of_slowest=row["latency"]["median_us"] / slowest[_place(row)]
            if row["latency"] and slowest[_place(row)] > 0
            else None,
        )
        for number, row in enumerate(matrix["cells"], start=1)
    ]


def _place(row: CellRow) -> tuple[str, str]:
    return row["model"], row["device"]


def _slowest(rows: Iterable[CellRow]) -> Mapping[tuple[str, str], float]:
    found: dict[tuple[str, str], float] = {}
    for row in rows:
        if row["latency"]:
            found[_place(row)] = max(found.get(_place(row), 0.0), row["latency"]["median_us"])
    return found


def _marks(row: CellRow, device: DeviceRow | None, delegates: Mapping[str, Mapping[str, Any]]) -> list[str]:
    marks = ["waived"] * is_waived(row) + ["helper"] * (row["role"] == "helper")
    marks += ["timing void"] * row["validity"]["void"]
    return marks + words.disqualifying_marks(row, device, delegates)
