from __future__ import annotations

import pytest

from harness.report import fields


@pytest.mark.parametrize(
    ("key", "value", "text"),
    [
        ("battery_percent", 65, "battery 65 %"),
        ("temperature_c", 31.6, "temperature 31.6 °C"),
        ("cpu_mhz", 1210, "cpu 1210 MHz"),
        ("uptime_s", 15958.35, "uptime 4 h 25 min"),
        ("free_bytes", 236353257472, "free 220 GiB"),
        ("init_us", 1234.5, "init 1.23 ms"),
        ("core_max_mhz", [1704, 1704, 1704, 1704, 2367, 2914], "core max 4 × 1704, 2367, 2914 MHz"),  # noqa: RUF001
        ("abis", ["arm64-v8a", "armeabi-v7a"], "abis arm64-v8a, armeabi-v7a"),
        ("sensors", {"AP": 33.4, "BAT": 29.1}, "sensors AP 33.4 °C, BAT 29.1 °C"),
        ("runtime", {"version": "2.3.0", "sha256": "0123456789abcdef"}, "runtime version 2.3.0, sha256 0123456789ab…"),
        ("charging", True, "charging true"),
        ("runtime", None, "runtime null"),
        ("tools", [], "tools –"),  # noqa: RUF001
        ("cores", [0, 0, 1], "cores 0, 0, 1"),
        ("thermal_status", 0, "thermal status 0"),
    ],
)
def test_a_field_is_shown_with_its_unit_and_without_brackets(key: str, value: object, text: str) -> None:
    assert f"{fields.label(key)} {fields.fact(value, key)}".replace("\u00a0", " ") == text


def test_a_unit_stays_on_the_line_of_its_number() -> None:
    assert fields.fact({"AP": 33.4}, "sensors") == "AP 33.4\u00a0°C"
