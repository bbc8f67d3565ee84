"""Share of nodes for which the prediction says what LiteRT's real GPU accelerator says, on SwiftShader.

Every model at hand: the repository's, the shared ones beside it, probes that each stand on one side of a rule, and the
op suite's plain models changed in one respect (those that the CPU refuses as well are left out). Each is compiled for
the GPU in a process of its own. A model is exactly right when it compiles or not as foretold, with as many nodes on the
GPU. Nodes of a model count as agreeing up to the difference of the two numbers.
`--quick` takes one in ten of the small models and leaves the large ones out.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from common import ROOT, arguments

from harness.plan.cell import ModelRef
from harness.plan.compatibility import predict, profiles
from harness.plan.tflite_file import describe
from tests.plan.compatibility.accelerator import ask
from tests.plan.compatibility.mutants import mutants
from tests.plan.compatibility.probes import PROBES

GOAL = 0.95
MUTANTS = "changed"
SHARED = ROOT.parent / "shared" / "models"
SMALL = 100_000
MEMORY_BOMBS = frozenset({"conv3d_huge_im2col"})
DRIVER = {"VK_ICD_FILENAMES": "/usr/lib/chromium/vk_swiftshader_icd.json"}


def main() -> None:
    """Ask the accelerator about each model, and hold the prediction against its answer."""
    quick = arguments(__doc__ or "")
    if not Path(DRIVER["VK_ICD_FILENAMES"]).is_file():
        sys.exit("needs SwiftShader: apt-get install chromium libvulkan1")
    checked = next(profile.name for profile in profiles() if profile.checked)
    agreeing = nodes = 0
    kinds: dict[str, list[bool]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for kind, name, path in _models(Path(folder), quick):
            told = ask(path, DRIVER)
            if told is None or (kind == MUTANTS and not told.compiled and not told.crashed):
                continue
            row = predict(path, describe(ModelRef(name, str(path))).subgraph, checked)
            right = (row["compiles"], row["nodes_delegated"]) == (told.compiled, told.gpu)
            kinds.setdefault(kind, []).append(right)
            nodes += told.total
            agreeing += told.total - min(told.total, abs(told.gpu - row["nodes_delegated"]))
            if not right:
                print(f"{name}: foretold {row['nodes_delegated']} of {told.total} nodes; {told.gpu}: {told.words}")
    for kind, found in kinds.items():
        print(f"{kind}: {sum(found)} of {len(found)} models exactly right")
    share = agreeing / nodes
    print(f"{agreeing} of {nodes} nodes")
    print(f"compatibility: {share:.3f} (goal >= {GOAL:g})")
    sys.exit(0 if share >= GOAL else 1)


def _models(folder: Path, quick: bool) -> Iterator[tuple[str, str, Path]]:
    """Kind, name and file of each model."""
    step = 10 if quick else 1
    made = [("probes", name, make()) for name, make in list(PROBES.items())[::step]]
    plain = sorted((ROOT / "models" / "gpu_ops").glob("*.plain.tflite"))[::step]
    made += [(MUTANTS, name, data) for path in plain for name, data in mutants(path)]
    for kind, name, data in made:
        path = folder / f"{name}.tflite"
        path.write_bytes(data)
        yield kind, name, path
    for kind, place in (("shared", SHARED), ("ours", ROOT / "models"), ("op suite", ROOT / "models" / "gpu_ops")):
        pattern = "*" if kind == "op suite" else "**/*"
        found = [path for path in sorted(place.glob(pattern)) if path.suffix in (".tflite", ".bin")]
        found = [path for path in found if path.stem not in MEMORY_BOMBS]
        if kind == "ours":
            found = [path for path in found if path.parent.name != "gpu_ops"]
        if quick:
            found = [path for path in found if path.stat().st_size < SMALL][::step]
        yield from ((kind, path.stem, path) for path in found)


if __name__ == "__main__":
    main()
