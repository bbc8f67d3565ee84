"""lockdownd: says what the phone is, checks who asks, and starts services."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

from emulated.ios.connection import Connection
from emulated.ios.phone import Phone
from emulated.ios.services.table import SERVICES
from emulated.ios.values import PUBLIC, values

PORT = 62078
HOST_ID = "00000000-0000-4000-8000-0000E0000001"
SYSTEM_BUID = "00000000-0000-4000-8000-0000E0000002"
SESSION_ID = "00000000-0000-4000-8000-0000E0000003"
TYPE = "com.apple.mobile.lockdown"

Reply = dict[str, Any]


def dial(phone: Phone, port: int) -> Callable[[Connection], Awaitable[None]] | None:
    """Who answers on a port of a phone; None: nobody does. A port that a service was started on answers once."""
    if port == PORT:
        return partial(phone.serve, service="lockdown", handler=serve)
    service = phone.ports.pop(port, None)
    return None if service is None else partial(phone.serve, service=service, handler=partial(_service, service))


async def serve(phone: Phone, connection: Connection) -> None:
    """As usbmuxd reaches it: most of it needs a session."""
    await _Lockdown(phone, connection, trusted=False).serve()


async def serve_trusted(phone: Phone, connection: Connection) -> None:
    """As RSD reaches it: the tunnel has made sure who asks, so that it needs neither session nor TLS."""
    await _Lockdown(phone, connection, trusted=True).serve()


async def _service(name: str, phone: Phone, connection: Connection) -> None:
    service = SERVICES[name]
    if phone.tls:
        before = service.handshake_only_before
        await connection.secure(then_plain=before is not None and phone.major < before)
    await service.handler(phone, connection)


class _Lockdown:
    """One client's dialogue."""

    def __init__(self, phone: Phone, connection: Connection, *, trusted: bool) -> None:
        self._phone = phone
        self._connection = connection
        self._trusted = trusted
        self._session = trusted
        self._answers: dict[str, Callable[[Reply], Reply]] = {
            "QueryType": lambda request: {"Type": TYPE},
            "GetValue": self._get_value,
            "SetValue": lambda request: {"Error": "SetProhibited"},
            "RemoveValue": lambda request: {"Error": "SetProhibited"},
            "StartSession": self._start_session,
            "StopSession": self._stop_session,
            "StartService": self._start_service,
            "Pair": self._pair,
            "ValidatePair": self._validate_pair,
            "Unpair": self._unpair,
            "Goodbye": lambda request: {"Result": "Success"},
        }

    async def serve(self) -> None:
        while True:
            request = await self._connection.read_plist()
            if request is None:
                # The end, or only the end of TLS: clients take it off after StopSession, and go on.
                if not self._session and await self._connection.plain():
                    continue
                return
            kind = str(request.get("Request"))
            answer = self._answers.get(kind)
            if answer is None:  # what a phone says to this is not known
                return
            reply = answer(request)
            await self._connection.write_plist({"Request": kind, **reply})
            if reply.get("EnableSessionSSL"):
                await self._connection.secure()
            if kind == "Goodbye":
                return

    def _get_value(self, request: Reply) -> Reply:
        domain, key = request.get("Domain") or None, request.get("Key") or None
        reply = {name: request[name] for name in ("Domain", "Key") if request.get(name)}
        known = values(self._phone, domain)
        if not self._session:
            if domain is not None or (key is not None and key in known and key not in PUBLIC):
                return {**reply, "Error": "GetProhibited"}
            known = {name: value for name, value in known.items() if name in PUBLIC}
        if key is None:
            return {**reply, "Value": dict(known)}
        return {**reply, "Value": known[key]} if key in known else {**reply, "Error": "MissingValue"}

    def _start_session(self, request: Reply) -> Reply:
        if self._session:
            return {"Error": "SessionActive"}
        if "HostID" not in request:
            return {"Error": "MissingHostID"}
        if not self._accepts(request):
            return {"Error": "InvalidHostID"}
        self._session = True
        return {"SessionID": SESSION_ID, "EnableSessionSSL": self._phone.tls}

    def _stop_session(self, request: Reply) -> Reply:
        if not self._session or self._trusted:
            return {"Error": "SessionInactive"}
        if request.get("SessionID") != SESSION_ID:
            return {"Error": "InvalidSessionID"}
        self._session = False
        return {"Result": "Success"}

    def _start_service(self, request: Reply) -> Reply:
        phone, name = self._phone, request.get("Service")
        reply: Reply = {"Service": name}
        if not isinstance(name, str):
            return {"Error": "MissingService"}
        if not self._session:
            return {**reply, "Error": "SessionInactive"}
        service = SERVICES.get(name)
        # In a tunnel each service has a port of its own, and lockdownd starts none.
        if service is None or not service.exists(phone.major) or self._trusted:
            return {**reply, "Error": "InvalidService"}
        # Such a service is in the image, and without Developer Mode iOS 16 mounts none.
        if service.developer and not (phone.image_mounted and (phone.major < 16 or phone.developer_mode)):
            return {**reply, "Error": "InvalidService"}
        if service.needs_unlock and phone.locked:
            return {**reply, "Error": "PasswordProtected"}
        phone.opened.append(name)
        return {**reply, "Port": phone.listen(name), "EnableServiceSSL": phone.tls}

    def _accepts(self, record: Reply) -> bool:
        return self._phone.trusted and record.get("HostID") == HOST_ID

    def _pair(self, request: Reply) -> Reply:
        """Nobody is there to tap "Trust"."""
        self._phone.asked.append("Pair")
        return {"Error": "PasswordProtected" if self._phone.locked else "PairingDialogResponsePending"}

    def _validate_pair(self, request: Reply) -> Reply:
        record = request.get("PairRecord")
        return {} if isinstance(record, dict) and self._accepts(record) else {"Error": "InvalidHostID"}

    def _unpair(self, request: Reply) -> Reply:
        self._phone.asked.append("Unpair")
        record = request.get("PairRecord")
        if not isinstance(record, dict) or not self._accepts(record):
            return {"Error": "InvalidHostID"}
        self._phone.trusted = False
        return {}
