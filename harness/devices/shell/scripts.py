"""Shell text that runs a job on a device: POSIX sh, as dash, busybox, or mksh with an old toolbox understands it.

Nothing is ever read out of a remote path: scripts change into a folder and print bare names. What they print comes
in sections (see `remote`). Processes are looked up in /proc with built-in commands alone: no tool has to exist for it,
and the search costs no process. All scripts expect the shell variables TOKEN and ROOT.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath

from harness.devices.base import JobPath
from harness.devices.shell.remote import SAY, STORE

EXIT_MISSING = 97
"""The run script ended before the command: files are not in the store; section `missing` names them."""

JOBS = "jobs"
TEXT_KEPT = 64 << 10
"""How much of the end of stdout and stderr is brought back, in bytes."""

# start_of PID: X becomes the start time of a live process (proc(5), field 22), which tells it from a later one of
# the same number. members ID: M becomes the live processes of session or process group ID, but for the shell itself and
# those that have no mark of ours: the number may have come to others. end ID: kills those until none is left.
# sweep FOLDER: ends what the job in FOLDER left behind; fails if something cannot be ended.
# ended FOLDER: whether its job ended, by the whole line in its file rc: exit code C; K is 1 if nothing of it is left
# running; start A and end Z in seconds of uptime; boot id B.
_LIBRARY = (
    SAY
    + r"""
start_of() {
  X=; LINE=
  { read -r LINE <"/proc/$1/stat"; } 2>/dev/null || return 1
  set -- ${LINE##*) }
  case $1 in Z|X) return 1;; esac
  X=${20}
}
members() {
  M=
  for P in /proc/[0-9]*; do
    { read -r LINE <"$P/stat"; } 2>/dev/null || continue
    P=${P#/proc/}
    [ "$P" = $$ ] && continue
    set -- "$1" ${LINE##*) }
    case $2 in Z|X) continue;; esac
    [ "$P" = "$1" ] || [ "$4" = "$1" ] || [ "$5" = "$1" ] || continue
    grep -q HARNESS_JOB= "/proc/$P/environ" 2>/dev/null
    [ $? = 1 ] || M="$M $P"
  done
  [ -n "$M" ]
}
end() {
  I=0
  while members "$1"; do
    kill -9 $M 2>/dev/null
    I=$((I+1))
    [ $I -gt 100 ] && return 1
    sleep 0.05
  done
  return 0
}
sweep() {
  S=; T=; B=
  { read -r S T B <"$1/pid"; } 2>/dev/null || return 0
  case $S in ''|*[!0-9]*) return 0;; esac
  [ "$B" = "$BOOT" ] || return 0
  if start_of "$S" && [ "$X" != "$T" ]; then return 0; fi
  end "$S"
}
ended() { C=; K=; A=; Z=; B=; { read -r C K A Z B <"$1/rc"; } 2>/dev/null; }
BOOT=; { read -r BOOT </proc/sys/kernel/random/boot_id; } 2>/dev/null
NOW=; { read -r NOW LINE </proc/uptime; } 2>/dev/null
"""
)

# Nobody else runs a job now, so that what still runs was left by one whose controller is gone. A folder whose job ended
# within the hour may belong to another run, which is bringing its output back. Jobs that are not detached leave no rc:
# of those the start alone is known, in hundredths of a second (proc(5), field 22).
_LEFTOVERS = r"""
for J in *; do
  [ -d "$J" ] || continue
  ended "$J"
  if [ "$K" != 1 ] && ! sweep "$J"; then say stuck; echo $M; exit 1; fi
  if [ -z "$K" ] && [ -e "$J/attached" ]; then K=0; Z=${T%??}; fi
  if [ "$J" != "$JOB" ] && [ "$K" ] && [ "$B" = "$BOOT" ]; then
    [ "${Z%%.*}" -gt $((${NOW%%.*} - 3600)) ] 2>/dev/null && continue
  fi
  rm -rf -- "$J"
done
"""

# Arguments: limit in seconds, then the command. Times are of /proc/uptime.
# `timeout` of toybox 0.8.8 and 0.8.9 (Android 14) gives 127 for a command that ends at once, and others end the command
# alone and not what that has started. So the exit code is written by a shell in between, with its process group, and
# what is left of that is ended here: without a search, unless there is something.
_COMMAND = r"""
"$@" >stdout 2>stderr </dev/null
C=$?
{ read -r LINE </proc/$$/stat; } 2>/dev/null
set -- ${LINE##*) }
echo "$C $3" >code
exit $C
"""
_DETACHED = (
    _LIBRARY
    + r"""
L=$1; shift
start_of $$; echo "$$ $X $BOOT" >pid
A=-; { read -r A LINE </proc/uptime; } 2>/dev/null
timeout -s KILL "$L" "$0" -c """
    + shlex.quote(_COMMAND)
    + r""" sh "$@"
C=$?
Z=-; { read -r Z LINE </proc/uptime; } 2>/dev/null
H=; G=; { read -r H G <code; } 2>/dev/null
C=${H:-$C}; K=1
if [ "${G:-$$}" = $$ ] || kill -9 -$G 2>/dev/null; then end $$ || K=0; fi
echo "$C $K $A $Z $BOOT" >rc
exit $C
"""
)

_SHOW_RC = 'if ended .; then say rc; echo "$C $A $Z"; fi'


@dataclass(frozen=True)
class Launch:
    """A job in the device's terms.

    Attributes:
        id: of the job; name of its folder.
        links: name in the job's folder, SHA-256 and size in bytes of each file.
        output: name of the output folder.
        command: as in `Job.command`.
        env: its environment variables.
        mask: hexadecimal mask of the cores it may run on; None for all.
        detached: whether it runs in a session of its own, which survives the connection.
        sizes: whether the device has `stat`, so that sizes are checked.
    """

    id: str
    links: tuple[tuple[str, str, int], ...]
    output: str
    command: tuple[str | JobPath, ...]
    env: Mapping[str, str]
    mask: str | None
    detached: bool
    sizes: bool


def run_script(launch: Launch, state: str) -> str:
    """Checks the files, ends leftovers, tells the state (by the script `state`), starts the command and waits for it.

    Expects JOB, its id, LIMIT, in whole seconds, and RECENT, empty unless the state is known already. Sections:
    `missing`, `stuck`, `state`, `started`, and in the detached form `rc`: exit code, start and end, in seconds of
    uptime. Without a section `rc` the exit code of the script is that of the command, once there is a section
    `started`.
    """
    steps = [
        _LIBRARY,
        # Without the store's folder all files are missing.
        f'cd "$ROOT/{STORE}" 2>/dev/null || exit {EXIT_MISSING}',
        _check(launch),
        f"cd ../{JOBS} 2>/dev/null || {{ mkdir -p ../{JOBS} && cd ../{JOBS}; }} || exit 1",
        _LEFTOVERS,
        _folder(launch),
        f'if [ -z "$RECENT" ]; then {{ {state}}} >state; say state; cat state; fi',
        "say started",
    ]
    words = " ".join(_words(launch))
    if launch.detached:
        steps += [
            "S=$(command -v sh)",
            f'HARNESS_JOB="$JOB" setsid "$S" -c {shlex.quote(_DETACHED)} "$S" "$LIMIT" {words} '
            "</dev/null >/dev/null 2>&1 &",
            "wait $!; W=$?",
            _SHOW_RC,
            "exit $W",
        ]
    else:
        exports = [f"export {name}={shlex.quote(value)}" for name, value in launch.env.items()]
        steps += [
            ': >attached; start_of $$; echo "$$ $X $BOOT" >pid',
            'export HARNESS_JOB="$JOB"',
            *exports,
            "exec >stdout 2>stderr </dev/null",
            f"exec {words}",
        ]
    return "\n".join(steps) + "\n"


def _words(launch: Launch) -> list[str]:
    """The command, quoted, with what goes in front: first the cores, then, where the job is detached, its environment.

    In this order the environment (a library path, say) reaches the command alone and none of the device's tools.
    """
    words = ["taskset", launch.mask] if launch.mask else []
    if launch.detached and launch.env:
        words += ["env", *(shlex.quote(f"{name}={value}") for name, value in launch.env.items())]
    folder = f'"$ROOT/{JOBS}/$JOB"'
    return words + [
        f"{folder}/{shlex.quote(part.name)}" if isinstance(part, JobPath) else shlex.quote(part)
        for part in launch.command
    ]


def _check(launch: Launch) -> str:
    """End unless all files are in the store (the current folder), else say that they were used."""
    files = {digest: size for _, digest, size in launch.links}
    if not files:
        return ""
    if launch.sizes:
        have = 'NL="\n"; HAVE="$NL$(stat -c %n:%s $NAMES 2>/dev/null)$NL"'
        test = 'case $HAVE in *"$NL$F:$2$NL"*) ;; *) LOST="$LOST $F";; esac'
    else:
        have = ":"
        test = '[ -e "$F" ] || LOST="$LOST $F"'
    return "\n".join(
        [
            f"NAMES='{' '.join(files)}'",
            have,
            f"LOST=; set -- {' '.join(f'{digest} {size}' for digest, size in files.items())}",
            f"while [ $# -gt 0 ]; do F=$1; {test}; shift 2; done",
            f'if [ -n "$LOST" ]; then say missing; echo $LOST; exit {EXIT_MISSING}; fi',
            "touch -c $NAMES 2>/dev/null",
        ]
    )


def _folder(launch: Launch) -> str:
    """Make the job's folder, with links to its files, and change into it."""
    parents = {str(PurePosixPath(name).parent) for name, _, _ in launch.links} | {launch.output}
    made = shlex.join(f"{launch.id}/{parent}" for parent in sorted(parents))
    lines = [f'mkdir -p -- {made} && cd "$JOB" || exit 1']
    lines += [f'ln -s "$ROOT/{STORE}/{digest}" {shlex.quote(name)} || exit 1' for name, digest, _ in launch.links]
    # A full disk takes folders and links, but nothing that is written: of such a job nobody would know what to end.
    full = "nothing can be written into $ROOT: no space left; remove something there"
    lines.append(f'echo - 2>/dev/null >pid || {{ echo "{full}" >&2; exit 1; }}')
    return "\n".join(lines)


_INTO_JOB = f'cd "$ROOT/{JOBS}/$JOB" 2>/dev/null'
_END = 'ended .; [ "$K" = 1 ] || sweep . || { say stuck; echo $M; }'
_REMOVE = 'cd .. && rm -rf -- "$JOB"; [ -z "$SCRIPT" ] || rm -f -- "$SCRIPT"'

WAIT_SCRIPT = "\n".join(
    [
        _LIBRARY,
        f"{_INTO_JOB} || {{ say gone; echo never; exit 0; }}",
        r"""
I=0; G=
while ! ended .; do
  S=; T=; B=
  if { read -r S T B <pid; } 2>/dev/null && [ "$S" != - ]; then
    if [ "$B" != "$BOOT" ]; then G=restarted; break; fi
    if ! start_of "$S" || [ "$X" != "$T" ]; then ended . || G=dead; break; fi
  else
    I=$((I+1)); if [ $I -gt 3 ]; then G=never; break; fi
  fi
  sleep 1
done
if [ -n "$G" ]; then say gone; echo $G; exit 0; fi
[ ! -s state ] || { say state; cat state; }
""",
        _SHOW_RC,
    ]
)
"""Waits for the detached job JOB, whose connection was lost.

Sections: `state` (of before) and `rc` as of `run_script`, or `gone` with a word: "never" (it was not started),
"restarted" (the device was) or "dead" (it ended without an exit code).
"""

END_SCRIPT = "\n".join([_LIBRARY, f"{_INTO_JOB} || exit 0", _END, _REMOVE])
"""Ends the job JOB, if it still runs, and removes its folder and the file SCRIPT, if that is not empty.

Section: `stuck`, with the pids of what cannot be ended.
"""


def clean_script(state: str) -> str:
    """As `END_SCRIPT`, and tells what the job printed, and the device's state (by the script `state`).

    Sections: `stuck`; `stdout` and `stderr` (the last `TEXT_KEPT` bytes; the first ones where there is no `tail`);
    `state` (of now); `end`.
    """
    return "\n".join(
        [
            _LIBRARY,
            f"if {_INTO_JOB}; then",
            _END,
            *(
                f"say {name}; [ ! -s {name} ] || tail -c {TEXT_KEPT} {name} 2>/dev/null || "
                f"dd if={name} bs={TEXT_KEPT} count=1 2>/dev/null"
                for name in ("stdout", "stderr")
            ),
            _REMOVE,
            "fi",
            f'S=$(\n{state})\nsay state; echo "$S"',  # in one piece: each line would be a packet of its own
            "say end",
        ]
    )


def prepare_script(tools: tuple[str, ...]) -> str:
    """Makes the harness's folders and tries whether programs can be executed there. An empty ROOT is one's own cache.

    Sections: `tools` with those that exist, then `root`, the folder; then `refused` with the device's words, and
    `ready` if there is nothing to refuse.
    """
    # An empty file is a program: the shell that fails to execute it as a binary interprets it.
    return "\n".join(
        [
            SAY,
            f"say tools; for F in {' '.join(tools)}; do command -v $F >/dev/null 2>&1 && echo $F; done",
            '[ -n "$ROOT" ] || ROOT=$HOME/.cache/harness',  # as harness/paths.py has it
            'say root; echo "$ROOT"',
            "say refused",
            'F=; [ -d "$ROOT" ] || F=$ROOT',  # a folder of somebody else's keeps its permissions
            f'mkdir -p "$ROOT/{STORE}" "$ROOT/{JOBS}" 2>&1 || exit 1',
            f'chmod 755 $F "$ROOT/{STORE}" "$ROOT/{JOBS}" 2>&1',
            'cd "$ROOT" 2>&1 || exit 1',
            "F=.probe-$TOKEN",  # its own name: another run may do the same right now
            "{ : >$F && chmod 755 $F; } 2>&1 || exit 1",
            "./$F 2>&1; W=$?; rm -f $F; [ $W = 0 ] || exit 1",
            "say ready",
        ]
    )
