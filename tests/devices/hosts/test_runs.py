"""A host that is lost in the middle of `pytest --devices`: an error of class host at worst, and never a failure."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable

import pytest

from emulated.android.phone import Phone
from harness.runners.build import build_runner
from tests.devices.hosts.conftest import MakeRack, Rack
from tests.devices.jobs import until
from tests.session.conftest import Lab, lab

__all__ = ["lab"]

pytestmark = pytest.mark.timeout(280)

SLOW = "runs: {warmup: {count: 0, min_seconds: 0}, count: 3, min_seconds: 1.5, max_seconds: 5}\n"
MODELS = ("add", "conv_2d", "softmax")


@pytest.fixture
def rack(make_rack: MakeRack, lab: Lab, monkeypatch: pytest.MonkeyPatch) -> Rack:
    """A host with one phone, and a suite whose cells take a second and a half each."""
    build_runner()
    rack = make_rack()
    monkeypatch.setenv("HOME", str(lab.path))
    lab.write(".ssh/config", rack.sshd.config("rack"))
    phone = rack.phones.add("pixel-8")
    far = {"name": "far", "kind": "android", "serial": phone.serial, "host": "rack", "adb_server": rack.far}
    own = {"name": "box", "kind": "local"}
    lab.write("devices.yaml", json.dumps({"version": 1, "hosts": {"rack": {"ssh": "rack"}}, "devices": [own, far]}))
    lab.models(*MODELS)
    text = lab.suite().read_text()
    lab.write("suites/smoke.yaml", text.partition("runs:")[0] + SLOW)
    return rack


def run(lab: Lab, phone: Phone, act: Callable[[], object], *, inline: bool = False) -> pytest.RunResult:
    """A run, with something happening while the phone is at its second job."""

    def at_work() -> bool:
        runs = [service for service in phone.opened if service.startswith("shell") and "delegate_bench" in service]
        return len(runs) >= 2 and bool(phone.processes())

    def wait() -> None:
        until(at_work, 100)
        act()

    thread = threading.Thread(target=wait, daemon=True)
    thread.start()
    result = lab.inline() if inline else lab.run()
    thread.join(10)
    assert not thread.is_alive()
    return result


def test_an_sshd_that_is_restarted_costs_nothing(rack: Rack, lab: Lab) -> None:
    result = run(lab, rack.phones.phones[0], rack.sshd.restart)
    reasons = [cell["reason"] for cell in lab.matrix["cells"]]
    assert lab.outcomes == {f"{model}[{name}:cpu]": "PASS" for model in MODELS for name in ("box", "far")}, reasons
    assert result.ret == 0
    assert rack.kept, "what the phone needs went through the host's cache"


def test_a_host_that_is_gone_costs_its_phones_cells_alone(
    rack: Rack, lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Patience that a lab needs, and a test does not.
    monkeypatch.setattr("harness.devices.shell.run._RETURN", 2.0)
    monkeypatch.setattr("harness.devices.hosts.host._CONNECT_SECONDS", 2.0)
    result = run(lab, rack.phones.phones[0], rack.sshd.kill, inline=True)
    assert result.ret == 1
    assert [lab.outcomes[f"{model}[box:cpu]"] for model in MODELS] == ["PASS"] * 3
    assert [lab.outcomes[f"{model}[far:cpu]"] for model in MODELS] == ["PASS", "ERROR", "NOT_RUN"]
    (cell,) = (cell for cell in lab.matrix["cells"] if cell["outcome"] == "ERROR")
    assert cell["error"]["class"] == "host"
    assert "far: " in cell["reason"]
    assert "rack" in cell["reason"]
