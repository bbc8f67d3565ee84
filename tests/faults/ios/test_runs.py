"""Faults in the middle of `pytest --devices`: a lost iPhone costs its own unfinished cells, and every row says why."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from emulated.ios.apps import OWN_BUNDLE
from emulated.ios.lab import IosLab
from emulated.ios.phone import Phone
from harness.clock import SystemClock
from harness.devices.ios.device import IosDevice
from tests.devices.ios.conftest import homes
from tests.ios_tools import needs_tidevice
from tests.session.conftest import Lab, lab

__all__ = ["homes", "lab"]

pytestmark = pytest.mark.timeout(280)

CLOCK = SystemClock()
BOUND = 150.0


@pytest.fixture
def phones(tmp_path: Path, homes: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[IosLab]:
    needs_tidevice()
    with IosLab(tmp_path / "phones") as made:
        for name in ("HTTP_PROXY", "HTTPS_PROXY"):
            monkeypatch.setenv(name, made.environ[name])
        yield made
        assert (made.pairing, made.failures) == ([], [])
    assert list(homes.iterdir()) == []


class Rack:
    """A lab's folder with iPhones in devices.yaml, each a machine of its own as real ones are."""

    def __init__(self, lab: Lab, phones: IosLab) -> None:
        self.lab = lab
        self.phones = phones

    def plug(self, launcher: str = "auto", **names: str) -> dict[str, Phone]:
        """Phones by name."""
        found = {name: self.phones.add(kind) for name, kind in names.items()}
        text = "version: 1\ndevices:\n"
        for name, phone in found.items():
            keys = {"name": name, "kind": "ios", "udid": phone.udid, "launcher": launcher}
            text += f"  - {json.dumps({**keys, 'usbmuxd': self.phones.address})}\n"
        self.lab.write("devices.yaml", text)
        return found

    def suite(self, *models: str) -> None:
        """A suite of one cell for each model and phone, on the CPU."""
        self.lab.models(*models)
        self.lab.suite()

    def run(self, *during: Callable[[], object]) -> pytest.RunResult:
        """`pytest --devices devices.yaml`, with something happening meanwhile; bounded in time."""
        threads = [threading.Thread(target=action, daemon=True) for action in during]
        began = CLOCK.monotonic()
        for thread in threads:
            thread.start()
        result = self.lab.inline()
        assert CLOCK.monotonic() - began < BOUND
        for thread in threads:
            thread.join(10)
            assert not thread.is_alive()
        return result

    def cell(self, name: str) -> dict[str, Any]:
        """A row of the matrix."""
        (found,) = (cell for cell in self.lab.matrix["cells"] if cell["id"].endswith(f"::{name}"))
        row: dict[str, Any] = found
        return row


@pytest.fixture
def rack(lab: Lab, phones: IosLab) -> Rack:
    return Rack(lab, phones)


def until(condition: Callable[[], object]) -> None:
    end = CLOCK.monotonic() + 100
    while not condition():
        assert CLOCK.monotonic() < end, "it did not happen"
        CLOCK.sleep(0.02)


def measured(phone: Phone) -> Callable[[], None]:
    """Waits until the phone measures its next cell, and stays there; ask before the run, or while it is held."""
    app = phone.apps[OWN_BUNDLE]
    app.hold("run")
    return lambda: until(lambda: app.held)


def test_a_phone_that_is_lost_costs_only_its_own_unfinished_cells(rack: Rack, monkeypatch: pytest.MonkeyPatch) -> None:
    pair = rack.plug(sound="iphone-13", lost="iphone-11")
    rack.suite("add", "conv_2d", "softmax")

    first = measured(pair["lost"])

    def lose() -> None:
        first()
        measured(pair["lost"])()
        pair["lost"].unplug()

    # Patience that a lab needs, and a test does not.
    monkeypatch.setattr("harness.devices.ios.run._RETURN", 1.0)
    monkeypatch.setattr("harness.devices.ios.device._RETURN", 1.0)
    assert rack.run(lose).ret == 1
    outcomes = rack.lab.outcomes
    assert [outcomes[f"{model}[sound:cpu]"] for model in ("add", "conv_2d", "softmax")] == ["PASS"] * 3
    assert [outcomes[f"{model}[lost:cpu]"] for model in ("add", "conv_2d", "softmax")] == ["PASS", "ERROR", "NOT_RUN"]
    assert rack.cell("conv_2d[lost:cpu]")["error"]["class"] == "device"
    assert "check its cable" in rack.cell("conv_2d[lost:cpu]")["reason"]
    assert "lost was lost and does not come back" in rack.cell("softmax[lost:cpu]")["reason"]
    pair["lost"].plug()


def test_an_app_that_the_system_kills_is_an_error_of_the_runner_and_is_not_tried_again(rack: Rack) -> None:
    phone = rack.plug(phone="iphone-13")["phone"]
    rack.suite("add", "conv_2d")

    first = measured(phone)

    def kill() -> None:
        first()
        phone.kill_app(OWN_BUNDLE)

    assert rack.run(kill).ret == 1
    assert rack.lab.outcomes == {"add[phone:cpu]": "ERROR", "conv_2d[phone:cpu]": "PASS"}
    row = rack.cell("add[phone:cpu]")
    assert row["error"]["class"] == "runner"
    assert len(row["attempts"]) == 1
    assert len(phone.processes.history) == 3, "the probe, and one start for each cell"


def test_a_phone_that_is_locked_mid_run_is_unlocked_and_measured_again(
    rack: Rack, monkeypatch: pytest.MonkeyPatch
) -> None:
    phone = rack.plug(phone="iphone-13")["phone"]
    rack.suite("add")
    monkeypatch.setattr("harness.devices.ios.run._LOCK_LOOK", 0.3)
    recovering = threading.Event()
    recover = IosDevice.recover

    def notice(device: IosDevice) -> None:
        recovering.set()
        recover(device)

    monkeypatch.setattr(IosDevice, "recover", notice)

    first = measured(phone)

    def lock() -> None:
        first()
        phone.lock()
        until(recovering.is_set)
        phone.unlock()

    assert rack.run(lock).ret == 0
    attempts = rack.cell("add[phone:cpu]")["attempts"]
    assert [attempt["outcome"] for attempt in attempts] == ["ERROR", "MEASURED"]
    assert "unlock it" in attempts[0]["reason"]


def test_a_full_phone_is_an_error_of_the_device_with_what_to_do(rack: Rack) -> None:
    phone = rack.plug(phone="iphone-13")["phone"]
    rack.suite("add")
    phone.free_bytes = 1 << 20
    assert rack.run().ret == 1
    row = rack.cell("add[phone:cpu]")
    assert (row["outcome"], row["error"]["class"]) == ("ERROR", "device")
    assert "space" in row["reason"]


def test_a_phone_that_nothing_here_can_start_an_app_on_says_what_to_install(
    rack: Rack, monkeypatch: pytest.MonkeyPatch
) -> None:
    rack.plug(sound="iphone-13", new="iphone-17")
    rack.suite("add")
    monkeypatch.setattr("harness.devices.ios.routes.choice.found_tools", lambda _: {})
    assert rack.run().ret == 1
    assert rack.lab.outcomes == {"add[sound:cpu]": "PASS", "add[new:cpu]": "ERROR"}
    row = rack.cell("add[new:cpu]")
    assert row["error"]["class"] == "config"
    for words in ("iOS 26.1", "go-ios", "pymobiledevice3", "launcher: manual"):
        assert words in row["reason"]


def test_by_hand_one_tap_is_enough_for_a_whole_run(rack: Rack) -> None:
    phone = rack.plug("manual", phone="iphone-17")["phone"]
    rack.suite("add", "conv_2d", "softmax")

    def tap() -> None:
        until((phone.apps[OWN_BUNDLE].documents / "job.json").exists)
        phone.open_app(OWN_BUNDLE)

    assert rack.run(tap).ret == 0
    assert rack.lab.outcomes == {f"{model}[phone:cpu]": "PASS" for model in ("add", "conv_2d", "softmax")}
    assert len(phone.processes.history) == 1
    assert rack.lab.matrix["devices"][0]["facts"]["route"] == "manual"
