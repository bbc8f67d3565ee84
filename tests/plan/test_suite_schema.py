"""The published JSON Schemas, and the YAML files of this repository."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from harness import yamlfile
from harness.lab import spec
from harness.lab.inventory import load_inventory
from harness.measure.metrics import METRICS
from harness.plan import suite
from harness.plan.expand import expand
from harness.plan.gating import DEFAULT_GATES
from harness.plan.load import load_suite, model_suite

ROOT = Path(__file__).parents[2]
SCHEMAS = {"devices": spec.json_schema, "suite": suite.json_schema}


def errors(schema: dict[str, Any], text: str) -> list[str]:
    data = yamlfile.parse(text, "f.yaml", version=1, environ={}).data
    return sorted(error.json_path for error in Draft202012Validator(schema).iter_errors(data))


def properties(schema: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for part in [schema, *schema["$defs"].values()]:
        yield from part.get("properties", {}).items()


@pytest.mark.parametrize("name", SCHEMAS)
def test_schemas_are_valid_and_describe_every_key(name: str) -> None:
    schema = SCHEMAS[name]()
    Draft202012Validator.check_schema(schema)
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert [key for key, value in properties(schema) if not value.get("description")] == []


@pytest.mark.parametrize("path", ["devices.yaml", "suites/smoke.yaml", "suites/real_models.yaml"])
def test_our_own_files_fit_the_schemas(path: str) -> None:
    schema = SCHEMAS["devices" if path.startswith("devices") else "suite"]()
    assert errors(schema, (ROOT / path).read_text()) == []


def test_mistakes_do_not_fit_the_schemas() -> None:
    devices = "version: 1\ndevices: [{name: x, kind: android, serail: y}, {kind: phone}]\n"
    assert errors(spec.json_schema(), devices) == ["$.devices[0]", "$.devices[1]"]
    text = "version: 1\nmodels: [{model: x, task: y}, z]\ndelegates: {cpu: {threads: 0}}\nlimits: {memory: []}\n"
    assert errors(suite.json_schema(), text) == ["$.delegates.cpu.threads", "$.limits.memory", "$.models[0]"]


def test_our_devices_are_this_machine_and_its_examples_load(tmp_path: Path) -> None:
    text = (ROOT / "devices.yaml").read_text()
    assert [device.kind for device in load_inventory(ROOT / "devices.yaml").specs] == ["local"]
    # Commented examples start with "# " and a key, a list item, or their indented continuation; prose does not.
    lines = []
    for line in text.splitlines():
        bare = line.lstrip()
        example = bare.startswith(("# - ", "#   ", "# hosts:", "# runtimes:", "# runners:"))
        lines.append(line.replace("# ", "", 1) if example else line)
    path = tmp_path / "devices.yaml"
    path.write_text("\n".join(lines))
    key = tmp_path / "key"
    key.touch()
    found = load_inventory(path, environ={"HARNESS_LAVAPIPE": "/x", "HARNESS_SSH_KEY": str(key)})
    assert {device.kind for device in found.specs} == {"local", "android", "ios", "ssh"}
    assert len(found.specs) == 8
    assert (set(found.hosts), set(found.runtimes)) == ({"rack-2"}, {"release-aar", "nightly"})


def test_the_smoke_suite(tmp_path: Path) -> None:
    (tmp_path / "models").mkdir()
    (tmp_path / "suites").mkdir()
    tasks = {
        "mobilenet_v1": "classify",
        "posenet": "keypoints",
        "deeplab": "segment",
        "mobilenet_ssd": "detect",
        "face_contour": "keypoints",
        "video_segmentation": "segment",
    }
    for name in tasks:
        (tmp_path / "models" / f"{name}.tflite").touch()
    path = tmp_path / "suites" / "smoke.yaml"
    path.write_text((ROOT / "suites" / "smoke.yaml").read_text())
    found = load_suite(path, METRICS)
    assert {model.name: model.task for model in found.models} == tasks
    assert [delegate.name for delegate in found.delegates] == ["cpu", "gpu"]
    assert len(expand(found, load_inventory(ROOT / "devices.yaml").specs)) == 12
    assert found.policy.profile == "quick"


def test_the_real_models() -> None:
    if not (ROOT.parent / "shared" / "models").is_dir():
        pytest.skip("../shared/models is not here")
    found = load_suite(ROOT / "suites" / "real_models.yaml", METRICS)
    assert len(found.models) == 17
    partial = [part.model.name for part in found.combinations if part.delegate.name == "gpu-partial"]
    assert partial == ["mobilenet_v1_0.25_224_float_meta", "face_detection_full_range_sparse"]


def test_default_gates_are_metrics_that_exist() -> None:
    assert set(DEFAULT_GATES["*"]) <= set(METRICS)


def test_a_suite_on_the_spot_fits_the_schema(tmp_path: Path) -> None:
    (tmp_path / "x.tflite").touch()
    _, text = model_suite([tmp_path / "x.tflite"], METRICS)
    assert errors(suite.json_schema(), text) == []
