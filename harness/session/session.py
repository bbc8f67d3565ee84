"""The hooks of a run with `--devices`: what is collected, and what pytest says of it.

What measuring needs (the engine, numpy, the reports) is imported only when something is measured: collecting
10,000 cells has to be fast.
"""

from __future__ import annotations

import filecmp
import gc
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, get_args

import pytest

from harness.clock import SystemClock
from harness.devices.registry import resolve
from harness.errors import UsageError
from harness.lab.inventory import open_inventory
from harness.measure.metrics import METRICS
from harness.measure.verdict import exit_code
from harness.plan.cell import Accelerator, Cell, ModelRef
from harness.plan.load import load_suite, model_suite
from harness.plan.row import Matrix, WaiverRow
from harness.plan.suite import Suite
from harness.plan.waivers import FILE_NAME as WAIVERS
from harness.plan.waivers import load_waivers
from harness.session.collect import SUFFIXES, CellItem, SuiteFile
from harness.session.properties import properties
from harness.yamlfile import display

if TYPE_CHECKING:
    from harness.engine.judge import CellResult
    from harness.session.measuring import Measuring

SMOKE = Path("suites") / "smoke.yaml"


def activate(config: pytest.Config) -> None:
    """Start a lab session: read the devices file, choose what is collected, register the hooks.

    Raises:
        pytest.UsageError: anything wrong with the options or the devices file.
    """
    if hasattr(config, "workerinput"):
        return
    if getattr(config.option, "numprocesses", None) or getattr(config.option, "tx", None):
        raise pytest.UsageError(
            "--devices cannot be combined with -n: all devices are measured in parallel already, and workers "
            "would fight over them"
        )
    try:
        lab = LabSession(config)
    except UsageError as error:
        raise pytest.UsageError(str(error)) from None
    for accelerator in get_args(Accelerator):
        config.addinivalue_line("markers", f"{accelerator}: a cell that asks for the {accelerator.upper()}")
    config.pluginmanager.register(lab, "harness-lab")


class Baseline(NamedTuple):
    """An earlier run that this one is judged against."""

    path: Path
    matrix: Matrix


class LabSession:
    """The hooks of a run with `--devices`."""

    def __init__(self, config: pytest.Config) -> None:
        """Read the devices file and the baseline. Raises UsageError."""
        self.config = config
        self.clock = SystemClock()
        self.inventory = open_inventory(config.getoption("devices"))
        found = resolve(self.inventory, self.clock, _tell)
        self.specs, self.notes, self.opener = found.specs, found.notes, found.open
        config.add_cleanup(found.close)
        self.results: dict[str, CellResult] = {}
        self.collection_errors: list[str] = []
        self._suites: dict[Path, Suite] = {}
        self._known: dict[str, Cell] = {}
        self._models: dict[str, ModelRef] = {}
        self._shown: set[str] = set()
        self._marks: dict[str, pytest.MarkDecorator] = {}
        self._measuring: Measuring | None = None
        self._made_suite = ""
        self.root = _project(config)
        self.reports = Path(config.getoption("harness_reports") or self.root / "reports")
        baseline = config.getoption("harness_baseline")
        self.baseline = _load_baseline(baseline, self.reports) if baseline else None
        self.waivers = self._load_waivers(config.getoption("harness_waivers"))
        self._choose_arguments()

    @property
    def folder(self) -> Path | None:
        """The report folder, once there is one."""
        return self._measuring.folder if self._measuring else None

    @property
    def suites(self) -> list[Suite]:
        """Every suite that was read."""
        return list(self._suites.values())

    # -- what is collected ---------------------------------------------------------------------------------

    def suite(self, path: Path) -> Suite:
        """A suite, read once. Raises UsageError."""
        if path not in self._suites:
            suite = load_suite(path, METRICS, rootdir=self.root)
            twin = next((other for other in self._suites.values() if other.name == suite.name), None)
            if twin is not None:
                raise UsageError(f"two suites are called '{suite.name}': {twin.path} and {path}; rename one file")
            self._suites[path] = suite
        return self._suites[path]

    def add_suite(self, suite: Suite) -> None:
        """A suite that has no file, such as the one of `cell` markers."""
        self._suites.setdefault(Path(suite.name), suite)

    def mark(self, accelerator: str) -> pytest.MarkDecorator:
        """The marker of an accelerator's cells, made once: pytest looks each one up in its configuration."""
        if accelerator not in self._marks:
            self._marks[accelerator] = getattr(pytest.mark, accelerator)
        return self._marks[accelerator]

    def add_cells(self, cells: Sequence[Cell]) -> None:
        """Cells that exist, selected or not: partners are looked for among them.

        Raises:
            UsageError: two suites mean different files by one model's name.
        """
        for model in {cell.model.path: cell.model for cell in cells}.values():
            other = self._models.setdefault(model.name, model)
            if other.path != model.path and not filecmp.cmp(other.path, model.path, shallow=False):
                raise UsageError(
                    f"{model.origin}: model '{model.name}' is {display(Path(model.path))}, but at {other.origin} "
                    f"{display(Path(other.path))}; give one of them another `name`"
                )
        self._known.update((cell.id, cell) for cell in cells)

    @pytest.hookimpl(hookwrapper=True)
    def pytest_collection(self) -> Iterator[None]:
        """No garbage collection meanwhile: all that is made now lives on, and would be walked again and again."""
        enabled = gc.isenabled()
        gc.disable()
        try:
            yield
        finally:
            if enabled:
                gc.enable()

    def pytest_collect_file(self, file_path: Path, parent: pytest.Collector) -> pytest.Collector | None:
        """Collect YAML files that were named, and those of folders called `suites`."""
        if file_path.suffix not in SUFFIXES:
            return None
        if not parent.session.isinitpath(file_path) and file_path.parent.name != "suites":
            return None
        collector: SuiteFile = SuiteFile.from_parent(parent, path=file_path)
        collector.lab = self
        return collector

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        """Tests with a `cell` marker run once per device."""
        from harness.session.fixture import parametrize

        marker = metafunc.definition.get_closest_marker("cell")
        if marker is None:
            return
        try:
            parametrize(metafunc, marker, self)
        except UsageError as error:
            self.collection_errors.append(str(error))
            metafunc.parametrize("cell", [], indirect=True)

    def pytest_collection_modifyitems(self) -> None:
        """After everything was collected: broken suites end the run before anything is measured."""
        if self.collection_errors:
            raise pytest.UsageError("\n".join(self.collection_errors))

    def _load_waivers(self, named: str | None) -> list[WaiverRow]:
        path = Path(named) if named else self.root / WAIVERS
        if named is None and not path.is_file():
            return []
        waivers = load_waivers(path)
        self.notes = (*self.notes, f"waivers: {len(waivers)} in {display(path)}")
        return waivers

    def _choose_arguments(self) -> None:
        config = self.config
        models = config.getoption("harness_model")
        named = config.args_source is config.ArgsSource.ARGS
        if models:
            if named:
                raise UsageError("--model makes a suite of its own; do not name files beside it")
            suite, text = model_suite([Path(model) for model in models], METRICS)
            path = self.reports / "suites" / f"{suite.name}.yaml"
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text, encoding="utf-8")
            except OSError as error:
                raise UsageError(f"{path} cannot be written: {error.strerror}; name another --reports") from None
            self._made_suite = text
            config.args[:] = [str(path)]
        elif not named:
            smoke = self.root / SMOKE
            if not smoke.is_file():
                raise UsageError(f"nothing to measure: there is no {SMOKE} here; name a suite, or use --model FILE")
            config.args[:] = [str(smoke)]
        config.args_source = config.ArgsSource.ARGS

    # -- the run -------------------------------------------------------------------------------------------

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> object:
        """Measure in the background, run items in completion order, leave the report."""
        option = session.config.option
        if session.testsfailed and not option.continue_on_collection_errors:
            raise session.Interrupted(f"{session.testsfailed} errors during collection")
        if option.collectonly or option.setuponly or option.setupplan:
            return None  # nothing to measure: pytest's own loop
        waiting: dict[str, list[pytest.Item]] = {}
        others: list[pytest.Item] = []
        for item in session.items:
            wanted = wanted_cell(item)
            if wanted is None:
                others.append(item)
            else:
                waiting.setdefault(wanted.id, []).append(item)
            if isinstance(item, CellItem):
                self._shown.add(item.nodeid)
        if not waiting:
            return None
        from harness.session.measuring import Measuring

        self._measuring = Measuring(self, [self._known[name] for name in waiting], list(self._known.values()))
        self._measuring.run(session, waiting, others)
        return True

    # -- what pytest says ----------------------------------------------------------------------------------

    @pytest.hookimpl(hookwrapper=True)
    def pytest_runtest_makereport(self, item: pytest.Item) -> Iterator[None]:
        """Numbers as properties (JUnit XML, other plugins), and the measuring time as the item's duration."""
        result = self.results.get(cell.id) if (cell := wanted_cell(item)) is not None else None
        if result is not None and isinstance(item, CellItem) and not item.user_properties:
            item.user_properties.extend(properties(result.row))
        outcome = yield
        report: pytest.TestReport = outcome.get_result()  # type: ignore[attr-defined]
        if result is not None and isinstance(item, CellItem) and report.when == "call":
            report.duration = sum(attempt["seconds"] for attempt in result.row["attempts"])

    def pytest_report_teststatus(self, report: pytest.TestReport) -> tuple[str, str, str] | None:
        """No dots where our own progress lines are."""
        if (
            self._measuring is None
            or self._measuring.over
            or self.config.option.verbose != 0
            or report.nodeid not in self._shown
        ):
            return None
        if hasattr(report, "wasxfail") or (report.passed and report.when != "call"):
            return None
        return report.outcome, "", ""

    def pytest_report_header(self) -> list[str]:
        """The devices, and the YAML of a suite made on the spot."""
        path = self.inventory.path or "auto"
        lines = [f"devices: {', '.join(self.specs) or 'none'} ({path})", *(f"  {note}" for note in self.notes)]
        if self._made_suite:
            lines += ["suite made on the spot:", *(f"  {line}" for line in self._made_suite.splitlines())]
        return lines

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """The matrix."""
        if self._measuring is not None:
            self._measuring.summary(terminalreporter)

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session, exitstatus: int) -> None:
        """Exit code 0 needs the verdict PASS and at least one measured cell."""
        if self._measuring is not None and self._measuring.matrix and exitstatus == pytest.ExitCode.OK:
            session.exitstatus = exit_code(self._measuring.matrix["summary"], interrupted=False)


def _tell(text: str) -> None:
    """A line for the person at the terminal, before pytest has anything to write with."""
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


def _load_baseline(name: str, reports: Path) -> Baseline:
    from harness.report import baselines, matrix

    path = baselines.find(name, reports)
    return Baseline(path, matrix.load(path))


def _project(config: pytest.Config) -> Path:
    """The folder of the project that pytest runs in.

    Not pytest's rootdir: a path behind `--devices` or `--model` moves that to wherever the path leads.
    """
    here = config.invocation_params.dir
    if config.inipath is not None and (config.inipath.parent == here or config.inipath.parent in here.parents):
        return config.inipath.parent
    return here


def wanted_cell(item: pytest.Item) -> Cell | None:
    """The cell that an item waits for: its own, or that of its `cell` marker."""
    if isinstance(item, CellItem):
        return item.cell
    callspec = getattr(item, "callspec", None)
    value = callspec.params.get("cell") if callspec is not None else None
    return value if isinstance(value, Cell) else None
