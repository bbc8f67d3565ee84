"""From a run with waivers to a signed release, through pytest and the command line."""

from __future__ import annotations

from xml.etree import ElementTree

import numpy as np
import pytest

from harness.cli import main
from tests.session.conftest import Lab

WAIVER = """\
version: 1
waivers:
  - id: W-1
    owner: vision team
    reason: known, and fixed in the next model
    ticket: VIS-12
    expires: {}
    scope: {{model: {}, gate: median_us}}
"""
IMPOSSIBLE = "gates: {cpu: {median_us: 1.0e-6}}\n"
NEVER, LONG_AGO = "2999-12-31", "2020-01-01"


def test_a_waived_failure_is_an_expected_one(lab: Lab) -> None:
    lab.models("add", "mul")
    lab.suite(IMPOSSIBLE)
    lab.write("waivers.yaml", WAIVER.format(NEVER, '"*"'))
    result = lab.inline("--junitxml", "out.xml")
    result.assert_outcomes(xfailed=2)
    assert result.ret == 0
    result.stdout.fnmatch_lines(["*waivers: 1 in waivers.yaml*"])
    matrix = lab.matrix
    assert {cell["outcome"] for cell in matrix["cells"]} == {"FAIL"}, "never shown as passed"
    assert (matrix["summary"]["verdict"], matrix["summary"]["waived"]) == ("PASS", 2)
    assert (matrix["waivers"][0]["status"], len(matrix["waivers"][0]["cells"])) == ("used", 2)
    cases = ElementTree.parse(lab.path / "out.xml").iter("testcase")
    properties = {one.get("name"): one.get("value") for case in cases for one in case.iter("property")}
    assert properties["waiver"] == "W-1"


@pytest.mark.parametrize(("expires", "model", "status"), [(LONG_AGO, "add", "expired"), (NEVER, "mul", "unmatched")])
def test_a_waiver_that_does_not_hold_is_reported(lab: Lab, expires: str, model: str, status: str) -> None:
    lab.models("add")
    lab.suite(IMPOSSIBLE)
    named = lab.write("lists/known.yaml", WAIVER.format(expires, model))
    result = lab.inline("--waivers", str(named))
    result.assert_outcomes(failed=1)
    assert result.ret == 1
    assert lab.matrix["waivers"][0]["status"] == status
    assert lab.matrix["summary"]["waived"] == 0


def test_a_wrong_waivers_file_ends_the_run_before_it_begins(lab: Lab) -> None:
    lab.models("add")
    lab.suite()
    lab.write("waivers.yaml", WAIVER.format("tomorrow", "add"))
    result = lab.inline()
    assert result.ret == 4
    result.stderr.fnmatch_lines(["*waivers.yaml:7: waivers[[]0[]].expires: expected a day such as 2026-12-31*"])


def test_a_run_is_qualified_against_a_tag_and_its_evidence_verified(
    lab: Lab, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(lab.path)
    lab.models("add", "mul")
    lab.suite("qualification: {profile: quick}\n", name="smoke")
    assert lab.inline().ret == 0
    assert main(["baseline", "v1"]) == 0
    # A tag stands where a path may: nothing changed, but for this machine's noise, which no verdict rests on here.
    lab.inline("--baseline", "v1", "-k", "add")
    assert lab.matrix["baseline"]["path"].endswith("v1")
    capsys.readouterr()

    run = str(lab.folder)
    assert main(["qualify", run, "--baseline", "v1", "--out", "signed"]) == 1, "mul was deselected"
    assert "1 cell of suite smoke was left out of the run" in capsys.readouterr().out

    lab.inline()
    main(["qualify", str(lab.folder), "--baseline", "v1", "--out", "signed"])
    out = capsys.readouterr().out
    assert "left out" not in out
    assert main(["verify", "signed/evidence.zip"]) == 0, capsys.readouterr().out


def test_a_github_step_shows_what_failed(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(lab.path / "summary.md"))
    lab.models("add")
    lab.suite(IMPOSSIBLE)
    result = lab.inline()
    result.stdout.fnmatch_lines(["::error file=suites/smoke.yaml,title=FAIL add*::median latency*"])
    assert (lab.path / "summary.md").read_text().startswith("## FAIL")


def test_two_files_cannot_be_one_model(lab: Lab) -> None:
    lab.models("add", "mul")
    lab.suite(models="[add]")
    lab.write("more/other.yaml", lab.suite(name="other", models="[{model: ./add.tflite}]").read_text())
    (lab.path / "suites" / "other.yaml").unlink()
    target = lab.path / "more" / "add.tflite"
    target.write_bytes((lab.path / "models" / "mul.tflite").read_bytes())
    options = ("suites/smoke.yaml", "more/other.yaml", "--collect-only", "-q")
    result = lab.inline(*options)
    assert result.ret == 4
    result.stderr.fnmatch_lines(
        ["*other.yaml:2: model 'add' is more/add.tflite, but at *smoke.yaml:2 models/add.tflite*"]
    )
    target.write_bytes((lab.path / "models" / "add.tflite").read_bytes())
    assert lab.inline(*options).ret == 0, "a copy is the same model"


def test_a_model_that_one_suite_feeds_noise_has_no_real_inputs(lab: Lab) -> None:
    lab.models("add")
    np.save(lab.path / "suites.npy", np.ones((1, 6, 8, 3), np.float32))
    files = "inputs: {files: {a: ../suites.npy, b: ../suites.npy}}"
    lab.suite(name="noise", models="[{model: add, task: classify}]")
    lab.suite(name="real", models=f"[{{model: add, {files}}}]")
    lab.inline("suites/noise.yaml", "suites/real.yaml").assert_outcomes(passed=2)
    (model,) = lab.matrix["models"]
    assert (model["input_source"], model["task"]) == ("noise", "classify")


def test_a_run_records_how_many_cells_its_suites_have(lab: Lab) -> None:
    lab.models("add", "mul")
    twice = "delegates:\n  cpu: {accelerator: cpu}\n  other: {accelerator: cpu, threads: 1, only: [add]}\n"
    lab.suite("coverage: {per_model: 0.5}\n", name="first", models="[add, mul]", delegates=twice)
    lab.suite(name="second", models="[add]")
    first, second = "suites/first.yaml::add[box:cpu]", "suites/second.yaml"
    lab.inline(first, second).assert_outcomes(passed=2)
    suites = {suite["name"]: suite for suite in lab.matrix["suites"]}
    assert suites["first"]["cells"] == {"box": 3}, "what was not selected is counted, what `only` leaves out is not"
    assert suites["second"]["cells"] == {"box": 1}
    assert [suites[name]["coverage"] for name in ("first", "second")] == [0.5, 0.0]
