"""A board as a device."""

from __future__ import annotations

from harness.clock import Clock
from harness.devices.board.facts import FACTS_SCRIPT, parse_facts, target_of
from harness.devices.board.state import STATE_SCRIPT, parse_state
from harness.devices.board.way import SshWay
from harness.devices.shell.device import ShellDevice
from harness.devices.shell.kind import Kind
from harness.devices.shell.remote import Remote
from harness.devices.ssh.connection import SshConnection
from harness.lab.spec import SshSpec

BOARD = Kind(
    noun="board",
    facts_script=FACTS_SCRIPT,
    parse_facts=parse_facts,
    target_of=target_of,
    state_script=STATE_SCRIPT,
    parse_state=parse_state,
    needs=("setsid", "timeout", "env"),  # no connection ends a program there: its time limit has to
    elsewhere="a folder that this user may write to, on a file system that is not mounted read-only or noexec",
    watch="look into `journalctl -k` on it, and at its power supply",
)


class BoardDevice(ShellDevice):
    """A board or server, reached through ssh. It needs neither Python nor a compiler."""

    def __init__(self, spec: SshSpec, clock: Clock) -> None:
        """Stand for the board; nothing is opened.

        Args:
            spec: its entry in devices.yaml, with an address.
            clock: time.

        Raises:
            UsageError: paramiko is not installed, or the address is none.
        """
        connection = SshConnection(spec.address or "", spec.key, spec.name, clock, owner="device")
        super().__init__(spec, Remote(SshWay(connection), spec.name, spec.root or "", BOARD), clock)
