"""`models/build.py`: what is committed is what it makes, and it says where that is not so."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from models.build import main
from models.builder.catalog import builders
from tests.models.runtime import MODELS


def test_committed_files_are_byte_for_byte_what_the_script_makes(capsys: pytest.CaptureFixture[str]) -> None:
    code = main(["--check"])
    assert (code, capsys.readouterr().out) == (0, "")


@pytest.mark.parametrize("folder", ["ops", "gpu_ops"])
def test_no_file_is_left_over_from_an_earlier_script(folder: str) -> None:
    names = {f"{folder}/{path.stem}" for path in (MODELS / folder).iterdir()}
    assert names == {name for name in builders() if name.startswith(f"{folder}/")}


def test_files_stay_small() -> None:
    sizes = {name: (MODELS / f"{name}.tflite").stat().st_size for name in builders()}
    assert sum(sizes.values()) < 4e6
    assert max(size for name, size in sizes.items() if "/" in name) < 2048


def test_check_names_files_that_differ_or_are_missing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["ops/add", "ops/sub"], tmp_path)
    damaged = tmp_path / "ops" / "add.tflite"
    damaged.write_bytes(damaged.read_bytes()[:-1] + b"\xff")
    capsys.readouterr()
    assert main(["--check", "ops/add", "ops/sub", "ops/mul"], tmp_path) == 1
    assert [line.split(" (")[0] for line in capsys.readouterr().out.splitlines()] == [
        "differs: ops/add.tflite",
        "missing: ops/mul.tflite",
    ]


def test_check_writes_nothing(tmp_path: Path) -> None:
    assert main(["--check", "ops/add"], tmp_path) == 1
    assert list(tmp_path.iterdir()) == []


def test_rebuilding_mends_a_file_and_leaves_good_ones_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["ops/add", "ops/sub"], tmp_path)
    good = (tmp_path / "ops" / "sub.tflite").stat()
    (tmp_path / "ops" / "add.tflite").write_bytes(b"")
    capsys.readouterr()
    assert main(["ops/add", "ops/sub"], tmp_path) == 0
    assert capsys.readouterr().out.startswith("written: ops/add.tflite")
    assert (tmp_path / "ops" / "sub.tflite").stat().st_mtime_ns == good.st_mtime_ns
    assert main(["--check", "ops/add", "ops/sub"], tmp_path) == 0


def test_an_unknown_name_is_a_usage_error_with_the_nearest_right_one(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as raised:
        main(["mobilnet_v1"])
    assert raised.value.code == 2
    assert "did you mean 'mobilenet_v1'?" in capsys.readouterr().err


def test_it_runs_as_a_script_from_anywhere(tmp_path: Path) -> None:
    script = str(MODELS / "build.py")
    command = [sys.executable, script, "--check", "ops/add"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
