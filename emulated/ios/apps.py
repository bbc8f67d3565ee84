"""Apps on an emulated iPhone: a bundle with a container, whose program runs on this computer."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

OWN_BUNDLE = "com.example.delegatebench"
UPSTREAM_BUNDLE = "com.example.LiteRTBenchmark"
FOLDERS = ("Documents", "Library/Caches", "Library/Preferences", "tmp")
STATE_FILE = "harness-state.json"
"""In every container: what an app would ask the system, as the emulator says it is."""

AppTrouble = Literal["missing", "locked", "failed"]


class AppError(Exception):
    """An app cannot be started.

    Attributes:
        trouble: "missing": not installed; "locked": the phone is; "failed": this computer does not start the program.
        bundle: which app.
    """

    def __init__(self, trouble: AppTrouble, bundle: str, words: str) -> None:
        super().__init__(words)
        self.trouble: AppTrouble = trouble
        self.bundle = bundle


@dataclass(frozen=True)
class Program:
    """What to start on this computer for an app.

    Attributes:
        argv: command line, to which launch arguments are added.
        env: above the lab's own.
    """

    argv: Sequence[str]
    env: Mapping[str, str] = field(default_factory=dict)


@dataclass
class App:
    """An installed app.

    Attributes:
        bundle: its identifier.
        container: its folder on this computer, with `Documents` in it.
        program: what runs when it is started; a function is asked at each start, so that it may build it first.
        version: CFBundleShortVersionString.
        build: CFBundleVersion.
        name: as the home screen shows it.
        executable: CFBundleExecutable.
        file_sharing: UIFileSharingEnabled.
        developer: signed for development, so that its whole container can be looked into.
        system: of Apple; such apps have no container to look into.
    """

    bundle: str
    container: Path
    program: Program | Callable[[], Program]
    version: str = "1.0"
    build: str = "1"
    name: str = ""
    executable: str = ""
    file_sharing: bool = True
    developer: bool = True
    system: bool = False

    def __post_init__(self) -> None:
        self.name = self.name or self.bundle.rpartition(".")[2]
        self.executable = self.executable or self.name
        for folder in FOLDERS:
            (self.container / folder).mkdir(parents=True, exist_ok=True)

    @property
    def documents(self) -> Path:
        """What file sharing shows."""
        return self.container / "Documents"

    def made(self) -> Program:
        """Its program, built if it has to be. Raises what building raises."""
        return self.program() if callable(self.program) else self.program

    def tell(self, state: Mapping[str, Any]) -> None:
        """Write what the app may ask the system for; it reads the old state or this one, never a part."""
        part = self.container / f"{STATE_FILE}.part"
        part.write_text(json.dumps(state), encoding="utf-8")
        part.replace(self.container / STATE_FILE)

    def hold(self, stage: str) -> None:
        """Have our app wait when it reaches a stage of delegate_bench the next time, such as "run"."""
        self.go_on()
        (self.container / f"hold-{stage}").touch()

    @property
    def held(self) -> bool:
        """Whether it waits there."""
        return any(self.container.glob("held-*"))

    def go_on(self) -> None:
        """It waits no more."""
        for path in [*self.container.glob("hold-*"), *self.container.glob("held-*")]:
            path.unlink(missing_ok=True)
