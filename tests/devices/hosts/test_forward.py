"""Ports of this computer that lead through one SSH connection."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.devices.hosts.host import Host
from tests.devices.hosts.conftest import Rack
from tests.devices.jobs import CLOCK, until

CHUNK = 1 << 16


class Far:
    """A server behind the host: to "flood" it sends without end, anything else it sends back."""

    def __init__(self) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self.listener.getsockname()[1]}"
        self.open = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                peer, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(peer,), daemon=True).start()

    def _serve(self, peer: socket.socket) -> None:
        self.open += 1
        try:
            while data := peer.recv(CHUNK):
                while data == b"flood":
                    peer.sendall(bytes(CHUNK))
                peer.sendall(data)
        except OSError:
            pass
        finally:
            peer.close()
            self.open -= 1


@pytest.fixture
def far() -> Iterator[Far]:
    made = Far()
    yield made
    made.listener.shutdown(socket.SHUT_RDWR)
    made.listener.close()


def dial(host: Host, far: Far) -> socket.socket:
    where, _, port = host.tcp_address(far.address).rpartition(":")
    opened = socket.create_connection((where, int(port)), 20)
    opened.settimeout(20)
    return opened


def echoed(opened: socket.socket, data: bytes) -> bytes:
    """What comes back of it."""
    sender = threading.Thread(target=opened.sendall, args=(data,))
    sender.start()
    back = bytearray()
    while len(back) < len(data):
        piece = opened.recv(CHUNK)
        assert piece, "it was hung up on"
        back += piece
    sender.join(20)
    return bytes(back)


def test_one_that_nobody_reads_stalls_nobody_else(rack: Rack, far: Far) -> None:
    host = rack.host
    idle = [dial(host, far) for _ in range(4)]
    for one in idle:
        one.sendall(b"flood")
    until(lambda: host.bytes_led()[1] > CHUNK)
    content = os.urandom(4 << 20)
    with dial(host, far) as other:
        assert echoed(other, content) == content
    until(lambda: host.bytes_led()[0] >= len(content))
    for one in idle:
        one.close()
    until(lambda: far.open <= len(idle) + 1, 20)  # whose channels were opened ahead stay


def test_an_end_goes_through_in_both_directions(rack: Rack, far: Far) -> None:
    with dial(rack.host, far) as opened:
        assert echoed(opened, b"hello") == b"hello"
        opened.shutdown(socket.SHUT_WR)
        assert opened.recv(CHUNK) == b""


def test_it_leads_on_after_the_connection_was_made_anew(rack: Rack, far: Far) -> None:
    with dial(rack.host, far) as opened:
        assert echoed(opened, b"hello") == b"hello"
        rack.sshd.drop()
        assert opened.recv(CHUNK) == b"", "who waits hears of the end"
    with dial(rack.host, far) as opened:
        assert echoed(opened, b"again") == b"again"
    assert rack.host.connection.made == 2


def test_where_nobody_listens_one_is_hung_up_on_with_a_reason(rack: Rack) -> None:
    host = rack.host
    near = host.tcp_address("127.0.0.1:9")
    with socket.create_connection(("127.0.0.1", int(near.rpartition(":")[2])), 20) as opened:
        opened.settimeout(20)
        assert opened.recv(1) == b""
    problem = host.problem(near)
    assert problem is not None
    assert "rack: does not let a connection through" in str(problem)


def test_nothing_listens_beyond_loopback(rack: Rack, far: Far) -> None:
    with dial(rack.host, far) as opened:
        assert echoed(opened, b"hello") == b"hello"
        inodes = {str(path.readlink()) for path in Path("/proc/self/fd").iterdir() if path.is_symlink()}
        listening = []
        for table in ("tcp", "tcp6"):
            for line in Path("/proc/self/net", table).read_text().splitlines()[1:]:
                fields = line.split()
                if fields[3] == "0A" and f"socket:[{fields[9]}]" in inodes:
                    listening.append(fields[1].partition(":")[0])
    assert listening
    assert set(listening) == {"0100007F"}, "127.0.0.1"


def test_it_closes_while_connections_are_open(rack: Rack, far: Far) -> None:
    opened = dial(rack.host, far)
    assert echoed(opened, b"hello") == b"hello"
    began = CLOCK.monotonic()
    rack.hosts[-1].close()
    assert opened.recv(CHUNK) == b""
    assert CLOCK.monotonic() - began < 20
    opened.close()
