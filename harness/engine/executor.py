"""One attempt at one round: from a cell to a RoundResult. What is below this line may move to another host."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from harness.clock import Clock, iso
from harness.devices.base import Device, DeviceError
from harness.engine.preparation import Preparation
from harness.engine.turns import MachineTurns
from harness.errors import UsageError
from harness.plan.cell import Cell, ErrorClass, Outcome, Problem, RoundResult
from harness.runners.base import JobFacts, Runner, RunnerReport
from harness.runners.runtimes import Runtimes

ARTIFACTS = "artifacts"


@dataclass
class Slot:
    """A device's place in the engine: how to reach it, and which machine it takes turns on."""

    device: Device
    machine: str
    facts: Mapping[str, Any] | None = None


class Executor(Protocol):
    """Runs one attempt; plain data on both sides."""

    def run(self, cell: Cell, round_number: int, attempt: int, order: int) -> RoundResult:
        """Measure one round. Raises Cancelled when the run is cancelled while it waits."""


class LocalExecutor:
    """Executes attempts in the calling thread, on devices that this process reaches by itself."""

    def __init__(
        self,
        *,
        slots: Mapping[str, Slot],
        runners: Mapping[str, Runner],
        runtimes: Runtimes,
        preparation: Preparation,
        turns: MachineTurns,
        controller: str | None,
        folder: Path,
        clock: Clock,
    ) -> None:
        """Bind what attempts need.

        Args:
            slots: devices by name.
            runners: benchmark programs by name.
            runtimes: LiteRT libraries.
            preparation: models and inputs.
            turns: of all machines.
            controller: the controller's machine if timed work is done on it too, else None.
            folder: the report folder.
            clock: time.
        """
        self._slots = slots
        self._runners = runners
        self._runtimes = runtimes
        self._preparation = preparation
        self._turns = turns
        self._controller = controller
        self._folder = folder
        self._clock = clock

    def run(self, cell: Cell, round_number: int, attempt: int, order: int) -> RoundResult:
        """Measure one round of a cell; every fault becomes a problem of the result."""
        slot = self._slots[cell.device]
        result = RoundResult(cell.id, round_number, attempt, order, iso(self._clock.now()), 0.0)
        began = self._clock.monotonic()
        turns = _JobTurns(self._turns, slot.machine, self._controller, self._clock)
        try:
            return self._attempt(cell, slot, result, turns)
        except DeviceError as error:
            problem = Problem(Outcome.ERROR, str(error), error.error_class, "device")
        except UsageError as error:
            problem = Problem(Outcome.ERROR, str(error), ErrorClass.CONFIG, "config")
        except OSError as error:
            words = f"{error.strerror or error}{f': {error.filename}' if error.filename else ''}"
            problem = Problem(Outcome.ERROR, words, ErrorClass.HOST, "controller")
        seconds = self._clock.monotonic() - began - turns.waited
        return replace(result, problem=problem, seconds=seconds, state_after=slot.device.state())

    def _attempt(self, cell: Cell, slot: Slot, result: RoundResult, turns: _JobTurns) -> RoundResult:
        prepared = self._preparation.prepared(cell)
        if prepared.problem is not None or prepared.inputs is None:
            return replace(result, problem=prepared.problem)
        runner = self._runners.get(cell.delegate.runner)
        if runner is None:
            raise UsageError(f"delegate '{cell.delegate.name}': there is no runner '{cell.delegate.runner}'")
        target = slot.device.target
        deadline = cell.policy.limits.deadline_seconds
        runtime = self._runtimes.get(cell.delegate.runtime, target)
        facts = JobFacts(prepared.model, prepared.inputs, runtime, target, deadline)
        job = runner.job(cell, facts)
        relative = f"{ARTIFACTS}/{slug(cell.id)}/r{result.round}a{result.attempt}"
        folder = self._folder / relative
        folder.mkdir(parents=True)
        before = slot.device.state()
        began = self._clock.monotonic()  # fetching a runtime or building the runner is not the device's time
        output = slot.device.execute(job, folder, deadline, turns)
        report: RunnerReport = runner.report(cell, job, facts, output)
        return replace(
            result,
            measurement=report.measurement,
            problem=report.problem,
            seconds=self._clock.monotonic() - began - turns.waited,
            transfer_bytes=output.transfer_bytes,
            state_before=before,
            state_after=slot.device.state(),
            artifacts=tuple(sorted(f"{relative}/{path.name}" for path in folder.iterdir())),
            adapter=report.adapter,
            adapter_software=report.adapter_software,
        )


class _JobTurns:
    """The turns of one attempt, which remember how long they were waited for."""

    def __init__(self, turns: MachineTurns, machine: str, controller: str | None, clock: Clock) -> None:
        self._turns = turns
        self._machine = machine
        self._controller = controller
        self._clock = clock
        self.waited = 0.0

    def command(self) -> AbstractContextManager[object]:
        return self._waiting(self._turns.turn(self._machine))

    def transfer(self) -> AbstractContextManager[object]:
        return nullcontext() if self._controller is None else self._waiting(self._turns.share(self._controller))

    @contextmanager
    def _waiting(self, turn: AbstractContextManager[None]) -> Iterator[None]:
        began = self._clock.monotonic()
        with turn:
            self.waited += self._clock.monotonic() - began
            yield


def slug(cell_id: str) -> str:
    """A folder name for a cell: readable, and distinct even where the readable part is cut or folded."""
    readable = re.sub(r"[^A-Za-z0-9._-]+", "-", cell_id).strip("-")[:80]
    return f"{readable}-{hashlib.sha256(cell_id.encode()).hexdigest()[:8]}"
