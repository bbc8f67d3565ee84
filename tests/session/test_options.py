"""pytest's own options, as a pytest user expects them to work on cells."""

from __future__ import annotations

import pytest

from tests.session.conftest import Lab

TWO = "delegates:\n  good: {accelerator: cpu}\n  slow: {accelerator: cpu}\n"
SLOW_FAILS = "gates: {slow: {median_us: 1.0e-6}}\n"


@pytest.fixture
def two(lab: Lab) -> Lab:
    """Two models, each with a passing and a failing delegate."""
    lab.models("add", "mul")
    lab.suite(SLOW_FAILS, delegates=TWO)
    return lab


def test_k_selects_by_model_device_and_delegate(two: Lab) -> None:
    assert two.inline("-k", "mul and good").ret == 0
    assert set(two.outcomes) == {"mul[box:good]"}


def test_m_selects_by_accelerator(lab: Lab) -> None:
    lab.models("add")
    lab.suite(delegates="delegates:\n  one: {accelerator: cpu}\n  two: {accelerator: gpu}\n")
    assert lab.inline("-m", "cpu").ret == 0
    assert set(lab.outcomes) == {"add[box:one]"}


def test_a_node_id_selects_one_cell(two: Lab) -> None:
    result = two.inline("suites/smoke.yaml::mul[box:good]")
    result.assert_outcomes(passed=1)
    assert set(two.outcomes) == {"mul[box:good]"}


def test_collect_only_measures_nothing(two: Lab) -> None:
    result = two.inline("--collect-only", "-q")
    assert result.ret == 0
    result.stdout.fnmatch_lines(["suites/smoke.yaml::add?box:good?", "*4 tests collected*"])
    assert not (two.path / "reports").exists()


@pytest.mark.parametrize("option", ["--setup-plan", "--setup-only"])
def test_setup_options_measure_nothing(two: Lab, option: str) -> None:
    two.inline(option)
    assert not (two.path / "reports").exists()


def test_x_stops_after_the_first_failure_and_accounts_for_every_cell(two: Lab) -> None:
    result = two.inline("-x")
    assert result.ret == 1
    result.assert_outcomes(passed=1, failed=1)
    outcomes = two.outcomes
    assert (outcomes["add[box:good]"], outcomes["add[box:slow]"]) == ("PASS", "FAIL")
    assert len(outcomes) == 4
    assert outcomes["mul[box:slow]"] == "NOT_RUN"
    summary = two.matrix["summary"]
    assert summary["planned"] == 4
    assert summary["verdict"] == "FAIL"


def test_maxfail(two: Lab) -> None:
    result = two.inline("--maxfail=2")
    result.assert_outcomes(passed=2, failed=2)


def test_lf_runs_the_failed_cells_again(two: Lab) -> None:
    two.inline()
    result = two.inline("--lf")
    result.assert_outcomes(failed=2)
    assert set(two.outcomes) == {"add[box:slow]", "mul[box:slow]"}


def test_ff_measures_the_failed_cells_first(two: Lab) -> None:
    two.inline()
    two.inline("--ff")
    journal = (two.folder / "cells.jsonl").read_text().splitlines()
    assert ["slow" in line for line in journal[1:]] == [True, True, False, False]


def test_sw_continues_at_the_failed_cell(two: Lab) -> None:
    two.inline("--sw")
    result = two.inline("--sw")
    assert "add[box:good]" not in two.outcomes
    assert result.ret != 0


def test_v_shows_a_line_per_cell_and_q_shows_dots(two: Lab) -> None:
    two.inline("-v", "-k", "good").stdout.fnmatch_lines(["suites/smoke.yaml::add?box:good? PASSED*"])
    two.inline("-q", "-k", "good").stdout.fnmatch_lines([".. *"])


def test_normal_output_has_a_progress_line_per_cell_and_the_matrix(two: Lab) -> None:
    result = two.inline("-k", "good")
    result.stdout.fnmatch_lines(["?1/2? PASS *add box:good*", "?2/2? PASS *mul box:good*", "*= matrix =*", "*add*"])


def test_pdb_stops_at_the_failing_cell(two: Lab) -> None:
    child = two.pytester.spawn_pytest("--devices devices.yaml -k 'add and slow' --pdb")
    child.expect("FAIL: median latency")
    child.expect(r"\(Pdb\)")
    child.sendline("p self.cell.model.name")
    child.expect("add")
    child.sendline("q")
    child.read()
    child.close()


@pytest.mark.parametrize("option", ["-n2", "-n1"])
def test_n_is_refused(two: Lab, option: str) -> None:
    pytest.importorskip("xdist", reason="needs pytest-xdist: pip install pytest-xdist")
    result = two.run(option)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["ERROR: --devices cannot be combined with -n*"])


def test_nothing_is_written_without_a_terminal(two: Lab) -> None:
    result = two.inline("-k", "good", "-p", "no:terminal")
    assert result.ret == 0
    assert result.stdout.str() == ""
    assert two.matrix["summary"]["verdict"] == "PASS"


def test_what_is_unsupported_is_skipped_with_the_gist_of_its_reason(two: Lab) -> None:
    two.suite("limits: {memory: 1}\n", models="[add]")
    result = two.inline("-rs")
    result.stdout.fnmatch_lines(
        ["SKIPPED ?1? suites/smoke.yaml:1: UNSUPPORTED: its inputs and outputs alone take * MiB"]
    )
    (cell,) = two.matrix["cells"]
    assert "; the memory limit is " in cell["reason"]


def test_cells_keep_their_names_where_pytests_root_is_elsewhere(two: Lab) -> None:
    elsewhere = two.path.parent / f"{two.path.name}-elsewhere"
    elsewhere.mkdir()
    two.write("devices.yaml", (two.path / "devices.yaml").read_text()).rename(elsewhere / "devices.yaml")
    # As two arguments: pytest takes the path for one of its own, and its root is the folder that both have in common.
    result = two.pytester.runpytest_inprocess("--devices", str(elsewhere / "devices.yaml"), "-k", "good", "-v")
    result.stdout.fnmatch_lines(["suites/smoke.yaml::add?box:good? PASSED*"])


def test_maxfail_zero_means_all(two: Lab) -> None:
    two.inline("--maxfail=0").assert_outcomes(passed=2, failed=2)


def test_python_tests_beside_cells_run_after_them(two: Lab) -> None:
    two.pytester.makepyfile(
        test_it="""
        import pathlib
        def test_cells_are_done():
            (run,) = pathlib.Path("reports").glob("*-smoke")
            assert len((run / "cells.jsonl").read_text().splitlines()) == 3
        """
    )
    result = two.inline("test_it.py", "suites/smoke.yaml", "-k", "good or done")
    result.assert_outcomes(passed=3)


def test_fixtures_of_every_scope_survive_completion_order(two: Lab) -> None:
    two.pytester.makepyfile(
        """
        import pytest
        made = []
        @pytest.fixture(scope="session")
        def whole():
            made.append(1)
            yield
        @pytest.fixture(scope="module")
        def part(whole):
            yield
        @pytest.mark.parametrize("number", range(3))
        def test_one(part, number):
            assert made == [1]
        @pytest.mark.cell(model="models/add.tflite", delegate="cpu")
        def test_two(part, cell):
            assert made == [1]
        """
    )
    two.inline(".", "-k", "good or test_one or test_two").assert_outcomes(passed=6)
