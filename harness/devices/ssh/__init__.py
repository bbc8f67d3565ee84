"""The data path to another computer through SSH, without any knowledge of benchmarks.

paramiko speaks the protocol. Files go through a client of our own for SFTP, which keeps many requests under way, over
several files; and every operation has one deadline for all of it.
"""
