"""Latency samples as an inline SVG: every timed run in order, and a box plot on the same scale."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from markupsafe import Markup

from harness.plan.row import LatencyRow
from harness.report import figures

_WIDTH, _HEIGHT = 560, 132
_LEFT, _RIGHT, _TOP, _BOTTOM = 62, 500, 10, 116
_BOX_LEFT, _BOX_RIGHT = 520, 544
_MOST_DOTS = 1000
_LABEL_DISTANCE = 13


class _Scale:
    """Microseconds to vertical pixels. A few runs far beyond the rest do not squash it: they sit on its upper edge."""

    def __init__(self, samples: Sequence[float], p90: float | None) -> None:
        self.low, highest = min(samples), max(samples)
        self.high = min(highest, p90 + 3 * (p90 - self.low)) if p90 is not None and p90 > self.low else highest
        self.beyond = sum(sample > self.high for sample in samples)

    def y(self, value: float) -> float:
        if self.high <= self.low:
            return (_TOP + _BOTTOM) / 2
        share = (min(value, self.high) - self.low) / (self.high - self.low)
        return round(_BOTTOM - share * (_BOTTOM - _TOP), 1)


def latency_plot(latency: LatencyRow) -> Markup:
    """The plot; it holds numbers only, no text from outside. Empty without samples."""
    rounds = [entry["samples_us"] for entry in latency["rounds"] if entry["samples_us"]] or [latency["samples_us"]]
    samples = [sample for part in rounds for sample in part]
    if not samples:
        return Markup("")
    scale = _Scale(samples, latency["p90_us"])
    body = [*_axis(scale, latency), *_dots(rounds, scale), *_box(samples, scale)]
    title = (
        f"{len(samples)} timed runs from {figures.format_us(min(samples))} to {figures.format_us(max(samples))}, "
        f"median {figures.format_us(latency['median_us'])}"
    )
    return Markup(  # noqa: S704 - numbers only
        f'<svg class="plot" viewBox="0 0 {_WIDTH} {_HEIGHT}" width="{_WIDTH}" height="{_HEIGHT}" role="img" '
        f'aria-label="{title}">{"".join(body)}</svg>'
    )


def plot_caption(latency: LatencyRow) -> str:
    """What the plot shows, and what it leaves out."""
    samples = latency["samples_us"]
    rounds = len(latency["rounds"])
    if not samples:
        return _stated_caption(latency)
    text = f"{len(samples)} timed runs in the order they ran"
    text += f", {rounds} rounds" if rounds > 1 else ""
    text += "; box: middle half, whiskers: 10th to 90th percentile"
    beyond = _Scale(samples, latency["p90_us"]).beyond
    if beyond:
        text += f"; {beyond} beyond the scale, the slowest {figures.format_us(max(samples))}"
    if len(samples) > _MOST_DOTS:
        text += f"; one dot per {_step(len(samples))} runs"
    return text


def _stated_caption(latency: LatencyRow) -> str:
    """What a runner that keeps no samples states of each round."""
    parts = [
        f"{one['count']} timed runs, 90 % of them from {figures.format_us(one['p5_us'])} "
        f"to {figures.format_us(one['p95_us'])}"
        for entry in latency["rounds"]
        if (one := entry.get("summary")) is not None
    ]
    return f"the runner keeps no single runs, it states: {'; '.join(parts)}" if parts else ""


def _step(count: int) -> int:
    return -(-count // _MOST_DOTS)


def _axis(scale: _Scale, latency: LatencyRow) -> list[str]:
    parts: list[str] = []
    used: list[float] = []
    for value, kind in ((scale.low, "edge"), (scale.high, "edge"), (latency["median_us"], "median")):
        y = scale.y(value)
        parts.append(f'<path class="grid {kind}" d="M{_LEFT} {y}H{_BOX_RIGHT}"/>')
        if all(abs(y - other) >= _LABEL_DISTANCE for other in used):
            parts.append(f'<text class="{kind}" x="{_LEFT - 6}" y="{y + 4}">{figures.format_us(value)}</text>')
            used.append(y)
    return parts


def _dots(rounds: Sequence[Sequence[float]], scale: _Scale) -> list[str]:
    total = sum(map(len, rounds))
    step, width = _step(total), (_RIGHT - _LEFT - 8) / max(1, total - 1)
    parts, position = [], 0
    for number, samples in enumerate(rounds):
        if number:
            x = round(_LEFT + 4 + (position - 0.5) * width, 1)
            parts.append(f'<path class="round" d="M{x} {_TOP}V{_BOTTOM}"/>')
        # A line of no length with round ends is a dot; one path for all of them keeps the file small.
        marks = [
            f"M{_LEFT + 4 + (position + index) * width:.1f} {scale.y(sample)}h0"
            for index, sample in enumerate(samples)
            if (position + index) % step == 0
        ]
        parts.append(f'<path class="dots" d="{"".join(marks)}"/>')
        position += len(samples)
    return parts


def _box(samples: Sequence[float], scale: _Scale) -> list[str]:
    if len(samples) < 2:
        return []
    tenths = statistics.quantiles(samples, n=20, method="inclusive")
    low, first, middle, third, high = (scale.y(tenths[index]) for index in (1, 4, 9, 14, 17))
    centre = (_BOX_LEFT + _BOX_RIGHT) / 2
    return [
        f'<path class="whisker" d="M{centre} {low}V{first}M{centre} {third}V{high}"/>',
        f'<rect class="box" x="{_BOX_LEFT}" y="{third}" width="{_BOX_RIGHT - _BOX_LEFT}" '
        f'height="{round(first - third, 1)}"/>',
        f'<path class="middle" d="M{_BOX_LEFT} {middle}H{_BOX_RIGHT}"/>',
    ]
