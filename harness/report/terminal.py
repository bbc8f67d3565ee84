"""The matrix on a terminal, after a run."""

from __future__ import annotations

import io
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TextIO

from rich.cells import cell_len, set_cell_size
from rich.console import Console
from rich.text import Text

from harness.measure.verdict import is_waived
from harness.plan.row import CellRow, DeviceRow, Matrix
from harness.report import figures, words
from harness.report.culprits import culprits
from harness.report.grid import Grid, make_grid

STYLES = {
    "PASS": "green",
    "MARGINAL": "yellow",
    "FAIL": "bold red",
    "ERROR": "bold magenta",
    "TIMEOUT": "magenta",
    "NOT_RUN": "cyan",
    "UNSUPPORTED": "dim",
    "INCOMPLETE": "bold yellow",
}
"""Colours of outcomes and verdicts; the word always stands beside."""

_DEFAULT_WIDTH = 80
_NARROWEST = 40
_GAP = 3
_LABEL_MIN, _LABEL_MAX = 16, 36
_MOST_CELLS = 300
_MOST_DEVICES = 20
_GROUPS = 12
_NAMES_PER_GROUP = 3
_OUTCOME_WIDTH = 11
_NAME_MAX = 17
_MODEL = "model"
_ADVICE = 3
_FACTS = ("model", "soc", "cpu_model", "architecture")


@dataclass(frozen=True)
class Surface:
    """What a terminal can show: its width in columns, colours, and characters beyond ASCII."""

    width: int = 80
    colour: bool = False
    unicode: bool = True


def surface_of(stream: TextIO, environ: Mapping[str, str]) -> Surface:
    """What `stream` can show. NO_COLOR, TERM=dumb and a stream that is no terminal mean no colours."""
    interactive = stream.isatty()
    colour = interactive and not environ.get("NO_COLOR") and environ.get("TERM", "") not in ("dumb", "")
    encoding = (stream.encoding or "ascii").lower().replace("-", "").replace("_", "")
    return Surface(max(_NARROWEST, _columns(stream, environ)), colour, encoding.startswith("utf"))


def _columns(stream: TextIO, environ: Mapping[str, str]) -> int:
    if environ.get("COLUMNS", "").isdecimal():
        return int(environ["COLUMNS"])
    try:
        return os.get_terminal_size(stream.fileno()).columns or _DEFAULT_WIDTH
    except (OSError, ValueError):  # no terminal, or no file at all
        return _DEFAULT_WIDTH


def render(matrix: Matrix, surface: Surface, folder: Path | None = None) -> str:
    """The text for a terminal: devices, matrix, what is not passing, advice, verdict.

    Args:
        matrix: of a finished run.
        surface: no line is wider than its width, except paths; colours and characters beyond ASCII are
            used only if it has them.
        folder: of this run's reports, for paths in it; without one they are relative to it.
    """
    lines: list[Text] = [*_devices(matrix, surface.width), Text()]
    grid = make_grid(matrix)
    if len(grid.lines) * len(grid.columns) <= _MOST_CELLS:
        for block in _blocks(grid, surface.width):
            lines += [*_block(block), Text()]
        lines += [*_legend(matrix), Text()]
    lines += [*_not_passing(matrix, surface.width, folder), *_culprits(matrix, surface.width, folder)]
    lines += [*_slower(matrix, surface.width), *_verdict(matrix)]
    return emit(lines, surface) + (_where(folder, surface) if folder else "")


def emit(lines: Iterable[Text], surface: Surface) -> str:
    """Lines as text for a surface; one that is too wide is wrapped, unless it is marked `no_wrap`."""
    target = io.StringIO()
    console = Console(
        file=target,
        width=surface.width,
        force_terminal=surface.colour,
        color_system="standard" if surface.colour else None,
        no_color=not surface.colour,
        legacy_windows=False,
        markup=False,
        emoji=False,
        highlight=False,
    )
    for line in lines:
        # Sentences wrap, paths do not; table lines are cut to the width when they are made.
        fits = line.no_wrap or cell_len(line.plain) <= surface.width
        for shown in [line] if fits else line.wrap(console, surface.width):
            shown.rstrip()
            console.print(shown, soft_wrap=True)
    return target.getvalue() if surface.unicode else figures.to_ascii(target.getvalue())


def fit(text: str, width: int) -> str:
    """Text in exactly `width` columns; "…" in its middle where it was cut, as names differ at both ends."""
    if cell_len(text) <= width:
        return set_cell_size(text, width)
    head = (width - 1) * 2 // 3
    tail = width - 1 - head
    return set_cell_size(text[:head] + "…" + text[len(text) - tail :], width)


def _devices(matrix: Matrix, width: int) -> list[Text]:
    used = {row["device"] for row in matrix["cells"]}
    devices = [device for device in matrix["devices"] if device["name"] in used]
    name_width = min(max((cell_len(device["name"]) for device in devices), default=0), width // 3)
    lines = [line for device in devices[:_MOST_DEVICES] for line in _device(device, name_width, width)]
    more = len(devices) - _MOST_DEVICES
    return [*lines, Text(f"and {more} more devices: see the report", style="dim")] if more > 0 else lines


def _device(device: DeviceRow, name_width: int, width: int) -> list[Text]:
    facts = [str(device["facts"][key]) for key in _FACTS if device["facts"].get(key)]
    where = f" on {device['facts']['host']}" if device["facts"].get("host") else ""
    text = Text(figures.plain(", ".join([device["kind"] + where, *facts, *_system(device)])))
    if device["adapter"]:
        text.append(f"; {figures.plain(device['adapter'])}")
    if marks := words.device_marks(device):
        text.append(f" [{', '.join(marks)}]", "yellow")
    head = Text().append(f"{fit(figures.plain(device['name']), name_width)}  ", "bold")
    return _indented(head, text, width)


def _system(device: DeviceRow) -> list[str]:
    """What runs on it: "Linux", "Android 14", "iOS 16.4"; nothing if that is unknown."""
    facts = device["facts"]
    android = facts.get("android_version")
    name, version = ("Android", android) if android else (facts.get("os"), facts.get("os_version"))
    return [f"{name} {version}" if version else str(name)] if name else []


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


def _not_passing(matrix: Matrix, width: int, folder: Path | None) -> list[Text]:
    groups = words.not_passing(matrix)
    if not groups:
        return []
    lines = [Text("Not passing, worst first", style="bold")]
    for group in groups[:_GROUPS]:
        word = f"{group.outcome}{'*' if group.waived else ''}"
        head = Text().append(f"{word:<{_OUTCOME_WIDTH}} ", STYLES.get(group.outcome, "bold red"))
        text = Text().append(figures.plain(words.cell_names(group.rows, _NAMES_PER_GROUP)), "bold")
        text.append(f"\n{group.reason}")
        text.append(f"\nnext: {group.advice}" if group.advice else "", "dim")
        lines += _indented(head, text, width)
        if group.log:
            lines += _path_lines("log:", _nearest_path(folder / group.log) if folder else group.log, width)
    if len(groups) > _GROUPS:
        rest = sum(len(group.rows) for group in groups[_GROUPS:])
        lines.append(Text(f"{'':{_OUTCOME_WIDTH}} … and {rest} more: see the report"))
    return [*lines, Text()]


def _culprits(matrix: Matrix, width: int, folder: Path | None) -> list[Text]:
    """The operations that make answers wrong."""
    found = culprits(matrix)
    lines = [Text("Where wrong answers come from", style="bold")] if found else []
    for culprit in found[:_GROUPS]:
        text = Text().append(figures.plain(words.cell_names(culprit.rows, _NAMES_PER_GROUP)), "bold")
        text.append(f"\n{figures.plain(culprit.words)}")
        lines += _indented(Text("  "), text, width)
        if culprit.bundle:
            path = _nearest_path(folder / culprit.bundle) if folder else culprit.bundle
            lines += _path_lines("bundle:", path, width)
    if len(found) > _GROUPS:
        lines.append(Text(f"  … and {len(found) - _GROUPS} more: see the report"))
    return [*lines, Text()] if lines else []


def _slower(matrix: Matrix, width: int) -> list[Text]:
    """Advice on what is right but not worth it."""
    found = words.slower(matrix)
    lines = [Text("Right, but slower", style="bold")] if found else []
    for entry in found[:_ADVICE]:
        lines += _indented(Text("  "), Text(entry.text), width)
    if len(found) > _ADVICE:
        lines.append(Text(f"  … and {len(found) - _ADVICE} more: see the report"))
    return [*lines, Text()] if lines else []


def _path_lines(word: str, path: str, width: int) -> list[Text]:
    """A path after a word, left whole even where it is wider than the terminal, so that it can be copied."""
    indent = " " * (_OUTCOME_WIDTH + 1)
    if cell_len(f"{indent}{word} {path}") <= width:
        return [Text(f"{indent}{word} {path}", style="dim")]
    return [Text(f"{indent}{word}", style="dim"), Text(path, style="dim", no_wrap=True)]


def _nearest_path(path: Path) -> str:
    """Absolute or relative to the current folder, whichever is shorter."""
    return min(str(path.absolute()), os.path.relpath(path), key=len)


def _indented(head: Text, text: Text, width: int) -> list[Text]:
    """`text` after `head`, wrapped to the width, with later lines under the first."""
    indent = cell_len(head.plain)
    wrapped = text.wrap(Console(width=width, file=io.StringIO()), width - indent)
    return [(Text(" " * indent) if number else head).append_text(line) for number, line in enumerate(wrapped)]


def _verdict(matrix: Matrix) -> list[Text]:
    verdict = matrix["summary"]["verdict"]
    return [
        Text().append(verdict, STYLES.get(verdict, "bold red")).append(f"  {words.headline(matrix)}", "bold"),
        Text(words.counts_line(matrix["summary"])),
        *([Text(f"baseline: {figures.plain(str(matrix['baseline']['run']))}")] if matrix["baseline"] else []),
        *(Text(figures.plain(caution), style="yellow") for caution in words.cautions(matrix)),
    ]


def _where(folder: Path, surface: Surface) -> str:
    """The last line; a path is left whole even where it is wider than the terminal, so that it can be copied."""
    path = _nearest_path(folder / "index.html")
    text = f"report: {path}\n" if cell_len(path) + 8 <= surface.width else f"report:\n{path}\n"
    return text if surface.unicode else figures.to_ascii(text)
