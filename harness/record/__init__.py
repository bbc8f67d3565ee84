"""WHAT IS KEPT: the crash-safe journal."""
