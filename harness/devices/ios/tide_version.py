"""Which tidevice is installed. It is imported in a process of its own only; see `phone_child`."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version

from harness.errors import UsageError

PINNED = "0.12.11"
"""The one version whose inner parts are known: what never downloads an image is not public."""

INSTALL = "pip install 'delegate-harness[ios]'"


def installed() -> str | None:
    """Its version; None if it is not installed for this Python."""
    try:
        return version("tidevice")
    except PackageNotFoundError:
        return None


def require(origin: str = "") -> None:
    """Raise UsageError unless the right tidevice is installed.

    Args:
        origin: "file:line" of the entry that needs it.
    """
    found = installed()
    if found == PINNED:
        return
    at = f"{origin}: " if origin else ""
    what = "is not installed" if found is None else f"is version {found}, and only {PINNED} is known to do no harm"
    raise UsageError(f"{at}iPhones need the package tidevice, which {what}; run: {INSTALL}")
