"""What both adbds are asked about shells; what each probe returns has to be the same."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable

import pytest

from emulated.android.protocol import (
    SHELL_CLOSE_STDIN,
    SHELL_STDIN,
    SHELL_STDOUT,
    SHELL_WINDOW,
    ShellParser,
    shell_packet,
)
from tests.emulated.client import Target
from tests.emulated.conftest import receive, until

Probe = Callable[[Target], object]

HOME = "/data/local/tmp/probe"
BIG = hashlib.sha256(b"big").digest() * 10_000
ALL_BYTES = bytes(range(256))


def typed(text: bytes) -> bytes:
    return shell_packet(SHELL_STDIN, text)


def framed(service: str, *packets: bytes) -> Probe:
    def probe(target: Target) -> object:
        said, order = target.framed(service, *packets)
        return said, order[-1:]

    return probe


def raw(service: str, *packets: bytes) -> Probe:
    return lambda target: target.raw(service, *packets)


def answering(service: str, prompt: bytes, answer: bytes) -> Probe:
    """All that a service says, when something is typed after its prompt."""

    def probe(target: Target) -> object:
        with target.open(service) as connection:
            said = b""
            while not said.endswith(prompt):
                said += receive(connection, 1)
            connection.sendall(answer)
            said += receive(connection)
        if not service.startswith("shell,v2"):
            return said
        packets = ShellParser().feed(said)
        return packets[-1], b"".join(words for kind, words in packets if kind == SHELL_STDOUT)

    return probe


def refused(service: str) -> Probe:
    def probe(target: Target) -> object:
        with pytest.raises(ConnectionRefusedError) as caught, contextlib.closing(target.open(service)):
            pass
        return str(caught.value)

    return probe


def after_hanging_up(service: str) -> Probe:
    """Which of a shell and its child live on when the client goes."""

    def probe(target: Target) -> object:
        with target.open(f"{service}:echo $$ > {HOME}/pid; sleep 60 & echo $! >> {HOME}/pid; wait; true"):
            until(lambda: len(target.out(f"cat {HOME}/pid 2>/dev/null; true").split()) == 2)
        pids = target.out(f"cat {HOME}/pid").split()
        until(lambda: b"gone" in target.out(f"kill -0 {int(pids[0])} 2>/dev/null || echo gone"))
        alive = target.out(f"kill -0 {int(pids[1])} 2>/dev/null && echo alive; true")
        target.shell(f"kill -9 {int(pids[1])} 2>/dev/null; rm {HOME}/pid")
        return alive

    return probe


def typed_before_closing(service: str) -> Probe:
    """What was sent before the client closed arrives."""

    def probe(target: Target) -> object:
        # Without the trap, the signal that follows may be faster than the words.
        with target.open(f"{service}:trap '' HUP; echo ready; cat > {HOME}/typed") as connection:
            v2 = ",v2" in service
            receive(connection, len(shell_packet(SHELL_STDOUT, b"ready\n") if v2 else b"ready\n"))
            connection.sendall(typed(b"last words\n") if v2 else b"last words\n")
        until(lambda: target.out(f"cat {HOME}/typed 2>/dev/null; true"))
        return target.out(f"cat {HOME}/typed; rm {HOME}/typed")

    return probe


def detached(target: Target) -> object:
    """A job in a session of its own survives its client, and says how it ended."""
    job = (
        f"(setsid sh -c 'sleep 0.3; exit 4' >/dev/null 2>&1 </dev/null; echo $? > {HOME}/rc) >/dev/null 2>&1 </dev/null"
    )
    target.out(f"{job} &")
    until(lambda: target.out(f"cat {HOME}/rc 2>/dev/null; true"))
    return target.out(f"cat {HOME}/rc; rm {HOME}/rc")


SHELLS: dict[str, Probe] = {
    "output, errors and code": framed("shell,v2,raw:echo out; echo err >&2; exit 3"),
    "no words between v2 and command": framed("shell,v2:tty; echo $?"),
    "code 255": framed("shell,v2,raw:exit 255"),
    "killed": framed("shell,v2,raw:kill -9 $$"),
    "hung up": framed("shell,v2,raw:kill -HUP $$"),
    "command not found": framed("shell,v2,raw:nonsuch 2>/dev/null"),
    "input": framed("shell,v2,raw:cat", typed(b"some "), typed(b"words"), shell_packet(SHELL_CLOSE_STDIN, b"")),
    "packet in two parts": framed(
        "shell,v2,raw:cat", typed(b"abcdef")[:7], typed(b"abcdef")[7:], shell_packet(SHELL_CLOSE_STDIN, b"")
    ),
    "empty packet": framed("shell,v2,raw:cat", typed(b""), typed(b"x"), shell_packet(SHELL_CLOSE_STDIN, b"")),
    "input that nobody reads": framed("shell,v2,raw:exec <&-; echo done", typed(bytes(100_000))),
    "input and output of many bytes": lambda target: target.shell("cat", *[BIG] * 4),
    "both outputs at once": framed("shell,v2,raw:head -c 200000 /dev/zero >&2 & head -c 200000 /dev/zero; wait"),
    "closed outputs": framed("shell,v2,raw:exec >&- 2>&-; sleep 0.1; exit 6"),
    "a child holds the output": framed("shell,v2,raw:(sleep 0.3; echo late) & echo soon; exit 2"),
    "no terminal": framed("shell,v2,raw:tty; [ -t 0 ] || [ -t 1 ] || [ -t 2 ] || echo none"),
    "sockets": framed("shell,v2,raw:for n in 0 1 2; do [ -S /proc/self/fd/$n ] && echo socket; done"),
    "terminal": framed("shell,v2,pty:tty | tr -d '[0-9]'; [ -t 0 ] && [ -t 1 ] && [ -t 2 ] && echo all"),
    "terminal: settings": framed("shell,v2,pty:stty -a"),
    "terminal: window": framed(
        "shell,v2,pty:read x; stty size", shell_packet(SHELL_WINDOW, b"33x77,10x20\0"), typed(b"\n")
    ),
    "terminal: errors are output": framed("shell,v2,pty:echo out; echo err >&2; exit 3"),
    "terminal: closing the input does nothing": framed(
        "shell,v2,pty:sleep 0.1; echo still", shell_packet(SHELL_CLOSE_STDIN, b"")
    ),
    "terminal: end of file is typed": framed("shell,v2,pty:cat; echo end", typed(b"line\n\x04")),
    "terminal: interrupt is typed": answering("shell,v2,pty:echo ready; sleep 30", b"ready\r\n", typed(b"\x03")),
    "interactive": answering("shell,v2,pty:", b"# ", typed(b"exit 5\n")),
    "interactive without a terminal": framed("shell,v2,raw:", typed(b"echo $((2+3)); exit 5\n")),
    "interactive by default": answering("shell,v2:", b"# ", typed(b"exit 5\n")),
    "unknown packet": framed("shell,v2,raw:cat", shell_packet(9, b"x"), shell_packet(SHELL_CLOSE_STDIN, b"")),
    "terminal's name": framed("shell,v2,TERM=vt220,raw:echo $TERM"),
    "no terminal's name": framed("shell,v2,raw:echo ${TERM-unset}"),
    "unknown word": framed("shell,v2,nonsense,raw:echo hi"),
    "old terminal": raw("shell:tty | tr -d '[0-9]'; [ -t 0 ] && [ -t 1 ] && [ -t 2 ] && echo all"),
    "old terminal: settings": raw("shell:stty -a"),
    "old terminal: asked for": raw("shell,pty:stty -a"),
    "old: raw": raw("shell,raw:stty -a"),
    "old: output, errors and code": raw("shell:echo out; echo err >&2; exit 3"),
    "old: many bytes": lambda target: len(target.raw("shell:head -c 300000 /dev/zero")),
    "old: interactive": answering("shell:", b"# ", b"exit 5\n"),
    "exec": raw("exec:echo out; echo err >&2; exit 3"),
    "exec: settings": raw("exec:stty -a"),
    "exec: bytes as they are": raw("exec:head -c 256", ALL_BYTES),
    "session": framed("shell,v2,raw:set -- $(cat /proc/$$/stat); echo $(($1 == $5)) $(($1 == $6)) $7"),
    "session of a terminal": framed(
        "shell,v2,pty:set -- $(cat /proc/$$/stat); echo $(($1 == $5)) $(($1 == $6)) $(($7 > 0))"
    ),
    "signals": framed("shell,v2,raw:grep -E 'Sig(Blk|Ign)' /proc/self/status"),
    "descriptors": framed("shell,v2,raw:ls /proc/self/fd"),
    "umask and folder": framed("shell,v2,raw:umask; pwd"),
    "long command": framed(f"shell,v2,raw:echo {'x' * 40_000} | wc -c"),
    "bytes that are no text": lambda target: target.out("printf '\\377\\376'"),
    "client goes": after_hanging_up("shell,v2,raw"),
    "client goes from a terminal": after_hanging_up("shell,v2,pty"),
    "client of old shell goes": after_hanging_up("shell"),
    "client of exec goes": after_hanging_up("exec"),
    "last words": typed_before_closing("shell,v2,raw"),
    "last words to an old shell": typed_before_closing("exec"),
    "detached job": detached,
    "no such service": refused("nonsense:x"),
    "no service": refused("shell"),
}
