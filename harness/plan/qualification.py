"""The section `qualification` of a suite: what a run must be for a release to rest on it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from pydantic import Field

from harness.plan.cell import Expect
from harness.yamlmodel import Duration, Name, Number, Section, Sha256


class CoverageEntry(Section):
    """Shares of planned cells that must have been measured, and count."""

    per_model: Number = Field(default=1.0, ge=0, le=1, description="Of each model.")
    per_label: Mapping[Name, Number] = Field(default={}, description="Label of devices -> share of their cells.")


class PinsEntry(Section):
    """What exactly must have been measured. A name that is not pinned may have any hash."""

    models: Mapping[Name, Sha256] = Field(default={}, description="Model -> SHA-256 of the file that is shipped.")
    runners: Mapping[Name, Sha256] = Field(default={}, description="Benchmark program -> SHA-256.")
    runtimes: tuple[Sha256, ...] = Field(default=(), description="SHA-256 of the LiteRT libraries that may be used.")


class Qualification(Section):
    """What a run must be for a release to rest on it."""

    block: tuple[Literal["MARGINAL", "UNSUPPORTED", "WAIVED"], ...] = Field(
        default=(), description="Outcomes that block, beside FAIL, ERROR, TIMEOUT and NOT_RUN, which always do."
    )
    expect: Expect = Field(default="measured", description="measured: an UNSUPPORTED cell is a gap.")
    coverage: CoverageEntry = Field(default=CoverageEntry(), description="How much must have been measured.")
    max_age: Duration = Field(default=7 * 86400.0, description="Of each cell's newest measurement.")
    profile: Literal["quick", "nightly", "release"] = Field(default="release", description="At least this one.")
    require_sha256: tuple[Literal["models", "runners", "runtimes"], ...] = Field(
        default=("models", "runners", "runtimes"), description="Whose hashes every row must state."
    )
    pins: PinsEntry = Field(default=PinsEntry(), description="Hashes that must be these.")
    real_inputs: bool = Field(
        default=True, description="Models with task classify, segment, detect or keypoints must have had input files."
    )
    baseline: Literal["required", "optional"] = Field(default="required", description="Whether a baseline is needed.")
