"""The op suite: models of one operator each, for every operator that mobile GPUs take, in several shapes.

A file's name is `<operator>.<case>`. The case "plain" is the operator at its most ordinary, and is also run with values
that hurt; the others are shapes that break kernels: channels that are no multiple of 4, size 1, several in a batch.
"""
