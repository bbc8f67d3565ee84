"""Which way starts apps on which iOS, and what becomes of tools that fail, hang or are not there."""

from __future__ import annotations

import json
import os
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from emulated.ios.apps import OWN_BUNDLE
from emulated.ios.lab import IosLab
from emulated.ios.phone import Phone
from harness.devices.ios.errors import (
    AppMissingError,
    CancelledError,
    GoneError,
    IosError,
    IosTimeoutError,
    LockedError,
    NoDeveloperImageError,
    Subject,
    ToolError,
    UnsupportedVersionError,
    UsbmuxdDownError,
)
from harness.devices.ios.routes import Choice, Handle, Route, choose, found_tools, open_route
from harness.devices.ios.routes.tool import Tool
from harness.devices.ios.routes.words import error_of
from harness.devices.ios.transport import Transport
from harness.errors import UsageError
from harness.lab.spec import IosSpec
from harness.plan.cell import ErrorClass
from tests.devices.android.conftest import until
from tests.devices.ios.bench import plug, rsd
from tests.devices.ios.conftest import CLOCK, SCRIPT, spec_of, with_script
from tests.ios_tools import go_ios, pymobiledevice3

__all__ = ["plug"]

pytestmark = pytest.mark.timeout(200)

SECONDS = 40.0


def spec(**keys: Any) -> IosSpec:
    return IosSpec.model_validate({"kind": "ios", "name": "phone", "udid": "U", **keys})


class Bin:
    """A PATH of a test, with programs that do nothing."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.folder.mkdir()

    def program(self, name: str, script: str = "exit 0") -> Path:
        path = self.folder / name
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)
        return path

    @property
    def environ(self) -> dict[str, str]:
        return {"PATH": str(self.folder)}


@pytest.fixture
def programs(tmp_path: Path) -> Bin:
    return Bin(tmp_path / "bin")


def test_up_to_ios_16_it_is_tidevice(programs: Bin) -> None:
    for version in ("13.7", "14.8", "16.4.1"):
        choice = choose(spec(), version, programs.environ)
        assert (choice.name, choice.program, choice.needs) == ("tidevice", (), ())
        assert "image" in (choice.image or "")


def test_from_ios_17_on_it_is_the_first_tool_that_is_found(programs: Bin) -> None:
    programs.program("pymobiledevice3")
    assert choose(spec(), "17.5", programs.environ).name == "pymobiledevice3"
    programs.program("ios")
    assert choose(spec(), "26.1", programs.environ).name == "go-ios"
    xcrun = programs.program("xcrun")
    choice = choose(spec(), "17.0", programs.environ)
    assert (choice.name, choice.program, choice.image) == ("devicectl", (str(xcrun), "devicectl"), None)
    assert list(found_tools(programs.environ)) == ["devicectl", "go-ios", "pymobiledevice3"]


def test_a_tunnel_in_devices_yaml_is_for_a_tool_that_takes_one(programs: Bin) -> None:
    programs.program("xcrun")
    programs.program("ios")
    choice = choose(spec(rsd="127.0.0.1:5555"), "26.1", programs.environ)
    assert choice.name == "go-ios"
    assert "127.0.0.1:5555" in choice.needs[0]


def test_an_xcode_without_devicectl_is_none(programs: Bin) -> None:
    programs.program("xcrun", "exit 72")
    assert "devicectl" not in found_tools(programs.environ)


def test_tools_may_be_named_by_variables(programs: Bin, tmp_path: Path) -> None:
    named = programs.program("other-name")
    environ = {"PATH": str(tmp_path), "HARNESS_GO_IOS": str(named)}
    assert found_tools(environ)["go-ios"] == (str(named),)
    environ = {"PATH": str(tmp_path), "HARNESS_PYMOBILEDEVICE3": str(named), "HARNESS_GO_IOS": "/nowhere"}
    assert dict(found_tools(environ)) == {"pymobiledevice3": (str(named),)}


def test_nothing_found_says_what_to_install_and_names_the_manual_way(programs: Bin) -> None:
    with pytest.raises(UnsupportedVersionError) as caught:
        choose(spec(), "17.5.1", programs.environ)
    for word in ("iOS 17.5.1", "Xcode 15", "npm install -g go-ios", "pipx install pymobiledevice3", "launcher: manual"):
        assert word in str(caught.value)
    assert caught.value.error_class is ErrorClass.CONFIG


@pytest.mark.parametrize(
    ("launcher", "version", "words"),
    [
        ("tidevice", "17.0", "up to iOS 16"),
        ("devicectl", "16.4", "iOS 17 and later"),
        ("go-ios", "26.1", "npm install"),
        ("pymobiledevice3", "13.7", "pipx install"),
    ],
)
def test_a_launcher_that_does_not_fit_is_refused(programs: Bin, launcher: str, version: str, words: str) -> None:
    with pytest.raises(UnsupportedVersionError, match=words):
        choose(spec(launcher=launcher), version, programs.environ)


def test_ios_17_0_to_17_3_needs_root_and_says_how(programs: Bin) -> None:
    programs.program("ios")
    programs.program("pymobiledevice3")
    for launcher in ("go-ios", "pymobiledevice3"):
        needs = choose(spec(launcher=launcher), "17.3.1", programs.environ).needs
        assert "root" in needs[0]
        assert "sudo " in needs[0]
        needs = choose(spec(launcher=launcher), "17.4", programs.environ).needs
        assert "sudo " not in needs[0]


def test_by_hand_fits_every_version(programs: Bin) -> None:
    for version in ("13.7", "26.1"):
        choice = choose(spec(launcher="manual"), version, programs.environ)
        assert "A person opens the app" in choice.needs[0]


# The tools themselves, against emulated iPhones.

Open = Callable[..., Route]


@pytest.fixture
def open_tool(lab: IosLab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Open:
    """Makes the route of a tool to a phone."""
    for name in ("HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(name, lab.environ[name])
    monkeypatch.setenv("HOME", str(tmp_path))

    def make(name: str, phone: Phone, **keys: Any) -> Route:
        program = {"go-ios": go_ios, "pymobiledevice3": pymobiledevice3}[name]()
        if phone.rsd_address is not None:
            keys = {"rsd": rsd(phone), **keys}
        chosen = spec_of(phone, lab, launcher=name, **keys)
        version = tuple(int(part) for part in phone.description.os_version.split(".")[:2])
        choice = Choice(name, (program,), (version[0], version[1]), ())
        return open_route(choice, chosen, Transport(chosen, CLOCK))

    return make


TOOLS = ("pymobiledevice3", "go-ios")


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        *(("go-ios", kind) for kind in ("iphone-8", "iphone-13", "iphone-14", "iphone-17")),
        *(("pymobiledevice3", kind) for kind in ("iphone-13", "iphone-17")),  # seconds for each call
    ],
)
def test_a_tool_starts_watches_and_ends_an_app(lab: IosLab, open_tool: Open, name: str, kind: str) -> None:
    phone = with_script(lab.add(kind, tls=True))
    route = open_tool(name, phone)
    handle = route.launch(SCRIPT, ["--once", "a b;c'd"], {"KEY": "v w;x"}, SECONDS)
    (process,) = phone.processes.live
    assert handle.pid == process.pid
    assert list(process.arguments) == ["--once", "a b;c'd"]
    assert b"\0KEY=v w;x\0" in Path(f"/proc/{process.pid}/environ").read_bytes()
    assert route.alive(handle, SECONDS) is True
    route.kill(handle, SECONDS)
    until(lambda: phone.processes.live == [])
    assert route.alive(handle, SECONDS) is False
    route.kill(handle, SECONDS)  # it has ended: that is fine


def test_a_variable_that_go_ios_would_cut_is_refused(lab: IosLab, open_tool: Open) -> None:
    with pytest.raises(UsageError, match="variable KEY: go-ios cannot pass a value with '='"):
        open_tool("go-ios", lab.add("iphone-13")).launch(OWN_BUNDLE, [], {"KEY": "a=b"}, SECONDS)


FAULTS: Mapping[str, tuple[Callable[[Phone], object], tuple[type[IosError], ...]]] = {
    "app missing": (lambda phone: phone.apps.pop(SCRIPT), (AppMissingError,)),
    "locked": (lambda phone: phone.lock(), (LockedError,)),
    "no image": (lambda phone: setattr(phone, "image_mounted", False), (NoDeveloperImageError,)),
    "no tunnel": (lambda phone: setattr(phone.faults, "no_tunnel", True), (ToolError, GoneError)),
}


@pytest.mark.parametrize("name", TOOLS)
@pytest.mark.parametrize("fault", FAULTS)
def test_what_a_tool_says_becomes_an_error_of_its_kind(lab: IosLab, open_tool: Open, name: str, fault: str) -> None:
    phone = with_script(lab.add("iphone-17"))
    route = open_tool(name, phone)
    cause, kinds = FAULTS[fault]
    cause(phone)
    if name == "go-ios" and fault in ("app missing", "locked"):
        kinds = (ToolError,)  # it does not say which of the two; the device asks the phone then
    with pytest.raises(IosError) as caught:
        route.launch(SCRIPT, [], {}, SECONDS)
    assert type(caught.value) in kinds, caught.value
    assert name in str(caught.value)
    assert caught.value.said


@pytest.mark.parametrize("name", TOOLS)
def test_a_tunnel_that_is_not_up_is_named(lab: IosLab, open_tool: Open, name: str) -> None:
    route = open_tool(name, lab.add("iphone-17"), rsd="127.0.0.1:9")
    with pytest.raises(ToolError, match=r"127\.0\.0\.1:9 \(`rsd` in devices\.yaml\)"):
        route.launch(OWN_BUNDLE, [], {}, SECONDS)


@pytest.mark.parametrize("name", TOOLS)
def test_without_a_tunnel_ios_17_0_to_17_3_is_told_of_root(lab: IosLab, open_tool: Open, name: str) -> None:
    phone = lab.add("iphone-14")
    phone.description = phone.description.model_copy(update={"os_version": "17.2"})
    route = open_tool(name, phone, rsd=None)
    with pytest.raises(ToolError, match="tunnel that root keeps up: run `sudo "):
        route.launch(OWN_BUNDLE, [], {}, SECONDS)


def test_a_tunnel_to_another_phone_is_refused(lab: IosLab, open_tool: Open) -> None:
    other = with_script(lab.add("iphone-17"))
    route = open_tool("pymobiledevice3", lab.add("iphone-17"), rsd=rsd(other))
    with pytest.raises(ToolError, match=f"leads to another phone, {other.udid}"):
        route.launch(SCRIPT, [], {}, SECONDS)
    assert other.processes.history == []


@pytest.mark.parametrize("name", TOOLS)
def test_a_usbmuxd_that_is_gone_is_told(lab: IosLab, open_tool: Open, name: str) -> None:
    route = open_tool(name, lab.add("iphone-13"))
    lab.stop_usbmuxd()
    with pytest.raises((UsbmuxdDownError, GoneError)):
        route.launch(OWN_BUNDLE, [], {}, SECONDS)


def test_a_call_that_is_never_answered_ends_in_time(lab: IosLab, open_tool: Open) -> None:
    phone = with_script(lab.add("iphone-17"))
    route = open_tool("pymobiledevice3", phone)
    handle = route.launch(SCRIPT, [], {}, SECONDS)
    phone.faults.dtx_unanswered = "isRunningPid:"
    with pytest.raises(IosTimeoutError, match="is-running-pid"):
        route.alive(handle, 5.0)


# Any tool.


@pytest.fixture
def tool(programs: Bin) -> Iterator[Tool]:
    program = programs.program("tool", 'echo "$$" >"$PIDS"; exec sleep 60')
    yield Tool("tool", (str(program),), Subject("phone", "U"), {"PIDS": str(programs.folder / "pids"), **os.environ})


def pids(programs: Bin) -> list[int]:
    path = programs.folder / "pids"
    return [int(word) for word in path.read_text().split()] if path.exists() else []


def gone(pid: int) -> bool:
    try:
        return "\nState:\tZ" in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return True


def test_a_tool_that_hangs_is_killed(tool: Tool, programs: Bin) -> None:
    with pytest.raises(IosTimeoutError, match="did not end within 1 s"):
        tool.run(["launch"], 1.0)
    assert all(gone(pid) for pid in pids(programs))


def test_a_cancelled_tool_ends_at_once_and_does_nothing_more(tool: Tool, programs: Bin) -> None:
    def cancel() -> None:
        until(lambda: pids(programs))
        tool.cancel()

    threading.Thread(target=cancel, daemon=True).start()
    began = CLOCK.monotonic()
    with pytest.raises(CancelledError):
        tool.run(["launch"], 60.0)
    assert CLOCK.monotonic() - began < 30
    with pytest.raises(CancelledError):
        tool.run(["launch"], 60.0)


def test_what_a_tool_leaves_running_ends_with_it(programs: Bin) -> None:
    program = programs.program("leaves", f'sleep 60 >/dev/null 2>&1 & echo "$!" >"{programs.folder}/pids"')
    said = Tool("leaves", (str(program),), Subject("phone"), dict(os.environ)).run([], 30.0)
    assert said.code == 0
    until(lambda: all(gone(pid) for pid in pids(programs)))


def test_a_tool_that_cannot_be_started_is_an_error_of_the_host(tmp_path: Path) -> None:
    with pytest.raises(ToolError, match="cannot be started") as caught:
        Tool("ghost", (str(tmp_path / "ghost"),), Subject("phone"), {}).run(["x"], 5.0)
    assert caught.value.error_class is ErrorClass.HOST


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        ("Device is not connected.", GoneError),
        ("Connection was terminated abruptly.", GoneError),
        ("Device is password protected. Please unlock and retry.", LockedError),
        ("The DTX service channel closed before replying (connection closing).", GoneError),
        ("something nobody has ever said", ToolError),
        ("", ToolError),
    ],
)
def test_words(said: str, kind: type[IosError]) -> None:
    error = error_of(Subject("phone", "U"), "tool", "launch", said)
    assert type(error) is kind
    assert "phone: tool failed at `launch`" in str(error)


# devicectl: nobody has run it here. This stand-in says what Apple documents, and is no more than that.

STAND_IN = f"""\
#!{sys.executable}
'''A stand-in for xcrun with devicectl: JSON as Apple's help texts describe it. Not Apple's program.'''
import json, os, pathlib, sys
words = sys.argv[1:]
if words == ["--find", "devicectl"]:
    sys.exit(0)
folder = pathlib.Path(os.environ["STAND_IN"])
calls = folder / "calls"
calls.write_text(calls.read_text() + json.dumps(words) + chr(10) if calls.exists() else json.dumps(words) + chr(10))
answer = json.loads((folder / "answer").read_text())
pathlib.Path(words[words.index("--json-output") + 1]).write_text(json.dumps(answer))
print("text for people")
sys.exit(1 if "error" in answer else 0)
"""


class Devicectl:
    """The stand-in, and the route that uses it."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        monkeypatch.setenv("STAND_IN", str(folder))
        program = folder / "xcrun"
        program.write_text(STAND_IN)
        program.chmod(0o755)
        one = spec(udid="00008110-U", usbmuxd="127.0.0.1:9")
        choice = choose(one, "17.5", {"PATH": str(folder)})
        self.route = open_route(choice, one, Transport(one, CLOCK))

    def says(self, **answer: object) -> None:
        (self.folder / "answer").write_text(json.dumps({"info": {"outcome": "success"}, **answer}))

    @property
    def calls(self) -> list[list[str]]:
        return [json.loads(line) for line in (self.folder / "calls").read_text().splitlines()]


@pytest.fixture
def devicectl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Devicectl:
    return Devicectl(tmp_path, monkeypatch)


def test_devicectl_starts_watches_and_ends_an_app(devicectl: Devicectl) -> None:
    devicectl.says(result={"process": {"processIdentifier": 4711, "executable": "file:///x"}})
    handle = devicectl.route.launch("com.example.app", ["--once", "1"], {"A": "b"}, SECONDS)
    assert handle == Handle(4711)
    (call,) = devicectl.calls
    assert call[:5] == ["devicectl", "device", "process", "launch", "--terminate-existing"]
    assert json.loads(call[call.index("--environment-variables") + 1]) == {"A": "b"}
    assert call[call.index("--device") + 1] == "00008110-U"
    assert call[-3:] == ["com.example.app", "--once", "1"]
    devicectl.says(result={"runningProcesses": [{"processIdentifier": 4711}, {"processIdentifier": 1}]})
    assert devicectl.route.alive(handle, SECONDS) is True
    devicectl.says(result={"runningProcesses": []})
    assert devicectl.route.alive(handle, SECONDS) is False
    devicectl.says(result={})
    devicectl.route.kill(handle, SECONDS)
    assert devicectl.calls[-1][1:4] == ["device", "process", "signal"]
    assert "SIGKILL" in devicectl.calls[-1]


def test_what_devicectl_says_is_quoted(devicectl: Devicectl) -> None:
    inner = {
        "domain": "FBSOpenApplicationErrorDomain",
        "code": 7,
        "userInfo": {"NSLocalizedFailureReason": {"string": "Unable to launch because the device was locked."}},
    }
    error = {
        "domain": "com.apple.dt.CoreDeviceError",
        "code": 10002,
        "userInfo": {
            "NSLocalizedDescription": {"string": "The application failed to launch."},
            "NSUnderlyingError": {"error": inner},
        },
    }
    devicectl.says(error=error, info={"outcome": "failed"})
    with pytest.raises(LockedError, match=r"The application failed to launch.*device was locked"):
        devicectl.route.launch("com.example.app", [], {}, SECONDS)
