"""The data path to a phone: what adb can do, without any knowledge of benchmarks.

adbutils finds the adb program, lists and connects devices. Shell, push, pull and stat speak to the adb server
directly, because there every operation needs one deadline for all of it and the device's own words in its error.
"""
