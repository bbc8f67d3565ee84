from __future__ import annotations

from harness.session.properties import properties
from tests.report.sample import cell_row


def test_what_there_is_none_of_is_left_out() -> None:
    row = cell_row(outcome="NOT_RUN", reason="the device is away")
    row["latency"], row["accuracy"], row["memory"] = None, [], None
    found = dict(properties(row))
    assert found["reason"] == "the device is away"
    assert None not in found.values()
    assert not {"median_us", "max_abs", "peak_rss_bytes", "timing_void"} & set(found)


def test_a_long_reason_is_cut_and_a_void_timing_says_so() -> None:
    row = cell_row(outcome="ERROR", reason="x" * 100_000)
    row["validity"] = {"void": True, "reasons": ["throttled", "interrupted"]}
    found = dict(properties(row))
    assert len(str(found["reason"])) < 3000
    assert found["timing_void"] == "throttled; interrupted"
