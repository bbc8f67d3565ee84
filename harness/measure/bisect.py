"""Which cut of a model to try next, when an output is wrong and the operation that makes it so is looked for.

A cut is the place behind one step of a model; -1 is the place before the first. Its score says how far the values
that are alive there are off: error / what rounding may do, at least 1. The inputs are right by definition.

Errors of half precision are everywhere and grow, so no fixed limit tells right from wrong. What is looked for is a
jump: a step behind which the score is `JUMP` times the one before it. Of all stretches between two neighbouring cuts
that were tried, the first one whose growth comes near the largest (its square root: half of it, on a logarithmic scale)
is halved, as long as that is a jump. One fault among n steps takes about log2(n) cuts, and a slow growth is known as
such after a few.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass

JUMP = 4.0
"""Growth of the score over one step that is no longer called gradual."""

START = -1
"""The place before the first step."""


@dataclass(frozen=True)
class Try:
    """Run the model up to this cut."""

    cut: int


@dataclass(frozen=True)
class Jump:
    """The score jumps between two cuts, and nothing between them can be tried any more."""

    before: int
    after: int


def next_step(scores: Mapping[int, float | None]) -> Try | Jump | None:
    """What to do next.

    Args:
        scores: of the cuts tried so far, with the search's first and last place; None where a cut could not be run.

    Returns:
        The next cut to try; a jump to look into; None when no stretch is left that holds one.
    """
    answered = sorted(cut for cut, score in scores.items() if score is not None)
    growths = {
        (before, after): _score(scores, after) / _score(scores, before)
        for before, after in itertools.pairwise(answered)
    }
    largest = max(growths.values(), default=1.0)
    if largest < JUMP:
        return None
    near = max(JUMP, math.sqrt(largest))
    before, after = next(stretch for stretch, growth in growths.items() if growth >= near)
    untried = [cut for cut in range(before + 1, after) if cut not in scores]
    if not untried:
        return Jump(before, after)
    return Try(min(untried, key=lambda cut: (abs(2 * cut - before - after), cut)))


def look_ahead(before: int, after: int) -> list[int]:
    """Cuts between two others in the order in which halving may come to them, the middle first."""
    found: list[int] = []
    stretches = [(before, after)]
    for low, high in stretches:  # grows while it is walked
        if high - low > 1:
            middle = (low + high) // 2
            found.append(middle)
            stretches += [(low, middle), (middle, high)]
    return found


def _score(scores: Mapping[int, float | None], cut: int) -> float:
    return max(scores[cut] or 1.0, 1.0)
