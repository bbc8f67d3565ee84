"""Files to a board: the harness's own SFTP over paramiko against OpenSSH's `sftp -b`, to the same real sshd.

One file of 20 MB, goal 1.5; 200 files of 100 KB in one session, goal 1.5. Both sides use a connection that is open
already: the harness keeps one for each board, and sftp is given a master (ControlMaster) to share, so that no login is
timed. The two are compared in pairs, in turns; the figure is the median of the ratios, and the last line has the one
that comes closest to its goal, or misses it by most. Beside it, for information: bringing the file back, both transfers
against `scp` where both sides log in, and, without `--quick`, both over a link with a round trip of 50 ms.
"""

from __future__ import annotations

import os
import random
import statistics
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from common import arguments, conclude, timed
from delay import Delay

from emulated.ssh.sshd import Sshd
from harness.clock import SystemClock
from harness.devices.shell.way import PushFile
from harness.devices.ssh.connection import SshConnection

BIG, SMALL, COUNT = 20_000_000, 100_000, 200
GOAL = 1.5
DELAY = 0.025  # in each direction


def main() -> None:
    """Both transfers, then what is shown for information."""
    quick = arguments(__doc__ or "")
    pairs, few = (9, 3) if quick else (25, 9)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.environ["HOME"] = name
        (folder / ".ssh").mkdir()
        draw = random.Random(1)
        big = folder / "big.bin"
        big.write_bytes(draw.randbytes(BIG))
        many = folder / "many"
        many.mkdir()
        small = [many / f"{number:03}.bin" for number in range(COUNT)]
        for path in small:
            path.write_bytes(draw.randbytes(SMALL))
        with Sshd(folder / "sshd") as server, Delay(server.port, DELAY) as delay:
            (server.home / "many").mkdir()
            bench = Bench(folder, server, server.port)
            far = Bench(folder, server, delay.port)
            with bench.open(), far.open():
                one = ratio(lambda: bench.ours([big], "."), lambda: bench.sftp(f"put {big} big.bin"), pairs)
                put = f"put {many}/* many/"
                two = ratio(lambda: bench.ours(small, "many"), lambda: bench.sftp(put), pairs)
                assert (server.home / "big.bin").read_bytes() == big.read_bytes()
                assert sum(path.stat().st_size for path in (server.home / "many").iterdir()) == SMALL * COUNT
                print(f"1 x 20 MB: {one:.3f} x sftp (goal <= {GOAL})")
                print(f"200 x 100 KB: {two:.3f} x sftp (goal <= {GOAL})")
                back = ratio(lambda: bench.back("big.bin"), lambda: bench.sftp(f"get big.bin {folder}/got"), few)
                print(f"1 x 20 MB back: {back:.3f} x sftp")
                login = ratio(lambda: bench.fresh([big], "."), lambda: bench.scp([big], "."), few)
                print(f"1 x 20 MB with a login: {login:.3f} x scp")
                login = ratio(lambda: bench.fresh(small, "many"), lambda: bench.scp(small, "many"), few)
                print(f"200 x 100 KB with a login: {login:.3f} x scp")
                if not quick:
                    slow = ratio(lambda: far.ours([big], "."), lambda: far.sftp(f"put {big} big.bin"), 3)
                    print(f"1 x 20 MB over 50 ms: {slow:.3f} x sftp")
                    slow = ratio(lambda: far.ours(small, "many"), lambda: far.sftp(put), 3)
                    print(f"200 x 100 KB over 50 ms: {slow:.3f} x sftp")
    conclude("ssh_transfer", max(one, two), GOAL)


class Bench:
    """Both ways to the same sshd, through one port."""

    def __init__(self, folder: Path, server: Sshd, port: int) -> None:
        self._folder = folder
        self._config = folder / f"config-{port}"
        self._name = f"board-{port}"
        text = server.config(self._name).replace(f"Port {server.port}", f"Port {port}")
        text += "  HostKeyAlias board\n"
        self._config.write_text(text + f"  ControlPath {folder}/master-{port}\n")
        (folder / ".ssh" / "config").open("a").write(text)
        with server.known_hosts.open("a") as known:
            known.write(f"board {' '.join(server.known_host.split()[1:])}\n")
        self._connection = self._connect()

    @contextmanager
    def open(self) -> Iterator[None]:
        """With a connection for each side."""
        ssh = ["ssh", "-F", str(self._config), "-o", "ControlMaster=yes"]
        master = subprocess.Popen([*ssh, "-N", self._name], stdin=subprocess.DEVNULL)
        try:
            while subprocess.run([*ssh[:3], "-O", "check", self._name], capture_output=True, check=False).returncode:
                time.sleep(0.05)
            self._connection.connect(30, threading.Event())
            yield
        finally:
            self._connection.close()
            master.terminate()
            master.wait()

    def ours(self, paths: list[Path], where: str) -> None:
        """Push through the open connection."""
        self._push(self._connection, paths, where)

    def back(self, name: str) -> None:
        """Pull through it."""
        with self._connection.files(60) as files:
            files.pull(name, self._folder / "got", 1 << 30)

    def fresh(self, paths: list[Path], where: str) -> None:
        """Push through a connection of its own."""
        connection = self._connect()
        self._push(connection, paths, where)
        connection.close()

    def sftp(self, command: str) -> None:
        """One `sftp -b` through the master."""
        batch = self._folder / "batch"
        batch.write_text(f"{command}\n")
        timed(["sftp", "-q", "-F", str(self._config), "-b", str(batch), self._name], self._folder)

    def scp(self, paths: list[Path], where: str) -> None:
        """One `scp` with a login of its own."""
        names = [str(path) for path in paths]
        target = f"{self._name}:{where}/"
        timed(["scp", "-q", "-F", str(self._config), "-o", "ControlPath=none", *names, target], self._folder)

    def _connect(self) -> SshConnection:
        return SshConnection(self._name, None, "board", SystemClock(), owner="device")

    @staticmethod
    def _push(connection: SshConnection, paths: list[Path], where: str) -> None:
        with connection.files(120) as files:
            files.push_many([PushFile(path, f"{where}/{path.name}") for path in paths])


def ratio(ours: Callable[[], None], theirs: Callable[[], None], pairs: int) -> float:
    """Median of our time over theirs, measured in pairs whose order alternates."""
    found = []
    for pair in range(pairs + 1):
        seconds = {}
        for work in (ours, theirs) if pair % 2 else (theirs, ours):
            began = time.perf_counter()
            work()
            seconds[work] = time.perf_counter() - began
        found.append(seconds[ours] / seconds[theirs])
    return statistics.median(found[1:])  # the first pair warms up both


if __name__ == "__main__":
    main()
