"""`matrix.md`: a summary short enough for a comment on a pull request."""

from __future__ import annotations

import re

from harness.measure.verdict import GOOD, is_waived
from harness.plan.row import CellRow, Matrix
from harness.report import figures, words
from harness.report.grid import Grid, make_grid

LONGEST = 60_000
"""Characters; GitHub refuses comments longer than 65,536."""

_WIDEST_TABLE = 8
_LEGEND = "Median latency, speed-up over the best CPU, largest difference in % of the output range."
_NAMES_PER_GROUP = 5
_RESERVE = 200  # characters, for the line on what was left out
_SPECIAL = re.compile(r"[\\`*\[\]~|]|(?<!\w)_|_(?!\w)|:(?=//)")
_REFERENCE = re.compile(r"[@#](?=\w)")


def render(matrix: Matrix) -> str:
    """The summary in GitHub's Markdown: verdict, counts, matrix, then what is not passing, worst first.

    Parts that would make it longer than `LONGEST` are left out, and the text says so.
    """
    run, summary = matrix["run"], matrix["summary"]
    head = [
        f"## {escape(summary['verdict'])}: {escape(words.headline(matrix))}",
        "",
        f"{escape(words.counts_line(summary))}. "
        f"Run {escape(run['id'])}, profile {escape(run['profile'])}, {escape(run['started'])}.",
        *(f"- {escape(caution)}" for caution in words.cautions(matrix)),
        "",
    ]
    groups = [_group(group) for group in words.not_passing(matrix)]
    tables = _tables(make_grid(matrix))
    left = LONGEST - _length(head)
    listed = _fit(groups, left // 2 if tables else left, "not passing")
    shown = _fit(tables, left - _length(listed), "tables")
    if listed:
        shown += ["### Not passing, worst first", "", *listed]
    return "\n".join([*head, *shown]).rstrip() + "\n"


def _length(parts: list[str]) -> int:
    return sum(len(part) + 1 for part in parts)


def _fit(parts: list[str], room: int, what: str) -> list[str]:
    """As many parts as there is room for; the last line says how many were left out."""
    kept: list[str] = []
    for part in parts:
        if len(part) + 1 > room - _RESERVE:
            return [*kept, f"_{len(parts) - len(kept)} more ({what}): see index.html._", ""]
        kept.append(part)
        room -= len(part) + 1
    return kept


def _tables(grid: Grid) -> list[str]:
    """One table if it is narrow enough, else one per device."""
    if not grid.columns:
        return []
    if len(grid.columns) <= _WIDEST_TABLE:
        return [_table(grid)]
    return [_table(grid.part(start, stop)) for _, start, stop in grid.devices()]


def _table(grid: Grid) -> str:
    heads = [f"{escape(column.device)}<br>{escape(column.delegate)}" for column in grid.columns]
    lines = [
        f"| model | {' | '.join(heads)} |",
        f"|---|{'---:|' * len(heads)}",
        *(f"| {escape(line.label)} | {' | '.join(_cell(row) for row in line.rows)} |" for line in grid.lines),
    ]
    return "\n".join([*lines, "", f"_{_LEGEND}_", ""])


def _cell(row: CellRow | None) -> str:
    if row is None:
        return ""
    outcome = row["outcome"]
    word = outcome if outcome in GOOD else f"**{escape(outcome)}**"
    marks = [mark for mark, holds in (("waived", is_waived(row)), ("helper", row["role"] == "helper")) if holds]
    parts = [
        f"{word} ({', '.join(marks)})" if marks else word,
        f"{figures.format_ms(row['latency']['median_us'])} ms" if row["latency"] else "",
        figures.format_ratio(row["speedup"]["value"]) if row["speedup"] else "",
        escape(figures.accuracy_text(row)),
    ]
    return "<br>".join(part for part in parts if part)


def _group(group: words.Group) -> str:
    waived = " (waived)" if group.waived else ""
    names = escape(words.cell_names(group.rows, _NAMES_PER_GROUP))
    advice = f" Next: {escape(group.advice)}." if group.advice else ""
    log = f" Log: {escape(group.log)}." if group.log else ""
    return f"- **{escape(group.outcome)}**{waived} {names}: {escape(group.reason).rstrip('.')}.{advice}{log}"


def escape(text: str) -> str:
    """Text that Markdown and HTML show as it is: no links, mentions, tables or tags come out of it."""
    safe = figures.plain(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    # GitHub links @names and #numbers even when they are escaped; a zero-width space keeps them plain.
    return _REFERENCE.sub("\\g<0>\u200b", _SPECIAL.sub(r"\\\g<0>", safe))
