"""A phone as a device."""

from __future__ import annotations

from harness.clock import Clock
from harness.devices.adb.device import AdbDevice
from harness.devices.adb.server import open_server
from harness.devices.android.facts import FACTS_SCRIPT, parse_facts, target_of
from harness.devices.android.screen import Screen
from harness.devices.android.state import STATE_SCRIPT, parse_state
from harness.devices.shell.device import ShellDevice
from harness.devices.shell.kind import Kind
from harness.devices.shell.remote import Remote
from harness.devices.shell.way import Way
from harness.lab.spec import AndroidSpec

PHONE = Kind(
    noun="phone",
    facts_script=FACTS_SCRIPT,
    parse_facts=parse_facts,
    target_of=target_of,
    state_script=STATE_SCRIPT,
    parse_state=parse_state,
    needs=(),
    elsewhere="/data/local/tmp is the place that Android has for this",
    watch="watch `adb logcat`",
)


class AndroidDevice(ShellDevice):
    """A phone, reached through adb."""

    def __init__(self, spec: AndroidSpec, clock: Clock, way: Way | None = None) -> None:
        """Stand for the phone; nothing is opened.

        Args:
            spec: its entry in devices.yaml, with a serial. One found by '*' keeps its settings.
            clock: time.
            way: to the phone; by default through its adb server.

        Raises:
            UsageError: its adb server has no proper address.
        """
        if way is None:
            way = AdbDevice(open_server(spec.adb_server, clock), spec.serial or "", spec.name, clock)
        remote = Remote(way, spec.name, spec.root, PHONE)
        super().__init__(spec, remote, clock, Screen(remote, change=not spec.found))
