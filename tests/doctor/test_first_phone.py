"""From plugging a phone in to its first rows: two commands, rehearsed on an emulated phone of x86-64 programs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from emulated.android.lab import AdbLab
from emulated.android.userland import isolation
from harness.devices.local import host_target
from harness.lab.inventory import auto_inventory
from harness.runners.build import build_runner
from harness.runners.runtimes import Runtimes
from tests.conftest import MODELS, ROOT
from tests.drivers import absent, swiftshader

pytestmark = [
    pytest.mark.timeout(280),
    pytest.mark.skipif(host_target() != "x86_64-linux", reason="the phone runs this computer's programs"),
]
LINKER = "/system/bin/linker64"


def aar(folder: Path) -> Path:
    """The installed wheel's libraries, packed as an Android archive has them."""
    path = folder / "litert.aar"
    with zipfile.ZipFile(path, "w") as archive:
        for file in Runtimes(auto_inventory(), host_target()).get(None, host_target()).files:
            archive.write(file.source, f"jni/x86_64/{file.source.name}")
    return path


PROGRAMS = {"harness": "harness.cli:main", "pytest": "pytest:console_main"}


def call(command: Sequence[str], folder: Path, environ: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """A command as a person types it, wherever the programs are installed."""
    module, _, function = PROGRAMS[command[0]].partition(":")
    code = f"import sys; from {module} import {function}; sys.exit({function}())"
    argv = [sys.executable, "-c", code, *command[1:]]
    done = subprocess.run(argv, cwd=folder, env=environ, capture_output=True, text=True, timeout=200, check=False)
    assert "Traceback" not in done.stderr
    return done


def test_two_commands_lead_to_the_first_rows(tmp_path: Path, own_cache: Path) -> None:
    if isolation() != "namespace":  # the phone's linker needs a file system of its own
        absent("needs user namespaces: `unshare -rm true` fails here")
    # As the NDK would link it; the phone has this computer's linker by that name.
    runner = build_runner(compiler=f"cc -Wl,--dynamic-linker={LINKER}")
    with AdbLab(tmp_path / "lab", environ={**os.environ, **swiftshader()}) as lab:
        phone = lab.add("pixel-8")
        phone.set_property("ro.harness.target", "x86_64-android")
        (phone.root / LINKER[1:]).symlink_to("/lib64/ld-linux-x86-64.so.2")
        folder = tmp_path / "desk"
        folder.mkdir()
        (folder / "pytest.ini").write_text("[pytest]\n")
        gpu = set(swiftshader())  # the phone's alone
        environ = {key: value for key, value in lab.environ.items() if key not in gpu}
        environ |= {"HARNESS_CACHE": str(own_cache), "PYTHONPATH": str(ROOT), "COLUMNS": "80"}
        environ.pop("ANDROID_NDK_HOME", None)
        environ.pop("ANDROID_NDK_ROOT", None)
        doctor = ("harness", "doctor", "--devices", "auto")

        before = call(doctor, folder, environ)
        assert before.returncode == 1
        assert before.stdout.endswith("What mends it:\n  harness fetch android\n")

        # No release is published yet, so that the files are named; with one, `harness fetch android` is all.
        files = ("--runner", str(runner), "--aar", str(aar(tmp_path)))
        assert call(("harness", "fetch", "android", *files, "--abi", "x86_64"), folder, environ).returncode == 0
        after = call(doctor, folder, environ)
        assert (after.returncode, after.stdout.rpartition("\n\n")[2]) == (0, "Everything needed is there.\n")

        model = MODELS / "ops" / "conv_2d.tflite"
        run = call(("pytest", "-p", "no:cacheprovider", "--devices", "auto", f"--model={model}"), folder, environ)
        matrix: dict[str, Any] = json.loads((folder / "reports" / "latest" / "matrix.json").read_text())
        rows = {cell["delegate"]: cell for cell in matrix["cells"] if cell["device"].startswith("Pixel_8-")}
        assert set(rows) == {"cpu", "gpu-fp16", "gpu-fp32"}, run.stdout
        assert rows["cpu"]["outcome"] == "PASS", rows["cpu"]["reason"]
        assert rows["cpu"]["runner"]["context"] == "shell"
        assert rows["gpu-fp32"]["outcome"] == "PASS", rows["gpu-fp32"]["reason"]  # the driver has no float16
        (device,) = (row for row in matrix["devices"] if row["kind"] == "android")
        assert device["emulated"] is True
        assert device["facts"]["model"] == "Pixel 8"
