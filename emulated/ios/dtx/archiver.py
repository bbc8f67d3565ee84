"""NSKeyedArchiver, as far as messages of instruments need it: values to binary property lists and back.

An archive is a property list `{"$archiver", "$version", "$objects": [...], "$top": {"root": UID}}`. Numbers, strings
and data are in `$objects` as they are. Everything else is a dictionary with a `$class`; what it holds are UIDs: places
in `$objects`.
"""

from __future__ import annotations

import plistlib
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from plistlib import UID
from typing import Any

_VERSION = 100_000
_NIL = UID(0)
_DEEPEST = 64
_EPOCH = datetime(2001, 1, 1, tzinfo=timezone.utc)

_MUTABLE = ("NSMutableDictionary", "NSMutableArray", "NSMutableSet", "NSMutableString", "NSMutableData")


class ArchiveError(Exception):
    """This is no archive, or none that can be represented."""


@dataclass(frozen=True)
class Null:
    """NSNull: the nothing inside containers, which cannot hold nil."""


@dataclass(frozen=True)
class Error:
    """NSError: what a call fails with.

    Attributes:
        details: NSUserInfo; may hold the error below this one as NSUnderlyingError.
    """

    domain: str
    code: int
    details: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Instance:
    """An object of a class that is not translated: its fields as they are."""

    name: str
    fields: Mapping[str, Any] = field(default_factory=dict)


def archive(value: object) -> bytes:
    """A binary archive of a value.

    Takes None (nil), bool, int, float, str, bytes, dict, list, tuple, set, aware datetimes, UUIDs, `Null`, `Error` and
    `Instance`.

    Raises:
        ArchiveError: There is another type in it.
    """
    writer = _Writer()
    root = writer.add(value)
    top = {"$archiver": "NSKeyedArchiver", "$version": _VERSION, "$objects": writer.objects, "$top": {"root": root}}
    return plistlib.dumps(top, fmt=plistlib.FMT_BINARY)


def unarchive(data: bytes) -> object:
    """The value in an archive; objects of classes that nobody knows here are `Instance`s.

    Raises:
        ArchiveError: It is no archive; it refers to itself; or it is nested deeper than anything sensible.
    """
    try:
        top = plistlib.loads(data)
        if not isinstance(top, dict) or top.get("$archiver") != "NSKeyedArchiver":
            raise ArchiveError("this is no archive")
        return _Reader(top["$objects"]).at(top["$top"]["root"], 0)
    except ArchiveError:
        raise
    except Exception as error:  # plistlib raises many kinds of errors for damaged files
        raise ArchiveError(f"this is no archive: {type(error).__name__}: {error}") from error


class _Writer:
    def __init__(self) -> None:
        self.objects: list[Any] = ["$null"]
        self._classes: dict[str, UID] = {}

    def add(self, value: object) -> UID:
        if value is None:
            return _NIL
        if isinstance(value, (bool, int, float, str, bytes)):
            return self._append(value)
        place = self._append(None)
        self.objects[place.data] = self._record(value)
        return place

    def _append(self, value: object) -> UID:
        self.objects.append(value)
        return UID(len(self.objects) - 1)

    def _record(self, value: object) -> dict[str, Any]:
        if isinstance(value, Mapping):
            keys = [self.add(key) for key in value]
            return self._of("NSDictionary", {"NS.keys": keys, "NS.objects": self._all(list(value.values()))})
        if isinstance(value, (list, tuple)):
            return self._of("NSArray", {"NS.objects": self._all(value)})
        if isinstance(value, (set, frozenset)):
            return self._of("NSSet", {"NS.objects": self._all(sorted(value, key=repr))})
        if isinstance(value, datetime):
            return self._of("NSDate", {"NS.time": (value - _EPOCH).total_seconds()})
        if isinstance(value, uuid.UUID):
            return self._of("NSUUID", {"NS.uuidbytes": value.bytes})
        if isinstance(value, Null):
            return self._of("NSNull", {})
        if isinstance(value, Error):
            place = {"NSDomain": self.add(value.domain), "NSUserInfo": self.add(value.details)}
            return self._of("NSError", {"NSCode": value.code, **place})
        if isinstance(value, Instance):
            inline = (bool, int, float, bytes)
            fields = {k: v if isinstance(v, inline) else self.add(v) for k, v in value.fields.items()}
            return self._of(value.name, fields)
        raise ArchiveError(f"{type(value).__name__} cannot be archived")

    def _all(self, values: Sequence[Any]) -> list[UID]:
        return [self.add(Null() if value is None else value) for value in values]

    def _of(self, name: str, fields: dict[str, Any]) -> dict[str, Any]:
        if name not in self._classes:
            self._classes[name] = self._append({"$classname": name, "$classes": [name, "NSObject"]})
        return {**fields, "$class": self._classes[name]}


class _Reader:
    def __init__(self, objects: Sequence[Any]) -> None:
        self._objects = objects

    def at(self, place: UID, depth: int) -> object:
        if depth > _DEEPEST:
            raise ArchiveError("this archive refers to itself, or is nested too deeply")
        if place == _NIL:
            return None
        value = self._objects[place.data]
        if not isinstance(value, dict):
            return value
        name = self._objects[value["$class"].data]["$classname"]
        for mutable in _MUTABLE:
            if name == mutable:
                name = name.replace("Mutable", "")
        fields = {key: self._field(one, depth) for key, one in value.items() if key != "$class"}
        known = _KNOWN.get(name)
        try:
            return Instance(name, fields) if known is None else known(fields)
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise ArchiveError(f"this {name} is damaged: {error!r}") from error

    def _field(self, value: object, depth: int) -> object:
        if isinstance(value, UID):
            return self.at(value, depth + 1)
        if isinstance(value, list):
            return [self._field(one, depth) for one in value]
        return value


def _dictionary(fields: Mapping[str, Any]) -> dict[Any, Any]:
    return dict(zip(fields["NS.keys"], fields["NS.objects"], strict=True))


def _date(fields: Mapping[str, Any]) -> datetime:
    return _EPOCH + timedelta(seconds=fields["NS.time"])


def _error(fields: Mapping[str, Any]) -> Error:
    return Error(fields["NSDomain"], fields["NSCode"], fields.get("NSUserInfo") or {})


_KNOWN: Mapping[str, Callable[[Mapping[str, Any]], Any]] = {
    "NSDictionary": _dictionary,
    "NSArray": lambda fields: fields["NS.objects"],
    "NSSet": lambda fields: set(fields["NS.objects"]),
    "NSString": lambda fields: fields["NS.string"],
    "NSData": lambda fields: fields["NS.data"],
    "NSDate": _date,
    "NSUUID": lambda fields: uuid.UUID(bytes=fields["NS.uuidbytes"]),
    "NSNull": lambda _: Null(),
    "NSError": _error,
}
