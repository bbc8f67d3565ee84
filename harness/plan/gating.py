"""Which limits hold for which delegate of a suite."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping, Sequence
from fnmatch import fnmatchcase

from harness.errors import UsageError, nearest
from harness.plan.cell import Delegate, GateRule
from harness.yamlfile import Document, suggest

SPEEDUP = "speedup"
NONFINITE = "nonfinite"
DEFAULT_ORIGIN = "default"
"""Origin of a limit that the suite does not state."""

SHARE = "max_abs_of_range"

# What tells a right answer from a wrong one depends on the model, on what executes it and on the reference, which are
# not known yet: the engine puts its limits in the place of the second one, see `with_defaults`.
DEFAULT_GATES: Mapping[str, Mapping[str, float]] = {"*": {NONFINITE: 0.0, SHARE: 0.05}}


@dataclasses.dataclass(frozen=True)
class DelegateRules:
    """The limits of one delegate, before it is known which others run the same model."""

    delegate: str
    rules: tuple[GateRule, ...]

    def among(self, delegates: Collection[str], model: str) -> tuple[GateRule, ...]:
        """The limits for a model that only `delegates` run.

        Raises:
            UsageError: if none of them can be the partner of a speed-up.
        """
        if all(partner in delegates for rule in self.rules for partner in rule.partners):
            return self.rules  # shared by all cells
        rules = []
        for rule in self.rules:
            partners = tuple(partner for partner in rule.partners if partner in delegates)
            if rule.partners and not partners:
                raise UsageError(
                    f"{rule.origin}: speedup of '{self.delegate}' is taken over {', '.join(rule.partners)}, "
                    f"which model '{model}' is not run on; see the keys 'only'"
                )
            rules.append(dataclasses.replace(rule, partners=partners))
        return tuple(rules)


def effective_gates(gates: Mapping[str, Mapping[str, float]]) -> Mapping[str, Mapping[str, float]]:
    """A suite's gates, or the default ones if it has none."""
    return gates or DEFAULT_GATES


def with_defaults(
    rules: Sequence[GateRule], limits: Mapping[str, float], found: Mapping[str, float | None]
) -> tuple[GateRule, ...]:
    """The limits of a cell, with those for what was measured in the place of the one that nobody wrote.

    Args:
        rules: of the cell; returned as they are if the suite wrote them.
        limits: by metric, for this model, accelerator and reference.
        found: the cell's figures. A limit on a figure that its outputs do not have is left out, but never all of them.
    """
    if not any(rule.metric == SHARE and rule.origin == DEFAULT_ORIGIN for rule in rules):
        return tuple(rules)
    # Finished detections come in any order, and only they have an overlap of boxes.
    unordered = found.get("box_iou") is not None and "box_iou" in limits
    limits = {name: limit for name, limit in limits.items() if not (unordered and name == SHARE)}
    fitting = [
        GateRule(name, limit, origin=DEFAULT_ORIGIN) for name, limit in limits.items() if found.get(name) is not None
    ]
    if not fitting:
        return tuple(rules)
    return (*(rule for rule in rules if rule.metric != SHARE), *fitting)


def rules_of(
    document: Document,
    gates: Mapping[str, Mapping[str, float]],
    delegates: Sequence[Delegate],
    speedup_over: tuple[str, ...],
    metrics: Collection[str] | None,
) -> dict[str, DelegateRules]:
    """The limits of each delegate.

    Later globs win, metric by metric. Non-finite outputs fail unless a gate says otherwise. A speed-up is not asked of
    the delegates that it is taken over.

    Raises:
        UsageError: for a glob that matches no delegate, an unknown metric, a speed-up over nothing.
    """
    names = [delegate.name for delegate in delegates]
    for pattern, limits in gates.items():
        if not any(fnmatchcase(name, pattern) for name in names):
            hint = suggest(pattern, names, "delegates")
            raise document.error(("gates", pattern), f"no delegate matches '{pattern}'{hint}")
        for metric in limits:
            loc = ("gates", pattern, metric)
            if metrics is not None and metric not in metrics:
                hint = nearest(metric, metrics) or f"; known: {', '.join(sorted(metrics))}"
                raise document.error(loc, f"unknown metric{hint}")
            if metric == SPEEDUP and not speedup_over:
                message = "there is nothing to be faster than; add a delegate with accelerator cpu"
                raise document.error(loc, f"{message}, or name one in 'advice: {{speedup: {{over: ...}}}}'")
    return {name: DelegateRules(name, _rules(document, gates, name, speedup_over)) for name in names}


def _rules(
    document: Document, gates: Mapping[str, Mapping[str, float]], delegate: str, speedup_over: tuple[str, ...]
) -> tuple[GateRule, ...]:
    rules: dict[str, GateRule] = {}
    if not gates:
        defaults = DEFAULT_GATES["*"]
        return tuple(GateRule(metric, limit, origin=DEFAULT_ORIGIN) for metric, limit in defaults.items())
    rules[NONFINITE] = GateRule(NONFINITE, 0.0, origin=DEFAULT_ORIGIN)
    for pattern, limits in gates.items():
        if not fnmatchcase(delegate, pattern):
            continue
        for metric, limit in limits.items():
            partners = speedup_over if metric == SPEEDUP else ()
            if delegate in partners:
                continue
            rules[metric] = GateRule(metric, limit, partners, document.where(("gates", pattern, metric)))
    return tuple(rules.values())
