"""Emulated devices for tests and benchmarks: real protocols, no hardware. Not in the wheel."""
