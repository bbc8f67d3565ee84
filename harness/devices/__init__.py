"""HOW to get there: one file per kind of device. The only code that knows adb, usbmux or ssh."""
