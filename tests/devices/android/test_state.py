"""State of phones: the script in Android's shell, and which temperature is believed."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

from harness.devices.android.state import STATE_SCRIPT, parse_state

from .phone import SHELLS, Phone, garbage, reply, sample


def state(**parts: str) -> dict[str, Any]:
    return parse_state(reply("state", parts))


@pytest.fixture
def phone(tmp_path: Path) -> Phone:
    phone = Phone(tmp_path)
    phone.program(
        "dumpsys",
        {name: sample(f"tensor/{name}.txt").replace("service:", "") for name in ("battery", "power", "thermalservice")},
    )
    phone.program("df", {"/": sample("tensor/df.txt")})
    phone.zones(sample("tensor/zones.txt"))
    for core, khz in enumerate((820000, 2802000)):
        phone.file(f"sys/devices/system/cpu/cpu{core}/cpufreq/scaling_cur_freq", f"{khz}\n")
        phone.file(f"sys/devices/system/cpu/cpu{core}/cpufreq/scaling_governor", "sched_pixel\n")
    phone.file("proc/uptime", "5025.31 38000.12\n")
    phone.file("proc/loadavg", "1.25 0.90 0.40 2/3012 9021\n")
    return phone


@pytest.mark.parametrize("shell", SHELLS)
def test_a_phone_as_its_own_shell_reports_it(phone: Phone, shell: str) -> None:
    assert parse_state(phone.run(shell, STATE_SCRIPT, root="/no-such-folder")) == {
        "battery_percent": 85,
        "battery_temperature_c": 27.6,
        "charging": True,
        "thermal_status": 1,
        "temperature_c": 36.83,
        "temperature_sensor": "VIRTUAL-SKIN",
        "sensors": {
            "TPU": 45.0, "BIG": 52.0, "LITTLE": 47.0, "G3D": 44.0, "VIRTUAL-SKIN": 36.83, "battery": 27.6,
            "skin-therm-usr": 37.9,
        },
        "governor": "sched_pixel",
        "cpu_mhz": 2802,
        "uptime_s": 5025.31,
        "load_1min": 1.25,
        "screen": "on",
        "free_bytes": 91841660 * 1024,
    }  # fmt: skip


def test_it_starts_few_programs_and_never_asks_for_the_gpu(phone: Phone) -> None:
    phone.run("sh", STATE_SCRIPT)
    assert phone.started() == ["dumpsys battery", "dumpsys thermalservice", "dumpsys power", "df /"]


@pytest.mark.parametrize("shell", SHELLS)
def test_zones_are_read_where_the_thermal_service_is_silent(phone: Phone, shell: str) -> None:
    phone.program("dumpsys", {"thermalservice": sample("adreno/thermalservice.txt")})
    phone.zones(sample("adreno/zones.txt"))
    found = parse_state(phone.run(shell, STATE_SCRIPT))
    assert (found["temperature_c"], found["temperature_sensor"]) == (36.5, "quiet-therm")
    assert found["thermal_status"] == 0
    assert found["sensors"] == {
        "aoss-0": 33.3, "cpu-0-0": 41.2, "cpu-1-7": 46.7, "gpuss-0": 39.8, "skin-msm-therm": 35.12,
        "quiet-therm": 36.5, "battery": 31.2,
    }  # fmt: skip


@pytest.mark.parametrize("shell", SHELLS)
def test_phones_before_android_10_have_another_service(phone: Phone, shell: str) -> None:
    phone.program("dumpsys", {"hardware_properties": sample("old/hardware_properties.txt")})
    phone.zones("41 tsens_tz_sensor0\n")
    found = parse_state(phone.run(shell, STATE_SCRIPT))
    assert found["sensors"] == {"cpu0": 38.0, "cpu1": 39.5, "battery0": 30.1, "tsens_tz_sensor0": 41.0,
                                "VIRTUAL-SKIN": 37.15, "skin-therm-usr": 37.9}  # fmt: skip
    assert "thermal_status" not in found


@pytest.mark.parametrize("shell", SHELLS)
def test_a_phone_that_has_no_command_at_all_is_unknown_not_broken(tmp_path: Path, shell: str) -> None:
    assert parse_state(Phone(tmp_path).run(shell, STATE_SCRIPT)) == {}


def test_cached_temperatures_are_not_believed() -> None:
    text = sample("tensor/thermalservice.txt").replace("Current temperatures from HAL:", "Others:")
    assert state(thermal=text) == {"thermal_status": 1}


def test_a_galaxy_that_numbers_its_sensors_in_its_own_way() -> None:
    found = state(thermal=sample("galaxy/thermalservice.txt"), battery=sample("galaxy/battery.txt"))
    assert (found["temperature_c"], found["temperature_sensor"]) == (25.3, "TYPE_SKIN")
    assert found["sensors"] == {"TYPE_CPU": 24.0, "TYPE_BATTERY": 24.4, "TYPE_SKIN": 25.3, "TYPE_USB_PORT": 24.2}
    assert (found["battery_percent"], found["battery_temperature_c"], found["charging"]) == (100, 24.4, False)


def test_old_kernels_use_several_units_at_once() -> None:
    found = state(zones=sample("old/zones.txt"))
    assert found["sensors"] == {"tsens_tz_sensor0": 41.0, "pm8226_tz": 37.0, "pa_therm0": 34.5, "case_therm": 38.0}
    assert found["temperature_sensor"] == "case_therm"


@pytest.mark.parametrize("value", ["0", "-273000", "125000", "-40000", "136", "nan", "inf", "9" * 400, "", "x"])
def test_sensors_that_measure_nothing(value: str) -> None:
    assert state(zones=f"{value} cpu-0-0\n{value} skin") == {}
    dump = f"Current temperatures from HAL:\n\tTemperature{{mValue={value}, mType=3, mName=SKIN, mStatus=0}}\n"
    assert "temperature_c" not in state(thermal=dump)


def test_without_a_skin_sensor_the_battery_counts_not_the_die() -> None:
    zones = "78000 cpu-1-7\n52000 gpuss-0\n"
    assert state(zones=zones, battery="level: 50\nscale: 100\ntemperature: 312")["temperature_c"] == 31.2
    assert state(zones=zones + "30000 battery")["temperature_sensor"] == "battery"
    assert state(zones=zones)["temperature_sensor"] == "cpu-1-7"
    assert "temperature_c" not in state(zones="52000 gpuss-0")


def test_sensors_that_share_a_name_report_the_hottest() -> None:
    assert state(zones="30000 skin\n34000 skin\n31000 skin")["sensors"] == {"skin": 34.0}


@pytest.mark.parametrize(
    ("text", "charging"),
    [
        ("status: 2", True),
        ("status: 3\n  USB powered: true", False),
        ("status: 4\n  USB powered: true", False),
        ("status: 5\n  AC powered: true", False),
        ("status: 1\n  AC powered: true", True),
        ("AC powered: false\n  Dock powered: true", True),
        ("AC powered: false\n  USB powered: false", False),
        ("level: 20", None),
    ],
)
def test_charging(text: str, charging: bool | None) -> None:
    assert state(battery=text).get("charging") is charging


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("level: 40\nscale: 50", {"battery_percent": 80}),
        ("level: 101\nscale: 100", {}),
        ("level: 40\nscale: 0", {}),
        ("level: 40", {}),
        ("temperature: 0\nlevel: x", {}),
        ("present: false\nlevel: 0\nscale: 100\nAC powered: true\nstatus: 2", {}),
        ("Can't find service: battery", {}),
    ],
)
def test_batteries(text: str, expected: dict[str, Any]) -> None:
    assert state(battery=text) == expected


@pytest.mark.parametrize(
    ("text", "screen"),
    [
        (sample("tensor/power.txt"), "on"),
        (sample("adreno/power.txt"), "dozing"),
        (sample("old/power.txt"), "off"),
        ("  mWakefulness=Asleep\nDisplay Power: state=DOZE", "off"),
        ("  mWakefulness=Dreaming", "on"),
        ("  mWakefulnessChanging=true\nDisplay Power: state=DOZE_SUSPEND", "dozing"),
        ("  mWakefulness=3\nDisplay Power: state=ON", "on"),
        ("Display Power: state=UNKNOWN", None),
    ],
)
def test_screens(text: str, screen: str | None) -> None:
    assert state(power=text).get("screen") == screen


def test_governors_and_frequencies() -> None:
    found = state(cpus="1804800 schedutil\n? schedutil\n3187200 performance\n0 \n? ")
    assert found == {"governor": "schedutil,performance", "cpu_mhz": 3187}


def test_junk_never_raises_and_no_figure_is_absurd() -> None:
    parts = {
        "battery": sample("tensor/battery.txt"),
        "thermal": sample("tensor/thermalservice.txt") + sample("old/hardware_properties.txt"),
        "zones": sample("adreno/zones.txt"),
        "power": sample("tensor/power.txt"),
        "cpus": "1804800 schedutil\n3187200 performance",
        "uptime": "5025.31 38000.12",
        "load": "1.25 0.90",
        "df": sample("old/df.txt"),
    }
    texts = [reply("state", parts), *(reply("state", {name: text}) for name, text in parts.items())]
    for text in garbage(texts, 400):
        found = parse_state(text)
        numbers = [value for value in found.values() if isinstance(value, (int, float))]
        assert all(math.isfinite(value) for value in numbers)
        assert 0 <= found.get("battery_percent", 0) <= 100
        assert all(-20 < celsius < 115 for celsius in found.get("sensors", {}).values())
