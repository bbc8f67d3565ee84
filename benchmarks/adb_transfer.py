"""Files to a phone: the harness's own adb client against the `adb` command line, through the same real adb server.

One file of 20 MB against `adb push -Z` (no compression: phones' models do not compress, and USB is not the bottleneck
here), goal 1.3; 200 files of 100 KB in one session against one push of their folder, goal 2.0. The two are compared in
pairs, in turns; the figure is the median of the ratios. The phone is emulated, in a process of its own. Neither side
verifies anything here: what the harness's SHA-256 check costs on top is printed beside it.

Then a run of the harness twice over: the second one must push no byte of a model, runner or runtime.
"""

from __future__ import annotations

import hashlib
import random
import statistics
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

from common import arguments, conclude, pytest_command, timed
from lab import make_lab
from phones import Phones

from harness.clock import SystemClock
from harness.devices.adb.device import AdbDevice
from harness.devices.adb.server import open_server

BIG, SMALL, COUNT = 20_000_000, 100_000, 200
BIG_GOAL, SMALL_GOAL = 1.3, 2.0
FOLDER = "/data/local/tmp/bench"
SUITE = """\
version: 1
models: [MODELS/mobilenet_v1.tflite]
delegates: {cpu: {accelerator: cpu}}
runs: {warmup: {count: 0, min_seconds: 0}, count: 1, min_seconds: 0}
"""


def main() -> None:
    """Both transfers, then the two runs."""
    pairs = 7 if arguments(__doc__ or "") else 25
    with tempfile.TemporaryDirectory() as name, Phones(1) as phones:
        folder = Path(name)
        draw = random.Random(1)
        big = folder / "big.bin"
        big.write_bytes(draw.randbytes(BIG))
        many = folder / "many"
        many.mkdir()
        small = [many / f"{number:03}.bin" for number in range(COUNT)]
        for path in small:
            path.write_bytes(draw.randbytes(SMALL))

        clock = SystemClock()
        device = AdbDevice(open_server(f"127.0.0.1:{phones.port}", clock), phones.serials[0], "phone", clock)
        device.connect(30, print, threading.Event())
        device.shell(f"mkdir -p {FOLDER}/many", 30)
        adb = [phones.adb, "-s", phones.serials[0]]

        def ours(paths: list[Path], where: str) -> None:
            with device.sync(60) as session:
                for path in paths:
                    session.push(path, f"{where}/{path.name}", 0o644)

        def theirs(path: Path, where: str) -> None:
            timed([*adb, "push", "-Z", str(path), where], folder, phones.environ)

        one = ratio(lambda: ours([big], FOLDER), lambda: theirs(big, f"{FOLDER}/big.bin"), pairs)
        two = ratio(lambda: ours(small, f"{FOLDER}/many"), lambda: theirs(many, FOLDER), pairs)
        wanted = hashlib.sha256(big.read_bytes()).hexdigest()
        began = time.perf_counter()
        said = device.shell(f"sha256sum < {FOLDER}/big.bin", 60).stdout.decode()
        checking = time.perf_counter() - began
        assert said.startswith(wanted)
        print(f"1 x 20 MB: {one:.3f} x adb push -Z (goal <= {BIG_GOAL}); SHA-256 there: {checking * 1e3:.0f} ms")
        print(f"200 x 100 KB: {two:.3f} x one adb push -Z of the folder (goal <= {SMALL_GOAL})")

        make_lab(folder / "lab", SUITE, phones.devices())
        command = pytest_command("--devices", "devices.yaml", "suites/bench.yaml")
        _, before = phones.counts()
        timed(command, folder / "lab", phones.environ)
        _, between = phones.counts()
        timed(command, folder / "lab", phones.environ)
        _, after = phones.counts()
        print(f"first run: {(between - before) / 1e6:.1f} MB pushed; second run: {after - between} bytes (goal <= 0)")
        if after != between:
            conclude("adb_transfer_again", after - between, 0, "bytes")
    if two > SMALL_GOAL:  # the figure that misses its goal comes last
        conclude("adb_transfer_small", two, SMALL_GOAL)
    conclude("adb_transfer", one, BIG_GOAL)


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
