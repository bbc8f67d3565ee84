"""All devices at once, each with one thread and one first-in-first-out queue. Knows no pytest.

The engine never prints and never logs to the root logger; what it has to say goes through the listener.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import CancelledError, ThreadPoolExecutor
from contextlib import nullcontext, suppress
from dataclasses import dataclass, field

from harness.clock import Clock, iso
from harness.devices.base import DeviceError
from harness.engine.executor import Executor, Slot
from harness.engine.judge import CellResult, Judge
from harness.engine.order import Work, queues
from harness.engine.preparation import ModelKey, Preparation, internal_problem, model_key
from harness.engine.turns import Cancelled, MachineTurns
from harness.plan.cell import Cell, Outcome, Problem
from harness.plan.result import RoundResult
from harness.record.journal import Journal, JournalError

_CANCEL_SECONDS = 5.0
_NOBODY = "(the controller, which measures nothing itself)"


class Listener:
    """What the engine tells while it works. Methods are called from its threads; the base class ignores all."""

    def cell_started(self, cell: Cell, round_number: int) -> None:
        """A round of a cell is about to be measured (or to wait for its machine)."""

    def cell_finished(self, result: CellResult) -> None:
        """A cell has its outcome."""

    def message(self, text: str) -> None:
        """Something a person may want to know."""


class Heard(Listener):
    """Passes on what the engine tells; a listener that fails (a closed terminal, say) costs no measurement."""

    def __init__(self, listener: Listener) -> None:
        self._listener = listener

    def cell_started(self, cell: Cell, round_number: int) -> None:
        """See `Listener`."""
        with suppress(Exception):
            self._listener.cell_started(cell, round_number)

    def cell_finished(self, result: CellResult) -> None:
        """See `Listener`."""
        with suppress(Exception):
            self._listener.cell_finished(result)

    def message(self, text: str) -> None:
        """See `Listener`."""
        with suppress(Exception):
            self._listener.message(text)


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
            executor: runs attempts.
            preparation: models, inputs and references.
            judge: turns measurements into outcomes.
            journal: gets every attempt before its cell is reported.
            turns: whose turn it is on each machine.
            controller: the controller's machine if timed work is done on it too, else None.
            clock: time.
            listener: told of progress; must not raise.
        """
        self.finished: queue.Queue[CellResult | None] = queue.Queue()
        self._cells = {cell.id: _Progress(cell) for cell in cells}
        self._queues = queues(cells)
        self._slots = slots
        self._executor = executor
        self._preparation = preparation
        self._judge = judge
        self._journal = journal
        self._turns = turns
        self._controller = controller
        self._clock = clock
        self._listener = listener
        self._lock = threading.RLock()
        self._waiting: dict[ModelKey, dict[str, _Progress]] = {}  # measured, not judged yet
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
        # All at once: a job is given a moment to end by itself, and a lab has hundreds of devices.
        ending = [threading.Thread(target=slot.device.cancel, daemon=True) for slot in self._slots.values()]
        for thread in ending:
            thread.start()
        end = self._clock.monotonic() + _CANCEL_SECONDS
        for thread in ending:
            thread.join(max(0.0, end - self._clock.monotonic()))
        with self._lock:
            waiting = [progress for line in self._waiting.values() for progress in line.values()]
        self._settle(waiting)  # their devices' threads may have ended already; the others settle their own

    def join(self, seconds: float) -> None:
        """Wait for all threads, at most `seconds` together; then settle every cell that is still open."""
        end = self._clock.monotonic() + seconds
        for thread in self._threads:
            thread.join(max(0.0, end - self._clock.monotonic()))
        if self._open == 0:
            self._preparation.stop_references()
        self._preparation.join(max(0.0, end - self._clock.monotonic()))
        self._settle(self._cells.values())
        self._close_devices()
        self._journal.close()

    def _close_devices(self) -> None:
        """All at once: one that has to be asked something may be far away, or hang."""
        devices = [slot.device for slot in self._slots.values()]
        with ThreadPoolExecutor(max(1, len(devices)), thread_name_prefix="closing") as pool:
            for closing in [pool.submit(device.close) for device in devices]:
                closing.result()

    def _on_golden(self, key: ModelKey) -> None:
        """References of a model are ready: judge what waited for them. The preparation holds the controller's turn."""
        self._judge_ready(key)

    def _device_main(self, device: str, work: Sequence[Work]) -> None:
        own = [progress for progress in self._cells.values() if progress.cell.device == device]
        try:
            self._connect(device)
            for order, item in enumerate(work):
                if self._stop_reason is not None:
                    break
                self._do(item, order)
        except (Cancelled, CancelledError):
            pass  # whatever is open is settled below
        except JournalError as error:
            self.cancel(str(error))
            self._listener.message(str(error))
        except Exception as error:
            self._fail(own, error)
        finally:
            if self._stop_reason is not None:
                self._settle(own)

    def _connect(self, device: str) -> None:
        if self._stop_reason is not None:
            raise Cancelled(self._stop_reason)
        slot = self._slots[device]
        try:
            slot.facts = slot.device.connect(self._listener.message)
        except DeviceError as error:
            slot.problem = Problem(Outcome.ERROR, str(error), error.error_class, "connect")

    def _do(self, item: Work, order: int) -> None:
        progress = self._cells[item.cell.id]
        if progress.measured:
            return  # an earlier round met a problem; further rounds cannot mend the cell
        self._listener.cell_started(item.cell, item.round)
        slot = self._slots[item.cell.device]
        if slot.problem is None and slot.broken:
            self._mend(slot)
        if slot.problem is not None:
            result = RoundResult(item.cell.id, item.round, 1, order, iso(self._clock.now()), 0.0, problem=slot.problem)
            self._record(progress, result)
        else:
            result = self._try(item, order, progress, slot)
        if result.problem is not None or item.last:
            progress.measured = True
            self._judge_now(progress)

    def _try(self, item: Work, order: int, progress: _Progress, slot: Slot) -> RoundResult:
        attempts = 1 + item.cell.policy.retries
        for attempt in range(1, attempts + 1):
            result = self._executor.run(item.cell, item.round, attempt, order)
            if self._stop_reason is not None and result.problem is not None:
                raise Cancelled(self._stop_reason)
            self._record(progress, result)
            slot.broken = result.problem is not None and result.problem.retried
            if not slot.broken or result.problem is None or attempt == attempts:
                break
            self._listener.message(f"{item.cell.id}: attempt {attempt} failed: {result.problem.reason}")
            if not self._mend(slot):
                break
        return result

    def _mend(self, slot: Slot) -> bool:
        """Make a device usable again after a fault. One that stays away costs all that is left of its cells."""
        name = slot.device.name
        try:
            slot.device.recover()
        except DeviceError as error:
            if self._stop_reason is not None:
                raise Cancelled(self._stop_reason) from None
            reason = f"{name} was lost and does not come back: {error}"
            slot.problem = Problem(Outcome.NOT_RUN, reason, kind="device_lost")
            self._listener.message(f"{reason}; its other cells are not run")
            return False
        slot.broken = False
        return True

    def _record(self, progress: _Progress, result: RoundResult) -> None:
        self._journal.attempt(result)
        progress.results.append(result)

    def _judge_now(self, progress: _Progress) -> None:
        """Judge without disturbing what is timed on this machine."""
        with nullcontext() if self._controller is None else self._turns.share(self._controller):
            key = model_key(progress.cell)
            with self._lock:
                self._waiting.setdefault(key, {})[progress.cell.id] = progress
                self._judge.add(progress.cell, progress.results)
            self._judge_ready(key)

    def _judge_ready(self, key: ModelKey) -> None:
        """Judge the measured cells of a model for which everything is there; the others go on waiting."""
        while (result := self._judge_one(key)) is not None:
            self._finish(result)

    def _judge_one(self, key: ModelKey) -> CellResult | None:
        with self._lock:
            if self._stop_reason is not None:
                return None
            waiting = self._waiting.get(key, {})
            for name, progress in waiting.items():
                try:
                    if not self._judge.ready(progress.cell, progress.results):
                        continue
                    result = self._judge.judge(progress.cell, progress.results)
                except Exception as error:
                    result = self._judge.faulty(progress.cell, progress.results, internal_problem(repr(error)))
                del waiting[name]
                return result
        return None

    def _finish(self, result: CellResult) -> None:
        self._listener.cell_finished(result)
        self.finished.put(result)
        with self._lock:
            self._open -= 1
            if self._open == 0:
                self.finished.put(None)

    def _settle(self, cells: Iterable[_Progress]) -> None:
        """Judge measured cells that waited for an explanation only; all others without an outcome are NOT_RUN."""
        reason = self._stop_reason or "the engine ended before the cell was measured"
        self._end(cells, Problem(Outcome.NOT_RUN, reason, kind="cancelled"))

    def _fail(self, cells: Sequence[_Progress], error: Exception) -> None:
        """A fault of ours in a device's thread: what it has not measured ends here; who waits for that is judged."""
        with self._lock:
            measured = {name for line in self._waiting.values() for name in line}
        self._end([one for one in cells if one.cell.id not in measured], internal_problem(repr(error)))
        for key in dict.fromkeys(model_key(progress.cell) for progress in cells):
            self._judge_ready(key)

    def _end(self, cells: Iterable[_Progress], problem: Problem) -> None:
        for progress in cells:
            with self._lock:
                if progress.cell.id in self._judge.results:
                    continue
                self._waiting.get(model_key(progress.cell), {}).pop(progress.cell.id, None)
                try:
                    result = self._last(progress, problem)
                except Exception as error:
                    result = self._judge.faulty(progress.cell, progress.results, internal_problem(repr(error)))
            self._finish(result)

    def _last(self, progress: _Progress, problem: Problem) -> CellResult:
        """The result of a cell for which nothing more is measured."""
        if progress.measured and self._judge.ready(progress.cell, progress.results, explained=False):
            return self._judge.judge(progress.cell, progress.results)
        return self._judge.unmeasured(progress.cell, progress.results, problem)
