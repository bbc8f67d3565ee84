"""The qualification document: what was decided and why, in a form that a person signs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from harness.measure.verdict import GOOD, is_waived
from harness.plan.cell import Outcome
from harness.plan.row import CellRow, Matrix
from harness.release.decide import Decision
from harness.report import figures
from harness.report.serve.pages import plain_style

_MEASURED = GOOD | {Outcome.FAIL.value}
_MOST_ROWS = 100
_CHANGES = ("WORSE", "UNCOMPARABLE", "NEW", "BETTER")
_FACTS = ("model", "soc", "os", "os_version", "build", "fingerprint", "kernel", "gpu_driver", "opencl", "metal_device")


@dataclass(frozen=True)
class Table:
    """Rows of text under a heading; `note` says what an empty one means, or what was left out."""

    title: str
    columns: tuple[str, ...] = ()
    rows: tuple[tuple[str, ...], ...] = ()
    note: str = ""


@dataclass(frozen=True)
class Document:
    """All that the document says, whatever it is written as."""

    title: str
    verdict: str
    sentence: str
    reasons: tuple[str, ...]
    cautions: tuple[str, ...]
    tables: tuple[Table, ...]


def compose(decision: Decision, files: Mapping[str, str]) -> Document:
    """The document of a decision.

    Args:
        decision: what was decided.
        files: name -> SHA-256 of the files that it rests on.
    """
    verdict = decision.summary["verdict"]
    suites = decision.matrix.get("suites") or [decision.matrix["suite"]]
    names = ", ".join(suite.get("name") or Path(suite["path"] or "suite").stem for suite in suites)
    tables = (
        _counts(decision),
        _models(decision),
        _failures(decision.matrix),
        _changes(decision.matrix),
        _differences(decision.matrix),
        _waivers(decision.matrix),
        _missing(decision),
        _policy(decision),
        _provenance(decision),
        _devices(decision.matrix),
        Table("Files", ("file", "SHA-256"), tuple(files.items())),
    )
    return Document(
        title=f"Release qualification: {names}",
        verdict={"PASS": "QUALIFIED", "FAIL": "NOT QUALIFIED", "INCOMPLETE": "NOT QUALIFIED: INCOMPLETE"}[verdict],
        sentence=_sentence(decision),
        reasons=tuple(decision.summary["reasons"]),
        cautions=decision.cautions,
        tables=tuple(table for table in tables if table.rows or table.note),
    )


def _sentence(decision: Decision) -> str:
    cells = [row for row in decision.matrix["cells"] if row["role"] == "cell"]
    counted = sum(row["outcome"] in _MEASURED and row["id"] not in decision.disqualified for row in cells)
    against = f"compared with {decision.baseline['run']['id']}" if decision.baseline else "compared with no baseline"
    return f"{counted} of {len(cells)} planned cells were measured in a way that counts, {against}."


def _counts(decision: Decision) -> Table:
    cells = [row for row in decision.matrix["cells"] if row["role"] == "cell"]
    counts = Counter("FAIL (waived)" if is_waived(row) else row["outcome"] for row in cells)
    counts["measured, but does not count"] = len(decision.disqualified)
    rows = [(name, str(count)) for name, count in counts.items() if count]
    return Table("Cells", ("outcome", "cells"), (*rows, ("planned", str(len(cells)))))


def _models(decision: Decision) -> Table:
    rows = []
    for model in decision.matrix["models"]:
        cells = [row for row in decision.matrix["cells"] if row["model"] == model["name"] and row["role"] == "cell"]
        counted = [row for row in cells if row["outcome"] in _MEASURED and row["id"] not in decision.disqualified]
        errors = [e for row in counted if (e := figures.worst(row, "max_abs_of_range")) is not None]
        speedups = [row["speedup"]["value"] for row in counted if row["speedup"]]
        speed = f"{figures.format_ratio(min(speedups))} to {figures.format_ratio(max(speedups))}" if speedups else "-"
        worst = figures.format_of_range(max(errors)) if errors else "-"
        rows.append((model["name"], f"{len(counted)} of {len(cells)}", worst, speed, model["sha256"] or "-"))
    return Table("Models", ("model", "cells that count", "largest error", "speed-up", "SHA-256"), tuple(rows))


def _failures(matrix: Matrix) -> Table:
    """Each failed gate, and who allows it: what a signature under waivers means."""
    rows = [
        (row["id"], gate["gate"], _number(gate["value"]), _number(gate["limit"]), gate["waiver"] or "none")
        for row in matrix["cells"]
        if row["role"] == "cell" and row["outcome"] == Outcome.FAIL.value
        for gate in row["gates"]
        if gate["verdict"] == "FAIL"
    ]
    rows.sort(key=lambda one: one[-1] != "none")
    return _bounded("Failed gates", ("cell", "gate", "value", "limit", "waiver"), rows, "No gate failed.")


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.6g}"


def _changes(matrix: Matrix) -> Table:
    rows = [
        (row["id"], regression["verdict"], "; ".join(regression["reasons"]))
        for row in matrix["cells"]
        if (regression := row["regression"]) and regression["verdict"] in _CHANGES
    ]
    rows.sort(key=lambda one: _CHANGES.index(one[1]))
    return _bounded("Since the baseline", ("cell", "change", "why"), rows, _unchanged(matrix))


def _differences(matrix: Matrix) -> Table:
    found = (matrix["baseline"] or {}).get("differences") or []
    return _bounded("What else is not as it was", ("difference",), [(str(text),) for text in found], "")


def _unchanged(matrix: Matrix) -> str:
    compared = any(row["regression"] for row in matrix["cells"])
    return "Nothing changed beyond the noise." if compared else "No baseline was given."


def _waivers(matrix: Matrix) -> Table:
    rows = [
        (one["id"], one["status"], one["owner"], one["reason"], one["ticket"], one["expires"], str(len(one["cells"])))
        for one in matrix["waivers"]
    ]
    columns = ("waiver", "status", "owner", "reason", "ticket", "expires", "cells")
    return Table("Waivers", columns, tuple(rows), "" if rows else "No waiver is in force.")


def _missing(decision: Decision) -> Table:
    grouped: dict[tuple[str, str], list[str]] = {}
    for row in decision.matrix["cells"]:
        if row["role"] != "cell":
            continue
        if row["outcome"] not in _MEASURED:
            grouped.setdefault((row["outcome"], row["reason"] or "no reason given"), []).append(row["id"])
        elif row["id"] in decision.disqualified:
            grouped.setdefault(("does not count", decision.disqualified[row["id"]]), []).append(row["id"])
    rows = [
        (outcome, why, str(len(ids)), ", ".join(ids[:3]) + (", ..." if len(ids) > 3 else ""))
        for (outcome, why), ids in sorted(grouped.items(), key=lambda item: -len(item[1]))
    ]
    note = "Every planned cell was measured, and counts."
    return _bounded("Not measured, or does not count", ("outcome", "why", "cells", "which"), rows, note)


def _policy(decision: Decision) -> Table:
    asks = decision.policy.asks
    labels = ", ".join(f"{label} {share:.0%}" for label, share in asks.coverage.per_label.items())
    rows = [
        ("from", f"{decision.policy.origin} (SHA-256 {decision.policy.sha256})"),
        ("blocks", ", ".join(["FAIL", "ERROR", "TIMEOUT", "NOT_RUN", *asks.block])),
        ("expect", asks.expect),
        ("coverage", f"{asks.coverage.per_model:.0%} of each model" + (f"; of labels: {labels}" if labels else "")),
        ("oldest measurement", f"{asks.max_age / 86400:g} days"),
        ("profile", asks.profile),
        ("baseline", asks.baseline),
        ("hashes stated", ", ".join(asks.require_sha256) or "none asked"),
        ("hashes pinned", str(len(asks.pins.models) + len(asks.pins.runners) + len(asks.pins.runtimes))),
        ("real inputs", "for tasks classify, segment, detect, keypoints" if asks.real_inputs else "not asked"),
        ("devices", "real ones alone: emulated devices and software adapters never count"),
    ]
    return Table("Policy", ("what", "asked"), tuple(rows))


def _provenance(decision: Decision) -> Table:
    run = decision.matrix["run"]
    suites = decision.matrix.get("suites") or [decision.matrix["suite"]]
    rows = [
        ("run", run["id"]),
        ("measured", f"{run['started']} to {run['finished'] or 'not finished'}"),
        ("decided", decision.decided),
        ("command", run["command"]),
        ("controller", run["host"]),
        ("harness", run["harness_version"]),
        ("git", run["git"] or "none"),
        *((f"suite {suite.get('name') or suite['path']}", f"SHA-256 {suite['sha256']}") for suite in suites),
        *((f"runtime {one['version']} ({one['target']})", f"SHA-256 {one['sha256']}") for one in _runtimes(decision)),
        *_runners(decision.matrix["cells"]),
    ]
    return Table("Provenance", ("what", "which"), tuple(rows), "The exact command of every cell is in rows.csv.")


def _runtimes(decision: Decision) -> list[dict[str, str]]:
    return [
        {key: str(one.get(key) or "-") for key in ("version", "target", "sha256")}
        for one in decision.matrix["runtimes"]
    ]


def _runners(cells: Iterable[CellRow]) -> list[tuple[str, str]]:
    found: dict[tuple[str, str], None] = {}
    for row in cells:
        if row["runner"]:
            name = f"runner {row['runner']['name']} {row['runner']['version'] or ''}".strip()
            found[(name, f"SHA-256 {row['runner']['sha256'] or 'not stated'}")] = None
    return list(found)


def _devices(matrix: Matrix) -> Table:
    rows = []
    for device in matrix["devices"]:
        facts = [f"{key} {device['facts'][key]}" for key in _FACTS if device["facts"].get(key)]
        kind = f"{device['kind']}, emulated" if device["emulated"] else device["kind"]
        adapter = f"{device['adapter'] or '-'}{' (software)' if device['adapter_software'] else ''}"
        rows.append((device["name"], kind, device["serial"] or "-", adapter, "; ".join(facts) or "-"))
    return Table("Devices", ("device", "kind", "serial", "GPU", "build"), tuple(rows))


def _bounded(title: str, columns: tuple[str, ...], rows: Sequence[tuple[str, ...]], empty: str) -> Table:
    left = len(rows) - _MOST_ROWS
    note = empty if not rows else f"{left} more are in matrix.json." if left > 0 else ""
    return Table(title, columns, tuple(rows[:_MOST_ROWS]), note)


def markdown(document: Document) -> str:
    """The document as Markdown."""
    lines = [f"# {_cell(document.title)}", "", f"**{document.verdict}**", "", _cell(document.sentence), ""]
    lines += [f"- {_cell(reason)}" for reason in document.reasons] + [""] * bool(document.reasons)
    lines += [f"> {_cell(caution)}" for caution in document.cautions] + [""] * bool(document.cautions)
    for table in document.tables:
        lines += [f"## {table.title}", ""]
        if table.rows:
            lines += [_line(table.columns), _line(["---"] * len(table.columns)), *map(_line, table.rows), ""]
        if table.note:
            lines += [_cell(table.note), ""]
    lines += ["## Signatures", "", _line(("role", "name", "date", "signature")), _line(["---"] * 4)]
    lines += [_line((role, "", "", "")) for role in SIGNERS]
    return "\n".join(lines) + "\n"


SIGNERS = ("Prepared by", "Reviewed by", "Released by")


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(_cell(cell) for cell in cells)} |"


def _cell(text: str) -> str:
    """Text that a Markdown renderer shows as it is, on one line."""
    flat = " ".join(text.split())
    return "".join(f"\\{one}" if one in "\\`*_[]<>|#" else one for one in flat)


def html(document: Document) -> str:
    """The document as one HTML page, which prints well."""
    folder = Path(__file__).parent
    environment = Environment(
        loader=FileSystemLoader(folder),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("qualification.html.j2").render(
        document=document,
        signers=SIGNERS,
        style=Markup(plain_style()),  # noqa: S704 - our own file
    )
