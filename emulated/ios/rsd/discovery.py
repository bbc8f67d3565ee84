"""The conversation of remote service discovery: an opening, then the phone says what it is and what services it has."""

from __future__ import annotations

import uuid
from collections.abc import Mapping

from emulated.ios.connection import Connection
from emulated.ios.phone import Phone
from emulated.ios.rsd import xpc
from emulated.ios.rsd.http2 import Http2, Http2Error

_REQUESTS, _ANSWERS = 1, 3
"""Streams: requests of the client, and what is sent unasked."""


async def discover(phone: Phone, connection: Connection, ports: Mapping[str, int]) -> None:
    """Serve one client until it goes; the caller closes the connection.

    Three messages open a connection, in any order: clients differ. Each is answered alike. When all came, the phone
    sends its handshake. Some clients send theirs too; nothing in it is needed here.

    Args:
        phone: who is asked.
        connection: with the client.
        ports: service name -> TCP port.

    Raises:
        EOFError: The client is gone.
        ConnectionError: So it is, in the middle.
    """
    http = Http2(connection)
    buffers: dict[int, bytearray] = {_REQUESTS: bytearray(), _ANSWERS: bytearray()}
    expected = {(_REQUESTS, 0), (_REQUESTS, xpc.FINISHED), (_ANSWERS, xpc.HANDSHAKE)}
    try:
        await http.greet()
        while True:
            piece = await http.receive()
            if piece.stream not in buffers:
                raise Http2Error(f"stream {piece.stream} is none of remote service discovery")
            buffers[piece.stream] += piece.data
            for flags in _messages(buffers[piece.stream]):
                opening = (piece.stream, flags & (xpc.FINISHED | xpc.HANDSHAKE))
                if opening not in expected:
                    continue
                expected.discard(opening)
                await http.send(piece.stream, xpc.message(opening[1], None if opening[1] else {}))
                if not expected:
                    await http.send(_REQUESTS, xpc.message(xpc.DATA, handshake(phone, ports), number=1))
    except (Http2Error, xpc.XpcError):
        pass  # whoever that is, the caller closes


def _messages(buffer: bytearray) -> list[int]:
    """Take whole messages out of a buffer: their flags."""
    found = []
    while len(buffer) >= xpc.WRAPPER.size:
        head = xpc.head(bytes(buffer[: xpc.WRAPPER.size]))
        if len(buffer) < xpc.WRAPPER.size + head.size:
            break
        del buffer[: xpc.WRAPPER.size + head.size]
        found.append(head.flags)
    return found


def handshake(phone: Phone, ports: Mapping[str, int]) -> dict[str, xpc.Value]:
    """What a phone says of itself and of its services."""
    described = phone.description
    services: dict[str, xpc.Value] = {
        name: {"Port": str(port), "Entitlement": "", "Properties": {"ServiceVersion": 1, "UsesRemoteXPC": False}}
        for name, port in ports.items()
    }
    properties: dict[str, xpc.Value] = {
        "UniqueDeviceID": phone.udid,
        "ProductType": described.product_type,
        "ProductName": "iPhone OS",
        "OSVersion": described.os_version,
        "HumanReadableProductVersionString": described.os_version,
        "BuildVersion": described.build,
        "DeviceClass": "iPhone",
        "UniqueChipID": int(phone.udid[-16:], 16),
        "RemoteXPCVersionFlags": 0x0100000000000006,
        "HarnessEmulated": True,
    }
    return {
        "MessageType": "Handshake",
        "MessagingProtocolVersion": 5,
        "UUID": uuid.uuid5(uuid.NAMESPACE_URL, phone.udid),
        "Properties": properties,
        "Services": services,
    }
