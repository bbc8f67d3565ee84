"""Computers that phones are plugged into: one SSH connection each, and the ways to its phones through it.

To everything else a phone of a host is like one of this computer: its adb server and its usbmuxd have addresses on
loopback here.
"""
