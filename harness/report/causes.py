"""What keeps a run from passing, in as few lines as a reader takes in at once: alike cells share a cause."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from harness.measure.metrics import METRICS
from harness.measure.verdict import GOOD, is_waived
from harness.plan.row import CellRow, Matrix
from harness.report import figures
from harness.report.culprits import Culprit, culprits
from harness.report.reasons import advice, first_clause, reason
from harness.report.words import listed

_GATES = {
    "nonfinite": "Outputs hold NaN or infinity",
    "cpu_copy": "Outputs are bit for bit the CPU's: the accelerator did not compute them",
    **{
        name: "Outputs are further off the reference than allowed"
        for name, metric in METRICS.items()
        if metric.where.startswith("accuracy") and name != "nonfinite"
    },
    "baseline_outcome": "The outcome is worse than in the baseline",
    "baseline_accuracy": "Outputs are further off than in the baseline",
    "baseline_latency": "Slower than in the baseline",
    "speedup": "Not as fast as demanded",
    "peak_rss_bytes": "More memory than allowed",
    "delegated_nodes": "Fewer nodes on the accelerator than demanded",
}
"""Failed gate -> a cause's title, gravest first: a cell with several is told under its gravest."""
_LONGEST_TITLE = 100
_OUTCOME_COUNT = re.compile(r"\d+ (FAIL|ERROR|TIMEOUT|NOT_RUN|UNSUPPORTED)\b")
_NUMBERS = re.compile(r"\d+(\.\d+)?")


@dataclass(frozen=True)
class Cause:
    """Cells that ended alike for the same kind of reason; `rows` is never empty, the worst is first.

    `place` says which models, on which devices, through which delegates: "2 models on pixel-8, gpu-fp16".
    """

    outcome: str
    waived: bool
    title: str
    place: str
    advice: str
    rows: tuple[CellRow, ...]

    @property
    def example(self) -> str:
        """What the worst cell says beyond the title."""
        text = reason(self.rows[0])
        return text[len(self.title) :].lstrip(";: ") if text.lower().startswith(self.title.lower()) else text

    @property
    def culprits(self) -> list[Culprit]:
        """Which operations make answers wrong, where that was found of any of the cells."""
        return culprits(self.rows)

    @property
    def filter(self) -> dict[str, str]:
        """Keys of the page's address that show these cells, and no more than others like them."""
        shown = {"outcome": self.outcome}
        for key, field in (("of", "model"), ("on", "device"), ("by", "delegate")):
            found = names(self.rows, field)
            if len(found) == 1:
                shown[key] = found[0]
        return shown


def names(rows: Iterable[CellRow], field: str) -> list[str]:
    """Names of models, devices or delegates (`field`) of some rows, each once."""
    return list(dict.fromkeys(str(row[field]) for row in rows))  # type: ignore[literal-required]


def causes(matrix: Matrix) -> list[Cause]:
    """Causes of all cells that are neither PASS nor MARGINAL: what is waived last, then worst outcome first."""
    every = {key: _all(matrix, key) for key in ("model", "device", "delegate")}
    grouped: dict[tuple[str, bool, str], list[CellRow]] = {}
    for row in matrix["cells"]:
        if row["outcome"] not in GOOD:
            key = (row["outcome"], is_waived(row), _title(row))
            grouped.setdefault((key[0], key[1], _NUMBERS.sub("#", key[2])), []).append(row)
    found = []
    for (outcome, waived, _), members in grouped.items():
        rows = tuple(sorted(members, key=lambda row: -_severity(row)))
        next_step = advice(rows[0], matrix["delegates"])
        found.append(Cause(outcome, waived, _brief(_title(rows[0])), _place(rows, every), next_step, rows))
    return sorted(found, key=_order)


def _order(cause: Cause) -> tuple[bool, int, int, int]:
    """What is waived last; worst outcome first, then gravest gate, then most cells."""
    titles = list(_GATES.values())
    grave = titles.index(cause.title) if cause.title in titles else len(titles)
    return cause.waived, figures.rank(cause.rows[0])[0], grave, -len(cause.rows)


def _brief(title: str) -> str:
    """A long title without the explanation in it; a device's name in front is none."""
    head, separator, rest = title.partition(": ")
    if separator and " " not in head:
        head = f"{head}: {rest.partition(': ')[0]}"
    return head if len(title) > _LONGEST_TITLE else title


def _place(rows: Sequence[CellRow], every: Mapping[str, Sequence[str]]) -> str:
    models, devices = names(rows, "model"), names(rows, "device")
    used = set(names(rows, "delegate"))
    delegates = [name for name in every["delegate"] if name in used]
    where = (
        _some(models, len(every["model"]), "models", most=1),
        _some(devices, len(every["device"]), "devices", most=3),
        "all delegates" if len(delegates) == len(every["delegate"]) > 1 else figures.plain(listed(delegates)),
    )
    return "{} on {}, {}".format(*where)


def _all(matrix: Matrix, field: str) -> list[str]:
    listed_first = list(matrix["delegates"]) if field == "delegate" else []
    return list(dict.fromkeys([*listed_first, *names(matrix["cells"], field)]))


def _some(found: list[str], every: int, noun: str, most: int) -> str:
    """The one name; "all 6 models"; "3 of 20 devices (a, b, c)"."""
    if len(found) == 1:
        return figures.plain(found[0])
    if len(found) == every:
        return f"all {every} {noun}"
    named = f" ({figures.plain(listed(found))})" if len(found) <= most else ""
    return f"{len(found)} of {every} {noun}{named}"


def shortfalls(matrix: Matrix) -> list[str]:
    """Reasons of the verdict that no cell stands for: coverage, absent devices, nothing measured."""
    return [text for text in matrix["summary"].get("reasons", []) if not _OUTCOME_COUNT.match(text)]


def _title(row: CellRow) -> str:
    if row["outcome"] != "FAIL":
        text = first_clause(reason(row))
        return text if text.startswith(row["device"]) else text[:1].upper() + text[1:]
    failed = [gate["gate"] for gate in row["gates"] if gate["verdict"] in ("FAIL", "UNSET")]
    known = next((name for name in _GATES if name in failed), None)
    if known:
        return _GATES[known]
    return f"Gate {failed[0]} does not hold" if failed else first_clause(reason(row))


def _severity(row: CellRow) -> float:
    """How far the worst failed gate is from its limit, as a ratio."""
    return max((_excess(gate["value"], gate["limit"]) for gate in row["gates"] if gate["verdict"] == "FAIL"), default=0)


def _excess(value: float | None, limit: float) -> float:
    if value is None or not value or not limit:
        return abs(value or 0)
    return max(abs(value / limit), abs(limit / value))
