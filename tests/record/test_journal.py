"""The journal survives crashes, full disks and itself: whole lines, on disk before anybody is told."""

from __future__ import annotations

import errno
import json
import os
import threading
from pathlib import Path
from typing import Any

import pytest

from harness.plan.cell import ErrorClass, Outcome, Problem
from harness.plan.result import Measurement, OutputFile, RoundResult
from harness.record.journal import NAME, Journal, JournalError, read

HEADER = {"run": {"id": "r"}, "cells": [{"id": "s::m[d:c]", "role": "cell"}]}


def result(attempt: int = 1, **fields: Any) -> RoundResult:
    return RoundResult("s::m[d:c]", 1, attempt, 0, "2026-01-02T00:00:00.000Z", 0.5, **fields)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / NAME


def test_what_was_written_is_read_back(path: Path) -> None:
    output = OutputFile(0, 0, "out", "float32", (1, 4), str(path), 16, "00ff00ff")
    measured = result(
        measurement=Measurement((1.5, 2.5), outputs=(output,)),
        runner={"name": "delegate_bench"},
        state_before={"temperature_c": 31.5},
    )
    failed = result(2, problem=Problem(Outcome.ERROR, "the cable fell out", ErrorClass.DEVICE, "device"))
    journal = Journal(path.parent)
    journal.plan(HEADER)
    journal.attempt(measured)
    journal.attempt(failed)
    journal.close()
    plan, attempts = read(path)
    assert plan["cells"] == HEADER["cells"]
    assert attempts[0]["measurement"]["samples_us"] == [1.5, 2.5]
    assert attempts[0]["measurement"]["outputs"][0]["shape"] == [1, 4]
    assert attempts[0]["measurement"]["delegation"]["unsupported_ops"] == []
    assert attempts[0]["state_before"] == {"temperature_c": 31.5}
    assert attempts[1]["problem"] | {"unsupported_ops": []} == {
        "outcome": "ERROR",
        "reason": "the cable fell out",
        "error_class": "device",
        "kind": "device",
        "signal": None,
        "stage": None,
        "unsupported_ops": [],
    }
    assert len(path.read_bytes().splitlines()) == 3


def test_a_line_is_on_disk_before_the_call_returns(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log: list[tuple[str, int]] = []
    fsync = os.fsync

    def spy(number: int) -> None:
        fsync(number)
        assert os.fstat(number).st_ino == path.stat().st_ino
        log.append(("fsync", len(path.read_bytes().splitlines())))

    monkeypatch.setattr(os, "fsync", spy)
    journal = Journal(path.parent)
    journal.plan(HEADER)
    log.append(("planned", 1))
    journal.attempt(result())
    log.append(("attempted", 2))
    journal.close()
    assert log == [("fsync", 1), ("planned", 1), ("fsync", 2), ("attempted", 2)]


class Partial:
    """A stream that takes a part of one write, as a disk does that fills up."""

    def __init__(self, stream: Any, taken: int) -> None:
        self._stream = stream
        self._taken = taken

    def write(self, data: bytes) -> int:
        return int(self._stream.write(data[: self._taken]))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


@pytest.mark.parametrize("taken", [0, 1, 40])
def test_a_line_written_in_part_is_taken_back(path: Path, taken: int) -> None:
    journal = Journal(path.parent)
    journal.plan(HEADER)
    before = path.read_bytes()
    whole, journal._stream = journal._stream, Partial(journal._stream, taken)  # type: ignore[assignment]
    with pytest.raises(JournalError, match=r"cells\.jsonl cannot be written: No space left on device"):
        journal.attempt(result())
    assert path.read_bytes() == before
    journal._stream = whole
    journal.attempt(result(2))
    journal.close()
    assert [attempt["attempt"] for attempt in read(path)[1]] == [2]


def test_a_line_that_could_not_be_synced_is_taken_back(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = Journal(path.parent)
    journal.plan(HEADER)
    before = path.read_bytes()

    def broken(number: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(os, "fsync", broken)
    with pytest.raises(JournalError, match="Input/output error"):
        journal.attempt(result())
    journal.close()
    assert path.read_bytes() == before


def test_an_existing_journal_is_never_overwritten(path: Path) -> None:
    path.write_bytes(b"precious\n")
    with pytest.raises(JournalError, match="File exists"):
        Journal(path.parent)
    assert path.read_bytes() == b"precious\n"


def test_a_folder_that_is_not_there_is_a_journal_error(tmp_path: Path) -> None:
    with pytest.raises(JournalError, match="No such file or directory"):
        Journal(tmp_path / "gone")


def test_lines_of_many_threads_stay_whole(path: Path) -> None:
    journal = Journal(path.parent)
    journal.plan(HEADER)
    samples = tuple(float(number) for number in range(2000))

    def write(first: int) -> None:
        for number in range(5):
            journal.attempt(result(first + number, measurement=Measurement(samples)))

    threads = [threading.Thread(target=write, args=(10 * number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    journal.close()
    attempts = read(path)[1]
    assert sorted(a["attempt"] for a in attempts) == sorted(10 * n + m for n in range(8) for m in range(5))
    assert all(len(attempt["measurement"]["samples_us"]) == 2000 for attempt in attempts)


def test_writing_after_the_end_is_ignored(path: Path) -> None:
    journal = Journal(path.parent)
    journal.plan(HEADER)
    journal.close()
    journal.close()
    journal.attempt(result())
    assert read(path)[1] == []


PLAN = json.dumps({"type": "plan", **HEADER}).encode()
ATTEMPT = json.dumps({"type": "attempt", "attempt": 1}).encode()


@pytest.mark.parametrize("cut", [1, 5, len(ATTEMPT) - 1])
def test_a_last_line_that_a_crash_cut_short_is_left_out(path: Path, cut: int) -> None:
    path.write_bytes(PLAN + b"\n" + ATTEMPT + b"\n" + ATTEMPT[:cut])
    assert len(read(path)[1]) == 1


def test_a_last_line_without_its_end_counts_if_it_is_whole(path: Path) -> None:
    path.write_bytes(PLAN + b"\n" + ATTEMPT)
    assert len(read(path)[1]) == 1


def test_a_damaged_line_in_the_middle_is_refused(path: Path) -> None:
    path.write_bytes(PLAN + b"\n" + ATTEMPT[:20] + b"\n" + ATTEMPT + b"\n")
    with pytest.raises(ValueError, match=r"cells\.jsonl:2: damaged line"):
        read(path)


def test_a_damaged_line_that_was_ended_is_refused_even_at_the_end(path: Path) -> None:
    """A crash cuts a line before its end; one that has its end was damaged otherwise."""
    path.write_bytes(PLAN + b"\n" + ATTEMPT[:20] + b"\n")
    with pytest.raises(ValueError, match=r"cells\.jsonl:2: damaged line"):
        read(path)


@pytest.mark.parametrize("data", [b"", b"\n", ATTEMPT + b"\n", PLAN[:30], b"[1]\n", b"7\n" + ATTEMPT + b"\n"])
def test_a_file_without_a_plan_is_no_journal(path: Path, data: bytes) -> None:
    path.write_bytes(data)
    with pytest.raises(ValueError, match="the first line is not a plan"):
        read(path)


def test_lines_of_later_versions_are_ignored(path: Path) -> None:
    path.write_bytes(PLAN + b"\n" + b'{"type": "comment"}\n' + ATTEMPT + b"\n")
    assert len(read(path)[1]) == 1
