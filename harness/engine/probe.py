"""Runs pieces of a model on a device, one ordinary job each: what finding a wrong operation asks the device."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from shutil import rmtree

from harness.clock import Clock
from harness.devices.base import DeviceError
from harness.engine.executor import ARTIFACTS, Executor, Slot
from harness.engine.preparation import Prepared, internal_problem
from harness.engine.tensors import load_samples
from harness.engine.turns import Cancelled
from harness.localise.sides import Sides
from harness.localise.task import Array, Side
from harness.plan.cell import Cell, ErrorClass, InputPlan, ModelRef, Outcome, Problem, Runs
from harness.plan.result import RoundResult
from harness.plan.tflite_file import describe
from harness.reference.inputs import InputSet

ONCE = Runs(warmup_count=0, warmup_min_seconds=0.0, count=1, min_seconds=0.0, max_seconds=1.0, rounds=1)
"""A piece is run for its outputs; nobody reads its times."""


class Pieces:
    """The models and inputs of pieces, in the place of a run's preparation."""

    def __init__(self) -> None:
        self._prepared: dict[str, Prepared] = {}

    @contextmanager
    def holding(self, cell: Cell, prepared: Prepared) -> Iterator[None]:
        """Inside: what a piece's cell needs is there."""
        self._prepared[cell.id] = prepared
        try:
            yield
        finally:
            del self._prepared[cell.id]

    def prepared(self, cell: Cell) -> Prepared:
        """What a piece's cell needs."""
        return self._prepared[cell.id]


class DeviceProbe:
    """Runs pieces of one cell's model on its device, on either side; a process of its own each time."""

    def __init__(
        self,
        *,
        cell: Cell,
        sides: Sides,
        slot: Slot,
        executor: Executor,
        pieces: Pieces,
        folder: Path,
        clock: Clock,
        cancelled: Callable[[], bool],
    ) -> None:
        """Bind what pieces need.

        Args:
            cell: whose answer is wrong.
            sides: its delegate, and what that is compared with.
            slot: its device.
            executor: works in `folder`, and takes its models and inputs from `pieces`.
            pieces: where it does so.
            folder: for models, inputs and outputs; a piece's are removed after it.
            clock: time.
            cancelled: whether the run was cancelled.
        """
        self.device_result: RoundResult | None = None
        self.waited = 0.0
        self._cell = cell
        self._sides = sides
        self._slot = slot
        self._executor = executor
        self._pieces = pieces
        self._folder = folder
        self._clock = clock
        self._cancelled = cancelled
        self._count = 0

    def run(self, side: Side, model: bytes, inputs: Sequence[Array], seconds: float) -> Sequence[Array] | Problem:
        """Outputs of a piece by position, or why there are none. See `harness.localise.task.Probe`.

        What was run last on the device's side stays in `device_result`; `waited` are the seconds, of all runs, in which
        the device or its machine was busy with something else.

        Raises:
            Cancelled: the run was cancelled.
        """
        self._count += 1
        place = self._folder / f"piece{self._count}"
        try:
            place.mkdir(parents=True)
            cell = self._piece(side, _stored(place, model), seconds)
            prepared = _prepared(cell, inputs, place)
            if prepared.problem is not None:
                return prepared.problem
            with self._pieces.holding(cell, prepared):
                result = self._attempt(cell)
            if side == "device":
                self.device_result = result
            if result.measurement is None:
                return result.problem or internal_problem("a piece has neither outputs nor a problem")
            return load_samples(result.measurement.outputs)[0]
        except ValueError as error:
            return Problem(Outcome.ERROR, f"outputs cannot be read: {error}", ErrorClass.RUNNER, "outputs")
        except OSError as error:
            return Problem(Outcome.ERROR, f"{error.strerror}: {error.filename}", ErrorClass.HOST, "controller")
        finally:
            rmtree(place, ignore_errors=True)
            rmtree(self._folder / ARTIFACTS, ignore_errors=True)

    def _piece(self, side: Side, path: Path, seconds: float) -> Cell:
        delegate = self._sides.device if side == "device" else self._sides.reference
        policy = self._cell.policy
        limits = replace(policy.limits, deadline_seconds=min(seconds, policy.limits.deadline_seconds))
        ref = ModelRef(f"piece{self._count}", str(path), inputs=InputPlan(samples=1))
        return Cell("localise", self._cell.device, ref, delegate, replace(policy, runs=ONCE, limits=limits))

    def _attempt(self, cell: Cell) -> RoundResult:
        """Run it; after an infrastructure fault once more, on a device that was made usable again."""
        result = self._once(cell, 1)
        if result.problem is None or not result.problem.retried:
            return result
        try:
            self._slot.device.recover()
        except DeviceError as error:
            return replace(result, problem=Problem(Outcome.ERROR, str(error), error.error_class, "device"))
        return self._once(cell, 2)

    def _once(self, cell: Cell, attempt: int) -> RoundResult:
        began = self._clock.monotonic()
        result = self._executor.run(cell, 1, attempt, self._count)
        self.waited += max(0.0, self._clock.monotonic() - began - result.seconds)
        if self._cancelled():  # what an ended job left says nothing about the model
            raise Cancelled(self._slot.machine)
        return result


def _stored(place: Path, data: bytes) -> Path:
    """A file named after its content, as devices keep them."""
    path = place / f"{hashlib.sha256(data).hexdigest()}.bin"
    path.write_bytes(data)
    return path


def _prepared(cell: Cell, inputs: Sequence[Array], place: Path) -> Prepared:
    model = describe(cell.model)
    if model.problem is not None:
        return Prepared(model, None, model.problem)
    files = tuple(_stored(place, array.tobytes()) for array in inputs)
    digest = hashlib.sha256("".join(path.stem for path in files).encode()).hexdigest()
    return Prepared(model, InputSet(digest, model.inputs, (files,)), None)
