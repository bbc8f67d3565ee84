from __future__ import annotations

import pytest

from harness.plan.cell import Outcome
from harness.report import figures
from tests.report.sample import cell_row


@pytest.mark.parametrize(
    ("microseconds", "text"),
    [
        (0.123, "0.123 µs"),
        (46.0, "46.0 µs"),
        (812.4, "812 µs"),
        (999.6, "1.00 ms"),
        (4111.0, "4.11 ms"),
        (999_700.0, "1.00 s"),
        (61_234_000.0, "61.2 s"),
        (None, "–"),  # noqa: RUF001
    ],
)
def test_latency_takes_the_unit_that_fits(microseconds: float | None, text: str) -> None:
    assert figures.format_us(microseconds) == text


@pytest.mark.parametrize(
    ("microseconds", "text"), [(3.0, "0.003"), (46.0, "0.046"), (4111.0, "4.11"), (12_345.0, "12.3"), (1.2e6, "1200")]
)
def test_latency_in_a_table_is_always_in_milliseconds(microseconds: float, text: str) -> None:
    assert figures.format_ms(microseconds) == text


def test_decimal_points_of_a_column_meet() -> None:
    column = [figures.align_decimal(text, 3) for text in ("0.046", "12.3", "1234", "4.11")]
    widest = max(map(len, column))
    points = {text.rjust(widest).index(".") for text in column if "." in text}
    assert len(points) == 1
    assert column[2].rjust(widest)[points.pop()] == " "


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 B"), (999, "999 B"), (1000, "0.977 KiB"), (182_000_000, "174 MiB"), (4 << 30, "4.00 GiB"), (None, "–")],  # noqa: RUF001
)
def test_sizes(count: int | None, text: str) -> None:
    assert figures.format_bytes(count) == text


@pytest.mark.parametrize(
    ("value", "text"), [(1e-5, "<0.001x"), (128.4, "128x"), (4.21, "4.2x"), (0.31, "0.31x"), (0.0162, "0.016x")]
)
def test_ratios(value: float, text: str) -> None:
    assert figures.format_ratio(value) == text


@pytest.mark.parametrize(
    ("value", "text"), [(0.0, "0"), (1.234e-5, "1.2e-5"), (0.41, "0.41"), (7.96, "8.0"), (39.2, "39"), (4e32, "4.0e32")]
)
def test_errors_have_two_digits(value: float, text: str) -> None:
    assert figures.format_error(value) == text


@pytest.mark.parametrize(
    ("value", "text"), [(1240.0, "1240"), (0.02, "0.02"), (0.0187, "0.0187"), (2.1e-7, "2.1e-7"), (1e9, "1e9")]
)
def test_limits_are_written_as_they_were_set(value: float, text: str) -> None:
    assert figures.format_number(value) == text


@pytest.mark.parametrize(
    ("share", "text"),
    [(0.0, "0%"), (2e-7, "<0.0001%"), (2.4e-3, "0.24%"), (0.394, "39%"), (1.5, "150%"), (2e4, "2.0e6%")],
)
def test_differences_in_percent_of_the_range(share: float, text: str) -> None:
    assert figures.format_of_range(share) == text


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.0, "0 s"), (7.2, "8 s"), (125.0, "2 min 5 s"), (12_000.0, "3 h 20 min")]
)
def test_durations(seconds: float, text: str) -> None:
    assert figures.format_seconds(seconds) == text


def test_text_from_outside_cannot_steer_a_terminal_or_break_a_line() -> None:
    assert figures.plain("a\x1b[31mred\nb\u202ec\x9b\ud800 d") == "a [31mred b c d"


def test_ascii_keeps_the_width() -> None:
    assert figures.to_ascii("3 µs … 模") == "3 us ~ ??"


def test_worst_outcome_first_and_waived_after_unwaived() -> None:
    rows = [cell_row(delegate=f"d{index}", outcome=outcome.value) for index, outcome in enumerate(Outcome)]
    waived = cell_row(delegate="waived", outcome="FAIL", of_range=0.5)
    waived["gates"][1]["waiver"] = "W-1"
    order = [row["delegate"] if row is waived else row["outcome"] for row in sorted([waived, *rows], key=figures.rank)]
    assert order == ["FAIL", "waived", "ERROR", "TIMEOUT", "NOT_RUN", "UNSUPPORTED", "MARGINAL", "PASS"]


def test_the_accuracy_figure_says_nonfinite_before_anything_else() -> None:
    assert figures.accuracy_text(cell_row(of_range=1e-3, nonfinite=3)) == "NaN/Inf"
    assert figures.accuracy_text(cell_row(of_range=2.4e-3)) == "0.24%"
    assert figures.accuracy_text(cell_row(median_us=None)) == ""


def test_without_a_range_the_absolute_difference_stands() -> None:
    row = cell_row(of_range=0.1)
    row["accuracy"][0]["max_abs_of_range"] = None
    row["accuracy"][0]["max_abs"] = 2.02
    assert figures.accuracy_text(row) == "abs 2.0"
