"""One attempt at one round: from a cell to a RoundResult. What is below this line may move to another host."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from harness.clock import Clock, iso
from harness.devices.base import Device, DeviceError, JobOutput
from harness.engine.preparation import Prepared
from harness.engine.turns import Cancelled, MachineTurns
from harness.errors import UsageError
from harness.lab.lease import DeviceBusyError, Leases
from harness.lab.spec import IOS_TARGET
from harness.plan.cell import Cell, ErrorClass, Outcome, Problem
from harness.plan.result import RoundResult
from harness.runners.android_app import AndroidApp
from harness.runners.base import JobFacts, Runner, RunnerReport
from harness.runners.binaries import AUTO, Binaries, choose
from harness.runners.runtimes import Runtimes
from harness.yamlfile import suggest

ARTIFACTS = "artifacts"
_POLL_SECONDS = 0.05
_BUSY_SECONDS = 2.0  # two runs that take turns command by command are no news


@dataclass
class Slot:
    """A device's place in the engine.

    Attributes:
        device: how to reach it.
        machine: what it takes turns on with the other devices of this run.
        leases: what has to be held while a command runs, so that other runs on this computer keep away.
        facts: None before it was reached.
        broken: whether it has to be mended before the next attempt.
        problem: why it cannot be used any more.
    """

    device: Device
    machine: str
    leases: tuple[str, ...] = ()
    facts: Mapping[str, Any] | None = None
    broken: bool = False
    problem: Problem | None = None


class Prepares(Protocol):
    """Where attempts get models and inputs from."""

    def prepared(self, cell: Cell) -> Prepared:
        """A cell's model and inputs, waited for. Raises concurrent.futures.CancelledError if the run is cancelled."""


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
        binaries: Binaries,
        runtimes: Runtimes,
        preparation: Prepares,
        turns: MachineTurns,
        controller: str | None,
        folder: Path,
        clock: Clock,
        on_message: Callable[[str], None],
    ) -> None:
        """Bind what attempts need.

        Args:
            slots: devices by name.
            runners: benchmark programs by name.
            binaries: their files, by which `runner: auto` chooses.
            runtimes: LiteRT libraries.
            preparation: models and inputs.
            turns: of all machines.
            controller: the controller's machine if timed work is done on it too, else None.
            folder: the report folder.
            clock: time.
            on_message: told when another run is waited for.
        """
        self._slots = slots
        self._runners = runners
        self._binaries = binaries
        self._runtimes = runtimes
        self._preparation = preparation
        self._turns = turns
        self._controller = controller
        self._folder = folder
        self._clock = clock
        self._on_message = on_message

    def run(self, cell: Cell, round_number: int, attempt: int, order: int) -> RoundResult:
        """Measure one round of a cell; every fault becomes a problem of the result."""
        slot = self._slots[cell.device]
        result = RoundResult(cell.id, round_number, attempt, order, iso(self._clock.now()), 0.0)
        began = self._clock.monotonic()
        turns = _JobTurns(self._turns, slot, self._controller, self._clock, self._on_message)
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
        target = slot.device.target
        if target is None:
            raise DeviceError(f"{cell.device}: its platform is not known", device=cell.device)
        runner = self._runner(cell, target)
        deadline = cell.policy.limits.deadline_seconds
        named = cell.delegate.runtime
        runtime = self._runtimes.get(named, target) if runner.needs_runtime(target) else None
        version = self._runtimes.version(named) if named is not None and target == IOS_TARGET else None
        facts = JobFacts(prepared.model, prepared.inputs, runtime, target, deadline, version)
        jobs = runner.jobs(cell, facts)
        relative = f"{ARTIFACTS}/{slug(cell.id)}/r{result.round}a{result.attempt}"
        folder = self._folder / relative
        began = self._clock.monotonic()  # fetching a runtime or building the runner is not the device's time
        outputs: list[JobOutput] = []
        for number, job in enumerate(jobs, 1):
            place = folder if len(jobs) == 1 else folder / f"job{number}"
            place.mkdir(parents=True)
            left = deadline - (self._clock.monotonic() - began - turns.waited)
            if outputs and left <= 0:
                break  # a device would call it a fault of its own
            outputs.append(slot.device.execute(job, place, left, turns))
            if outputs[-1].exit_code != 0 or outputs[-1].timed_out:
                break
        report: RunnerReport = runner.report(cell, jobs, facts, outputs)
        return replace(
            result,
            measurement=report.measurement,
            problem=report.problem,
            seconds=self._clock.monotonic() - began - turns.waited,
            transfer_bytes=sum(output.transfer_bytes for output in outputs),
            state_before=outputs[0].state_before,
            state_after=outputs[-1].state_after,
            artifacts=tuple(
                sorted(f"{relative}/{path.relative_to(folder)}" for path in folder.rglob("*") if path.is_file())
            ),
            adapter=report.adapter,
            adapter_software=report.adapter_software,
            runner=report.runner,
            runtime=report.runtime or ({"version": runtime.version, "sha256": runtime.sha256} if runtime else {}),
        )

    def _runner(self, cell: Cell, target: str) -> Runner:
        name = cell.delegate.runner
        if name not in (AUTO, *self._runners):
            hint = suggest(name, [AUTO, *self._runners], "known here")
            raise UsageError(f"delegate '{cell.delegate.name}': there is no runner '{name}'{hint}")
        if name == AUTO and cell.delegate.context == "app" and target != IOS_TARGET:
            name = AndroidApp.name
        return self._runners[choose(name, target, self._binaries)]


class _JobTurns:
    """The turns of one attempt, which remember how long they were waited for."""

    def __init__(
        self,
        turns: MachineTurns,
        slot: Slot,
        controller: str | None,
        clock: Clock,
        on_message: Callable[[str], None],
    ) -> None:
        self._turns = turns
        self._slot = slot
        self._controller = controller
        self._clock = clock
        self._on_message = on_message
        self.waited = 0.0

    @contextmanager
    def command(self) -> Iterator[None]:
        began = self._clock.monotonic()
        with self._turns.turn(self._slot.machine), self._leases():
            self.waited += self._clock.monotonic() - began
            yield

    @contextmanager
    def transfer(self) -> Iterator[None]:
        began = self._clock.monotonic()
        with nullcontext() if self._controller is None else self._turns.share(self._controller):
            self.waited += self._clock.monotonic() - began
            yield

    @contextmanager
    def _leases(self) -> Iterator[None]:
        """Hold the device against other runs; wait for one that has it, for as long as its command runs."""
        held = Leases(self._slot.leases, self._clock, "pytest --devices")
        try:
            self._wait_for(held)
            yield
        finally:
            held.release()

    def _wait_for(self, held: Leases) -> None:
        told, began = False, self._clock.monotonic()
        while True:
            try:
                return held.acquire(waiting=True)
            except DeviceBusyError as busy:
                if not told and self._clock.monotonic() - began > _BUSY_SECONDS:
                    told = True
                    self._on_message(f"{self._slot.device.name}: waiting: {busy}")
            if self._turns.cancelled:
                raise Cancelled(self._slot.machine)
            self._clock.sleep(_POLL_SECONDS)


def slug(cell_id: str) -> str:
    """A folder name for a cell: readable, and distinct even where the readable part is cut or folded."""
    readable = re.sub(r"[^A-Za-z0-9._-]+", "-", cell_id).strip("-")[:80]
    return f"{readable}-{hashlib.sha256(cell_id.encode()).hexdigest()[:8]}"
