"""From a suite's file to a `Suite`: defaults filled in, names resolved, everything checked."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TypeVar

from harness.errors import UsageError, nearest
from harness.plan.catalogue import Catalogue, is_file, slug
from harness.plan.cell import Delegate, Limits, Localise, ModelRef, Policy, Runs
from harness.plan.gating import effective_gates, rules_of
from harness.plan.models import own_rules, resolve_models
from harness.plan.suite import PROFILES, VERSION, Combination, DelegateEntry, Suite, SuiteFile
from harness.yamlfile import Document, display, load, parse, suggest
from harness.yamlmodel import NAME, validate

BEST_CPU = "best_cpu"
GOLDEN = "golden"
ON_THE_SPOT: Mapping[str, str] = {
    "cpu": "{accelerator: cpu}",
    "gpu-fp16": "{accelerator: gpu, precision: fp16}",
    "gpu-fp32": "{accelerator: gpu, precision: fp32}",
}
"""Delegates of suites that no file describes, as YAML."""

N = TypeVar("N", int, float)


def load_suite(
    path: Path,
    metrics: Collection[str] | None = None,
    *,
    rootdir: Path | None = None,
    environ: Mapping[str, str] | None = None,
) -> Suite:
    """Read and check a suite.

    Args:
        path: of the file; its stem names the suite, and paths in it are relative to its folder.
        metrics: names that gates may use; not checked when None.
        rootdir: whose `models/` is searched as well.
        environ: where `${HARNESS_*}` is looked up; the process's environment by default.

    Raises:
        UsageError: with file, line and key, what was expected and what to do.
    """
    if not re.match(NAME, path.stem):
        raise UsageError(
            f"{display(path)}: a suite is named after its file, with letters, digits, '.', '_' and '-'; rename it"
        )
    document = load(path, version=VERSION, environ=environ)
    if isinstance(document.data.get("devices"), list) and not document.data.keys() & {"models", "delegates"}:
        raise UsageError(f"{document.name}: is a devices file, not a suite; name it with --devices")
    return _suite(document, path.stem, Catalogue(path.absolute().parent, rootdir), metrics)


def model_suite(files: Sequence[Path], metrics: Collection[str] | None = None) -> tuple[Suite, str]:
    """A suite for models that no suite names, and the YAML that it is equivalent to.

    Args:
        files: the models; those of equal names are numbered.
        metrics: names that gates may use; not checked when None.

    Raises:
        UsageError: if a file is missing.
    """
    for file in files:
        if not is_file(file):
            raise UsageError(f"--model {file}: {_absent(file)}")
    text = _text(files, ON_THE_SPOT, gates="")
    document = parse(text, "--model", version=VERSION, environ={})
    return _suite(document, "model", Catalogue(Path.cwd()), metrics), text


def _absent(file: Path) -> str:
    """Words for a path that is no file."""
    if file.is_dir():
        return f"is a folder; name a file in it, such as {file / 'model.tflite'}"
    beside = [entry.name for entry in file.parent.iterdir()] if file.parent.is_dir() else []
    return f"no such file{nearest(file.name, beside)}"


def marker_suite(model: str, delegate: str | Mapping[str, object], folders: Sequence[Path], where: str) -> Suite:
    """A suite of one model and one delegate, for a test of the user's own, which judges the outputs itself.

    Args:
        model: a name, or a path relative to one of `folders`.
        delegate: a name from `ON_THE_SPOT`, or a delegate's keys as in a suite; its name is then made of their values.
        folders: where to look, in this order; the last one's `models/` is searched for names.
        where: "file::test"; the file names the suite.

    Raises:
        UsageError: for an unknown delegate, and for a model that is not exactly one file.
    """
    if isinstance(delegate, Mapping):
        name = slug("-".join(str(value) for value in delegate.values()))
        delegates = {name: json.dumps(dict(delegate), default=str)}
    elif delegate in ON_THE_SPOT:
        delegates = {delegate: ON_THE_SPOT[delegate]}
    else:
        raise UsageError(f"{where}: no delegate called '{delegate}'{suggest(delegate, ON_THE_SPOT, 'there are')}")
    catalogues = [Catalogue(folder, folders[-1]) for folder in folders]
    paths = next(filter(None, (catalogue.find(model) for catalogue in catalogues)), [])
    if not paths:
        raise UsageError(f"{where}: {catalogues[-1].unknown(model, repr(model), hint=True)}")
    if len(paths) > 1:
        raise UsageError(f"{where}: '{model}' means {len(paths)} files; a test is about one")
    text = _text(paths, delegates, gates='gates: {"*": {nonfinite: 0}}\n')
    document = parse(text, where, version=VERSION, environ={})
    return _suite(document, slug(Path(where.split("::", maxsplit=1)[0]).stem), catalogues[-1], None)


def _text(files: Sequence[Path], delegates: Mapping[str, str], gates: str) -> str:
    """The YAML of a quick suite."""
    lines = []
    names: set[str] = set()
    for path in dict.fromkeys(file.absolute() for file in files):
        # JSON's text is YAML's, whatever the path has in it.
        name, number, entry = slug(path.stem), 1, json.dumps(str(path), ensure_ascii=False)
        while name in names:
            number += 1
            name = f"{slug(path.stem)}-{number}"
        names.add(name)
        lines.append(f"  - {entry if number == 1 else f'{{model: {entry}, name: {name}}}'}\n")
    entries = [f"  {name}: {text}\n" for name, text in delegates.items()]
    return f"version: 1\nprofile: quick\nmodels:\n{''.join(lines)}delegates:\n{''.join(entries)}{gates}"


def _suite(document: Document, name: str, catalogue: Catalogue, metrics: Collection[str] | None) -> Suite:
    file = validate(SuiteFile, document)
    models = resolve_models(document, file, catalogue)
    delegates = tuple(_delegate(name, entry) for name, entry in file.delegates.items())
    fits = {name: _fitting(document, name, entry, models) for name, entry in file.delegates.items()}
    over = _speedup_over(document, file)
    gates = effective_gates(file.gates)
    rules = rules_of(document, file.gates, delegates, over, metrics)
    combinations = []
    for model in models:
        able = [delegate for delegate in delegates if model.name in fits[delegate.name]]
        if not able:
            raise document.error(("delegates",), f"no delegate is for model '{model.name}'; see the keys 'only'")
        runs_here = {delegate.name for delegate in able}
        own = None if model.gates is None else own_rules(model, metrics)
        for delegate in able:
            limits = rules[delegate.name].among(runs_here, model.name) if own is None else own
            combinations.append(Combination(model, delegate, limits))
    policy = Policy(
        profile=file.profile,
        runs=_runs(document, file),
        reference=file.reference,
        reference_delegate=None if file.reference == GOLDEN else _reference_delegate(document, file, fits, models),
        golden_runtime=file.golden_runtime,
        limits=Limits(file.limits.memory, file.limits.output_bytes, file.limits.deadline),
        speedup_over=over,
        retries=file.retries,
        localise=Localise(file.localise.seconds, file.localise.cells),
        require_sha256=file.profile == "release" if file.require_sha256 is None else file.require_sha256,
    )
    return Suite(
        name=name,
        path=document.path,
        sha256=document.sha256,
        text=document.text,
        models=models,
        delegates=delegates,
        combinations=tuple(combinations),
        policy=policy,
        gates=gates,
        coverage=file.coverage.per_model,
        devices=file.devices,
        qualification=file.qualification,
        origins={key: document.where((key,)) for key in ("devices", "reference")},
    )


def _delegate(name: str, entry: DelegateEntry) -> Delegate:
    return Delegate(name=name, **{key: value for key, value in entry if key != "only"})


def _fitting(document: Document, name: str, entry: DelegateEntry, models: Sequence[ModelRef]) -> frozenset[str]:
    """Names of the models that a delegate is for."""
    known = [model.name for model in models]
    if not entry.only:
        return frozenset(known)
    found: set[str] = set()
    for index, pattern in enumerate(entry.only):
        matching = [model for model in known if fnmatchcase(model, pattern)]
        if not matching:
            loc = ("delegates", name, "only", index)
            hint = suggest(pattern, known, "models of this suite")
            raise document.error(loc, f"no model matches {document.shown(loc)}{hint}")
        found.update(matching)
    return frozenset(found)


def _speedup_over(document: Document, file: SuiteFile) -> tuple[str, ...]:
    over = file.advice.speedup.over
    if over == BEST_CPU:
        return tuple(name for name, entry in file.delegates.items() if entry.accelerator == "cpu")
    if over not in file.delegates:
        loc = ("advice", "speedup", "over")
        hint = suggest(over, [BEST_CPU, *file.delegates], "known here")
        raise document.error(loc, f"no delegate called {document.shown(loc)}{hint}")
    return (over,)


def _reference_delegate(
    document: Document, file: SuiteFile, fits: Mapping[str, frozenset[str]], models: Sequence[ModelRef]
) -> str:
    """The CPU delegate whose cells are the reference: the first one that is for all models."""
    for name, entry in file.delegates.items():
        if entry.accelerator == "cpu" and len(fits[name]) == len(models):
            return name
    raise document.error(
        ("reference",),
        f"{document.shown(('reference',))} needs a delegate with accelerator cpu that is for all models; "
        "add one, or write 'reference: golden'",
    )


def _first(given: N | None, default: N) -> N:
    return default if given is None else given


def _runs(document: Document, file: SuiteFile) -> Runs:
    defaults, given = PROFILES[file.profile], file.runs
    runs = Runs(
        warmup_count=_first(given.warmup.count, defaults.warmup_count),
        warmup_min_seconds=_first(given.warmup.min_seconds, defaults.warmup_min_seconds),
        count=_first(given.count, defaults.count),
        min_seconds=_first(given.min_seconds, defaults.min_seconds),
        max_seconds=_first(given.max_seconds, defaults.max_seconds),
        rounds=_first(given.rounds, defaults.rounds),
    )
    for seconds, loc in (
        (runs.min_seconds, ("runs", "min_seconds")),
        (runs.warmup_min_seconds, ("runs", "warmup", "min_seconds")),
    ):
        if seconds > runs.max_seconds:
            source = "" if file.runs.max_seconds else f", from profile {file.profile}"
            message = f"{seconds:g} s is more than max_seconds ({runs.max_seconds:g} s{source}); raise that as well"
            raise document.error(loc, message)
    return runs
