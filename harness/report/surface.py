"""What a terminal can show, and text that fits it."""

from __future__ import annotations

import io
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TextIO

from rich.cells import cell_len, set_cell_size
from rich.console import Console
from rich.text import Text

from harness.report import figures

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


def indented(head: Text, text: Text, width: int) -> list[Text]:
    """`text` after `head`, wrapped to the width, with later lines under the first."""
    indent = cell_len(head.plain)
    wrapped = text.wrap(Console(width=width, file=io.StringIO()), width - indent)
    return [(Text(" " * indent) if number else head).append_text(line) for number, line in enumerate(wrapped)]
