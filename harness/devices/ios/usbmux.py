"""Which iPhones a usbmuxd has, asked directly: a question takes milliseconds, and no package is needed for it.

usbmuxd speaks property lists behind a header of four little-endian numbers: length, version, type, tag. A connection
that it led to a phone belongs to the phone from then on.
"""

from __future__ import annotations

import os
import plistlib
import re
import socket
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal
from xml.parsers.expat import ExpatError

from harness.clock import Clock
from harness.devices.ios.errors import GoneError, IosProtocolError, IosTimeoutError, Subject, UsbmuxdDownError
from harness.errors import UsageError

VARIABLE = "USBMUXD_SOCKET_ADDRESS"
SYSTEM = "/var/run/usbmuxd"

_HEADER = struct.Struct("<IIII")
_LENGTH = struct.Struct(">I")
_VERSION, _PLIST = 1, 8
_LONGEST = 16 << 20
_LOCKDOWN_PORT = 62078
_BAD_DEVICE = 2
_NETWORK = re.compile(r"([^:/\s]+):(\d{1,5})")
_PROGRAM = "delegate-harness"


@dataclass(frozen=True)
class Address:
    """Where a usbmuxd listens: a socket's path, or host and port."""

    path: str = ""
    host: str = ""
    port: int = 0

    def __str__(self) -> str:
        """As devices.yaml and tidevice have it."""
        return self.path or f"{self.host}:{self.port}"


@dataclass(frozen=True)
class ListedIphone:
    """A phone as a usbmuxd lists it.

    Attributes:
        udid: its identity.
        connection: how it is connected; "usb" where it is both.
        device_id: usbmuxd's number for this connection: another one after each plugging in.
    """

    udid: str
    connection: Literal["usb", "network"]
    device_id: int


def address_of(usbmuxd: str | None) -> Address:
    """Where a usbmuxd listens.

    Args:
        usbmuxd: as devices.yaml has it; None: $USBMUXD_SOCKET_ADDRESS, else the system's.

    Raises:
        UsageError: it is neither a path nor host:port.
    """
    text = usbmuxd or os.environ.get(VARIABLE) or SYSTEM
    plain = text.removeprefix("UNIX:")
    if match := _NETWORK.fullmatch(plain):
        return Address(host=match[1], port=int(match[2]))
    if "/" in plain and ":" not in plain:
        return Address(path=plain)
    where = "`usbmuxd`" if usbmuxd else f"${VARIABLE}"
    raise UsageError(f"{where} is '{text}': expected a socket's path (without a colon) or host:port (IPv4 or a name)")


def environ(usbmuxd: str | None) -> dict[str, str]:
    """What other tools need in their environment to use that usbmuxd. Raises UsageError."""
    address = address_of(usbmuxd)
    return {VARIABLE: f"UNIX:{address.path}" if address.path else str(address)}


def list_devices(
    usbmuxd: str | None, seconds: float, clock: Clock, subject: Subject | None = None
) -> Sequence[ListedIphone]:
    """The phones that a usbmuxd has, one entry for each.

    Args:
        usbmuxd: as devices.yaml has it.
        seconds: until it must have answered.
        clock: time.
        subject: who errors are about; usbmuxd by default.

    Raises:
        UsbmuxdDownError: it does not answer.
        UsageError: the address is none.
    """
    with Mux(usbmuxd, seconds, clock, subject) as mux:
        reply = mux.ask({"MessageType": "ListDevices"})
        listed: dict[str, ListedIphone] = {}
        try:
            for entry in reply["DeviceList"]:
                facts = entry["Properties"]
                udid, number = str(facts["SerialNumber"]), int(facts["DeviceID"])
                cable = str(facts.get("ConnectionType", "")).lower() == "usb"
                if udid not in listed or cable:
                    listed[udid] = ListedIphone(udid, "usb" if cable else "network", number)
        except (KeyError, TypeError, ValueError) as error:
            raise mux.down(f"it does not list its devices: {reply}") from error
    return list(listed.values())


def product_of(phone: ListedIphone, usbmuxd: str | None, seconds: float, clock: Clock) -> str:
    """A phone's product type ("iPhone14,5"), which it tells everybody, locked or not.

    Raises:
        GoneError: usbmuxd does not lead to it any more.
        IosError: it does not answer.
        UsbmuxdDownError: usbmuxd does not.
    """
    with Mux(usbmuxd, seconds, clock, Subject(phone.udid, phone.udid)) as mux:
        mux.lead_to(phone)
        reply = mux.request({"Request": "GetValue", "Key": "ProductType", "Label": _PROGRAM})
        value = reply.get("Value")
        if not isinstance(value, str):
            raise mux.subject.error(IosProtocolError, call="ProductType", said=str(reply))
        return value


def paired(udid: str, usbmuxd: str | None, seconds: float, clock: Clock) -> bool:
    """Whether this computer has ever been trusted by the phone; it may have been forgotten since."""
    with Mux(usbmuxd, seconds, clock) as mux:
        return "PairRecordData" in mux.ask({"MessageType": "ReadPairRecord", "PairRecordID": udid})


class Mux:
    """One connection to a usbmuxd, with one deadline. A context manager."""

    def __init__(self, usbmuxd: str | None, seconds: float, clock: Clock, subject: Subject | None = None) -> None:
        """Prepare; see `list_devices`. Raises UsageError."""
        self._address = address_of(usbmuxd)
        self.subject = subject or Subject("usbmuxd")
        self._clock = clock
        self._end = clock.monotonic() + seconds
        self._socket = socket.socket(socket.AF_UNIX if self._address.path else socket.AF_INET)

    def __enter__(self) -> Mux:
        """Connect. Raises UsbmuxdDownError."""
        try:
            self._wait()
            self._socket.connect(self._address.path or (self._address.host, self._address.port))
        except OSError as error:
            self._socket.close()
            raise self.down(getattr(error, "strerror", None) or str(error)) from error
        return self

    def __exit__(self, *exception: object) -> None:
        """Close."""
        self._socket.close()

    def ask(self, message: Mapping[str, Any]) -> Mapping[str, Any]:
        """Ask usbmuxd itself. Raises UsbmuxdDownError."""
        content = plistlib.dumps({"ProgName": _PROGRAM, "ClientVersionString": _PROGRAM, **message})
        try:
            self._send(_HEADER.pack(_HEADER.size + len(content), _VERSION, _PLIST, 1) + content)
            length = _HEADER.unpack(self._exactly(_HEADER.size))[0] - _HEADER.size
            return self._plist(length)
        except (OSError, EOFError, ValueError) as error:
            raise self.down(getattr(error, "strerror", None) or str(error)) from error

    def lead_to(self, phone: ListedIphone) -> None:
        """Make the connection one to the phone's lockdown service. Raises GoneError, UsbmuxdDownError."""
        port = socket.htons(_LOCKDOWN_PORT)
        reply = self.ask({"MessageType": "Connect", "DeviceID": phone.device_id, "PortNumber": port})
        if reply.get("Number") != 0:
            said = "it is no longer plugged in" if reply.get("Number") == _BAD_DEVICE else f"usbmuxd says {dict(reply)}"
            raise self.subject.error(GoneError, call="Connect", said=said)

    def request(self, message: Mapping[str, Any]) -> Mapping[str, Any]:
        """Ask the phone that this leads to. Raises GoneError, IosTimeoutError, IosProtocolError."""
        content = plistlib.dumps(dict(message))
        call = str(message.get("Request", ""))
        try:
            self._send(_LENGTH.pack(len(content)) + content)
            return self._plist(_LENGTH.unpack(self._exactly(_LENGTH.size))[0])
        except TimeoutError as error:
            raise self.subject.error(IosTimeoutError, call=call) from error
        except (OSError, EOFError) as error:
            raise self.subject.error(GoneError, call=call, said=str(error)) from error
        except ValueError as error:
            raise self.subject.error(IosProtocolError, call=call, said=str(error)) from error

    def down(self, said: str) -> UsbmuxdDownError:
        """The error for a usbmuxd that does not answer."""
        return self.subject.error(UsbmuxdDownError, f"no usbmuxd answers at {self._address}", said=said)

    def _wait(self) -> None:
        left = self._end - self._clock.monotonic()
        if left <= 0:
            raise TimeoutError("it did not answer in time")
        self._socket.settimeout(left)

    def _send(self, data: bytes) -> None:
        self._wait()
        self._socket.sendall(data)

    def _exactly(self, size: int) -> bytes:
        data = bytearray()
        while len(data) < size:
            self._wait()
            got = self._socket.recv(size - len(data))
            if not got:
                raise EOFError("the connection ended")
            data += got
        return bytes(data)

    def _plist(self, length: int) -> Mapping[str, Any]:
        if not 0 < length <= _LONGEST:
            raise ValueError(f"a message of {length} bytes")
        try:
            value = plistlib.loads(self._exactly(length))
        except (plistlib.InvalidFileException, ExpatError) as error:
            raise ValueError(f"no property list: {error}") from error
        if not isinstance(value, dict):
            raise ValueError(f"a property list that is no dictionary: {value!r}")
        return value
