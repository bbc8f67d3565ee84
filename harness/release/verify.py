"""Whether an evidence bundle is whole, and whether what it says follows from what is in it. Nothing is unpacked."""

from __future__ import annotations

import hashlib
import json
import re
import tempfile
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from pydantic import ValidationError

from harness.errors import UsageError
from harness.measure import latency
from harness.plan.qualification import Qualification
from harness.plan.row import CellRow, Matrix
from harness.record import journal
from harness.release.decide import Policy, decide
from harness.release.evidence import BASELINE, MANIFEST, RECORD
from harness.report import matrix as matrix_file

_CHUNK = 1 << 20
_LARGEST_MANIFEST = 64 << 20
_LINE = re.compile(r"([0-9a-f]{64})  (.+)")


@dataclass(frozen=True)
class Check:
    """One thing that was looked at; `wrong` is empty if it holds."""

    what: str
    wrong: tuple[str, ...] = ()


def verify(bundle: Path) -> list[Check]:
    """Check a bundle.

    Returns:
        What was checked, in order; the content is only looked at when every hash is right.

    Raises:
        UsageError: the file is no readable zip.
    """
    try:
        with zipfile.ZipFile(bundle) as archive:
            return list(_checks(archive))
    except (OSError, zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError) as error:
        raise UsageError(f"{bundle}: is no readable evidence bundle: {error}") from None


def _checks(archive: zipfile.ZipFile) -> Iterator[Check]:
    names = [entry.filename for entry in archive.infolist()]
    unsafe = [name for name in names if _unsafe(name)] + sorted({name for name in names if names.count(name) > 1})
    yield Check("names", tuple(f"{name}: is no plain path, or is there twice" for name in unsafe))
    if unsafe:
        return
    listed, wrong = _manifest(archive, names)
    files = [name for name in names if name != MANIFEST]
    wrong += [f"{name}: is not in {MANIFEST}" for name in files if name not in listed]
    wrong += [f"{name}: is missing" for name in listed if name not in files]
    changed = [name for name in files if name in listed and _digest(archive, name) != listed[name]]
    wrong += [f"{name}: was changed" for name in changed]
    yield Check(f"{len(listed)} hashes of {MANIFEST}", tuple(wrong))
    if not wrong:
        yield from _content(archive)


def _unsafe(name: str) -> bool:
    path = PurePosixPath(name)
    return path.is_absolute() or ".." in path.parts or "\\" in name or name.endswith("/")


def _manifest(archive: zipfile.ZipFile, names: list[str]) -> tuple[dict[str, str], list[str]]:
    if MANIFEST not in names:
        return {}, [f"{MANIFEST}: is missing"]
    if archive.getinfo(MANIFEST).file_size > _LARGEST_MANIFEST:
        return {}, [f"{MANIFEST}: is too large"]
    listed: dict[str, str] = {}
    wrong = []
    for number, line in enumerate(archive.read(MANIFEST).decode("utf-8", "replace").splitlines(), 1):
        match = _LINE.fullmatch(line)
        if match is None or match[2] in listed:
            wrong.append(f"{MANIFEST}:{number}: is no line of hash and name, or names a file again")
        else:
            listed[match[2]] = match[1]
    return listed, wrong


def _digest(archive: zipfile.ZipFile, name: str) -> str:
    digest = hashlib.sha256()
    with archive.open(name) as stream:
        while chunk := stream.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def _content(archive: zipfile.ZipFile) -> Iterator[Check]:
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        try:
            matrix = _matrix(archive, matrix_file.FILE_NAME, place)
            baseline = _matrix(archive, BASELINE, place) if BASELINE in archive.namelist() else None
            matrix_file.check_sums(matrix)
        except (UsageError, KeyError, matrix_file.MatrixError) as error:
            yield Check("matrix.json", (str(error),))
            return
        yield Check(f"matrix.json: {len(matrix['cells'])} cells, each with one outcome")
        yield Check("latency figures follow from the raw samples", tuple(_wrong_medians(matrix)))
        yield from _journal(archive, matrix, place)
        yield Check("the decision follows from the matrix and the policy", tuple(_decision(archive, matrix, baseline)))


def _matrix(archive: zipfile.ZipFile, name: str, place: Path) -> Matrix:
    file = place / name.replace("/", "-")
    file.write_bytes(archive.read(name))
    return matrix_file.load(file)


def _wrong_medians(matrix: Matrix) -> Iterator[str]:
    for row in matrix["cells"]:
        found = row["latency"]
        if found is None:
            continue
        again = latency.summarise(found["rounds"], found["scope"], found["init_us"], found["first_us"], found["start"])
        for figure in ("count", "median_us", "p90_us", "min_us", "max_us"):
            if again[figure] != found[figure]:
                yield f"{row['id']}: {figure} is not that of its samples"


def _journal(archive: zipfile.ZipFile, matrix: Matrix, place: Path) -> Iterator[Check]:
    if journal.NAME not in archive.namelist():
        yield Check("the journal", (f"{journal.NAME} is missing",))
        return
    file = place / journal.NAME
    file.write_bytes(archive.read(journal.NAME))
    try:
        plan, attempts = journal.read(file)
    except ValueError as error:
        yield Check("the journal", (str(error),))
        return
    planned = {entry["id"] for entry in plan["cells"]}
    wrong = [
        f"{row['id']}: is in the matrix, but was not planned" for row in matrix["cells"] if row["id"] not in planned
    ]
    wrong += [f"{name}: was planned, but is not in the matrix" for name in planned - {r["id"] for r in matrix["cells"]}]
    samples = _samples(attempts)
    wrong += [
        f"{row['id']}: its samples are not those of the journal" for row in matrix["cells"] if _differs(row, samples)
    ]
    yield Check(f"the journal: {len(attempts)} attempts behind the rows", tuple(wrong))


def _samples(attempts: list[dict[str, Any]]) -> dict[tuple[str, int], list[float]]:
    """Raw latencies of each measured round."""
    return {
        (one["cell"], one["round"]): list(one["measurement"]["samples_us"]) for one in attempts if one["measurement"]
    }


def _differs(row: CellRow, samples: dict[tuple[str, int], list[float]]) -> bool:
    rounds = row["latency"]["rounds"] if row["latency"] else []
    return any(samples.get((row["id"], one["round"])) != one["samples_us"] for one in rounds)


def _decision(archive: zipfile.ZipFile, matrix: Matrix, baseline: Matrix | None) -> Iterator[str]:
    try:
        stated = json.loads(archive.read(RECORD))
        asks = Qualification.model_validate(stated["policy"])
        policy = Policy(asks, stated["policy_origin"], stated["policy_sha256"])
        again = decide(matrix, policy, stated["decided"], baseline).record()
    except (KeyError, ValueError, TypeError, ValidationError) as error:
        yield f"{RECORD}: cannot be decided again: {error}"
        return
    for key in ("verdict", "reasons", "disqualified", "run", "baseline"):
        if again[key] != stated.get(key):
            yield f"{RECORD}: '{key}' is {stated.get(key)!r}, but {again[key]!r} follows"
