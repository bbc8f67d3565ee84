"""Runs models, in a process of its own because a model can end it: `python child.py INPUTS.npz OUTPUTS.npz [PATH ...]`.

INPUTS has an array "KERNELS/POSITION/SAMPLE/INPUT" per model (by its position among the paths), sample and input.
OUTPUTS gets "KERNELS/POSITION/SAMPLE/OUTPUT" likewise, and a text "KERNELS/POSITION/error" where a runtime refused.
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
from ai_edge_litert.compiled_model import CompiledModel, GpuOptions, HardwareAccelerator, Options
from ai_edge_litert.interpreter import Interpreter, OpResolverType

RESOLVERS = {"xnnpack": OpResolverType.BUILTIN, "ref": OpResolverType.BUILTIN_REF}


def interpret(path: str, kernels: str, samples: list[list[Any]]) -> list[list[Any]]:
    interpreter = Interpreter(path, num_threads=1, experimental_op_resolver_type=RESOLVERS[kernels])
    interpreter.allocate_tensors()
    outputs = []
    for inputs in samples:
        for detail, value in zip(interpreter.get_input_details(), inputs, strict=True):
            interpreter.set_tensor(detail["index"], value)
        interpreter.invoke()
        outputs.append([interpreter.get_tensor(detail["index"]) for detail in interpreter.get_output_details()])
    return outputs


def accelerate(path: str, samples: list[list[Any]]) -> list[list[Any]]:
    options = Options(hardware_accelerators=HardwareAccelerator.GPU, gpu_options=GpuOptions(enforce_f32=True))
    model = CompiledModel.from_file(path, options=options)
    details = Interpreter(path).get_output_details()
    inputs, outputs = model.create_input_buffers(0), model.create_output_buffers(0)
    results = []
    for values in samples:
        for buffer, value in zip(inputs, values, strict=True):
            buffer.write(value)
        model.run_by_index(0, inputs, outputs)
        results.append(
            [
                buffer.read(int(np.prod(detail["shape"])), detail["dtype"]).reshape(detail["shape"])
                for buffer, detail in zip(outputs, details, strict=True)
            ]
        )
    return results


def main(inputs_file: str, outputs_file: str, *paths: str) -> None:
    given: dict[str, dict[int, list[Any]]] = {}
    with np.load(inputs_file) as arrays:
        for key in arrays.files:
            model, sample, _ = key.rsplit("/", 2)
            given.setdefault(model, {}).setdefault(int(sample), []).append(arrays[key])
    results: dict[str, Any] = {}
    for model, samples in given.items():
        kernels, position = model.split("/")
        values = [samples[sample] for sample in sorted(samples)]
        try:
            path = paths[int(position)]
            found = accelerate(path, values) if kernels == "gpu" else interpret(path, kernels, values)
        except (RuntimeError, ValueError) as problem:
            results[f"{model}/error"] = np.array(str(problem))
            continue
        for sample, outputs in enumerate(found):
            results.update({f"{model}/{sample}/{index}": value for index, value in enumerate(outputs)})
    np.savez(outputs_file, **results)


if __name__ == "__main__":
    main(*sys.argv[1:])
