"""Where a runner's program for a target comes from: devices.yaml, `harness fetch`, or our own sources."""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping
from pathlib import Path

from harness.devices.base import JobFile
from harness.errors import UsageError
from harness.lab.spec import IOS_TARGET, OWN_RUNNER, BinarySource, abi_of
from harness.paths import sha256_file
from harness.runners.build import NDK_VARIABLES, build_runner, find_toolchain
from harness.runners.download import download
from harness.runners.elf import misfit
from harness.runners.fetched import COMMAND, fetched_runner

AUTO = "auto"
UPSTREAM = "benchmark_model"
# As LiteRT's public page "Benchmark Interpreter API" lists them.
_NIGHTLY = "https://storage.googleapis.com/tensorflow-nightly-public/prod/tensorflow/release/lite/tools/nightly/latest/"
_NIGHTLY_NAMES: Mapping[str, str] = {
    "aarch64-android": "android_aarch64_benchmark_model",
    "armv7-android": "android_arm_benchmark_model",
    "x86_64-linux": "linux_x86-64_benchmark_model",
    "aarch64-linux": "linux_aarch64_benchmark_model",
    "armv7-linux": "linux_arm_benchmark_model",
}


def nightly_url(target: str) -> str | None:
    """Where Google publishes a benchmark_model for a target, and with ".apk" behind it the app; None for others."""
    name = _NIGHTLY_NAMES.get(target)
    return None if name is None else f"{_NIGHTLY}{name}"


class Binaries:
    """Finds, fetches and checks the runners' programs; each once per run, failures included. Thread-safe."""

    def __init__(self, sources: Mapping[str, Mapping[str, BinarySource]]) -> None:
        """Take programs of the user's own: runner -> target -> where it comes from."""
        self._sources = sources
        self._lock = threading.Lock()
        self._known: dict[tuple[str, str], JobFile | str] = {}
        self._available: dict[tuple[str, str], bool] = {}

    def file(self, runner: str, target: str, *, require_sha256: bool = False) -> JobFile:
        """The program of a runner for a target, in a job's folder under the runner's name.

        Args:
            runner: "delegate_bench", "benchmark_model", ...
            target: one of `harness.lab.spec.TARGETS`.
            require_sha256: refuse a program of the user's own whose hash devices.yaml does not state.

        Raises:
            UsageError: there is none, it is not for that target, its hash differs, or it cannot be had; with the
                key of devices.yaml, and what to do.
        """
        key = (runner, target)
        with self._lock:  # two devices must not download or build the same program at once
            if key not in self._known:
                try:
                    self._known[key] = self._make(runner, target)
                except UsageError as error:  # not tried again for each cell: a dead link takes a minute to be one
                    self._known[key] = str(error)
            found = self._known[key]
        if isinstance(found, str):
            raise UsageError(found)
        source = self._source(runner, target)
        if require_sha256 and source is not None and source.sha256 is None:
            raise UsageError(
                f"{_place(source, runner, target)}: this suite takes exact programs only; "
                f"if this is the one that is meant, add sha256: {found.sha256}"
            )
        return found

    def stated_sha256(self, runner: str, target: str) -> str | None:
        """The hash that devices.yaml states of a runner's program for a target; None if it states none."""
        source = self._source(runner, target)
        return source.sha256 if source is not None else None

    def available(self, runner: str, target: str) -> bool:
        """Whether there is a program of a runner for a target, or one can be built here; nothing is built for it."""
        key = (runner, target)
        with self._lock:
            if key not in self._available:
                self._available[key] = self._source(runner, target) is not None or (
                    runner == OWN_RUNNER and _own_can_be_had(target)
                )
            return self._available[key]

    def _source(self, runner: str, target: str) -> BinarySource | None:
        return self._sources.get(runner, {}).get(target)

    def _make(self, runner: str, target: str) -> JobFile:
        source = self._source(runner, target)
        if source is not None:
            return _stated(source, _place(source, runner, target), runner, target)
        path = _own(target) if runner == OWN_RUNNER else None
        if path is None:
            raise UsageError(_missing(runner, target))
        return JobFile(runner, path, sha256_file(path), executable=True)


def choose(name: str, target: str, binaries: Binaries) -> str:
    """The runner that a delegate's `runner` stands for on a target.

    "auto" is ours if it can be had for the target, else upstream's if devices.yaml has it, else ours, whose error
    says what to do. On iOS ours is inside an app that is installed, or the device says that it is not.
    """
    if name != AUTO:
        return name
    if target != IOS_TARGET and not binaries.available(OWN_RUNNER, target) and binaries.available(UPSTREAM, target):
        return UPSTREAM
    return OWN_RUNNER


def _place(source: BinarySource, runner: str, target: str) -> str:
    return source.origin or f"runners: {runner}: {target}"


def _stated(source: BinarySource, where: str, runner: str, target: str) -> JobFile:
    """The program that devices.yaml names, downloaded if need be, and checked."""
    shown = source.shown_url or source.path
    try:
        if source.url is not None and source.sha256 is not None:
            path = download(source.url, source.sha256, source.shown_url)
        else:
            path = Path(source.path or "")
        if not path.is_file():
            raise UsageError(f"there is no file {path}")
        found = sha256_file(path)
        if source.sha256 not in (None, found):
            raise UsageError(f"{path} has SHA-256 {found}, not {source.sha256}")
        wrong = misfit(path, target)
        if wrong is not None:
            raise UsageError(f"{shown} {wrong}")
    except UsageError as error:
        raise UsageError(f"{where}: {error}") from None
    except OSError as error:
        raise UsageError(f"{where}: {shown} cannot be read: {error.strerror}") from None
    return JobFile(runner, path, found, executable=True)


def _own(target: str) -> Path | None:
    """Our runner: fetched, else built; None if it is a phone's and neither can be."""
    fetched = fetched_runner(target)
    if fetched is not None or (abi_of(target) is not None and not _ndk_is_named()):
        return fetched
    return build_runner(target)


def _own_can_be_had(target: str) -> bool:
    try:
        if fetched_runner(target) is None:
            find_toolchain(target)
    except UsageError:
        return False
    return True


def _ndk_is_named() -> bool:
    return any(os.environ.get(name) for name in NDK_VARIABLES)


def _missing(runner: str, target: str) -> str:
    abi = abi_of(target)
    platform = f"{abi} phones" if abi else target
    if runner == OWN_RUNNER:
        return (
            f"there is no {runner} for {platform} yet; run: {COMMAND} "
            f"(or set {NDK_VARIABLES[0]} to an Android NDK, which builds it)"
        )
    advice = f"name one in devices.yaml: runners: {{{runner}: {{{abi or target}: {{path: FILE}}}}}}"
    if runner == UPSTREAM and (url := nightly_url(target)) is not None:
        name = url.rpartition("/")[2]
        advice = f"get Google's nightly build (curl -fLO {url}) and {advice.replace('FILE', name)}"
    return f"there is no {runner} for {platform} yet; {advice}"
