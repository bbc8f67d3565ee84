"""Emulated boards: OpenSSH's own sshd, real inference, arm64 programs under qemu. No hardware."""
