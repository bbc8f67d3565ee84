"""Makes a release's `litert-<version>-<abi>.zip` files out of LiteRT's Android archive: for release.yml alone.

pack_runtime.py AAR VERSION FOLDER ABI...

An ABI that the archive has no runtime for gets no file, except the first one, which has to be there with a GPU
accelerator. The same archive always gives the same bytes.
"""

from __future__ import annotations

import sys
import zipfile
from pathlib import Path

LICENSE = Path(__file__).resolve().parent.parent / "LICENSE"  # LiteRT's is the same: Apache 2.0
_EPOCH = (1980, 1, 1, 0, 0, 0)


def pack(aar: Path, version: str, folder: Path, abis: list[str]) -> list[Path]:
    """Write the zip files; those that were made.

    Raises:
        SystemExit: the first ABI lacks the runtime or a GPU accelerator.
    """
    made = []
    with zipfile.ZipFile(aar) as source:
        for abi in abis:
            prefix = f"jni/{abi}/libLiteRt"
            names = sorted(name for name in source.namelist() if name.startswith(prefix) and name.endswith(".so"))
            if abi == abis[0] and not any(name.endswith("Accelerator.so") for name in names):
                raise SystemExit(f"{aar}: has no GPU accelerator for {abi}: {names}")
            if f"{prefix}.so" not in names:
                sys.stdout.write(f"::warning::LiteRT {version} has no runtime for {abi}\n")
                continue
            path = folder / f"litert-{version}-{abi}.zip"
            with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as copy:
                for name in names:
                    copy.writestr(_entry(name), source.read(name))
                copy.writestr(_entry("LICENSE"), LICENSE.read_bytes())
            made.append(path)
    return made


def _entry(name: str) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name, _EPOCH)
    entry.compress_type = zipfile.ZIP_DEFLATED
    return entry


if __name__ == "__main__":
    pack(Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3]), sys.argv[4:])
