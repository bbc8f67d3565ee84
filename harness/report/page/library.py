"""Chart.js, as the page carries it: packed, so that a page on which nobody looks at a chart pays little for it."""

from __future__ import annotations

import base64
import gzip
import hashlib
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files


@dataclass(frozen=True)
class Library:
    """A script for the page.

    Attributes:
        packed: the script, gzip, in base64.
        digest: SHA-256 of the unpacked script in base64, for the page's Content-Security-Policy.
        licence: the terms of everything inside it; holds no two hyphens in a row, so it fits into an HTML comment.
    """

    packed: str
    digest: str
    licence: str


@lru_cache(maxsize=1)
def chart_library() -> Library:
    """Chart.js from the installed chartkick package, which exists to carry it."""
    package = files("chartkick")
    source = (package / "django" / "static" / "chartkick" / "Chart.bundle.js").read_bytes()
    terms = sorted((package / "licenses").iterdir(), key=lambda file: file.name)
    return Library(
        packed=base64.b64encode(gzip.compress(source, mtime=0)).decode("ascii"),
        digest=base64.b64encode(hashlib.sha256(source).digest()).decode("ascii"),
        licence="\n\n".join(
            file.read_text(encoding="utf-8").strip().replace("--", "- -")
            for file in terms
            if "chartkick" not in file.name
        ),
    )
