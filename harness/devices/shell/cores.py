"""Which cores a job runs on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal


def core_mask(cores: Sequence[int] | Literal["big"], facts: Mapping[str, Any]) -> str | None:
    """Mask for `taskset`, as all of them take it: hexadecimal, without a prefix; None for all cores.

    "big" is the fastest cluster, by the cores' highest frequencies; of three clusters and more, all but the slowest,
    since the single fastest core of such chips is meant for short peaks.

    Args:
        cores: numbers of cores, "big", or nothing.
        facts: `cores`, `core_max_mhz`; see `Kind.parse_facts`.

    Raises:
        ValueError: with what is wrong, for a person.
    """
    fastest: Sequence[int] = facts.get("core_max_mhz", ())
    if cores == "big":
        if not fastest:
            raise ValueError("the device does not tell the speeds of its cores: give their numbers instead of 'big'")
        clusters = sorted(set(fastest))
        if len(clusters) == 1:
            return None
        slowest = clusters[-1] if len(clusters) == 2 else clusters[1]
        chosen = [number for number, speed in enumerate(fastest) if speed >= slowest]
    else:
        chosen = [number for number in cores if isinstance(number, int)]
        count = facts.get("cores")
        missing = [number for number in chosen if count is not None and number >= count]
        if missing:
            raise ValueError(f"the device has no core {', '.join(map(str, missing))}; it has {count}, counted from 0")
    return f"{sum(1 << number for number in set(chosen)):x}" if chosen else None
