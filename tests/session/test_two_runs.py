"""Another run on this computer has the machine: ours waits for its command to end, and says so."""

from __future__ import annotations

import os
import subprocess
import sys
import threading

from harness.clock import SystemClock
from harness.devices.local import machine_name
from harness.lab.lease import Lease, lease_keys
from harness.lab.spec import LocalSpec
from tests.session.conftest import Lab


def test_a_run_waits_for_another_ones_command(lab: Lab) -> None:
    lab.models("add")
    # A machine of its own, so that other runs on this computer have no part in the test.
    spec = LocalSpec(name="box", kind="local", machine=f"test-{lab.path.name}")
    lab.write("devices.yaml", f"version: 1\ndevices:\n  - {{name: box, kind: local, machine: {spec.machine}}}\n")
    lab.suite()
    (key,) = lease_keys(spec, machine_name())
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--devices", "devices.yaml"]
    environ = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    with Lease(key, SystemClock(), "another run"):
        process = subprocess.Popen(
            command, cwd=lab.path, env=environ, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        assert process.stdout is not None
        watchdog = threading.Timer(60, process.kill)
        watchdog.start()
        lines = []
        for line in process.stdout:
            lines.append(line)
            if "waiting" in line:
                break
        assert any("in use by" in line and "another run" in line for line in lines), "".join(lines)
        assert process.poll() is None
    output, _ = process.communicate(timeout=60)
    watchdog.cancel()
    assert process.returncode == 0, output
    assert lab.outcomes == {"add[box:cpu]": "PASS"}
