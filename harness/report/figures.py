"""How numbers and outcomes are written: one place for every report.

Rows hold microseconds, bytes and plain ratios; everything here turns them into text for people.
"""

from __future__ import annotations

import math
import unicodedata
from typing import Literal

from harness.measure.verdict import is_waived
from harness.plan.cell import Outcome
from harness.plan.row import CellRow

NOTHING = "–"  # noqa: RUF001 - an en dash, the usual mark of an empty table field

WORST_FIRST = (
    Outcome.FAIL,
    Outcome.ERROR,
    Outcome.TIMEOUT,
    Outcome.NOT_RUN,
    Outcome.UNSUPPORTED,
    Outcome.MARGINAL,
    Outcome.PASS,
)
_POSITIONS = {outcome.value: number for number, outcome in enumerate(WORST_FIRST)}

# As wide as what they stand for, so that tables stay aligned.
_ASCII = str.maketrans({"–": "-", "…": "~", "µ": "u", "×": "x", "·": "|", "━": "=", "─": "-"})  # noqa: RUF001


def plain(text: str) -> str:
    """Text of a device, a file or a user on one line, with nothing in it that could steer a terminal.

    Control characters and those that reorder text become spaces; runs of white space become one space.
    """
    safe = "".join(" " if _steers(character) else character for character in text)
    return " ".join(safe.split())


def _steers(character: str) -> bool:
    category = unicodedata.category(character)
    return category in ("Cc", "Cs") or unicodedata.bidirectional(character) in (
        "LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI",
    )  # fmt: skip


def to_ascii(text: str) -> str:
    """Text for a terminal that has ASCII only: our own signs keep their meaning, others become "?"; same width."""
    return "".join(
        character if character.isascii() else "??" if unicodedata.east_asian_width(character) in "WF" else "?"
        for character in text.translate(_ASCII)
    )


def short(digest: str) -> str:
    """The first 12 digits of a hash; what is no longer than that stays as it is."""
    return digest if len(digest) <= 12 else f"{digest[:12]}…"


def format_us(microseconds: float | None) -> str:
    """A latency in µs, ms or s, to three significant digits: "812 µs", "4.11 ms", "1.20 s"."""
    if microseconds is None:
        return NOTHING
    for scale, unit in ((1.0, "µs"), (1e3, "ms")):
        if float(f"{microseconds / scale:.3g}") < 1000:
            return f"{_digits(microseconds / scale)} {unit}"
    return f"{_digits(microseconds / 1e6)} s"


def format_ms(microseconds: float | None) -> str:
    """A latency in milliseconds without the unit, so that a whole table can be compared: "0.046", "12.3", "1234"."""
    return NOTHING if microseconds is None else _digits(microseconds / 1e3)


def _digits(value: float) -> str:
    """Three significant digits, but never more than three decimals and never an exponent."""
    rounded = abs(float(f"{value:.3g}"))
    decimals = 0 if rounded >= 100 else 1 if rounded >= 10 else 2 if rounded >= 1 else 3
    return f"{value:.{decimals}f}"


def align_decimal(text: str, places: int = 3) -> str:
    """Pad a number on the right so that decimal points of a right-aligned column meet.

    Args:
        text: a number, or a sign for none.
        places: decimals that the column has room for.
    """
    whole, dot, fraction = text.partition(".")
    return whole + (dot or " ") + fraction + " " * (places - len(fraction))


def format_seconds(seconds: float) -> str:
    """A duration for people: "8 s", "2 min 5 s", "3 h 20 min"."""
    whole = max(0, math.ceil(seconds))
    hours, rest = divmod(whole, 3600)
    minutes, left = divmod(rest, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {left} s" if minutes else f"{left} s"


def format_bytes(count: int | None) -> str:
    """A size in B, KiB, MiB or GiB, to three significant digits."""
    if count is None:
        return NOTHING
    size, units = float(count), ["B", "KiB", "MiB", "GiB"]
    while float(f"{size:.3g}") >= 1000 and len(units) > 1:
        size /= 1024
        units.pop(0)
    return f"{count} B" if units[0] == "B" else f"{_digits(size)} {units[0]}"


def format_ratio(value: float | None) -> str:
    """A speed-up: "128x", "4.2x", "0.31x", "0.016x", "<0.001x"."""
    if value is None:
        return NOTHING
    if 0 < value < 0.0005:
        return "<0.001x"
    decimals = 0 if value >= 99.5 else 1 if value >= 0.95 else 2 if value >= 0.095 else 3
    return f"{value:.{decimals}f}x"


def format_error(value: float | None) -> str:
    """An absolute or relative difference, to two significant digits: "0", "1.2e-5", "0.41", "387"."""
    if value is None:
        return NOTHING
    if value == 0:
        return "0"
    if 1e-2 <= abs(value) < 1e3:
        return f"{value:#.2g}".rstrip(".") if abs(value) < 99.5 else f"{value:.0f}"
    mantissa, exponent = f"{value:.1e}".split("e")
    return f"{mantissa}e{int(exponent)}"


def format_number(value: float | None) -> str:
    """A gate's limit or value, or a range: whole numbers as they are, others to three significant digits."""
    if value is None:
        return NOTHING
    if float(value).is_integer() and abs(value) < 1e6:
        return str(int(value))
    mantissa, _, exponent = f"{value:.3g}".partition("e")
    return f"{mantissa}e{int(exponent)}" if exponent else mantissa


def format_of_range(value: float | None) -> str:
    """A difference as a share of the output's range, in percent: "0%", "<0.0001%", "0.41%", "41%"."""
    if value is None:
        return NOTHING
    percent = value * 100
    if percent == 0:
        return "0%"
    if percent < 1e-4:
        return "<0.0001%"
    if percent >= 1e4:
        return f"{format_error(percent)}%"
    decimals = max(0, 1 - math.floor(math.log10(float(f"{percent:.2g}"))))
    return f"{percent:.{decimals}f}%"


def rank(row: CellRow) -> tuple[int, bool, str]:
    """Sort key: worst outcome first, what is waived after what is not, then by id."""
    return _POSITIONS.get(row["outcome"], 0), is_waived(row), row["id"]


def nonfinite(row: CellRow) -> int:
    """How many output values are NaN or infinite, over all references the largest count."""
    return max((entry["nonfinite"] for entry in row["accuracy"]), default=0)


def worst(row: CellRow, metric: Literal["max_abs", "max_abs_of_range"]) -> float | None:
    """The largest difference of a cell over all references; None where it is not defined."""
    return max((value for entry in row["accuracy"] if (value := entry[metric]) is not None), default=None)


def accuracy_text(row: CellRow) -> str:
    """The one accuracy figure of a cell in a table: "NaN/Inf", else the difference in % of the range.

    Where the range is not defined the absolute difference stands instead, without a percent sign.
    """
    if not row["accuracy"]:
        return ""
    if nonfinite(row):
        return "NaN/Inf"
    share = worst(row, "max_abs_of_range")
    return format_of_range(share) if share is not None else f"abs {format_error(worst(row, 'max_abs'))}"
