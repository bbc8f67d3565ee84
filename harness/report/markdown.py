"""`matrix.md`: a summary short enough for a comment on a pull request."""

from __future__ import annotations

import re
from collections.abc import Sequence

from harness.measure.verdict import GOOD, is_waived
from harness.plan.row import CellRow, Matrix
from harness.report import figures, findings, words
from harness.report.causes import Cause, causes
from harness.report.changes import change_words, changes
from harness.report.culprits import culprits
from harness.report.grid import Grid, make_grid
from harness.report.reasons import log_of

LONGEST = 60_000
"""Characters; GitHub refuses comments longer than 65,536."""

_WIDEST_TABLE = 8
_LEGEND = "Median latency, speed-up over the best CPU, largest difference in % of the output range."
_NAMES_PER_GROUP = 5
_LINES = 8
_LONGEST_LINE = 300
_RESERVE = 200  # characters, for the line on what was left out
_SPECIAL = re.compile(r"[\\`*\[\]~|]|(?<!\w)_|_(?!\w)|:(?=//)")
_REFERENCE = re.compile(r"[@#](?=\w)")


def render(matrix: Matrix) -> str:
    """The summary in GitHub's Markdown: verdict, what is not passing, worst first, what changed, then the matrix.

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
    listed = _fit([_cause(cause) for cause in causes(matrix)], LONGEST // 2, "not passing")
    if listed:
        head += ["### Not passing, worst first", "", *listed, ""]
    for title, lines in (
        ("Since the baseline", _changes(matrix)),
        ("Where wrong answers come from", _culprits(matrix)),
        ("Not the accelerator's fault alone", findings.diagnoses(matrix)),
        ("Waivers", findings.waiver_lines(matrix)),
        ("Operations", findings.conformance_lines(matrix)),
        ("Not where it was foretold", findings.disagreements(matrix)),
    ):
        head += _section(title, lines)
    shown = _fit(_tables(make_grid(matrix)), LONGEST - _length(head), "tables")
    return "\n".join([*head, *shown]).rstrip() + "\n"


def _section(title: str, lines: Sequence[str]) -> list[str]:
    """A heading and a short list; nothing without any line."""
    if not lines:
        return []
    more = len(lines) - _LINES
    rest = [f"- _and {more} more: see index.html_"] if more > 0 else []
    return [f"### {title}", "", *(f"- {escape(_short(line))}" for line in lines[:_LINES]), *rest, ""]


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST_LINE else f"{text[: _LONGEST_LINE - 1]}…"


def _changes(matrix: Matrix) -> list[str]:
    found = changes(matrix)
    if found is None:
        return []
    changed = [(kind, row) for kind in ("worse", "fixed", "better") for row in found.rows.get(kind, ())]
    lines = [f"{kind}: {words.cell_names([row], 1)} {change_words(row)}" for kind, row in changed]
    return [f"{found.sentence}; {found.run}", *(f"perhaps why: {text}" for text in found.differences[:3]), *lines]


def _culprits(matrix: Matrix) -> list[str]:
    return [f"{words.cell_names(found.rows, _NAMES_PER_GROUP)}: {found.words}" for found in culprits(matrix["cells"])]


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


def _cause(cause: Cause) -> str:
    count = len(cause.rows)
    waived = " (waived)" if cause.waived else ""
    few = count <= _NAMES_PER_GROUP
    place = words.cell_names(cause.rows, _NAMES_PER_GROUP) if few else f"{words.cells(count)}, {cause.place}"
    told = [cause.title, *([f"{'worst: ' if count > 1 else ''}{_short(cause.example)}"] if cause.example else [])]
    advice = f" Next: {escape(cause.advice)}." if cause.advice else ""
    log = log_of(cause.rows[0])
    text = escape("; ".join(told)).rstrip(".")
    shown = f" Log: {escape(log)}." if log else ""
    return f"- **{escape(cause.outcome)}**{waived} {escape(place)}: {text}.{advice}{shown}"


def escape(text: str) -> str:
    """Text that Markdown and HTML show as it is: no links, mentions, tables or tags come out of it."""
    safe = figures.plain(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    # GitHub links @names and #numbers even when they are escaped; a zero-width space keeps them plain.
    return _REFERENCE.sub("\\g<0>\u200b", _SPECIAL.sub(r"\\\g<0>", safe))
