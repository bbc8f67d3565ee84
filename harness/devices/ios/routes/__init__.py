"""Ways to start an app on an iPhone: tidevice up to iOS 16, a tool run as a child process later, a person always."""

from harness.devices.ios.routes.base import Handle, Route
from harness.devices.ios.routes.choice import INSTALL, Choice, choose, found_tools, open_route

__all__ = ["INSTALL", "Choice", "Handle", "Route", "choose", "found_tools", "open_route"]
