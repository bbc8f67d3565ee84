"""Faults in the middle of `pytest --devices`: a lost phone costs its own unfinished cells, and every row says why."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from emulated.android.lab import AdbLab
from emulated.android.phone import Phone
from harness.clock import SystemClock
from harness.devices.adb.errors import TAP_ALLOW
from harness.runners.build import build_runner
from tests.faults.conftest import end_servers
from tests.session.conftest import Lab, lab

__all__ = ["lab"]

pytestmark = pytest.mark.timeout(280)

CLOCK = SystemClock()
SLOW = "runs: {warmup: {count: 0, min_seconds: 0}, count: 3, min_seconds: 1.5, max_seconds: 5}\n"
BOUND = 150.0


@pytest.fixture
def phones(tmp_path: Path) -> Iterator[AdbLab]:
    with AdbLab(tmp_path / "phones") as phones:
        yield phones
        phones.continue_server()
        port = phones.server_port
    end_servers(port)


class Rack:
    """A lab's folder with phones in devices.yaml."""

    def __init__(self, lab: Lab, phones: AdbLab) -> None:
        self.lab = lab
        self.phones = phones

    def plug(self, **names: str) -> dict[str, Phone]:
        """Phones by name, each a machine of its own as real ones are."""
        found = {name: self.phones.add(kind) for name, kind in names.items()}
        entries = [
            f'  - {{name: {name}, kind: android, serial: "{phone.serial}", adb_server: "{self.server}"}}\n'
            for name, phone in found.items()
        ]
        self.lab.write("devices.yaml", "version: 1\ndevices:\n" + "".join(entries))
        return found

    @property
    def server(self) -> str:
        return f"localhost:{self.phones.server_port}"

    def suite(self, *models: str) -> None:
        """A suite whose cells take a second and a half each, on the CPU."""
        self.lab.models(*models)
        text = self.lab.suite().read_text()
        before, _, _ = text.partition("runs:")
        self.lab.write("suites/smoke.yaml", before + SLOW)

    def run(self, *during: Callable[[], object], inline: bool = False) -> pytest.RunResult:
        """`pytest --devices devices.yaml`, with something happening meanwhile; bounded in time."""
        threads = [threading.Thread(target=action, daemon=True) for action in during]
        began = CLOCK.monotonic()
        for thread in threads:
            thread.start()
        result = self.lab.inline() if inline else self.lab.run()
        assert CLOCK.monotonic() - began < BOUND
        for thread in threads:
            thread.join(10)
            assert not thread.is_alive()
        return result

    def printed(self) -> str:
        """What `run` has printed so far: pytester keeps it in these files."""
        files = [self.lab.path / name for name in ("stdout", "stderr")]
        return "".join(file.read_text() for file in files if file.exists())

    def reasons(self) -> dict[str, str]:
        return {cell["id"].partition("::")[2]: cell["reason"] or "" for cell in self.lab.matrix["cells"]}


@pytest.fixture
def rack(lab: Lab, phones: AdbLab, own_cache: Path) -> Rack:
    """The runner is there already: its build is not what is timed here."""
    assert own_cache.is_dir()
    build_runner()
    return Rack(lab, phones)


def until(condition: Callable[[], bool]) -> None:
    end = CLOCK.monotonic() + 100
    while not condition():
        assert CLOCK.monotonic() < end, "it did not happen"
        CLOCK.sleep(0.02)


def at_work(phone: Phone, cells: int) -> bool:
    """Whether the phone runs its job number `cells`."""
    runs = [service for service in phone.opened if service.startswith("shell") and "delegate_bench" in service]
    return len(runs) >= cells and bool(phone.processes())


def test_a_phone_that_dies_costs_only_its_own_unfinished_cells(rack: Rack, monkeypatch: pytest.MonkeyPatch) -> None:
    pair = rack.plug(sound="pixel-8", dying="galaxy-s23")
    rack.suite("add", "conv_2d", "softmax")

    def die() -> None:
        until(lambda: at_work(pair["dying"], 2))
        pair["dying"].crash()

    # Patience that a lab needs, and a test does not.
    monkeypatch.setattr("harness.devices.shell.run._RETURN", 2.0)
    monkeypatch.setattr("harness.devices.adb.device._RETURN_SECONDS", 2.0)
    result = rack.run(die, inline=True)
    outcomes = rack.lab.outcomes
    assert result.ret == 1
    assert {key: value for key, value in outcomes.items() if "sound" in key} == {
        f"{model}[sound:cpu]": "PASS" for model in ("add", "conv_2d", "softmax")
    }
    dying = [outcomes[f"{model}[dying:cpu]"] for model in ("add", "conv_2d", "softmax")]
    assert dying == ["PASS", "ERROR", "NOT_RUN"]
    reasons = rack.reasons()
    assert reasons["add[dying:cpu]"] == ""
    assert "dying: " in reasons["conv_2d[dying:cpu]"]
    assert "dying was lost and does not come back" in reasons["softmax[dying:cpu]"]
    summary = rack.lab.matrix["summary"]
    assert (summary["planned"], summary["pass"], summary["error"], summary["not_run"]) == (6, 4, 1, 1)
    assert summary["verdict"] != "PASS"


def test_a_phone_that_is_allowed_late_is_waited_for(rack: Rack) -> None:
    phone = rack.plug(phone="pixel-8")["phone"]
    rack.suite("add")
    phone.faults.auth = "after"
    phone.drop()

    def tap() -> None:
        until(lambda: TAP_ALLOW in rack.printed())
        phone.faults.allow()

    result = rack.run(tap)
    assert result.ret == 0
    assert rack.lab.outcomes == {"add[phone:cpu]": "PASS"}


def test_a_server_that_is_replaced_mid_run_costs_nothing(rack: Rack) -> None:
    phone = rack.plug(phone="pixel-8")["phone"]
    rack.suite("add", "conv_2d")

    def replace() -> None:
        until(lambda: at_work(phone, 1))
        rack.phones.restart_server()

    result = rack.run(replace)
    assert rack.lab.outcomes == {"add[phone:cpu]": "PASS", "conv_2d[phone:cpu]": "PASS"}, rack.reasons()
    assert result.ret == 0


def test_a_full_disk_is_an_error_of_its_device_with_what_to_do(rack: Rack) -> None:
    pair = rack.plug(sound="pixel-8", full="galaxy-s23")
    rack.suite("add")
    pair["full"].faults.quota = 1 << 20
    result = rack.run()
    assert result.ret == 1
    assert rack.lab.outcomes == {"add[sound:cpu]": "PASS", "add[full:cpu]": "ERROR"}
    (cell,) = (cell for cell in rack.lab.matrix["cells"] if cell["device"] == "full")
    assert cell["error"]["class"] == "device"
    assert "free space" in cell["reason"]


def test_a_phone_that_refuses_everything_costs_only_its_own_cells(rack: Rack) -> None:
    pair = rack.plug(sound="pixel-8", closed="galaxy-s23")
    rack.suite("add")
    pair["closed"].faults.refuse_open = True
    result = rack.run()
    assert result.ret == 1
    assert rack.lab.outcomes == {"add[sound:cpu]": "PASS", "add[closed:cpu]": "ERROR"}
    assert "closed" in rack.reasons()["add[closed:cpu]"]
