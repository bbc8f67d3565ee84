"""Emulated iPhones: a usbmuxd and phones behind it that real clients talk to."""
