"""From plugging an iPhone in to its first rows, as docs/first-phone.md has it, rehearsed on an emulated one."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from emulated.android.lab import AdbLab
from emulated.ios.lab import IosLab
from tests.conftest import MODELS, ROOT
from tests.doctor.test_first_phone import call
from tests.drivers import swiftshader
from tests.ios_tools import needs_tidevice

pytestmark = pytest.mark.timeout(280)

DOCTOR = ("harness", "doctor", "--devices", "auto")


def test_the_doctor_leads_to_the_first_rows(tmp_path: Path, own_cache: Path) -> None:
    needs_tidevice()
    gpu = swiftshader()
    # adb without phones: `--devices auto` looks for those too, and must not find this computer's.
    with AdbLab(tmp_path / "adb") as adb, IosLab(tmp_path / "lab", environ={**os.environ, **gpu}) as lab:
        phone = lab.add("iphone-13", tls=True)
        folder = tmp_path / "desk"
        folder.mkdir()
        (folder / "pytest.ini").write_text("[pytest]\n")
        environ = {key: value for key, value in {**adb.environ, **lab.environ}.items() if key not in gpu}
        environ |= {key: value for key, value in adb.environ.items() if key.startswith(("ADB_", "ANDROID_"))}
        environ |= {"HARNESS_CACHE": str(own_cache), "PYTHONPATH": str(ROOT), "COLUMNS": "80"}

        phone.paired = False
        phone.developer_mode = False
        first = call(DOCTOR, folder, environ)
        assert first.returncode == 1
        assert "tap Trust" in " ".join(first.stdout.rpartition("What mends it:")[2].split())
        phone.paired = True
        second = call(DOCTOR, folder, environ)
        assert second.returncode == 1
        assert "Developer Mode" in " ".join(second.stdout.rpartition("What mends it:")[2].split())
        phone.developer_mode = True
        third = call(DOCTOR, folder, environ)
        assert (third.returncode, third.stdout.rpartition("\n\n")[2]) == (0, "Everything needed is there.\n")
        assert phone.received == []

        model = MODELS / "ops" / "conv_2d.tflite"
        measure = ("pytest", "-p", "no:cacheprovider", "--devices", "auto", f"--model={model}")
        run = call(measure, folder, environ)
        rows = cells(folder, f"iPhone-13-{phone.udid[-4:]}")
        assert set(rows) == {"cpu", "gpu-fp16", "gpu-fp32"}, run.stdout
        assert rows["cpu"]["outcome"] == "PASS", rows["cpu"]["reason"]
        assert rows["gpu-fp32"]["outcome"] == "PASS", rows["gpu-fp32"]["reason"]  # the driver has no float16
        assert {row["runner"]["context"] for row in rows.values()} == {"app"}
        pushed = [name for name, _ in phone.received if "/store/" in name]
        assert pushed
        call(measure, folder, environ)
        assert cells(folder, f"iPhone-13-{phone.udid[-4:]}")["cpu"]["outcome"] == "PASS"
        assert [name for name, _ in phone.received if "/store/" in name] == pushed  # nothing is pushed twice
        assert lab.pairing == []


def cells(folder: Path, device: str) -> dict[str, Any]:
    """Rows of a phone in the newest report, by delegate."""
    matrix = json.loads((folder / "reports" / "latest" / "matrix.json").read_text())
    (row,) = (row for row in matrix["devices"] if row["name"] == device)
    assert row["emulated"] is True
    return {cell["delegate"]: cell for cell in matrix["cells"] if cell["device"] == device}
