"""The two ways of running a model that are compared on one device."""

from __future__ import annotations

from dataclasses import dataclass, replace

from harness.plan.cell import Delegate

_KERNELS = {"xnnpack": "XNNPACK", "reference": "reference kernels"}


@dataclass(frozen=True)
class Sides:
    """The delegate that is doubted, and what it is held against, on one and the same device."""

    device: Delegate
    reference: Delegate

    @property
    def words(self) -> str:
        """What the reference side is."""
        return f"the same device's CPU, {_KERNELS[self.reference.kernels]}"


def sides_of(delegate: Delegate) -> Sides:
    """A cell's own delegate, and the CPU to compare it with: XNNPACK; for a cell of the CPU the reference kernels."""
    kernels = "reference" if delegate.accelerator == "cpu" else "xnnpack"
    reference = Delegate(
        name="reference",
        kernels=kernels,
        runtime=delegate.runtime,
        runner=delegate.runner,
        context=delegate.context,
    )
    return Sides(replace(delegate, name="device", start="warm"), reference)
