"""The page's own scripts and styles, in the order in which they are put together."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path

SCRIPTS = (
    "core.js",
    "data.js",
    "parts.js",
    "columns.js",
    "filter.js",
    "matrix.js",
    "keys.js",
    "tools.js",
    "chart.js",
    "latency.js",
    "accuracy.js",
    "explain.js",
    "cell.js",
    "device.js",
    "model.js",
    "drawer.js",
    "sections.js",
    "conformance.js",
    "paper.js",
    "start.js",
)
STYLES = ("page.css", "matrix.css", "panels.css", "paper.css")


def script() -> str:
    """All scripts as one."""
    return _joined(SCRIPTS)


def style() -> str:
    """All styles as one."""
    return _joined(STYLES)


def digest(text: str) -> str:
    """SHA-256 in base64, as a Content-Security-Policy names it."""
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _joined(names: tuple[str, ...]) -> str:
    folder = Path(__file__).parent
    return "\n".join((folder / name).read_text(encoding="utf-8") for name in names)
