from __future__ import annotations

import os
import shutil
from typing import Any

import pytest

from harness.devices.adb.errors import RemoteError
from harness.devices.base import DeviceError
from harness.devices.shell.way import RemoteStat
from harness.devices.storage import victims_of
from tests.devices.android.conftest import CLOCK, Add, Bench

DAY = 24 * 3600
A, B, C, D = (letter * 64 for letter in "abcd")
MODEL = bytes(range(256)) * 2000
DF = "echo 'Filesystem 1K-blocks Used Available Use% Mounted on'; echo /dev/block/dm-5 100000 0 {} 1% /data"


def age(bench: Bench, name: str, seconds: float, size: int = 10) -> None:
    """Have a file in the store that was last used so long ago."""
    path = bench.root / "sha256" / name
    if not path.exists():
        path.write_bytes(b"x" * size)
    moment = CLOCK.now().timestamp() - seconds
    os.utime(path, (moment, moment))


def test_a_file_is_moved_once(bench: Bench) -> None:
    model = bench.file(MODEL, "model")
    first = bench.run("cat model | wc -c", model)
    second = bench.run("cat other | wc -c; echo 123 >out/a", bench.file(MODEL, "other"))
    assert first.stdout.split() == second.stdout.split() == [str(len(MODEL))]
    assert first.transfer_bytes > len(MODEL)
    third = bench.run("cat other | wc -c; echo 123 >out/a", bench.file(MODEL, "other"))
    assert third.transfer_bytes == 4


def test_the_next_run_moves_nothing_either(pixel: Bench) -> None:
    job = pixel.job("echo 1", pixel.file(MODEL))
    pixel.run(job)
    before = pixel.phone.received_bytes
    later = pixel.another()
    later.connect()
    assert later.run(pixel.job("echo 1", pixel.file(MODEL))).transfer_bytes == 0
    assert pixel.phone.received_bytes == before


def test_services_of_a_cell(pixel: Bench) -> None:
    files = [pixel.file(f"{number}", f"in/{number}") for number in range(30)]
    pixel.run("echo 1 >out/result; cat in/* | wc -c", *files)
    before = len(pixel.phone.opened)
    assert pixel.run("echo 1 >out/result; cat in/* | wc -c", *files).stdout.strip() == "50"
    kinds = [service.partition(":")[0] for service in pixel.phone.opened[before:]]
    assert kinds == ["shell,v2,raw", "sync", "shell,v2,raw"]


def test_many_files_go_in_one_session(pixel: Bench) -> None:
    pixel.run("exit 0")
    before = len(pixel.phone.opened)
    pixel.run("exit 0", *(pixel.file(f"{number}", f"in/{number}") for number in range(30)))
    kinds = [service.partition(":")[0] for service in pixel.phone.opened[before:]]
    # look, push, accept, run, pull, clean
    assert kinds == ["shell,v2,raw", "sync", "shell,v2,raw", "shell,v2,raw", "sync", "shell,v2,raw"]


def test_files_are_named_by_their_content(bench: Bench) -> None:
    job = bench.job("exit 0", bench.file(MODEL))
    bench.run(job)
    assert bench.stored == {file.sha256 for file in job.files}
    modes = {(bench.root / "sha256" / file.sha256).stat().st_mode & 0o777 for file in job.files}
    assert modes == {0o755}


def test_what_vanished_during_a_run_is_pushed_again(bench: Bench) -> None:
    job = bench.job("cat data.bin | wc -c", bench.file(MODEL))
    bench.run(job)
    for name in bench.stored:
        (bench.root / "sha256" / name).unlink()
    assert bench.run(job).stdout.split() == [str(len(MODEL))]
    (bench.root / "sha256").rename(bench.root / "elsewhere")
    assert bench.run(job).stdout.split() == [str(len(MODEL))]


def test_what_was_truncated_is_pushed_again(bench: Bench) -> None:
    job = bench.job("cat data.bin | wc -c", bench.file(MODEL))
    bench.run(job)
    os.truncate(bench.root / "sha256" / job.files[1].sha256, 1000)
    assert bench.run(job).stdout.split() == [str(len(MODEL))]


@pytest.mark.parametrize("kind", ["pixel-8", "old-32bit"])
def test_content_is_checked_once_in_every_run(add: Add, kind: str) -> None:
    bench = add(kind)
    bench.connect()
    job = bench.job("cat data.bin", bench.file("right"))
    bench.run(job)
    (bench.root / "sha256" / job.files[1].sha256).write_text("wrong")
    assert bench.run(job).stdout == "wrong", "the size is right, and this run knows the file"
    later = bench.another()
    later.connect()
    assert later.run(job).stdout == "right"


@pytest.mark.parametrize("kind", ["pixel-8", "old-32bit"])
def test_content_that_changed_on_the_way(add: Add, kind: str) -> None:
    bench = add(kind)
    bench.connect()
    with pytest.raises(RemoteError, match=f"{A[:16]}.*changed on the way"):
        bench.run("exit 0", bench.file("content", sha256=A))
    assert not [name for name in bench.stored if name.startswith(A)]
    assert bench.run("echo fine").stdout == "fine\n"


def test_too_little_space_is_said_before_anything_is_pushed(pixel: Bench) -> None:
    pixel.run("exit 0")
    pixel.phone.set_command("df", DF.format(20_000))
    before = pixel.phone.received_bytes
    with pytest.raises(
        RemoteError, match=r"need 32 MiB of free space in /data/local/tmp/harness; 19 MiB is left;.*root"
    ):
        pixel.run("exit 1", pixel.file(MODEL))
    assert pixel.phone.received_bytes == before


def test_what_was_not_used_for_longest_makes_room(pixel: Bench) -> None:
    job = pixel.job("cat data.bin | wc -c", pixel.file(MODEL))
    pixel.run(job)
    size = 3_000_000
    age(pixel, A, 9 * DAY, size)
    age(pixel, B, 8 * DAY, size)
    age(pixel, C, 2 * DAY, size)
    age(pixel, D, 600, size)
    age(pixel, job.files[1].sha256, 20 * DAY)
    # Free is what the files do not take: 4,000,000 bytes too few for the new file and the margin.
    free = (32 << 20) + len(MODEL) - 4_000_000
    count = f'cd "$1/sha256"; U={free}; for F in {A} {B} {C}; do [ -e $F ] || U=$((U+{size})); done; '
    pixel.phone.set_command("df", count + DF.format("$((U/1024+1))"))
    output = pixel.run(pixel.job("cat new | wc -c", job.files[1], pixel.file(MODEL[::-1], "new")))
    assert output.stdout.split() == [str(len(MODEL))]
    assert {A, B, C, D, job.files[1].sha256} & pixel.stored == {C, D, job.files[1].sha256}


def test_a_full_phone(pixel: Bench) -> None:
    pixel.run("exit 0")
    known = pixel.stored
    pixel.phone.faults.quota = 100_000
    with pytest.raises(RemoteError, match="free space in /data/local/tmp/harness"):
        pixel.run("exit 1", pixel.file(MODEL))
    assert pixel.stored == known
    pixel.phone.faults.quota = None
    assert pixel.run("echo fine", pixel.file(MODEL)).stdout == "fine\n"


def test_files_of_long_ago_go_at_the_first_use(bench: Bench) -> None:
    (bench.root / "sha256").mkdir(exist_ok=True)
    age(bench, A, 31 * DAY)
    age(bench, B, 29 * DAY)
    age(bench, f"{C}.part-0a1b", 2 * 3600)
    age(bench, f"{D}.part-0a1b", 60)
    age(bench, "notes of a person.txt", 99 * DAY)
    bench.run("exit 0")
    age(bench, A, 31 * DAY)
    bench.run("exit 0", bench.file(MODEL))
    assert {A, B, f"{D}.part-0a1b", "notes of a person.txt"} < bench.stored
    assert f"{C}.part-0a1b" not in bench.stored


def test_use_keeps_a_file_young(bench: Bench) -> None:
    job = bench.job("exit 0", bench.file(MODEL))
    bench.run(job)
    age(bench, job.files[1].sha256, 29 * DAY)
    bench.run(job)
    path = bench.root / "sha256" / job.files[1].sha256
    assert CLOCK.now().timestamp() - path.stat().st_mtime < 60


def test_an_old_phone_moves_a_file_once_in_a_run(old: Bench) -> None:
    job = old.job("cat data.bin | od -A n -t u1 | head -n 1; echo 1 >out/a", old.file(MODEL))
    first = old.run(job)
    again = old.run(old.job("echo 1 >out/a", old.file(MODEL)))
    assert first.transfer_bytes > 2 * len(MODEL), "it is read back, since this phone cannot hash"
    assert again.transfer_bytes < 1000


def test_an_old_phones_scripts_do_not_pile_up(old: Bench) -> None:
    old.run("exit 0")
    known = len(old.stored)
    for _ in range(3):
        old.run("exit 0")
    assert len(old.stored) == known


def test_an_old_phones_scripts_that_vanish_are_pushed_again(old: Bench) -> None:
    job = old.job("echo fine", old.file(MODEL))
    old.run(job)
    shutil.rmtree(old.root / "sha256")
    assert old.run(job).stdout == "fine\n"
    running = old.begin("while [ ! -e go ]; do sleep 0.1; done; echo fine")
    shutil.rmtree(old.root / "sha256")
    (running.started.parent.parent / "go").touch()
    assert running.output().stdout == "fine\n"
    assert old.jobs == []


def entry(mtime: float, size: int = 100) -> RemoteStat:
    return RemoteStat(0o100755, size, int(mtime))


NOW = 1_700_000_000


@pytest.mark.parametrize(
    ("wanted", "victims"),
    [
        (0, [f"{C}.part-ff"]),
        (1, [f"{C}.part-ff"]),
        (101, [f"{C}.part-ff", A]),
        (201, [f"{C}.part-ff", A, B]),
        (10_000, [f"{C}.part-ff", A, B]),
    ],
)
def test_victims(wanted: int, victims: list[str]) -> None:
    listing = [
        (B, entry(NOW - 5000)),
        (A, entry(NOW - 2 * DAY)),
        (D, entry(NOW - 3500)),
        (f"{C}.part-ff", entry(NOW - 3 * DAY)),
        (f"{D}.part-ff", entry(NOW - 60)),
        (C, entry(NOW - 40 * DAY)),
        ("README", entry(NOW - 40 * DAY)),
        (f"{B}; rm -rf x", entry(NOW - 40 * DAY)),
    ]
    assert victims_of(listing, NOW, wanted, keep={C}) == victims


@pytest.mark.parametrize("kind", ["pixel-8", "old-32bit"])
def test_a_push_that_the_phone_was_lost_in_is_taken_up_again(add: Add, kind: str) -> None:
    bench = add(kind)
    bench.connect()
    bench.run("exit 0")
    small, large = bench.file(b"s" * 700_000, "small"), bench.file(b"l" * 5_000_000, "large")
    bench.phone.faults.drop_after = 4_000_000
    with pytest.raises(DeviceError):
        bench.run("exit 0", small, large)
    assert [name for name in bench.stored if ".part-" in name]
    bench.device.recover()
    output = bench.run("exit 0", small, large)
    assert [(bench.root / "sha256" / file.sha256).stat().st_size for file in (small, large)] == [700_000, 5_000_000]
    assert not [name for name in bench.stored if ".part-" in name]
    if kind == "pixel-8":
        assert output.transfer_bytes < 5_500_000  # what had arrived whole is kept
    bench.device.close()


def test_victims_of_a_month_ago() -> None:
    listing: list[tuple[str, Any]] = [(A, entry(NOW - 31 * DAY)), (B, entry(NOW - 29 * DAY)), (C, entry(NOW + DAY))]
    assert victims_of(listing, NOW, 0, keep=set()) == [A]
