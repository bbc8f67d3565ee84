"""What a report says in sentences: the verdict, what stands against it, and what to do next."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import cast

from harness.measure.verdict import GOOD, is_waived
from harness.plan.cell import Outcome
from harness.plan.row import CellRow, DeviceRow, Matrix, SummaryRow
from harness.report import figures
from harness.report.reasons import Delegates, advice, entry_of, log_of, only_regressed, reason

_MOST_NAMES = 3
_PHONES = ("android", "ios")
_PROVISIONAL = " (provisional: measured by a shell's program, and an app's timing can differ)"


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
        return log_of(self.rows[0])


@dataclass(frozen=True)
class Slower:
    """Models for which a delegate is right on a device, but slower than the one it is compared with.

    Provisional: on a phone, and no app measured it; a phone's scheduler and GPU driver treat the two differently.
    """

    device: str
    delegate: str
    over: str
    measured: int
    rows: tuple[CellRow, ...]
    provisional: bool

    @property
    def text(self) -> str:
        """As a sentence: "gpu on pixel-8 is slower than cpu for 2 of the 6 models it gets right: ship cpu there"."""
        count = f"{len(self.rows)} of the {self.measured} models" if self.measured != 1 else "the one model"
        return (
            f"{figures.plain(self.delegate)} on {figures.plain(self.device)} is slower than "
            f"{figures.plain(self.over)} for {count} it gets right: ship {figures.plain(self.over)} there"
            f"{_PROVISIONAL if self.provisional else ''}"
        )


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
    return f"{cells(summary['planned'])}: {text.replace(' FAIL', f' FAIL{waived}')}"


def headline(matrix: Matrix) -> str:
    """One sentence on why the verdict is what it is."""
    summary = matrix["summary"]
    refused = [row for row in matrix["cells"] if row["outcome"] == Outcome.UNSUPPORTED.value]
    lost = sum(map(_lost, refused))
    demanded = sum(not _lost(row) and entry_of(row, matrix["delegates"]).get("expect") == "measured" for row in refused)
    regressed = sum(only_regressed(row) and not is_waived(row) for row in matrix["cells"])
    against = [
        *_count(summary["fail"] - summary["waived"] - regressed, "{} {does} not hold {its} gates"),
        *_count(regressed, "{} {is} worse than in the baseline"),
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
    count = summary["pass"] + summary["marginal"] + summary["fail"]
    measured = f"{count} of {cells(summary['planned'])} measured"
    if summary["verdict"] == "PASS" and not count:
        return f"Nothing was measured{_tail(besides)}."
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


def cautions(matrix: Matrix) -> list[str]:
    """What a reader must know before trusting the verdict, one sentence each."""
    found = []
    run = matrix["run"]
    if run["finished"] is None:
        found.append("The run did not finish.")
    if run["profile"] == "quick":
        found.append("Profile quick: not for release.")
    for mark, places in _disqualified(matrix).items():
        where = next(iter(places)) if len(places) == 1 else f"{len(places)} devices ({listed(list(places))})"
        phrase = f"{{}} on {where} {{comes}} from {_article(mark)} {mark}: cannot qualify a release."
        found += _count(sum(places.values()), phrase)
    void = sum(row["validity"]["void"] for row in matrix["cells"])
    found += [f"The timing of {cells(void)} is void; see the notes there."] if void else []
    untold = sum(bool(row["latency"]) and not row["accuracy"] and row["outcome"] in GOOD for row in matrix["cells"])
    found += [f"The accuracy of {cells(untold)} was not measured; see the notes there."] if untold else []
    return found


def not_for_release(matrix: Matrix) -> bool:
    """Whether a run can never qualify a release, whatever its verdict."""
    run = matrix["run"]
    return run["finished"] is None or run["profile"] == "quick" or bool(_disqualified(matrix))


def _disqualified(matrix: Matrix) -> dict[str, dict[str, int]]:
    """Mark -> device -> number of its cells that the mark keeps from qualifying a release."""
    found: dict[str, dict[str, int]] = {}
    devices = {device["name"]: device for device in matrix["devices"]}
    for row in matrix["cells"]:
        for mark in disqualifying_marks(row, devices.get(row["device"]), matrix["delegates"]):
            places = found.setdefault(mark, {})
            places[row["device"]] = places.get(row["device"], 0) + 1
    return found


def disqualifying_marks(row: CellRow, device: DeviceRow | None, delegates: Delegates) -> list[str]:
    """Why a cell can never qualify a release: "emulated device", "software adapter"; a CPU cell uses no adapter."""
    if device is None:
        return []
    uses_adapter = entry_of(row, delegates).get("accelerator") != "cpu"
    marks = ["emulated device"] if device["emulated"] else []
    return [*marks, "software adapter"] if device["adapter_software"] and uses_adapter else marks


def not_passing(matrix: Matrix) -> list[Group]:
    """Every cell (helpers too) that is neither PASS nor MARGINAL, worst first; alike ones share a group."""
    rows = sorted((row for row in matrix["cells"] if row["outcome"] not in GOOD), key=figures.rank)
    grouped: dict[tuple[str, bool, str, str], list[CellRow]] = {}
    for row in rows:
        key = (row["outcome"], is_waived(row), reason(row), advice(row, matrix["delegates"]))
        grouped.setdefault(key, []).append(row)
    return [Group(*key, tuple(members)) for key, members in grouped.items()]


def slower(matrix: Matrix) -> list[Slower]:
    """Where the delegate that a speed-up is taken over should be shipped instead.

    Only right answers with valid timing count, and only where the whole 95 % interval says "slower". Most models first.
    """
    grouped: dict[tuple[str, str, str], list[CellRow]] = {}
    for row in matrix["cells"]:
        if row["speedup"] and row["outcome"] in GOOD and not row["validity"]["void"]:
            over = row["speedup"]["over"].rpartition("[")[2].rstrip("]").partition(":")[2]
            grouped.setdefault((row["device"], row["delegate"], over), []).append(row)
    phones = {device["name"] for device in matrix["devices"] if device["kind"] in _PHONES}
    found = []
    for key, rows in grouped.items():
        worse = tuple(row for row in rows if row["speedup"] and row["speedup"]["ci95"][1] < 1)
        by_app = any(row["runner"] and row["runner"]["context"] == "app" for row in worse)
        found.append(Slower(*key, len(rows), worse, provisional=key[0] in phones and not by_app))
    return sorted((entry for entry in found if entry.rows), key=lambda entry: -len(entry.rows))


def delegation_text(row: CellRow, delegates: Delegates) -> str:
    """Where the nodes ran: "GPU 66/67 nodes, 2 partitions"; never the accelerator's name alone."""
    split = row["delegation"]
    if split is None:
        return ""
    accelerator = str(entry_of(row, delegates).get("accelerator", row["delegate"])).upper()
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


def cells(count: int) -> str:
    """A number of cells: "1 cell", "12 cells"."""
    return f"{count} cell" if count == 1 else f"{count:,} cells"


_SINGULAR = {"does": "does", "is": "is", "was": "was", "its": "its", "fails": "fails", "comes": "comes"}
_PLURAL = {"does": "do", "is": "are", "was": "were", "its": "their", "fails": "fail", "comes": "come"}


def _count(count: int, template: str) -> list[str]:
    """A phrase about `count` cells, in the right number; nothing for none."""
    if count < 1:
        return []
    return [template.format(cells(count), **(_SINGULAR if count == 1 else _PLURAL))]


def _join(phrases: list[str]) -> str:
    return phrases[0] if len(phrases) == 1 else ", ".join(phrases[:-1]) + " and " + phrases[-1]


def listed(names: list[str]) -> str:
    """The first three names, and how many more there are."""
    more = len(names) - _MOST_NAMES
    return ", ".join(names[:_MOST_NAMES]) + (f" and {more} more" if more > 0 else "")


def _article(noun: str) -> str:
    return "an" if noun[0] in "aeiou" else "a"
