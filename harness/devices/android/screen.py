"""A phone's screen, kept awake for as long as the harness has it: a phone that sleeps computes slowly or not at all.

What the settings were is noted on the phone itself, so that the next run restores them if this one is killed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from harness.devices.shell.remote import Remote

_SECONDS = 15.0  # each `settings` starts a virtual machine on old phones
_PLUGGED = 15  # any power source: BatteryManager's AC 1, USB 2, wireless 4, dock 8
_TIMEOUT_MS = 1_800_000  # for phones on battery, where the above keeps nothing awake

# Values are whole numbers, or "null" for a setting that is not there. Anything else is left alone.
_RESTORE = r"""
put() {
  case $3 in
    null) settings delete "$1" "$2";;
    ''|*[!0-9-]*) ;;
    *) settings put "$1" "$2" "$3";;
  esac
} >/dev/null 2>&1 </dev/null
restore() {
  A=; B=
  { read -r A B <"$ROOT/restore"; } 2>/dev/null || return 0
  put global stay_on_while_plugged_in "$A"
  put system screen_off_timeout "$B"
  rm -f "$ROOT/restore"
}
command -v settings >/dev/null 2>&1 || exit 0
# One run at a time: else one may note what another has just set. The lock of one that died is broken.
trap '' HUP  # a cable that is pulled now ends nothing half-way
I=0
until mkdir "$ROOT/restore.lock" 2>/dev/null; do I=$((I+1)); [ $I -gt 50 ] && break; sleep 0.1; done
trap 'rmdir "$ROOT/restore.lock" 2>/dev/null' EXIT
restore
"""

_KEEP = rf"""
A=$(settings get global stay_on_while_plugged_in 2>/dev/null </dev/null)
B=$(settings get system screen_off_timeout 2>/dev/null </dev/null)
case $A in null|[0-9]*) ;; *) exit 0;; esac
case $B in null|[0-9]*) ;; *) B=unknown;; esac
echo "$A $B" >"$ROOT/restore.tmp" && mv "$ROOT/restore.tmp" "$ROOT/restore" || exit 0
put global stay_on_while_plugged_in {_PLUGGED}
[ "$B" = unknown ] || put system screen_off_timeout {_TIMEOUT_MS}
input keyevent KEYCODE_WAKEUP >/dev/null 2>&1 </dev/null
"""


class Screen:
    """The screen of one phone. A phone without the command `settings` is left as it is."""

    def __init__(self, remote: Remote, *, change: bool) -> None:
        """Bind it.

        Args:
            remote: the phone.
            change: whether its settings may be changed.
        """
        self._remote = remote
        self._change = change
        self.kept = False
        """Whether settings may have to be set back."""

    def keep_awake(self) -> None:
        """Restore what a killed run may have left; then, where that is allowed, keep the screen awake.

        Raises:
            AdbError: the phone was lost.
        """
        self.kept = self._change  # also if the call is broken off: the phone may have done it
        self._remote.call(_RESTORE + (_KEEP if self._change else ""), _SECONDS)

    def wake(self, state: Mapping[str, Any]) -> None:
        """Keep it awake again if it went off: another run that ended has restored the settings, or a person pressed.

        Args:
            state: of the phone, a moment ago.

        Raises:
            AdbError: the phone was lost.
        """
        if self.kept and state.get("screen") in ("off", "dozing"):
            self.keep_awake()

    def restore(self) -> None:
        """Set the settings back to what they were; nothing if they were not changed.

        Raises:
            AdbError: the phone was lost; the next run restores them.
        """
        if self.kept:
            self._remote.call(_RESTORE, _SECONDS)
            self.kept = False
