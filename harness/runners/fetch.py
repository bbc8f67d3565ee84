"""`harness fetch android`: our runner and one version of LiteRT for phones, into the cache.

They come from a release (a folder or a link with SHA256SUMS, `delegate_bench-<abi>` and `litert-<version>-<abi>.zip`,
as .github/workflows/release.yml makes it), or from files of the user's own: an AAR, a built runner. Everything of a
release is verified against its SHA256SUMS.
"""

from __future__ import annotations

import importlib.metadata
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from harness import __version__
from harness.errors import UsageError, nearest
from harness.lab.spec import ABIS, OWN_RUNNER, abi_of
from harness.runners.archives import abis_in, sha256_of, unpacked, version_in
from harness.runners.download import download, keep, kept, read_text, size_of
from harness.runners.elf import misfit, platform_of
from harness.runners.fetched import COMMAND, fetched_runner, fetched_runtime, remember

SUMS = "SHA256SUMS"
_DISTRIBUTION = "delegate-harness"
_LABEL = "releases"
_SUMS_BYTES = 1 << 20
_LINE = re.compile(r"([0-9a-fA-F]{64}) [ *](.+)")
_ABI = "|".join(map(re.escape, ABIS))
_RUNNER = re.compile(rf"{OWN_RUNNER}-({_ABI})")
_RUNTIME = re.compile(rf"litert-([0-9A-Za-z.+]+(?:-[0-9A-Za-z.+]+)*?)-({_ABI})\.zip")
_LINK = re.compile(r"(https?|file)://")


@dataclass(frozen=True)
class Item:
    """A file of a release.

    Attributes:
        name: in the release.
        url: of the file.
        sha256: as SHA256SUMS states it.
        target: that it is for.
        version: of the runtime in it; None for a runner.
        size: in bytes; None if the server does not say.
    """

    name: str
    url: str
    sha256: str
    target: str
    version: str | None
    size: int | None


@dataclass(frozen=True)
class Plan:
    """What a fetch will do.

    Attributes:
        origin: the release, as messages show it; "" without one.
        items: files that come from there, and are not in the cache yet or are to be taken from it.
        missing: of those, the ones that have to be moved.
        network: whether they come from elsewhere than this computer.
        runner: a built runner of the user's own.
        runner_target: what that is for.
        aar: an Android archive of the user's own.
        aar_targets: what is taken out of it.
    """

    origin: str
    items: tuple[Item, ...]
    missing: tuple[Item, ...]
    network: bool
    runner: Path | None
    runner_target: str
    aar: Path | None
    aar_targets: tuple[str, ...]

    @property
    def asks(self) -> bool:
        """Whether a person has to agree first: something will be downloaded."""
        return self.network and bool(self.missing)

    def lines(self) -> list[str]:
        """What will be moved, from where."""
        if not self.missing:
            return []
        width = max(len(item.name) for item in self.missing)
        files = [f"  {item.name:<{width}}  {_amount(item.size)}" for item in self.missing]
        return [f"From {self.origin}:", *files]

    def total(self) -> str:
        """How much will be moved: "2 files, 6.2 MB"."""
        sizes = [item.size for item in self.missing]
        known = [size for size in sizes if size is not None]
        amount = _amount(sum(known)) if len(known) == len(sizes) else _amount(None)
        return f"{len(sizes)} file{'' if len(sizes) == 1 else 's'}, {amount}"


def plan(source: str | None, aar: Path | None, runner: Path | None, abis: Sequence[str]) -> Plan:
    """Find out what a fetch has to do; reads a release's SHA256SUMS, and moves nothing.

    Args:
        source: folder or link of a release; None for the one that the installed package names.
        aar: takes the place of a release's runtimes.
        runner: takes the place of a release's runners.
        abis: what to fetch for; empty for all that is there.

    Raises:
        UsageError: nothing to fetch from, a file that is not what it should be, or a release without what is asked.
    """
    for abi in abis:
        if abi not in ABIS:
            raise UsageError(f"--abi {abi}: expected one of {', '.join(ABIS)}{nearest(abi, ABIS)}")
    runner_target = "" if runner is None else _runner_target(runner, abis)
    aar_targets = () if aar is None else tuple(ABIS[abi] for abi in _wanted(abis_in(aar), abis, str(aar)))
    whole = aar is not None and runner is not None
    if whole and source is not None:
        raise UsageError("--from has nothing to give beside --aar and --runner; leave it out, or one of them")
    place = None if whole else _release(source)
    if place is None and aar is None and runner is None:
        raise UsageError(
            "this installation names no release page to fetch from; say where the files are: --from URL or FOLDER "
            "(of a release), or --runner FILE (delegate_bench, built with the NDK) and --aar FILE (LiteRT's)"
        )
    items: list[Item] = []
    if place is not None:
        base, shown = place
        files = _sums(base, shown)
        items = _items(base, shown, files, abis, runners=runner is None, runtimes=aar is None)
    missing = tuple(item for item in items if kept(item.sha256) is None)
    network = place is not None and not place[0].startswith("file:")
    return Plan(place[1] if place else "", tuple(items), missing, network, runner, runner_target, aar, aar_targets)


def carry_out(plan: Plan) -> list[str]:
    """Fetch, verify and unpack; what phones have now, a line each, and what they still lack.

    Nothing is noted before all of it is there.

    Raises:
        UsageError: a file that cannot be had or is not what it should be.
    """
    notes: list[tuple[str, str, Mapping[str, str | None]]] = []
    for item in plan.items:
        path = download(item.url, item.sha256, f"{plan.origin.rstrip('/')}/{item.name}")
        if item.version is None:
            wrong = misfit(path, item.target)
            if wrong is not None:
                raise UsageError(f"{item.name} of {plan.origin} {wrong}")
            notes.append((item.target, "runner", {"sha256": item.sha256}))
        else:
            _unpack(path, item.target)
            notes.append((item.target, "runtime", {"sha256": item.sha256, "version": item.version}))
    if plan.runner is not None:
        notes.append((plan.runner_target, "runner", {"sha256": keep(plan.runner)}))
    if plan.aar is not None:
        sha256, version = sha256_of(plan.aar), version_in(plan.aar)
        for target in plan.aar_targets:
            _unpack(plan.aar, target)
            notes.append((target, "runtime", {"sha256": sha256, "version": version}))
    for target, part, entry in notes:
        remember(target, part, entry)
    return [_state(target) for target in dict.fromkeys(target for target, _, _ in notes)]


def _unpack(archive: Path, target: str) -> None:
    abi = abi_of(target)
    if abi is None:
        raise ValueError(f"{target} is no phone's target")
    unpacked(archive, abi)


def _state(target: str) -> str:
    """What phones of a target have."""
    runner, runtime = fetched_runner(target), fetched_runtime(target)
    abi = abi_of(target)
    if runner is None:
        return f"{abi}: LiteRT is here, {OWN_RUNNER} is missing: {COMMAND} --from RELEASE, or --runner FILE"
    if runtime is None:
        return f"{abi}: {OWN_RUNNER} is here, LiteRT is missing: {COMMAND} --from RELEASE, or --aar FILE"
    version = f"LiteRT {runtime.version}" if runtime.version else f"LiteRT (archive {runtime.archive[:12]})"
    accelerators = sorted(path.name for path in runtime.folder.glob("libLiteRt*Accelerator.so"))
    gpu = f"GPU: {', '.join(accelerators)}" if accelerators else "CPU only: it has no GPU accelerator"
    return f"{abi}: {OWN_RUNNER} and {version} are here ({gpu})"


def _runner_target(runner: Path, abis: Sequence[str]) -> str:
    """The target that a built runner is for, which has to be the one asked for."""
    try:
        found = platform_of(runner)
        fits = [target for target in ABIS.values() if found is not None and misfit(runner, target) is None]
        if not fits:
            near = next((target for target in ABIS.values() if found and target.startswith(f"{found.machine}-")), None)
            raise UsageError(f"--runner {runner} {misfit(runner, near or ABIS['arm64-v8a'])}")
    except OSError as error:
        raise UsageError(f"--runner {runner} cannot be read: {error.strerror}") from None
    target = fits[0]
    if abis and abi_of(target) not in abis:
        raise UsageError(f"--runner {runner} is for {abi_of(target)}, --abi asks for {', '.join(abis)}")
    return target


def _wanted(found: Sequence[str], abis: Sequence[str], where: str) -> list[str]:
    """The ABIs to fetch of those that are there."""
    lacking = [abi for abi in abis if abi not in found]
    if lacking or not found:
        has = f"it has {', '.join(found)}" if found else "it has none"
        raise UsageError(f"{where}: has nothing for {', '.join(lacking) or 'any phone'}; {has}")
    return [abi for abi in found if not abis or abi in abis]


def _release(source: str | None) -> tuple[str, str] | None:
    """Link of the folder with a release's files, and the same for messages; None if none is known."""
    if source is None:
        page = _release_page()
        if page is None:
            return None
        # Where GitHub and Forgejo keep the files of a tag.
        base = f"{page.rstrip('/')}/download/v{__version__}/"
        return base, base
    if _LINK.match(source):
        if "@" in source.split("/")[2]:
            raise UsageError(
                "--from takes no link with a user name or password in it; fetch the release by other means"
            )
        bare = source.partition("?")[0].partition("#")[0]
        return f"{bare.rstrip('/')}/", bare
    folder = Path(source).absolute()
    if not folder.is_dir():
        raise UsageError(f"--from {source}: there is no such folder (a link starts with https://, http:// or file://)")
    if not (folder / SUMS).is_file():
        raise UsageError(f"--from {source}: has no {SUMS}, as the folder of a release has; name another, or a link")
    return f"{folder.as_uri()}/", source


def _release_page() -> str | None:
    """The page that the installed package's metadata names as Releases."""
    try:
        entries = importlib.metadata.metadata(_DISTRIBUTION).get_all("Project-URL") or []
    except importlib.metadata.PackageNotFoundError:
        return None
    for entry in entries:
        label, _, url = str(entry).partition(",")
        if label.strip().lower() == _LABEL:
            return url.strip()
    return None


def _sums(base: str, shown: str) -> dict[str, str]:
    """File name -> SHA-256, as the release states them."""
    where = f"{shown.rstrip('/')}/{SUMS}"
    sums = {}
    for number, line in enumerate(read_text(base + SUMS, where, _SUMS_BYTES).splitlines(), 1):
        if not line.strip():
            continue
        match = _LINE.fullmatch(line.rstrip())
        if match is None:
            raise UsageError(f"{where}:{number}: expected a SHA-256 and a file's name, as sha256sum writes them")
        sums[match[2]] = match[1].lower()
    return sums


def _items(
    base: str, shown: str, sums: Mapping[str, str], abis: Sequence[str], *, runners: bool, runtimes: bool
) -> list[Item]:
    """A release's files for phones, those asked for."""
    found: dict[tuple[str, bool], tuple[str, str | None]] = {}
    for name in sorted(sums):
        runner, runtime = _RUNNER.fullmatch(name), _RUNTIME.fullmatch(name)
        abi = runner[1] if runner else runtime[2] if runtime else None
        if abi is None or not (runners if runner else runtimes):
            continue
        key = (abi, runner is None)
        if key in found:
            raise UsageError(f"{shown}: has two runtimes for {abi}, {found[key][0]} and {name}; it may have one")
        found[key] = (name, runtime[1] if runtime else None)
    parts = [part for part, asked in ((False, runners), (True, runtimes)) if asked]
    for abi in abis:
        for part in parts:
            if (abi, part) not in found:
                name = f"litert-<version>-{abi}.zip" if part else f"{OWN_RUNNER}-{abi}"
                raise UsageError(f"{shown}: {SUMS} lists no {name}")
    # Runtimes of some versions lack an ABI: that one is left out, unless it was asked for.
    whole = [abi for abi in ABIS if all((abi, part) in found for part in parts)]
    items = []
    for abi in _wanted(whole, abis, shown):
        for part in parts:
            name, version = found[abi, part]
            url = base + quote(name)
            items.append(Item(name, url, sums[name], ABIS[abi], version, size_of(url, name)))
    return items


def _amount(size: int | None) -> str:
    if size is None:
        return "size unknown"
    return f"{size / 1e6:.1f} MB" if size >= 1e5 else f"{size / 1e3:.1f} kB"
