"""The matrix on a terminal, after a run."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from rich.cells import cell_len
from rich.text import Text

from harness.measure.verdict import GOOD, is_waived
from harness.plan.row import CellRow, DeviceRow, Matrix
from harness.report import figures, findings, words
from harness.report.causes import Cause, causes
from harness.report.changes import Changes, change_words, changes
from harness.report.culprits import culprits
from harness.report.reasons import log_of
from harness.report.surface import STYLES, Surface, emit, fit, indented
from harness.report.table import table

_MOST_DEVICES = 20
_WORST_DEVICES = 8
_CAUSES = 12
_LINES = 6
_TROUBLES = 2
_NAMES_PER_GROUP = 3
_OUTCOME_WIDTH = 11
_LEAST_FACTS = 12
_FACTS = ("model", "soc", "cpu_model", "architecture")
_CHANGED = (("worse", "red"), ("fixed", "green"), ("better", "green"))


def render(matrix: Matrix, surface: Surface, folder: Path | None = None) -> str:
    """The text for a terminal: devices, matrix, what is not passing and why, what changed, advice, verdict.

    Args:
        matrix: of a finished run.
        surface: no line is wider than its width, except paths; colours and characters beyond ASCII are
            used only if it has them.
        folder: of this run's reports, for paths in it; without one they are relative to it.
    """
    width = surface.width
    found = causes(matrix)
    lines: list[Text] = [*_devices(matrix, found, width), Text(), *table(matrix, width)]
    lines += [*_not_passing(found, width, folder), *_changes(matrix, width), *_waivers(matrix, width)]
    lines += [*_culprits(matrix, width, folder)]
    for title, sentences in (
        ("Not the accelerator's fault alone", findings.diagnoses(matrix)),
        ("Not where it was foretold", findings.disagreements(matrix)),
        ("Operations", findings.conformance_lines(matrix)),
        ("Right, but slower", [entry.text for entry in words.slower(matrix)]),
    ):
        lines += _section(title, [Text(sentence) for sentence in sentences], width)
    return emit([*lines, *_verdict(matrix)], surface) + (_where(folder, surface) if folder else "")


def _devices(matrix: Matrix, found: Sequence[Cause], width: int) -> list[Text]:
    """A line per device, those with the most trouble first; below it what is wrong with it."""
    rows: dict[str, list[CellRow]] = {}
    for row in matrix["cells"]:
        rows.setdefault(row["device"], []).append(row)
    bad = {name: sum(not _fine(row) for row in members) for name, members in rows.items()}
    devices = sorted(
        (device for device in matrix["devices"] if device["name"] in rows), key=lambda device: -bad[device["name"]]
    )
    few = len(devices) <= _MOST_DEVICES
    shown = devices if few else devices[:_WORST_DEVICES]
    trouble = _trouble(matrix, found) if few else {}
    name_width = min(max((cell_len(figures.plain(device["name"])) for device in shown), default=0), width // 3)
    lines: list[Text] = []
    for device in shown:
        lines += _device(device, rows[device["name"]], trouble.get(device["name"], ""), name_width, width)
    more = devices[len(shown) :]
    if more:
        ailing = sum(bad[device["name"]] > 0 for device in more)
        state = f", {ailing:,} of them with cells that do not pass" if ailing else ""
        lines += indented(Text(), Text(f"and {len(more):,} more devices{state}: see the report", style="dim"), width)
    return lines


def _fine(row: CellRow) -> bool:
    """Whether nobody has to look at a cell. UNSUPPORTED ones are no fault of a device."""
    return row["outcome"] in GOOD or row["outcome"] == "UNSUPPORTED" or is_waived(row)


def _trouble(matrix: Matrix, found: Sequence[Cause]) -> dict[str, str]:
    """What is wrong with each device: its health, else the causes that it has a part in, worst first."""
    told: dict[str, list[str]] = {}
    for cause in found:
        parts: dict[str, int] = {}
        for row in cause.rows:
            if not _fine(row):
                parts[row["device"]] = parts.get(row["device"], 0) + 1
        for name, count in parts.items():
            told.setdefault(name, []).append(f"{cause.title} ({words.cells(count)})")
    said = {name: _first(texts) for name, texts in told.items()}
    return said | {
        str(entry.get("device")): f"{entry.get('state')}: {entry.get('reason')}" for entry in matrix["health"]
    }


def _first(texts: Sequence[str]) -> str:
    more = len(texts) - _TROUBLES
    return "; ".join([*texts[:_TROUBLES], *([f"and {more} more"] if more > 0 else [])])


def _device(device: DeviceRow, rows: Sequence[CellRow], trouble: str, name_width: int, width: int) -> list[Text]:
    tally = words.outcome_tally(row["outcome"] for row in rows)
    waived = sum(is_waived(row) for row in rows)
    tally = tally.replace(" FAIL", f" FAIL ({waived} waived)") if waived else tally
    style = STYLES["PASS"] if all(map(_fine, rows)) else "yellow"
    head = Text().append(f"{fit(figures.plain(device['name']), name_width)}  ", "bold")
    line = Text().append(tally, style)
    marks = "".join(f" [{mark}]" for mark in words.device_marks(device))
    room = width - cell_len(head.plain) - cell_len(tally) - 2 - cell_len(marks)
    facts = _facts(device)
    if room >= min(_LEAST_FACTS, cell_len(facts)):
        line.append(f"  {fit(facts, min(room, cell_len(facts)))}").append(marks, "yellow")
    elif marks:
        line.append(marks if room >= -2 else f"\n{marks[1:]}", "yellow")
    if trouble:
        line.append(f"\n{figures.plain(trouble)}", "red")
    return indented(head, line, width)


def _facts(device: DeviceRow) -> str:
    facts = [str(device["facts"][key]) for key in _FACTS if device["facts"].get(key)]
    where = f" on {device['facts']['host']}" if device["facts"].get("host") else ""
    adapter = f"; {device['adapter']}" if device["adapter"] else ""
    return figures.plain(", ".join([device["kind"] + where, *facts, *_system(device)]) + adapter)


def _system(device: DeviceRow) -> list[str]:
    """What runs on it: "Linux", "Android 14", "iOS 16.4"; nothing if that is unknown."""
    facts = device["facts"]
    android = facts.get("android_version")
    name, version = ("Android", android) if android else (facts.get("os"), facts.get("os_version"))
    return [f"{name} {version}" if version else str(name)] if name else []


def _not_passing(found: Sequence[Cause], width: int, folder: Path | None) -> list[Text]:
    """What keeps cells from passing, alike ones together."""
    lines = [Text("Not passing, worst first", style="bold")] if found else []
    for cause in found[:_CAUSES]:
        word = f"{cause.outcome}{'*' if cause.waived else ''}"
        head = Text().append(f"{word:<{_OUTCOME_WIDTH}} ", STYLES.get(cause.outcome, "bold red"))
        count = len(cause.rows)
        few = count <= _NAMES_PER_GROUP
        place = words.cell_names(cause.rows, _NAMES_PER_GROUP) if few else f"{words.cells(count)}: {cause.place}"
        text = Text().append(figures.plain(place), "bold")
        text.append(f"\n{figures.plain(cause.title)}")
        if cause.example:
            worst = "" if count == 1 else f"worst, {figures.plain(words.cell_names(cause.rows[:1], 1))}: "
            text.append(f"\n{worst}{cause.example}")
        text.append(f"\nnext: {cause.advice}" if cause.advice else "", "dim")
        lines += indented(head, text, width)
        if log := log_of(cause.rows[0]):
            lines += _path_lines("log:", _nearest_path(folder / log) if folder else log, width)
    if len(found) > _CAUSES:
        rest = sum(len(cause.rows) for cause in found[_CAUSES:])
        lines.append(Text(f"{'':{_OUTCOME_WIDTH}} … and {rest:,} more: see the report"))
    return [*lines, Text()] if lines else []


def _changes(matrix: Matrix, width: int) -> list[Text]:
    """What became of the baseline's cells: the worst of those that changed."""
    found = changes(matrix)
    if found is None:
        return []
    lines = [Text(figures.plain(f"{found.sentence}; {found.run}"))]
    lines += [Text(f"perhaps why: {text}", "yellow") for text in found.differences[:_LINES]]
    for kind, style in _CHANGED:
        lines += _changed(found, kind, style)
    return _section("Since the baseline", lines, width, most=len(lines))


def _changed(found: Changes, kind: str, style: str) -> list[Text]:
    rows = found.rows.get(kind, ())
    lines = []
    for row in rows[: _LINES // 2]:
        line = Text().append(f"{kind} ", style).append(figures.plain(words.cell_names([row], 1)), "bold")
        lines.append(line.append(f" {change_words(row)}"))
    more = len(rows) - _LINES // 2
    return [*lines, Text(f"… and {more:,} more {kind}")] if more > 0 else lines


def _waivers(matrix: Matrix, width: int) -> list[Text]:
    asking = len(findings.open_waivers(matrix))
    lines = [
        Text(line, "yellow" if number < asking else "") for number, line in enumerate(findings.waiver_lines(matrix))
    ]
    return _section("Waivers", lines, width)


def _culprits(matrix: Matrix, width: int, folder: Path | None) -> list[Text]:
    """The operations that make answers wrong."""
    found = culprits(matrix["cells"])
    lines = [Text("Where wrong answers come from", style="bold")] if found else []
    for culprit in found[:_CAUSES]:
        text = Text().append(figures.plain(words.cell_names(culprit.rows, _NAMES_PER_GROUP)), "bold")
        text.append(f"\n{figures.plain(culprit.words)}")
        lines += indented(Text("  "), text, width)
        if culprit.bundle:
            path = _nearest_path(folder / culprit.bundle) if folder else culprit.bundle
            lines += _path_lines("bundle:", path, width, indent=2)
    if len(found) > _CAUSES:
        lines.append(Text(f"  … and {len(found) - _CAUSES} more: see the report"))
    return [*lines, Text()] if lines else []


def _section(title: str, sentences: Sequence[Text], width: int, most: int = _LINES) -> list[Text]:
    """A heading with some sentences below, and how many more there are; nothing without any."""
    lines = [Text(title, style="bold")] if sentences else []
    most += len(sentences) == most + 1  # a line on the one that is left out would save none
    for sentence in sentences[:most]:
        lines += indented(Text("  "), sentence, width)
    if len(sentences) > most:
        lines.append(Text(f"  … and {len(sentences) - most:,} more: see the report"))
    return [*lines, Text()] if lines else []


def _path_lines(word: str, path: str, width: int, indent: int = _OUTCOME_WIDTH + 1) -> list[Text]:
    """A path after a word, left whole even where it is wider than the terminal, so that it can be copied."""
    head = f"{'':{indent}}{word}"
    if cell_len(f"{head} {path}") <= width:
        return [Text(f"{head} {path}", style="dim")]
    return [Text(head, style="dim"), Text(path, style="dim", no_wrap=True)]


def _nearest_path(path: Path) -> str:
    """Absolute or relative to the current folder, whichever is shorter."""
    return min(str(path.absolute()), os.path.relpath(path), key=len)


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
