"""The draft of a bug report, out of a bundle's manifest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from harness.localise.task import Array, Located

_SHOWN = 8


def bug_report(manifest: Mapping[str, Any], found: Located) -> str:
    """Markdown: what happens, where, expected and actual numbers, how to see it.

    Args:
        manifest: of the bundle.
        found: what it was made from.
    """
    parts = [
        f"# {manifest['title']}",
        "A draft, made by delegate-harness. Read it, and say what you saw yourself, before you send it.",
        "## What happens",
        manifest["words"],
        _operation(manifest),
        "## Versions",
        _table(("what", "value"), _versions(manifest)),
        "## Expected and actual",
        _outputs(manifest, found),
        "## Reproduce",
        _how(manifest),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


_HOW = """Unpack the zip file. `model.tflite` is the part of the model around the fault, with its own weights.
`inputs/` holds the values that the CPU computed up to there. Then:

```
pip install {package}
python reproduce.py
```

It exits with 1 if the bug shows, 0 if it does not, 2 if it could not be tried. `python reproduce.py --help` says how
to try it with the program delegate_bench, and on an Android phone."""

_PHONE = """

It was seen on a phone. To try it there: `python reproduce.py --android --delegate-bench FILE --runtime FOLDER`, with
adb, and with the program and LiteRT's libraries for the phone's processor."""


def _how(manifest: Mapping[str, Any]) -> str:
    version = manifest["runtime"]["version"]
    how = _HOW.format(package=f"ai-edge-litert=={version}" if version else "ai-edge-litert")
    return how + (_PHONE if manifest["device"]["kind"] == "android" else "")


def _operation(manifest: Mapping[str, Any]) -> str:
    op = manifest["op"]
    if op is None:
        return ""
    shapes = " and ".join(str(shape) for shape in op["inputs"])
    return (
        f"The operation is {op['type']} (version {op['version']}), number {op['index']} of the model "
        f"`{manifest['model']['name']}` (SHA-256 {manifest['model']['sha256']}). "
        f"Its inputs have the shapes {shapes}, its outputs {' and '.join(str(shape) for shape in op['outputs'])}."
    )


def _versions(manifest: Mapping[str, Any]) -> list[tuple[str, str]]:
    device = manifest["device"]
    facts = ", ".join(
        f"Android {value}" if key == "android_version" else str(value)
        for key, value in device.items()
        if key not in ("kind", "emulated")
    )
    marks = " (emulated)" if device.get("emulated") else ""
    adapter = f"{manifest['adapter'] or 'not named'}{' (software)' if manifest['adapter_software'] else ''}"
    return [
        ("LiteRT", f"{manifest['runtime']['version']} (library SHA-256 {manifest['runtime']['sha256']})"),
        ("device", f"{device['kind']}{marks}: {facts}"),
        ("GPU adapter", adapter),
        ("device's side", _side(manifest["sides"]["device"])),
        ("reference side", _side(manifest["sides"]["reference"])),
        ("runner", f"{manifest['runner']['name']} {manifest['runner']['version']}"),
        ("command", f"`{manifest['runner']['command']}`"),
    ]


def _side(side: Mapping[str, Any]) -> str:
    if side["accelerator"] == "cpu":
        return f"CPU, {side['kernels']}, {side['threads']} thread(s)"
    return f"{side['accelerator'].upper()}, precision {side['precision']}, backend {side['backend']}"


def _outputs(manifest: Mapping[str, Any], found: Located) -> str:
    if manifest["crash"]:
        return "The CPU gives an answer. The device's side does not: its process dies."
    off = manifest["max_abs_of_range"]
    lines = [f"The largest difference is {off:.3g} of the range of the CPU's answer."]
    pairs = zip(manifest["outputs"], found.reference_outputs, found.device_outputs, strict=True)
    for output, reference, measured in pairs:
        start = _first_wrong(reference, measured)
        lines.append(f"Output {output['index']}, {output['dtype']} {output['shape']}, from flat position {start}:")
        rows = [("expected", _values(reference, start)), ("actual", _values(measured, start))]
        lines.append(_table(("", "values"), rows))
    return "\n\n".join(lines)


def _first_wrong(reference: Array, measured: Array) -> int:
    """Where the largest differences begin to matter: the first element off by more than a thousandth of the range."""
    right, wrong = reference.reshape(-1).tolist(), measured.reshape(-1).tolist()
    finite = [value for value in right if value - value == 0]
    allowed = (max(finite) - min(finite)) / 1000 if finite else 0.0
    return next((i for i, (a, b) in enumerate(zip(right, wrong, strict=False)) if not abs(a - b) <= allowed), 0)


def _values(array: Array, start: int) -> str:
    return ", ".join(f"{value:.6g}" for value in array.reshape(-1)[start : start + _SHOWN].tolist())


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [f"| {' | '.join(head)} |", f"|{'---|' * len(head)}"]
    return "\n".join([*lines, *(f"| {' | '.join(row)} |" for row in rows)])
