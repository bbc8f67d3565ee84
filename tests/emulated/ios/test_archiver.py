"""NSKeyedArchiver: there and back, and against tidevice's codec, which shares nothing with ours."""

from __future__ import annotations

import plistlib
import uuid
from datetime import datetime, timedelta, timezone
from plistlib import UID
from typing import Any

import pytest

from emulated.ios.dtx.archiver import ArchiveError, Error, Instance, Null, archive, unarchive
from emulated.ios.dtx.auxiliary import Int32, Int64, pack, unpack
from tests.ios_tools import needs_tidevice

NUMBER = uuid.UUID("12345678-1234-5678-1234-567812345678")
NOON = datetime(2026, 11, 20, 12, 0, 0, 500_000, tzinfo=timezone(timedelta(hours=1)))
BELOW = Error("FBSOpenApplicationErrorDomain", 7, {"BSErrorCodeDescription": "Locked"})

VALUES: dict[str, Any] = {
    "nil": None,
    "true": True,
    "zero": 0,
    "negative": -5,
    "large": 2**63,
    "real": 0.1,
    "text": "Grüße, 手机",
    "data": b"\x00\xff",
    "empty": {},
    "nested": {"list": [1, "two", {"three": [b"4"]}], "again": [[], {}]},
    "keys": {1: "one", "two": 2},
    "set": {"a", "b"},
    "null": Null(),
    "date": NOON,
    "uuid": NUMBER,
    "error": Error("com.example", 2, {"NSUnderlyingError": BELOW, "NSLocalizedDescription": "no"}),
    "instance": Instance("XRSomething", {"number": 1, "real": 0.5, "words": "w", "list": [1, Instance("XROther")]}),
}


@pytest.mark.parametrize("name", VALUES)
def test_values_come_back(name: str) -> None:
    back = unarchive(archive(VALUES[name]))
    assert back == VALUES[name]
    assert type(back) is type(VALUES[name])


def test_nothing_in_a_container_is_null() -> None:
    assert unarchive(archive([None, {"a": None}])) == [Null(), {"a": Null()}]


def test_tidevice_reads_what_is_written() -> None:
    needs_tidevice()
    from tidevice import bplist

    for name in ("true", "zero", "negative", "text", "data", "empty", "nested"):
        assert bplist.objc_decode(archive(VALUES[name])) == VALUES[name], name
    assert bplist.objc_decode(archive(NUMBER)) == NUMBER
    error = bplist.objc_decode(archive(VALUES["error"]))
    assert (error.domain, error.code, error.user_info["NSLocalizedDescription"]) == ("com.example", 2, "no")
    assert error.user_info["NSUnderlyingError"].code == 7


def test_what_tidevice_writes_is_read() -> None:
    needs_tidevice()
    from tidevice import bplist

    for value in ("text", {"a": [1, True, "x"], "b": {}}, [{"c": 2}], {1, 2}, NUMBER):
        assert unarchive(bplist.objc_encode(value)) == value
    assert unarchive(bplist.objc_encode([bplist.NSNull()])) == [Null()]


@pytest.mark.parametrize(
    ("name", "fields", "value"),
    [
        ("NSMutableString", {"NS.string": "text"}, "text"),
        ("NSMutableData", {"NS.data": b"data"}, b"data"),
        ("NSMutableDictionary", {"NS.keys": [UID(2)], "NS.objects": [UID(2)]}, {"k": "k"}),
        ("NSMutableArray", {"NS.objects": [UID(2), UID(2)]}, ["k", "k"]),
        ("NSMutableSet", {"NS.objects": [UID(2)]}, {"k"}),
    ],
)
def test_mutable_classes_are_as_their_plain_ones(name: str, fields: dict[str, Any], value: object) -> None:
    assert unarchive(archived([{**fields, "$class": UID(3)}, "k", {"$classname": name}])) == value


@pytest.mark.parametrize(
    "data",
    {
        "no property list": b"nonsense",
        "another one": plistlib.dumps({"a": 1}),
        "a list": plistlib.dumps([]),
        "no root": plistlib.dumps({"$archiver": "NSKeyedArchiver", "$objects": [], "$top": {}}),
    }.values(),
)
def test_what_is_no_archive_is_refused(data: bytes) -> None:
    with pytest.raises(ArchiveError, match="no archive"):
        unarchive(data)


@pytest.mark.parametrize(
    "objects",
    [
        [{"$class": UID(99)}],
        [{"NS.objects": []}],
        [{"$class": UID(2), "NS.objects": [UID(1)]}, {"$classname": "NSArray"}],
        [{"$class": UID(2), "NS.keys": [UID(0)], "NS.objects": []}, {"$classname": "NSDictionary"}],
        [{"$class": UID(2), "NS.keys": [UID(1)], "NS.objects": [UID(0)]}, {"$classname": "NSDictionary"}],
        [{"$class": UID(2), "NS.time": "noon"}, {"$classname": "NSDate"}],
        [{"$class": UID(2)}, {"$classname": "NSUUID"}],
    ],
)
def test_a_damaged_archive_is_refused(objects: list[Any]) -> None:
    with pytest.raises(ArchiveError):
        unarchive(archived(objects))


def test_an_unknown_type_is_not_written() -> None:
    with pytest.raises(ArchiveError, match="object cannot be archived"):
        archive([object()])


def test_arguments_come_back() -> None:
    values = [Int32(-1), Int64(2**40), "text", None, {"a": 1}, 5]
    assert unpack(pack(values)) == values
    assert pack([]) == b""
    assert unpack(b"") == []


@pytest.mark.parametrize("cut", [1, 20, 40])
def test_damaged_arguments_are_refused(cut: int) -> None:
    with pytest.raises((ValueError, ArchiveError)):
        unpack(pack(["text", Int32(1)])[:-cut])


def archived(objects: list[Any]) -> bytes:
    top = {
        "$archiver": "NSKeyedArchiver",
        "$version": 100000,
        "$objects": ["$null", *objects],
        "$top": {"root": UID(1)},
    }
    return plistlib.dumps(top, fmt=plistlib.FMT_BINARY)
