"""What devices.yaml may say, as types. Knows no adb, no usbmux, no ssh."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, PrivateAttr, model_validator
from typing_extensions import Self

from harness.yamlmodel import EnvName, Identity, Name, Number, Section, Sha256, Version, schema

VERSION = 1
WILDCARD = "*"
OWN_RUNNER = "delegate_bench"
TARGETS = ("x86_64-linux", "aarch64-linux", "armv7-linux", "aarch64-macos", "x86_64-macos", "aarch64-android")
"""Platforms that the harness's own runner can be built for."""


class BinarySource(Section):
    """A runner's program for one target."""

    path: str = Field(description="The program, relative to this file.")
    sha256: Sha256 | None = Field(default=None, description="Refuse the program if its content has another SHA-256.")


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
    cores: tuple[Annotated[int, Field(ge=0)], ...] = Field(
        default=(), description="Numbers of the CPU cores to run on."
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
    root: bool = Field(default=False, description="Whether commands may run as root.")

    @property
    def identity(self) -> str | None:
        """The serial number."""
        return self.serial

    @model_validator(mode="after")
    def _identified(self) -> Self:
        self._check_identity("serial")
        return self


class IosSpec(PluggedSpec):
    """An iPhone or iPad, reached through usbmux."""

    kind: Literal["ios"] = Field(description="Reached through usbmux.")
    udid: Identity | None = Field(default=None, description="The device's UDID, or '*' for whatever is plugged in.")
    bundle: Identity = Field(description="Bundle id of the installed measuring app.")
    usbmuxd: str | None = Field(
        default=None, description="usbmuxd's socket: a path or host:port; default: the system's."
    )

    @property
    def identity(self) -> str | None:
        """The UDID."""
        return self.udid

    @model_validator(mode="after")
    def _identified(self) -> Self:
        self._check_identity("udid")
        return self


class SshSpec(RemoteSpec):
    """A computer or board reached through ssh."""

    kind: Literal["ssh"] = Field(description="Reached through ssh.")
    address: Identity | None = Field(default=None, description="user@host, or a name from ~/.ssh/config.")
    root: bool = Field(default=False, description="Whether commands may run as root.")

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
        default={}, description="Runner -> target -> where its program comes from. Ours is built or fetched."
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
