"""What lockdownd knows of a phone, by domain."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from emulated.ios.phone import Phone

PUBLIC = frozenset(
    (
        "BuildVersion",
        "CPUArchitecture",
        "ChipID",
        "DeviceClass",
        "DeviceName",
        "DevicePublicKey",
        "HardwareModel",
        "HarnessEmulated",
        "PasswordProtected",
        "ProductName",
        "ProductType",
        "ProductVersion",
        "ProtocolVersion",
        "UniqueChipID",
        "UniqueDeviceID",
        "WiFiAddress",
    )
)
"""What it tells hosts that it does not trust. That list is from clients' sources, and was not checked on a phone."""

_PUBLIC_KEY = b"""\
-----BEGIN RSA PUBLIC KEY-----
MIIBCgKCAQEAq3IzNnPwuvGxvn44RNIrRxXRMtp22/YnCpbZ2+MBKwO5EAghrN9j
7QeIBlAesZvXuxIQ9T59Fa/F7QUS/iH08W6bkhGkU1S69FVSjd4iw9/A7kMRIQCd
ZIbOM0Zol80gWUzJV9wItrtDnw+l7sWpwSaNO8LKttavviUmNXUtb7h07BR8KMFg
7aWGkUCrJ1azyzOY4zstRpqDvM+tEZ0BmfKddPvJEPGeaOm/PSIhnTaB+32s/NL/
6JImHik/wztdlVNsrsJlnYWrVUNtLukji54l7zu1q+NUlPIBqmO0KM7TqYJPiSnl
mqiMbI0VCoWDX23Wb6rOa+vO3iIv2wSd1QIDAQAB
-----END RSA PUBLIC KEY-----
"""
"""Of a key that nobody has: hosts need one to make a pair record, and none of these phones pairs."""


def values(phone: Phone, domain: str | None) -> Mapping[str, Any]:
    """Everything in a domain, None for the main one; nothing for a domain that the phone does not have."""
    about = phone.description
    if domain is None:
        return {**_main(phone), **about.values}
    return {**_domain(phone, domain), **about.domains.get(domain, {})}


def _main(phone: Phone) -> dict[str, Any]:
    about = phone.description
    number = int(phone.udid.replace("-", "")[-8:], 16)
    address = f"02:00:{number >> 24 & 255:02x}:{number >> 16 & 255:02x}:{number >> 8 & 255:02x}:{number & 255:02x}"
    kind = about.product_type.rstrip("0123456789,")
    return {
        "ActivationState": "Activated",
        "BluetoothAddress": address,
        "BuildVersion": about.build,
        "CPUArchitecture": about.cpu_architecture,
        "ChipID": about.chip_id,
        "DeviceClass": kind,
        "DeviceName": f"Emulated {about.name}",
        "DevicePublicKey": _PUBLIC_KEY,
        "HardwareModel": about.hardware_model,
        "HarnessEmulated": True,
        "PasswordProtected": phone.locked,
        "ProductName": "iPhone OS",
        "ProductType": about.product_type,
        "ProductVersion": about.os_version,
        "ProtocolVersion": "2",
        "SerialNumber": f"EMULATED{number & 0xFFFF:04X}",
        "SupportedDeviceFamilies": [1],
        "TimeZone": "Etc/UTC",
        "TrustedHostAttached": phone.trusted,
        "UniqueChipID": number,
        "UniqueDeviceID": phone.udid,
        "WiFiAddress": address,
    }


def _domain(phone: Phone, domain: str) -> dict[str, Any]:
    about, battery = phone.description, phone.battery
    if domain == "com.apple.disk_usage":
        return {
            "AmountDataAvailable": phone.free_bytes,
            "AmountDataReserved": 0,
            "TotalDataAvailable": phone.free_bytes,
            "TotalDataCapacity": about.storage.total - about.storage.system,
            "TotalDiskCapacity": about.storage.total,
            "TotalSystemAvailable": 0,
            "TotalSystemCapacity": about.storage.system,
        }
    if domain == "com.apple.mobile.battery":
        return {
            "BatteryCurrentCapacity": battery.level,
            "BatteryIsCharging": battery.charging,
            "ExternalChargeCapable": battery.external,
            "ExternalConnected": battery.external,
            "FullyCharged": battery.external and battery.level == 100,
            "GasGaugeCapability": True,
            "HasBattery": True,
        }
    if domain == "com.apple.security.mac.amfi" and phone.major >= 16:
        return {"DeveloperModeStatus": phone.developer_mode}
    if domain == "com.apple.mobile.wireless_lockdown":
        return {"EnableWifiConnections": phone.network}
    return {}
