"""Where the nodes of a model ran, from what benchmark_model tells.

The file of `--export_model_runtime_info` is the truth where the build writes one: it lists the graph after delegates
were applied. Else the tool's verdict line counts, with the numbers of nodes that the runtime's own lines name.
A GPU cell without either was not proven to run on the GPU, and is no measurement.
"""

from __future__ import annotations

import re

from harness.plan.cell import Delegate, ErrorClass, Model, Outcome, Problem
from harness.plan.result import Delegation
from harness.runners.problems import operations
from harness.runners.upstream.log import Log, Replaced, Verdict
from harness.runners.upstream.proto import RuntimeInfo

# Names that GPU kernels have: TFLite's delegates, and those of LiteRT's backends.
_GPU_KERNEL = re.compile(r"^(TfLiteGpuDelegate\w*|TfLiteMetalDelegate|LITERT_(CL|OPENGL|WEBGPU|METAL|VULKAN)\w*)$")
_XNNPACK_KERNEL = "TfLiteXNNPackDelegate"
_BACKENDS = {
    "LITERT_CL": "OpenCL",
    "LITERT_METAL": "Metal",
    "LITERT_OPENGL": "OpenGL",
    "LITERT_VULKAN": "Vulkan",
    "LITERT_WEBGPU": "WebGPU",
}
_WANTED = {"metal": "Metal", "opencl": "OpenCL", "opengl": "OpenGL", "webgpu": "WebGPU"}


def delegation(delegate: Delegate, model: Model, log: Log, info: RuntimeInfo | None) -> Delegation | Problem:
    """Where a run's nodes ran; a problem for a GPU cell that did not run on the GPU as it was asked to.

    Args:
        delegate: what was asked for.
        model: for the number of its nodes.
        log: of the run.
        info: the graph after delegates were applied, if the program wrote it.
    """
    if delegate.accelerator == "cpu":
        nodes = model.nodes or None
        return Delegation(nodes, nodes, None, False, evidence=cpu_evidence(log, info))
    found = _from_info(info, log) if info is not None else _from_log(model, log)
    if found is None:
        words = "benchmark_model does not say whether the GPU or the CPU executed the model"
        return Problem(Outcome.ERROR, words, ErrorClass.RUNNER, "delegation_unknown")
    backend = _backend(log, info)
    wanted = _WANTED.get(delegate.backend)
    if backend is not None and wanted is not None and backend != wanted:
        words = f"{wanted} was asked for and {backend} was used"
        return Problem(Outcome.UNSUPPORTED, words, kind="backend", unsupported_ops=found.unsupported_ops)
    return _judged(found, delegate)


def cpu_evidence(log: Log, info: RuntimeInfo | None) -> str:
    """What is known about the kernels that a CPU run used."""
    if (verdict := log.verdicts.get("XNNPACK")) is not None:
        return verdict.words
    if info is not None:
        names = sorted({node.delegate for node in info.delegates})
        return f"the graph after delegation: {', '.join(names) if names else 'no delegate'}"
    return "no accelerator was asked for"


def kernels_note(delegate: Delegate, log: Log, info: RuntimeInfo | None) -> str | None:
    """What a reader should know of a CPU cell whose XNNPACK kernels did not take the whole graph."""
    if delegate.accelerator != "cpu" or delegate.kernels != "xnnpack":
        return None
    verdict = log.verdicts.get("XNNPACK")
    if info is not None:
        taken = sum(node.replaced for node in info.delegates if node.delegate.startswith(_XNNPACK_KERNEL))
        none, whole = taken == 0, taken == info.nodes
    elif verdict is not None:
        none, whole = verdict.kernels == 0, verdict.whole
    else:
        return "the log does not say whether XNNPACK or the built-in kernels ran"
    if none:
        return "XNNPACK took no part of the graph: the built-in kernels ran it"
    return None if whole else "XNNPACK took a part of the graph; the built-in kernels ran the rest"


def _judged(found: Delegation, delegate: Delegate) -> Delegation | Problem:
    refused = operations(found.unsupported_ops)
    names = refused or "its log does not say which"
    if found.nodes_delegated == 0:
        why = f"it does not take {refused}" if refused else "its log does not say why"
        reason = f"no operation of the model ran on the GPU; {why}"
        return Problem(Outcome.UNSUPPORTED, reason, kind="no_node_delegated", unsupported_ops=found.unsupported_ops)
    if found.fallback and delegate.fallback == "forbid":
        total, on_gpu = found.nodes_total, found.nodes_delegated
        part = "a part of the model" if total is None or on_gpu is None else f"{total - on_gpu} of {total} operations"
        reason = f"{part} ran on the CPU, which `fallback: forbid` rules out: {names}"
        return Problem(Outcome.UNSUPPORTED, reason, kind="not_fully_accelerated", unsupported_ops=found.unsupported_ops)
    return found


def _from_info(info: RuntimeInfo, log: Log) -> Delegation:
    kernels = [node for node in info.delegates if _GPU_KERNEL.match(node.delegate)]
    on_gpu = sum(node.replaced for node in kernels)
    evidence = f"the graph after delegation: {on_gpu} of {info.nodes} nodes in {len(kernels)} GPU kernels"
    return Delegation(
        info.nodes, on_gpu, len(kernels), on_gpu < info.nodes, tuple(log.refused), evidence + _named(log, info)
    )


def _from_log(model: Model, log: Log) -> Delegation | None:
    verdict = log.verdicts.get("GPU")
    replaced = _replaced(model, log)
    if verdict is None and (replaced is None or log.restored):
        return None  # the runtime names the nodes before it knows that the delegate can take them
    refused = tuple(log.refused)
    total, on_gpu = _counts(model, log)
    words = verdict.words if verdict is not None else f"{on_gpu} of {total} nodes replaced by {_kernel(log)}"
    evidence = words + _named(log, None)
    if verdict is None:
        whole = total is not None and on_gpu == total
        return Delegation(total, on_gpu, None, not whole, refused, evidence)
    return _by_verdict(verdict, total, on_gpu, refused, evidence)


def _by_verdict(
    verdict: Verdict, total: int | None, on_gpu: int | None, refused: tuple[str, ...], evidence: str
) -> Delegation:
    if verdict.whole:
        return Delegation(total, total, 1, False, refused, evidence)
    if verdict.kernels == 0:
        return Delegation(total, 0, 0, True, refused, evidence)
    return Delegation(total, on_gpu, verdict.kernels, True, refused, evidence)


def _counts(model: Model, log: Log) -> tuple[int | None, int | None]:
    """Nodes of the graph and nodes on the GPU, as the runtime's lines name them; else the file's own number."""
    if (replaced := _replaced(model, log)) is not None:
        return replaced.total, replaced.nodes
    # The accelerator's own count does not say of which subgraph it is; the first one comes first, if at all.
    if log.split is not None and model.subgraph == 0 and sum(log.split) == (model.nodes or sum(log.split)):
        return sum(log.split), log.split[0]
    return model.nodes or None, None


def _replaced(model: Model, log: Log) -> Replaced | None:
    """The runtime's line about what the GPU takes of the subgraph that is run."""
    of_model = (one for one in log.replaced if one.subgraph == model.subgraph)
    return next((one for one in of_model if _GPU_KERNEL.match(one.kernel)), None)


def _kernel(log: Log) -> str:
    return next((one.kernel for one in log.replaced if _GPU_KERNEL.match(one.kernel)), "")


def _backend(log: Log, info: RuntimeInfo | None) -> str | None:
    """The GPU interface that was really used, where the log names it."""
    kernels = [node.delegate for node in info.delegates] if info is not None else []
    named = next((_BACKENDS[name] for name in (*kernels, _kernel(log)) if name in _BACKENDS), None)
    return named or log.backend


def _named(log: Log, info: RuntimeInfo | None) -> str:
    backend = _backend(log, info)
    after = ", after OpenCL had failed" if log.fell_back and backend == "OpenGL" else ""
    return f"; through {backend}{after}" if backend else ""
