"""Files by their content in an app's folder: each is moved once."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from emulated.ios.apps import OWN_BUNDLE
from emulated.ios.phone import Phone
from harness.devices.budget import Budget
from harness.devices.ios.errors import GoneError, NoSpaceError
from harness.devices.ios.store import Store
from harness.devices.storage import MARGIN, StoredFile
from tests.devices.ios.conftest import CLOCK, SECONDS, Connect

MODEL = bytes(range(256)) * 2000
DAY = 24 * 3600


class Turns:
    """Nobody else is there; how often something was copied."""

    def __init__(self) -> None:
        self.transfers = 0

    @contextmanager
    def transfer(self) -> Iterator[None]:
        self.transfers += 1
        yield

    @contextmanager
    def command(self) -> Iterator[None]:
        yield


class Bench:
    def __init__(self, phone: Phone, connect: Connect, folder: Path) -> None:
        self.phone = phone
        self.turns = Turns()
        self._connect = connect
        self._folder = folder
        self.store = self.another()

    @property
    def root(self) -> Path:
        return self.phone.apps[OWN_BUNDLE].container / "Documents" / "store"

    def another(self) -> Store:
        """The same store, as another run knows it."""
        transport = self._connect(self.phone)
        return Store(lambda: transport.files(OWN_BUNDLE), CLOCK, transport.subject)

    def ensure(self, *files: StoredFile, store: Store | None = None) -> int:
        return (store or self.store).ensure(files, Budget(CLOCK, SECONDS, self.turns))

    def file(self, content: bytes) -> StoredFile:
        name = hashlib.sha256(content).hexdigest()
        path = self._folder / name[:8]
        path.write_bytes(content)
        return StoredFile(name, len(content), path)

    def there(self) -> list[str]:
        return sorted(path.name for path in self.root.iterdir())

    def old(self, letter: str, age: float, size: int = 10) -> str:
        """Have a file in the store that was last used so long ago."""
        path = self.root / (letter * 64)
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"x" * size)
        moment = CLOCK.now().timestamp() - age
        os.utime(path, (moment, moment))
        return path.name


@pytest.fixture
def bench(phone: Phone, connect: Connect, tmp_path: Path) -> Bench:
    folder = tmp_path / "sources"
    folder.mkdir()
    return Bench(phone, connect, folder)


def test_a_file_is_moved_once(bench: Bench) -> None:
    model, other = bench.file(MODEL), bench.file(b"input")
    assert bench.ensure(model, other, model) == len(MODEL) + 5
    assert (bench.root / model.sha256).read_bytes() == MODEL
    assert bench.there() == sorted([model.sha256, other.sha256])
    assert bench.ensure(model, other) == 0
    assert bench.ensure(model, store=bench.another()) == 0, "nor in the next run"
    assert len(bench.phone.received) == bench.turns.transfers == 2


def test_use_keeps_a_file(bench: Bench) -> None:
    model = bench.file(MODEL)
    bench.ensure(model)
    os.utime(bench.root / model.sha256, (1e9, 1e9))
    bench.ensure(model, store=bench.another())
    assert (bench.root / model.sha256).stat().st_mtime > CLOCK.now().timestamp() - 600


def test_a_file_of_another_size_is_replaced(bench: Bench) -> None:
    model = bench.file(MODEL)
    bench.root.mkdir()
    (bench.root / model.sha256).write_bytes(MODEL[:100])
    assert bench.ensure(model) == len(MODEL)
    assert (bench.root / model.sha256).read_bytes() == MODEL


def test_a_file_with_other_content_is_replaced_when_the_app_says_so(bench: Bench) -> None:
    model = bench.file(MODEL)
    bench.ensure(model)
    (bench.root / model.sha256).write_bytes(MODEL[::-1])
    bench.store.remove([model.sha256], SECONDS)
    assert bench.there() == []
    assert bench.ensure(model) == len(MODEL)
    bench.phone.apps[OWN_BUNDLE].container.joinpath("Documents", "store", model.sha256).unlink()
    assert bench.ensure(model) == 0
    bench.store.forget()
    assert bench.ensure(model) == len(MODEL)


def test_a_push_that_was_cut_off_is_done_again(bench: Bench) -> None:
    model = bench.file(MODEL)
    bench.ensure(bench.file(b"first"))
    bench.phone.faults.unplug_after = 100_000
    with pytest.raises(GoneError):
        bench.ensure(model)
    bench.phone.plug()
    assert bench.ensure(model) == len(MODEL)
    assert not [name for name in bench.there() if name.endswith(".part")]


def test_what_was_not_used_for_a_month_goes(bench: Bench) -> None:
    old, young = bench.old("a", 31 * DAY), bench.old("b", DAY)
    part = bench.root / ("c" * 64 + ".part")
    part.write_bytes(b"x")
    os.utime(part, (1e9, 1e9))
    foreign = bench.root / "notes.txt"
    foreign.write_bytes(b"x")
    os.utime(foreign, (1e9, 1e9))
    model = bench.file(MODEL)
    bench.ensure(model)
    assert bench.there() == sorted([young, foreign.name, model.sha256])
    assert old not in bench.there()


def test_room_is_made_by_what_was_unused_for_longest(bench: Bench) -> None:
    oldest, older, recent = (
        bench.old(letter, age, 200_000) for letter, age in (("a", 3.0 * DAY), ("b", 2.0 * DAY), ("c", 60.0))
    )
    bench.phone.free_bytes = MARGIN + len(MODEL) - 300_000
    model = bench.file(MODEL)
    bench.ensure(model)
    assert bench.there() == sorted([recent, model.sha256])
    assert {oldest, older}.isdisjoint(bench.there())


def test_a_phone_without_room_says_how_much_is_missing(bench: Bench) -> None:
    bench.phone.free_bytes = 10 << 20
    with pytest.raises(NoSpaceError, match=r"need 32 MiB of free space; 10 MiB is left; remove something"):
        bench.ensure(bench.file(MODEL))
    assert bench.phone.received == []
    bench.phone.free_bytes = 1 << 30
    assert bench.ensure(bench.file(MODEL)) == len(MODEL)
