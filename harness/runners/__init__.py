"""WHAT runs there: one file per benchmark program, with its binaries and runtimes per target."""
