"""The runs of one localisation: counted, told, bounded, and the reference's values kept."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from harness.localise.compare import Difference
from harness.localise.cut import Cutter
from harness.localise.task import Array, Probe, Side, Task
from harness.measure.bisect import JUMP, START, look_ahead
from harness.plan.cell import RETRIED, Outcome, Problem

Values = dict[int, Array]

_DEADLINE = 600.0  # of one run, whatever is left


class Ended(Exception):
    """The search cannot go on, for a reason in words."""


class Piece:
    """Some steps of a model as a model of their own: what goes in, what comes out."""

    def __init__(
        self, cutter: Cutter, first: int, last: int, outputs: Sequence[int], baked: Mapping[int, Array]
    ) -> None:
        graph = cutter.graph
        self.first = first
        self.last = last
        self.inputs = graph.entering(first, last)
        self.outputs = tuple(outputs)
        self.baked = dict(baked)
        self._cutter = cutter

    def model(self, inputs: Sequence[Array]) -> bytes:
        """The file. A piece from the middle has the shapes that its inputs really have."""
        graph = self._cutter.graph
        given = {tensor: values.shape for tensor, values in zip(self.inputs, inputs, strict=True)}
        fed = {tensor: shape for tensor, shape in given.items() if tensor not in graph.inputs}
        kept = graph.operations(self.first, self.last, self.outputs, self.baked)
        return self._cutter.piece(kept, self.inputs, self.outputs, shapes=fed, baked=self.baked)


class Runs:
    """Runs pieces of one task's model."""

    def __init__(
        self,
        task: Task,
        cutter: Cutter,
        probe: Probe,
        seconds_left: Callable[[], float],
        tell: Callable[[str], None],
    ) -> None:
        self.cutter = cutter
        self.graph = cutter.graph
        self.invocations = 0
        self.cuts: list[dict[str, Any]] = []
        self._task = task
        self._probe = probe
        self._seconds_left = seconds_left
        self._tell = tell
        self._known: Values = dict(zip(self.graph.inputs, task.inputs, strict=True))
        self._device: dict[tuple[int, int], Values | Problem] = {}

    def reference(self, cut: int, stretch: tuple[int, int]) -> Values | Problem:
        """Values of the reference side that are alive behind a cut.

        As many values of other cuts that the search may come to are asked for at the same time as the task allows.

        Args:
            cut: the place.
            stretch: the cuts between which the search is.
        """
        wanted = self.graph.frontier(cut)
        if not all(tensor in self._known for tensor in wanted):
            problem = self._expose(self._choice(cut, stretch))
            if problem is not None:
                # One of the other values may be what this side cannot show.
                problem = self._expose([tensor for tensor in wanted if tensor not in self._known])
            if problem is not None:
                return problem
        return {tensor: self._known[tensor] for tensor in wanted}

    def device(self, cut: int, base: int = START) -> Values | Problem:
        """Values of the device that are alive behind a cut; run once.

        Args:
            cut: the place.
            base: where the device begins, with the reference side's values.
        """
        if (base, cut) not in self._device:
            self._device[base, cut] = self.again(cut, base)
        return self._device[base, cut]

    def again(self, cut: int, base: int = START) -> Values | Problem:
        """The same, run anew."""
        return self.run("device", self.upto(cut, base))

    def upto(self, cut: int, base: int = START) -> Piece:
        """The model from a base up to a cut."""
        return self.segment(base + 1, cut, self.graph.frontier(cut, base + 1))

    def segment(self, first: int, last: int, outputs: Sequence[int], baked: Mapping[int, Array] | None = None) -> Piece:
        """Some steps."""
        return Piece(self.cutter, first, last, outputs, baked or {})

    def values(self, piece: Piece) -> list[Array]:
        """The reference side's inputs of a piece. They must be known."""
        return [self._known[tensor] for tensor in piece.inputs]

    def learn(self, piece: Piece) -> Problem | None:
        """Have the reference side run a piece on its own values, and keep what it answers."""
        answer = self.run("reference", piece)
        if isinstance(answer, Problem):
            return answer
        self._known.update(answer)
        return None

    def known(self, tensors: Sequence[int]) -> Values:
        """Values of the reference side, of those tensors that it was asked for."""
        return {tensor: self._known[tensor] for tensor in tensors if tensor in self._known}

    def run(self, side: Side, piece: Piece, inputs: Sequence[Array] | None = None) -> Values | Problem:
        """Run a piece on one side, on the reference side's values or others.

        Raises:
            Ended: time or the number of runs is used up, or the device is lost.
        """
        seconds = self._seconds_left()
        if seconds <= 0:
            raise Ended("the time was used up")
        if self.invocations >= self._task.invocations:
            raise Ended(f"the {self._task.invocations} runs that a search may take were used up")
        self.invocations += 1
        given = self.values(piece) if inputs is None else list(inputs)
        answer = self._probe.run(side, piece.model(given), given, min(seconds, _DEADLINE))
        if isinstance(answer, Problem):
            self._tell(f"{side}: {self._where(piece)}: {answer.reason}")
            if answer.error_class in RETRIED or answer.outcome is Outcome.NOT_RUN:
                raise Ended(answer.reason)
            return answer
        if side == "reference":
            self._tell(f"{side}: {self._where(piece)}: {len(answer)} tensors")
        return dict(zip(piece.outputs, answer, strict=True))

    def note(self, piece: Piece, found: Difference | Problem, kind: str) -> None:
        """Keep what a run of the device showed, for the row and for whoever watches.

        Args:
            piece: that ran.
            found: what came of it.
            kind: "prefix", "alone", "segment", "baked" or "again".
        """
        node = self.graph.steps[piece.last].node
        entry: dict[str, Any] = {"op": node.index, "type": node.type, "side": kind, "error": None}
        if kind in {"segment", "alone"}:
            entry["first"] = self.graph.steps[piece.first].node.index
        if isinstance(found, Problem):
            kind_of = found.kind or found.outcome.value.lower()
            self.cuts.append({**entry, "status": kind_of, "reason": found.reason})
            return
        status = "wrong" if found.score >= JUMP else "right"
        self.cuts.append({**entry, "error": found.stated, "status": status})
        self._tell(f"device: {self._where(piece)}: {status}, error {found.words}")

    def _where(self, piece: Piece) -> str:
        last = self.graph.steps[piece.last].node
        name = f"op {last.index} {last.type}" + (", constants unpacked before" if piece.baked else "")
        if piece.first == 0:
            return f"up to {name}"
        first = self.graph.steps[piece.first].node
        return f"{name} alone" if piece.first == piece.last else f"op {first.index} {first.type} to {name}"

    def _choice(self, cut: int, stretch: tuple[int, int]) -> list[int]:
        """Tensors to ask the reference side for: those of the cut, and of others while they fit."""
        chosen: dict[int, None] = {}
        size = 0
        for place in dict.fromkeys((cut, *look_ahead(*stretch))):
            new = [t for t in self.graph.frontier(place) if t not in self._known and t not in chosen]
            size += sum(self.graph.bytes(tensor) for tensor in new)
            if chosen and size > self._task.expose_bytes:
                break
            chosen.update(dict.fromkeys(new))
        return list(chosen)

    def _expose(self, tensors: Sequence[int]) -> Problem | None:
        last = max(self.graph.maker(tensor) for tensor in tensors)
        return self.learn(Piece(self.cutter, 0, last, tensors, {}))
