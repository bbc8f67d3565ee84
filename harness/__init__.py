"""Device-farm harness: a delegate's speed and correctness, proven on real devices."""

__version__ = "0.1.0"
