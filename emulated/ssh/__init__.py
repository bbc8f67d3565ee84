"""A computer that is reached through ssh: OpenSSH's own sshd on loopback, for tests and benchmarks."""
