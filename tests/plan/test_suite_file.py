"""What a suite's file becomes when it is right."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from harness.errors import UsageError
from harness.plan.cell import Delegate, GateRule, InputFile, InputPlan, Limits, Runs
from harness.plan.load import load_suite, marker_suite, model_suite
from harness.plan.suite import PROFILES, Suite

METRICS = ("nonfinite", "max_abs_of_range", "speedup", "psnr_db")
EXAMPLE = """\
version: 1
profile: nightly
models: [mobilenet_*, {model: blazeface, task: detect, signature: serving, inputs: {seed: 7}, name: face}]
devices: {labels: [flagship], names: [pixel-*]}
delegates:
  cpu:      {accelerator: cpu, kernels: xnnpack, threads: 4}
  gpu-fp16: {accelerator: gpu, precision: fp16, fallback: forbid, expect: if_available}
  gpu-old:  {accelerator: gpu, precision: fp16, runtime: 2.2.0, backend: opencl, fallback: partial, start: cold}
runs: {warmup: {count: 3, min_seconds: 0.5}, count: 50, min_seconds: 1, max_seconds: 30, rounds: 1}
inputs: {seed: 0, samples: 3}
reference: golden
gates:
  "*":      {nonfinite: 0}
  "gpu-*":  {max_abs_of_range: 2e-2, speedup: 1.5}
  gpu-old:  {max_abs_of_range: 3e-2}
advice: {speedup: {over: best_cpu}}
coverage: {per_model: 0.9}
limits: {memory: 2GiB, output_bytes: 1.5MiB, deadline: 5min}
retries: 2
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "suites").mkdir()
    (tmp_path / "models").mkdir()
    for name in ("mobilenet_v1", "mobilenet_v2", "blazeface"):
        (tmp_path / "models" / f"{name}.tflite").touch()
    return tmp_path


def suite(folder: Path, text: str) -> Suite:
    path = folder / "suites" / "example.yaml"
    path.write_text(text)
    return load_suite(path, METRICS, environ={"HARNESS_MODELS": str(folder / "models")})


def rules(found: Suite, delegate: str) -> dict[str, tuple[float, tuple[str, ...], str]]:
    gates = next(part.gates for part in found.combinations if part.delegate.name == delegate)
    return {rule.metric: (rule.limit, rule.partners, rule.origin) for rule in gates}


def test_the_whole_contract(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    found = suite(folder, EXAMPLE)
    assert (found.name, found.path) == ("example", folder / "suites" / "example.yaml")
    assert (found.text, found.sha256) == (EXAMPLE, hashlib.sha256(EXAMPLE.encode()).hexdigest())
    first, second, face = found.models
    assert (first.name, first.path, first.task) == (
        "mobilenet_v1",
        str(folder / "models" / "mobilenet_v1.tflite"),
        "other",
    )
    assert (second.name, second.origin) == ("mobilenet_v2", "suites/example.yaml:3")
    assert (face.name, face.task, face.signature) == ("face", "detect", "serving")
    assert first.inputs == InputPlan(seed=0, samples=3, origin="suites/example.yaml:10")
    assert face.inputs == InputPlan(seed=7, samples=3, origin="suites/example.yaml:3")
    assert found.delegates == (
        Delegate("cpu", threads=4),
        Delegate("gpu-fp16", "gpu", precision="fp16"),
        Delegate(
            "gpu-old", "gpu", precision="fp16", runtime="2.2.0", backend="opencl", fallback="partial", start="cold"
        ),
    )
    assert found.policy.runs == Runs(3, 0.5, 50, 1.0, 30.0, 1)
    assert found.policy.limits == Limits(2 << 30, 3 << 19, 300.0)
    assert (found.policy.profile, found.policy.retries, found.policy.speedup_over) == ("nightly", 2, ("cpu",))
    assert (found.policy.reference, found.policy.reference_delegate) == ("golden", None)
    assert (found.coverage, found.devices.labels, found.devices.names) == (0.9, ("flagship",), ("pixel-*",))
    assert found.gates["gpu-*"] == {"max_abs_of_range": 0.02, "speedup": 1.5}


def test_a_model_may_have_values_gates_and_a_name_of_its_own(folder: Path) -> None:
    found = suite(
        folder,
        "version: 1\nmodels:\n  - mobilenet_*\n"
        "  - {model: mobilenet_*, name: '*.large', inputs: {values: large}, gates: {max_abs_of_range: 3}}\n"
        "delegates: {cpu: {}}\ngates: {cpu: {psnr_db: 20}}\n",
    )
    assert [(model.name, model.inputs.values) for model in found.models] == [
        ("mobilenet_v1", "ordinary"),
        ("mobilenet_v2", "ordinary"),
        ("mobilenet_v1.large", "large"),
        ("mobilenet_v2.large", "large"),
    ]
    limits = {one.model.name: {rule.metric: rule.limit for rule in one.gates} for one in found.combinations}
    assert limits["mobilenet_v1"] == {"nonfinite": 0, "psnr_db": 20}
    assert limits["mobilenet_v1.large"] == {"nonfinite": 0, "max_abs_of_range": 3}


def test_later_gates_win_metric_by_metric(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    found = suite(folder, EXAMPLE)
    assert rules(found, "cpu") == {"nonfinite": (0.0, (), "suites/example.yaml:13")}
    assert rules(found, "gpu-fp16") == {
        "nonfinite": (0.0, (), "suites/example.yaml:13"),
        "max_abs_of_range": (0.02, (), "suites/example.yaml:14"),
        "speedup": (1.5, ("cpu",), "suites/example.yaml:14"),
    }
    assert rules(found, "gpu-old")["max_abs_of_range"] == (0.03, (), "suites/example.yaml:15")


def test_combinations_are_model_by_model(folder: Path) -> None:
    found = suite(folder, EXAMPLE)
    assert [(part.model.name, part.delegate.name) for part in found.combinations][:4] == [
        ("mobilenet_v1", "cpu"),
        ("mobilenet_v1", "gpu-fp16"),
        ("mobilenet_v1", "gpu-old"),
        ("mobilenet_v2", "cpu"),
    ]
    assert found.combinations[0].gates is found.combinations[3].gates


MINIMAL = "version: 1\nmodels: [blazeface]\ndelegates: {cpu: {}}\n"


def test_defaults(folder: Path) -> None:
    found = suite(folder, MINIMAL)
    assert found.policy.runs == PROFILES["quick"]
    assert found.policy.limits == Limits()
    assert found.delegates == (Delegate("cpu"),)
    assert found.models[0].inputs.samples == 3
    assert rules(found, "cpu") == {"nonfinite": (0.0, (), "default"), "max_abs_of_range": (0.05, (), "default")}
    assert found.gates == {"*": {"nonfinite": 0.0, "max_abs_of_range": 0.05}}
    assert found.coverage == 0.0


@pytest.mark.parametrize("profile", ["quick", "nightly", "release"])
def test_a_profile_fills_in_what_is_not_given(folder: Path, profile: str) -> None:
    found = suite(folder, f"{MINIMAL}profile: {profile}\nruns: {{count: 7}}\n")
    runs = PROFILES[profile]
    assert found.policy.runs == Runs(
        runs.warmup_count, runs.warmup_min_seconds, 7, runs.min_seconds, runs.max_seconds, runs.rounds
    )


def test_a_release_has_the_samples_for_a_p99() -> None:
    assert PROFILES["release"].count * PROFILES["release"].rounds >= 300


def test_non_finite_outputs_fail_unless_a_gate_says_otherwise(folder: Path) -> None:
    assert rules(suite(folder, f"{MINIMAL}gates: {{cpu: {{psnr_db: 40}}}}\n"), "cpu")["nonfinite"][0] == 0.0
    assert rules(suite(folder, f"{MINIMAL}gates: {{cpu: {{nonfinite: 5}}}}\n"), "cpu")["nonfinite"][0] == 5.0


def test_no_speedup_is_asked_of_what_it_is_taken_over(folder: Path) -> None:
    text = "version: 1\nmodels: [blazeface]\ndelegates: {cpu: {}, cpu4: {threads: 4}, npu: {accelerator: npu}}\n"
    found = suite(folder, text + "gates: {'*': {speedup: 2}}\n")
    assert "speedup" not in rules(found, "cpu4")
    assert rules(found, "npu")["speedup"][1] == ("cpu", "cpu4")
    over = suite(folder, text + "gates: {'*': {speedup: 2}}\nadvice: {speedup: {over: cpu4}}\n")
    assert over.policy.speedup_over == ("cpu4",)
    assert rules(over, "cpu")["speedup"][1] == rules(over, "npu")["speedup"][1] == ("cpu4",)


ONLY = """\
version: 1
models: ["*"]
delegates:
  fast: {threads: 4, only: [mobilenet_v1]}
  cpu: {}
  gpu: {accelerator: gpu, only: [mobilenet_*]}
"""


def test_a_delegate_may_be_for_some_models(folder: Path) -> None:
    found = suite(folder, f"{ONLY}gates: {{gpu: {{speedup: 2}}}}\nreference: same_device_cpu\n")
    assert [(part.model.name, part.delegate.name) for part in found.combinations] == [
        ("blazeface", "cpu"),
        ("mobilenet_v1", "fast"),
        ("mobilenet_v1", "cpu"),
        ("mobilenet_v1", "gpu"),
        ("mobilenet_v2", "cpu"),
        ("mobilenet_v2", "gpu"),
    ]
    speedups = [rule.partners for part in found.combinations for rule in part.gates if rule.metric == "speedup"]
    assert speedups == [("fast", "cpu"), ("cpu",)]
    assert found.policy.reference_delegate == "cpu"


def test_input_files(folder: Path) -> None:
    for name in ("a.npy", "b.npy", "c.png"):
        (folder / "suites" / name).touch()
    text = (
        "version: 1\ndelegates: {cpu: {}}\nmodels:\n  - mobilenet_v1\n"
        "  - model: blazeface\n"
        "    inputs: {files: {x: [a.npy, b.npy], '1': {paths: [c.png, c.png], mean: 0, std: 255}}}\n"
        "inputs: {files: {image: c.png}, seed: 3}\n"
    )
    first, second = suite(folder, text).models
    files = {name: str(folder / "suites" / name) for name in ("a.npy", "b.npy", "c.png")}
    assert (first.inputs.samples, first.inputs.seed) == (1, 3)
    assert first.inputs.files == {"image": (InputFile(files["c.png"]),)}
    assert (second.inputs.samples, second.inputs.seed) == (2, 3)
    assert second.inputs.files == {
        "x": (InputFile(files["a.npy"]), InputFile(files["b.npy"])),
        "1": (InputFile(files["c.png"], 0.0, 255.0),) * 2,
    }


def test_a_model_named_again_is_refined(folder: Path) -> None:
    text = "version: 1\nmodels: ['*', {model: mobilenet_v1, task: classify}, {model: mobilenet_v1, name: again}]\n"
    found = suite(folder, f"{text}delegates: {{cpu: {{}}}}\n")
    assert [(model.name, model.task) for model in found.models] == [
        ("blazeface", "other"),
        ("mobilenet_v1", "classify"),
        ("mobilenet_v2", "other"),
        ("again", "other"),
    ]
    assert found.models[1].path == found.models[3].path


def test_models_from_the_environment(folder: Path) -> None:
    found = suite(folder, "version: 1\nmodels: ['${HARNESS_MODELS}/b*.tflite']\ndelegates: {cpu: {accelerator: cpu}}\n")
    assert [model.path for model in found.models] == [str(folder / "models" / "blazeface.tflite")]


def test_a_suite_on_the_spot_loads_from_its_own_text(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    (folder / "b").mkdir()
    odd = folder / "b" / 'my "model" ü: 1.tflite'
    for path in (odd, folder / "b" / "blazeface.tflite"):
        path.touch()
    found, text = model_suite([Path("models/blazeface.tflite"), odd, folder / "b" / "blazeface.tflite"])
    assert [model.name for model in found.models] == ["blazeface", "my_model_1", "blazeface-2"]
    assert found.models[1].path == str(odd)
    assert [delegate.name for delegate in found.delegates] == ["cpu", "gpu-fp16", "gpu-fp32"]
    again = suite(folder, text)
    assert [(model.name, model.path) for model in again.models] == [(model.name, model.path) for model in found.models]
    assert (again.delegates, again.policy, again.text) == (found.delegates, found.policy, found.text)


def test_a_missing_model_on_the_spot(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    with pytest.raises(UsageError) as caught:
        model_suite([Path("models/blazface.tflite")])
    expected = "--model models/blazface.tflite: no such file; did you mean 'blazeface.tflite'?"
    assert str(caught.value) == expected


def test_a_suite_of_a_marker(folder: Path) -> None:
    found = marker_suite("models/blazeface.tflite", "gpu-fp32", (folder / "tests", folder), "test_it.py::test_sum")
    assert (found.name, [model.name for model in found.models]) == ("test_it", ["blazeface"])
    assert found.delegates == (Delegate("gpu-fp32", "gpu", precision="fp32"),)
    assert found.combinations[0].gates == (GateRule("nonfinite", 0.0, origin="test_it.py::test_sum:7"),)
    for model, delegate, expected in (
        ("blazefac", "cpu", "no model called 'blazefac'; did you mean 'blazeface'? models in "),
        ("*", "cpu", "'*' means 3 files; a test is about one"),
        ("blazeface", "gpu-fp", "no delegate called 'gpu-fp'; did you mean 'gpu-fp32'? there are: cpu, gpu-fp16, "),
    ):
        with pytest.raises(UsageError) as caught:
            marker_suite(model, delegate, (folder / "tests", folder), "test_it.py::test_sum")
        assert str(caught.value).startswith(f"test_it.py::test_sum: {expected}")
