"""A runner's program that lies: the true delegate_bench measures, then what it wrote is changed.

Sizes and checksums are stated anew, so that the record is whole and only the answer is wrong. The environment names
the program and the fault: `TRUE_RUNNER`, `FAULT`, and for "stale" `STALE_FOLDER`, where outputs are kept. Cells of
the CPU stay as they are. Not imported: devices.yaml names a copy of it, with this Python in its first line.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zlib
from pathlib import Path
from typing import Any

import numpy as np

Entry = dict[str, Any]


def main(arguments: list[str]) -> int:
    """Measure, then tamper."""
    runner, fault = os.environ["TRUE_RUNNER"], os.environ["FAULT"]
    code = subprocess.run([runner, *arguments], check=False).returncode
    out = Path(option(arguments, "--out"))
    if code != 0 or option(arguments, "--accelerator") == "cpu":
        return code
    path = out / "result.json"
    record = json.loads(path.read_text())
    tensors = [load(out, entry) for entry in record["outputs"]]
    if fault == "cpu_copy":
        tensors = of_the_cpu(runner, arguments, out)
    elif fault == "stale":
        tensors = earlier(tensors)
    else:
        FAULTS[fault](record["outputs"], tensors)
    for entry, tensor in zip(record["outputs"], tensors, strict=True):
        data = np.ascontiguousarray(tensor).tobytes()
        (out / Path(entry["file"]).name).write_bytes(data)
        entry["bytes"], entry["crc32"] = len(data), f"{zlib.crc32(data):08x}"
    path.write_text(json.dumps(record))
    return 0


def option(arguments: list[str], name: str) -> str:
    """The value behind an option."""
    return arguments[arguments.index(name) + 1]


def load(out: Path, entry: Entry) -> Any:
    """An output as the runner wrote it."""
    return np.fromfile(out / Path(entry["file"]).name, entry["dtype"]).reshape(entry["shape"])


def of_the_cpu(runner: str, arguments: list[str], out: Path) -> list[Any]:
    """The same samples, computed by the CPU."""
    changed = list(arguments)
    folder = out.with_name("of-the-cpu")
    folder.mkdir()
    changed[changed.index("--out") + 1] = str(folder)
    changed[changed.index("--accelerator") + 1] = "cpu"
    for name in ("--precision", "--backend"):
        at = changed.index(name)
        del changed[at : at + 2]
    subprocess.run([runner, *changed], check=True)
    return [load(folder, entry) for entry in json.loads((folder / "result.json").read_text())["outputs"]]


def earlier(tensors: list[Any]) -> list[Any]:
    """What the cell before gave; the first cell's outputs are its own."""
    kept = Path(os.environ["STALE_FOLDER"]) / "outputs.npz"
    if not kept.exists():
        np.savez(kept, *tensors)
        return tensors
    with np.load(kept) as stored:
        return [stored[name] for name in stored.files]


def swap(entries: list[Entry], tensors: list[Any]) -> None:
    """Outputs 2 and 3 of every sample change places."""
    places = {(entry["sample"], entry["index"]): number for number, entry in enumerate(entries)}
    for sample in {entry["sample"] for entry in entries}:
        one, other = places[sample, 2], places[sample, 3]
        tensors[one], tensors[other] = tensors[other], tensors[one]


def nchw(entries: list[Entry], tensors: list[Any]) -> None:
    """Output 1 comes in the order of another layout."""
    for number, entry in enumerate(entries):
        if entry["index"] == 1:
            tensors[number] = tensors[number].transpose(0, 3, 1, 2)


def nan(entries: list[Entry], tensors: list[Any]) -> None:
    """One element of one sample is not a number."""
    number = next(i for i, entry in enumerate(entries) if (entry["sample"], entry["index"]) == (1, 0))
    tensors[number][0, 3, 4, 5] = np.nan


def zeros(entries: list[Entry], tensors: list[Any]) -> None:
    """Nothing was written into any buffer."""
    for tensor in tensors:
        tensor[...] = 0


FAULTS = {"swap": swap, "nchw": nchw, "nan": nan, "zeros": zeros}

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
