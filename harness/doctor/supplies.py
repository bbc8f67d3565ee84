"""What a device is given to measure with: a runner, a runtime, and room for them."""

from __future__ import annotations

import re

from harness.devices.local import host_target
from harness.doctor.findings import Finding, missing, note, ok
from harness.errors import UsageError
from harness.lab.inventory import Inventory
from harness.lab.spec import OWN_RUNNER, abi_of
from harness.runners.binaries import AUTO, UPSTREAM, Binaries, choose
from harness.runners.fetched import COMMAND
from harness.runners.runtimes import Runtimes

_ACCELERATOR = re.compile(r"libLiteRt\w*Accelerator\.")
_ENOUGH = 300 << 20
"""Bytes: runner and runtime take some 30 MB, a large model 200 MB."""


class Supplies:
    """Runners and runtimes of a lab, looked for once per target. Thread-safe."""

    def __init__(self, lab: Inventory) -> None:
        self._lab = lab
        self._binaries = Binaries(lab.runners)
        self._runtimes = Runtimes(lab, host_target())

    def findings(self, target: str) -> list[Finding]:
        """What a device of a target would be measured with: the runner that `runner: auto` takes, and its runtime."""
        name = choose(AUTO, target, self._binaries)
        found = [self._runner(name, target)]
        if name == OWN_RUNNER:
            found.append(self._runtime(target))
        return found

    def _runner(self, name: str, target: str) -> Finding:
        source = self._lab.runners.get(name, {}).get(target)
        if source is not None and source.url is not None:
            return ok("runner", f"{name} for {_shown(target)}, downloaded when it is first needed ({source.origin})")
        try:
            self._binaries.file(name, target)
        except UsageError as error:
            mend = f"correct {source.origin}" if source is not None else COMMAND if abi_of(target) else None
            return missing("runner", str(error), mend)
        whose = f"{source.origin}" if source is not None else "ours"
        words = f"{name} for {_shown(target)} ({whose})"
        if name == UPSTREAM:
            return note("runner", f"{words}; {OWN_RUNNER}, which says more, comes with: {COMMAND}")
        return ok("runner", words)

    def _runtime(self, target: str) -> Finding:
        try:
            runtime = self._runtimes.get(None, target)
        except UsageError as error:
            return missing("runtime", str(error), COMMAND if abi_of(target) else None)
        words = f"LiteRT {runtime.version or 'of unknown version'} for {_shown(target)}"
        if not any(_ACCELERATOR.match(file.source.name) for file in runtime.files):
            return note("runtime", f"{words}: it has no GPU accelerator, so that GPU cells will be UNSUPPORTED")
        return ok("runtime", words)


def _shown(target: str) -> str:
    """A target as people say it: phones' by their ABI."""
    return abi_of(target) or target


def free_space(free: int, where: str) -> Finding:
    """Whether there is room for runner, runtime and models."""
    words = f"{size(free)} free {where}"
    if free < _ENOUGH:
        return missing("space", words, f"free at least {size(_ENOUGH)} {where}")
    return ok("space", words)


def size(amount: float) -> str:
    """Bytes as a person says them: 812 MB, 24.3 GB."""
    return f"{amount / 1e9:.1f} GB" if amount >= 1e9 else f"{amount / 1e6:.0f} MB"
