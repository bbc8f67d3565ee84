"""The names of all figures that a gate may limit. Plain data: suites are checked against it before numpy is needed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

TASK_METRICS: Mapping[str, str] = MappingProxyType(
    {
        "top1_agreement": "share of samples whose most likely class is the reference's (a tie there: any of the tied)",
        "top5_agreement": "share of samples with the reference's most likely class among the five most likely",
        "label_agreement": "share of pixels with the reference's label",
        "mean_iou": "intersection over union of the pixels of a label, mean over the reference's labels",
        "detections_matched": "share of detections found on both sides, in any order",
        "box_iou": "mean intersection over union of the boxes of matched detections",
        "boxes_within": "share of box numbers, at matched anchors, off by at most 2 % of their range",
        "score_agreement": "1 less the largest difference in score of matched detections",
        "keypoints_within": "share of keypoints at most one heatmap cell off, or of coordinates 2 % of their range",
    }
)
"""What each figure means, by name; all are lower-bound gates."""


@dataclass(frozen=True)
class Metric:
    """A figure that a gate may limit.

    Attributes:
        direction: "max": the limit is an upper bound; "min": a lower one.
        unit: of the limit; "" for plain numbers and shares.
        where: the figure's place in a cell of matrix.json.
        meaning: one line for the documentation.
        missing: why there may be no figure, and what to do.
        ceiling: the largest possible value of a lower-bound figure; None without one.
        count: whether values are whole numbers, which have no marginal band.
    """

    direction: Literal["max", "min"]
    unit: str
    where: str
    meaning: str
    missing: str
    ceiling: float | None = None
    count: bool = False


_UNDEFINED = (
    "no outputs were compared with the reference, none of their elements is finite, or it is not defined for them"
)
_NO_TIMING = "the cell has no valid latency"
_NO_PARTNER = "no partner was measured that this cell can be compared with (its notes say more)"
_NO_PERCENTILE = f"{_NO_TIMING}, or its runner keeps no single runs (benchmark_model): gate median_us instead"
_NOT_REPORTED = "the runner did not report it"


def _accuracy(
    name: str, direction: Literal["max", "min"], meaning: str, unit: str = "", ceiling: float | None = None
) -> tuple[str, Metric]:
    return name, Metric(direction, unit, f"accuracy[].{name}", meaning, _UNDEFINED, ceiling, name == "nonfinite")


def _timing(name: str, meaning: str, missing: str = _NO_TIMING) -> tuple[str, Metric]:
    return name, Metric("max", "us", f"latency.{name}", meaning, missing)


_STEPS = "the output's own unit; steps of quantised outputs"

METRICS: Mapping[str, Metric] = MappingProxyType(
    dict(
        [
            _accuracy(
                "nonfinite", "max", "output elements that are NaN or Inf where the reference is not, or vice versa"
            ),
            _accuracy("max_abs", "max", "largest absolute error", _STEPS),
            _accuracy("max_abs_of_range", "max", "largest absolute error as a share of the reference's range"),
            _accuracy("mean_abs", "max", "mean absolute error", _STEPS),
            _accuracy("rmse", "max", "root of the mean squared error", _STEPS),
            _accuracy("max_rel", "max", "largest relative error, with a floor at 0.1 % of the range"),
            _accuracy("p99_rel", "max", "relative error that 99 % of the elements do not exceed, with the same floor"),
            _accuracy("max_ulp", "max", "largest distance in representable values; float outputs only", "ULP"),
            _accuracy("max_steps", "max", "largest error of integer outputs, quantised or not", "steps"),
            _accuracy("cosine", "min", "cosine similarity", ceiling=1.0),
            _accuracy("psnr_db", "min", "peak signal-to-noise ratio; identical outputs pass any limit", "dB"),
            _accuracy("snr_db", "min", "signal-to-noise ratio; identical outputs pass any limit", "dB"),
            _accuracy("kl", "max", "Kullback-Leibler divergence per row; outputs that are probabilities only", "nats"),
            *(
                (name, Metric("min", "", f"accuracy[].task.{name}", meaning, "the model's task does not yield it", 1.0))
                for name, meaning in TASK_METRICS.items()
            ),
            _timing("median_us", "median latency"),
            _timing("p90_us", "90th percentile of the latency", _NO_PERCENTILE),
            _timing("init_us", "from loading the runtime to a compiled model"),
            _timing("first_us", "the first run after compiling"),
            (
                "peak_rss_bytes",
                Metric("max", "bytes", "memory.peak_rss_bytes", "peak memory of the runner", _NOT_REPORTED),
            ),
            (
                "delegated_nodes",
                Metric(
                    "min",
                    "",
                    "delegation.nodes_delegated / delegation.nodes_total",
                    "share of the model's nodes on the accelerator",
                    _NOT_REPORTED,
                    1.0,
                ),
            ),
            (
                "partitions",
                Metric("max", "", "delegation.partitions", "number of delegated partitions", _NOT_REPORTED, count=True),
            ),
            (
                "speedup",
                Metric("min", "", "speedup.value", "times faster than the partner", _NO_PARTNER),
            ),
        ]
    )
)
"""Every figure that a gate may limit, by the name that suites use."""
