"""WHAT IS RIGHT: inputs, golden runs in a child process, and their cache."""
