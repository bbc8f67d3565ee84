"""The service that developer tools speak DTX with; lockdownd or remote service discovery lead to it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

from emulated.ios.connection import Connection
from emulated.ios.dtx.channels import Link, Service
from emulated.ios.dtx.device_info import APPLICATIONS, DEVICE_INFO, Applications, DeviceInfo
from emulated.ios.dtx.process_control import NAME, ProcessControl
from emulated.ios.phone import Phone


async def serve(phone: Phone, connection: Connection) -> None:
    """Serve one client until it goes; the caller closes the connection. TLS, where there is any, is on or off already.

    Raises:
        EOFError: The client is gone, or the connection was cut.
        ConnectionError: The client is gone.
    """
    services: Mapping[str, Callable[[Link, int], Service]] = {
        NAME: partial(ProcessControl, phone),
        DEVICE_INFO: partial(DeviceInfo, phone),
        APPLICATIONS: partial(Applications, phone),
    }
    await Link(connection, phone.faults, services).run()
