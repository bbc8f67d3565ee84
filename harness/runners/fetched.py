"""What `harness fetch android` brought: a runner and a runtime for each ABI, by hash, for this version of the harness.

Another version of the harness may need another runner: after an upgrade nothing is here until it is fetched anew.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness import __version__
from harness.lab.spec import abi_of
from harness.paths import write_atomically
from harness.runners.archives import LIBRARY, folder_of
from harness.runners.download import cache_folder, kept, unwritable

COMMAND = "harness fetch android"


@dataclass(frozen=True)
class FetchedRuntime:
    """A runtime's libraries in the cache.

    Attributes:
        version: as the release or the archive states it; None if it does not.
        folder: with the libraries.
        archive: SHA-256 of what they came in.
    """

    version: str | None
    folder: Path
    archive: str


def fetched_runner(target: str) -> Path | None:
    """The fetched delegate_bench for a target, verified; None if there is none. Raises UsageError."""
    sha256 = _index(target).get("runner", {}).get("sha256")
    return kept(sha256) if isinstance(sha256, str) else None


def fetched_runtime(target: str) -> FetchedRuntime | None:
    """The fetched runtime for a target; None if there is none. Raises UsageError."""
    entry = _index(target).get("runtime", {})
    abi, sha256 = abi_of(target), entry.get("sha256")
    if abi is None or not isinstance(sha256, str):
        return None
    folder = folder_of(sha256, abi)
    return FetchedRuntime(entry.get("version"), folder, sha256) if (folder / LIBRARY).is_file() else None


def remember(target: str, part: str, entry: Mapping[str, str | None]) -> None:
    """Note what the cache holds for a target.

    Args:
        target: an Android target.
        part: "runner" or "runtime".
        entry: its "sha256", and the runtime's "version".

    Raises:
        UsageError: the cache cannot be written.
    """
    index = {**_index(target), part: dict(entry)}
    try:
        write_atomically(_file(target), json.dumps(index).encode())
    except OSError as error:
        raise unwritable(error) from None


def _file(target: str) -> Path:
    return cache_folder("android", __version__) / f"{target}.json"


def _index(target: str) -> Mapping[str, Any]:
    if abi_of(target) is None:
        return {}
    try:
        index = json.loads(_file(target).read_bytes())
    except (FileNotFoundError, ValueError):  # nothing fetched yet, or a damaged note: fetching mends both
        return {}
    except OSError as error:
        raise unwritable(error) from None
    return index if isinstance(index, dict) else {}
