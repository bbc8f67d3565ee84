"""WHAT IT MEANS: pure functions from numbers to verdicts. No I/O."""
