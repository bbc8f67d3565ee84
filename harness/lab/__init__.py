"""WHO can run: devices.yaml to device specs, and leases. Knows no adb."""
