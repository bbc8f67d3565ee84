"""iPhones and iPads, through usbmuxd: how to get there. Nothing here was ever tried on a real one."""
