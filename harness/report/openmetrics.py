"""`metrics.prom`: the run's figures for Prometheus, as a file that node_exporter's textfile collector reads.

The format is OpenMetrics 1.0. Latencies are in seconds, as Prometheus asks. A figure that there is none of has no
sample: an absent series alerts, a zero would not.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime

from harness.measure.verdict import is_waived
from harness.plan.cell import Outcome
from harness.plan.row import CellRow, LatencyRow, Matrix
from harness.report import figures
from harness.report.grid import suite_of

VERDICTS = ("PASS", "FAIL", "INCOMPLETE")

Labels = Mapping[str, str]
Sample = tuple[Labels, float]


def render(matrix: Matrix) -> str:
    """The text of the file."""
    run, summary = matrix["run"], matrix["summary"]
    lines = [
        *_family("harness_run_verdict", "1 for the run's verdict, 0 for the others", "", _verdicts(summary["verdict"])),
        *_family(
            "harness_run_cells", "Cells of the run by outcome; waived ones are counted as FAIL too", "", _counts(matrix)
        ),
        *_family(
            "harness_run_finished_timestamp_seconds", "When the run finished", "seconds", _moment(run["finished"])
        ),
    ]
    for name, (words, unit, figure) in _FIGURES.items():
        samples = [(_labels(row), value) for row in matrix["cells"] if (value := figure(row)) is not None]
        lines += _family(name, words, unit, samples)
    return "\n".join([*lines, "# EOF"]) + "\n"


def _verdicts(verdict: str) -> list[Sample]:
    return [({"verdict": one}, float(one == verdict)) for one in VERDICTS]


def _counts(matrix: Matrix) -> list[Sample]:
    outcomes = [row["outcome"] for row in matrix["cells"]]
    found: list[Sample] = [({"outcome": one.value}, float(outcomes.count(one.value))) for one in Outcome]
    return [*found, ({"outcome": "WAIVED"}, float(sum(map(is_waived, matrix["cells"]))))]


def _moment(text: str | None) -> list[Sample]:
    return [({}, datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp())] if text else []


def _labels(row: CellRow) -> dict[str, str]:
    return {"suite": suite_of(row), "model": row["model"], "device": row["device"], "delegate": row["delegate"]}


def _passing(row: CellRow) -> float:
    return float(row["outcome"] in ("PASS", "MARGINAL"))


def _timing(row: CellRow) -> LatencyRow | None:
    """The latency, unless it must not be used."""
    return None if row["validity"]["void"] else row["latency"]


def _median(row: CellRow) -> float | None:
    timing = _timing(row)
    return timing["median_us"] / 1e6 if timing else None


def _p90(row: CellRow) -> float | None:
    timing = _timing(row)
    return timing["p90_us"] / 1e6 if timing and timing["p90_us"] is not None else None


def _speedup(row: CellRow) -> float | None:
    return row["speedup"]["value"] if row["speedup"] else None


def _error(row: CellRow) -> float | None:
    return figures.worst(row, "max_abs_of_range")


def _nonfinite(row: CellRow) -> float | None:
    return float(figures.nonfinite(row)) if row["accuracy"] else None


def _nodes(row: CellRow) -> float | None:
    split = row["delegation"]
    if split is None or split["nodes_delegated"] is None or not split["nodes_total"]:
        return None
    return split["nodes_delegated"] / split["nodes_total"]


def _memory(row: CellRow) -> float | None:
    peak = row["memory"]["peak_rss_bytes"] if row["memory"] else None
    return float(peak) if peak is not None else None


_FIGURES = {
    "harness_cell_passing": ("1 if every gate of the cell holds", "", _passing),
    "harness_cell_latency_median_seconds": ("Median latency", "seconds", _median),
    "harness_cell_latency_p90_seconds": ("90th percentile of the latency", "seconds", _p90),
    "harness_cell_speedup_ratio": ("Times faster than its partner on the same device", "ratio", _speedup),
    "harness_cell_error_of_range_ratio": ("Largest absolute error over the output's range", "ratio", _error),
    "harness_cell_nonfinite_values": ("Output values that are NaN or infinite", "", _nonfinite),
    "harness_cell_delegated_nodes_ratio": ("Share of the nodes on the accelerator", "ratio", _nodes),
    "harness_cell_peak_memory_bytes": ("Peak memory of the runner", "bytes", _memory),
}


def _family(name: str, words: str, unit: str, samples: Iterable[Sample]) -> list[str]:
    lines = [f"{name}{_braces(labels)} {value!r}" for labels, value in samples]
    if not lines:
        return []
    unit_line = [f"# UNIT {name} {unit}"] if unit else []
    return [f"# TYPE {name} gauge", *unit_line, f"# HELP {name} {words}.", *lines]


def _braces(labels: Labels) -> str:
    inside = ",".join(f'{key}="{_escaped(value)}"' for key, value in labels.items())
    return f"{{{inside}}}" if inside else ""


def _escaped(text: str) -> str:
    return figures.plain(text).replace("\\", "\\\\").replace('"', '\\"')
