"""Does the bug of this bundle show here? Exit code 1: it shows; 0: it does not; 2: it could not be tried.

    python reproduce.py
        on this computer; needs the Python package ai-edge-litert
    python reproduce.py --delegate-bench FILE [--runtime FOLDER]
        the same with the program delegate_bench, which takes types that the Python package refuses (int16, int64)
    python reproduce.py --android [--serial S] --delegate-bench FILE --runtime FOLDER
        on a phone; needs adb, and both for the phone's processor

FOLDER holds LiteRT's libraries: libLiteRt.so and the GPU accelerator's. Which Vulkan driver a computer uses is said
by the environment variable VK_ICD_FILENAMES. This file uses nothing but its own folder and the standard library.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import math
import os
import re
import shutil
import struct
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

SHOWS, SHOWS_NOT, NOT_TRIED = 1, 0, 2
SIDES = ("reference", "device")
_SECONDS = 300
_TYPES = "bool int8 uint8 int16 uint16 int32 uint32 int64 uint64 float16 float32 float64"
_FORMATS = dict(zip(_TYPES.split(), "?bBhHiIqQefd", strict=True))
_TROUBLE = "trouble.txt"
_PHONE = "/data/local/tmp"
_ADAPTER = re.compile(r"Selected adapter: ([^\n]*)")
_NO_NODE = "No operations will run on the GPU"


class Trouble(Exception):
    """It could not be tried, in words."""


class Crash(Exception):
    """A side's process was killed by a signal."""


class Difference(NamedTuple):
    """How far an output is off.

    Attributes:
        max_abs: largest difference where both are finite.
        of_range: that, of the range of the reference's finite values (where that is 0, of the largest of them, else as
            it is); infinite where only one side is finite.
        wrong: elements that differ by more than a thousandth of the range.
        first: position of the first of them in the flat tensor; None without one.
    """

    max_abs: float
    of_range: float
    wrong: int
    first: int | None


def numbers(data: bytes, dtype: str) -> list[float]:
    """A raw little-endian tensor as numbers. Raises Trouble for a type that holds none."""
    if dtype == "bfloat16":
        words = struct.unpack(f"<{len(data) // 2}H", data)
        return list(struct.unpack(f"<{len(words)}f", struct.pack(f"<{len(words)}I", *(word << 16 for word in words))))
    if dtype not in _FORMATS:
        raise Trouble(f"outputs of type {dtype} cannot be compared")
    size = struct.calcsize(_FORMATS[dtype])
    return list(struct.unpack(f"<{len(data) // size}{_FORMATS[dtype]}", data))


def difference(reference: list[float], measured: list[float]) -> Difference:
    """How far `measured` is off; both flat, of equal length."""
    if len(reference) != len(measured):
        raise Trouble(f"{len(measured)} elements came back; {len(reference)} were expected")
    finite = [value for value in reference if math.isfinite(value)]
    span = (max(finite) - min(finite) or max(map(abs, finite)) if finite else 0.0) or 1.0
    largest, spoilt, wrong, first = 0.0, False, 0, None
    for position, (right, found) in enumerate(zip(reference, measured, strict=True)):
        if found == right or (math.isnan(found) and math.isnan(right)):
            continue
        off = abs(found - right) if math.isfinite(found) and math.isfinite(right) else math.inf
        spoilt = spoilt or math.isinf(off)
        largest = max(largest, 0.0 if math.isinf(off) else off)
        if off > span / 1000:
            wrong += 1
            first = position if first is None else first
    return Difference(largest, math.inf if spoilt else largest / span, wrong, first)


def main(arguments: list[str] | None = None) -> int:
    """The whole program."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--delegate-bench", type=Path, metavar="FILE")
    parser.add_argument("--runtime", type=Path, metavar="FOLDER")
    parser.add_argument("--android", action="store_true")
    parser.add_argument("--serial", metavar="S")
    parser.add_argument("--side", choices=SIDES, help=argparse.SUPPRESS)  # a child process of this very program
    parser.add_argument("--into", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    here = Path(__file__).resolve().parent
    try:
        manifest = json.loads((here / "manifest.json").read_text(encoding="utf-8"))
        if options.side:
            try:
                return _python_side(here, manifest, options.side, options.into)
            except Exception as error:  # whatever the runtime raises; what it prints meanwhile would hide the words
                (options.into / _TROUBLE).write_text(str(error) or type(error).__name__, encoding="utf-8")
                return NOT_TRIED
        with tempfile.TemporaryDirectory(prefix="reproduce-") as place:
            return _judge(here, manifest, options, Path(place))
    except (Trouble, OSError, ValueError, KeyError) as error:
        _say(f"cannot be tried: {f'the bundle lacks {error}' if isinstance(error, KeyError) else error}")
        return NOT_TRIED


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def _judge(here: Path, manifest: dict[str, Any], options: argparse.Namespace, place: Path) -> int:
    """Run both sides, show how they differ, and say whether that is the bug."""
    _say(manifest["title"])
    answers: dict[str, list[bytes]] = {}
    for side in SIDES:
        (place / side).mkdir()
        try:
            answers[side] = _answers(here, manifest, options, side, place / side)
        except Crash as crash:
            if side == "reference":
                raise Trouble(f"the reference side crashed: {crash}") from None
            _say(f"the device's side crashed: {crash}")
            _say("the bug shows" if manifest["crash"] else "the bug shows, as a crash instead of a wrong answer")
            return SHOWS
    if manifest["crash"]:
        _say("no crash here: the bug does not show")
    _say(f"{'output':<8}{'type':<10}{'range':>12}{'max abs':>12}{'of range':>12}{'wrong':>16}  first wrong")
    worst = 0.0
    for output, reference, measured in zip(manifest["outputs"], *answers.values(), strict=True):
        right = numbers(reference, output["dtype"])
        found = difference(right, numbers(measured, output["dtype"]))
        finite = [value for value in right if math.isfinite(value)] or [0.0]
        share = f"{found.wrong}/{len(right)}"
        first = "" if found.first is None else str(found.first)
        _say(
            f"{output['index']:<8}{output['dtype']:<10}{max(finite) - min(finite):>12.4g}{found.max_abs:>12.4g}"
            f"{found.of_range:>12.3g}{share:>16}  {first}"
        )
        worst = max(worst, found.of_range)
    limit = manifest["limit"]
    shows = worst > limit
    made = manifest["max_abs_of_range"]
    _say(f"limit {limit:.3g} of the range; when this bundle was made: {'a crash' if made is None else f'{made:.3g}'}")
    _say("the bug shows" if shows else "the bug does not show")
    return SHOWS if shows else SHOWS_NOT


def _answers(here: Path, manifest: dict[str, Any], options: argparse.Namespace, side: str, place: Path) -> list[bytes]:
    """Outputs of a side."""
    if options.android:
        return _on_phone(here, manifest, options, side, place)
    if options.delegate_bench:
        return _by_program(here, manifest, options, side, place)
    command = [sys.executable, str(Path(__file__).resolve()), "--side", side, "--into", str(place)]
    done = _run(command)
    if done.returncode < 0:
        raise Crash(f"killed by signal {-done.returncode}")
    trouble = place / _TROUBLE
    if done.returncode != 0 or trouble.is_file():
        words = trouble.read_text(encoding="utf-8") if trouble.is_file() else f"exit code {done.returncode}"
        raise Trouble(f"the {side} side: {words}")
    _show_log(done.stdout + done.stderr, side)
    return [(place / f"o{output['index']}.bin").read_bytes() for output in manifest["outputs"]]


def _show_log(log: str, side: str) -> None:
    """What the accelerator said of itself. Raises Trouble if nothing ran on it."""
    if side != "device":
        return
    for adapter in dict.fromkeys(_ADAPTER.findall(log)):
        _say(f"adapter: {adapter}")
    if _NO_NODE in log:
        raise Trouble("the accelerator takes no operation of this model here: everything ran on the CPU")


def _run(command: list[str]) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        raise Trouble(f"{command[0]} did not end within {_SECONDS} s") from None


def _python_side(here: Path, manifest: dict[str, Any], side: str, into: Path) -> int:
    """In a child process: one side with the Python package, outputs as files."""
    try:
        import numpy as np
        from ai_edge_litert.compiled_model import CompiledModel
        from ai_edge_litert.gpu_options import GpuOptions
        from ai_edge_litert.hardware_accelerator import HardwareAccelerator
        from ai_edge_litert.interpreter import Interpreter, OpResolverType
        from ai_edge_litert.options import Options
    except ImportError as error:
        raise Trouble(f"{error}: pip install ai-edge-litert=={manifest['runtime']['version'] or 'VERSION'}") from None
    model = str(here / "model.tflite")
    inputs = [
        np.fromfile(here / entry["file"], dtype=entry["dtype"]).reshape(entry["shape"]) for entry in manifest["inputs"]
    ]
    wanted = manifest["sides"][side]
    if wanted["accelerator"] == "cpu":
        kernels = OpResolverType.BUILTIN_REF if wanted["kernels"] == "reference" else OpResolverType.AUTO
        interpreter = Interpreter(model, num_threads=wanted["threads"], experimental_op_resolver_type=kernels)
        interpreter.allocate_tensors()
        for detail, value in zip(interpreter.get_input_details(), inputs, strict=True):
            interpreter.set_tensor(detail["index"], value)
        interpreter.invoke()
        found = [interpreter.get_tensor(detail["index"]) for detail in interpreter.get_output_details()]
    else:
        accelerator = HardwareAccelerator.GPU
        if wanted["fallback"] == "partial":
            accelerator |= HardwareAccelerator.CPU
        if wanted["precision"] not in ("default", "fp16", "fp32"):
            raise Trouble(f"precision {wanted['precision']} needs --delegate-bench FILE")
        gpu = GpuOptions(enforce_f32=wanted["precision"] == "fp32")
        compiled = CompiledModel.from_file(model, options=Options(hardware_accelerators=accelerator, gpu_options=gpu))
        given, got = compiled.create_input_buffers(0), compiled.create_output_buffers(0)
        try:
            for buffer, value in zip(given, inputs, strict=True):
                buffer.write(value)
            compiled.run_by_index(0, given, got)
            found = [
                buffer.read(math.prod(output["shape"]), np.dtype(output["dtype"]))
                for buffer, output in zip(got, manifest["outputs"], strict=True)
            ]
        except ValueError as error:
            raise Trouble(f"{error}: the Python package cannot hold it; use --delegate-bench FILE") from None
    for output, value in zip(manifest["outputs"], found, strict=True):
        (into / f"o{output['index']}.bin").write_bytes(np.ascontiguousarray(value).tobytes())
    return 0


def _arguments(manifest: dict[str, Any], side: str) -> list[str]:
    """delegate_bench's options for a side, but for its files."""
    wanted = manifest["sides"][side]
    accelerator = wanted["accelerator"]
    if accelerator != "cpu" and wanted["fallback"] == "partial":
        accelerator += ",cpu"
    found = ["--run-id", side, "--accelerator", accelerator, "--threads", str(wanted["threads"])]
    found += ["--kernels", wanted["kernels"], "--warmup", "0", "--runs", "1"]
    if wanted["accelerator"] != "cpu":
        found += ["--precision", wanted["precision"], "--backend", wanted["backend"]]
    return found


def _by_program(
    here: Path, manifest: dict[str, Any], options: argparse.Namespace, side: str, place: Path
) -> list[bytes]:
    """Outputs of a side, by delegate_bench on this computer."""
    folder = options.runtime or _installed_runtime()
    library = next((path for path in sorted(folder.glob("libLiteRt.*")) if path.suffix in (".so", ".dylib")), None)
    if library is None:
        raise Trouble(f"{folder} holds no libLiteRt.so")
    command = [str(options.delegate_bench), "--lib", str(library), "--accel-dir", str(folder)]
    command += ["--model", str(here / "model.tflite"), "--out", str(place), *_arguments(manifest, side)]
    for entry in manifest["inputs"]:
        command += ["--input", str(here / entry["file"])]
    _run(command)
    return _recorded(manifest, side, place)


def _installed_runtime() -> Path:
    found = importlib.util.find_spec("ai_edge_litert")
    if found is None or not found.submodule_search_locations:
        raise Trouble("name the folder of LiteRT's libraries: --runtime FOLDER")
    return Path(found.submodule_search_locations[0])


def _recorded(manifest: dict[str, Any], side: str, place: Path) -> list[bytes]:
    """Outputs that delegate_bench wrote."""
    path = place / "result.json"
    if not path.is_file():
        raise Trouble(f"delegate_bench left no result for the {side} side")
    record = json.loads(path.read_text(encoding="utf-8"))
    if record["status"] != "ok":
        error = record["error"]
        if error["kind"] == "crash":
            raise Crash(str(error["message"]))
        raise Trouble(f"the {side} side: {error['kind']}: {error['message']}")
    if side == "device" and record.get("adapter"):
        _say(f"adapter: {record['adapter']}")
    _show_log(str(record.get("stderr_tail", "")).replace("Selected adapter", ""), side)
    files = {entry["index"]: entry["file"] for entry in record["outputs"]}
    return [(place / Path(files[output["index"]]).name).read_bytes() for output in manifest["outputs"]]


def _on_phone(here: Path, manifest: dict[str, Any], options: argparse.Namespace, side: str, place: Path) -> list[bytes]:
    """Outputs of a side, by delegate_bench on a phone."""
    if options.delegate_bench is None or options.runtime is None:
        raise Trouble("--android needs --delegate-bench FILE and --runtime FOLDER, both for the phone's processor")
    adb = shutil.which("adb")
    if adb is None:
        raise Trouble("there is no adb in PATH")
    if not options.delegate_bench.is_file():
        raise Trouble(f"{options.delegate_bench} is no file")
    libraries = sorted(options.runtime.glob("libLiteRt*.so"))
    if not any(path.name == "libLiteRt.so" for path in libraries):
        raise Trouble(f"{options.runtime} holds no libLiteRt.so")
    device = [adb, *(("-s", options.serial) if options.serial else ())]
    folder = f"{_PHONE}/reproduce-{os.getpid()}-{side}"
    names = [entry["file"] for entry in manifest["inputs"]]
    sources = [options.delegate_bench, *libraries, here / "model.tflite"]
    words = ["cd", folder, "&&", "chmod 755 delegate_bench", "&&", "LD_LIBRARY_PATH=.", "./delegate_bench"]
    words += ["--lib ./libLiteRt.so --accel-dir . --model model.tflite --out out", *_arguments(manifest, side)]
    words += [f"--input {Path(name).name}" for name in names]
    try:
        _adb([*device, "shell", f"mkdir -p {folder}"])
        for source in [*sources, *(here / name for name in names)]:
            name = "delegate_bench" if source == options.delegate_bench else source.name
            _adb([*device, "push", str(source), f"{folder}/{name}"])
        ran = _run([*device, "shell", " ".join(words)])
        _run([*device, "pull", f"{folder}/out/.", str(place)])
        if not (place / "result.json").is_file():
            raise Trouble(f"delegate_bench left no result on the phone: {(ran.stdout + ran.stderr).strip()[-400:]}")
    finally:
        _run([*device, "shell", f"rm -rf {folder}"])
    return _recorded(manifest, side, place)


def _adb(command: list[str]) -> None:
    done = _run(command)
    if done.returncode != 0:
        words = (done.stderr or done.stdout).strip() or f"{' '.join(command)}: exit code {done.returncode}"
        raise Trouble(f"{words}{'; choose one: --serial S' if 'more than one' in words else ''}")


if __name__ == "__main__":
    sys.exit(main())
