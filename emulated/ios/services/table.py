"""The services that lockdown of an emulated iPhone starts, by name."""

from __future__ import annotations

from collections.abc import Mapping

from emulated.ios.dtx import instruments
from emulated.ios.services import (
    crash_reports,
    diagnostics,
    house_arrest,
    image_mounter,
    installation,
    notifications,
    syslog,
)
from emulated.ios.services.service import Service

SERVICES: Mapping[str, Service] = {
    "com.apple.afc": Service(house_arrest.serve_media, needs_unlock=True),
    "com.apple.mobile.house_arrest": Service(house_arrest.serve, needs_unlock=True),
    "com.apple.mobile.installation_proxy": Service(installation.serve, needs_unlock=True),
    "com.apple.mobile.mobile_image_mounter": Service(image_mounter.serve),
    "com.apple.mobile.diagnostics_relay": Service(diagnostics.serve),
    "com.apple.mobile.notification_proxy": Service(notifications.serve),
    "com.apple.syslog_relay": Service(syslog.serve),
    "com.apple.crashreportmover": Service(crash_reports.serve_mover),
    "com.apple.crashreportcopymobile": Service(house_arrest.serve_crash_reports),
    "com.apple.instruments.remoteserver": Service(
        instruments.serve, developer=True, until=14, handshake_only_before=14, needs_unlock=True
    ),
    "com.apple.instruments.remoteserver.DVTSecureSocketProxy": Service(
        instruments.serve, developer=True, since=14, until=17, needs_unlock=True
    ),
}
"""What lockdown knows, as far as it is emulated; the developer's services are gone from it with iOS 17."""
