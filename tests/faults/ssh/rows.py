"""What goes wrong between the controller and a board, and what has to come of it."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from harness.devices.base import DeviceError
from harness.devices.ssh.errors import (
    AuthRefusedError,
    HostKeyChangedError,
    HostKeyUnknownError,
    SshLostError,
    SshRefusedError,
    SshTimeoutError,
)
from harness.plan.cell import ErrorClass
from tests.faults.ssh.conftest import Rig

Step = Callable[[Rig], object]
When = Literal["connecting", "between", "pushing", "running"]

BOUND = 60.0
"""Seconds, far above what any of these takes: a guard against what hangs."""


@dataclass(frozen=True)
class Row:
    """One fault.

    Attributes:
        name: for the test's id.
        when: it happens: before the harness connects, before a job's files are looked for, while a file is on its way,
            or while the job's command runs.
        cause: makes it happen.
        expected: type of the error; None: the job goes on, and its result is whole.
        error_class: of the error.
        said: what its message has to say.
        mend: ends it; the device then has to work again.
        works_after: whether it can, in the same run.
        deadline: of the job, in seconds.
        patience: how long the harness waits for a board that is away for good, in seconds; None: as ever.
        stalls: whether it is the link that stalls.
    """

    name: str
    when: When
    cause: Step
    expected: type[DeviceError] | None
    error_class: ErrorClass = ErrorClass.DEVICE
    said: str = ""
    mend: Step = lambda _: None
    works_after: bool = True
    deadline: float = 30.0
    patience: float | None = None
    stalls: bool = False


def again(rig: Rig) -> None:
    """What was killed is there again."""
    rig.board.sshd.start()


def changed_key(rig: Rig) -> None:
    rig.board.sshd.new_host_key()
    rig.board.sshd.restart()
    rig.until_noticed()


def accepted(rig: Rig) -> None:
    rig.board.known_hosts.write_text(rig.board.sshd.known_host)


def locked_out(rig: Rig) -> None:
    keys = rig.board.sshd.folder / "authorized_keys"
    keys.rename(keys.with_suffix(".away"))


def locked_out_and_dropped(rig: Rig) -> None:
    locked_out(rig)
    rig.board.sshd.drop()
    rig.until_noticed()


def let_in(rig: Rig) -> None:
    keys = rig.board.sshd.folder / "authorized_keys"
    keys.with_suffix(".away").rename(keys)


def away_for_a_moment(rig: Rig) -> None:
    rig.board.sshd.kill()
    rig.until_noticed()
    rig.board.sshd.start()


def stalled_for_a_while(rig: Rig) -> None:
    rig.board.sshd.stall()
    rig.until_noticed()
    rig.board.sshd.resume()


def awake_again(rig: Rig) -> None:
    rig.board.sshd.resume()
    rig.files_as_before()


def full_disk(rig: Rig) -> None:
    """The kernel lets nobody write beyond the first MiB of a file."""
    rig.files_through("ulimit -f 2048; trap '' XFSZ; exec \"$SERVER\"")


def little_room(rig: Rig) -> None:
    head = "Filesystem 1K-blocks Used Available Use% Mounted on"
    rig.board.set_command("df", f"echo '{head}'; echo '/dev/root 100000 99000 1000 99% /'")


def read_only_home(rig: Rig) -> None:
    (rig.board.home / ".cache").mkdir(mode=0o555)
    if os.geteuid() == 0:  # whom permissions do not stop
        gone = "-dac_override,-dac_read_search"
        rig.board.set_command("mkdir", f'exec setpriv --bounding-set={gone} --inh-caps={gone} /bin/mkdir "$@"')


HOST, CONFIG = ErrorClass.HOST, ErrorClass.CONFIG

ROWS = (
    Row("unknown host key", "connecting", lambda rig: rig.board.known_hosts.write_text(""), HostKeyUnknownError, HOST,
        "ssh-keyscan", mend=accepted),
    Row("changed host key", "connecting", changed_key, HostKeyChangedError, HOST, "ssh-keygen", mend=accepted),
    Row("wrong key", "connecting", Rig.other_key, AuthRefusedError, HOST, "ssh-copy-id",
        mend=lambda rig: rig.config.write_text(rig.board.ssh_config.read_text()), works_after=False),
    Row("locked out", "connecting", locked_out, AuthRefusedError, HOST, "does not let us in", mend=let_in),
    Row("switched off", "connecting", lambda rig: rig.board.stop(), SshLostError, said="cannot be reached", mend=again,
        patience=1.0),
    Row("hangs", "connecting", lambda rig: rig.board.sshd.stall(), SshTimeoutError,
        mend=lambda rig: rig.board.sshd.resume(), patience=1.0),
    Row("read-only home", "connecting", read_only_home, DeviceError, CONFIG, "ermission denied",
        mend=lambda rig: (rig.board.home / ".cache").rmdir()),
    Row("locked out between jobs", "between", locked_out_and_dropped, AuthRefusedError, HOST,
        mend=let_in),
    Row("changed host key between jobs", "between", changed_key, HostKeyChangedError, HOST, "SHA256:", mend=accepted),
    Row("little room", "between", little_room, SshRefusedError, said="MiB of free space",
        mend=lambda rig: rig.board.set_command("df", 'exec /bin/df "$@"')),
    Row("full disk", "between", full_disk, SshRefusedError, mend=Rig.files_as_before),
    Row("killed mid-push", "pushing", lambda rig: rig.board.sshd.kill(), SshLostError,
        mend=Rig.files_as_before),
    Row("connection dropped mid-push", "pushing", lambda rig: rig.board.sshd.drop(), SshLostError,
        mend=Rig.files_as_before),
    Row("link stalled mid-push", "pushing", lambda rig: rig.board.sshd.stall(), SshLostError,
        mend=awake_again, stalls=True),
    Row("file server hangs mid-push", "pushing", lambda _: None, SshTimeoutError,
        mend=Rig.files_as_before, deadline=3.0),
    Row("connection dropped mid-run", "running", lambda rig: rig.board.sshd.drop(), None),
    Row("killed mid-run, and there again", "running", away_for_a_moment, None),
    Row("link stalled mid-run for a while", "running", stalled_for_a_while, None, stalls=True),
    Row("killed mid-run for good", "running", lambda rig: rig.board.sshd.kill(), SshLostError,
        mend=again, patience=1.0),
    Row("link stalled mid-run for good", "running", lambda rig: rig.board.sshd.stall(), SshLostError,
        mend=lambda rig: rig.board.sshd.resume(), patience=1.0, stalls=True),
    Row("rebooted mid-run", "running", lambda rig: rig.board.reboot(), SshLostError,
        said="restarted while the job ran"),
    Row("power lost mid-run", "running", lambda rig: rig.board.crash(), SshLostError,
        mend=lambda rig: rig.board.start(), patience=1.0),
)  # fmt: skip
