"""Before anything is timed: model files read, inputs made, binaries and runtimes at hand, references computed.

All of it happens in one background thread that holds the first turn of the controller's own machine, so that no
timed round of this machine runs beside it; other machines' rounds start at once and are judged when their
reference is ready.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeVar

from harness.engine.foretold import predictions
from harness.engine.turns import Cancelled, Reservation
from harness.errors import UsageError
from harness.plan.cell import Cell, ErrorClass, Model, Outcome, Problem
from harness.plan.explained import PredictionRow
from harness.plan.tflite_file import describe
from harness.reference.golden import Golden, GoldenRunners
from harness.reference.inputs import InputSet, make_inputs, tensor_bytes

ModelKey = tuple[str, str]


@dataclass(frozen=True)
class Prepared:
    """A model that is ready to be measured, or the problem that keeps it from it; and what GPUs should take of it."""

    model: Model
    inputs: InputSet | None
    problem: Problem | None
    predictions: tuple[PredictionRow, ...] = ()


def model_key(cell: Cell) -> ModelKey:
    """Cells with the same key share model file, inputs and golden outputs."""
    return (cell.suite, cell.model.name)


class Preparation:
    """Futures of what cells need, filled by one thread in the order of the cells."""

    def __init__(
        self,
        cells: Iterable[Cell],
        golden: GoldenRunners,
        warm_up: Callable[[], None],
        on_message: Callable[[str], None],
    ) -> None:
        """Plan the work.

        Args:
            cells: all that will run.
            golden: computes reference outputs.
            warm_up: gets binaries and runtimes of devices whose target is known; must not raise.
            on_message: told what is being done.
        """
        self._cells: dict[ModelKey, Cell] = {}
        for cell in cells:
            self._cells.setdefault(model_key(cell), cell)
        self._golden_runner = golden
        self._warm_up = warm_up
        self._on_golden: Callable[[ModelKey], None] | None = None
        self._on_message = on_message
        self._prepared: dict[ModelKey, Future[Prepared]] = {key: Future() for key in self._cells}
        self._golden: dict[ModelKey, Future[Golden | Problem]] = {key: Future() for key in self._cells}
        self._cancelled = threading.Event()
        self._enough = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self, turn: Reservation, on_golden: Callable[[ModelKey], None]) -> None:
        """Begin, inside the given turn of the controller's machine.

        `on_golden` is called, in the preparation's thread, when a model's golden outputs are ready or failed.
        """
        self._on_golden = on_golden
        self._thread = threading.Thread(target=self._run, args=(turn,), name="harness-preparation", daemon=True)
        self._thread.start()

    def prepared(self, cell: Cell) -> Prepared:
        """Wait for a cell's model and inputs. Raises concurrent.futures.CancelledError when the run is cancelled."""
        return self._prepared[model_key(cell)].result()

    def settled(self, cell: Cell) -> Prepared | None:
        """A cell's model and inputs if they are there already."""
        return _done(self._prepared[model_key(cell)])

    def golden(self, cell: Cell) -> Golden | Problem | None:
        """A cell's golden outputs, or None while they are not ready."""
        return _done(self._golden[model_key(cell)])

    def models(self) -> list[Model]:
        """Every model that was read so far, in the order of the cells."""
        return [prepared.model for future in self._prepared.values() if (prepared := _done(future)) is not None]

    def stop_references(self) -> None:
        """No cell waits for golden outputs any more: compute no further ones."""
        self._enough.set()
        self._golden_runner.cancel()

    def cancel(self) -> None:
        """Stop; whoever waits is told so."""
        self._cancelled.set()
        self._golden_runner.cancel()
        for prepared in self._prepared.values():
            prepared.cancel()
        for golden in self._golden.values():
            golden.cancel()

    def join(self, seconds: float) -> None:
        """Wait for the thread's end."""
        if self._thread is not None:
            self._thread.join(seconds)

    def _run(self, turn: Reservation) -> None:
        try:
            with turn:
                self._prepare_all()
        except Cancelled:
            self.cancel()
        except Exception as error:
            self._give_up(error)
        finally:
            self._golden_runner.close()

    def _give_up(self, error: Exception) -> None:
        """A fault of ours outside any model's own work: nobody may wait for what will not come."""
        for key, cell in self._cells.items():
            _fill(self._prepared[key], lambda c=cell: _unusable(c, error))  # type: ignore[misc]
            _fill(self._golden[key], lambda: _fault(error))
            if self._on_golden is not None:
                self._on_golden(key)

    def _prepare_all(self) -> None:
        for key, cell in self._cells.items():
            if self._cancelled.is_set():
                return
            _fill(self._prepared[key], partial(_prepare, cell))
        self._warm_up()
        for number, (key, cell) in enumerate(self._cells.items(), 1):
            if self._cancelled.is_set() or self._enough.is_set():
                return
            self._on_message(f"reference outputs {number}/{len(self._cells)}: {cell.model.name}")
            _fill(self._golden[key], partial(self._compute, cell))
            if self._on_golden is not None:
                self._on_golden(key)

    def _compute(self, cell: Cell) -> Golden | Problem:
        try:
            prepared = self.prepared(cell)
            if prepared.problem is not None or prepared.inputs is None:
                return prepared.problem or internal_problem("inputs are missing")
            return self._golden_runner.compute(prepared.model, prepared.inputs, cell.policy)
        except Exception as error:
            return _fault(error)


def _prepare(cell: Cell) -> Prepared:
    try:
        return _prepared(cell)
    except Exception as error:
        return _unusable(cell, error)


def _prepared(cell: Cell) -> Prepared:
    model = describe(cell.model)
    if model.problem is not None:
        return Prepared(model, None, model.problem)
    if model.stateful:
        model = _first_call_only(model)
    limit = cell.policy.limits.memory_bytes
    needed = tensor_bytes(model) * model.ref.inputs.samples
    if needed > limit:
        reason = (
            f"its inputs and outputs alone take {needed / 2**20:.0f} MiB; the memory limit is {limit / 2**20:.0f} MiB "
            "(`limits: {memory: ...}` in the suite)"
        )
        return Prepared(model, None, Problem(Outcome.UNSUPPORTED, reason, kind="memory"))
    inputs = make_inputs(model)
    if isinstance(inputs, Problem):
        return Prepared(model, None, inputs)
    return Prepared(model, inputs, None, predictions(model))


def _first_call_only(model: Model) -> Model:
    """A stateful model with one sample: a device's later ones would start from what the earlier ones left."""
    plan = replace(model.ref.inputs, samples=1)
    note = "the model keeps state between calls: only its first call is compared"
    return replace(model, ref=replace(model.ref, inputs=plan), notes=(*model.notes, note))


_T = TypeVar("_T")


def _done(future: Future[_T]) -> _T | None:
    return future.result() if future.done() and not future.cancelled() else None


def _fill(future: Future[_T], work: Callable[[], _T]) -> None:
    """Settle a future, unless it is settled or cancelled already; `work` must not raise."""
    if not future.done() and future.set_running_or_notify_cancel():
        future.set_result(work())


def _unusable(cell: Cell, error: Exception) -> Prepared:
    """What becomes of a model when preparing it failed for a reason that is not the model's."""
    return Prepared(Model(cell.model), None, _fault(error))


def _fault(error: Exception) -> Problem:
    """Whoever waits for a model must get an answer, even where the harness or its host fails."""
    if isinstance(error, UsageError):
        return Problem(Outcome.ERROR, str(error), ErrorClass.CONFIG, "config")
    if isinstance(error, OSError):
        words = f"{error.strerror or error}{f': {error.filename}' if error.filename else ''}"
        return Problem(Outcome.ERROR, words, ErrorClass.HOST, "controller")
    return internal_problem(repr(error))


def internal_problem(what: str) -> Problem:
    """A fault of the harness itself."""
    return Problem(Outcome.ERROR, f"fault of the harness: {what}", ErrorClass.HOST, "internal")
