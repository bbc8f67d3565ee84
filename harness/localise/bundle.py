"""What shows a wrong operation to somebody else: one small zip file for each cell, to attach to a bug report."""

from __future__ import annotations

import hashlib
import io
import json
import sys
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.localise import reproduce
from harness.localise.bugreport import bug_report
from harness.localise.sides import Sides
from harness.localise.task import Array, Located
from harness.paths import write_atomically
from harness.plan.cell import Cell, Delegate, Model
from harness.plan.result import RoundResult

FORMAT = 1
LARGEST = 20 << 20
"""Bytes of a bundle: what issue trackers take as an attachment (GitHub: 25 MB)."""

_MOST = 0.05
_SHARE = 4
_WHEN = (1980, 1, 1, 0, 0, 0)
_FACTS = (
    *("model", "manufacturer", "soc", "cpu_model", "architecture"),
    *("os", "os_version", "android_version", "emulated"),
)


@dataclass(frozen=True)
class Evidence:
    """What is known of a cell beside what was located.

    Attributes:
        cell: whose answer is wrong.
        kind: of its device: "local", "android", "ios" or "ssh".
        model: of the whole model.
        facts: of its device.
        sides: what was compared.
        result: of the last piece that ran on the device's side; None if none did.
        harness_version: of this harness.
    """

    cell: Cell
    kind: str
    model: Model
    facts: Mapping[str, Any]
    sides: Sides
    result: RoundResult | None
    harness_version: str


def write_bundle(path: Path, found: Located, evidence: Evidence) -> str | None:
    """Write the bundle of a located fault.

    Args:
        path: of the zip file; its folder is made if absent.
        found: with a sub-model.
        evidence: what else is known.

    Returns:
        Words if there is none, because it would be larger than `LARGEST` or its outputs cannot be compared.

    Raises:
        OSError: it cannot be written.
    """
    if found.submodel is None:
        raise ValueError("nothing was located")
    try:
        manifest = _manifest(found, found.submodel, evidence)
    except reproduce.Trouble as trouble:
        return f"no bundle was made: {trouble}"
    files: dict[str, bytes] = {
        "README.md": bug_report(manifest, found).encode(),
        "manifest.json": json.dumps(manifest, indent=1).encode() + b"\n",
        "model.tflite": found.submodel,
        "reproduce.py": Path(reproduce.__file__).read_bytes(),
        **{entry["file"]: _raw(array) for entry, array in zip(manifest["inputs"], found.inputs, strict=True)},
    }
    for side, arrays in (("reference", found.reference_outputs), ("device", found.device_outputs)):
        files.update({f"{side}/o{number}.bin": _raw(array) for number, array in enumerate(arrays)})
    data = _zipped(files)
    if len(data) > LARGEST:
        return f"no bundle was made: it would have {len(data) / 2**20:.0f} MiB, more than {LARGEST >> 20} MiB"
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, data)
    return None


def _manifest(found: Located, submodel: bytes, evidence: Evidence) -> dict[str, Any]:
    row, cell, result = found.row, evidence.cell, evidence.result
    off = _error(found)
    runtime = dict(result.runtime) if result is not None else {}
    runner = dict(result.runner) if result is not None else {}
    return {
        "format": FORMAT,
        "title": _title(found, evidence),
        "words": row["words"],
        "status": row["status"],
        "op": row["op"],
        "crash": not found.device_outputs,
        "max_abs_of_range": off,
        "limit": _limit(off, found.tolerance),
        "model": {"name": cell.model.name, "sha256": evidence.model.sha256, "bytes": evidence.model.size},
        "submodel": {"sha256": hashlib.sha256(submodel).hexdigest(), "bytes": len(submodel)},
        "inputs": [{**entry, "file": f"inputs/i{entry['index']}.bin"} for entry in _tensors(found.inputs)],
        "outputs": _tensors(found.reference_outputs),
        "sides": {"device": _side(evidence.sides.device), "reference": _side(evidence.sides.reference)},
        "device": {"kind": evidence.kind, **{key: evidence.facts[key] for key in _FACTS if evidence.facts.get(key)}},
        "adapter": result.adapter if result is not None else None,
        "adapter_software": result.adapter_software if result is not None else None,
        "runtime": {"version": runtime.get("version"), "sha256": runtime.get("sha256")},
        "runner": {key: runner.get(key) for key in ("name", "context", "version", "sha256", "command")},
        "harness": evidence.harness_version,
        "cuts": row["cuts"],
    }


def _title(found: Located, evidence: Evidence) -> str:
    op, accelerator = found.row["op"], evidence.cell.delegate.accelerator.upper()
    what = f"{op['type']}" if op else f"operations {found.row['first']} to {found.row['last']}"
    how = "wrong result" if found.device_outputs else "crash"
    version = evidence.result.runtime.get("version") if evidence.result is not None else None
    return f"{what}: {how} on the {accelerator}{f', LiteRT {version}' if version else ''}"


def _side(delegate: Delegate) -> dict[str, Any]:
    return {
        "accelerator": delegate.accelerator,
        "backend": delegate.backend,
        "precision": delegate.precision,
        "kernels": delegate.kernels,
        "threads": delegate.threads,
        "fallback": delegate.fallback,
    }


def _tensors(arrays: Sequence[Array]) -> list[dict[str, Any]]:
    return [
        {
            "index": number,
            "dtype": array.dtype.name,
            "shape": list(array.shape),
            "sha256": hashlib.sha256(_raw(array)).hexdigest(),
        }
        for number, array in enumerate(arrays)
    ]


def _error(found: Located) -> float | None:
    """How far the device was off, as reproduce.py counts it; None if it crashed."""
    if not found.device_outputs:
        return None
    return min(
        sys.float_info.max,
        max(
            reproduce.difference(_numbers(reference), _numbers(measured)).of_range
            for reference, measured in zip(found.reference_outputs, found.device_outputs, strict=True)
        ),
    )


def _limit(off: float | None, tolerance: float) -> float:
    """Of the range: what is the bug on another device too, and no rounding."""
    return max(tolerance, _MOST if off is None else min(_MOST, off / _SHARE))


def _numbers(array: Array) -> list[float]:
    return reproduce.numbers(_raw(array), array.dtype.name)


def _raw(array: Array) -> bytes:
    """Raw, C order, little endian (as every platform that the runtime exists for)."""
    return array.tobytes()


def _zipped(files: Mapping[str, bytes]) -> bytes:
    """A zip file that is the same whenever it is made."""
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            entry = zipfile.ZipInfo(name, _WHEN)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, data)
    return target.getvalue()
