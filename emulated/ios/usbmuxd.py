"""usbmuxd: lists the phones that are plugged in, keeps pair records, and leads connections to phones' ports."""

from __future__ import annotations

import asyncio
import contextlib
import plistlib
import socket
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from emulated.ios import tls
from emulated.ios.connection import Connection, dictionary
from emulated.ios.lockdown import HOST_ID, SYSTEM_BUID, dial
from emulated.ios.phone import Phone

OK, BAD_COMMAND, BAD_DEVICE, REFUSED, BAD_VERSION = 0, 1, 2, 3, 6
_HEADER = struct.Struct("<IIII")  # length with this header, version, type, tag
_PLIST_VERSION, _PLIST_TYPE = 1, 8
_LONGEST = 1 << 20
_BUFFER = 1 << 18

Kind = Literal["USB", "Network"]


@dataclass
class Entry:
    """One way to a phone.

    Attributes:
        number: its device id; a new one each time that the cable goes in.
        phone: whose.
        kind: cable or Wi-Fi.
        connections: that go this way.
    """

    number: int
    phone: Phone
    kind: Kind
    connections: set[Connection] = field(default_factory=set)

    @property
    def listed(self) -> dict[str, Any]:
        """What clients are told."""
        properties: dict[str, Any] = {
            "ConnectionType": self.kind,
            "DeviceID": self.number,
            "SerialNumber": self.phone.udid,
        }
        if self.kind == "USB":
            properties |= {
                "ConnectionSpeed": 480_000_000,
                "LocationID": 0xE0000 + self.number,
                "ProductID": 0x12A8,
                "UDID": self.phone.udid,
                "USBSerialNumber": self.phone.udid.replace("-", ""),
            }
        else:
            # A BSD socket address (length, family, port, 127.0.0.1), as a Mac writes it.
            address = struct.pack(">BBH4s8x", 16, 2, 0, bytes([127, 0, 0, 1])) + bytes(136)
            properties |= {
                "EscapedFullServiceName": f"emulated-{self.number}._apple-mobdev2._tcp.local.",
                "InterfaceIndex": 1,
                "NetworkAddress": address,
            }
        return {"DeviceID": self.number, "MessageType": "Attached", "Properties": properties}


class Usbmuxd:
    """One usbmuxd on a port of 127.0.0.1 and on a unix socket. For the lab's loop only.

    Attributes:
        port: where it listens; the same one again after a stop.
        pairing: what clients did to pair records, in order: "SavePairRecord UDID", "DeletePairRecord UDID".
        failures: mistakes of the emulation itself.
    """

    def __init__(self) -> None:
        self.port = 0
        self.pairing: list[str] = []
        self.failures: list[BaseException] = []
        self._servers: list[asyncio.AbstractServer] = []
        self._entries: dict[int, Entry] = {}
        self._known: dict[str, Phone] = {}
        self._connections: set[Connection] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._listeners: dict[Connection, asyncio.Queue[Mapping[str, Any]]] = {}
        self._count = 0

    async def start(self, path: Path) -> None:
        """Listen, on a unix socket with this (short) path too. Raises OSError."""
        server = await asyncio.start_server(self._accept, "127.0.0.1", self.port, limit=_BUFFER)
        self._servers.append(server)
        self.port = server.sockets[0].getsockname()[1]
        self._servers.append(await asyncio.start_unix_server(self._accept, path, limit=_BUFFER))

    async def stop(self) -> None:
        """It is gone: nothing listens, and every connection through it is cut."""
        for server in self._servers:
            server.close()
        self._servers.clear()
        for connection in list(self._connections):
            connection.abort()
        for task in self._tasks:  # one may wait for something that is no client
            task.cancel()
        if self._tasks:
            await asyncio.wait(set(self._tasks))

    def attach(self, phone: Phone) -> None:
        """A phone is plugged in, and perhaps seen over Wi-Fi too; nothing happens if it is there."""
        self._known[phone.udid] = phone
        kinds: list[Kind] = ["USB", "Network"] if phone.network else ["USB"]
        there = {entry.kind for entry in self._entries.values() if entry.phone is phone}
        for kind in kinds:
            if kind not in there:
                self._count += 1
                entry = self._entries[self._count] = Entry(self._count, phone, kind)
                self._tell(entry.listed)

    def detach(self, phone: Phone, kind: Kind | None = None) -> None:
        """A phone goes, by cable or (None) altogether; connections that went that way are cut."""
        for entry in list(self._entries.values()):
            if entry.phone is phone and kind in (entry.kind, None):
                del self._entries[entry.number]
                for connection in list(entry.connections):
                    connection.abort()
                self._tell({"MessageType": "Detached", "DeviceID": entry.number})

    def _tell(self, event: Mapping[str, Any]) -> None:
        for queue in self._listeners.values():
            queue.put_nowait(event)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # A task of our own: streams complain about one of theirs that is cancelled.
        task = asyncio.ensure_future(self._attend(Connection(reader, writer)))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _attend(self, connection: Connection) -> None:
        self._connections.add(connection)
        try:
            await self._serve(connection)
        except (EOFError, ConnectionError):
            pass  # the client has gone
        except Exception as error:
            self.failures.append(error)
        finally:
            connection.close()
            try:
                await connection.closed()
            finally:
                self._connections.discard(connection)

    async def _serve(self, connection: Connection) -> None:
        while True:
            first = await connection.read(_HEADER.size)
            if not first:
                return
            header = first + await connection.exactly(_HEADER.size - len(first))
            length, version, kind, tag = _HEADER.unpack(header)
            if not _HEADER.size <= length <= _LONGEST:
                return
            body = await connection.exactly(length - _HEADER.size)
            if (version, kind) != (_PLIST_VERSION, _PLIST_TYPE):
                await self._reply(connection, tag, _result(BAD_VERSION))
                continue
            request = dictionary(body)
            message = request.get("MessageType")
            if message == "Connect":
                if await self._connect(connection, tag, request):
                    return
            elif message == "Listen":
                await self._listen(connection, tag)
                return
            else:
                await self._reply(connection, tag, self._answer(message, request))

    def _answer(self, message: object, request: Mapping[str, Any]) -> dict[str, Any]:
        if message == "ListDevices":
            return {"DeviceList": [entry.listed for entry in self._entries.values()]}
        if message == "ListListeners":
            return {"ListenerList": []}
        if message == "ReadBUID":
            return {"BUID": SYSTEM_BUID}
        udid = str(request.get("PairRecordID"))
        phone = self._known.get(udid)
        if message == "ReadPairRecord":
            if phone is None or not phone.paired:
                return _result(BAD_DEVICE)
            return {"PairRecordData": plistlib.dumps(pair_record(phone), fmt=plistlib.FMT_BINARY)}
        if message in ("SavePairRecord", "DeletePairRecord"):
            self.pairing.append(f"{message} {udid}")
            if phone is not None:
                phone.paired = message == "SavePairRecord"
            return _result(OK)
        return _result(BAD_COMMAND)

    async def _connect(self, connection: Connection, tag: int, request: Mapping[str, Any]) -> bool:
        """Lead a connection to a port of a phone, to its end; whether there was one."""
        entry = self._entries.get(int(request.get("DeviceID", -1)))
        if entry is None:
            await self._reply(connection, tag, _result(BAD_DEVICE))
            return False
        talk = dial(entry.phone, socket.ntohs(int(request.get("PortNumber", 0))))
        if talk is None:
            await self._reply(connection, tag, _result(REFUSED))
            return False
        entry.connections.add(connection)
        try:
            await self._reply(connection, tag, _result(OK))
            await talk(connection)
        finally:
            entry.connections.discard(connection)
        return True

    async def _listen(self, connection: Connection, tag: int) -> None:
        """Tell a client what comes and goes, for as long as it listens."""
        events = self._listeners[connection] = asyncio.Queue()
        for entry in self._entries.values():
            events.put_nowait(entry.listed)
        end = asyncio.ensure_future(connection.read())
        event: asyncio.Task[Mapping[str, Any]] | None = None
        try:
            await self._reply(connection, tag, _result(OK))
            while not end.done():
                event = asyncio.ensure_future(events.get())
                await asyncio.wait({end, event}, return_when=asyncio.FIRST_COMPLETED)
                if event.done():
                    await self._reply(connection, 0, event.result())
        finally:
            del self._listeners[connection]
            for task in (end, event):
                if task is not None:
                    task.cancel()
            with contextlib.suppress(asyncio.CancelledError, EOFError, ConnectionError):
                await end

    async def _reply(self, connection: Connection, tag: int, value: Mapping[str, Any]) -> None:
        body = plistlib.dumps(dict(value))
        await connection.write(_HEADER.pack(_HEADER.size + len(body), _PLIST_VERSION, _PLIST_TYPE, tag) + body)


def pair_record(phone: Phone) -> dict[str, Any]:
    """What the host knows of a phone that trusts it. Without TLS there is no certificate in it."""
    record: dict[str, Any] = {
        "HostID": HOST_ID,
        "SystemBUID": SYSTEM_BUID,
        "EscrowBag": b"emulated",
        "WiFiMACAddress": "02:00:e0:00:00:01",
    }
    if phone.tls:
        mine = tls.identity()
        for name in ("Device", "Host", "Root"):
            record[f"{name}Certificate"] = mine.certificate
        record |= {"HostPrivateKey": mine.key, "RootPrivateKey": mine.key}
    return record


def _result(number: int) -> dict[str, Any]:
    return {"MessageType": "Result", "Number": number}
