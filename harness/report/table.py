"""The matrix as a table on a terminal: devices side by side where they fit, else in blocks."""

from __future__ import annotations

from dataclasses import dataclass, replace

from rich.cells import cell_len
from rich.text import Text

from harness.measure.verdict import is_waived
from harness.plan.row import CellRow, Matrix
from harness.report import figures
from harness.report.grid import Grid, make_grid
from harness.report.surface import STYLES, fit

_MOST_CELLS = 300
_GAP = 3
_LABEL_MIN, _LABEL_MAX = 16, 36
_NAME_MAX = 17
_MODEL = "model"


def table(matrix: Matrix, width: int) -> list[Text]:
    """The matrix with its legend, at most `width` columns wide; of one with too many cells a line that says so."""
    grid = make_grid(matrix)
    if not grid.columns:
        return []
    if len(grid.lines) * len(grid.columns) > _MOST_CELLS:
        size = f"{len(grid.lines):,} models, {len(grid.devices()):,} devices"
        return [Text(f"The matrix of {size} is in the report.", style="dim"), Text()]
    lines: list[Text] = []
    for block in _blocks(grid, width):
        lines += [*_block(block), Text()]
    return [*lines, *_legend(matrix), Text()]


_Pair = tuple[tuple[str, str], tuple[str, str]]
_EMPTY: tuple[_Pair, _Pair] = ((("", ""), ("", "")), (("", ""), ("", "")))


@dataclass(frozen=True)
class _Column:
    """Text of one column: per line of the grid an upper and a lower pair, and how wide they are together."""

    name: str
    pairs: tuple[tuple[_Pair, _Pair], ...]
    width: int


@dataclass(frozen=True)
class _Block:
    """As many columns as fit side by side."""

    grid: Grid
    label_width: int
    columns: tuple[_Column, ...]


def _blocks(grid: Grid, width: int) -> list[_Block]:
    """Cut a grid into blocks that fit; a device's columns stay together where they can."""
    columns = _columns_of(grid)
    spans = [(first, stop) for _, first, stop in grid.devices()]
    needed = [sum(column.width + _GAP for column in columns[first:stop]) for first, stop in spans]
    longest = max(cell_len(label) for label in (_MODEL, *(line.label for line in grid.lines)))
    label_width = min(longest, _LABEL_MAX, max(_LABEL_MIN, width - max(needed, default=0)))
    room = width - label_width
    cuts, used = [0], 0
    for (first, stop), together in zip(spans, needed, strict=True):
        if used and used + together > room:
            cuts, used = [*cuts, first], 0
        for index in range(first, stop):
            one = columns[index].width + _GAP
            if used and used + one > room:
                cuts, used = [*cuts, index], 0
            used += one
    ends = [*cuts[1:], len(columns)]
    return [
        _Block(
            grid.part(first, stop),
            label_width,
            tuple(_columns_of(grid.part(first, stop))),
        )
        for first, stop in zip(cuts, ends, strict=True)
        if stop > first
    ]


def _columns_of(grid: Grid) -> list[_Column]:
    """All columns; the last of a device is as wide as the device's name needs."""
    columns = [_column(grid, index) for index in range(len(grid.columns))]
    for name, first, stop in grid.devices():
        span = sum(column.width + _GAP for column in columns[first:stop]) - _GAP
        missing = min(cell_len(figures.plain(name)), _NAME_MAX) - span
        if missing > 0:
            columns[stop - 1] = replace(columns[stop - 1], width=columns[stop - 1].width + missing)
    return columns


def _column(grid: Grid, index: int) -> _Column:
    rows = [line.rows[index] for line in grid.lines]
    medians = [figures.format_ms(row["latency"]["median_us"]) if row and row["latency"] else "" for row in rows]
    places = max(len(text.partition(".")[2]) for text in medians) if medians else 0
    pairs = tuple(
        _cell(row, figures.align_decimal(text, places) if text else "") if row else _EMPTY
        for row, text in zip(rows, medians, strict=True)
    )
    name = figures.plain(grid.columns[index].delegate)
    content = (
        cell_len(left) + bool(left and right) + cell_len(right) for both in pairs for (left, _), (right, _) in both
    )
    return _Column(name, pairs, max(*content, min(cell_len(name), _NAME_MAX) + 3))


def _block(block: _Block) -> list[Text]:
    devices, delegates = Text(" " * block.label_width), Text().append(fit(_MODEL, block.label_width), "dim")
    for name, first, stop in block.grid.devices():
        span = sum(column.width + _GAP for column in block.columns[first:stop]) - _GAP
        devices.append(" " * _GAP).append(fit(figures.plain(name), span), "bold")
    for column in block.columns:
        delegates.append(" " * _GAP).append(fit(column.name, column.width - 3), "bold").append(" ms", "dim")
    lines = [devices, delegates]
    for number, line in enumerate(block.grid.lines):
        upper, lower = Text(fit(figures.plain(line.label), block.label_width)), Text(" " * block.label_width)
        for column in block.columns:
            for target, ((left, left_style), (right, right_style)) in zip(
                (upper, lower), column.pairs[number], strict=True
            ):
                space = " " * (column.width - cell_len(left) - cell_len(right))
                target.append(" " * _GAP).append(left, left_style).append(space).append(right, right_style)
        lines += [upper, lower] if lower.plain.strip() else [upper]
    return lines


def _cell(row: CellRow, median: str) -> tuple[_Pair, _Pair]:
    """Outcome and median; below them, speed-up and the largest difference. Each is text and style."""
    speedup = figures.format_ratio(row["speedup"]["value"]) if row["speedup"] else ""
    word = f"{row['outcome']}{_marks(row)}"
    accuracy_style = "bold red" if figures.nonfinite(row) else "default"
    return (
        ((word, STYLES.get(row["outcome"], "bold red")), (median, "default")),
        ((speedup, "default"), (figures.accuracy_text(row), accuracy_style)),
    )


def _marks(row: CellRow) -> str:
    """Footnote signs, explained by the legend."""
    marks = (("*", is_waived(row)), ("+", row["role"] == "helper"), ("?", row["validity"]["void"]))
    return "".join(sign for sign, holds in marks if holds)


def _legend(matrix: Matrix) -> list[Text]:
    used = {sign for row in matrix["cells"] for sign in _marks(row)}
    lines = ["outcome, median in ms; below: speed-up over the best CPU, largest difference in % of range"]
    lines += ["* fails under a waiver"] if "*" in used else []
    lines += ["+ helper: measured for another cell's gate, not counted"] if "+" in used else []
    lines += ["? timing void, see the notes in the report"] if "?" in used else []
    return [Text(line, style="dim") for line in lines]
