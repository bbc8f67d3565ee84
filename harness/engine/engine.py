"""All devices at once, each with one thread and one first-in-first-out queue. Knows no pytest.

The engine never prints and never logs to the root logger; what it has to say goes through the listener.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import CancelledError
from dataclasses import dataclass, field

from harness.clock import Clock, iso
from harness.devices.base import DeviceError
from harness.engine.executor import Executor, Slot
from harness.engine.judge import CellResult, Judge
from harness.engine.order import Work, queues
from harness.engine.preparation import ModelKey, Preparation, model_key
from harness.engine.turns import Cancelled, MachineTurns
from harness.plan.cell import Cell, ErrorClass, Outcome, Problem, RoundResult
from harness.record.journal import Journal, JournalError

_NOBODY = "(the controller, which measures nothing itself)"


class Listener:
    """What the engine tells while it works. Methods are called from its threads; the base class ignores all."""

    def cell_started(self, cell: Cell, round_number: int) -> None:
        """A round of a cell is about to be measured (or to wait for its machine)."""

    def cell_finished(self, result: CellResult) -> None:
        """A cell has its outcome."""

    def message(self, text: str) -> None:
        """Something a person may want to know."""


@dataclass
class _Progress:
    """What is known of a cell that is not finished yet."""

    cell: Cell
    results: list[RoundResult] = field(default_factory=list)
    measured: bool = False


class Engine:
    """Measures cells in the background; finished ones come out of `finished` in completion order, None at the end."""

    def __init__(
        self,
        *,
        cells: Sequence[Cell],
        slots: Mapping[str, Slot],
        absent: Mapping[str, Problem],
        executor: Executor,
        preparation: Preparation,
        judge: Judge,
        journal: Journal,
        turns: MachineTurns,
        controller: str | None,
        clock: Clock,
        listener: Listener,
    ) -> None:
        """Bind everything; nothing starts yet.

        Args:
            cells: in the order in which each device shall take them, helpers included.
            slots: devices by name.
            absent: devices that are not there, with the reason.
            executor: runs attempts.
            preparation: models, inputs and references.
            judge: turns measurements into outcomes.
            journal: gets every attempt before its cell is reported.
            turns: whose turn it is on each machine.
            controller: the controller's machine if timed work is done on it too, else None.
            clock: time.
            listener: told of progress.
        """
        self.finished: queue.Queue[CellResult | None] = queue.Queue()
        self._cells = {cell.id: _Progress(cell) for cell in cells}
        self._queues = queues(cells)
        self._slots = slots
        self._absent = absent
        self._executor = executor
        self._preparation = preparation
        self._judge = judge
        self._journal = journal
        self._turns = turns
        self._controller = controller
        self._clock = clock
        self._listener = listener
        self._lock = threading.RLock()
        self._waiting: dict[str, _Progress] = {}
        self._threads: list[threading.Thread] = []
        self._stop_reason: str | None = None
        self._open = len(self._cells)

    def start(self) -> None:
        """Start the preparation and one thread per device."""
        self._preparation.start(self._turns.reserve(self._controller or _NOBODY), self._on_golden)
        for device in self._queues:
            work = (device, self._queues[device])
            thread = threading.Thread(target=self._device_main, args=work, name=f"harness-{device}", daemon=True)
            self._threads.append(thread)
            thread.start()
        if not self._cells:
            self.finished.put(None)

    def cancel(self, reason: str) -> None:
        """Stop at once: end running jobs, mark what has no outcome NOT_RUN with the reason."""
        with self._lock:
            if self._stop_reason is None:
                self._stop_reason = reason
        self._turns.cancel()
        self._preparation.cancel()
        for slot in self._slots.values():
            slot.device.cancel()

    def join(self, seconds: float) -> None:
        """Wait for all threads, at most `seconds` together; then settle every cell that is still open."""
        end = self._clock.monotonic() + seconds
        for thread in self._threads:
            thread.join(max(0.0, end - self._clock.monotonic()))
        self._preparation.join(max(0.0, end - self._clock.monotonic()))
        self._settle_open()
        for slot in self._slots.values():
            slot.device.close()
        self._journal.close()

    def _on_golden(self, key: ModelKey) -> None:
        """References of a model are ready: judge what waited for them."""
        with self._lock:
            ready = [progress for progress in self._waiting.values() if model_key(progress.cell) == key]
        for progress in ready:  # the preparation holds the controller's turn
            self._judge_all(progress)

    def _device_main(self, device: str, work: Sequence[Work]) -> None:
        try:
            problem = self._absent.get(device) or self._connect(device)
            for order, item in enumerate(work):
                if self._stop_reason is not None:
                    break
                self._do(item, order, problem)
        except (Cancelled, CancelledError):
            pass  # whatever is open is settled below
        except JournalError as error:
            self._listener.message(str(error))
            self.cancel(str(error))
        except Exception as error:
            self._fail_device(device, error)
        finally:
            if self._stop_reason is not None:
                self._settle_open(device)

    def _connect(self, device: str) -> Problem | None:
        slot = self._slots[device]
        try:
            slot.facts = slot.device.connect()
        except DeviceError as error:
            return Problem(Outcome.ERROR, str(error), error.error_class, "connect")
        return None

    def _do(self, item: Work, order: int, device_problem: Problem | None) -> None:
        progress = self._cells[item.cell.id]
        if progress.measured:
            return  # an earlier round met a problem; further rounds cannot mend the cell
        self._listener.cell_started(item.cell, item.round)
        if device_problem is not None:
            result = RoundResult(
                item.cell.id, item.round, 1, order, iso(self._clock.now()), 0.0, problem=device_problem
            )
            self._record(progress, result)
        else:
            result = self._try(item, order, progress)
        if result.problem is not None or item.last:
            progress.measured = True
            self._judge_now(progress)

    def _try(self, item: Work, order: int, progress: _Progress) -> RoundResult:
        device = self._slots[item.cell.device].device
        attempts = 1 + item.cell.policy.retries
        for attempt in range(1, attempts + 1):
            result = self._executor.run(item.cell, item.round, attempt, order)
            if self._stop_reason is not None and result.problem is not None:
                raise Cancelled(self._stop_reason)
            self._record(progress, result)
            if result.problem is None or not result.problem.retried or attempt == attempts:
                break
            self._listener.message(f"{item.cell.id}: attempt {attempt} failed and is repeated: {result.problem.reason}")
            try:
                device.recover()
            except DeviceError as error:
                self._listener.message(f"{item.cell.device}: recovery failed: {error}")
        return result

    def _record(self, progress: _Progress, result: RoundResult) -> None:
        self._journal.attempt(result)
        progress.results.append(result)

    def _judge_now(self, progress: _Progress) -> None:
        """Judge without disturbing what is timed on this machine."""
        if self._controller is None:
            self._judge_all(progress)
        else:
            with self._turns.turn(self._controller):
                self._judge_all(progress)

    def _judge_all(self, progress: _Progress) -> None:
        """Judge a measured cell, or park it until its references are there; then whoever waited for it."""
        pending = [progress]
        while pending:
            current = pending.pop()
            with self._lock:
                if current.cell.id not in self._cells or not current.measured:
                    continue
                if not self._judge.ready(current.cell, current.results):
                    self._waiting[current.cell.id] = current
                    continue
                self._waiting.pop(current.cell.id, None)
                if current.cell.id in self._judge.results:
                    continue
                result = self._judge.judge(current.cell, current.results)
                pending.extend(
                    other for other in self._waiting.values() if self._judge.ready(other.cell, other.results)
                )
            self._finish(result)

    def _finish(self, result: CellResult) -> None:
        self._listener.cell_finished(result)
        self.finished.put(result)
        with self._lock:
            self._open -= 1
            if self._open == 0:
                self.finished.put(None)

    def _settle_open(self, device: str | None = None) -> None:
        reason = self._stop_reason or "the engine ended before the cell was measured"
        for progress in self._cells.values():
            with self._lock:
                if progress.cell.id in self._judge.results or (device and progress.cell.device != device):
                    continue
                self._waiting.pop(progress.cell.id, None)
                problem = Problem(Outcome.NOT_RUN, reason, kind="cancelled")
                result = self._judge.unmeasured(progress.cell, progress.results, problem)
            self._finish(result)

    def _fail_device(self, device: str, error: Exception) -> None:
        problem = Problem(Outcome.ERROR, f"fault of the harness: {error!r}", ErrorClass.HOST, "internal")
        for progress in self._cells.values():
            if progress.cell.device != device:
                continue
            with self._lock:
                if progress.cell.id in self._judge.results:
                    continue
                result = self._judge.unmeasured(progress.cell, progress.results, problem)
            self._finish(result)
