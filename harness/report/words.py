"""What a report says in sentences: the verdict, what stands against it, and what to do next."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, cast

from harness.measure.verdict import GOOD, is_waived
from harness.plan.cell import Outcome
from harness.plan.row import CellRow, DeviceRow, Matrix, SummaryRow
from harness.report import figures

Delegates = Mapping[str, Mapping[str, Any]]
"""Name of a delegate -> its entry in the suite."""


@dataclass(frozen=True)
class Group:
    """Cells that ended the same way for the same reason; `rows` is never empty."""

    outcome: str
    waived: bool
    reason: str
    advice: str
    rows: tuple[CellRow, ...]

    @property
    def log(self) -> str | None:
        """Of a cell that broke off: an artifact that shows why, relative to the report's folder."""
        artifacts = self.rows[0]["artifacts"]
        return figures.plain(artifacts[0]) if self.outcome in ("ERROR", "TIMEOUT") and artifacts else None


def outcome_counts(summary: SummaryRow) -> dict[Outcome, int]:
    """Cells per outcome."""
    entries = cast(Mapping[str, int], summary)
    return {outcome: entries[outcome.value.lower()] for outcome in Outcome}


def counts_text(counts: Mapping[Outcome, int]) -> str:
    """Counts as "3 PASS, 1 FAIL", zeros left out."""
    return ", ".join(f"{count} {outcome.value}" for outcome, count in counts.items() if count) or "none"


def counts_line(summary: SummaryRow) -> str:
    """All counts of a run: "12 cells: 10 PASS, 2 FAIL (1 waived)"."""
    text = counts_text(outcome_counts(summary))
    waived = f" ({summary['waived']} waived)" if summary["waived"] else ""
    return f"{_cells(summary['planned'])}: {text.replace(' FAIL', f' FAIL{waived}')}"


def headline(matrix: Matrix) -> str:
    """One sentence on why the verdict is what it is."""
    summary = matrix["summary"]
    refused = [row for row in matrix["cells"] if row["outcome"] == Outcome.UNSUPPORTED.value]
    lost = sum(map(_lost, refused))
    demanded = sum(not _lost(row) and _entry(row, matrix["delegates"]).get("expect") == "measured" for row in refused)
    against = [
        *_count(summary["fail"] - summary["waived"], "{} {does} not hold {its} gates"),
        *_count(lost, "{} that passed in the baseline {is} unsupported now"),
        *_count(summary["error"], "{} ended in an error"),
        *_count(summary["timeout"], "{} ran past {its} deadline"),
        *_count(summary["not_run"], "{} {was} not run"),
        *_count(demanded, "{} {is} unsupported where a measurement is expected"),
    ]
    besides = [
        *_count(summary["marginal"], "{} {is} close to a limit"),
        *_count(summary["waived"], "{} {fails} under a waiver"),
        *_count(len(refused) - lost - demanded, "{} {is} unsupported"),
    ]
    measured = f"{summary['pass'] + summary['marginal'] + summary['fail']} of {_cells(summary['planned'])} measured"
    if summary["verdict"] == "PASS":
        return f"{measured}, and every gate holds{' or is waived' if summary['waived'] else ''}{_tail(besides)}."
    if summary["verdict"] == "INCOMPLETE":
        return f"{measured}: {_join(against) if against else '; '.join(summary.get('reasons', []))}."
    text = _join(against) if against else measured
    return f"{text[0].upper()}{text[1:]}{'' if against else _tail(besides)}."


def _tail(phrases: list[str]) -> str:
    return f"; {_join(phrases)}" if phrases else ""


def _lost(row: CellRow) -> bool:
    """Whether a cell that is UNSUPPORTED passed in the baseline."""
    return row["regression"] is not None and row["regression"]["outcome_before"] in GOOD


def _entry(row: CellRow, delegates: Delegates) -> Mapping[str, Any]:
    """The delegate of a cell; under `suite::name` where two suites mean different things by one name."""
    suite = row["id"].partition("::")[0]
    return delegates.get(f"{suite}::{row['delegate']}") or delegates.get(row["delegate"]) or {}


def cautions(matrix: Matrix) -> list[str]:
    """What a reader must know before trusting the verdict, one sentence each."""
    found = []
    run = matrix["run"]
    if run["finished"] is None:
        found.append("The run did not finish.")
    if run["profile"] == "quick":
        found.append("Profile quick: not for release.")
    marked: defaultdict[tuple[str, str], int] = defaultdict(int)
    devices = {device["name"]: device for device in matrix["devices"]}
    for row in matrix["cells"]:
        for mark in disqualifying_marks(row, devices.get(row["device"]), matrix["delegates"]):
            marked[row["device"], mark] += 1
    for (device, mark), count in marked.items():
        found += _count(count, f"{{}} on {device} {{comes}} from {_article(mark)} {mark}: cannot qualify a release.")
    void = sum(row["validity"]["void"] for row in matrix["cells"])
    found += [f"The timing of {_cells(void)} is void; see the notes there."] if void else []
    return found


def disqualifying_marks(row: CellRow, device: DeviceRow | None, delegates: Delegates) -> list[str]:
    """Why a cell can never qualify a release: "emulated device", "software adapter"; a CPU cell uses no adapter."""
    if device is None:
        return []
    uses_adapter = _entry(row, delegates).get("accelerator") != "cpu"
    marks = ["emulated device"] if device["emulated"] else []
    return [*marks, "software adapter"] if device["adapter_software"] and uses_adapter else marks


def reason(row: CellRow) -> str:
    """Why a cell is not PASS, on one line: what was recorded, else what its gates say."""
    if row["reason"]:
        return figures.plain(row["reason"])
    failed = [gate for gate in row["gates"] if gate["verdict"] in ("FAIL", "UNSET")]
    text = "; ".join(
        f"{gate['gate']} {'was not measured' if gate['value'] is None else figures.format_number(gate['value'])}"
        f", limit {figures.format_number(gate['limit'])}"
        for gate in failed
    )
    return text or "no reason was recorded"


def not_passing(matrix: Matrix) -> list[Group]:
    """Every cell (helpers too) that is neither PASS nor MARGINAL, worst first; alike ones share a group."""
    rows = sorted((row for row in matrix["cells"] if row["outcome"] not in GOOD), key=figures.rank)
    grouped: dict[tuple[str, bool, str, str], list[CellRow]] = {}
    for row in rows:
        key = (row["outcome"], is_waived(row), reason(row), advice(row, matrix["delegates"]))
        grouped.setdefault(key, []).append(row)
    return [Group(*key, tuple(members)) for key, members in grouped.items()]


def advice(row: CellRow, delegates: Delegates) -> str:
    """What to do next about a cell that is not PASS."""
    entry = _entry(row, delegates)
    match row["outcome"]:
        case "FAIL":
            return _advice_fail(row, entry)
        case "UNSUPPORTED":
            refused = row["delegation"] is not None and row["delegation"]["unsupported_ops"]
            if refused and entry.get("fallback") != "partial":
                return "replace these operations in the model, or let the CPU take them (fallback: partial)"
            return "if this was to be expected, nothing; `expect: measured` makes it a failure"
        case "ERROR":
            return _advice_error(row)
        case "TIMEOUT":
            return "allow a longer deadline or ask for fewer runs, then repeat with --lf"
        case "NOT_RUN":
            return "remove the cause, then repeat with --lf"
        case _:
            return ""


def _advice_fail(row: CellRow, delegate: Mapping[str, Any]) -> str:
    failed = {gate["gate"] for gate in row["gates"] if gate["verdict"] == "FAIL"}
    exact = delegate.get("accelerator") == "cpu" or delegate.get("precision") == "fp32"
    if "nonfinite" in failed and not exact:
        return "compare with fp32: finite there means that values leave the range of fp16"
    if failed and all("speedup" in gate or gate.endswith(("_us", "_ms")) for gate in failed):
        return "ship a faster delegate for this model on this device"
    if not exact:
        return "compare with fp32: right there means that the precision of fp16 is the cause"
    return "the answer is wrong at full precision: do not ship this delegate for this model"


def _advice_error(row: CellRow) -> str:
    error_class = row["error"]["class"] if row["error"] else ""
    return {
        "device": "check the device with `harness doctor`, then repeat with --lf",
        "host": "check the host with `harness doctor`, then repeat with --lf",
        "runner": "read the runner's log; its command is in the report, to be run by hand",
        "model": "check the model's file",
        "config": "correct the suite or devices.yaml",
    }.get(error_class, "see the attempts of this cell")


def delegation_text(row: CellRow, delegates: Delegates) -> str:
    """Where the nodes ran: "GPU 66/67 nodes, 2 partitions"; never the accelerator's name alone."""
    split = row["delegation"]
    if split is None:
        return ""
    accelerator = str(_entry(row, delegates).get("accelerator", row["delegate"])).upper()
    if split["nodes_delegated"] is None:
        return f"{accelerator}, split unknown"
    total = "?" if split["nodes_total"] is None else str(split["nodes_total"])
    text = f"{accelerator} {split['nodes_delegated']}/{total} nodes"
    count = split["partitions"]
    return text if count is None else f"{text}, {count} partition{'' if count == 1 else 's'}"


def device_marks(device: DeviceRow) -> list[str]:
    """Marks that a device carries wherever it is shown."""
    return ["emulated"] * device["emulated"] + ["software adapter"] * bool(device["adapter_software"])


def cell_names(rows: Iterable[CellRow], most: int) -> str:
    """Ids of cells without their suite, at most `most`, then "and 7 more"."""
    names = [row["id"].partition("::")[2] or row["id"] for row in rows]
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def outcome_tally(outcomes: Iterable[str]) -> str:
    """What is finished so far, worst first: "2 FAIL, 10 PASS"."""
    seen = Counter(outcomes)
    return ", ".join(f"{seen[outcome.value]} {outcome.value}" for outcome in figures.WORST_FIRST if seen[outcome.value])


def _cells(count: int) -> str:
    return f"{count} cell" if count == 1 else f"{count} cells"


_SINGULAR = {"does": "does", "is": "is", "was": "was", "its": "its", "fails": "fails", "comes": "comes"}
_PLURAL = {"does": "do", "is": "are", "was": "were", "its": "their", "fails": "fail", "comes": "come"}


def _count(count: int, template: str) -> list[str]:
    """A phrase about `count` cells, in the right number; nothing for none."""
    if count < 1:
        return []
    return [template.format(_cells(count), **(_SINGULAR if count == 1 else _PLURAL))]


def _join(phrases: list[str]) -> str:
    return phrases[0] if len(phrases) == 1 else ", ".join(phrases[:-1]) + " and " + phrases[-1]


def _article(noun: str) -> str:
    return "an" if noun[0] in "aeiou" else "a"
