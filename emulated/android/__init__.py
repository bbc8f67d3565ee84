"""Emulated Android phones: an adbd that the real adb server talks to."""
