"""The cache of golden outputs: one folder per run, whole or absent."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.paths import sha256_file, write_atomically
from harness.plan.result import OutputFile
from harness.plan.row import ReferenceRow


@dataclass(frozen=True)
class Golden:
    """Reference outputs of one model for one input set.

    Attributes:
        outputs: in the order of samples, then of `Model.outputs`; shapes are the real ones, after the run.
        kernels: "reference" or "xnnpack".
        runtime: name and version, "ai-edge-litert 2.3.0".
        fallback_reason: why not reference kernels; None if they computed.
    """

    outputs: tuple[OutputFile, ...]
    kernels: str
    runtime: str
    fallback_reason: str | None = None

    def row(self) -> ReferenceRow:
        """What `matrix.json` says about this reference."""
        return ReferenceRow(
            kind="golden",
            device=None,
            runtime=self.runtime,
            kernels=self.kernels,
            fallback_reason=self.fallback_reason,
        )


def publish(result: dict[str, Any], folder: Path, entry: Path) -> Golden:
    """Put a finished child's folder into the cache, whole.

    Args:
        result: the child's: "kernels", "fallback_reason", "runtime" and "outputs".
        folder: holds the output files; it becomes the entry.
        entry: where the cache keeps it, on the same file system.
    """
    for output in result["outputs"]:
        output["sha256"] = sha256_file(folder / output["file"])
    write_atomically(folder / "meta.json", json.dumps(result).encode())
    try:
        folder.rename(entry)
    except OSError:  # another process was faster; its entry is as good
        if not entry.is_dir():
            raise
    golden = read(entry)
    if golden is None:
        raise OSError(f"{entry}: what was just written cannot be read back")
    return golden


def read(entry: Path) -> Golden | None:
    """A cache entry, if it is whole; a damaged one is removed."""
    if not entry.exists():
        return None
    meta = read_json(entry / "meta.json")
    try:
        if meta is not None and all(_intact(entry / output["file"], output) for output in meta["outputs"]):
            return Golden(
                outputs=tuple(
                    OutputFile(
                        sample=output["sample"],
                        index=output["index"],
                        name=output["name"],
                        dtype=output["dtype"],
                        shape=tuple(output["shape"]),
                        path=str(entry / output["file"]),
                        bytes=output["bytes"],
                    )
                    for output in meta["outputs"]
                ),
                kernels=meta["kernels"],
                runtime=meta["runtime"],
                fallback_reason=meta["fallback_reason"],
            )
    except (KeyError, TypeError):
        pass
    shutil.rmtree(entry, ignore_errors=True)
    return None


def _intact(path: Path, output: dict[str, Any]) -> bool:
    return path.is_file() and path.stat().st_size == output["bytes"] and sha256_file(path) == output["sha256"]


def read_json(path: Path) -> dict[str, Any] | None:
    """The object in a JSON file; None if it is missing, damaged or something else."""
    try:
        value = json.loads(path.read_text())
    except (OSError, ValueError):
        return None
    return value if isinstance(value, dict) else None
