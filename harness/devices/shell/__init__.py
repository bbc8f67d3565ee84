"""What phones and boards with a POSIX shell share: scripts, jobs, the store. Knows neither adb nor ssh."""
