"""The pages of a folder of runs: the list, the trends of all cells, the trend of one."""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from urllib.parse import quote

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from harness.report import figures
from harness.report.serve.trends import Point, Run, changes

_HERE = Path(__file__).parent
PAGE = 500
"""Cells on one page of trends."""
_WIDTH, _HEIGHT, _EDGE = 120, 26, 3


@functools.cache
def plain_style() -> str:
    """The style of pages that are mostly text."""
    return (_HERE / "plain.css").read_text(encoding="utf-8")


@functools.cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(_HERE), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters.update(
        us=figures.format_us, share=figures.format_of_range, path=lambda text: quote(text, safe="")
    )
    environment.globals.update(
        style=Markup(plain_style()),  # noqa: S704 - our own file
        sparkline=sparkline,
    )
    return environment


def runs_page(runs: Sequence[Run], waiting: int = 0) -> str:
    """All runs, newest first; `waiting` more are still being read."""
    return _environment().get_template("runs.html.j2").render(runs=runs, waiting=waiting)


def trends_page(series: Mapping[str, list[Point]], waiting: int = 0, words: str = "", page: int = 1) -> str:
    """A line per cell: what it is now, and how it came there.

    Args:
        series: points of every cell, oldest first.
        waiting: runs that are still being read.
        words: all of them must be in a cell's name or its outcome now, in any case.
        page: of `PAGE` cells each, from 1.
    """
    asked = words.lower().split()
    names = [cell for cell in series if all(one in f"{cell} {series[cell][-1].outcome}".lower() for one in asked)]
    pages = max(1, -(-len(names) // PAGE))
    page = min(max(page, 1), pages)
    shown = {cell: series[cell] for cell in names[(page - 1) * PAGE : page * PAGE]}
    return (
        _environment()
        .get_template("trends.html.j2")
        .render(series=shown, count=len(names), words=words, page=page, pages=pages, waiting=waiting)
    )


def cell_page(cell: str, points: Sequence[Point]) -> str:
    """One cell in every run, with what changed around it."""
    days = [point.started[:10] for point in points]
    twice = len(set(days)) < len(days)
    data = {
        "runs": [point.started[:16].replace("T", " ") for point in points] if twice else days,
        "median": [point.median_us / 1e3 if point.median_us is not None else None for point in points],
        "error": [100 * point.error if point.error is not None else None for point in points],
    }
    text = json.dumps(data, allow_nan=False).replace("<", "\\u003c")
    return (
        _environment()
        .get_template("cell.html.j2")
        .render(
            cell=cell,
            points=list(zip(points, changes(points), strict=True)),
            data=Markup(text),  # noqa: S704 - numbers and dates, and no tag can begin in it
        )
    )


def sparkline(values: Sequence[float | None]) -> Markup:
    """Values as a small line, in their order; empty for fewer than two. It holds numbers only."""
    known = [value for value in values if value is not None]
    if len(known) < 2:
        return Markup("")
    low, span = min(known), max(known) - min(known) or 1.0
    step = (_WIDTH - 2 * _EDGE) / (len(values) - 1)
    places = [
        f"{_EDGE + number * step:.1f},{_HEIGHT - _EDGE - (value - low) / span * (_HEIGHT - 2 * _EDGE):.1f}"
        for number, value in enumerate(values)
        if value is not None
    ]
    title = f"from {figures.format_us(known[0])} to {figures.format_us(known[-1])} in {len(known)} runs"
    return Markup(  # noqa: S704 - numbers only
        f'<svg role="img" aria-label="{title}" width="{_WIDTH}" height="{_HEIGHT}" viewBox="0 0 {_WIDTH} {_HEIGHT}">'
        f'<polyline fill="none" stroke="currentColor" stroke-width="1.5" points="{" ".join(places)}"/></svg>'
    )
