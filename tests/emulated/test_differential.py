"""The same questions to our adbd and to Debian's build of the real one: every difference is a failure."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from emulated.android import real_adbd
from emulated.android.description import Description
from emulated.android.lab import AdbLab
from tests.drivers import absent
from tests.emulated.client import Target
from tests.emulated.conftest import FEATURES, Adb
from tests.emulated.probes_shell import HOME, SHELLS, Probe
from tests.emulated.probes_sync import FILES, SYNC


@pytest.fixture(scope="module")
def targets(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Target, Target]]:
    """Two phones that differ in their adbd only: ours, Debian's."""
    if why := real_adbd.absent():
        absent(why)
    plain = Description(version=1, name="plain", features=FEATURES, properties={})
    with AdbLab(tmp_path_factory.mktemp("lab")) as lab:
        adb = Adb(lab.server_port, lab.environ)
        ours, real = (Target(adb, lab.add(plain, backend=backend).serial) for backend in ("emulated", "real"))
        yield ours, real


def check(targets: tuple[Target, Target], probe: Probe) -> None:
    answers = []
    for target in targets:
        target.out(FILES)
        answers.append(probe(target))
    ours, real = answers
    assert ours == real


@pytest.mark.parametrize("name", SHELLS)
def test_shells_answer_alike(targets: tuple[Target, Target], name: str) -> None:
    check(targets, SHELLS[name])


@pytest.mark.parametrize("name", SYNC)
def test_sync_answers_alike(targets: tuple[Target, Target], name: str) -> None:
    check(targets, SYNC[name])


COMMANDS = {
    "push a folder": ("push", "{here}/tree", HOME),
    "push into a folder": ("push", "{here}/tree/one", f"{HOME}/folder"),
    "push into a link to a folder": ("push", "{here}/tree/one", f"{HOME}/to_folder"),
    "push nothing": ("push", "{here}/missing", HOME),
    "push below a file": ("push", "{here}/tree/one", f"{HOME}/file/x"),
    "pull a folder": ("pull", f"{HOME}/folder", "{here}/pulled"),
    "pull nothing": ("pull", f"{HOME}/missing", "{here}/pulled"),
    "shell": ("shell", "echo out; echo err >&2; exit 3"),
    "exec-out": ("exec-out", "echo out; echo err >&2; exit 3"),
    "remove": ("shell", f"rm {HOME}/missing"),
}


@pytest.mark.parametrize("name", COMMANDS)
def test_the_command_line_sees_no_difference(targets: tuple[Target, Target], name: str, tmp_path: Path) -> None:
    answers = []
    for number, target in enumerate(targets):
        target.out(FILES)
        here = tmp_path / str(number)
        (here / "tree/deep").mkdir(parents=True)
        (here / "tree/one").write_text("1")
        (here / "tree/deep/two").write_text("22")
        ran = target.adb("-s", target.serial, *(word.format(here=here) for word in COMMANDS[name]))
        # The speed of a transfer differs each time, the names of folders by our own doing.
        said = [
            stream.replace(str(here).encode(), b"HERE").partition(b" skipped.")[0]
            for stream in (ran.stdout, ran.stderr)
        ]
        local = sorted(str(path.relative_to(here)) for path in here.rglob("*"))
        remote = target.out(f"cd {HOME}; find . -type f -exec cksum {{}} + | sort")
        answers.append((ran.returncode, said, local, remote))
    ours, real = answers
    assert ours == real
