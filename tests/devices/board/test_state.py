"""State of boards: the script in shells that boards have, and what limits them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from harness.devices.board.state import STATE_SCRIPT, parse_state
from tests.devices.android.phone import SHELLS, Phone, garbage, reply


def state(**parts: str) -> dict[str, Any]:
    return parse_state(reply("state", parts))


@pytest.mark.parametrize("shell", SHELLS)
def test_a_board_as_its_own_shell_reports_it(tmp_path: Path, shell: str) -> None:
    board = Phone(tmp_path)
    board.program("df", {"/": "Filesystem 1K-blocks Used Available Use% Mounted on\n/dev/root 100 40 60 40% /\n"})
    board.program("vcgencmd", {"get_throttled": "throttled=0x50005\n"})
    board.zones("48312 cpu-thermal\n51000 gpu-thermal\n")
    board.file("sys/devices/system/cpu/cpu0/cpufreq/scaling_governor", "ondemand\n")
    board.file("sys/devices/system/cpu/cpu0/cpufreq/scaling_cur_freq", "1500000\n")
    board.file("sys/class/thermal/cooling_device0/type", "thermal-cpufreq-0\n")
    board.file("sys/class/thermal/cooling_device0/cur_state", "2\n")
    board.file("sys/class/thermal/cooling_device1/type", "pwm-fan\n")
    board.file("sys/class/thermal/cooling_device1/cur_state", "3\n")
    board.file("sys/class/hwmon/hwmon4/oc1_event_cnt", "7\n")
    board.file("proc/uptime", "1234.5 4000.1\n")
    board.file("proc/loadavg", "0.25 0.1 0.1 1/200 4321\n")
    found = parse_state(board.run(shell, STATE_SCRIPT, root="/no-such-folder"))
    assert found == {
        "temperature_c": 48.31,
        "temperature_sensor": "cpu-thermal",
        "sensors": {"cpu-thermal": 48.31, "gpu-thermal": 51.0},
        "governor": "ondemand",
        "cpu_mhz": 1500,
        "uptime_s": 1234.5,
        "load_1min": 0.25,
        "free_bytes": 60 * 1024,
        "throttled": ["under-voltage", "throttled", "thermal-cpufreq-0"],
        "throttled_before": ["under-voltage", "throttled", "oc1_event_cnt 7"],
    }
    assert board.started() == ["vcgencmd get_throttled", "df /"]


def test_the_kernels_number_saves_a_program(tmp_path: Path) -> None:
    board = Phone(tmp_path)
    board.program("vcgencmd", {"get_throttled": "throttled=0x0\n"})
    board.file("sys/devices/platform/soc/soc:firmware/get_throttled", "80008\n")
    found = parse_state(board.run("sh", STATE_SCRIPT))
    assert (found["throttled"], found["throttled_before"]) == (["soft temperature limit"],) * 2
    assert board.started() == []


@pytest.mark.parametrize(
    ("parts", "now", "before"),
    [
        ({}, None, None),
        ({"firmware": "throttled=0x0"}, [], []),
        ({"firmware": "throttled=0x1"}, ["under-voltage"], []),
        ({"firmware": "0xe0000"}, [], ["frequency capped", "throttled", "soft temperature limit"]),
        ({"firmware": "VCHI initialization failed"}, None, None),
        ({"cooling": "0 cpufreq-cpu0\n1 gpu-cooling"}, ["gpu-cooling"], None),
        ({"cooling": "0 Processor"}, [], None),
        ({"events": "0 package_throttle_count"}, None, []),
        ({"events": "3 package_throttle_count\nnonsense"}, None, ["package_throttle_count 3"]),
    ],
)
def test_what_limits_a_board(parts: dict[str, str], now: list[str] | None, before: list[str] | None) -> None:
    found = state(**parts)
    assert (found.get("throttled"), found.get("throttled_before")) == (now, before)


@pytest.mark.parametrize(
    ("zones", "celsius", "sensor"),
    [
        ("40000 acpitz\n55000 x86_pkg_temp", 55.0, "x86_pkg_temp"),
        ("39500 CPU-therm\n42000 AO-therm", 39.5, "CPU-therm"),
        ("36000 soc-thermal", 36.0, "soc-thermal"),
        ("36000 acpitz\n38000 pch", 38.0, "pch"),
        ("0 acpitz", None, None),
    ],
)
def test_how_warm_it_is(zones: str, celsius: float | None, sensor: str | None) -> None:
    found = state(zones=zones)
    assert (found.get("temperature_c"), found.get("temperature_sensor")) == (celsius, sensor)


def test_garbage_is_no_mistake() -> None:
    texts = [reply("state", {"zones": "40000 cpu", "firmware": "throttled=0x50005", "cooling": "1 x", "events": "2 y"})]
    for text in garbage(texts, 300):
        parse_state(text)
