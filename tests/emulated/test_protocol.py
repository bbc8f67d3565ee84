"""Packets, greetings and flow control of the emulated adbd, seen from a server that may misbehave."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from emulated.android import protocol
from emulated.android.protocol import (
    AUTH,
    CLSE,
    CNXN,
    OKAY,
    OPEN,
    WRTE,
    Packet,
    ProtocolError,
    ShellParser,
    shell_packet,
)
from tests.emulated.conftest import FEATURES, PlainPhone, Plug, Plugged, old_phone, until
from tests.emulated.server import Server


def reach(phone: Plugged) -> Path:
    return Path(phone.serial.removeprefix("localfilesystem:"))


@pytest.fixture
def path(plug: Plug) -> Path:
    """Socket of a phone that no adb server knows of."""
    return reach(plug(wait=False))


def test_a_header_is_read_as_it_was_written() -> None:
    packet = Packet(WRTE, 3, 4, b"\xff\x01")
    header = protocol.parse_header(protocol.pack_header(packet, with_checksum=True), 2)
    assert (header.command, header.arg0, header.arg1, header.length, header.checksum) == (WRTE, 3, 4, 2, 256)
    assert protocol.parse_header(protocol.pack_header(packet, with_checksum=False), 2).checksum == 0


def test_what_is_no_header_is_refused() -> None:
    good = protocol.pack_header(Packet(WRTE, 3, 4, b"four"), with_checksum=False)
    with pytest.raises(ProtocolError, match="more than 3"):
        protocol.parse_header(good, 3)
    with pytest.raises(ProtocolError, match="no adb packet"):
        protocol.parse_header(good[:-1] + b"\0", 10)


def test_a_banner_names_properties_then_features() -> None:
    said = protocol.banner({"ro.product.name": "a b", "ro.product.model": "m"}, ["cmd", "shell_v2"])
    assert said == b"device::ro.product.name=a b;ro.product.model=m;features=cmd,shell_v2"
    assert protocol.banner_features(said) == {"cmd", "shell_v2"}
    assert protocol.banner({}, []) == b"device::"
    assert protocol.banner_features(b"host::\0") == frozenset()


def test_only_what_the_daemon_can_do_is_announced() -> None:
    said = ["shell_v2", "abb_exec", "sendrecv_v2_zstd", "stat_v2"]
    assert protocol.announced(said) == ["shell_v2", "stat_v2"]


@pytest.mark.parametrize("step", [1, 3, 6, 1000])
def test_packets_of_a_shell_are_found_however_they_were_cut(step: int) -> None:
    whole = shell_packet(1, b"one") + shell_packet(0, b"") + shell_packet(2, b"two")
    parser = ShellParser()
    found = [packet for at in range(0, len(whole), step) for packet in parser.feed(whole[at : at + step])]
    assert found == [(1, b"one"), (0, b""), (2, b"two")]


def test_a_phone_greets_with_what_it_is(path: Path) -> None:
    with Server(path) as server:
        said = server.greet()
    assert (said.command, said.arg0, said.arg1) == (CNXN, protocol.VERSION_NO_CHECKSUM, protocol.PAYLOAD)
    assert said.payload == protocol.banner(PlainPhone().banner, FEATURES)


def test_an_old_phone_sums_every_packet(plug: Plug) -> None:
    path = reach(plug(old_phone(), wait=False))
    with Server(path, version=protocol.VERSION_CHECKSUM) as server:
        said = server.greet()
        assert (said.arg0, said.arg1) == (protocol.VERSION_CHECKSUM, protocol.OLD_PAYLOAD)
        assert b"features" not in said.payload
        server.open("shell:head -c 10000 /dev/zero")
        assert len(server.all()) == 10_000


def test_a_wrong_sum_ends_an_old_connection(plug: Plug) -> None:
    path = reach(plug(old_phone(), wait=False))
    with Server(path, version=protocol.VERSION_CHECKSUM) as server:
        server.greet()
        server.version = protocol.VERSION_NO_CHECKSUM  # sends no sums any more
        server.send(OPEN, 7, 0, b"shell:echo\0")
        assert server.closed()


def test_a_new_phone_sums_packets_for_an_old_server(path: Path) -> None:
    with Server(path, version=protocol.VERSION_CHECKSUM, payload=protocol.OLD_PAYLOAD) as server:
        server.greet()
        server.open("shell:head -c 10000 /dev/zero")
        sizes = []
        while (packet := server.read()).command != CLSE:
            sizes.append(len(packet.payload))
            server.send(OKAY, 7, packet.arg0)
    assert sum(sizes) == 10_000
    assert max(sizes) <= protocol.OLD_PAYLOAD


@pytest.mark.parametrize("junk", [b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", bytes(24)])
def test_what_is_no_packet_ends_the_connection(path: Path, junk: bytes) -> None:
    with Server(path) as server:
        server.write(junk)
        assert server.closed()


def test_nothing_works_before_the_greeting(path: Path) -> None:
    with Server(path) as server:
        server.send(OPEN, 7, 0, b"shell:echo\0")
        assert server.quiet()
        assert server.greet().command == CNXN


def test_a_service_that_is_not_there_is_refused_without_a_number(path: Path) -> None:
    with Server(path) as server:
        server.greet()
        assert server.open("nonsense:") == Packet(CLSE, 0, 7)
        assert server.quiet()


def test_packets_for_streams_that_are_gone_are_ignored(path: Path) -> None:
    with Server(path) as server:
        server.greet()
        for command in (WRTE, OKAY, CLSE):
            server.send(command, 7, 99, b"")
        assert server.open("exec:echo still here").command == OKAY
        assert server.all() == b"still here\n"


def test_the_second_packet_waits_for_an_answer_to_the_first(path: Path) -> None:
    with Server(path, payload=4096) as server:
        server.greet()
        server.open("exec:head -c 9000 /dev/zero")
        first = server.read()
        assert first.command == WRTE
        assert server.quiet()
        server.send(OKAY, 7, first.arg0)
        assert server.read().command == WRTE


def test_streams_do_not_wait_for_one_another(path: Path) -> None:
    with Server(path) as server:
        server.greet()
        server.open("exec:head -c 9000 /dev/zero; sleep 60", number=1)
        assert server.read().command == WRTE
        server.send(OPEN, 2, 0, b"exec:echo two\0")
        assert server.read() == Packet(OKAY, 2, 2)
        assert server.read() == Packet(WRTE, 2, 2, b"two\n")


def test_what_a_program_does_not_read_is_not_acknowledged_for_ever(path: Path) -> None:
    """A client that sends faster than the phone takes is held back."""
    with Server(path) as server:
        server.greet()
        stream = server.open("shell,v2,raw:exec sleep 60").arg0
        sent = 1
        server.send(WRTE, 7, stream, shell_packet(0, bytes(100_000)))
        while not server.quiet():
            assert server.read().command == OKAY
            sent += 1
            assert sent < 50
            server.send(WRTE, 7, stream, shell_packet(0, bytes(100_000)))
        assert sent > 1


@pytest.fixture
def bursting(plug: Plug) -> Path:
    return reach(plug(PlainPhone(features=(*FEATURES, "delayed_ack")), wait=False))


def test_with_delayed_acks_a_window_is_filled_without_answers(bursting: Path) -> None:
    with Server(bursting, payload=4096) as server:
        said = server.greet("shell_v2,delayed_ack")
        assert b"delayed_ack" in said.payload
        answer = server.open("shell,v2,raw:head -c 1000000 /dev/zero", window=10_000)
        assert struct.unpack("<I", answer.payload) == (protocol.WINDOW,)
        got = 0
        while not server.quiet():
            got += len(server.read().payload)
        assert 10_000 <= got < 10_000 + 4096
        server.send(OKAY, 7, answer.arg0, struct.pack("<I", 5_000))
        assert server.read().command == WRTE


def test_with_delayed_acks_bytes_are_acknowledged_when_they_are_used(bursting: Path) -> None:
    with Server(bursting) as server:
        server.greet("shell_v2,delayed_ack")
        stream = server.open("shell,v2,raw:cat >/dev/null", window=10_000).arg0
        server.send(WRTE, 7, stream, shell_packet(0, bytes(995)))
        assert server.read() == Packet(OKAY, stream, 7, struct.pack("<I", 1000))


def test_delayed_acks_need_both_sides(bursting: Path) -> None:
    with Server(bursting) as server:
        server.greet("shell_v2")
        assert server.open("exec:echo", window=0).payload == b""


def test_a_signature_then_a_key_are_asked_for(plug: Plug) -> None:
    phone = plug(wait=False)
    phone.daemon.faults.auth = "new"
    with Server(reach(phone)) as server:
        first = server.greet()
        assert (first.command, first.arg0, len(first.payload)) == (AUTH, protocol.AUTH_TOKEN, 20)
        server.send(AUTH, protocol.AUTH_SIGNATURE, 0, bytes(256))
        second = server.read()
        assert (second.command, second.arg0) == (AUTH, protocol.AUTH_TOKEN)
        assert second.payload != first.payload
        server.send(AUTH, protocol.AUTH_PUBLIC_KEY, 0, b"key\0")
        assert server.read().command == CNXN


def test_a_connection_that_ends_takes_its_streams_along(plug: Plug) -> None:
    phone = plug(wait=False)
    with Server(reach(phone)) as server:
        server.greet()
        server.open("shell,v2,raw:exec sleep 60")
        until(lambda: (phone.daemon.streams, phone.daemon.connections, len(phone.daemon.processes())) == (1, 1, 1))
    until(lambda: (phone.daemon.streams, phone.daemon.connections, phone.daemon.processes()) == (0, 0, []))
