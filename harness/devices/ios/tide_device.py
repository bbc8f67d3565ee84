"""tidevice's device without what would change a phone, this computer's trust in it, or the network.

tidevice pairs, deletes pair records, and downloads and mounts developer images by itself when a call fails. None of
that may happen in a test run: each is replaced by a refusal, and a service is asked for once.
"""

from __future__ import annotations

import contextlib
import weakref
from typing import Any, NoReturn

import tidevice
from tidevice import Usbmux
from tidevice.exceptions import BaseError, MuxServiceError

from harness.devices.ios.tide_errors import Refusal, chain

_NEVER = "the harness never does that"


class _KeptSession:
    """A lockdown session that stays open after its `with` block, unless something broke there."""

    def __init__(self, device: HarmlessDevice, session: Any) -> None:  # noqa: ANN401 - tidevice is untyped
        self._device = weakref.ref(device)
        self._session = session

    def __enter__(self) -> Any:  # noqa: ANN401
        return self._session.get_plistsocket()

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if error is not None and not isinstance(error, (MuxServiceError, Refusal)):
            device = self._device()
            if device is not None:
                device.drop_session()


class HarmlessDevice(tidevice.Device):  # type: ignore[misc] # tidevice is untyped
    """A phone. One lockdown session is kept open for as long as it works."""

    def __init__(self, udid: str, address: str) -> None:
        """Stand for the phone; nothing is opened.

        Args:
            udid: of the phone.
            address: of usbmuxd: a path or host:port.
        """
        super().__init__(udid, Usbmux(address))
        self._session: Any = None

    @property
    def has_session(self) -> bool:
        """Whether a session is kept."""
        return self._session is not None

    def pair(self) -> NoReturn:
        """Refuse to pair."""
        raise Refusal("not_paired", "this computer has no pair record of it")

    def delete_pair_record(self) -> NoReturn:
        """Refuse to delete the pair record."""
        raise Refusal("not_paired", "InvalidHostID: it has forgotten this computer")

    def mount_developer_image(self, reboot_ok: bool = False) -> NoReturn:
        """Refuse to download and mount an image."""
        raise Refusal("no_developer_image", f"mounting an image: {_NEVER}")

    def enable_ios16_developer_mode(self, reboot_ok: bool = False) -> NoReturn:
        """Refuse to change the Developer Mode."""
        raise Refusal("developer_mode_off", f"switching it on: {_NEVER}")

    def app_install(self, file_or_url: object) -> NoReturn:
        """Refuse to download or install an app."""
        raise Refusal("refused", f"installing {file_or_url}: {_NEVER}")

    def start_service(self, name: str) -> Any:  # noqa: ANN401
        """Start a service, once more if the session that was kept does not work any more."""
        kept = self._session is not None
        try:
            return self._unsafe_start_service(name)
        except BaseError as error:
            if not kept or isinstance(error, MuxServiceError) or any(isinstance(e, Refusal) for e in chain(error)):
                raise
        self.drop_session()
        return self._unsafe_start_service(name)

    def create_session(self) -> _KeptSession:
        """The session that is kept, or a new one."""
        if self._session is None:
            self._session = super().create_session()
        return _KeptSession(self, self._session)

    def drop_session(self) -> None:
        """Let go of the session that was kept."""
        session, self._session = self._session, None
        if session is not None:
            with contextlib.suppress(Exception):
                session.get_plistsocket().close()

    def ask(self, key: str, domain: str = "") -> Any:  # noqa: ANN401 - whatever a property list holds
        """A lockdown value; None if the phone has none of that name.

        Raises:
            Refusal: the phone says that it is locked or not paired.
        """
        request = {"Request": "GetValue", "Label": "delegate-harness"}
        request |= {"Key": key} if key else {}
        request |= {"Domain": domain} if domain else {}
        kept = self._session is not None
        try:
            reply = self._exchange(request)
        except BaseError:
            if not kept:
                raise
            self.drop_session()
            reply = self._exchange(request)
        error = str(reply.get("Error", ""))
        if error == "PasswordProtected":
            raise Refusal("locked", error)
        if error in {"InvalidHostID", "SessionInactive", "InvalidSession"}:
            self.drop_session()
            raise Refusal("not_paired", error)
        return reply.get("Value")

    def _exchange(self, request: dict[str, str]) -> dict[str, Any]:
        with self.create_session() as session:
            reply: dict[str, Any] = session.send_recv_packet(request)
            return reply
