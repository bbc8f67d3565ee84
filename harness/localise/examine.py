"""Whether an operation behind which values are wrong is itself wrong.

It is held on its own against the reference side's values: an operation that is wrong then is the culprit. One that is
right may pass on, larger, what came in wrong; or it is wrong only beside its neighbours, as where an accelerator
makes one kernel of several operations.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from harness.localise.compare import Difference, worst
from harness.localise.graph import Node
from harness.localise.runs import Piece, Runs, Values
from harness.localise.task import Array
from harness.measure.bisect import JUMP, START, Jump
from harness.plan.cell import Outcome, Problem

_SHARE = 0.25
"""Share of the error that has to be explained."""

_WIDTHS = (2, 4, 8)


@dataclass(frozen=True)
class Finding:
    """What a jump is.

    Attributes:
        kind: "culprit" (`node` is wrong), "segment" (the steps `first` to `last` are, together or one of them),
            "passed_on" (nobody there), "unstable" (the device answers differently each time).
        words: how that is known.
        first: step.
        last: step.
        node: the operation at fault.
        shown: the piece that shows it, the device's answers to the reference's values included.
        loose: "passed_on": tensors that jump although the operation's other results are right, such as the places of
            maxima, and those of all operations of its type.
    """

    kind: Literal["culprit", "segment", "passed_on", "unstable"]
    words: str
    first: int
    last: int
    node: Node | None = None
    shown: tuple[Piece, Values] | None = None
    loose: frozenset[int] = frozenset()


class Examiner:
    """Looks into jumps."""

    def __init__(self, runs: Runs, noise: float) -> None:
        self._runs = runs
        self._graph = runs.graph
        self._noise = noise
        self._base = START
        self._ignored: frozenset[int] = frozenset()

    def compare(self, measured: Mapping[int, Array], reference: Mapping[int, Array]) -> Difference:
        """The worst difference of some tensors."""
        measured = {tensor: values for tensor, values in measured.items() if tensor not in self._ignored}
        return worst(measured, reference, self._graph.quantised, self._noise)

    def ignore(self, tensors: frozenset[int]) -> None:
        """Leave tensors out of all comparisons from now on."""
        self._ignored |= tensors

    def look(self, jump: Jump, base: int) -> Finding:
        """Find out what a jump is. Both of its cuts were run on both sides, on the device from `base` on."""
        self._base = base
        first, last = jump.before + 1, jump.after
        device = self._runs.device(last, base)
        if isinstance(device, Problem):
            raise ValueError(f"cut {last} has no values")
        outputs = self._graph.frontier(last, first)
        there = {tensor: values for tensor, values in device.items() if tensor in outputs}
        error = self.compare(there, self._runs.known(outputs))
        if error.score >= JUMP:
            alone = self._alone(first, last)
            if isinstance(alone, Finding):
                return alone
            passed = self._passed_on(jump, there, error)
            if passed is not None:
                return passed
            if alone is not None:
                return Finding("segment", f"alone it cannot be run on the device ({alone.reason})", first, last)
        return self._wider(jump, there)

    def _alone(self, first: int, last: int) -> Finding | Problem | None:
        """A finding if the steps are wrong on right values, None if they are right, a problem if they cannot be run."""
        found = self._wrong(first, last, "alone" if first == last else "segment")
        if not isinstance(found, tuple):
            return found
        if first == last:
            return self._which(first, found)
        # Cuts within could not be run: its steps one by one may.
        for step in range(first, last + 1):
            one = self._wrong(step, step, "alone")
            if isinstance(one, tuple):
                return self._which(step, one)
        words = "they are wrong on right values, and no cut between them could be run"
        return Finding("segment", words, first, last, shown=found)

    def _wrong(self, first: int, last: int, kind: str) -> tuple[Piece, Values] | Problem | None:
        """The piece and its answers if it is wrong on the reference side's values."""
        piece = self._runs.segment(first, last, self._graph.frontier(last, first))
        problem = self._values(piece)
        if problem is not None or not piece.outputs:
            return problem
        device = self._runs.device(last, first - 1)
        found = device if isinstance(device, Problem) else self.compare(device, self._runs.known(piece.outputs))
        if first - 1 != self._base:  # else the search ran and noted it
            self._runs.note(piece, found, kind)
        if isinstance(device, Problem) or isinstance(found, Problem):
            return device if isinstance(device, Problem) else None
        return (piece, device) if found.score >= JUMP else None

    def _values(self, piece: Piece) -> Problem | None:
        """Have the reference side's values of what goes into a piece and comes out of it."""
        if piece.first and len(self._runs.known(piece.inputs)) < len(piece.inputs):
            before = self._runs.reference(piece.first - 1, (piece.first - 1, piece.last))
            if isinstance(before, Problem):
                return before
        if len(self._runs.known(piece.inputs)) < len(piece.inputs):
            return Problem(Outcome.UNSUPPORTED, "what goes into it cannot be shown", kind="unsupported")
        if len(self._runs.known(piece.outputs)) < len(piece.outputs):
            return self._runs.learn(piece)
        return None

    def _which(self, step: int, shown: tuple[Piece, Values]) -> Finding:
        """The operation of a step that is wrong alone: itself, or one that unpacks its constants."""
        node, feeders = self._graph.steps[step].node, self._graph.steps[step].feeders
        words = "run alone, on right values, it is wrong too"
        if not feeders:
            return Finding("culprit", words, step, step, node, shown)
        guilty = self._guilty(step, shown[0])
        if guilty is None:
            words = "together with what unpacks its constants it is wrong on right values; which of them is not known"
            return Finding("segment", words, step, step, shown=shown)
        if guilty is node:
            return Finding("culprit", f"{words}; also with its constants unpacked before", step, step, node, shown)
        words = f"{node.type} is right with that constant unpacked before, and wrong with {guilty.type} in front"
        return Finding("culprit", words, step, step, guilty, shown)

    def _guilty(self, step: int, piece: Piece) -> Node | None:
        """The operation of a step that is at fault; None if that cannot be told."""
        node, feeders = self._graph.steps[step].node, self._graph.steps[step].feeders
        constants = self._runs.cutter.constants(step)
        direct = {tensor: constants[tensor] for tensor in node.inputs if tensor in constants}
        if len(direct) < len({tensor for feeder in feeders for tensor in feeder.outputs}.intersection(node.inputs)):
            return None
        wrong = self._baked(step, direct)
        if wrong is None:
            return None
        if wrong:
            # Were they unpacked as the reference side does it? Then the fault is the operation's own.
            answer = self._runs.run("reference", self._runs.segment(step, step, piece.outputs, direct))
            if isinstance(answer, Problem) or self.compare(answer, self._runs.known(piece.outputs)).score >= JUMP:
                return None
            return node
        makers = {tensor: feeder for feeder in feeders for tensor in feeder.outputs}
        for tensor in sorted(direct, key=lambda one: -direct[one].nbytes):
            wrong = self._baked(step, {tensor: direct[tensor]})
            if wrong is None:
                return None
            if not wrong:
                return self._along(step, tensor, constants, makers)
        return None  # it takes several of them

    def _along(self, step: int, tensor: int, constants: Mapping[int, Array], makers: Mapping[int, Node]) -> Node | None:
        """Which one of the operations that unpack one constant is at fault; it is known that one is."""
        feeder = makers[tensor]
        before = [source for source in feeder.inputs if source in makers]
        if not before:
            return feeder
        if len(before) > 1 or before[0] not in constants:
            return None
        wrong = self._baked(step, {before[0]: constants[before[0]]})
        if wrong is None:
            return None
        return feeder if wrong else self._along(step, before[0], constants, makers)

    def _baked(self, step: int, constants: Values) -> bool | None:
        """Whether a step is wrong with some of its constants unpacked before; None if it cannot be run."""
        piece = self._runs.segment(step, step, self._graph.frontier(step, step), constants)
        device = self._runs.run("device", piece)
        found = device if isinstance(device, Problem) else self.compare(device, self._runs.known(piece.outputs))
        self._runs.note(piece, found, "baked")
        return None if isinstance(found, Problem) else found.score >= JUMP

    def _passed_on(self, jump: Jump, there: Values, error: Difference) -> Finding | None:
        """Whether right steps, given what the device had before them, answer what the device did."""
        first, last = jump.before + 1, jump.after
        if jump.before == self._base:
            return None
        before = self._runs.device(jump.before, self._base)
        if isinstance(before, Problem):
            return None
        piece = self._runs.segment(first, last, tuple(there))
        came_in = {**self._runs.known(piece.inputs), **before}
        if any(tensor not in came_in for tensor in piece.inputs):
            return None
        answer = self._runs.run("reference", piece, [came_in[tensor] for tensor in piece.inputs])
        if isinstance(answer, Problem):
            return None
        left = self.compare(there, answer)
        if left.score >= JUMP and left.error > _SHARE * error.error:
            return None
        words = f"{self._name(last)} is right; it makes a difference that was there before it larger"
        node = self._graph.steps[last].node
        return Finding("passed_on", words, first, last, node, loose=self._loose(node, there))

    def _loose(self, node: Node, there: Values) -> frozenset[int]:
        known = self._runs.known(node.outputs)
        jumps = {
            tensor: self.compare({tensor: there[tensor]}, known).score >= JUMP
            for tensor in node.outputs
            if tensor in there
        }
        if all(jumps.values()):
            return frozenset()
        places = [place for place, tensor in enumerate(node.outputs) if jumps.get(tensor)]
        alike = [step.node.outputs for step in self._graph.steps if step.node.type == node.type]
        return frozenset(outputs[place] for outputs in alike for place in places if place < len(outputs))

    def _wider(self, jump: Jump, there: Values) -> Finding:
        """More and more steps in front of one that is right alone."""
        last = jump.after
        for width in _WIDTHS:
            first = last - width + 1
            if not self._base < first <= jump.before:
                continue
            found = self._wrong(first, last, "segment")
            if isinstance(found, tuple) and first > self._base + 1:
                words = f"{self._name(last)} is right alone, but wrong together with what is in front of it"
                return Finding("segment", words, first, last, shown=found)
        again = self._runs.again(last, self._base)
        if not isinstance(again, Problem):
            change = self.compare({tensor: again[tensor] for tensor in there}, there)
            if change.score >= JUMP:
                words = f"the device answers differently each time (up to {self._name(last)}: {change.words} apart)"
                return Finding("unstable", words, jump.before + 1, last)
        words = f"wrong from {self._name(last)} on, which is right on its own: it takes more of the model to be wrong"
        return Finding("segment", words, max(0, last - max(_WIDTHS) + 1), last)

    def _name(self, step: int) -> str:
        node = self._graph.steps[step].node
        return f"op {node.index} {node.type}"
