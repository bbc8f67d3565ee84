"""What is not as it was in the baseline, and may be why cells changed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from harness.plan.row import CellRow, Matrix

_FACTS = ("android_version", "os", "os_version", "build", "fingerprint", "kernel")


def differences(before: Matrix, now: Matrix) -> list[str]:
    """One sentence for each delegate, model, device, runtime and program that both runs have and that differs."""
    return [
        *_delegates(before["delegates"], now["delegates"]),
        *_models(before, now),
        *_devices(before, now),
        *_changed("runtime", _runtimes(before["cells"]), _runtimes(now["cells"])),
        *_runners(before["cells"], now["cells"]),
        *_changed("harness", {before["run"]["harness_version"]}, {now["run"]["harness_version"]}),
    ]


def _delegates(before: Mapping[str, Mapping[str, Any]], now: Mapping[str, Mapping[str, Any]]) -> list[str]:
    found = []
    for name, entry in now.items():
        old = before.get(name)
        keys = [key for key in entry if old is not None and key != "name" and entry[key] != old.get(key)]
        told = [f"{key} {_text(entry[key])}, {_text((old or {}).get(key))} before" for key in keys]
        found += [f"delegate {name}: {'; '.join(told)}"] if told else []
    return found


def _text(value: object) -> str:
    if isinstance(value, (list, tuple)):
        return " ".join(map(str, value)) or "none"
    return "none" if value is None else str(value)


def _models(before: Matrix, now: Matrix) -> list[str]:
    old = {model["name"]: model["sha256"] for model in before["models"]}
    names = [model["name"] for model in now["models"] if old.get(model["name"], model["sha256"]) != model["sha256"]]
    return [f"model {name} is another file" for name in names]


def _devices(before: Matrix, now: Matrix) -> list[str]:
    old = {device["name"]: device for device in before["devices"]}
    found = []
    for device in now["devices"]:
        then = old.get(device["name"])
        if then is None:
            continue
        pairs = [("adapter", device["adapter"], then["adapter"])]
        pairs += [(key, device["facts"].get(key), then["facts"].get(key)) for key in _FACTS]
        told = [f"{key} {new}, {past} before" for key, new, past in pairs if new and past and new != past]
        found += [f"{device['name']}: {'; '.join(told)}"] if told else []
    return found


def _runtimes(rows: Iterable[CellRow]) -> set[str]:
    return {row["runtime"]["version"] for row in rows if row["runtime"] and row["runtime"]["version"]}


def _runners(before: Iterable[CellRow], now: Iterable[CellRow]) -> list[str]:
    """Programs whose builds differ altogether."""
    old, new = _builds(before), _builds(now)
    names = [name for name in new if name in old and not old[name] & new[name]]
    return [f"{name} is another build" for name in names]


def _builds(rows: Iterable[CellRow]) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for row in rows:
        if row["runner"] and row["runner"]["sha256"]:
            found.setdefault(row["runner"]["name"], set()).add(row["runner"]["sha256"])
    return found


def _changed(noun: str, before: set[str], now: set[str]) -> list[str]:
    if not before or not now or before == now:
        return []
    return [f"{noun} {', '.join(sorted(now))}; {', '.join(sorted(before))} before"]
