"""What devices.yaml may say, as types. Knows no adb, no usbmux, no ssh."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Discriminator, Field, PrivateAttr, Tag, WithJsonSchema, model_validator
from typing_extensions import Self

from harness.yamlmodel import EnvName, HostPort, Identity, Name, Number, RemoteFolder, Section, Sha256, Version, schema

VERSION = 1
WILDCARD = "*"
BIG = "big"
OWN_RUNNER = "delegate_bench"
ABIS: Mapping[str, str] = {
    "arm64-v8a": "aarch64-android",
    "armeabi-v7a": "armv7-android",
    "x86_64": "x86_64-android",
}
"""What Android calls its platforms -> the target that we call it."""
TARGETS = ("x86_64-linux", "aarch64-linux", "armv7-linux", "aarch64-macos", "x86_64-macos", *ABIS.values())
"""Platforms that the harness's own runner can be built for."""
IOS_TARGET = "aarch64-ios"
"""iPhones and iPads: the program and its runtime are inside an app, which its user builds and signs."""


_URL = r"^(https?://[^/\s]+|file://)/\S+$"

Launcher = Literal["auto", "tidevice", "devicectl", "go-ios", "pymobiledevice3", "manual"]
OWN_BUNDLE = "com.example.delegatebench"
"""What our app is called before its user signs it under a name of their own."""


def _url(value: object) -> object:
    if not isinstance(value, str) or not re.fullmatch(_URL, value):
        raise ValueError("expected a link that starts with https://, http:// or file:///")
    return value


Url = Annotated[str, BeforeValidator(_url), WithJsonSchema({"type": "string", "pattern": _URL})]


def abi_of(target: str) -> str | None:
    """Android's name of a target: "aarch64-android" -> "arm64-v8a"; None for platforms that are no Android's."""
    return next((abi for abi, known in ABIS.items() if known == target), None)


class BinarySource(Section):
    """A runner's program for one target: exactly one of `path` and `url`.

    Attributes:
        origin: "file:line: key" of the entry, for messages; "" for one of no file.
        shown_url: the link as messages may show it: with placeholders as they were written.
    """

    path: str | None = Field(default=None, description="The program, relative to this file.")
    url: Url | None = Field(
        default=None, repr=False, description="Where to download the program, once; needs `sha256`."
    )
    sha256: Sha256 | None = Field(default=None, description="Refuse the program if its content has another SHA-256.")
    _origin: str = PrivateAttr("")
    _shown_url: str = PrivateAttr("")

    @property
    def origin(self) -> str:
        """`file:line: key` of the entry."""
        return self._origin

    @property
    def shown_url(self) -> str:
        """The link without what may be secret in it: values from the environment, and its query."""
        return (self._shown_url or self.url or "").partition("?")[0]

    def at(self, origin: str, folder: Path, shown_url: str = "") -> Self:
        """The same source, with its origin and its link for messages, its path taken relative to `folder`."""
        placed = None if self.path is None else str(folder / self.path)
        copy = self.model_copy(update={"path": placed})
        copy._origin = origin
        copy._shown_url = shown_url
        return copy

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if (self.path is None) == (self.url is None):
            raise ValueError("a program has exactly one of the keys path and url")
        if self.url is not None and self.sha256 is None:
            raise ValueError("'url' needs 'sha256': what is downloaded is run, so that its content has to be known")
        return self


class RuntimeSource(Section):
    """Where one version of the LiteRT libraries comes from: exactly one of `wheel`, `aar` and `path`."""

    wheel: Version | None = Field(default=None, description="Version of the ai-edge-litert wheel.")
    aar: str | None = Field(default=None, description="An Android archive, relative to this file.")
    path: str | None = Field(default=None, description="A folder with the shared libraries, relative to this file.")
    sha256: Sha256 | None = Field(default=None, description="Refuse the archive if its content has another SHA-256.")

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if sum(value is not None for value in (self.wheel, self.aar, self.path)) != 1:
            raise ValueError("a runtime has exactly one of the keys wheel, aar and path")
        if self.sha256 and not self.aar:
            raise ValueError("'sha256' goes with 'aar' only")
        return self


class HostSpec(Section):
    """A computer that devices are plugged into."""

    ssh: Identity = Field(description="user@host, or a name from ~/.ssh/config.")
    identity: str | None = Field(default=None, repr=False, description="Private key file; else ssh's own choice.")


Cores = Annotated[
    Annotated[tuple[Annotated[int, Field(ge=0)], ...], Tag("list")] | Annotated[Literal["big"], Tag("word")],
    Discriminator(lambda value: "word" if isinstance(value, str) else "list"),
]


class DeviceLimits(Section):
    """When a device may start a measurement."""

    temperature: Number | None = Field(default=None, gt=0, le=100, description="At most this warm, in degrees Celsius.")
    battery: Number | None = Field(default=None, ge=0, le=100, description="At least this full, in percent.")


class DeviceSpec(Section):
    """What all kinds of devices have in common.

    Attributes:
        origin: "file:line" of the entry, for messages; "" for a device of no file.
    """

    kind: Literal["local", "android", "ios", "ssh"]
    name: Name = Field(default="", description="Unique in the lab. Devices found by '*' are named after what is found.")
    labels: tuple[Name, ...] = Field(default=(), description="What suites select devices by.")
    required: bool = Field(
        default=True, description="Whether its absence keeps the run from passing. Default: true, false for '*'."
    )
    limits: DeviceLimits = Field(default=DeviceLimits(), description="When it may start a measurement.")
    env: Mapping[EnvName, str] = Field(default={}, repr=False, description="Environment variables of the runner.")
    machine: Name | None = Field(
        default=None,
        description="The silicon behind it; devices of one machine take turns. Local devices share this machine.",
    )
    cores: Cores = Field(
        default=(), description="Numbers of the CPU cores to run on, or 'big' for an Android phone's fast ones."
    )
    _origin: str = PrivateAttr("")

    @property
    def origin(self) -> str:
        """`file:line` of the entry."""
        return self._origin

    @property
    def identity(self) -> str | None:
        """What the device is addressed by: serial number, UDID or network address; None for a local one."""
        return None

    @property
    def wildcard(self) -> bool:
        """Whether this stands for whatever is plugged in."""
        return self.identity == WILDCARD

    def at(self, origin: str) -> Self:
        """The same spec, with its origin."""
        copy = self.model_copy()
        copy._origin = origin
        return copy

    @model_validator(mode="after")
    def _named(self) -> Self:
        if self.wildcard and self.name:
            raise ValueError("an entry with '*' has no name: its devices are named after what is found")
        if not self.wildcard and not self.name:
            raise ValueError("required key 'name' is missing")
        return self


class LocalSpec(DeviceSpec):
    """The machine that the harness runs on."""

    kind: Literal["local"] = Field(description="This machine.")

    @model_validator(mode="after")
    def _numbered_cores(self) -> Self:
        if self.cores == BIG:
            raise ValueError("'cores: big' is for Android phones; give the numbers of the cores")
        return self


class RemoteSpec(DeviceSpec):
    """What all devices have in common that are not this machine."""

    may_reboot: bool = Field(default=False, description="Whether the harness may restart it to make it usable again.")
    power: tuple[str, ...] = Field(
        default=(), description="Command (a list of words) that switches its power off and on."
    )
    any: tuple[Identity, ...] = Field(
        default=(), description="Equal units under one name, instead of one: whichever is free."
    )

    def _check_identity(self, key: str) -> None:
        if self.identity is None and not self.any:
            raise ValueError(f"required key '{key}' is missing")
        if self.identity is not None and self.any:
            raise ValueError(f"give '{key}' or 'any', not both")
        if self.wildcard and self.may_reboot:
            raise ValueError("a device found by '*' is never rebooted: list it by itself, or leave out 'may_reboot'")


class PluggedSpec(RemoteSpec):
    """What phones have in common: they are plugged into a host, and can be found."""

    host: Name | None = Field(
        default=None, description="The computer it is plugged into, one of `hosts`; else this one."
    )
    exclude: tuple[Identity, ...] = Field(default=(), description="With '*': identities that are left alone.")

    @model_validator(mode="before")
    @classmethod
    def _wildcards_are_optional(cls, data: object) -> object:
        if isinstance(data, dict) and WILDCARD in (data.get("serial"), data.get("udid")):
            return {"required": False, **data}
        return data

    @model_validator(mode="after")
    def _excludes(self) -> Self:
        if self.exclude and not self.wildcard:
            raise ValueError("'exclude' goes with '*' only")
        return self


class AndroidSpec(PluggedSpec):
    """An Android phone or board, reached through adb."""

    kind: Literal["android"] = Field(description="Reached through adb.")
    serial: Identity | None = Field(
        default=None, description="As `adb devices` prints it, or '*' for whatever is plugged in."
    )
    adb_server: Identity | None = Field(
        default=None, description="host:port of its adb server; default: the local one."
    )
    root: RemoteFolder = Field(
        default="/data/local/tmp/harness", description="Folder on the phone that holds all that the harness puts there."
    )
    _found: bool = PrivateAttr(False)

    @property
    def identity(self) -> str | None:
        """The serial number."""
        return self.serial

    @property
    def found(self) -> bool:
        """Whether an entry with '*' found it: then it is never rebooted, and none of its settings is changed."""
        return self._found

    def as_found(self, name: str, serial: str) -> Self:
        """One of the phones that this entry with '*' stands for."""
        copy = self.model_copy(update={"name": name, "serial": serial, "exclude": ()})
        copy._found = True
        return copy

    @model_validator(mode="after")
    def _identified(self) -> Self:
        self._check_identity("serial")
        return self


class IosSpec(PluggedSpec):
    """An iPhone or iPad, reached through usbmux."""

    kind: Literal["ios"] = Field(description="Reached through usbmux.")
    udid: Identity | None = Field(default=None, description="The device's UDID, or '*' for whatever is plugged in.")
    bundle: Identity = Field(default=OWN_BUNDLE, description="Bundle identifier of the installed measuring app.")
    benchmark_bundle: Identity = Field(
        default="com.example.LiteRTBenchmark", description="Bundle identifier of upstream's benchmark app."
    )
    usbmuxd: Identity | None = Field(
        default=None,
        description="usbmuxd's socket: a path or host:port; default: $USBMUXD_SOCKET_ADDRESS, else the system's.",
    )
    launcher: Launcher = Field(
        default="auto", description="What starts the app; auto: what fits its iOS version and can be found."
    )
    rsd: HostPort | None = Field(
        default=None, description="host:port of a tunnel to it that is up already, for iOS 17 and later."
    )
    _found: bool = PrivateAttr(False)

    @property
    def identity(self) -> str | None:
        """The UDID."""
        return self.udid

    @property
    def found(self) -> bool:
        """Whether an entry with '*' found it."""
        return self._found

    def as_found(self, name: str, udid: str) -> Self:
        """One of the phones that this entry with '*' stands for."""
        copy = self.model_copy(update={"name": name, "udid": udid, "exclude": ()})
        copy._found = True
        return copy

    @model_validator(mode="after")
    def _identified(self) -> Self:
        self._check_identity("udid")
        return self


class SshSpec(RemoteSpec):
    """A computer or board reached through ssh."""

    kind: Literal["ssh"] = Field(description="Reached through ssh.")
    address: Identity | None = Field(
        default=None, description="user@host, user@host:port, or a name from ~/.ssh/config."
    )
    key: str | None = Field(
        default=None, alias="identity", repr=False, description="Private key file; else ssh's own choice."
    )
    root: RemoteFolder | None = Field(
        default=None,
        description="Folder on the board that holds all that the harness puts there. Default: ~/.cache/harness.",
    )

    @property
    def identity(self) -> str | None:
        """The network address."""
        return self.address

    @model_validator(mode="after")
    def _identified(self) -> Self:
        self._check_identity("address")
        return self


AnyDeviceSpec = Annotated[LocalSpec | AndroidSpec | IosSpec | SshSpec, Field(discriminator="kind")]


def _none_is_empty(value: object) -> object:
    return {} if value is None else value


class DevicesFile(Section):
    """devices.yaml."""

    version: Literal[1] = Field(description="Version of this format.")
    runners: Annotated[Mapping[Name, Mapping[Name, BinarySource]], BeforeValidator(_none_is_empty)] = Field(
        default={}, description="Runner -> target or ABI -> where its program comes from. Ours is built or fetched."
    )
    runtimes: Annotated[Mapping[Name, RuntimeSource], BeforeValidator(_none_is_empty)] = Field(
        default={}, description="Name -> where that version of the LiteRT libraries comes from."
    )
    hosts: Annotated[Mapping[Name, HostSpec], BeforeValidator(_none_is_empty)] = Field(
        default={}, description="Name -> a computer that devices are plugged into."
    )
    devices: tuple[AnyDeviceSpec, ...] = Field(min_length=1, description="The devices of this lab.")


def json_schema() -> dict[str, Any]:
    """JSON Schema of devices.yaml, for editors."""
    return schema(DevicesFile, "Devices of a lab")
