"""What both adbds are asked about files; what each probe returns has to be the same."""

from __future__ import annotations

import struct

from tests.emulated.client import (
    LINK,
    REGULAR,
    Target,
    contents,
    data,
    dents,
    dents_v2,
    done,
    failures,
    request,
    send,
    stat_v2,
)
from tests.emulated.conftest import until
from tests.emulated.probes_shell import ALL_BYTES, BIG, HOME, Probe, raw

STAT = struct.Struct("<4sIII")


FILES = f"""rm -rf {HOME}; mkdir -p {HOME}/folder/sub && cd {HOME} && umask 022 &&
echo content > file && chmod 640 file && ln -s file link && ln -s folder to_folder && ln -s nowhere dangling &&
echo x > folder/a && echo yy > folder/b && ln -s a folder/c && touch -d @1600000000 file folder/a"""


def failing(*requests: bytes) -> Probe:
    return lambda target: list(failures(target.raw("sync:", *requests)))


def left(path: str) -> str:
    """A command that says what is at a path."""
    return f"if [ -e {path} ] || [ -L {path} ]; then stat -c '%F %a %s' {path}; else echo none; fi"


def pushing(*requests: bytes, then: str) -> Probe:
    return lambda target: (target.sync(*requests), target.out(then))


def pushed_in_part(target: Target) -> object:
    """A client that goes in the middle of a push leaves nothing."""
    path = f"{HOME}/part"
    with target.open("sync:") as connection:
        connection.sendall(request(b"SEND", f"{path},{REGULAR | 0o644}".encode()) + data(BIG))
        until(lambda: b"regular" in target.out(left(path)))
    until(lambda: target.out(left(path)) == b"none\n")
    return True


def stat_v1(path: str) -> Probe:
    return lambda target: STAT.unpack(target.sync(request(b"STAT", path.encode())))


def stats(name: bytes, path: str) -> Probe:
    return lambda target: stat_v2(target.sync(request(name, path.encode())))


def listing(path: str) -> Probe:
    return lambda target: dents(target.sync(request(b"LIST", path.encode())))


def listing_v2(path: str) -> Probe:
    return lambda target: dents_v2(target.sync(request(b"LIS2", path.encode())))


def receiving(path: str) -> Probe:
    return lambda target: contents(target.sync(request(b"RECV", path.encode())))


def send_v2(path: str, content: bytes, mode: int = REGULAR | 0o600, flags: int = 0) -> bytes:
    return request(b"SND2", path.encode()) + b"SND2" + struct.pack("<II", mode, flags) + data(content) + done()


SYNC: dict[str, Probe] = {
    "STAT file": stat_v1(f"{HOME}/file"),
    "STAT link": lambda target: STAT.unpack(target.sync(request(b"STAT", f"{HOME}/link".encode())))[:3],
    "STAT missing": stat_v1(f"{HOME}/missing"),
    "STAT nothing": stat_v1(""),
    "STA2 file": stats(b"STA2", f"{HOME}/file"),
    "STA2 link": stats(b"STA2", f"{HOME}/link"),
    "STA2 dangling link": stats(b"STA2", f"{HOME}/dangling"),
    "STA2 missing": stats(b"STA2", f"{HOME}/missing"),
    "STA2 below a file": stats(b"STA2", f"{HOME}/file/x"),
    "STA2 through a link": stats(b"STA2", f"{HOME}/to_folder/a"),
    "STA2 with dots": stats(b"STA2", f"{HOME}/folder/sub/../a"),
    "STA2 relative": stats(b"STA2", f"{HOME[1:]}/file"),
    "STA2 long name": stats(b"STA2", f"{HOME}/{'n' * 300}"),
    "LST2 link": lambda target: stat_v2(target.sync(request(b"LST2", f"{HOME}/link".encode())))[:6],
    "LST2 missing": stats(b"LST2", f"{HOME}/missing"),
    "LIST folder": listing(f"{HOME}/folder"),
    "LIST through a link": listing(f"{HOME}/to_folder"),
    "LIST missing": listing(f"{HOME}/missing"),
    "LIST file": listing(f"{HOME}/file"),
    "LIS2 folder": listing_v2(f"{HOME}/folder"),
    "LIS2 missing": listing_v2(f"{HOME}/missing"),
    "SEND": pushing(send(f"{HOME}/n/new", b"words"), then=f"cat {HOME}/n/new; stat -c '%a %Y' {HOME}/n/new"),
    "SEND: permissions of the user become everybody's": pushing(
        send(f"{HOME}/p6", b"", REGULAR | 0o600),
        send(f"{HOME}/p7", b"", REGULAR | 0o755),
        send(f"{HOME}/p4", b"", REGULAR | 0o4471),
        then=f"stat -c '%a %s' {HOME}/p6 {HOME}/p7 {HOME}/p4",
    ),
    "SEND: mode of other bases": pushing(
        request(b"SEND", f"{HOME}/h,0x81a4".encode()) + done(),
        request(b"SEND", f"{HOME}/o,0100755".encode()) + done(),
        then=f"stat -c '%a %s' {HOME}/h {HOME}/o",
    ),
    "SEND: comma in a name": pushing(send(f"{HOME}/a,b", b"1"), then=left(f"{HOME}/a,b")),
    "SEND: folders": pushing(
        send(f"{HOME}/m/k/new", b"words"), then=f"stat -c '%F %a' {HOME}/m {HOME}/m/k {HOME}/m/k/new"
    ),
    "SEND: replaces a file": pushing(send(f"{HOME}/file", b"shorter"), then=f"cat {HOME}/file"),
    "SEND: replaces a link": pushing(send(f"{HOME}/link", b"new"), then=f"{left(f'{HOME}/link')}; cat {HOME}/file"),
    "SEND: replaces a link to a folder": pushing(send(f"{HOME}/to_folder", b"new"), then=left(f"{HOME}/to_folder")),
    "SEND: onto a folder": failing(send(f"{HOME}/folder", b"new")),
    "SEND: below a file": failing(send(f"{HOME}/file/new", b"new")),
    "SEND: relative": pushing(send(f"{HOME[1:]}/relative", b"new"), then=left(f"{HOME}/relative")),
    "SEND: relative, folders": failing(send(f"{HOME[1:]}/rel/x", b"new")),
    "SEND: nowhere to write": lambda target: [
        words.split(":")[0] for words in failures(target.raw("sync:", send("/proc/nonsuch", b"new")))
    ],
    "SEND: device": pushing(send("/dev/null", b"new"), then="stat -c %F /dev/null"),
    "SEND: link": pushing(
        request(b"SEND", f"{HOME}/l/new,{LINK | 0o777}".encode()) + request(b"DATA", b"../file\0") + done(),
        then=f"readlink {HOME}/l/new; stat -c %Y {HOME}/l/new",
    ),
    "SEND: link replaces a file": pushing(
        request(b"SEND", f"{HOME}/file,{LINK | 0o777}".encode()) + request(b"DATA", b"folder\0") + done(),
        then=f"readlink {HOME}/file",
    ),
    "SEND: link onto a folder": failing(
        request(b"SEND", f"{HOME}/folder,{LINK | 0o777}".encode()) + request(b"DATA", b"x\0")
    ),
    "SEND: many in one session": pushing(
        *[send(f"{HOME}/many/{number}", bytes(number)) for number in range(50)], then=f"cat {HOME}/many/* | wc -c"
    ),
    "SEND: many bytes": pushing(send(f"{HOME}/big", BIG * 4), then=f"cksum < {HOME}/big"),
    "SEND: small messages": pushing(
        request(b"SEND", f"{HOME}/s,{REGULAR | 0o644}".encode()) + data(ALL_BYTES * 8, 3) + done(),
        then=f"cksum < {HOME}/s",
    ),
    "SEND: empty message": pushing(
        request(b"SEND", f"{HOME}/e,{REGULAR | 0o644}".encode()) + request(b"DATA") + done(), then=left(f"{HOME}/e")
    ),
    "SEND: no mode": failing(request(b"SEND", f"{HOME}/x".encode())),
    "SEND: mode that is no number": pushing(request(b"SEND", f"{HOME}/x,rw".encode()) + done(), then=left(f"{HOME}/x")),
    "SEND: no DATA": lambda target: (
        failing(request(b"SEND", f"{HOME}/x,{REGULAR | 0o644}".encode()) + request(b"STAT") + done())(target),
        target.out(left(f"{HOME}/x")),
    ),
    "SEND: long message": pushing(
        request(b"SEND", f"{HOME}/x,{REGULAR | 0o644}".encode()) + data(BIG, len(BIG)) + done(),
        then=f"cksum < {HOME}/x",
    ),
    "SEND: client goes": pushed_in_part,
    "SND2": pushing(send_v2(f"{HOME}/v2", b"words"), then=f"cat {HOME}/v2; stat -c '%a %Y' {HOME}/v2"),
    "SND2: onto a folder": failing(send_v2(f"{HOME}/folder", b"new")),
    "SND2: unknown flags": failing(send_v2(f"{HOME}/v2", b"", flags=64)),
    "RECV": receiving(f"{HOME}/file"),
    "RECV through a link": receiving(f"{HOME}/to_folder/c"),
    "RECV many bytes": lambda target: (
        target.sync(send(f"{HOME}/big", BIG)),
        contents(target.sync(request(b"RECV", f"{HOME}/big".encode())))[0] == BIG,
    ),
    "RECV device": receiving("/dev/null"),
    "RECV missing": failing(request(b"RECV", f"{HOME}/missing".encode())),
    "RECV folder": failing(request(b"RECV", f"{HOME}/folder".encode())),
    "RCV2": lambda target: contents(
        target.sync(request(b"RCV2", f"{HOME}/file".encode()) + b"RCV2" + struct.pack("<I", 0))
    ),
    "RCV2: unknown flags": failing(request(b"RCV2", f"{HOME}/file".encode()) + b"RCV2" + struct.pack("<I", 64)),
    "path too long": failing(request(b"STAT", b"/" * 1025)),
    "longest path": lambda target: STAT.unpack(target.sync(request(b"STAT", b"/" * 1024)))[1],
    "unknown request": failing(request(b"NOPE", b"x")),
    "QUIT": raw("sync:", request(b"QUIT")),
}
