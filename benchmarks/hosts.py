"""Cells of 2 s on 16 emulated phones behind one SSH host, over the same phones plugged into this computer.

The host is OpenSSH's sshd, behind a relay that adds 50 ms to every round trip (25 ms each way). The phones' programs
are a stub that sleeps and replays a real record; everything else is real: pytest, engine, adb server, sshd, paramiko,
files, results, report. Two runs bring the files and are not timed; then both ways take turns, and the figure is the
ratio of the makespans of whole runs, connecting included.

Before it: bytes that crossed the link for a model of 16 MB that all phones needed, as the relay counted them, over the
model's size.
"""

from __future__ import annotations

import os
import secrets
import statistics
import tempfile
from pathlib import Path

from adb_cells import SOURCES, SUITE, check, moment
from common import arguments, conclude, pytest_command, timed
from delay import Delay
from lab import make_lab, newest_matrix
from phones import Phones
from stub import MODEL, build_stub

from emulated.ssh.sshd import Sshd, absent
from harness.devices.local import host_target

SECONDS = 2
ONE_WAY = 0.025
SIZE = 16 << 20
GOAL, LINK_GOAL = 1.25, 1.1
HOST = "version: 1\nhosts:\n  rack: {ssh: rack}\ndevices:\n"


def main() -> None:
    """One lab: files first, then pairs of runs."""
    quick = arguments(__doc__ or "")
    if why := absent():
        raise SystemExit(f"the benchmark {why}")
    count, cells, pairs = (4, 5, 1) if quick else (16, 10, 3)
    with tempfile.TemporaryDirectory() as name, Phones(count) as phones:
        folder = Path(name)
        path = f"{os.environ['PATH']}:{Path(phones.adb).parent}"
        with Sshd(folder / "sshd", env={"PATH": path}) as sshd, Delay(sshd.port, ONE_WAY) as relay:
            lab, environ = build(folder, phones, cells), ssh_home(folder, sshd, relay)
            command = [*pytest_command("--devices", "far.yaml", "suites/bench.yaml")]
            one = [*command, "-k", "cpu-000"]
            timed(one, lab, environ)
            check(newest_matrix(lab), count)
            link = sum(relay.counts()) / SIZE
            print(f"{count} phones, a model of {SIZE >> 20} MiB: {link:.3f} times its size crossed the link ", end="")
            print(f"(goal <= {LINK_GOAL})", flush=True)
            ratios = [pair(lab, command, environ, count * cells) for _ in range(pairs)]
    if link > LINK_GOAL:
        conclude("hosts_link", link, LINK_GOAL)
    conclude("hosts", statistics.median(ratios), GOAL)


def build(folder: Path, phones: Phones, cells: int) -> Path:
    """A lab with two devices files: the phones behind the host, and the same ones here."""
    delegates = "\n".join(f"  cpu-{number:03}: {{accelerator: cpu, runtime: stub}}" for number in range(cells))
    lab = folder / "lab"
    make_lab(lab, SUITE.format(model=lab / "large.tflite", delegates=delegates), phones.devices())
    # What follows a model's own bytes is of no account to those who read it.
    model = MODEL.read_bytes()
    (lab / "large.tflite").write_bytes(model + secrets.token_bytes(SIZE - len(model)))
    build_stub(lab / "stub", SECONDS)
    (lab / "runtime").mkdir()
    (lab / "runtime" / "libLiteRt.so").write_bytes(b"the stub loads no runtime")
    sources = SOURCES.format(target=host_target())
    devices = lab / "devices.yaml"
    devices.write_text(devices.read_text() + sources)
    far = phones.devices().replace("kind: android", "kind: android, host: rack")
    (lab / "far.yaml").write_text(HOST + far + sources)
    return lab


def ssh_home(folder: Path, sshd: Sshd, relay: Delay) -> dict[str, str]:
    """Environment of a user who knows the host, through the relay."""
    ssh = folder / "home" / ".ssh"
    ssh.mkdir(parents=True)
    known = sshd.known_host.replace(f":{sshd.port} ", f":{relay.port} ")
    (ssh / "known_hosts").write_text(known)
    (ssh / "config").write_text(
        f"Host rack\n  HostName 127.0.0.1\n  Port {relay.port}\n  User {sshd.user}\n  IdentityFile {sshd.identity}\n"
        "  IdentitiesOnly yes\n"
    )
    return {"HOME": str(folder / "home")}


def pair(lab: Path, command: list[str], environ: dict[str, str], planned: int) -> float:
    """The makespan of a run through the host, over that of the same run without it."""
    far = makespan(lab, command, environ, planned)
    near = makespan(lab, [word.replace("far.yaml", "devices.yaml") for word in command], environ, planned)
    print(f"  {planned} cells: {far:.2f} s through the host, {near:.2f} s without: {far / near:.3f}", flush=True)
    return far / near


def makespan(lab: Path, command: list[str], environ: dict[str, str], planned: int) -> float:
    """Seconds of a run, from its start to its end."""
    timed(command, lab, environ)
    matrix = newest_matrix(lab)
    check(matrix, planned)
    return (moment(matrix["run"]["finished"]) - moment(matrix["run"]["started"])).total_seconds()


if __name__ == "__main__":
    main()
