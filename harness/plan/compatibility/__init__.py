"""What a GPU should take of a model, told from its file alone; and beside it, what it did take.

`docs/compatibility.md` has the rules in words, and how often they were right.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from harness.errors import UsageError
from harness.plan.compatibility.classic import CLASSIC
from harness.plan.compatibility.compare import compare
from harness.plan.compatibility.graph import read_graph
from harness.plan.compatibility.mldrift import MLDRIFT
from harness.plan.compatibility.predict import NOT_REFUSED, prediction
from harness.plan.compatibility.profile import Profile
from harness.plan.explained import PredictionRow
from harness.yamlfile import suggest

__all__ = ["NOT_REFUSED", "compare", "of_runner", "predict", "predictions", "profiles"]

_PROFILES = {profile.name: profile for profile in (MLDRIFT, CLASSIC)}
_FIRST_MLDRIFT = (2, 2)


def profiles() -> Sequence[Profile]:
    """All profiles; those whose rules were held against a real accelerator come first."""
    return tuple(_PROFILES.values())


def predict(source: Path | bytes, subgraph: int, profile: str) -> PredictionRow:
    """What one profile says of a model.

    Args:
        source: the model's file, or its content.
        subgraph: position of the subgraph that is run.
        profile: its name.

    Raises:
        UsageError: there is no such profile.
        ValueError: the file cannot be used, which `tflite_file.describe` says of it too.
    """
    if profile not in _PROFILES:
        raise UsageError(f"no GPU profile called '{profile}'{suggest(profile, _PROFILES, 'there are')}")
    return prediction(read_graph(source, subgraph), _PROFILES[profile])


def predictions(source: Path | bytes, subgraph: int = 0) -> list[PredictionRow]:
    """What every profile says of a model, in the order of `profiles`. Raises ValueError as `predict` does."""
    graph = read_graph(source, subgraph)
    return [prediction(graph, profile) for profile in _PROFILES.values()]


def of_runner(rows: Sequence[PredictionRow], runner: str, runtime: str | None) -> PredictionRow | None:
    """The prediction that is about what a runner executes.

    Args:
        rows: predictions for one model.
        runner: name of the benchmark program.
        runtime: version of the LiteRT libraries, None where it is not known.

    Returns:
        That of ML Drift for `delegate_bench` with LiteRT 2.2 or newer, that of the classic delegate for upstream's
        `benchmark_model`, and None where no profile is about it.
    """
    if runner == "benchmark_model":
        wanted = CLASSIC.name
    elif runner == "delegate_bench" and _numbers(runtime) >= _FIRST_MLDRIFT:
        wanted = MLDRIFT.name
    else:
        return None
    return next((row for row in rows if row["profile"] == wanted), None)


def _numbers(version: str | None) -> tuple[int, ...]:
    """Major and minor version; of an unknown one, the newest that there could be."""
    parts = (version or "").split(".")[:2]
    return tuple(map(int, parts)) if len(parts) == 2 and all(part.isdecimal() for part in parts) else _FIRST_MLDRIFT
