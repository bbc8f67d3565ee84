"""`index.html`: the whole run on one page that needs no network; only artifacts and raw data are files beside it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from urllib.parse import quote, urlencode

from jinja2 import Environment, FileSystemBytecodeCache, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from harness.measure.verdict import GOOD
from harness.paths import cache_dir
from harness.plan.row import CellRow, Matrix
from harness.report import changes, fields, figures, findings, words
from harness.report.causes import causes, shortfalls
from harness.report.page import assets, data, library

_TEMPLATES = Path(__file__).parent / "templates"
_FIRST_CAUSES = 5
"""Causes on the first screen; the others are one click away."""
_LISTS = ("gone", "differences")
"""What the baseline's row has for "Since the baseline", and not for the provenance."""
_LISTED_GROUPS = 200
"""Groups of not passing cells that the page lists without JavaScript."""


class Link:
    """A file beside the page; `href` is None for a path that leads out of the report's folder."""

    def __init__(self, path: str) -> None:
        parts = PurePosixPath(path).parts
        inside = bool(parts) and ".." not in parts and not path.startswith("/")
        self.text = path
        self.href = quote(path, safe="/") if inside else None


def render(matrix: Matrix) -> str:
    """The page. Text from devices, models and users is escaped; nothing is loaded but files beside the page.

    Raises:
        ValueError: a value is NaN or infinite.
    """
    script, style, charts = assets.script(), assets.style(), library.chart_library()
    packed = data.pack(matrix)
    groups = words.not_passing(matrix)
    summary = matrix["summary"]
    return (
        _environment()
        .get_template("index.html.j2")
        .render(
            matrix=matrix,
            run=matrix["run"],
            summary=summary,
            headline=words.headline(matrix),
            cautions=words.cautions(matrix),
            not_for_release=words.not_for_release(matrix),
            causes=causes(matrix),
            first_causes=_FIRST_CAUSES,
            shortfalls=shortfalls(matrix),
            changes=changes.changes(matrix),
            open_waivers=findings.open_waivers(matrix),
            counts=[(outcome.value, count) for outcome, count in words.outcome_counts(summary).items()],
            groups=groups[:_LISTED_GROUPS],
            more_groups=len(groups) - _LISTED_GROUPS,
            slower=words.slower(matrix),
            not_passing=sum(row["outcome"] not in GOOD for row in matrix["cells"]),
            baseline={
                key: value for key, value in (matrix["baseline"] or {}).items() if key not in ("gone", "differences")
            },
            suites=matrix.get("suites") or [matrix["suite"]],
            script=Markup(script),  # noqa: S704 - our own files
            style=Markup(style),  # noqa: S704 - our own files
            script_hash=assets.digest(script),
            style_hash=assets.digest(style),
            charts=charts,
            licence=Markup(charts.licence),  # noqa: S704 - the library's own, without what ends a comment
            packed=packed,
        )
    )


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
        address=lambda keys: f"#{urlencode(keys)}",
        cell_address=cell_address,
        file_name=_file_name,
        ratio=lambda value: figures.format_ratio(value).replace("x", "×"),  # noqa: RUF001
        number=figures.format_number,
        fact=fields.fact,
        label=fields.label,
        link=Link,
        short=figures.short,
        change_words=changes.change_words,
        cells=words.cells,
        wheres=_wheres,
    )
    return environment


def cell_address(row: CellRow) -> str:
    """The page's own address of a cell, which opens it."""
    return f"#{urlencode({'cell': row['id']})}"


def _file_name(path: str) -> str:
    """An artifact's path inside the folder of its cell."""
    parts = PurePosixPath(path).parts
    return "/".join(parts[2:]) if parts[:1] == ("artifacts",) and len(parts) > 2 else path


def _wheres(rows: Sequence[CellRow]) -> Sequence[tuple[str, Sequence[CellRow]]]:
    """Rows by device and delegate: "pixel-8 : gpu-fp16"; order of first occurrence."""
    found: dict[str, list[CellRow]] = {}
    for row in rows:
        found.setdefault(f"{row['device']} : {row['delegate']}", []).append(row)
    return list(found.items())
