"""From a suite and the devices of a lab to cells."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Sequence
from fnmatch import fnmatchcase
from typing import Protocol, TypeVar

from harness.errors import UsageError
from harness.plan.cell import Cell, cell_id
from harness.plan.suite import Suite
from harness.yamlfile import suggest

SAME_DEVICE_CPU = "same_device_cpu"


class LabDevice(Protocol):
    """What a plan has to know about a device."""

    @property
    def name(self) -> str:
        """Unique in the lab."""

    @property
    def labels(self) -> tuple[str, ...]:
        """What suites select it by."""


D = TypeVar("D", bound=LabDevice)


def selected_devices(suite: Suite, devices: Sequence[D]) -> list[D]:
    """The devices that a suite is for: with all of its labels, and one of its names if it gives any."""
    labels, names = suite.devices.labels, suite.devices.names
    return [
        device
        for device in devices
        if set(labels) <= set(device.labels) and (not names or any(fnmatchcase(device.name, name) for name in names))
    ]


def expand(suite: Suite, devices: Sequence[LabDevice]) -> list[Cell]:
    """Every cell of a suite: device by device, model by model, delegate by delegate, in the orders of the files.

    A device so finishes a model, on all delegates, before it takes the next one; what does not differ between cells
    is shared by reference.

    Args:
        suite: what to run.
        devices: all devices of the lab, wildcards resolved.

    Raises:
        UsageError: if the suite is for none of the devices, or its reference device is not among them.
    """
    known = [device.name for device in devices]
    reference = suite.policy.reference
    if suite.policy.reference_delegate is not None and reference not in (SAME_DEVICE_CPU, *known):
        hint = suggest(reference, ["golden", SAME_DEVICE_CPU, *known], "known here")
        raise UsageError(f"{suite.origins['reference']}: reference: no device called '{reference}'{hint}")
    selected = selected_devices(suite, devices)
    if not selected:
        have = "; ".join(f"{device.name} [{', '.join(device.labels)}]" for device in devices) or "none"
        raise UsageError(
            f"{suite.origins['devices']}: devices: no device of the lab has {_wanted(suite)}; there are: {have}"
        )
    return [
        Cell(suite.name, device.name, part.model, part.delegate, suite.policy, part.gates)
        for device in selected
        for part in suite.combinations
    ]


def add_partners(selected: Collection[Cell], all_cells: Sequence[Cell]) -> list[Cell]:
    """The helper cells that selected cells cannot be judged without, in the order of `all_cells`.

    These are the partners of speed-up gates and the cells whose outputs are the reference. A helper is asked for no
    speed-up itself. A reference device may be one that the suite is not for; its helpers come last.

    Args:
        selected: cells that are to be judged.
        all_cells: every cell that was planned, of all suites; has the selected ones.
    """
    by_id = {cell.id: cell for cell in all_cells}
    like = {(cell.suite, cell.model.name, cell.delegate.name): cell for cell in all_cells}
    have = {cell.id for cell in selected}
    helpers: dict[str, Cell] = {}
    waiting = list(selected)
    while waiting:
        cell = waiting.pop()
        for device, delegate in _needs(cell):
            wanted = cell_id(cell.suite, cell.model.name, device, delegate)
            if wanted in have:
                continue
            have.add(wanted)
            found = by_id.get(wanted) or dataclasses.replace(like[cell.suite, cell.model.name, delegate], device=device)
            gates = tuple(rule for rule in found.gates if not rule.partners)
            helpers[wanted] = dataclasses.replace(found, role="helper", gates=gates)
            waiting.append(helpers[wanted])
    planned = [helpers.pop(cell.id) for cell in all_cells if cell.id in helpers]
    return planned + list(helpers.values())


def _needs(cell: Cell) -> list[tuple[str, str]]:
    """Device and delegate of each cell of the same model that this one is compared with."""
    needs = [(cell.device, partner) for rule in cell.gates for partner in rule.partners]
    policy = cell.policy
    if policy.reference_delegate is not None:
        device = cell.device if policy.reference == SAME_DEVICE_CPU else policy.reference
        needs.append((device, policy.reference_delegate))
    return needs


def _wanted(suite: Suite) -> str:
    parts = []
    if suite.devices.labels:
        parts.append(f"the labels {', '.join(suite.devices.labels)}")
    if suite.devices.names:
        parts.append(f"a name like {' or '.join(suite.devices.names)}")
    return " and ".join(parts) or "a name"
