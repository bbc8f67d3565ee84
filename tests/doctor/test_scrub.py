"""Nothing of whose phone it is stays in a record; what the phone is stays, character by character."""

from __future__ import annotations

import random
import string

import pytest

from harness.doctor.scrub import REMOVED, Scrubber, allowed

SERIAL = "EXAMPLE8P065R"
PROPERTIES = {
    "ro.product.model": "Pixel 8",
    "ro.product.cpu.abilist": "arm64-v8a,armeabi-v7a",
    "ro.soc.model": "Tensor G3",
    "ro.build.fingerprint": "google/shiba/shiba:14/AP1A.240405.002/11480754:user/release-keys",
    "ro.serialno": SERIAL,
    "ro.boot.serialno": SERIAL,
    "ro.boot.wifimacaddr": "a4:c3:f0:12:34:56",
    "persist.radio.imei": "356938035643809",
    "ro.ril.oem.imei1": "490154203237518",
    "net.hostname": "annas-phone",
    "persist.vendor.bt.bdaddr": "22:22:a4:55:66:77",
    "gsm.sim.operator.alpha": "Example Telecom",
    "persist.sys.device_name": "Annas Pixel",
    "wifi.last.ssid": "Chez Anna 5G",
    "persist.sys.account": "anna@example.com",
    "persist.sys.timezone": "Europe/Zurich",
    "dalvik.vm.heapsize": "512m",
}
PRIVATE = [
    SERIAL, "a4:c3:f0:12:34:56", "356938035643809", "490154203237518", "annas-phone", "22:22:a4:55:66:77",
    "Example Telecom", "Annas Pixel", "Chez Anna 5G", "anna@example.com",
]  # fmt: skip


@pytest.fixture
def scrubber() -> Scrubber:
    return Scrubber(PROPERTIES, [SERIAL, "usb:1-4.2"])


def test_properties_are_kept_by_name(scrubber: Scrubber) -> None:
    assert scrubber.properties(PROPERTIES) == {
        key: PROPERTIES[key]
        for key in ("ro.product.model", "ro.product.cpu.abilist", "ro.soc.model", "ro.build.fingerprint")
    }


def test_a_property_that_nobody_has_heard_of_is_not_kept() -> None:
    source = random.Random(3)
    for _ in range(300):
        name = ".".join(
            "".join(source.choices(string.ascii_lowercase, k=source.randint(2, 8))) for _ in range(source.randint(2, 4))
        )
        assert not allowed(name)
        assert not allowed(f"ro.product.{name}")
        assert not allowed(f"ro.build.{name}")
    assert allowed("ro.build.version.sdk")


def test_a_secret_inside_an_allowed_property_is_blanked(scrubber: Scrubber) -> None:
    kept = scrubber.properties(
        {"ro.product.name": f"shiba_{SERIAL.lower()}", "ro.build.display.id": "eng.anna.20260101"}
    )
    assert kept == {"ro.product.name": f"shiba_{REMOVED}", "ro.build.display.id": f"eng.{REMOVED}.20260101"}


@pytest.mark.parametrize("private", PRIVATE)
@pytest.mark.parametrize(
    ("command", "line"),
    [
        ("dumpsys SurfaceFlinger", "GLES: ARM, Mali-G715 {}, OpenGL ES 3.2 v1.r44p1"),
        ("cmd gpu vkjson", '      "driverInfo" : "v1 {}",'),
    ],
)
def test_a_secret_in_a_line_that_is_kept_is_blanked(scrubber: Scrubber, command: str, line: str, private: str) -> None:
    reply = scrubber.reply(command, line.format(private) + "\n")
    assert reply == line.format(REMOVED) + "\n"
    assert scrubber.found_in(reply) == []
    assert scrubber.found_in(line.format(private))


@pytest.mark.parametrize(
    ("command", "kept", "dropped"),
    [
        ("dumpsys battery", "  level: 87", "  serial number: 0123456789"),
        ("dumpsys battery", "  technology: Li-ion", "  mSavedBatteryAsoc: 98"),
        (
            "dumpsys thermalservice",
            "\tTemperature{mValue=29.4, mType=3, mName=skin, mStatus=0}",
            "\tcallback: x.y",
        ),
        ("dumpsys power", "  mWakefulness=Awake", "  PARTIAL_WAKE_LOCK '*job*/com.example.mail' (uid=10123)"),
        ("dumpsys power", "Display Power: state=ON", "  mLastWakeTime=81237 (com.android.chat)"),
        ("dumpsys SurfaceFlinger", "GLES: Qualcomm, Adreno (TM) 740, OpenGL ES 3.2 V@0676.42", "Layer: com.bank.app"),
        ("cmd gpu vkjson", '        "apiVersion" : 4206592,', '        "deviceUUID" : [ 1, 2, 3, 4 ],'),
        ("pm list features", "feature:android.hardware.vulkan.version=4206592", "feature:com.maker.secret_club"),
        ("id", "uid=2000(shell) gid=2000(shell) groups=2000(shell),3003(inet)", "anna"),
        ("/proc/meminfo", "MemTotal:        7735488 kB", "Owner: Anna"),
        ("toybox --version", "toybox 0.8.9-android", "built by anna@workstation"),
        ("dumpsys hardware_properties", "CPU temperatures: [41.5, 40.25]", "Caller: com.example"),
    ],
)
def test_lines_are_kept_that_say_what_the_phone_is(scrubber: Scrubber, command: str, kept: str, dropped: str) -> None:
    assert scrubber.reply(command, f"{kept}\r\n{dropped}\r\n") == f"{kept}\n"


def test_commands_that_no_list_knows_leave_nothing(scrubber: Scrubber) -> None:
    assert scrubber.reply("dumpsys wifi", "level: 5\nMemTotal: 1 kB\n") == ""


def test_files_of_sysfs_are_one_plain_line(scrubber: Scrubber) -> None:
    assert scrubber.value("skin-therm") == "skin-therm"
    assert scrubber.value("28500") == "28500"
    assert scrubber.value("a\nb") is None
    assert scrubber.value("café") is None
    assert scrubber.value(f"zone {SERIAL}") == f"zone {REMOVED}"


def test_common_words_are_no_secrets() -> None:
    scrubber = Scrubber({"ro.boot.serialno": "unknown", "gsm.sim.state": "LOADED", "ro.ril.phone": "false"}, [])
    assert scrubber.reply("dumpsys battery", "  present: false\n") == "  present: false\n"
    assert scrubber.value("unknown") == "unknown"
