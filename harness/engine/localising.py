"""After all planned cells: which operation makes a wrong answer wrong, found on the device that gave it."""

from __future__ import annotations

import math
import tempfile
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from harness.clock import Clock
from harness.devices.base import DeviceError
from harness.engine.executor import ARTIFACTS, Executor, Prepares, Slot, slug
from harness.engine.judge import CellResult
from harness.engine.preparation import Preparation, internal_problem
from harness.engine.probe import DeviceProbe, Pieces
from harness.engine.turns import Cancelled, MachineTurns
from harness.localise.bundle import Evidence, write_bundle
from harness.localise.locate import localise
from harness.localise.sides import Sides, sides_of
from harness.localise.task import Located, Task, no_finding, rounding
from harness.measure.metrics import METRICS
from harness.plan.cell import Outcome
from harness.plan.explained import LocalisationRow
from harness.record.journal import Journal, JournalError

BUNDLE = "bundle.zip"


class Localising:
    """Fills `localisation` of finished rows. Nothing else is timed any more; turns and leases are held as ever."""

    def __init__(
        self,
        *,
        slots: Mapping[str, Slot],
        kinds: Mapping[str, str],
        executor: Callable[[Prepares, Path], Executor],
        preparation: Preparation,
        journal: Journal,
        turns: MachineTurns,
        folder: Path,
        harness_version: str,
        clock: Clock,
        on_message: Callable[[str], None],
    ) -> None:
        """Bind what is needed.

        Args:
            slots: devices by name, connected.
            kinds: of the devices, by name.
            executor: makes one for models from elsewhere than the run's preparation, working in a folder.
            preparation: the run's, for the models and inputs of its cells.
            journal: gets a line for each cell.
            turns: of all machines; says whether the run was cancelled.
            folder: the report folder.
            harness_version: for the bundles.
            clock: time.
            on_message: told of progress.
        """
        self._slots = slots
        self._kinds = kinds
        self._executor = executor
        self._preparation = preparation
        self._journal = journal
        self._turns = turns
        self._folder = folder
        self._harness_version = harness_version
        self._clock = clock
        self._on_message = on_message
        self._thread: threading.Thread | None = None

    def start(self, results: Iterable[CellResult], *, everything: bool) -> None:
        """Look into wrong answers, those with the largest errors first, in the background until the run is cancelled.

        Args:
            results: finished cells; their rows are filled in.
            everything: look into all that have outputs, right or wrong, however many.
        """
        self._thread = threading.Thread(
            target=self._main, args=(list(results), everything), name="harness-localising", daemon=True
        )
        self._thread.start()

    def join(self, seconds: float | None = None) -> None:
        """Wait for the end; what was found before a cancellation stays."""
        if self._thread is not None:
            self._thread.join(seconds)

    def _main(self, results: list[CellResult], everything: bool) -> None:
        try:
            self._run(results, everything)
        except Cancelled:
            pass
        except Exception as error:  # the measurements are worth more than what explains them
            words = str(error) if isinstance(error, JournalError) else internal_problem(repr(error)).reason
            self._on_message(f"localising ended: {words}")

    def _run(self, results: list[CellResult], everything: bool) -> None:
        chosen, left_out = choose(results, everything=everything)
        for result in left_out:
            result.row["localisation"] = _not_tried(result)
        for result in chosen:  # what stays of those that the run does not come to
            result.row["localisation"] = no_finding("gave_up", "the run ended before the search did")
        for number, result in enumerate(chosen, 1):
            self._on_message(f"localising {number} of {len(chosen)}: {result.cell.id}")
            row = self._localise(result)
            result.row["localisation"] = row
            self._journal.localisation(result.cell.id, row)

    def _localise(self, result: CellResult) -> LocalisationRow:
        cell, slot = result.cell, self._slots[result.cell.device]
        if (words := _unusable(slot)) is not None:
            return self._nothing("gave_up", words)
        sides = sides_of(cell.delegate)
        began = self._clock.monotonic()
        with tempfile.TemporaryDirectory(prefix="harness-localise-") as place:
            pieces = Pieces()
            probe = DeviceProbe(
                cell=cell,
                sides=sides,
                slot=slot,
                executor=self._executor(pieces, Path(place)),
                pieces=pieces,
                folder=Path(place),
                clock=self._clock,
                cancelled=lambda: self._turns.cancelled,
            )
            model = self._preparation.prepared(cell).model
            try:
                task = Task(
                    Path(model.ref.path).read_bytes(),
                    result.inputs.arrays(worst_sample(result)) if result.inputs else (),
                    model.subgraph,
                    rounding(cell.delegate.precision),
                    reference=sides.words,
                )
            except OSError as error:
                return self._nothing("refused", f"{model.ref.path} cannot be read any more: {error.strerror}")
            end = began + cell.policy.localise.seconds
            found = localise(task, probe, lambda: end + probe.waited - self._clock.monotonic(), self._tell)
        if self._turns.cancelled:
            raise Cancelled(slot.machine)
        return self._with_bundle(result, found, sides, probe)

    def _tell(self, words: str) -> None:
        self._on_message(f"  {words}")

    def _nothing(self, status: str, words: str) -> LocalisationRow:
        self._tell(words)
        return no_finding(status, words)

    def _with_bundle(self, result: CellResult, found: Located, sides: Sides, probe: DeviceProbe) -> LocalisationRow:
        row = found.row
        if found.submodel is None:
            return row
        relative = f"{ARTIFACTS}/{slug(result.cell.id)}/{BUNDLE}"
        evidence = Evidence(
            cell=result.cell,
            kind=self._kinds[result.cell.device],
            model=self._preparation.prepared(result.cell).model,
            facts=self._slots[result.cell.device].facts or {},
            sides=sides,
            result=probe.device_result,
            harness_version=self._harness_version,
        )
        try:
            problem = write_bundle(self._folder / relative, found, evidence)
        except OSError as error:
            problem = f"no bundle: {error.strerror}: {error.filename}"
        if problem is not None:
            self._tell(problem)
            result.row["notes"].append(problem)
            return row
        row["bundle"] = relative
        result.row["artifacts"] = [*result.row["artifacts"], relative]
        return row


def choose(results: Iterable[CellResult], *, everything: bool) -> tuple[list[CellResult], list[CellResult]]:
    """The cells to look into, largest error first, and those that there is no place for.

    Args:
        results: finished cells.
        everything: all that have outputs, right or wrong, however many a suite allows.
    """
    measured = [result for result in results if result.row["accuracy"] and result.measurement is not None]
    if everything:
        return sorted(measured, key=error_of, reverse=True), []
    wrong = sorted(filter(_is_wrong, measured), key=error_of, reverse=True)
    chosen, left_out = [], []
    taken: Counter[str] = Counter()
    for result in wrong:
        allowed = result.cell.policy.localise.cells
        if taken[result.cell.suite] < allowed:
            taken[result.cell.suite] += 1
            chosen.append(result)
        elif allowed:
            left_out.append(result)
    return chosen, left_out


def _is_wrong(result: CellResult) -> bool:
    """Whether a cell fails by what its outputs are, and not only by its speed."""
    if result.row["outcome"] != Outcome.FAIL.value or result.cell.role != "cell":
        return False
    failed = [METRICS.get(gate["gate"]) for gate in result.row["gates"] if gate["verdict"] == "FAIL"]
    return any(metric is not None and metric.where.startswith("accuracy") for metric in failed)


def error_of(result: CellResult) -> float:
    """How wrong a cell's judged answer is, of the output's range; more than everything where it is not finite."""
    row = result.row["accuracy"][0]
    return math.inf if row["nonfinite"] else row["max_abs_of_range"] or 0.0


def worst_sample(result: CellResult) -> int:
    """The sample with the largest error."""
    worst = result.row["accuracy"][0].get("worst")
    return worst["sample"] if worst else 0


def _unusable(slot: Slot) -> str | None:
    """Why nothing can be run on a device any more; None if it can, after mending it if need be."""
    if slot.problem is not None:
        return slot.problem.reason
    try:
        if slot.broken:
            slot.device.recover()
            slot.broken = False
    except DeviceError as error:
        return str(error)
    return None


def _not_tried(result: CellResult) -> LocalisationRow:
    allowed = result.cell.policy.localise.cells
    return no_finding(
        "gave_up", f"not looked into: {allowed} cells with larger errors were (`localise: {{cells: ...}}` in the suite)"
    )
