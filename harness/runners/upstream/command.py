"""benchmark_model's flags for a cell.

Only `--name=value` is understood (a blank instead of "=" is ignored without an error). What has a default that
differs between builds or platforms is always given: threads, XNNPACK, GPU precision. Flags that switch delegates on
come in the order in which these are to be applied.
"""

from __future__ import annotations

from collections.abc import Sequence

from harness.errors import UsageError
from harness.plan.cell import Delegate, Model, Runs, TensorSpec

OUTPUT_FLAG = "output_filepath"
_BACKENDS = {"auto": "", "opencl": "cl", "opengl": "gl"}
_LITERT_BACKENDS = {"auto": "", "opengl": "gl", "webgpu": "webgpu"}
_LITERT_PRECISIONS = {"default": "auto", "fp16": "fp16", "fp32": "fp32"}


def check(delegate: Delegate, runner: str, litert: bool) -> None:
    """Refuse what the program cannot do, rather than file something else under its name. Raises UsageError."""
    able = f"delegate '{delegate.name}': the runner {runner}"
    if delegate.accelerator == "npu":
        raise UsageError(f"{able} drives the CPU and the GPU, no NPU")
    kernels = ("xnnpack",) if litert else ("xnnpack", "builtin")
    partial = delegate.accelerator != "cpu" and delegate.fallback == "partial"
    if (delegate.accelerator == "cpu" or partial) and delegate.kernels not in kernels:
        raise UsageError(f"{able} knows the kernels {', '.join(kernels)}, not '{delegate.kernels}'")
    if delegate.accelerator == "cpu":
        return
    backends = _LITERT_BACKENDS if litert else _BACKENDS
    if delegate.backend not in backends:
        raise UsageError(f"{able} can be asked for the backends {', '.join(backends)}, not '{delegate.backend}'")
    if delegate.precision not in _LITERT_PRECISIONS:
        known = ", ".join(_LITERT_PRECISIONS)
        raise UsageError(f"{able} knows the precisions {known}, not '{delegate.precision}'")


def delegate_flags(delegate: Delegate, litert: bool) -> list[str]:
    """Flags that say what executes the model; for delegates that `check` lets pass."""
    flags = [f"--num_threads={delegate.threads}"]
    forbid = delegate.fallback == "forbid"
    if litert:
        return flags + _litert_flags(delegate, forbid)
    xnnpack = delegate.kernels == "xnnpack"
    if delegate.accelerator == "gpu":
        flags += ["--use_gpu=true", f"--gpu_precision_loss_allowed={_word(delegate.precision != 'fp32')}"]
        if _BACKENDS[delegate.backend]:
            flags.append(f"--gpu_backend={_BACKENDS[delegate.backend]}")
        if forbid:
            # Without XNNPACK nothing else may take what the GPU leaves, so that leftovers cannot be overlooked.
            xnnpack = False
            flags.append("--require_full_delegation=true")
    return [*flags, f"--use_xnnpack={_word(xnnpack)}"]


def _litert_flags(delegate: Delegate, forbid: bool) -> list[str]:
    if delegate.accelerator == "cpu":
        return ["--use_cpu=true", "--use_gpu=false"]
    # Full delegation and the CPU exclude one another there: asked for both, the program aborts.
    flags = ["--use_gpu=true", f"--use_cpu={_word(not forbid)}"]
    flags.append(f"--gpu-precision={_LITERT_PRECISIONS[delegate.precision]}")
    if _LITERT_BACKENDS[delegate.backend]:
        flags.append(f"--gpu_backend={_LITERT_BACKENDS[delegate.backend]}")
    return [*flags, "--require_full_delegation=true"] if forbid else flags


def timed_runs(runs: Runs) -> list[str]:
    """Flags of a run that is timed."""
    return [
        f"--warmup_runs={runs.warmup_count}",
        f"--warmup_min_secs={runs.warmup_min_seconds:g}",
        f"--num_runs={runs.count}",
        f"--min_secs={runs.min_seconds:g}",
        f"--max_secs={runs.max_seconds:g}",
    ]


def single_run(runs: Runs) -> list[str]:
    """Flags of a run for its outputs alone: one invocation, so that variable tensors have seen no other."""
    return [
        "--warmup_runs=0",
        "--warmup_min_secs=0",
        "--num_runs=1",
        "--min_secs=0",
        f"--max_secs={runs.max_seconds:g}",
    ]


def model_flags(model: Model, path: str) -> list[str]:
    """Flags that name the model; the signature only where there is a choice, since older builds have no such flag."""
    flags = [f"--graph={path}"]
    if model.signature is not None and len(model.signatures) > 1:
        flags.append(f"--signature_to_run_for={model.signature}")
    return flags


def input_flags(specs: Sequence[TensorSpec], paths: Sequence[str]) -> list[str]:
    """Flags that feed one file to each input.

    Args:
        specs: of the inputs, in the subgraph's order: the program assigns by position, whatever the names say.
        paths: one file each, without commas.

    Raises:
        UsageError: an input without dimensions, which the list of shapes has no way to write.
    """
    if not specs:
        return []
    scalar = next((spec for spec in specs if not spec.shape), None)
    if scalar is not None:
        words = f"input '{scalar.name or scalar.index}' has no dimensions, and benchmark_model cannot be given such one"
        raise UsageError(f"{words}; take the runner delegate_bench")
    names = layer_names(specs)
    shapes = (",".join(map(str, spec.shape)) for spec in specs)
    files = (f"{_escaped(name)}:{_escaped(path)}" for name, path in zip(names, paths, strict=True))
    return [
        f"--input_layer={','.join(names)}",
        f"--input_layer_shape={':'.join(shapes)}",
        f"--input_layer_value_files={','.join(files)}",
    ]


def layer_names(specs: Sequence[TensorSpec]) -> list[str]:
    """Names for the inputs: their own where these can be written on a command line, else made up."""
    own = [spec.name for spec in specs]
    plain = all(name and name.isprintable() and not set(name) & set(", ") for name in own)
    return own if plain and len(set(own)) == len(own) else [f"input{index}" for index in range(len(own))]


def _escaped(text: str) -> str:
    """As the source of the tool has it; the backslash that its help names is refused."""
    return text.replace(":", "::")


def _word(value: bool) -> str:
    return "true" if value else "false"
