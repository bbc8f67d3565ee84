"""The main job through pytest: cells in, verdicts and a report out."""

from __future__ import annotations

import json

import jsonschema
import pytest

from harness import cli
from tests.session.conftest import Lab


def test_devices_alone_runs_the_smoke_suite_and_leaves_a_report(lab: Lab) -> None:
    lab.models("add", "conv_2d")
    lab.suite()
    result = lab.run()
    assert result.ret == 0
    result.assert_outcomes(passed=2)
    assert lab.outcomes == {"add[box:cpu]": "PASS", "conv_2d[box:cpu]": "PASS"}
    assert {path.name for path in lab.folder.iterdir()} >= {
        "cells.jsonl",
        "matrix.json",
        "matrix.csv",
        "matrix.md",
        "index.html",
        "artifacts",
    }
    summary = lab.matrix["summary"]
    assert (summary["verdict"], summary["planned"], summary["pass"]) == ("PASS", 2, 2)


def test_a_row_holds_raw_samples_accuracy_delegation_and_provenance(lab: Lab) -> None:
    lab.models("conv_2d")
    lab.suite()
    assert lab.inline().ret == 0
    (cell,) = lab.matrix["cells"]
    assert len(cell["latency"]["samples_us"]) == 3
    assert cell["latency"]["scope"] == "invoke+read"
    assert cell["latency"]["first_us"] > 0
    assert cell["accuracy"][0]["reference"]["kind"] == "golden"
    assert cell["accuracy"][0]["reference"]["kernels"] == "reference"
    assert cell["accuracy"][0]["samples"] == 3
    assert cell["delegation"]["nodes_delegated"] == cell["delegation"]["nodes_total"] == 1
    assert len(cell["runtime"]["sha256"]) == 64
    assert "--accelerator cpu" in cell["runner"]["command"]
    assert cell["memory"]["peak_rss_bytes"] > 1_000_000
    assert lab.matrix["devices"][0]["facts"]["cores"] >= 1
    assert lab.matrix["models"][0]["ops"] == [{"name": "CONV_2D", "version": 1, "count": 1}]


def test_the_matrix_of_a_real_run_satisfies_the_published_schema(lab: Lab, capsys: pytest.CaptureFixture[str]) -> None:
    lab.models("conv_2d", "add_dynamic_batch")
    lab.write("models/bad.tflite", "no model")
    delegates = "delegates:\n  cpu: {accelerator: cpu}\n  slow: {accelerator: cpu}\n  gpu: {accelerator: gpu}\n"
    lab.suite("gates: {slow: {median_us: 1.0e-6}}\n", delegates=delegates)
    lab.inline()
    lab.inline("--baseline", "reports/latest")
    assert {"PASS", "FAIL", "ERROR"} <= set(lab.outcomes.values())
    capsys.readouterr()
    assert cli.main(["schema", "matrix"]) == 0
    schema = json.loads(capsys.readouterr().out)
    jsonschema.Draft202012Validator(schema).validate(lab.matrix)
    assert lab.matrix["baseline"] is not None


def test_the_command_can_be_typed_again(lab: Lab) -> None:
    lab.models("add")
    lab.suite()
    lab.inline("-k", "add and cpu")
    assert lab.matrix["run"]["command"].startswith("pytest ")
    assert lab.matrix["run"]["command"].endswith("--devices devices.yaml -k 'add and cpu'")


def test_what_was_assumed_of_a_model_is_noted_though_it_was_not_measured(lab: Lab) -> None:
    lab.models("add_dynamic_batch")
    lab.suite("limits: {memory: 1}\n")
    lab.inline()
    (cell,) = lab.matrix["cells"]
    assert cell["outcome"] == "UNSUPPORTED"
    assert cell["notes"] == ["dynamic dimensions run at size 1"]


def test_plain_pytest_runs_tests_and_no_cell(lab: Lab) -> None:
    lab.models("add")
    lab.suite()
    lab.pytester.makepyfile("def test_one(): pass")
    result = lab.pytester.runpytest_subprocess()
    result.assert_outcomes(passed=1)
    assert not (lab.path / "reports").exists()


def test_a_model_alone_needs_no_yaml(lab: Lab, adb_port: int) -> None:
    lab.models("add")
    result = lab.pytester.runpytest_subprocess("--devices", "auto", "--model", "models/add.tflite")
    assert set(lab.outcomes) == {
        "add[this-machine:cpu]",
        "add[this-machine:gpu-fp16]",
        "add[this-machine:gpu-fp32]",
    }
    assert lab.outcomes["add[this-machine:cpu]"] == "PASS"
    result.stdout.fnmatch_lines(["devices: this-machine (auto)", "*no phone*"])
    result.stdout.fnmatch_lines(["*suite made on the spot:*", "*gpu-fp16: {accelerator: gpu, precision: fp16}*"])
    assert result.ret == 0


def test_a_failing_gate_fails_its_item_and_says_why(lab: Lab) -> None:
    lab.models("conv_2d")
    lab.suite("gates: {'*': {median_us: 1.0e-6}}\n")
    result = lab.inline()
    assert result.ret == 1
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        ["*FAIL: median latency *, 1e-6 µs allowed*", "*gate median_us: * FAIL*", "command: delegate_bench *"]
    )
    assert lab.matrix["summary"]["verdict"] == "FAIL"


def test_outputs_of_passing_cells_are_dropped_and_those_of_failures_kept(lab: Lab) -> None:
    lab.models("conv_2d")
    delegates = "delegates:\n  cpu: {accelerator: cpu}\n  slow: {accelerator: cpu}\n"
    lab.suite("gates: {slow: {median_us: 1.0e-6}}\n", delegates=delegates)
    lab.inline()
    kept = {cell["delegate"]: [p for p in cell["artifacts"] if p.endswith(".bin")] for cell in lab.matrix["cells"]}
    assert kept["cpu"] == []
    assert len(kept["slow"]) == 3
    assert all((lab.folder / path).is_file() for path in kept["slow"])
    assert not list(lab.folder.glob("artifacts/*-cpu-*/**/*.bin"))


def test_rounds_of_a_models_cells_are_interleaved_there_and_back(lab: Lab) -> None:
    lab.models("add", "mul")
    delegates = "delegates:\n  a: {accelerator: cpu}\n  b: {accelerator: cpu, threads: 2}\n"
    runs = "runs: {rounds: 2, count: 2, min_seconds: 0, warmup: {count: 0, min_seconds: 0}}\n"
    lab.write("suites/smoke.yaml", f"version: 1\nmodels: [add, mul]\n{delegates}{runs}")
    lab.inline()
    lines = [json.loads(line) for line in (lab.folder / "cells.jsonl").read_text().splitlines()]
    order = [(line["cell"].partition("::")[2][:3], line["cell"][-2], line["round"]) for line in lines[1:]]
    assert order == [
        ("add", "a", 1),
        ("add", "b", 1),
        ("add", "b", 2),
        ("add", "a", 2),
        ("mul", "a", 1),
        ("mul", "b", 1),
        ("mul", "b", 2),
        ("mul", "a", 2),
    ]
    for cell in lab.matrix["cells"]:
        assert [entry["round"] for entry in cell["latency"]["rounds"]] == [1, 2]
        assert cell["latency"]["count"] == sum(len(entry["samples_us"]) for entry in cell["latency"]["rounds"])


def test_the_journal_begins_with_the_whole_plan(lab: Lab) -> None:
    lab.models("add", "mul")
    lab.suite()
    lab.inline()
    first, *attempts = [json.loads(line) for line in (lab.folder / "cells.jsonl").read_text().splitlines()]
    assert [cell["id"] for cell in first["cells"]] == ["smoke::add[box:cpu]", "smoke::mul[box:cpu]"]
    assert first["suites"]["smoke"] == lab.matrix["suite"]["sha256"]
    assert len(attempts) == 2


def test_a_speedup_gate_measures_its_deselected_partner_as_helper(lab: Lab) -> None:
    lab.models("conv_2d")
    delegates = "delegates:\n  cpu: {accelerator: cpu}\n  ref: {accelerator: cpu, kernels: reference}\n"
    lab.suite("gates: {ref: {speedup: 1.0e-6}}\nadvice: {speedup: {over: cpu}}\n", delegates=delegates)
    result = lab.inline("-k", "ref")
    result.assert_outcomes(passed=1, deselected=1)
    roles = {cell["delegate"]: cell["role"] for cell in lab.matrix["cells"]}
    assert roles == {"cpu": "helper", "ref": "cell"}
    ref = next(cell for cell in lab.matrix["cells"] if cell["delegate"] == "ref")
    assert ref["speedup"]["over"] == "smoke::conv_2d[box:cpu]"
    assert lab.matrix["summary"]["planned"] == 2


def test_same_device_cpu_as_reference(lab: Lab) -> None:
    lab.models("conv_2d")
    delegates = "delegates:\n  cpu: {accelerator: cpu}\n  ref: {accelerator: cpu, kernels: reference}\n"
    lab.suite("reference: same_device_cpu\n", delegates=delegates)
    assert lab.inline().ret == 0
    kinds = {cell["delegate"]: cell["accuracy"][0]["reference"]["kind"] for cell in lab.matrix["cells"]}
    assert kinds == {"cpu": "golden", "ref": "same_device_cpu"}


def test_two_devices_of_one_machine_take_turns(lab: Lab) -> None:
    lab.models("add", "mul")
    devices = "  - {name: one, kind: local}\n  - {name: two, kind: local, env: {SOME: thing}}\n"
    lab.write("devices.yaml", f"version: 1\ndevices:\n{devices}")
    lab.suite()
    assert lab.inline().ret == 0
    assert set(lab.outcomes) == {"add[one:cpu]", "add[two:cpu]", "mul[one:cpu]", "mul[two:cpu]"}
    machines = {device["machine"] for device in lab.matrix["devices"]}
    assert len(machines) == 1


def test_baseline_same_worse_and_lost(lab: Lab) -> None:
    lab.models("add", "conv_2d")
    lab.suite()
    lab.inline()
    before = lab.folder
    changed = json.loads((before / "matrix.json").read_text())
    for cell in changed["cells"]:  # the earlier run was a thousand times faster on one model
        if cell["model"] == "add":
            for key in ("median_us", "p90_us", "min_us", "max_us", "mean_us"):
                cell["latency"][key] /= 1000
            cell["latency"]["median_ci95_us"] = [value / 1000 for value in cell["latency"]["median_ci95_us"]]
            cell["latency"]["samples_us"] = [value / 1000 for value in cell["latency"]["samples_us"]]
            for entry in cell["latency"]["rounds"]:
                entry["samples_us"] = [value / 1000 for value in entry["samples_us"]]
    lab.write("earlier/matrix.json", json.dumps(changed))
    result = lab.inline("--baseline", "earlier")
    assert result.ret == 1
    rows = {cell["model"]: cell for cell in lab.matrix["cells"]}
    assert rows["add"]["regression"]["verdict"] == "WORSE"
    assert rows["add"]["outcome"] == "FAIL"
    assert any("median" in reason for reason in rows["add"]["regression"]["reasons"])
    assert 0.02 < rows["conv_2d"]["regression"]["latency_ratio"] < 50
    assert lab.matrix["baseline"]["run"] == before.name


def test_junit_xml_has_the_numbers_as_properties(lab: Lab) -> None:
    lab.models("add")
    lab.suite()
    lab.inline("--junitxml", "out.xml")
    text = (lab.path / "out.xml").read_text()
    assert 'name="median_us"' in text
    assert 'name="outcome" value="PASS"' in text


def test_a_quantised_model_that_fails_on_the_cpu_says_what_may_be_the_matter(lab: Lab) -> None:
    lab.models("conv_2d_uint8", "conv_2d")
    delegates = "delegates:\n  cpu: {accelerator: cpu}\n  slow: {accelerator: cpu}\n"
    lab.suite("gates: {cpu: {max_abs: -1}, slow: {median_us: 1.0e-6}}\n", delegates=delegates)
    lab.inline()
    notes = {f"{cell['model']}:{cell['delegate']}": " ".join(cell["notes"]) for cell in lab.matrix["cells"]}
    assert {name for name, text in notes.items() if "same_device_cpu" in text} == {"conv_2d_uint8:cpu"}
