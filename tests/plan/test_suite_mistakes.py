"""What a suite's author is told about mistakes."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.errors import UsageError
from harness.plan.load import load_suite

METRICS = ("nonfinite", "max_abs_of_range", "speedup", "psnr_db")
ENV = {"HARNESS_WORD": "s3cret", "HARNESS_MODELS": "/s3cret/models"}
HEAD = "version: 1\nmodels: [blazeface]\ndelegates: {cpu: {}, gpu: {accelerator: gpu}}\n"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("suites", "models"):
        (tmp_path / name).mkdir()
    for name in ("mobilenet_v1", "blazeface"):
        (tmp_path / "models" / f"{name}.tflite").touch()
    (tmp_path / "suites" / "a.npy").touch()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def message(folder: Path, text: str) -> str:
    (folder / "suites" / "s.yaml").write_text(text)
    with pytest.raises(UsageError) as caught:
        load_suite(folder / "suites" / "s.yaml", METRICS, environ=ENV)
    found = str(caught.value)
    assert "s3cret" not in found
    assert "\n" not in found
    return found


@pytest.mark.parametrize(
    ("extra", "expected"),
    [
        ("gate: {}", "s.yaml:4: gate: unknown key; did you mean 'gates'?"),
        ("profile: nightli", "s.yaml:4: profile: expected one of quick, nightly, release, got 'nightli'; did you mean"),
        ("runs: {cuont: 3}", "s.yaml:4: runs.cuont: unknown key; did you mean 'count'?"),
        ("runs:\n  count: many", "s.yaml:5: runs.count: expected a whole number, got 'many'"),
        ("runs: {count: 2.5}", "s.yaml:4: runs.count: expected a whole number, got 2.5"),
        ("runs: {count: true}", "s.yaml:4: runs.count: expected a number, got true"),
        ("runs: {count: 0}", "s.yaml:4: runs.count: expected a number of at least 1, got 0"),
        ("runs: {max_seconds: 0}", "s.yaml:4: runs.max_seconds: expected a number above 0, got 0"),
        ("runs: {min_seconds: .nan}", "s.yaml:4: runs.min_seconds: expected a number"),
        ("runs: {warmup: 3}", "s.yaml:4: runs.warmup: expected a mapping, got 3"),
        (
            "runs: {min_seconds: 20}",
            "s.yaml:4: runs.min_seconds: 20 s is more than max_seconds (10 s, from profile quick); raise that as well",
        ),
        (
            "runs: {max_seconds: 2,\n  warmup: {min_seconds: 3}}",
            "s.yaml:5: runs.warmup.min_seconds: 3 s is more than max_seconds (2 s); raise that as well",
        ),
        ("inputs: {samples: 0}", "s.yaml:4: inputs.samples: expected a number of at least 1, got 0"),
        ("inputs: {seed: -1}", "s.yaml:4: inputs.seed: expected a number of at least 0, got -1"),
        ("inputs: {files: {x: none.npy}}", "s.yaml:4: inputs.files.x: no such file: 'none.npy'"),
        ("inputs: {files: {x: ['${HARNESS_WORD}']}}", "s.yaml:4: inputs.files.x[0]: no such file: '${HARNESS_WORD}'"),
        ("inputs: {files: {x: []}}", "s.yaml:4: inputs.files.x: expected at least 1 file, got none"),
        ("inputs: {files: {x: {path: a.npy}}}", "s.yaml:4: inputs.files.x.path: unknown key; did you mean 'paths'?"),
        ("inputs: {files: {x: 5}}", "s.yaml:4: inputs.files.x: expected text, got 5; put it in quotes"),
        (
            "inputs:\n  samples: 3\n  files: {x: [a.npy, a.npy]}",
            "s.yaml:6: inputs.files.x: 2 file(s) for 3 sample(s) (see suites/s.yaml:5); give one file per sample",
        ),
        (
            "inputs:\n  files:\n    x: [a.npy, a.npy]\n    y: a.npy",
            "s.yaml:7: inputs.files.y: 1 file(s) for 2 sample(s) (see suites/s.yaml:6); give one file per sample",
        ),
        (
            "gates:\n  gpu_*: {nonfinite: 0}",
            "s.yaml:5: gates[\"gpu_*\"]: no delegate matches 'gpu_*'; did you mean 'gpu'? delegates: cpu, gpu",
        ),
        ("gates: {gpu: {max_abs: x}}", "s.yaml:4: gates.gpu.max_abs: expected a number, got 'x'"),
        ("gates: {gpu: {nonfinite: .inf}}", "s.yaml:4: gates.gpu.nonfinite: expected a number, got .inf"),
        (
            "gates: {gpu: {max_abs_of_rang: 1}}",
            "s.yaml:4: gates.gpu.max_abs_of_rang: unknown metric; did you mean 'max_abs_of_range'?",
        ),
        (
            "gates: {gpu: {zzz: 1}}",
            "s.yaml:4: gates.gpu.zzz: unknown metric; known: max_abs_of_range, nonfinite, psnr_db, speedup",
        ),
        (
            "advice: {speedup: {over: cpv}}",
            "s.yaml:4: advice.speedup.over: no delegate called 'cpv'; did you mean 'cpu'? known here: best_cpu, cpu, ",
        ),
        ("coverage: {per_model: 90}", "s.yaml:4: coverage.per_model: expected a number of at most 1, got 90"),
        (
            "limits: {memory: 4 GBs}",
            "s.yaml:4: limits.memory: expected a size such as 256MiB or 4GiB, or a number of bytes, got '4 GBs'",
        ),
        ("limits: {memory: -1}", "s.yaml:4: limits.memory: expected a size such as 256MiB or 4GiB"),
        ("limits: {memory: true}", "s.yaml:4: limits.memory: expected a size such as 256MiB or 4GiB"),
        (
            "limits: {deadline: ${HARNESS_WORD}}",
            "s.yaml:4: limits.deadline: expected a duration such as 90s, 5min, 1h or 7d, or a number of seconds, "
            "got '${HARNESS_WORD}'",
        ),
        ("retries: 11", "s.yaml:4: retries: expected a number of at most 10, got 11"),
        ("devices: flagship", "s.yaml:4: devices: expected a mapping, got 'flagship'"),
        ("devices: {labels: flagship}", "s.yaml:4: devices.labels: expected a list, got 'flagship'"),
        ("reference: the phone", "s.yaml:4: reference: expected a name of letters, digits, '.', '_' and '-', got "),
    ],
)
def test_a_bad_key(folder: Path, extra: str, expected: str) -> None:
    assert message(folder, f"{HEAD}{extra}\n").startswith(f"suites/{expected}")


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        ("{acelerator: gpu}", "s.yaml:4: delegates.x.acelerator: unknown key; did you mean 'accelerator'?"),
        ("{accelerator: gqu}", "s.yaml:4: delegates.x.accelerator: expected one of cpu, gpu, npu, got 'gqu'; did you"),
        ("{threads: 0}", "s.yaml:4: delegates.x.threads: expected a number of at least 1, got 0"),
        ("{runtime: 2.2}", "s.yaml:4: delegates.x.runtime: expected text, got 2.2; put it in quotes"),
        ("5", "s.yaml:4: delegates.x: expected a mapping, got 5"),
        (
            "{precision: fp16}",
            "s.yaml:4: delegates.x: 'precision' is for accelerator gpu only; this one has accelerator cpu",
        ),
        (
            "{accelerator: npu, backend: opencl}",
            "s.yaml:4: delegates.x: 'backend' is for accelerator gpu only; this one has accelerator npu",
        ),
        (
            "{accelerator: gpu, kernels: builtin}",
            "s.yaml:4: delegates.x: 'kernels' is for accelerator cpu only; this one has accelerator gpu",
        ),
        (
            "{fallback: partial}",
            "s.yaml:4: delegates.x: 'fallback' is not for accelerator cpu, which runs every operation itself",
        ),
        (
            "{only: [mobilnet_*]}",
            "s.yaml:4: delegates.x.only[0]: no model matches 'mobilnet_*'; models of this suite: blazeface",
        ),
    ],
)
def test_a_bad_delegate(folder: Path, entry: str, expected: str) -> None:
    text = f"version: 1\nmodels: [blazeface]\ndelegates:\n  x: {entry}\n"
    assert message(folder, text).startswith(f"suites/{expected}")


@pytest.mark.parametrize(
    ("models", "expected"),
    [
        ("[]", "s.yaml:2: models: expected at least 1 item, got none"),
        ("blazeface", "s.yaml:2: models: expected a list, got 'blazeface'"),
        ("[5]", "s.yaml:2: models[0]: expected text, got 5; put it in quotes"),
        (
            "\n  - blazeface\n  - mobilnet_v1",
            "s.yaml:4: models[1]: no model called 'mobilnet_v1'; did you mean 'mobilenet_v1'? "
            "models in suites, models: blazeface, mobilenet_v1",
        ),
        ("[zzz_*]", "s.yaml:2: models[0]: no model called 'zzz_*'; models in suites, models: blazeface, mobilenet_v1"),
        (
            "\n  - {task: other,\n     model: ../models/blazfce.tflite}",
            "s.yaml:4: models[0].model: no such file: '../models/blazfce.tflite'; did you mean 'blazeface.tflite'?",
        ),
        ("['${HARNESS_MODELS}/x.tflite']", "s.yaml:2: models[0]: no such file: '${HARNESS_MODELS}/x.tflite'"),
        ("[../models/*.bin]", "s.yaml:2: models[0]: no such file: '../models/*.bin'"),
        ("[../models]", "s.yaml:2: models[0]: '../models' is a folder; name its files, e.g. with '/*.tflite'"),
        ("[{modle: blazeface}]", "s.yaml:2: models[0].modle: unknown key; did you mean 'model'?"),
        ("[{task: detect}]", "s.yaml:2: models[0]: required key 'model' is missing"),
        (
            "[{model: blazeface, task: detection}]",
            "s.yaml:2: models[0].task: expected one of classify, segment, detect, keypoints, other, got 'detection'; "
            "did you mean 'detect'?",
        ),
        (
            "[{model: '*', name: x}]",
            "s.yaml:2: models[0].name: a name without '*' is for one model, but '*' means 2 files",
        ),
        (
            "[{model: blazeface, gates: {psnr: 1}}]",
            "s.yaml:2: gates.psnr of 'blazeface': unknown metric; did you mean 'psnr_db'?",
        ),
        (
            "[{model: blazeface, gates: {speedup: 2}}]",
            "s.yaml:2: gates.speedup of 'blazeface': a speed-up is asked of a delegate; "
            "write it under the suite's 'gates:'",
        ),
        (
            "[{model: blazeface, inputs: {values: big}}]",
            "s.yaml:2: models[0].inputs.values: expected one of ordinary, positive, negative, large, tiny, "
            "negative_zero, denormal, nonfinite, got 'big'",
        ),
        (
            "\n  - blazeface\n  - {model: mobilenet_v1, name: blazeface}",
            "s.yaml:4: models[1]: two models called 'blazeface': models/blazeface.tflite and "
            "models/mobilenet_v1.tflite; give one a 'name:'",
        ),
    ],
)
def test_a_bad_model(folder: Path, models: str, expected: str) -> None:
    assert message(folder, f"version: 1\nmodels: {models}\ndelegates: {{cpu: {{}}}}\n") == f"suites/{expected}"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("version: 1\nmodels: [blazeface]\n", "s.yaml:1: required key 'delegates' is missing"),
        (
            "version: 1\nmodels: [blazeface]\ndelegates: {}\n",
            "s.yaml:3: delegates: expected at least 1 item, got none",
        ),
        (
            "version: 1\nmodels: [blazeface]\ndelegates: {a b: {}}\n",
            "s.yaml:3: delegates[\"a b\"]: expected a name of letters, digits, '.', '_' and '-', got 'a b'",
        ),
        (
            "version: 1\nmodels: [blazeface]\ndelegates: {gpu: {accelerator: gpu}}\ngates: {'*': {speedup: 2}}\n",
            's.yaml:4: gates["*"].speedup: there is nothing to be faster than; add a delegate with accelerator cpu, '
            "or name one in 'advice: {speedup: {over: ...}}'",
        ),
        (
            "version: 1\nmodels: [blazeface]\ndelegates: {gpu: {accelerator: gpu}}\nreference: same_device_cpu\n",
            "s.yaml:4: reference: 'same_device_cpu' needs a delegate with accelerator cpu that is for all models; "
            "add one, or write 'reference: golden'",
        ),
        (
            "version: 1\nmodels: ['*']\ndelegates: {cpu: {only: [blazeface]}}\n",
            "s.yaml:3: delegates: no delegate is for model 'mobilenet_v1'; see the keys 'only'",
        ),
        (
            "version: 1\nmodels: ['*']\ndelegates: {cpu: {only: [blazeface]}, gpu: {accelerator: gpu}}\n"
            "gates: {gpu: {speedup: 2}}\n",
            "s.yaml:4: speedup of 'gpu' is taken over cpu, which model 'mobilenet_v1' is not run on; "
            "see the keys 'only'",
        ),
    ],
)
def test_keys_that_do_not_go_together(folder: Path, text: str, expected: str) -> None:
    assert message(folder, text) == f"suites/{expected}"


def test_two_files_of_one_name_from_the_environment(folder: Path) -> None:
    (folder / "suites" / "blazeface.tflite").touch()
    text = "version: 1\nmodels: [blazeface, '${HARNESS_M}/blazeface.tflite']\ndelegates: {cpu: {}}\n"
    (folder / "suites" / "s.yaml").write_text(text)
    with pytest.raises(UsageError) as caught:
        load_suite(folder / "suites" / "s.yaml", environ={"HARNESS_M": str(folder / "models")})
    assert str(caught.value) == (
        "suites/s.yaml:2: models[1]: two models called 'blazeface': suites/blazeface.tflite and "
        "'${HARNESS_M}/blazeface.tflite'; give one a 'name:'"
    )


def test_metrics_are_checked_by_whom_knows_them(folder: Path) -> None:
    path = folder / "suites" / "s.yaml"
    path.write_text(f"{HEAD}gates: {{gpu: {{anything: 1}}}}\n")
    assert load_suite(path).gates == {"gpu": {"anything": 1.0}}


def test_a_suite_needs_a_name(folder: Path) -> None:
    path = folder / "suites" / "my suite.yaml"
    path.write_text(HEAD)
    with pytest.raises(UsageError, match=r"^suites/my suite\.yaml: a suite is named after its file, with letters"):
        load_suite(path)
