"""What can go wrong between the controller and a phone: how it is caused, and what a caller is to see of it.

Rows are those of the table of faults that was measured with adbutils, where a third of them hang for ever.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from harness.devices.adb.errors import (
    AdbError,
    DeviceLostError,
    DeviceTimeoutError,
    RemoteError,
    ServerDownError,
    UnauthorizedError,
)
from tests.faults.conftest import TMP, Rig

MB = 1 << 20
PATIENCE = 1.5
"""Seconds that a call is given where its deadline is what ends it."""
LONG = 30.0
"""Seconds that a call is given where something else has to end it, long before."""

Step = Callable[[Rig], object]


@dataclass(frozen=True)
class Row:
    """A fault.

    Attributes:
        name: of the row.
        needs: what the phone has to be able to suffer; see `Phone.can`.
        cause: makes it happen, or sets it up; before the clock starts.
        call: what is under way.
        expected: class of the error.
        said: part of the error's message or of the device's own words.
        bound: seconds within which the call has to return, on a loaded machine.
        tcp: whether the phone is on the network.
        after: what has to hold then.
    """

    name: str
    needs: frozenset[str]
    cause: Step
    call: Step
    expected: type[AdbError]
    said: str = ""
    bound: float = 15.0
    tcp: bool = False
    after: Step = lambda rig: None


def push(size: int, seconds: float) -> Step:
    """Push so many bytes."""

    def call(rig: Rig) -> None:
        with rig.device.sync(seconds) as session:
            session.push(bytes(size), f"{TMP}/pushed")

    return call


def pull(seconds: float) -> Step:
    """Pull the file that `a_file` made."""

    def call(rig: Rig) -> None:
        with rig.device.sync(seconds) as session:
            session.pull(f"{TMP}/big", rig.folder / "pulled", 64 * MB)

    return call


def stat(rig: Rig) -> None:
    """Ask for a file."""
    with rig.device.sync(PATIENCE) as session:
        session.stat(TMP)


def shell(command: str, seconds: float) -> Step:
    """Run a command."""
    return lambda rig: rig.device.shell(command, seconds, limit=64 * MB)


def fault(**values: object) -> Step:
    """Set attributes of the phone's faults."""

    def cause(rig: Rig) -> None:
        for name, value in values.items():
            setattr(rig.phone.faults, name, value)

    return cause


def a_file(then: Step) -> Step:
    """A large file on the phone, then the fault."""

    def cause(rig: Rig) -> None:
        (rig.files / "big").write_bytes(bytes(20 * MB))
        then(rig)

    return cause


def refused(mode: str) -> Step:
    """The phone does something else with new connections, and the one that there is ends."""

    def cause(rig: Rig) -> None:
        rig.phone.faults.auth = mode  # type: ignore[assignment]
        rig.phone.drop()
        state = {"never": "unauthorized", "silent": "offline"}[mode]
        rig.until(lambda: [device.state for device in rig.device.server.devices()] == [state])

    return cause


def nothing_pulled(rig: Rig) -> None:
    """Neither the file nor a part of it is on the controller."""
    assert list(rig.folder.iterdir()) == []


def nothing_pushed(rig: Rig) -> None:
    """adbd took the part away."""
    rig.until(lambda: not (rig.files / "pushed").exists())


def asked_to_tap(rig: Rig) -> None:
    """A person was told what to do, once."""
    assert [text for text in rig.told if "Allow" in text] == rig.told
    assert len(rig.told) == 1


def none(rig: Rig) -> None:
    """Nothing has to be set up."""


def soon(action: Callable[[Rig], object]) -> Step:
    """Something happens while a transfer is under way that takes far longer."""
    return lambda rig: rig.later(0.7, lambda: action(rig))


def mid_shell(action: Callable[[Rig], object]) -> Step:
    """Something happens once `SLEEP` runs on the phone."""

    def act(rig: Rig) -> None:
        rig.until(lambda: rig.running(*SLEEP.split()) != [])
        action(rig)

    return lambda rig: rig.later(0.0, lambda: act(rig))


ANYTHING: frozenset[str] = frozenset()
ENDLESS = "while :; do echo 'still here'; sleep 0.05; done"
SLEEP = "sleep 25"
ZEROS = "head -c 50000000 /dev/zero"

ROWS = (
    Row("drops mid-push", frozenset({"drop_after"}), fault(drop_after=3 * MB), push(40 * MB, LONG), DeviceLostError),
    Row("drops mid-shell", frozenset({"drop_after"}), fault(drop_after=MB), shell(ZEROS, LONG), DeviceLostError),
    Row("drops mid-pull", frozenset({"drop_after"}), a_file(fault(drop_after=3 * MB)), pull(LONG), DeviceLostError,
        after=nothing_pulled),
    Row("hung: shell", frozenset({"hung"}), fault(hung=True), shell("true", PATIENCE), DeviceTimeoutError),
    Row("hung: push", frozenset({"hung"}), fault(hung=True), push(40 * MB, PATIENCE), DeviceTimeoutError),
    Row("hung: stat", frozenset({"hung"}), fault(hung=True), stat, DeviceTimeoutError),
    Row("push stalls", frozenset({"stall_after"}), fault(stall_after=2 * MB), push(40 * MB, PATIENCE),
        DeviceTimeoutError),
    Row("pull stalls", frozenset({"stall_after"}), a_file(fault(stall_after=2 * MB)), pull(PATIENCE),
        DeviceTimeoutError, after=nothing_pulled),
    Row("chatty command", ANYTHING, none, shell(ENDLESS, PATIENCE), DeviceTimeoutError),
    Row("server killed mid-shell", ANYTHING, mid_shell(lambda rig: rig.lab.kill_server()), shell(SLEEP, LONG),
        DeviceLostError),
    Row("server killed mid-push", frozenset({"rate"}), lambda rig: (fault(rate=5e5)(rig), soon(
        lambda rig: rig.lab.kill_server())(rig)), push(40 * MB, LONG), DeviceLostError),
    Row("server restarted, phone on TCP", ANYTHING, lambda rig: rig.lab.restart_server(), shell("true", LONG),
        DeviceLostError, tcp=True),
    Row("server hung", ANYTHING, lambda rig: rig.lab.stop_server(), shell("true", PATIENCE), ServerDownError),
    Row("server hung mid-shell", ANYTHING, mid_shell(lambda rig: rig.lab.stop_server()), shell(SLEEP, 4.0),
        DeviceTimeoutError),
    Row("unplugged", ANYTHING, lambda rig: rig.phone.unplug(), shell("true", LONG), DeviceLostError),
    Row("unplugged mid-shell", ANYTHING, mid_shell(lambda rig: rig.phone.unplug()), shell(SLEEP, LONG),
        DeviceLostError),
    Row("offline", ANYTHING, lambda rig: rig.phone.unplug(), shell("true", LONG), DeviceLostError, tcp=True),
    Row("gone for good", ANYTHING, lambda rig: rig.phone.unplug(), lambda rig: rig.connect(PATIENCE),
        DeviceLostError),
    Row("unauthorised: a call", frozenset({"auth"}), refused("never"), shell("true", LONG), UnauthorizedError, "Allow"),
    Row("unauthorised: waited for", frozenset({"auth"}), refused("never"), lambda rig: rig.connect(PATIENCE),
        UnauthorizedError, "Allow", after=asked_to_tap),
    Row("never answers", frozenset({"auth"}), refused("silent"), lambda rig: rig.connect(PATIENCE), DeviceLostError,
        bound=25.0),
    Row("full disk", frozenset({"quota"}), fault(quota=MB), push(40 * MB, LONG), RemoteError,
        "No space left on device", after=nothing_pushed),
    Row("slow", frozenset({"rate"}), fault(rate=3e5), push(40 * MB, PATIENCE), DeviceTimeoutError),
    Row("slow to open", frozenset({"open_delay"}), fault(open_delay=20.0), shell("true", PATIENCE),
        DeviceTimeoutError),
    Row("refused open", frozenset({"refuse_open"}), fault(refuse_open=True), shell("true", LONG), RemoteError,
        "closed"),
)  # fmt: skip

NOT_ON_REAL = frozenset(
    {
        "unauthorised: a call",
        "unauthorised: waited for",
        "never answers",
        "full disk",
        "slow to open",
        "refused open",
    }
)
"""Rows that cannot be caused from outside of Debian's adbd: it asks nobody for permission, and has no quota."""
