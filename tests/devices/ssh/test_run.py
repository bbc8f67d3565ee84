"""Commands, many at once, and what a connection does when it is lost: against the real sshd."""

from __future__ import annotations

import os
import signal
import threading
from pathlib import Path

import pytest

from emulated.ssh.sshd import Sshd
from harness.devices.ssh import transport
from harness.devices.ssh.channels import open_tcp
from harness.devices.ssh.connection import SshConnection
from harness.devices.ssh.errors import (
    HostKeyChangedError,
    NoSessionError,
    SshLostError,
    SshRefusedError,
    SshTimeoutError,
)
from harness.devices.ssh.forward import Forward
from harness.plan.cell import ErrorClass
from tests.devices.ssh.conftest import BOUND, CLOCK, NEVER, STALL_BOUND, Background, Connect, until


@pytest.fixture
def board(shared: Sshd, to: Connect) -> SshConnection:
    return to(shared)


def sleeping(server: Sshd, connection: SshConnection, seconds: float = BOUND) -> Background:
    """A command that never ends, running there."""
    mark = server.home / f"mark-{os.urandom(4).hex()}"
    background = Background(lambda: connection.run(f"echo $$ > {mark}; exec sleep 1000", seconds))
    until(lambda: mark.exists() and mark.read_text().endswith("\n"))
    return background


def test_output_errors_and_exit_codes_are_kept_apart(board: SshConnection) -> None:
    result = board.run("echo out; echo err >&2; exit 3", BOUND)
    assert (result.stdout, result.stderr, result.exit_code) == (b"out\n", b"err\n", 3)
    assert board.run("true", BOUND).exit_code == 0
    assert board.made == 1, "one connection for both"


@pytest.mark.parametrize("name", ["KILL", "SEGV", "TERM"])
def test_a_signal_is_an_exit_code(board: SshConnection, name: str) -> None:
    assert board.run(f"exec sh -c 'kill -{name} $$'", BOUND).exit_code == 128 + getattr(signal, f"SIG{name}")


def test_input_of_any_length_while_output_comes(board: SshConnection) -> None:
    data = os.urandom(5_000_000)
    assert board.run("cat", BOUND, stdin=data).stdout == data
    assert board.run("cat", BOUND).stdout == b"", "no input ends at once"
    assert board.run("exit 4", BOUND, stdin=data).exit_code == 4, "nobody need read it"


def test_more_output_than_is_allowed(board: SshConnection) -> None:
    assert len(board.run("head -c 1000 /dev/zero", BOUND, limit=1000).stdout) == 1000
    with pytest.raises(SshRefusedError, match="printed more than 1000 bytes"):
        board.run("head -c 1001 /dev/zero", BOUND, limit=1000)
    with pytest.raises(SshRefusedError, match="'endless' printed more than"):
        board.run("yes >&2", BOUND, limit=1 << 20, shown="endless")
    assert board.alive(BOUND)


def test_a_deadline(board: SshConnection) -> None:
    board.connect(BOUND, NEVER)
    with pytest.raises(SshTimeoutError, match=r"rpi5: .*'sleep 1000' within 2 s") as caught:
        board.run("sleep 1000", 2.0)
    assert caught.value.error_class is ErrorClass.DEVICE
    assert board.alive(BOUND)


def test_a_shell_that_runs_nothing(tmp_path: Path, to: Connect) -> None:
    with Sshd(tmp_path / "sshd", command="exit 1") as server:
        assert not to(server).alive(BOUND)
    with (
        Sshd(tmp_path / "none", max_sessions=0) as server,
        pytest.raises(NoSessionError, match=r"no session was free .*raise MaxSessions"),
    ):
        to(server).run("true", 4.0)


def test_an_sshd_that_dies_in_the_middle(own: Sshd, to: Connect) -> None:
    connection = to(own)
    background = sleeping(own, connection)
    own.kill()
    error = background.join()
    assert isinstance(error, SshLostError)
    assert "the connection ended in the middle of" in str(error)
    assert error.error_class is ErrorClass.DEVICE
    until(lambda: not connection.up)
    with pytest.raises(SshLostError, match="Connection refused"):
        connection.run("true", BOUND)
    own.start()
    connection.connect(BOUND, NEVER)
    assert connection.run("echo back", BOUND).text == "back\n"
    assert connection.made == 2


def test_whoever_asks_next_makes_a_new_connection(own: Sshd, to: Connect) -> None:
    connection = to(own)
    assert connection.alive(BOUND)
    own.drop()
    until(lambda: not connection.up)
    assert connection.run("echo back", BOUND).text == "back\n"


def test_many_users_share_one_new_connection(own: Sshd, to: Connect) -> None:
    connection = to(own)
    for made in (1, 2):
        users = [Background(lambda: connection.run("echo here", BOUND)) for _ in range(8)]
        assert [user.join() for user in users] == [None] * 8
        assert connection.made == made
        own.drop()
        until(lambda: not connection.up)


def test_waiting_for_a_computer_that_comes_back(own: Sshd, to: Connect) -> None:
    connection = to(own)
    connection.connect(BOUND, NEVER)
    own.kill()
    until(lambda: not connection.up)
    waiting = Background(lambda: connection.connect(BOUND, NEVER))
    until(lambda: connection._redial._failures > 1)
    own.start()
    assert waiting.join() is None
    assert connection.alive(BOUND)


def test_between_two_tries_everybody_gets_the_last_error(own: Sshd, to: Connect) -> None:
    connection = to(own)
    own.kill()
    with pytest.raises(SshLostError):
        connection.run("true", BOUND)
    first = connection._redial._problem
    connection._redial.due = CLOCK.monotonic() + 1000
    with pytest.raises(SshLostError) as caught:
        connection.run("true", BOUND)
    assert caught.value is first


def test_waiting_can_be_cancelled(own: Sshd, to: Connect) -> None:
    connection = to(own)
    connection.connect(BOUND, NEVER)
    own.kill()
    until(lambda: not connection.up)
    cancelled = threading.Event()
    waiting = Background(lambda: connection.connect(1000.0, cancelled))
    until(lambda: connection._redial._failures > 0)
    cancelled.set()
    assert isinstance(waiting.join(), SshLostError)


def test_a_link_that_answers_nothing_is_dead(own: Sshd, to: Connect, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is closed: only the missing answers tell."""
    connection = to(own, owner="host")
    background = sleeping(own, connection, 1000.0)
    own.stall()
    monkeypatch.setattr(transport, "STALL_SECONDS", 2)
    error = background.join(STALL_BOUND)
    assert isinstance(error, SshLostError)
    assert "nothing came from it any more in the middle of" in str(error)
    assert error.error_class is ErrorClass.HOST
    monkeypatch.undo()
    own.resume()
    connection.connect(BOUND, NEVER)


def test_a_silent_link_is_asked_for_a_sign_of_life(own: Sshd, to: Connect, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "_ASK_SECONDS", 0.1)
    connection = to(own)
    connection.connect(BOUND, NEVER)
    assert connection._redial.link is not None
    packets = connection._redial.link.transport.packetizer
    before = packets.heard
    until(lambda: packets.heard > before + 3)
    assert connection.alive(BOUND)


def test_an_sshd_that_hangs_before_the_login(own: Sshd, to: Connect) -> None:
    own.stall()
    with pytest.raises(SshTimeoutError, match="does not agree on keys within"):
        to(own).connect(2.0, NEVER)
    own.resume()


def test_interrupt_ends_every_call_and_the_next_one_works(own: Sshd, to: Connect) -> None:
    connection = to(own)
    calls = [sleeping(own, connection) for _ in range(3)]
    connection.interrupt()
    for call in calls:
        error = call.join()
        assert isinstance(error, SshLostError)
        assert "closed from our side" in str(error)
    assert connection.alive(BOUND)


def test_interrupt_ends_a_login(own: Sshd, to: Connect) -> None:
    own.stall()
    connection = to(own)
    waiting = Background(lambda: connection.connect(BOUND, NEVER))
    until(connection._redial._dialling.locked)
    connection.interrupt()
    assert isinstance(waiting.join(), SshLostError)
    own.resume()


def test_interrupt_ends_a_call_whose_link_takes_nothing(own: Sshd, to: Connect) -> None:
    connection = to(own)
    connection.connect(BOUND, NEVER)
    own.stall()
    call = Background(lambda: connection.run("cat", BOUND, stdin=bytes(64 << 20)))
    until(lambda: connection._redial.link is not None and len(connection._redial.link.transport._channels) > 0)
    connection.interrupt()
    assert isinstance(call.join(), SshLostError)
    own.resume()


def test_close_is_for_good(own: Sshd, to: Connect) -> None:
    connection = to(own)
    call = sleeping(own, connection)
    connection.close()
    assert isinstance(call.join(), SshLostError)
    with pytest.raises(SshLostError):
        connection.run("true", BOUND)
    assert connection.made == 1


@pytest.mark.parametrize("sessions", [1, 2])
def test_more_users_than_sessions_wait_for_one(tmp_path: Path, to: Connect, sessions: int) -> None:
    with Sshd(tmp_path / "sshd", max_sessions=sessions) as server:
        connection = to(server)
        source = bytes(200_000)

        def use(number: int) -> None:
            assert connection.run(f"echo {number}", BOUND).text == f"{number}\n"
            with connection.files(BOUND) as files:
                files.push(source, f"file{number}")

        users = [Background(lambda number=number: use(number)) for number in range(6)]  # type: ignore[misc]
        assert [user.join() for user in users] == [None] * 6
        assert len(list(server.home.glob("file*"))) == 6
        assert connection.made == 1


def test_no_session_is_free_in_time(tmp_path: Path, to: Connect) -> None:
    with Sshd(tmp_path / "sshd", max_sessions=1) as server:
        connection = to(server)
        call = sleeping(server, connection)
        with pytest.raises(NoSessionError, match=r"no session was free for 'true' within 3 s.*raise MaxSessions"):
            connection.run("true", 3.0)
        assert connection.alive(3.0), "an sshd that is full answers"
        server.kill(sessions=True)
        assert isinstance(call.join(), SshLostError)


@pytest.mark.parametrize("side", ["ours", "theirs"])
def test_new_keys_in_the_middle_of_everything(
    tmp_path: Path, to: Connect, monkeypatch: pytest.MonkeyPatch, side: str
) -> None:
    """Commands end all the time, and the end of each has to be answered while keys are agreed upon."""
    if side == "ours":
        monkeypatch.setattr(transport._Packets, "REKEY_BYTES", 1 << 18)
    with Sshd(tmp_path / "sshd", options="RekeyLimit 1M" if side == "theirs" else "") as server:
        connection = to(server)
        data = os.urandom(3_000_000)
        done = threading.Event()

        def commands() -> None:
            while not done.is_set():
                assert connection.run("cat", BOUND, stdin=data[:3000]).stdout == data[:3000]

        users = [Background(commands) for _ in range(4)]
        try:
            with connection.files(BOUND) as files:
                for _ in range(3):
                    files.push(data, "file")
                    files.pull("file", tmp_path / "back", len(data))
                    assert (tmp_path / "back").read_bytes() == data
        finally:
            done.set()
            assert [user.join() for user in users] == [None] * 4
        assert connection.made == 1


def test_a_key_that_changes_while_it_is_away(own: Sshd, to: Connect) -> None:
    """A board with a new system, or another computer at its address: not tried again and again."""
    connection = to(own)
    connection.connect(BOUND, NEVER)
    own.new_host_key()
    own.restart()
    until(lambda: not connection.up)
    with pytest.raises(HostKeyChangedError):
        connection.run("true", BOUND)


def test_ports_that_lead_through_it(own: Sshd, to: Connect) -> None:
    """See also the tests of hosts; here: forwards are used again after the connection was lost."""
    from socket import create_connection, create_server

    connection = to(own)
    with create_server(("127.0.0.1", 0)) as far:
        port = far.getsockname()[1]
        forward = Forward(
            lambda: connection.channel(lambda link, left: open_tcp(link, "127.0.0.1", port, left), BOUND), "far"
        )
        try:
            for number in range(2):
                host, _, led = forward.address.rpartition(":")
                with create_connection((host, int(led)), BOUND) as near:
                    there, _ = far.accept()
                    with there:
                        near.sendall(b"hello")
                        there.settimeout(BOUND)
                        assert there.recv(5) == b"hello"
                assert connection.made == number + 1
                own.drop()
                until(lambda: not connection.up)
        finally:
            forward.close()
