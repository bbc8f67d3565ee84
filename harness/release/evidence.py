"""The evidence bundle: everything that a qualification rests on, in one zip with a manifest of hashes.

`MANIFEST.sha256` has a line per file as `sha256sum --check` reads it. Equal content makes equal bundles: entries are
sorted, and carry no time.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from harness.paths import sha256_file, write_atomically
from harness.plan.row import CellRow
from harness.record import journal
from harness.release import document
from harness.release.decide import Decision
from harness.report import matrix as matrix_file
from harness.report.serve.pages import plain_style

BUNDLE = "evidence.zip"
MANIFEST = "MANIFEST.sha256"
RECORD = "qualification.json"
BASELINE = "baseline/matrix.json"
POLICIES = "policy/"
HASHED = (matrix_file.FILE_NAME, journal.NAME)
"""Files whose hashes the document states."""
_DOCUMENTS = ("qualification.md", "qualification.html")
_COLUMNS = (
    "cell",
    "outcome",
    "started",
    "model_sha256",
    "runner",
    "runner_sha256",
    "runtime",
    "runtime_sha256",
    "command",
)
_NO_TIME = (1980, 1, 1, 0, 0, 0)


def write(decision: Decision, run: Path, out: Path) -> list[Path]:
    """Write `qualification.md`, `.html` and `.json`, and the evidence bundle with its hash beside it.

    Args:
        decision: what was decided.
        run: the run's folder; what is missing in it is missing in the bundle, except `matrix.json` itself.
        out: where to; made if absent.

    Returns:
        The files, the document first.

    Raises:
        OSError: something cannot be read or written.
    """
    out.mkdir(parents=True, exist_ok=True)
    kept = dict(_files(run, out))
    hashes = {name: sha256_file(kept[name]) for name in HASHED if name in kept}
    made = texts(decision, hashes)
    record = json.dumps({**decision.record(), "writer": writer()}, indent=1, ensure_ascii=False) + "\n"
    extra = {**{name: _utf8(text) for name, text in made.items()}, RECORD: _utf8(record), **_policy_file(decision)}
    written = [out / name for name in (*_DOCUMENTS, RECORD)]
    for path in written:
        write_atomically(path, extra[path.name])
    if decision.baseline is not None:
        extra[BASELINE] = matrix_file.encode(decision.baseline)
    bundle = out / BUNDLE
    _zip(bundle, kept, extra)
    digest = out / f"{BUNDLE}.sha256"
    digest.write_text(f"{sha256_file(bundle)}  {BUNDLE}\n", encoding="utf-8")
    return [*written, bundle, digest]


def writer() -> str:
    """Tells this state of the code from others: a document is only compared with what equal code writes."""
    here = Path(__file__).parent
    sources = [*sorted(here.glob("*.py")), *sorted(here.glob("*.j2")), here.parent / "report" / "figures.py"]
    digest = hashlib.sha256(plain_style().encode())
    for path in sources:
        digest.update(path.read_bytes())
    return digest.hexdigest()


def texts(decision: Decision, hashes: Mapping[str, str]) -> dict[str, str]:
    """What people read of a decision: the document, and every row's provenance.

    Args:
        decision: what was decided.
        hashes: SHA-256 of each of `HASHED` that there is.
    """
    made = document.compose(decision, hashes)
    return {
        "qualification.md": document.markdown(made),
        "qualification.html": document.html(made),
        "rows.csv": _rows(decision),
    }


def _files(run: Path, out: Path) -> Iterator[tuple[str, Path]]:
    """Everything in the run's folder, except what a qualification leaves there; links lead elsewhere, and stay out."""
    made = {"qualification.md", "qualification.html", RECORD, BUNDLE, f"{BUNDLE}.sha256"}
    for path in sorted(run.rglob("*")):
        name = path.relative_to(run).as_posix()
        if path.is_symlink() or not path.is_file() or (path.parent == out and path.name in made):
            continue
        yield name, path


def _utf8(text: str) -> bytes:
    """Devices may send text that is no Unicode; a "?" there is better than no document."""
    return text.encode("utf-8", "replace")


def _policy_file(decision: Decision) -> dict[str, bytes]:
    """The file of the policy, if it still is what was read."""
    try:
        data = Path(decision.policy.origin).read_bytes()
    except OSError:
        return {}
    same = hashlib.sha256(data).hexdigest() == decision.policy.sha256
    return {f"{POLICIES}{Path(decision.policy.origin).name}": data} if same else {}


def _rows(decision: Decision) -> str:
    models = {model["name"]: model["sha256"] for model in decision.matrix["models"]}
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(_COLUMNS)
    for row in decision.matrix["cells"]:
        writer.writerow([_harmless(value) for value in _row(row, models.get(row["model"], ""))])
    return stream.getvalue()


def _row(row: CellRow, model: str) -> tuple[str | None, ...]:
    runner, runtime = row["runner"], row["runtime"]
    started = max((attempt["started"] for attempt in row["attempts"]), default=None)
    return (
        row["id"],
        row["outcome"],
        started,
        model,
        runner["name"] if runner else None,
        runner["sha256"] if runner else None,
        runtime["version"] if runtime else None,
        runtime["sha256"] if runtime else None,
        runner["command"] if runner else None,
    )


def _harmless(value: str | None) -> str | None:
    """Text that a spreadsheet does not take for a formula."""
    return f"'{value}" if value and value[0] in "=+-@\t\r" else value


def _zip(path: Path, kept: dict[str, Path], extra: dict[str, bytes]) -> None:
    manifest: dict[str, str] = {}
    temporary = path.with_name(f".{path.name}")
    try:
        with zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as archive:
            for name in sorted({*kept, *extra}):
                data = extra[name] if name in extra else kept[name].read_bytes()
                manifest[name] = hashlib.sha256(data).hexdigest()
                archive.writestr(_entry(name), data)
            lines = "".join(f"{digest}  {name}\n" for name, digest in manifest.items())
            archive.writestr(_entry(MANIFEST), lines.encode())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def _entry(name: str) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name, _NO_TIME)
    entry.compress_type = zipfile.ZIP_DEFLATED
    entry.external_attr = 0o644 << 16
    return entry
