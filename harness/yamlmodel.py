"""What the models of our YAML files have in common: strict sections, shared types, and errors in words."""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import UnionType
from typing import Annotated, Any, Literal, TypeGuard, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, Tag, ValidationError, WithJsonSchema
from pydantic_core import ErrorDetails

from harness.errors import UsageError, nearest
from harness.yamlfile import Document, Loc, dotted

NAME = r"^[A-Za-z0-9._-]+$"
NAME_PATTERN = r"^[A-Za-z0-9._-]*\*?[A-Za-z0-9._-]*$"
SHA256 = r"^[0-9a-f]{64}$"
IDENTITY = r"^[^\s-]\S*$"  # becomes an argument of a command line: never an option, never two words
ENV_NAME = r"^[A-Za-z_][A-Za-z0-9_]*$"
REMOTE_FOLDER = r"^/[A-Za-z0-9._-]+(/[A-Za-z0-9._-]+)*$"
VERSION = r"^[0-9]+(\.[0-9]+)+[A-Za-z0-9.+-]*$"
HOST_PORT = r"^([A-Za-z0-9][A-Za-z0-9._-]*|\[[0-9A-Fa-f:.]+(%[A-Za-z0-9]+)?\]):[0-9]{1,5}$"

_WORDS = {
    NAME: "a name of letters, digits, '.', '_' and '-'",
    NAME_PATTERN: "a name of letters, digits, '.', '_' and '-', with one '*' at most for the file's name",
    SHA256: "a SHA-256: 64 hexadecimal digits in lower case",
    IDENTITY: "text without spaces that does not start with '-'",
    ENV_NAME: "the name of an environment variable",
    REMOTE_FOLDER: "an absolute folder on the device, of letters, digits, '.', '_', '-' and '/'",
    VERSION: "a version such as 2.2.0",
    HOST_PORT: "host:port, or [address]:port for one of IPv6",
}

_SIZES = {"B": 1, "kB": 10**3, "KB": 10**3, "MB": 10**6, "GB": 10**9, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}
_SECONDS = {"ms": 1e-3, "s": 1.0, "min": 60.0, "h": 3600.0, "d": 86400.0}
_QUANTITY = re.compile(r"\s*([0-9]+(?:\.[0-9]+)?)\s*([A-Za-z]*)\s*")


class Section(BaseModel):
    """A mapping in one of our YAML files: unknown keys are errors, values never change."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def _no_bool(value: object) -> object:
    if isinstance(value, bool):  # which Python takes for a number
        raise ValueError("expected a number")
    return value


def _quantity(value: object, units: Mapping[str, float], plain: float, what: str) -> float:
    """A positive amount: a number in the unit `plain` stands for, or text with a unit."""
    amount, unit = 0.0, plain
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        amount = value
    elif isinstance(value, str) and (match := _QUANTITY.fullmatch(value)) and (match[2] in units or not match[2]):
        amount, unit = float(match[1]), units.get(match[2], plain)
    if not 0 < amount * unit < float("inf"):
        raise ValueError(f"expected {what}")
    return amount * unit


def _bytes(value: object) -> int:
    return int(_quantity(value, _SIZES, 1, "a size such as 256MiB or 4GiB, or a number of bytes"))


def _duration(value: object) -> float:
    return _quantity(value, _SECONDS, 1, "a duration such as 90s, 5min, 1h or 7d, or a number of seconds")


Name = Annotated[str, Field(pattern=NAME)]
NamePattern = Annotated[str, Field(pattern=NAME_PATTERN, min_length=1)]
Sha256 = Annotated[str, Field(pattern=SHA256)]
Identity = Annotated[str, Field(pattern=IDENTITY)]
EnvName = Annotated[str, Field(pattern=ENV_NAME)]
RemoteFolder = Annotated[str, Field(pattern=REMOTE_FOLDER, max_length=200)]
Version = Annotated[str, Field(pattern=VERSION)]
HostPort = Annotated[str, Field(pattern=HOST_PORT)]
Whole = Annotated[int, BeforeValidator(_no_bool)]
Number = Annotated[float, BeforeValidator(_no_bool), Field(allow_inf_nan=False)]
Size = Annotated[
    int,
    BeforeValidator(_bytes),
    WithJsonSchema({"type": ["number", "string"], "examples": ["256MiB", "4GiB"], "exclusiveMinimum": 0}),
]
Duration = Annotated[
    float,
    BeforeValidator(_duration),
    WithJsonSchema({"type": ["number", "string"], "examples": ["90s", "5min"], "exclusiveMinimum": 0}),
]

M = TypeVar("M", bound=BaseModel)


def validate(model: type[M], document: Document) -> M:
    """The document as an instance of `model`.

    Raises:
        UsageError: one line per problem: `file:line: key.path: what is wrong and what was expected`.
    """
    try:
        return model.model_validate(document.data)
    except ValidationError as error:
        raise _explained(model, document, error) from None


def schema(model: type[BaseModel], title: str) -> dict[str, Any]:
    """JSON Schema (draft 2020-12) of a file, for editors."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **model.model_json_schema(), "title": title}


def _explained(model: type[BaseModel], document: Document, error: ValidationError) -> UsageError:
    lines: list[tuple[int, str]] = []
    misspelt: set[tuple[Loc, str]] = set()
    details = error.errors(include_url=False)
    for detail in details:
        if detail["type"] == "extra_forbidden":
            around, key = detail["loc"][:-1], str(detail["loc"][-1])
            meant = re.findall(r"'(.+)'", nearest(key, _keys(model, around)))
            misspelt.update((document.known(around), name) for name in meant)
    for detail in details:
        loc = detail["loc"]
        if detail["type"] == "missing":
            place, text = document.known(loc[:-1]), f"required key '{loc[-1]}' is missing"
            if (place, str(loc[-1])) in misspelt:
                continue  # said already, as an unknown key
        elif detail["type"] == "too_short" and any(
            other["loc"][: len(loc)] == loc != other["loc"] for other in details
        ):
            continue  # pydantic counts the valid items only
        else:
            if detail["type"] == "union_tag_invalid":
                loc = (*loc, str(detail["ctx"]["discriminator"]).strip("'"))
            place = document.known(loc)
            text = _text(model, document, detail, place)
        where = document.where(place)
        prefix = f"{dotted(place)}: " if place else ""
        lines.append((int(where.rsplit(":", 1)[1]), f"{where}: {prefix}{text}"))
    return UsageError("\n".join(text for _, text in sorted(lines, key=lambda line: line[0])))


def _text(model: type[BaseModel], document: Document, detail: ErrorDetails, place: Loc) -> str:
    """What is wrong at `place`, never with a value from the environment."""
    kind, loc, context = detail["type"], detail["loc"], detail.get("ctx", {})
    if kind == "extra_forbidden":
        known = sorted(_keys(model, loc[:-1]))
        return f"unknown key{nearest(str(loc[-1]), known) or '; known here: ' + ', '.join(known)}"
    if loc[-1:] == ("[key]",):
        return f"{_expected(detail)}, got '{detail['input']}'"
    if kind == "union_tag_not_found":
        # Which keys are known depends on this one, so that a misspelt one was not reported as unknown.
        given = detail["input"] if isinstance(detail["input"], Mapping) else {}
        wrong = re.findall(r"'(.+)'", nearest(str(context["discriminator"]).strip("'"), map(str, given)))
        return f"required key {context['discriminator']} is missing" + (
            f"; is '{wrong[0]}' meant to be it?" if wrong else ""
        )
    if kind == "union_tag_invalid":
        return _one_of(re.findall(r"'([^']*)'", str(context["expected_tags"])), document, place)
    if kind == "too_short":
        return f"expected at least {context['min_length']} item, got none"
    if kind == "literal_error":
        return _one_of(re.findall(r"'([^']*)'", str(context["expected"])), document, place)
    if kind == "value_error":
        message = str(context["error"])
        return f"{message}, got {document.shown(place)}" if message.startswith("expected") else message
    return f"{_expected(detail)}, got {document.shown(place)}{_quotes(detail)}"


def _one_of(choices: list[str], document: Document, place: Loc) -> str:
    shown = document.shown(place)
    hint = "" if document.has_placeholder(place) else nearest(shown.strip("'"), choices)
    return f"expected one of {', '.join(choices)}, got {shown}{hint}"


def _expected(detail: ErrorDetails) -> str:
    kind, context = detail["type"], detail.get("ctx", {})
    if kind.startswith("int_"):
        return "expected a whole number"
    if kind.startswith("float_") or kind == "finite_number":
        return "expected a number"
    if kind.startswith("bool_"):
        return "expected true or false"
    if kind == "string_pattern_mismatch":
        return f"expected {_WORDS[context['pattern']]}"
    bounds = {"greater_than": "gt", "greater_than_equal": "ge", "less_than": "lt", "less_than_equal": "le"}
    if kind in bounds:
        words = {"gt": "above", "ge": "of at least", "lt": "below", "le": "of at most"}
        return f"expected a number {words[bounds[kind]]} {context[bounds[kind]]:g}"
    shapes = {"string": "text", "list": "a list", "tuple": "a list", "dict": "a mapping", "mapping": "a mapping"}
    shapes |= {"model": "a mapping", "callable": "text, or a mapping"}
    return f"expected {shapes.get(kind.split('_', maxsplit=1)[0], detail['msg'])}"


def _quotes(detail: ErrorDetails) -> str:
    number = isinstance(detail["input"], (int, float, bool))
    return "; put it in quotes" if detail["type"] == "string_type" and number else ""


def _keys(model: object, loc: Loc) -> set[str]:
    """Keys that the mapping at a validation error's `loc` may have; a union's labels in `loc` choose its members."""
    origin, args = get_origin(model), get_args(model)
    if _is_model(model):
        if not loc:
            return {field.alias or name for name, field in model.model_fields.items()}
        field = model.model_fields.get(str(loc[0]))
        return _keys(field.annotation, loc[1:]) if field else set()
    if origin is Annotated:
        return _keys(args[0], loc)
    if origin in (list, tuple):
        return _keys(args[0], loc[1:])
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return _keys(args[1], loc[1:])
    if origin in (Union, UnionType):
        labelled = [member for member in args if loc and _label(member) == loc[0]]
        if labelled:
            return _keys(labelled[0], loc[1:])
        return set().union(*(_keys(member, loc) for member in args))
    return set()


def _is_model(annotation: object) -> TypeGuard[type[BaseModel]]:
    # Python 3.10 takes `tuple[int]` for a class until it is asked of what.
    return get_origin(annotation) is None and isinstance(annotation, type) and issubclass(annotation, BaseModel)


def _label(member: object) -> str | None:
    """What a discriminated union calls one of its members."""
    tags = [extra.tag for extra in get_args(member)[1:] if isinstance(extra, Tag)]
    if tags:
        return tags[0]
    kind = member.model_fields.get("kind") if _is_model(member) else None
    return str(get_args(kind.annotation)[0]) if kind and get_origin(kind.annotation) is Literal else None
