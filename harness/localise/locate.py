"""Finds the operation that makes an output wrong.

1. The reference side shows the values behind many operations at once: few runs.
2. The device runs the model up to a cut, in a process of its own each time, because some cuts crash accelerators. All
   values that are alive at the cut are compared, so that a wrong one which still matters is seen at every later cut.
   `harness.measure.bisect` chooses the cuts.
3. Where the error jumps, `harness.localise.examine` finds out whether the operation there is at fault.

Errors are max_abs_of_range of single tensors; what rounding may do to one is `Task.noise` (two steps for quantised
values), and a jump is a growth to `JUMP` times that, or times the error before. A growth without a jump is gradual.
"""

from __future__ import annotations

from collections.abc import Callable

from harness.localise.compare import QUANTISED_STEPS, RIGHT, Difference
from harness.localise.cut import Cutter
from harness.localise.examine import Examiner, Finding
from harness.localise.graph import Node, Refused
from harness.localise.runs import Ended, Runs
from harness.localise.task import Located, Probe, Task, no_finding
from harness.measure.bisect import JUMP, START, Jump, Try, next_step
from harness.plan.cell import Problem
from harness.plan.explained import CulpritRow

__all__ = ["localise"]

_ON_CPU = "no_node_delegated"
"""Kind of the problem that the accelerator takes no operation of a piece."""


def localise(task: Task, probe: Probe, seconds_left: Callable[[], float], tell: Callable[[str], None]) -> Located:
    """Find where the output of a model goes wrong on a device.

    Args:
        task: the model, its inputs, what rounding may do.
        probe: runs models on both sides.
        seconds_left: until the search has to end.
        tell: is told what is done, line by line.

    Returns:
        What was found; nothing is raised for what a model or a device does. The row's `cuts` are the device's runs:
        {"op", "type", "side": "prefix" | "alone" | "segment" | "baked", "error": of range or null, "status": "right" |
        "wrong" | kind of the problem}, with "first" (operation) where it began in the middle and "reason" for problems.
    """
    began = seconds_left()
    try:
        cutter = Cutter(task.model, task.subgraph)
        if len(task.inputs) != len(cutter.graph.inputs):
            raise Refused(
                f"the model has {len(cutter.graph.inputs)} inputs, and values for {len(task.inputs)} were given"
            )
    except Refused as refused:
        return Located(no_finding("refused", str(refused), task.reference))
    search = _Search(task, Runs(task, cutter, probe, seconds_left, tell))
    located = search.run()
    located.row["seconds"] = round(max(began - seconds_left(), 0.0), 3)
    tell(f"{located.row['status']}: {located.row['words']}")
    return located


class _Stretch:
    """Cuts of which the device is asked from one base on, where it is given the reference side's values."""

    def __init__(self, base: int) -> None:
        self.base = base
        self.found: dict[int, Difference] = {base: RIGHT}
        self.scores: dict[int, float | None] = {base: 1.0}

    def next(self) -> Try | Jump | None:
        """What to do next."""
        return next_step(self.scores)

    def around(self, cut: int) -> tuple[int, int]:
        """The answered cuts that one lies between."""
        return max(one for one in self.found if one < cut), min(one for one in self.found if one > cut)

    def end(self, cut: int) -> None:
        """Forget what is behind a cut."""
        self.found = {one: found for one, found in self.found.items() if one <= cut}
        self.scores = {one: score for one, score in self.scores.items() if one <= cut}


class _Search:
    """One localisation."""

    def __init__(self, task: Task, runs: Runs) -> None:
        self._task = task
        self._runs = runs
        self._graph = runs.graph
        # Behind a DEQUANTIZE the steps of quantised values are there still.
        noise = max(task.noise, QUANTISED_STEPS / 255) if self._graph.integer else task.noise
        self._examiner = Examiner(runs, noise)
        self._last = len(self._graph.steps) - 1
        self._stretches: list[_Stretch] = []
        self._passed_on: list[Finding] = []

    def run(self) -> Located:
        """Search until there is an answer, or no way on."""
        if not self._graph.frontier(self._last):
            return self._answer("refused", "no output of the model holds numbers that can be compared")
        try:
            return self._search()
        except Ended as ended:
            return self._ended(str(ended))

    def _search(self) -> Located:
        problem = self._begin(START)
        if problem is not None:
            return self._answer("not_found", f"the whole model could not be run: {problem}")
        whole = self._stretches[0].found[self._last]
        while self._stretches:
            stretch = self._stretches[-1]
            step = stretch.next()
            if step is None:
                self._stretches.pop()
            elif isinstance(step, Try):
                self._try(stretch, step.cut, stretch.around(step.cut))
            else:
                finding = self._examiner.look(step, stretch.base)
                if finding.kind != "passed_on":
                    return self._finding(stretch, step, finding)
                self._passed_on.append(finding)
                if finding.loose:
                    self._without(finding.loose)
                    continue
                # What is wrong from here on may be that alone: the device goes on from right values.
                stretch.end(step.before)
                if step.after < self._last:
                    self._begin(step.after)
        return self._nothing(whole)

    def _begin(self, base: int) -> str | None:
        """Search what is behind a base as well; why that cannot be done."""
        stretch = _Stretch(base)
        for cut in range(base + 1, self._last + 1):
            if not self._graph.frontier(cut, base + 1):
                stretch.scores[cut] = None
        problem = self._try(stretch, self._last, (base, self._last))
        if problem is None:
            self._stretches.append(stretch)
        return problem

    def _without(self, tensors: frozenset[int]) -> None:
        """Compare again all that was run, without some tensors."""
        self._examiner.ignore(tensors)
        for stretch in self._stretches:
            for cut in [one for one in stretch.found if one != stretch.base]:
                device = self._runs.device(cut, stretch.base)
                if not isinstance(device, Problem):
                    found = self._examiner.compare(device, self._runs.known(self._graph.frontier(cut)))
                    stretch.found[cut], stretch.scores[cut] = found, found.score

    def _try(self, stretch: _Stretch, cut: int, around: tuple[int, int]) -> str | None:
        """Run one cut on both sides; why it could not be run."""
        piece = self._runs.upto(cut, stretch.base)
        stretch.scores[cut] = None
        reference = self._runs.reference(cut, around)
        if stretch.base != START and not isinstance(reference, Problem):
            entering = self._runs.reference(stretch.base, (START, stretch.base))
            reference = entering if isinstance(entering, Problem) else reference
        if isinstance(reference, Problem):
            return f"on the reference side: {reference.reason}"
        if len(self._runs.known(piece.inputs)) < len(piece.inputs):
            return "what comes in there cannot be shown"
        device = self._runs.device(cut, stretch.base)
        if isinstance(device, Problem):
            self._runs.note(piece, device, "prefix" if stretch.base == START else "segment")
            if device.kind == _ON_CPU:  # so it does in the whole model
                stretch.found[cut], stretch.scores[cut] = RIGHT, RIGHT.score
            return device.reason
        found = self._examiner.compare(device, reference)
        stretch.found[cut] = found
        stretch.scores[cut] = found.score
        self._runs.note(piece, found, "prefix" if stretch.base == START else "segment")
        return None

    def _finding(self, stretch: _Stretch, jump: Jump, finding: Finding) -> Located:
        before, after = stretch.found[jump.before], stretch.found[jump.after]
        first, last = self._nodes(finding.first)[0], self._graph.steps[finding.last].node
        growth = f"the error jumps from {before.words} to {after.words}"
        if finding.kind == "unstable":
            return self._answer("not_found", finding.words)
        node = finding.node
        if node is not None:
            words = f"op {node.index} {node.type}: {growth}; {finding.words}"
            first = last = node
        else:
            words = f"between op {first.index} {first.type} and op {last.index} {last.type}: {growth}; {finding.words}"
        located = self._answer("culprit" if node else "segment", words)
        row = located.row
        row["op"] = self._culprit(node) if node else None
        row["first"], row["last"] = first.index, last.index
        row["error_before"], row["error_after"] = before.stated, after.stated
        row["growth"] = "jump"
        if finding.shown is None:
            return located
        piece, device = finding.shown
        inputs = self._runs.values(piece)
        reference = self._runs.known(piece.outputs)
        return Located(
            row,
            piece.model(inputs),
            tuple(inputs),
            tuple(reference[tensor] for tensor in piece.outputs),
            tuple(device[tensor] for tensor in piece.outputs),
            JUMP * self._examiner.compare(device, reference).floor,
        )

    def _nothing(self, whole: Difference) -> Located:
        """No jump is left."""
        if whole.score < JUMP:
            words = f"the whole model is right in this run: {whole.words} is rounding"
            return self._answer("not_found", words)
        words = f"the error grows without a jump to {whole.words}: precision, and no single operation"
        words += "".join(f"; {finding.words}" for finding in self._passed_on)
        located = self._answer("gradual", words)
        located.row["growth"] = "gradual"
        located.row["error_after"] = whole.stated
        return located

    def _ended(self, why: str) -> Located:
        """What is known when the search had to end: the place that was looked into."""
        located = self._answer("gave_up", "; ".join([why, *(finding.words for finding in self._passed_on)]))
        step = self._stretches[-1].next() if self._stretches else None
        if step is not None:
            stretch = self._stretches[-1]
            before, after = stretch.around(step.cut) if isinstance(step, Try) else (step.before, step.after)
            first, last = self._nodes(before + 1)[0], self._graph.steps[after].node
            where = f"op {first.index} {first.type} and op {last.index} {last.type}"
            located.row["words"] += f"; by then it was narrowed down to between {where}"
            located.row["first"], located.row["last"] = first.index, last.index
            located.row["error_before"] = stretch.found[before].stated
            located.row["error_after"] = stretch.found[after].stated
        return located

    def _nodes(self, step: int) -> tuple[Node, ...]:
        """Operations of a step, those that unpack its constants first."""
        return (*self._graph.steps[step].feeders, self._graph.steps[step].node)

    def _culprit(self, node: Node) -> CulpritRow:
        return {
            "index": node.index,
            "type": node.type,
            "version": node.version,
            "name": self._graph.name(node.outputs[0]) if node.outputs else "",
            "inputs": [self._graph.shape(tensor) for tensor in node.inputs],
            "outputs": [self._graph.shape(tensor) for tensor in node.outputs],
        }

    def _answer(self, status: str, words: str) -> Located:
        bad = [cut for cut in self._runs.cuts if cut["error"] is None]
        if bad:
            which = list(dict.fromkeys(f"op {cut['op']} {cut['type']} ({cut['status']})" for cut in bad))
            words += f"; {len(bad)} run{'s' if len(bad) > 1 else ''} failed: {', '.join(which[:3])}"
        row = no_finding(status, words, self._task.reference)
        return Located({**row, "invocations": self._runs.invocations, "cuts": self._runs.cuts})
