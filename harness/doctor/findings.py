"""What the doctor finds, and how it is shown."""

from __future__ import annotations

import enum
import io
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.text import Text

from harness.report.figures import plain
from harness.report.surface import Surface, emit

_WIDEST = 100
_MARK, _WHAT = 7, 10


class Level(enum.Enum):
    """How bad a finding is; the value is the word that is shown."""

    OK = "ok"
    NOTE = "note"
    MISSING = "MISSING"


_LAST_COMMAND = re.compile(r"(?P<words>.*:) `(?P<command>[^`]+)`")
"""What to do ends with a command: that gets a line of its own, to be copied."""
_STYLES = {Level.OK: "green", Level.NOTE: "yellow", Level.MISSING: "bold red"}


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        what: one word for it, at most 10 characters: "runner".
        level: MISSING is what keeps a lab from measuring.
        words: what there is, or what is wrong.
        fix: the one command, or the one thing to do, that mends it.
    """

    what: str
    level: Level
    words: str
    fix: str | None = None


@dataclass(frozen=True)
class Section:
    """Everything about one thing: this computer, or a device."""

    title: str
    findings: tuple[Finding, ...]

    @property
    def missing(self) -> tuple[Finding, ...]:
        """What keeps it from measuring."""
        return tuple(finding for finding in self.findings if finding.level is Level.MISSING)


def ok(what: str, words: str) -> Finding:
    """It is there."""
    return Finding(what, Level.OK, words)


def note(what: str, words: str, fix: str | None = None) -> Finding:
    """It may matter."""
    return Finding(what, Level.NOTE, words, fix)


def missing(what: str, words: str, fix: str | None = None) -> Finding:
    """It keeps the lab from measuring."""
    return Finding(what, Level.MISSING, words, fix)


def show_section(section: Section, surface: Surface) -> str:
    """A section as text: its title, then one line per finding, wrapped to the surface's width."""
    lines = [Text(plain(section.title), "bold")]
    for finding in section.findings:
        head = Text("  ")
        head.append(f"{finding.level.value:<{_MARK}} ", _STYLES[finding.level])
        head.append(f"{finding.what:<{_WHAT}} ")
        lines += _wrapped(head, finding.words, surface)
    return emit((_unbroken(line) for line in lines), surface)


def show_end(sections: Sequence[Section], surface: Surface) -> str:
    """What is to be done, each thing once, in the order found."""
    found = [finding for section in sections for finding in section.missing]
    if not found:
        return emit([Text("Everything needed is there.", "green")], surface)
    fixes = list(dict.fromkeys(finding.fix for finding in found if finding.fix))
    things = "1 thing is" if len(found) == 1 else f"{len(found)} things are"
    lines = [Text(f"{things} missing." + (" What mends it:" if fixes else ""), "bold")]
    for fix in fixes:
        found_command = _LAST_COMMAND.fullmatch(fix)
        lines += _wrapped(Text("  "), found_command["words"] if found_command else fix, surface)
        lines += [Text(f"    {plain(found_command['command'])}")] if found_command else []
    return emit((_unbroken(line) for line in lines), surface)


def _wrapped(head: Text, words: str, surface: Surface) -> Iterable[Text]:
    width = min(surface.width, _WIDEST) - len(head)
    measure = Console(file=io.StringIO(), width=width)
    for number, line in enumerate(Text(plain(words)).wrap(measure, width)):
        line.rstrip()
        yield (head if number == 0 else Text(" " * len(head))) + line


def _unbroken(line: Text) -> Text:
    """Sentences are wrapped by now; commands must stay whole, to be copied."""
    line.no_wrap = True
    return line
