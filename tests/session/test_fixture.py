"""A user's own tests on measured cells."""

from __future__ import annotations

import pytest

from tests.session.conftest import Lab

TEST = """
import numpy as np
import pytest

@pytest.mark.cell(model="models/softmax.tflite", delegate="cpu")
def test_probabilities(cell):
    for sample in cell.outputs:
        assert np.allclose(sample[0].sum(axis=-1), 1.0, atol=1e-5)
    assert np.allclose(cell.outputs[0][0], cell.reference[0][0], atol=1e-5)
    powers = np.exp(cell.inputs[0][0])
    assert np.allclose(powers / powers.sum(), cell.outputs[0][0], atol=1e-5)
    assert cell.median_us > 0
    assert cell.device == "box"
"""


def test_a_test_gets_outputs_inputs_reference_and_latency(lab: Lab) -> None:
    lab.models("softmax")
    lab.pytester.makepyfile(TEST)
    result = lab.inline("-v", ".")
    assert result.ret == 0
    result.stdout.fnmatch_lines(["*test_probabilities?box:cpu? PASSED*"])
    assert lab.outcomes == {"softmax[box:cpu]": "PASS"}


def test_it_runs_once_per_device(lab: Lab) -> None:
    lab.models("softmax")
    lab.write("devices.yaml", "version: 1\ndevices:\n  - {name: box, kind: local}\n  - {name: bax, kind: local}\n")
    lab.pytester.makepyfile(TEST.replace('cell.device == "box"', 'cell.device in ("box", "bax")'))
    lab.inline(".").assert_outcomes(passed=2)


def test_without_devices_it_is_skipped(lab: Lab) -> None:
    lab.pytester.makepyfile(TEST)
    result = lab.pytester.runpytest_inprocess("-rs")
    result.assert_outcomes(skipped=1)
    result.stdout.fnmatch_lines(["*needs a lab: run pytest with --devices*"])


def test_a_failing_assertion_is_an_ordinary_failure(lab: Lab) -> None:
    lab.models("softmax")
    lab.pytester.makepyfile(TEST.replace("cell.median_us > 0", "cell.median_us < 0"))
    result = lab.inline(".")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["E *assert * < 0*"])


def test_a_delegate_may_be_spelt_out(lab: Lab) -> None:
    lab.models("softmax")
    lab.pytester.makepyfile(
        """
        import pytest
        @pytest.mark.cell(model="models/softmax.tflite", delegate={"accelerator": "cpu", "kernels": "reference"})
        def test_reference_kernels(cell):
            assert "--kernels reference" in cell.row["runner"]["command"]
            assert (cell.outputs[0][0] == cell.reference[0][0]).all()
        """
    )
    lab.inline(".").assert_outcomes(passed=1)


@pytest.mark.parametrize(
    ("marker", "words"),
    [
        ('model="models/sofmax.tflite", delegate="cpu"', "*sofmax.tflite*did you mean*"),
        ('model="models/softmax.tflite", delegate="gpu-fp61"', "*gpu-fp61*did you mean 'gpu-fp16'*"),
        ('model="models/softmax.tflite"', "*cell(model=..., delegate=...)*"),
        ('model=3, delegate="cpu"', "*test_it: model is a name or a path*"),
        ('model="models/softmax.tflite", delegate={"acelerator": "cpu"}', "*acelerator*did you mean 'accelerator'*"),
    ],
)
def test_a_wrong_marker_is_a_usage_error(lab: Lab, marker: str, words: str) -> None:
    lab.models("softmax")
    lab.pytester.makepyfile(f"import pytest\n\n@pytest.mark.cell({marker})\ndef test_it(cell):\n    pass\n")
    result = lab.run(".")
    assert result.ret != 0
    (result.stderr if result.errlines else result.stdout).fnmatch_lines([words])


def test_a_cell_without_measurement_fails_or_skips_the_test(lab: Lab) -> None:
    lab.write("models/broken.tflite", "no model")
    lab.pytester.makepyfile(TEST.replace("softmax", "broken"))
    result = lab.inline(".")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*ERROR: *"])
