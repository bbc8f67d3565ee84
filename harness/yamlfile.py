"""YAML files that people write: values with the line each one stands on, and one clear message per mistake.

Scalars follow YAML 1.2: `yes`, `0123` and `12:34` are text, `2e-2` is a number. `${HARNESS_NAME}` in a value is
replaced from the environment; messages show the placeholder, never what it stands for.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from harness.errors import UsageError, nearest

if TYPE_CHECKING:
    from yaml import SafeLoader as _BaseLoader
else:
    _BaseLoader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

Key = str | int
Loc = tuple[Key, ...]

_TAG = "tag:yaml.org,2002:"
_PLACEHOLDER = re.compile(r"\$\{([^{}\n]*)\}")
# `{` ends a plain scalar inside `{...}` and `[...]`, so placeholders are written with private characters of the same
# number before YAML sees them: columns stay right, and `{identity: ${HARNESS_KEY}}` is what it looks like.
_OPEN, _CLOSE = "\ue000", "\ue001"
_MARKED = re.compile(f"{_OPEN}([^{_CLOSE}]*){_CLOSE}")
_SHOWN = 60
_DEEPEST = 50


class _Loader(_BaseLoader):
    """Composes nodes with the scalar rules of YAML 1.2's core schema, less octal and hexadecimal numbers."""

    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012 - the base class's name; filled below, then left alone


for _name, _pattern, _first in (
    ("null", r"^(?:~|null|Null|NULL|)$", ["~", "n", "N", ""]),
    ("bool", r"^(?:true|True|TRUE|false|False|FALSE)$", list("tTfF")),
    ("int", r"^[-+]?(?:0|[1-9][0-9]*)$", list("-+0123456789")),
    (
        "float",
        r"^(?:[-+]?(?:\.[0-9]+|[0-9]+\.[0-9]*|[0-9]+(?=[eE]))(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))$",
        list("-+.0123456789"),
    ),
    ("merge", r"^<<$", ["<"]),
):
    _Loader.add_implicit_resolver(_TAG + _name, re.compile(_pattern), _first)


@dataclass(frozen=True)
class Document:
    """A YAML file that was read.

    Attributes:
        name: the file as messages call it.
        path: absolute; None for text that is in no file.
        text: as written, placeholders included.
        sha256: of the file's bytes.
        data: the values: text, whole numbers, floats, booleans, None, lists, mappings with text keys.
        root: the composed node of `data`.
    """

    name: str
    path: Path | None
    text: str
    sha256: str
    data: dict[str, Any]
    root: MappingNode

    def where(self, loc: Loc = ()) -> str:
        """`file:line` of the key or list item at `loc`, or of the nearest thing around it."""
        return f"{self.name}:{_line(self._walk(loc)[0])}"

    def known(self, loc: Loc) -> Loc:
        """`loc` without the parts that the file does not have, such as a validator's own labels."""
        return self._walk(loc)[2]

    def shown(self, loc: Loc) -> str:
        """The value at `loc` as a message may show it."""
        return _shown(self._walk(loc)[1])

    def has_placeholder(self, loc: Loc) -> bool:
        """Whether the value at `loc` came from the environment, wholly or in part."""
        node = self._walk(loc)[1]
        return isinstance(node, ScalarNode) and _MARKED.search(node.value) is not None

    def error(self, loc: Loc, message: str) -> UsageError:
        """A `UsageError` that says where: `file:line: key.path: message`."""
        return UsageError(f"{self.where(loc)}: {dotted(self.known(loc)) + ': ' if loc else ''}{message}")

    def _walk(self, loc: Loc) -> tuple[Node, Node, Loc]:
        place: Node = self.root
        node: Node = self.root
        known: list[Key] = []
        for part in loc:
            found = _child(node, part)
            if found is not None:
                place, node = found
                known.append(part)
        return place, node, tuple(known)


def dotted(loc: Loc) -> str:
    """`devices[2].serial`, `gates["gpu-*"].psnr_db`."""
    text = ""
    for part in loc:
        if isinstance(part, int):
            text += f"[{part}]"
        elif re.fullmatch(r"[A-Za-z0-9_-]+", part):
            text += f".{part}" if text else part
        else:
            text += f'["{part}"]'
    return text


def suggest(word: str, known: Iterable[str], label: str) -> str:
    """What may have been meant by a wrong word, and everything that is known: "; did you mean 'a'? label: a, b"."""
    names = list(known)
    return f"{nearest(word, names) or ';'} {label}: {', '.join(names) or 'none'}"


def display(path: Path) -> str:
    """A path as messages show it: relative to the current folder when it is inside."""
    absolute, here = path.absolute(), Path.cwd()
    return str(absolute.relative_to(here)) if absolute.is_relative_to(here) else str(path)


def load(path: Path, *, version: int, environ: Mapping[str, str] | None = None) -> Document:
    """Read a YAML file.

    Args:
        path: of the file.
        version: the value that its key `version` must have.
        environ: where placeholders are looked up; the process's environment by default.

    Raises:
        UsageError: for anything that is wrong with the file, with file, line and column where there are any.
    """
    name = display(path)
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        beside = [entry.name for entry in path.parent.iterdir()] if path.parent.is_dir() else []
        raise UsageError(f"{name}: no such file{nearest(path.name, beside)}") from None
    except IsADirectoryError:
        raise UsageError(f"{name}: is a folder; expected a YAML file") from None
    except OSError as error:
        raise UsageError(f"{name}: cannot be read: {error.strerror}") from None
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise UsageError(f"{name}:{line}: not a text file in UTF-8") from None
    return parse(text, name, version=version, environ=environ, path=path.absolute(), data=data)


def parse(
    text: str,
    name: str,
    *,
    version: int,
    environ: Mapping[str, str] | None = None,
    path: Path | None = None,
    data: bytes | None = None,
) -> Document:
    """Read YAML text; see `load`. `data` is what the SHA-256 is taken of, if not the text itself."""
    root = _compose(text, name)
    if root is None:
        raise UsageError(f"{name}: the file is empty; expected a mapping that starts with 'version: {version}'")
    values = _Values(name, os.environ if environ is None else environ).of(root)
    if not isinstance(values, dict) or not isinstance(root, MappingNode):
        raise UsageError(f"{name}:{_line(root)}: expected a mapping (key: value), got {_shown(root)}")
    digest = hashlib.sha256(text.encode() if data is None else data).hexdigest()
    document = Document(name=name, path=path, text=text, sha256=digest, data=values, root=root)
    if "version" not in values:
        raise UsageError(f"{name}: required key 'version' is missing; write 'version: {version}' at the top")
    if values["version"] != version or isinstance(values["version"], bool):
        message = f"this harness reads version {version}, got {document.shown(('version',))}"
        raise document.error(("version",), message)
    return document


def _compose(text: str, name: str) -> Node | None:
    marked = _PLACEHOLDER.sub(f"{_OPEN}\\1{_CLOSE}", text)
    depth = 0
    try:
        # The C composer recurses without a limit, and would end the process.
        for event in yaml.parse(marked, _Loader):
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            if depth > _DEEPEST:
                line = event.start_mark.line + 1 if event.start_mark else 1
                raise UsageError(f"{name}:{line}: not valid YAML: nested too deeply")
        return yaml.compose(marked, _Loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        at = f":{mark.line + 1}:{mark.column + 1}" if mark else ""
        lines = text.splitlines()
        indent = re.match(r"\s*", lines[mark.line]) if mark and mark.line < len(lines) else None
        what = "a tab cannot indent YAML; use spaces" if indent and "\t" in indent.group() else error.problem
        raise UsageError(f"{name}{at}: not valid YAML: {what}") from None
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise UsageError(f"{name}:{line}: not valid YAML: a control character") from None


class _Values:
    """Turns nodes into values, each node once, so that aliases of aliases cost nothing."""

    def __init__(self, name: str, environ: Mapping[str, str]) -> None:
        self._name = name
        self._environ = environ
        self._done: dict[int, object] = {}
        self._open: set[int] = set()

    def of(self, node: Node) -> object:
        if id(node) in self._done:
            return self._done[id(node)]
        if id(node) in self._open:
            raise self._error(node, "an anchor cannot contain itself")
        self._open.add(id(node))
        if isinstance(node, ScalarNode):
            value: object = self._scalar(node)
        elif isinstance(node, SequenceNode) and node.tag == _TAG + "seq":
            value = [self.of(item) for item in node.value]
        elif isinstance(node, MappingNode) and node.tag == _TAG + "map":
            value = self._mapping(node)
        else:
            raise self._error(node, f"the tag '{node.tag.replace(_TAG, '!!')}' is not used here; leave it out")
        self._open.remove(id(node))
        self._done[id(node)] = value
        return value

    def _mapping(self, node: MappingNode) -> dict[str, object]:
        lines: dict[str, int] = {}
        values: dict[str, object] = {}
        for key, value in node.value:
            if _is_merge(key):
                continue
            if key.tag != _TAG + "str":
                raise self._error(key, f"expected a text key, got {_shown(key)}; put it in quotes")
            if _MARKED.search(key.value):
                raise self._error(key, "placeholders are replaced in values, not in keys")
            if key.value in lines:
                raise self._error(key, f"duplicate key '{key.value}' (first at line {lines[key.value]})")
            lines[key.value] = _line(key)
            values[key.value] = self.of(value)
        for key, value in node.value:
            if not _is_merge(key):
                continue
            for item in map(self.of, _sources(value)):
                if not isinstance(item, dict):
                    raise self._error(key, "'<<' takes a mapping, or a list of mappings")
                values = {**item, **values}
        return values

    def _scalar(self, node: ScalarNode) -> object:
        kind, text = node.tag.removeprefix(_TAG), node.value
        if kind == "str":
            if "${" in text:
                raise self._error(node, "'${' without a closing '}'")
            return _MARKED.sub(lambda match: self._variable(node, match.group(1)), text)
        if kind == "null":
            return None
        try:
            if kind == "bool":
                return {"true": True, "false": False}[text.lower()]
            if kind == "int":
                return int(text)
            if kind == "float":
                return float(text.lower().replace(".inf", "inf").replace(".nan", "nan"))
        except (KeyError, ValueError):
            raise self._error(node, f"{_shown(node)} is no {kind}") from None
        raise self._error(node, f"the tag '{node.tag.replace(_TAG, '!!')}' is not used here; leave it out")

    def _variable(self, node: Node, name: str) -> str:
        if not re.fullmatch(r"HARNESS_[A-Za-z0-9_]+", name):
            raise self._error(node, f"'${{{name}}}' is not replaced: only names that start with HARNESS_ are")
        if name not in self._environ:
            raise self._error(node, f"the environment variable {name} is not set; set it, e.g. 'export {name}=...'")
        return self._environ[name]

    def _error(self, node: Node, message: str) -> UsageError:
        return UsageError(f"{self._name}:{_line(node)}: {message}")


def _line(node: Node) -> int:
    return int(node.start_mark.line) + 1


def _is_merge(key: Node) -> bool:
    return bool(key.tag == _TAG + "merge")


def _sources(node: Node) -> list[Node]:
    return list(node.value) if isinstance(node, SequenceNode) else [node]


def _pairs(node: MappingNode) -> Iterator[tuple[Node, Node]]:
    """Keys and values in order of precedence: written ones, then merged ones."""
    yield from ((key, value) for key, value in node.value if not _is_merge(key))
    for key, value in node.value:
        if _is_merge(key):
            for source in _sources(value):
                yield from _pairs(source) if isinstance(source, MappingNode) else ()


def _child(node: Node, part: Key) -> tuple[Node, Node] | None:
    """Where the item is named, and its value; None if there is no such item."""
    if isinstance(node, MappingNode):
        return next(((key, value) for key, value in _pairs(node) if key.value == part), None)
    if isinstance(node, SequenceNode) and isinstance(part, int) and part < len(node.value):
        return node.value[part], node.value[part]
    return None


def _shown(node: Node) -> str:
    if isinstance(node, MappingNode):
        return "a mapping"
    if isinstance(node, SequenceNode):
        return "a list"
    text = _MARKED.sub(r"${\1}", node.value)
    text = text if len(text) <= _SHOWN else text[:_SHOWN] + "..."
    if node.tag == _TAG + "null":
        return "nothing"
    return f"'{text}'" if node.tag == _TAG + "str" else text
