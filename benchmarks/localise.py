"""How many runs localisation takes, and how often the operation that it names is the right one.

Both sides are LiteRT's CPU interpreter; the device's copy of every piece has one operation that is wrong: scaled,
zeroed, upside down, with NaN, or with weights that lie one place further. Its culprit is exact when that very
operation is named, and confidently wrong when another one is.

1. A model of 100 operations with skip connections, the fault at places all over it, the device in single and in half
   precision. The figure is the most runs that any search took, both sides counted.
2. 20 faults (`--quick`: 10) at seeded places of real models, one in three with a device that rounds every value to half
   precision. The models are those beside the checkout (`../shared/models`), or the repository's own without them.
   Faults that the outputs do not show are drawn again.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
from common import ROOT, arguments, conclude

from harness.localise.compare import worst
from harness.localise.cut import Cutter
from harness.localise.graph import Refused
from harness.localise.locate import localise
from harness.localise.task import Array, Located, Task, rounding
from harness.plan.cell import InputPlan, ModelRef, Problem
from harness.plan.tflite_file import describe
from harness.reference.inputs import make_inputs
from models.builder.graph import Graph, options
from tests.localise.faults import (
    Change,
    Fault,
    FaultyProbe,
    Unfit,
    not_a_number,
    other_weights,
    scaled,
    shifted,
    with_names,
)
from tests.localise.interpreter import InterpreterProcess

SHARED = ROOT.parent / "shared" / "models"
INVOCATIONS = 16
OPERATIONS = 100
KINDS: dict[str, Change] = {
    "scaled": scaled(1.3),
    "zeros": scaled(0.0),
    "upside down": shifted,
    "NaN": not_a_number,
    "weights": other_weights,
}
SEEN = {"fp32": 1e-3, "fp16": 0.05}  # an output that is off by less, of its range, fails no gate
STEPS = 12.0  # likewise for quantised outputs, in steps


def main() -> None:
    """Both parts, then the figure."""
    quick = arguments(__doc__ or "")
    faults, allowed = (10, 1) if quick else (20, 1)
    with InterpreterProcess() as interpreter:
        invocations = chain(interpreter, every=25 if quick else 7)
        found = injected(interpreter, faults)
    exact, wrong = found["exact"], found["wrong"]
    print(f"culprits exact: {exact} of {faults} (goal >= {faults - allowed}); confidently wrong: {wrong} (goal <= 0)")
    if exact < faults - allowed:
        conclude("localise_missed", faults - exact, allowed)
    if wrong:
        conclude("localise_wrong", wrong, 0)
    conclude("localise", invocations, INVOCATIONS, "invocations")


def chain(interpreter: InterpreterProcess, every: int) -> int:
    """The most runs over all places of a fault in the model of 100 operations."""
    model = hundred()
    graph = Cutter(model).graph
    inputs = [np.random.default_rng(0).uniform(-1, 1, graph.shape(graph.inputs[0])).astype(np.float32)]
    most = 0
    for half in (False, True):
        for place in [*range(0, OPERATIONS - 1, every), OPERATIONS - 1]:
            fault = Fault(graph.name(graph.steps[place].node.outputs[0]), scaled(1.5))
            located = search(model, inputs, FaultyProbe(interpreter, fault, half=half), half)
            named = located.row["op"]
            if named is None or named["index"] != place:
                raise SystemExit(f"operation {place} of {OPERATIONS}: {located.row['words']}")
            most = max(most, located.row["invocations"])
    print(f"{OPERATIONS} operations: at most {most} invocations", flush=True)
    return most


def hundred() -> bytes:
    """ADD, MUL and SUB of constants in turn; every fourth operation is MAXIMUM with an earlier value."""
    graph = Graph("chain", "a chain with skip connections")
    draw = np.random.RandomState(1)
    shape = (1, 8, 8, 8)
    values = [graph.input("input", shape)]
    for number in range(OPERATIONS):
        code = ("ADD", "MUL", "SUB", "MAXIMUM")[number % 4]
        other = values[-4] if number % 4 == 3 and len(values) > 4 else None
        if other is None:
            constant = draw.uniform(0.6, 0.95, shape[-1:]).astype(np.float32)
            other = graph.constant(f"constant-{number}", constant)
        table = options("MaximumMinimumOptions" if code == "MAXIMUM" else f"{code.capitalize()}Options")
        values.append(graph.op(code, [values[-1], other], shape, table, name=f"value-{number}"))
    graph.output(values[-1])
    return graph.to_bytes()


def injected(interpreter: InterpreterProcess, count: int) -> Counter[str]:
    """Verdicts over faults at seeded places."""
    draw = np.random.default_rng(20)
    files = sorted(path for folder in ("float", "quant") for path in (SHARED / folder).glob("*.tflite"))
    files = [path for path in files or sorted((ROOT / "models").glob("*.tflite")) if usable(interpreter, path)]
    found: Counter[str] = Counter()
    while found.total() < count:
        path = files[draw.integers(len(files))]
        kind = list(KINDS)[draw.integers(len(KINDS))]
        half = found.total() % 3 == 2
        model = with_names(path.read_bytes())
        graph = Cutter(model).graph
        node = graph.steps[draw.integers(len(graph.steps))].node
        probe = FaultyProbe(interpreter, Fault(graph.name(node.outputs[0]), KINDS[kind]), half=half)
        inputs = inputs_of(path)
        if not shows(probe, model, inputs, half):
            continue
        located = search(model, inputs, probe, half)
        named = located.row["op"]
        verdict = located.row["status"] if named is None else "exact" if named["index"] == node.index else "wrong"
        found[verdict] += 1
        device = "fp16" if half else "fp32"
        print(f"{verdict}: {path.stem}, op {node.index} {node.type}, {kind}, {device}; ", end="")
        print(f"{located.row['invocations']} invocations; {located.row['words']}", flush=True)
    return found


def usable(interpreter: InterpreterProcess, path: Path) -> bool:
    """Whether a model can be cut and runs on the CPU, and in half precision too."""
    model = path.read_bytes()
    try:
        Cutter(model)
    except Refused:
        return False
    answers = [FaultyProbe(interpreter, half=half).run("device", model, inputs_of(path), 60) for half in (False, True)]
    return not any(isinstance(answer, Problem) for answer in answers)


def shows(probe: FaultyProbe, model: bytes, inputs: list[Array], half: bool) -> bool:
    """Whether the outputs of the whole model show a fault."""
    graph = Cutter(model).graph
    try:
        device, reference = (probe.run(side, model, inputs, 60) for side in ("device", "reference"))
    except Unfit:
        return False
    if isinstance(device, Problem) or isinstance(reference, Problem):
        return False
    measured = dict(zip(graph.outputs, device, strict=True))
    right = dict(zip(graph.outputs, reference, strict=True))
    limit = SEEN["fp16" if half else "fp32"]
    for tensor, values in right.items():
        if values.dtype.kind in "iu" and tensor in graph.quantised:
            limit = max(limit, STEPS / max(float(np.ptp(values.astype(np.float64))), 1.0))
    return worst(measured, right, graph.quantised, 1e-9).error > limit


def search(model: bytes, inputs: list[Array], probe: FaultyProbe, half: bool) -> Located:
    """One localisation, without a limit of time."""
    task = Task(model, inputs, noise=rounding("fp16" if half else "fp32"))
    return localise(task, probe, lambda: 600.0, lambda line: None)


def inputs_of(path: Path) -> list[Array]:
    """The harness's own inputs for a model."""
    made = make_inputs(describe(ModelRef("model", str(path), inputs=InputPlan(samples=1))))
    if isinstance(made, Problem):
        raise SystemExit(made.reason)
    return [
        np.fromfile(file, np.dtype(spec.dtype)).reshape(spec.shape)
        for file, spec in zip(made.samples[0], made.specs, strict=True)
    ]


if __name__ == "__main__":
    main()
