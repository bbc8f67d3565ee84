"""The models of a suite, with their inputs."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path

from harness.errors import UsageError, nearest
from harness.plan.catalogue import Catalogue, is_file, slug
from harness.plan.cell import GateRule, InputFile, InputPlan, ModelRef
from harness.plan.gating import DEFAULT_ORIGIN, NONFINITE, SPEEDUP
from harness.plan.suite import FilesEntry, FilesValue, InputsEntry, ModelEntry, SuiteFile
from harness.yamlfile import Document, Loc, display


def resolve_models(document: Document, file: SuiteFile, catalogue: Catalogue) -> tuple[ModelRef, ...]:
    """Every model of the suite once, in its order. A later entry for the same file replaces an earlier one.

    Raises:
        UsageError: for what is nowhere, and for two files of one name.
    """
    suite_inputs = _inputs(document, [(file.inputs, ("inputs",))])
    found: dict[str, ModelRef] = {}
    entries: dict[str, Loc] = {}
    for index, value in enumerate(file.models):
        loc: Loc = ("models", index)
        entry = ModelEntry(model=value) if isinstance(value, str) else value
        place: Loc = loc if isinstance(value, str) else (*loc, "model")
        inputs = suite_inputs
        if entry.inputs.model_fields_set:
            inputs = _inputs(document, [(file.inputs, ("inputs",)), (entry.inputs, (*loc, "inputs"))])
        paths = catalogue.find(entry.model)
        if not paths:
            hint = not document.has_placeholder(place)
            raise document.error(place, catalogue.unknown(entry.model, document.shown(place), hint=hint))
        if entry.name and "*" not in entry.name and len(paths) > 1:
            message = f"a name without '*' is for one model, but {document.shown(place)} means {len(paths)} files"
            raise document.error((*loc, "name"), message)
        for path in paths:
            name = (entry.name or "*").replace("*", slug(path.stem))
            model = ModelRef(
                name=name,
                path=str(path.resolve()),
                task=entry.task,
                signature=entry.signature,
                inputs=inputs,
                gates=entry.gates,
                origin=document.where(loc),
            )
            if name in found and found[name].path != model.path:
                pair = (
                    f"{_called(document, entries[name], found[name].path)} and {_called(document, place, model.path)}"
                )
                raise document.error(loc, f"two models called '{name}': {pair}; give one a 'name:'")
            found[name] = model
            entries[name] = place
    return tuple(found.values())


def own_rules(model: ModelRef, metrics: Collection[str] | None) -> tuple[GateRule, ...]:
    """The limits of a model that states its own; non-finite outputs fail unless it says otherwise.

    Raises:
        UsageError: for an unknown metric, and for a speed-up, which is taken between delegates.
    """
    rules = {NONFINITE: GateRule(NONFINITE, 0.0, origin=DEFAULT_ORIGIN)}
    for metric, limit in (model.gates or {}).items():
        where = f"{model.origin}: gates.{metric} of '{model.name}'"
        if metrics is not None and metric not in metrics:
            hint = nearest(metric, metrics) or f"; known: {', '.join(sorted(metrics))}"
            raise UsageError(f"{where}: unknown metric{hint}")
        if metric == SPEEDUP:
            raise UsageError(f"{where}: a speed-up is asked of a delegate; write it under the suite's 'gates:'")
        rules[metric] = GateRule(metric, limit, origin=model.origin)
    return tuple(rules.values())


def _called(document: Document, place: Loc, path: str) -> str:
    """A file in a message; as the suite writes it if part of it comes from the environment."""
    return document.shown(place) if document.has_placeholder(place) else display(Path(path))


def _inputs(document: Document, layers: Sequence[tuple[InputsEntry, Loc]]) -> InputPlan:
    """The inputs of one model; later layers win, key by key."""
    origin = document.where(layers[-1][1])
    given = {key: (getattr(entry, key), loc) for entry, loc in layers for key in entry.model_fields_set}
    seed, _ = given.get("seed", (InputsEntry().seed, ()))
    recipe, _ = given.get("values", (InputsEntry().values, ()))
    samples, samples_loc = given.get("samples", (InputsEntry().samples, ()))
    tensors, loc = given.get("files", ({}, ()))
    files = {tensor: _files(document, value, (*loc, "files", tensor)) for tensor, value in tensors.items()}
    for tensor, listed in files.items():
        if not samples_loc:
            samples, samples_loc = len(listed), (*loc, "files", tensor)
        if len(listed) != samples:
            message = f"{len(listed)} file(s) for {samples} sample(s) (see {document.where((*samples_loc, 'samples'))})"
            raise document.error((*loc, "files", tensor), f"{message}; give one file per sample")
    return InputPlan(seed=seed, samples=samples, files=files, values=recipe, origin=origin)


def _files(document: Document, value: FilesValue, loc: Loc) -> tuple[InputFile, ...]:
    entry = value if isinstance(value, FilesEntry) else FilesEntry(paths=value)
    loc = (*loc, "paths") if isinstance(value, FilesEntry) else loc
    paths = [entry.paths] if isinstance(entry.paths, str) else list(entry.paths)
    folder = document.path.parent if document.path else Path.cwd()
    if not paths:
        raise document.error(loc, "expected at least 1 file, got none")
    files = []
    for index, text in enumerate(paths):
        path = (folder / text).resolve()
        place = loc if isinstance(entry.paths, str) else (*loc, index)
        if not is_file(path):
            raise document.error(place, f"no such file: {document.shown(place)}")
        files.append(InputFile(str(path), mean=entry.mean, std=entry.std))
    return tuple(files)
