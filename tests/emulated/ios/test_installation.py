"""installation_proxy of emulated iPhones: which apps there are, putting one on the phone, taking one away."""

from __future__ import annotations

import io
import plistlib
import zipfile
from collections.abc import Mapping
from typing import Any

import pytest

from emulated.ios.apps import OWN_BUNDLE, UPSTREAM_BUNDLE, AppError, Program
from emulated.ios.lab import IosLab
from emulated.ios.phone import Phone
from tests.emulated.ios import wire
from tests.emulated.ios.wire import Afc, Wire, service

PROXY = "com.apple.mobile.installation_proxy"
NEW = "com.example.new"


@pytest.fixture
def phone(lab: IosLab) -> Phone:
    return lab.add("iphone-11")


def package(bundle: str = NEW, *, signed: bool = True, **info: Any) -> bytes:
    """An app for an iPhone, as far as the emulation looks into it."""
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w") as archive:
        told = {"CFBundleIdentifier": bundle, "CFBundleName": "New", "CFBundleShortVersionString": "2.5", **info}
        archive.writestr("Payload/New.app/Info.plist", plistlib.dumps(told))
        archive.writestr("Payload/New.app/New", b"machine code")
        if signed:
            archive.writestr("Payload/New.app/embedded.mobileprovision", b"profile")
            archive.writestr("Payload/New.app/_CodeSignature/CodeResources", b"signature")
    return written.getvalue()


def upload(lab: IosLab, phone: Phone, content: bytes) -> str:
    with Afc(service(lab.address, phone, "com.apple.afc")) as media:
        assert media.status(wire.MAKE_DIR, "PublicStaging") == wire.SUCCESS
        assert media.put("PublicStaging/app.ipa", content) == wire.SUCCESS
    return "PublicStaging/app.ipa"


def told(lab: IosLab, phone: Phone, **request: Any) -> list[Mapping[str, Any]]:
    """All that the proxy says to a request, until it is done."""
    said: list[Mapping[str, Any]] = []
    with service(lab.address, phone, PROXY) as proxy:
        proxy.send(**request)
        while not said or (said[-1].get("Status") != "Complete" and "Error" not in said[-1]):
            said.append(proxy.receive())
    return said


def browsed(lab: IosLab, phone: Phone, **options: Any) -> dict[str, Mapping[str, Any]]:
    pages = told(lab, phone, Command="Browse", ClientOptions=options)
    return {app["CFBundleIdentifier"]: app for page in pages[:-1] for app in page["CurrentList"]}


def test_apps_are_listed_with_what_is_known_of_them(lab: IosLab, phone: Phone) -> None:
    apps = browsed(lab, phone, ApplicationType="User")
    assert set(apps) == {OWN_BUNDLE, UPSTREAM_BUNDLE}
    own = apps[OWN_BUNDLE]
    assert own["UIFileSharingEnabled"] is True
    assert own["Container"].startswith("/private/var/mobile/Containers/Data/Application/")
    assert str(phone.folder) not in str(apps)


def test_a_client_chooses_apps_and_attributes(lab: IosLab, phone: Phone) -> None:
    phone.add_app("com.apple.Maps", Program(("true",))).system = True
    phone.apps[OWN_BUNDLE].version = "3.1"
    assert set(browsed(lab, phone, ApplicationType="System")) == {"com.apple.Maps"}
    assert len(browsed(lab, phone)) == 3
    attributes = ["CFBundleIdentifier", "CFBundleShortVersionString", "NoSuchThing"]
    wanted = {"BundleIDs": [OWN_BUNDLE, "com.example.absent"], "ReturnAttributes": attributes}
    expected = {OWN_BUNDLE: {"CFBundleIdentifier": OWN_BUNDLE, "CFBundleShortVersionString": "3.1"}}
    assert browsed(lab, phone, **wanted) == expected
    (answer,) = told(lab, phone, Command="Lookup", ClientOptions=wanted)
    assert answer == {"Status": "Complete", "LookupResult": expected}


def test_long_lists_come_in_pages(lab: IosLab, phone: Phone) -> None:
    for number in range(23):
        phone.add_app(f"com.example.app{number}", Program(("true",)))
    pages = told(lab, phone, Command="Browse")
    assert [page.get("CurrentIndex") for page in pages] == [0, 10, 20, None]
    assert sum(page["CurrentAmount"] for page in pages[:-1]) == 25


def test_one_connection_answers_many_requests(lab: IosLab, phone: Phone) -> None:
    with service(lab.address, phone, PROXY) as proxy:
        assert proxy.ask(Command="Nonsense")["Error"] == "UnknownCommand"
        for _ in range(2):
            answer = proxy.ask(Command="Lookup", ClientOptions={"BundleIDs": [OWN_BUNDLE]})
            assert set(answer["LookupResult"]) == {OWN_BUNDLE}


def observer(lab: IosLab, phone: Phone, *names: str) -> Wire:
    proxy = service(lab.address, phone, "com.apple.mobile.notification_proxy")
    for name in (*names, "test.ready"):
        proxy.send(Command="ObserveNotification", Name=name)
    proxy.send(Command="PostNotification", Name="test.ready")
    assert proxy.receive() == {"Command": "RelayNotification", "Name": "test.ready"}
    return proxy


def test_an_app_is_installed_and_removed(lab: IosLab, phone: Phone) -> None:
    names = [f"com.apple.mobile.application_{what}" for what in ("installed", "uninstalled")]
    with observer(lab, phone, *names) as notices:
        path = upload(lab, phone, package(UIFileSharingEnabled=True))
        said = told(lab, phone, Command="Install", PackagePath=path)
        percents = [one["PercentComplete"] for one in said[:-1]]
        assert percents == sorted(percents)
        assert percents
        assert notices.receive()["Name"] == names[0]
        app = phone.apps[NEW]
        assert (app.version, app.name, app.file_sharing, app.developer) == ("2.5", "New", True, True)
        with wire.vend(lab.address, phone, NEW) as files:
            assert files.put("/Documents/x", b"1") == wire.SUCCESS
        with pytest.raises(AppError, match="cannot run"):
            phone.open_app(NEW)
        assert told(lab, phone, Command="Uninstall", ApplicationIdentifier=NEW)[-1] == {"Status": "Complete"}
        assert notices.receive()["Name"] == names[1]
        assert NEW not in phone.apps
        assert not app.container.exists()
    assert phone.services.actions == [f"Install {NEW}", f"Uninstall {NEW}"]


def test_an_update_keeps_files_and_ends_what_runs(lab: IosLab, phone: Phone) -> None:
    app = phone.add_app(NEW, Program(("sleep", "1000")), version="1.0")
    (app.documents / "kept").write_bytes(b"1")
    pid = phone.open_app(NEW)
    said = told(lab, phone, Command="Upgrade", PackagePath=upload(lab, phone, package()))
    assert said[-1] == {"Status": "Complete"}
    assert (phone.apps[NEW].version, (app.documents / "kept").read_bytes()) == ("2.5", b"1")
    assert phone.wait_app(pid) == -9
    assert phone.processes.alive(phone.open_app(NEW)), "what ran for it here runs again"


@pytest.mark.parametrize(
    ("content", "error"),
    [
        (package(signed=False), "ApplicationVerificationFailed"),
        (package(MinimumOSVersion="15.0"), "DeviceOSVersionTooLow"),
        (package(CFBundleIdentifier="../../escaped"), "PackageInspectionFailed"),
        (package(CFBundleExecutable="a/b"), "PackageInspectionFailed"),
        (b"no archive", "PackageInspectionFailed"),
        (None, "PackageInspectionFailed"),
    ],
)
def test_what_cannot_be_installed_is_refused(lab: IosLab, phone: Phone, content: bytes | None, error: str) -> None:
    path = "PublicStaging/absent.ipa" if content is None else upload(lab, phone, content)
    before = dict(phone.apps)
    said = told(lab, phone, Command="Install", PackagePath=path)[-1]
    assert said["Error"] == error
    assert said["ErrorDescription"]
    assert phone.apps == before


def test_a_package_is_looked_for_in_the_media_folder_only(lab: IosLab, phone: Phone) -> None:
    (phone.folder / "outside.ipa").write_bytes(package())
    said = told(lab, phone, Command="Install", PackagePath="/../outside.ipa")[-1]
    assert said["Error"] == "PackageInspectionFailed"


def test_removing_what_is_not_there_succeeds_and_the_system_stays(lab: IosLab, phone: Phone) -> None:
    phone.add_app("com.apple.Maps", Program(("true",))).system = True
    assert told(lab, phone, Command="Uninstall", ApplicationIdentifier="com.example.absent")[-1] == {
        "Status": "Complete"
    }
    assert "Error" in told(lab, phone, Command="Uninstall", ApplicationIdentifier="com.apple.Maps")[-1]
    assert "com.apple.Maps" in phone.apps
