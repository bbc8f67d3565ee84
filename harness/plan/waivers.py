"""`waivers.yaml`: named, dated, expiring permissions to fail."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from harness.plan.row import WaiverRow
from harness.yamlfile import Document, load
from harness.yamlmodel import Name, Section, schema, validate

VERSION = 1
FILE_NAME = "waivers.yaml"
_GLOB_HELP = "glob of names"


class ScopeEntry(Section):
    """Which failures a waiver is for: all that match every glob."""

    model: str = Field(default="*", min_length=1, description=f"Models: {_GLOB_HELP}.")
    device: str = Field(default="*", min_length=1, description=f"Devices: {_GLOB_HELP}.")
    delegate: str = Field(default="*", min_length=1, description=f"Delegates: {_GLOB_HELP}.")
    gate: str = Field(default="*", min_length=1, description=f"Gates, baseline_latency and its like too: {_GLOB_HELP}.")


class WaiverEntry(Section):
    """A permission to fail. Who gave it, why, and until when, are asked of everybody."""

    id: Name = Field(description="By which reports name it; unique in the file.")
    owner: str = Field(min_length=1, description="Who answers for it.")
    reason: str = Field(min_length=1, description="Why this failure may be shipped.")
    ticket: str = Field(min_length=1, description="Where it is worked on.")
    expires: str = Field(description="Its last day, YYYY-MM-DD, in UTC.")
    scope: ScopeEntry = Field(description="What it is for.")


class WaiversFile(Section):
    """waivers.yaml."""

    version: Literal[1] = Field(description="Version of this format.")
    waivers: tuple[WaiverEntry, ...] = Field(description="May be empty.")


def load_waivers(path: Path) -> list[WaiverRow]:
    """Read a waivers file; nothing is said yet about what the waivers are used for.

    Raises:
        UsageError: with file, line and key, for anything wrong in the file.
    """
    document = load(path, version=VERSION)
    rows: list[WaiverRow] = []
    for number, entry in enumerate(validate(WaiversFile, document).waivers):
        if any(row["id"] == entry.id for row in rows):
            raise document.error(("waivers", number, "id"), f"'{entry.id}' is the id of an earlier waiver")
        if all(set(glob) <= set("*?") for glob in entry.scope.model_dump().values()):
            message = "would waive every failure there is; name a model, device, delegate or gate"
            raise document.error(("waivers", number, "scope"), message)
        rows.append(
            {
                "id": entry.id,
                "owner": entry.owner,
                "reason": entry.reason,
                "ticket": entry.ticket,
                "expires": _day(document, number, entry.expires),
                "model": entry.scope.model,
                "device": entry.scope.device,
                "delegate": entry.scope.delegate,
                "gate": entry.scope.gate,
                "status": "unmatched",
                "cells": [],
                "origin": document.where(("waivers", number)),
            }
        )
    return rows


def _day(document: Document, number: int, text: str) -> str:
    try:
        day = datetime.date.fromisoformat(text)
    except ValueError:
        day = None
    if day is None or day.isoformat() != text:
        shown = document.shown(("waivers", number, "expires"))
        raise document.error(("waivers", number, "expires"), f"expected a day such as 2026-12-31, got {shown}")
    return text


def json_schema() -> dict[str, Any]:
    """JSON Schema of a waivers file, for editors."""
    return schema(WaiversFile, "Waivers")
