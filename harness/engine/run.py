"""A whole run: wires devices, runners, references and engine together, and leaves the matrix. Knows no pytest."""

from __future__ import annotations

import os
import queue
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from harness.clock import Clock, iso
from harness.devices.base import Device
from harness.devices.local import host_target, machine_name
from harness.devices.registry import machine_of, open_device
from harness.engine.engine import Engine, Heard, Listener
from harness.engine.executor import LocalExecutor, Prepares, Slot
from harness.engine.judge import CellResult, Judge
from harness.engine.localising import Localising
from harness.engine.matrix import build
from harness.engine.preparation import Preparation
from harness.engine.turns import MachineTurns
from harness.errors import UsageError
from harness.lab.inventory import Inventory
from harness.lab.lease import lease_keys
from harness.lab.spec import OWN_RUNNER, DeviceSpec
from harness.plan.cell import Cell, Outcome
from harness.plan.row import CellRow, Matrix, RunRow, WaiverRow
from harness.plan.suite import Suite
from harness.record.journal import Journal
from harness.reference.golden import GoldenRunners
from harness.runners.android_app import AndroidApp
from harness.runners.base import Runner
from harness.runners.benchmark_model import BenchmarkModel
from harness.runners.binaries import Binaries, choose
from harness.runners.delegate_bench import DelegateBench
from harness.runners.ios_app import IosApp
from harness.runners.runtimes import Runtimes

_JOIN_SECONDS = 15.0
_KEEP_OUTPUTS = (Outcome.PASS.value, Outcome.MARGINAL.value)


class Run:
    """One run of planned cells into one report folder."""

    def __init__(
        self,
        *,
        provenance: RunRow,
        lab: Inventory,
        specs: Mapping[str, DeviceSpec],
        suites: Sequence[Suite],
        cells: Sequence[Cell],
        folder: Path,
        baseline: Mapping[str, CellRow],
        clock: Clock,
        listener: Listener,
        opener: Callable[[DeviceSpec, Clock], Device] = open_device,
        waivers: Sequence[WaiverRow] = (),
    ) -> None:
        """Plan the run and write the first line of its journal.

        Args:
            provenance: the run's row; its `finished` is filled in at the end.
            lab: where runtimes and runners come from.
            specs: the resolved devices of the lab, by name.
            suites: the suites that the cells belong to.
            cells: everything to measure, helpers included, in the order devices shall take them.
            folder: the report folder; exists and is empty.
            baseline: rows of an earlier run by cell id; empty without one.
            clock: time.
            listener: told of progress, from the engine's threads.
            opener: from a spec to a device.
            waivers: failures that may be.

        Raises:
            JournalError: the journal cannot be written.
            UsageError: a device of a kind that cannot be driven.
        """
        self._provenance = provenance
        self._specs = specs
        self._suites = suites
        self._cells = cells
        self._folder = folder
        self._clock = clock
        self._waivers = waivers
        heard = Heard(listener)
        used = {cell.device for cell in cells}
        self._slots = {
            name: Slot(opener(spec, clock), machine_of(spec), lease_keys(spec, machine_name()))
            for name, spec in specs.items()
            if name in used
        }
        self._runtimes = Runtimes(lab, host_target())
        self._binaries = Binaries(lab.runners)
        known = (DelegateBench, BenchmarkModel, AndroidApp, IosApp)
        runners: tuple[Runner, ...] = tuple(runner(self._binaries) for runner in known)
        self._runners = {runner.name: runner for runner in runners}
        self._turns = MachineTurns()
        self._preparation = Preparation(
            cells,
            GoldenRunners(clock),
            warm_up=self._warm_up,
            on_message=heard.message,
        )
        own = machine_name()
        controller = own if any(slot.machine == own for slot in self._slots.values()) else None

        def executor(prepares: Prepares, place: Path) -> LocalExecutor:
            return LocalExecutor(
                slots=self._slots,
                runners=self._runners,
                binaries=self._binaries,
                runtimes=self._runtimes,
                preparation=prepares,
                turns=self._turns,
                controller=controller,
                folder=place,
                clock=clock,
                on_message=heard.message,
            )

        planned = {cell.id: cell for cell in cells}
        today = provenance["started"][:10]
        self._judge = Judge(self._preparation, planned, baseline, waivers, today, folder=folder)
        self._journal = Journal(folder)
        self._journal.plan(self._plan_header())
        self._localising = Localising(
            slots=self._slots,
            kinds={name: spec.kind for name, spec in specs.items()},
            executor=executor,
            preparation=self._preparation,
            journal=self._journal,
            turns=self._turns,
            folder=folder,
            harness_version=provenance["harness_version"],
            clock=clock,
            on_message=heard.message,
        )
        self._engine = Engine(
            cells=cells,
            slots=self._slots,
            executor=executor(self._preparation, folder),
            preparation=self._preparation,
            judge=self._judge,
            journal=self._journal,
            turns=self._turns,
            controller=controller,
            clock=clock,
            listener=heard,
        )

    @property
    def finished(self) -> queue.Queue[CellResult | None]:
        """Finished cells in completion order, None after the last."""
        return self._engine.finished

    @property
    def machines(self) -> dict[str, str]:
        """Machine of each device that is used."""
        return {name: slot.machine for name, slot in self._slots.items()}

    def start(self) -> None:
        """Start measuring in the background."""
        self._engine.start()

    def cancel(self, reason: str) -> None:
        """Stop measuring; open cells become NOT_RUN with the reason."""
        self._engine.cancel(reason)

    def localise(self, *, everything: bool) -> None:
        """When all cells are finished: find out which operations make wrong answers wrong. Ended by `cancel`.

        Args:
            everything: look into all cells that have outputs, right or wrong.
        """
        self._preparation.stop_references()  # nobody waits for one any more, and they hold this machine's turn
        self._localising.start(self._judge.results.values(), everything=everything)
        self._localising.join()

    def matrix(self, baseline: Mapping[str, Any] | None) -> Matrix:
        """End all threads, settle every open cell, and assemble the matrix."""
        self._localising.join(_JOIN_SECONDS)
        self._engine.join(_JOIN_SECONDS)
        return build(
            run={**self._provenance, "finished": iso(self._clock.now())},
            suites=self._suites,
            specs={name: spec for name, spec in self._specs.items() if name in self._slots},
            slots=self._slots,
            models=self._preparation.models(),
            runtimes=self._runtimes.used,
            cells=self._cells,
            results=self._judge.results,
            baseline=baseline,
            unreached=self._unreached(),
            waivers=self._waivers,
        )

    def _unreached(self) -> list[str]:
        """Required devices that could not be used from the start."""
        return [
            name
            for name, slot in self._slots.items()
            if self._specs[name].required and slot.facts is None and slot.problem is not None and slot.problem.retried
        ]

    def drop_passing_outputs(self) -> None:
        """Remove raw outputs of cells that passed; figures and logs stay, and so does all evidence of a failure."""
        for result in self._judge.results.values():
            if result.row["outcome"] not in _KEEP_OUTPUTS:
                continue
            gone = {path for path in result.row["artifacts"] if path.endswith(".bin")}
            for path in gone:
                (self._folder / path).unlink(missing_ok=True)
            result.row["artifacts"] = [path for path in result.row["artifacts"] if path not in gone]

    def _warm_up(self) -> None:
        """Get what devices of known target need, while this machine measures nothing."""
        targets = {target for slot in self._slots.values() if (target := slot.device.target) is not None}
        for runtime in dict.fromkeys(cell.delegate.runtime for cell in self._cells):
            for target in filter(self._runners[OWN_RUNNER].needs_runtime, targets):
                _attempted(lambda r=runtime, t=target: self._runtimes.get(r, t))  # type: ignore[misc]
        wanted = {cell.delegate.runner for cell in self._cells}
        for target in targets:
            for name in {choose(name, target, self._binaries) for name in wanted} & set(self._runners):
                _attempted(lambda r=self._runners[name], t=target: r.binary(t))  # type: ignore[misc]

    def _plan_header(self) -> dict[str, Any]:
        return {
            "run": dict(self._provenance),
            "pid": os.getpid(),
            "suites": {suite.name: suite.sha256 for suite in self._suites},
            "cells": [{"id": cell.id, "role": cell.role} for cell in self._cells],
        }


def _attempted(work: Callable[[], object]) -> None:
    """Try now; a failure comes again, with its words, in every cell that needs it."""
    try:
        work()
    except (UsageError, OSError):
        return
