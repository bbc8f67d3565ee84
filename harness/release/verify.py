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

import yaml

from harness.errors import UsageError
from harness.plan.qualification import Qualification
from harness.plan.row import Matrix
from harness.record import journal
from harness.release import follows
from harness.release.decide import Decision, Policy, decide, is_own
from harness.release.evidence import BASELINE, BUNDLE, HASHED, MANIFEST, POLICIES, RECORD, texts, writer
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
    """Check a bundle, or the one in a folder.

    Returns:
        What was checked, in order; the content is only looked at when every hash is right.

    Raises:
        UsageError: the file is no readable zip.
    """
    try:
        with zipfile.ZipFile(bundle / BUNDLE if bundle.is_dir() else bundle) as archive:
            return list(_checks(archive))
    except (OSError, zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError) as error:
        why = error.strerror if isinstance(error, OSError) else error
        raise UsageError(f"{bundle}: is no readable evidence bundle: {why}; `harness qualify` writes one") from None


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
        yield Check("latency figures follow from the raw samples", tuple(follows.wrong_latencies(matrix)))
        yield Check("gates and outcomes follow from the figures", tuple(follows.wrong_verdicts(matrix)))
        yield from _journal(archive, matrix, place)
        yield from _decision(archive, matrix, baseline)


def _matrix(archive: zipfile.ZipFile, name: str, place: Path) -> Matrix:
    file = place / name.replace("/", "-")
    file.write_bytes(archive.read(name))
    return matrix_file.load(file)


def _journal(archive: zipfile.ZipFile, matrix: Matrix, place: Path) -> Iterator[Check]:
    if journal.NAME not in archive.namelist():
        yield Check("the journal", (f"{journal.NAME} is missing",))
        return
    file = place / journal.NAME
    file.write_bytes(archive.read(journal.NAME))
    try:
        plan, attempts = journal.read(file)
        wrong = tuple(follows.wrong_rows(matrix, plan, attempts))
    except (ValueError, KeyError, TypeError) as error:
        yield Check("the journal", (f"{journal.NAME}: cannot be read: {str(error).replace(str(place), '')}",))
        return
    yield Check(f"the rows are those of the journal: {len(attempts)} attempts", wrong)


def _decision(archive: zipfile.ZipFile, matrix: Matrix, baseline: Matrix | None) -> Iterator[Check]:
    what = "the decision follows from the matrix and the policy"
    try:
        stated = json.loads(archive.read(RECORD))
        asks = Qualification.model_validate(stated["policy"])
        policy = Policy(asks, stated["policy_origin"], stated["policy_sha256"])
        decision = decide(matrix, policy, stated["decided"], baseline)
        again = decision.record()
        wrong = [
            f"{RECORD}: '{key}' is {stated.get(key)!r}, but {again[key]!r} follows"
            for key in ("verdict", "reasons", "disqualified", "run", "baseline")
            if again[key] != stated.get(key)
        ]
        if not (is_own(asks, matrix) or _is_filed(asks, stated["policy_sha256"], archive)):
            wrong.append(f"{RECORD}: the policy is neither the run's own nor that of a file in policy/")
    except (
        KeyError,
        ValueError,
        TypeError,
        AttributeError,
        yaml.YAMLError,
    ) as error:  # ValidationError is a ValueError
        yield Check(what, (f"{RECORD}: cannot be decided again: {error}",))
        return
    yield Check(f"{what}: {again['verdict']}, on {stated['decided']}", tuple(wrong))
    if stated.get("writer") == writer():
        yield Check("the document says what was decided", tuple(_wrong_texts(archive, decision)))
    else:
        yield Check(f"the document was not compared: harness {stated.get('harness')} wrote it, or another state of it")


def _is_filed(asks: Qualification, sha256: str, archive: zipfile.ZipFile) -> bool:
    """Whether a suite's file in the bundle has this policy."""
    for name in archive.namelist():
        if not name.startswith(POLICIES):
            continue
        data = archive.read(name)
        if hashlib.sha256(data).hexdigest() == sha256:
            found = yaml.safe_load(data)
            return Qualification.model_validate(found["qualification"]) == asks
    return False


def _wrong_texts(archive: zipfile.ZipFile, decision: Decision) -> Iterator[str]:
    names = archive.namelist()
    hashes = {name: _digest(archive, name) for name in HASHED if name in names}
    for name, text in texts(decision, hashes).items():
        if name not in names or archive.read(name) != text.encode("utf-8", "replace"):
            yield f"{name}: is not what this harness writes of this decision"
