"""What a phone is like, as a file says: properties, replies to commands, files, features."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Literal, TypeVar

from pydantic import AfterValidator, Discriminator, Field, Tag, model_validator
from typing_extensions import Self

from harness.errors import UsageError
from harness.yamlfile import display, parse, suggest
from harness.yamlmodel import EnvName, Name, Section, validate

T = TypeVar("T")
VERSION = 1
FOLDERS = ("data", "sys", "system", "vendor", "storage", "odm", "product", "proc")
NAMESPACES = ("system", "secure", "global")
PHONES = Path(__file__).parent / "phones"

# `${` is a placeholder in the harness's files and plain shell or plain text in these.
_OPEN, _SHIELDED = "${", "$\ue010{"


def _paths(files: Mapping[str, str]) -> Mapping[str, str]:
    for path in files:
        if not re.fullmatch(r"(/[^/\n]+)+", path):
            raise ValueError(f"'{path}' is no absolute path of a file, such as /sys/class/thermal/thermal_zone0/temp")
        top, _, rest = path[1:].partition("/")
        if not rest or top not in FOLDERS or (top == "proc" and "/" in rest):
            raise ValueError(
                f"'{path}' cannot be a file of the phone: it has /{', /'.join(FOLDERS)}; of /proc, files only"
            )
    return files


def _command_lines(commands: Mapping[str, T]) -> Mapping[str, T]:
    for line in commands:
        if not line or line != " ".join(line.split()):
            raise ValueError(f"'{line}' is no command line with single blanks between its words")
    return commands


def _namespaces(settings: Mapping[str, T]) -> Mapping[str, T]:
    for name in settings:
        if name not in NAMESPACES:
            raise ValueError(f"'{name}' is no namespace of settings{suggest(name, NAMESPACES, 'there are')}")
    return settings


def _line(text: str) -> str:
    if "\n" in text:
        raise ValueError("expected text of one line")
    return text


def _kind(reply: object) -> str:
    return "reply" if isinstance(reply, Mapping) else "text"


Line = Annotated[str, AfterValidator(_line)]


class Reply(Section):
    """What one command line prints: recorded text, or a script that makes it up.

    Attributes:
        output: on standard output.
        error: on standard error.
        exit: exit code.
        script: instead of the three: run by the phone's shell, with the command's arguments.
    """

    output: str = ""
    error: str = ""
    exit: Annotated[int, Field(ge=0, le=255)] = 0
    script: str | None = None

    @model_validator(mode="after")
    def _one_kind(self) -> Self:
        if self.script is not None and (self.output or self.error or self.exit):
            raise ValueError("a reply has either 'script', or 'output', 'error' and 'exit'")
        return self


AnyReply = Annotated[Annotated[str, Tag("text")] | Annotated[Reply, Tag("reply")], Discriminator(_kind)]


class Heating(Section):
    """How the phone warms up while a pushed program runs, and cools down to where it began.

    Attributes:
        file: a temperature in sysfs, in thousandths of a degree Celsius; it must be one of the phone's files.
        busy: degrees Celsius per second that it rises meanwhile.
        idle: degrees Celsius per second that it falls otherwise.
    """

    file: str
    busy: Annotated[float, Field(gt=0)]
    idle: Annotated[float, Field(ge=0)]


class Description(Section):
    """A phone. `emulated/README.md` explains the file, key by key.

    Attributes:
        name: what the lab calls phones of this kind.
        protocol: of its adbd. modern: version 1.0.1, packets of 1 MiB; old: 1.0.0, packets of 4 KiB with checksums.
        features: what its adbd announces; those that the emulated adbd does not have are left out.
        properties: what `getprop` knows; the phone's serial number is added when it is plugged in.
        settings: namespace (system, secure, global) -> key -> value; `settings put` changes them.
        commands: command line, words parted by single blanks -> its reply. Other command lines run the tool itself
            where the computer has it, and fail as on Android where not.
        scripts: program -> a shell script that is installed as that program.
        files: absolute path -> content, below `/sys`, `/vendor`, `/system`, `/data`, ... or one file of `/proc`.
        missing: programs that this phone does not have.
        environment: of its shell, above the lab's; "" takes a variable away.
        heating: how it warms up; None: it does not.
    """

    version: Literal[1]
    name: Name
    protocol: Literal["modern", "old"] = "modern"
    features: tuple[str, ...] = ()
    properties: Mapping[str, Line]
    settings: Annotated[Mapping[str, Mapping[str, Line]], AfterValidator(_namespaces)] = {}
    commands: Annotated[Mapping[str, AnyReply], AfterValidator(_command_lines)] = {}
    scripts: Mapping[Name, str] = {}
    files: Annotated[Mapping[str, str], AfterValidator(_paths)] = {}
    missing: tuple[Name, ...] = ()
    environment: Mapping[EnvName, str] = {}
    heating: Heating | None = None

    @model_validator(mode="after")
    def _temperature(self) -> Self:
        if self.heating is not None and not self.files.get(self.heating.file, "").strip().isdigit():
            raise ValueError(f"'heating' is about {self.heating.file}, which is no number among 'files'")
        return self

    def replies(self) -> dict[str, Reply]:
        """Every reply; plain text is an output with exit code 0."""
        return {line: Reply(output=reply) if isinstance(reply, str) else reply for line, reply in self.commands.items()}


def load(path: Path) -> Description:
    """Read the description of a phone.

    Raises:
        UsageError: for anything that is wrong with the file, with file, line and key.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{display(path)}: cannot be read: {error}; expected the description of a phone") from None
    document = parse(text.replace(_OPEN, _SHIELDED), display(path), version=VERSION)
    return validate(Description, replace(document, data=_bare(document.data)))


def named(phone: str) -> Description:
    """The description of a phone by its name in `phones/`, or by the path of a file of one's own.

    Raises:
        UsageError: no phone is called so, or its file is wrong.
    """
    if phone.endswith((".yaml", ".yml")):
        return load(Path(phone))
    if phone not in names():
        raise UsageError(
            f"no emulated phone is called '{phone}'{suggest(phone, names(), 'known here')}; "
            "the path of a file that ends in .yaml will do as well"
        )
    return load(PHONES / f"{phone}.yaml")


def names() -> list[str]:
    """Names of the phones that come with the project."""
    return sorted(path.stem for path in PHONES.glob("*.yaml"))


def _bare(value: dict[str, object]) -> dict[str, object]:
    return {_plain(key): _inner(item) for key, item in value.items()}


def _inner(value: object) -> object:
    if isinstance(value, dict):
        return _bare(value)
    if isinstance(value, list):
        return [_inner(item) for item in value]
    return _plain(value) if isinstance(value, str) else value


def _plain(text: str) -> str:
    return text.replace(_SHIELDED, _OPEN)
