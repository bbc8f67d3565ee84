"""Apps as installation_proxy tells of them, and what it reads of a package that is to be installed."""

from __future__ import annotations

import os
import plistlib
import re
import uuid
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from emulated.ios.apps import App, Program
from emulated.ios.phone import Phone
from emulated.ios.services.afc_paths import Paths

_LONGEST_INFO = 1 << 20


class RefusedError(Exception):
    """What was asked for is refused.

    Attributes:
        name: The error as clients know it: "ApplicationVerificationFailed".
    """

    def __init__(self, name: str, words: str) -> None:
        super().__init__(words)
        self.name = name


@dataclass(frozen=True)
class Package:
    """What the Info.plist of a package says, see `App`."""

    bundle: str
    name: str
    executable: str
    version: str
    build: str
    file_sharing: bool
    minimum_version: str


def describe(phone: Phone, app: App) -> dict[str, Any]:
    """Everything that a phone tells of an app; its paths are those of a phone."""
    data = f"/private/var/mobile/Containers/Data/Application/{_unique(phone, app, 'data')}"
    told: dict[str, Any] = {
        "ApplicationType": "System" if app.system else "User",
        "CFBundleIdentifier": app.bundle,
        "CFBundleName": app.name,
        "CFBundleDisplayName": app.name,
        "CFBundleExecutable": app.executable,
        "CFBundleShortVersionString": app.version,
        "CFBundleVersion": app.build,
        "CFBundlePackageType": "APPL",
        "MinimumOSVersion": "13.0",
        "UIDeviceFamily": [1],
        "UIFileSharingEnabled": app.file_sharing,
    }
    if app.system:
        return told | {"Path": f"/Applications/{app.executable}.app"}
    return told | {
        "Path": f"/private/var/containers/Bundle/Application/{_unique(phone, app, 'bundle')}/{app.executable}.app",
        "Container": data,
        "EnvironmentVariables": {"CFFIXED_USER_HOME": data, "HOME": data},
        "SignerIdentity": "Apple Development: an emulated signature" if app.developer else "an emulated store",
        "ProfileValidated": True,
        "Entitlements": {"application-identifier": f"EMULATED00.{app.bundle}", "get-task-allow": app.developer},
    }


def _unique(phone: Phone, app: App, kind: str) -> str:
    return str(uuid.uuid5(uuid.NAMESPACE_URL, f"{phone.udid}/{app.bundle}/{kind}")).upper()


def read_package(paths: Paths, remote: str) -> Package:
    """Look into a package (.ipa) that a client has put on the phone.

    Args:
        paths: where clients put packages.
        remote: its path there.

    Raises:
        RefusedError: There is none, it is none, or it is not signed.
    """
    try:
        with paths.place(remote, follow=True) as place:
            handle = os.open(place.name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=place.folder)
        with os.fdopen(handle, "rb") as file, zipfile.ZipFile(file) as package:
            names = package.namelist()
            folder = next(name for name in names if name.endswith(".app/Info.plist") and name.count("/") == 2)
            if package.getinfo(folder).file_size > _LONGEST_INFO:
                raise ValueError(folder)
            info = plistlib.loads(package.read(folder))
            bundle = _plain(info["CFBundleIdentifier"])
            name = str(info.get("CFBundleName", bundle.rpartition(".")[2]))
            executable = _plain(info.get("CFBundleExecutable", name))
    except (OSError, StopIteration, KeyError, TypeError, ValueError, zipfile.BadZipFile) as error:
        raise RefusedError("PackageInspectionFailed", f"no app in {remote}: {error}") from error
    folder = folder.removesuffix("Info.plist")
    if not {f"{folder}embedded.mobileprovision", f"{folder}_CodeSignature/CodeResources"} <= set(names):
        raise RefusedError("ApplicationVerificationFailed", f"{bundle} has no signature for this phone")
    return Package(
        bundle=bundle,
        name=str(info.get("CFBundleDisplayName", name)),
        executable=executable,
        version=str(info.get("CFBundleShortVersionString", "1.0")),
        build=str(info.get("CFBundleVersion", "1")),
        file_sharing=info.get("UIFileSharingEnabled") is True,
        minimum_version=str(info.get("MinimumOSVersion", "")),
    )


def _plain(name: object) -> str:
    """A name that becomes part of paths."""
    if not isinstance(name, str) or not re.fullmatch(r"[\w][\w .+-]*", name):
        raise ValueError(f"{name!r} is no name")
    return name


def install(phone: Phone, package: Package) -> None:
    """Put a package's app on a phone, or in place of an older one, which keeps its files and what runs for it here.

    Raises:
        RefusedError: It needs a newer iOS.
    """
    if package.minimum_version and _numbers(package.minimum_version) > _numbers(phone.description.os_version):
        words = f"{package.bundle} needs iOS {package.minimum_version}, this is {phone.description.os_version}"
        raise RefusedError("DeviceOSVersionTooLow", words)
    app = phone.apps.get(package.bundle) or phone.add_app(package.bundle, _no_program)
    app.version, app.build = package.version, package.build
    app.name, app.executable = package.name, package.executable
    app.file_sharing = package.file_sharing
    app.developer = True


def _no_program() -> Program:
    raise ValueError("it came as a package for an iPhone, which this computer cannot run")


def _numbers(version: str) -> list[int]:
    return [int(part) if part.isdigit() else 0 for part in version.split(".")]


def chosen(told: Mapping[str, Any], options: Mapping[str, Any]) -> bool:
    """Whether a client asked for that app: by its type, by its bundle."""
    kind = options.get("ApplicationType", "Any")
    bundles = options.get("BundleIDs")
    return kind in ("Any", told["ApplicationType"]) and (bundles is None or told["CFBundleIdentifier"] in bundles)
