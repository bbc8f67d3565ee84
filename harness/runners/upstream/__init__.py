"""Upstream's benchmark_model, classic and LiteRT flavour: its command line, its log, its files."""
