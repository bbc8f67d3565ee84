"""A cell's numbers as properties of its pytest item: what JUnit XML and other plugins see."""

from __future__ import annotations

from harness.plan.row import CellRow

_LONGEST = 2000  # of a text: readers of JUnit XML keep properties in columns
_LATENCY = ("median_us", "p90_us", "min_us", "init_us", "first_us")
_ACCURACY = ("max_abs", "max_abs_of_range", "mean_abs", "rmse", "cosine", "psnr_db", "nonfinite")


def properties(row: CellRow) -> list[tuple[str, object]]:
    """Name and value of every figure that the cell has; units as in matrix.json. What there is none of is left out."""
    found: list[tuple[str, object]] = [("cell", row["id"]), ("outcome", row["outcome"]), ("reason", row["reason"])]
    if row["latency"]:
        found += [(name, row["latency"][name]) for name in _LATENCY]  # type: ignore[literal-required]
    if row["validity"]["void"]:
        found.append(("timing_void", "; ".join(row["validity"]["reasons"])))
    if row["speedup"]:
        found += [("speedup", row["speedup"]["value"]), ("speedup_over", row["speedup"]["over"])]
    if row["accuracy"]:
        found += [(name, row["accuracy"][0][name]) for name in _ACCURACY]  # type: ignore[literal-required]
        found += sorted(row["accuracy"][0].get("task", {}).items())
    if row["delegation"]:
        found += [(name, row["delegation"][name]) for name in ("nodes_delegated", "nodes_total", "partitions")]
    if row["memory"]:
        found.append(("peak_rss_bytes", row["memory"]["peak_rss_bytes"]))
    if row["error"]:
        found.append(("error_class", row["error"]["class"]))
    if row["regression"]:
        found.append(("regression", row["regression"]["verdict"]))
    found += [("waiver", name) for name in dict.fromkeys(gate["waiver"] for gate in row["gates"])]
    culprit = row["localisation"]["op"] if row["localisation"] else None
    found.append(("culprit", f"{culprit['index']} {culprit['type']}" if culprit else None))
    return [(name, _short(value)) for name, value in found if value is not None]


def _short(value: object) -> object:
    return f"{value[:_LONGEST]}..." if isinstance(value, str) and len(value) > _LONGEST else value
