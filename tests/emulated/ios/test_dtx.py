"""Instruments of emulated iPhones, message by message; tidevice and other tools are in test_dtx_clients."""

from __future__ import annotations

import os
import signal
import struct
from collections.abc import Iterator

import pytest

from emulated.ios.apps import Program
from emulated.ios.dtx.archiver import Error, Instance
from emulated.ios.dtx.frames import CALL, DONE, ERROR, FRAGMENT_BYTES, OBJECT, fragments
from emulated.ios.dtx.process_control import TERMINATION
from emulated.ios.lab import IosLab
from emulated.ios.phone import Phone
from tests.emulated.ios.dtx_client import (
    CONTROL,
    FRAGMENT,
    INFO,
    LAUNCH,
    OPEN,
    OUTPUT,
    PROBE,
    SECURE,
    TERMINATED,
    DtxClient,
    add_probe,
)
from tests.emulated.ios.wire import Wire, service, start

CAPABILITIES = "_notifyOfPublishedCapabilities:"


@pytest.fixture
def phone(lab: IosLab) -> Phone:
    made = lab.add("iphone-13")
    add_probe(made)
    return made


@pytest.fixture
def wire(lab: IosLab, phone: Phone) -> Iterator[Wire]:
    with service(lab.address, phone, SECURE) as connection:
        yield connection


@pytest.fixture
def client(wire: Wire) -> DtxClient:
    """A client with process control on channel 1, device info on channel 2."""
    made = DtxClient(wire)
    made.open(1, CONTROL)
    made.open(2, INFO)
    return made


def test_the_phone_says_first_what_it_can(wire: Wire) -> None:
    greeting = DtxClient(wire).greeting
    assert (greeting.kind, greeting.value, greeting.channel) == (CALL, CAPABILITIES, 0)
    assert {CONTROL, INFO} <= greeting.arguments[0].keys()


def test_an_app_is_started_seen_and_killed(client: DtxClient, phone: Phone) -> None:
    pid = client.launch(1, PROBE, "--once", "a b", A="1")
    assert phone.processes.running(PROBE) == pid
    assert client.ask(2, "isRunningPid:", pid).value is True
    assert client.ask(1, "processIdentifierForBundleIdentifier:", PROBE).value == pid
    path = f"/private/var/containers/Bundle/Application/{PROBE}/Probe.app/Probe"
    assert client.ask(2, "execnameForPid:", pid).value == path
    (listed,) = (one for one in client.ask(2, "runningProcesses").value if one["isApplication"])
    assert (listed["pid"], listed["name"], listed["bundleIdentifier"]) == (pid, "Probe", PROBE)
    assert client.ask(1, "killPid:", pid).kind == DONE
    assert phone.wait_app(pid) == -signal.SIGKILL
    assert client.ask(2, "isRunningPid:", pid).value is False
    assert client.ask(1, "processIdentifierForBundleIdentifier:", PROBE).value == 0
    assert client.ask(1, "killPid:", pid).kind == DONE  # as phones do: no word about dead ones


def test_output_comes_on_the_channel_counted_from_the_phones_side(client: DtxClient) -> None:
    number = client.send(1, LAUNCH, "", PROBE, {"A": "x"}, ["--one", "two words"], {})
    came = [client.receive() for _ in range(3)]
    (pid,) = (one.value for one in came if one.conversation)
    assert next(one.identifier for one in came if one.conversation) == number
    told = [one for one in came if not one.conversation]
    assert [(one.value, one.channel, one.arguments[:2]) for one in told] == [
        (OUTPUT, -1, ["args: --one two words\n", pid]),
        (OUTPUT, -1, ["A=x\n", pid]),
    ]


def test_a_running_app_is_replaced_only_if_asked(client: DtxClient, phone: Phone) -> None:
    first = client.launch(1)
    assert client.ask(1, LAUNCH, "", PROBE, {}, [], {"KillExisting": False}).value == first
    second = client.launch(1)
    assert second != first
    assert [process.pid for process in phone.processes.live] == [second]


@pytest.mark.parametrize(
    ("script", "ended"), [("exit 7", [7, None]), ("kill -SEGV $$", [None, int(signal.SIGSEGV)])], ids=["exit", "crash"]
)
def test_the_end_of_an_app_is_told_to_clients_that_can_hear_it(
    lab: IosLab, phone: Phone, script: str, ended: list[int | None]
) -> None:
    add_probe(phone, f'read go < "$HOME/Documents/go"; {script}')
    for capable in (True, False):
        fifo = phone.apps[PROBE].documents / "go"
        os.mkfifo(fifo)
        with DtxClient(service(lab.address, phone, SECURE)) as client:
            if capable:
                client.send(0, CAPABILITIES, {TERMINATION: 1}, wants=False)
            client.open(1, CONTROL)
            pid = client.launch(1)
            assert client.ask(1, "startObservingPid:", pid).kind == DONE
            fifo.write_text("\n")
            phone.wait_app(pid)
            if capable:
                came = client.receive()
                assert (came.value, came.channel, came.arguments) == (TERMINATED, -1, [pid, *ended])
            # What would come has come when this is answered.
            number = client.send(1, "processIdentifierForBundleIdentifier:", PROBE)
            assert client.receive().identifier == number
        fifo.unlink()


@pytest.mark.parametrize(
    ("bundle", "code", "name"),
    [("com.example.absent", 4, "NotFound"), (PROBE, 7, "Locked"), ("broken", 1, "Unspecified")],
)
def test_an_app_that_cannot_start_says_why(client: DtxClient, phone: Phone, bundle: str, code: int, name: str) -> None:
    phone.add_app("broken", Program(["/nonexistent/program"]))
    phone.locked = name == "Locked"
    error = client.launch(1, bundle)
    assert isinstance(error, Error)
    assert (error.domain, error.code) == ("com.apple.dt.deviceprocesscontrolservice", 2)
    assert error.details["NSLocalizedDescription"] == f"Request to launch {bundle} failed."
    below = error.details["NSUnderlyingError"]
    assert (below.domain, below.code) == ("FBSOpenApplicationErrorDomain", code)
    assert below.details["BSErrorCodeDescription"] == name


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_signals(client: DtxClient, phone: Phone, number: int) -> None:
    pid = client.launch(1)
    assert client.ask(1, "sendSignal:toPid:", int(number), pid).kind == DONE
    assert phone.wait_app(pid) == -number
    refused = client.ask(1, "sendSignal:toPid:", int(number), pid)
    assert (refused.kind, refused.value.code) == (ERROR, 3)


def test_a_connection_that_ends_leaves_apps_running(lab: IosLab, phone: Phone) -> None:
    with DtxClient(service(lab.address, phone, SECURE)) as client:
        client.open(1, CONTROL)
        pid = client.launch(1)
        assert client.ask(1, "startObservingPid:", pid).kind == DONE
    with DtxClient(service(lab.address, phone, SECURE)) as client:
        client.open(5, INFO)
        assert client.ask(5, "isRunningPid:", pid).value is True


@pytest.mark.parametrize(
    ("channel", "selector", "arguments", "words"),
    [
        (1, "noSuchThing:", [1], "does not respond to the selector"),
        (1, "killPid:", [], "does not respond to the selector"),
        (9, "killPid:", [1], "no channel 9"),
        (0, OPEN, [1, INFO], "channel 1 cannot be opened"),
        (0, OPEN, [-3, INFO], "channel -3 cannot be opened"),
    ],
)
def test_wrong_calls_are_answered_with_an_error(
    client: DtxClient, channel: int, selector: str, arguments: list[object], words: str
) -> None:
    answer = client.ask(channel, selector, *arguments)
    assert answer.kind == ERROR
    assert words in answer.value.details["NSLocalizedDescription"]


def test_a_channel_to_nothing_is_cancelled(client: DtxClient) -> None:
    client.open(3, "com.example.nothing")
    came = client.receive()
    assert (came.value, came.channel, came.arguments) == ("_channelCanceled:", 0, [-3])


def test_a_cancelled_channel_is_closed(client: DtxClient) -> None:
    client.send(0, "_channelCanceled:", 1, wants=False)
    assert client.ask(1, "killPid:", 1).kind == ERROR


def test_a_call_in_fragments_that_come_mixed(client: DtxClient) -> None:
    long = client.message(1, LAUNCH, "", PROBE, {"LONG": "x" * 100_000}, [], {})
    other = client.message(2, "isRunningPid:", 1)
    pieces = list(fragments(long))
    assert len(pieces) == 3
    client.wire.socket.sendall(pieces[0] + pieces[1] + b"".join(fragments(other)) + pieces[2])
    answers = [client.answer(), client.answer()]
    assert [came.kind for came in answers] == [OBJECT, OBJECT]
    assert [came.identifier for came in answers] == [other.identifier, long.identifier]


def test_what_is_long_comes_in_fragments(client: DtxClient, phone: Phone) -> None:
    size = 3 * FRAGMENT_BYTES
    add_probe(phone, f"head -c {size} /dev/zero | tr '\\0' x; echo")
    client.send(1, LAUNCH, "", PROBE, {}, [], {})
    came = client.receive()
    while came.conversation:
        came = client.receive()
    assert came.fragments > 3
    assert came.arguments[0] == "x" * size + "\n"


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.1\r\n" * 4,
        FRAGMENT.pack(0x1F3D5B79, 32, 0, 1, 1 << 30, 1, 0, 0, 0),
        FRAGMENT.pack(0x1F3D5B79, 32, 1, 2, 4, 1, 0, 0, 0) + b"abcd",
        FRAGMENT.pack(0x1F3D5B79, 32, 0, 1, 4, 1, 0, 0, 0) + b"abcd",
        FRAGMENT.pack(0x1F3D5B79, 32, 0, 1, 16, 1, 0, 0, 0) + struct.pack("<IIQ", CALL, 8, 4),
    ],
    ids=["something else", "too long", "no beginning", "too short", "contradiction"],
)
def test_what_is_not_dtx_ends_the_connection(client: DtxClient, data: bytes) -> None:
    client.wire.socket.sendall(data)
    with pytest.raises((EOFError, ConnectionError)):
        client.receive()


def test_a_payload_that_is_no_archive_is_an_error(client: DtxClient) -> None:
    body = struct.pack("<IIQ", CALL, 0, 4) + b"nope"
    client.wire.socket.sendall(FRAGMENT.pack(0x1F3D5B79, 32, 0, 1, len(body), 77, 0, 1, 1) + body)
    came = client.receive()
    assert (came.identifier, came.kind) == (77, ERROR)


def test_a_call_that_is_never_answered(client: DtxClient, phone: Phone) -> None:
    phone.faults.dtx_unanswered = LAUNCH
    client.send(1, LAUNCH, "", PROBE, {}, [], {})
    number = client.send(2, "isRunningPid:", 1)
    assert client.answer().identifier == number
    assert phone.processes.running(PROBE) is not None  # only the answer is missing


def test_an_answer_with_an_unknown_class(client: DtxClient, phone: Phone) -> None:
    phone.faults.dtx_unknown_class = LAUNCH
    error = client.launch(1)
    assert isinstance(error.details["NSUnderlyingObject"], Instance)
    assert phone.processes.history == []


def test_a_connection_that_is_cut_at_a_call(client: DtxClient, phone: Phone) -> None:
    phone.faults.dtx_cut = "isRunningPid:"
    client.send(2, "isRunningPid:", 1)
    with pytest.raises((EOFError, ConnectionError)):
        client.receive()


def test_without_image_or_with_a_newer_system_there_is_no_such_service(lab: IosLab, phone: Phone) -> None:
    phone.image_mounted = False
    assert start(lab.address, phone, SECURE)[1]["Error"] == "InvalidService"
    newer = lab.add("iphone-17")
    assert start(lab.address, newer, SECURE)[1]["Error"] == "InvalidService"
