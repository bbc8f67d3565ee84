"""From what a suite calls a model to the files it means."""

from __future__ import annotations

import glob
import re
from collections.abc import Callable, Iterable
from fnmatch import fnmatchcase
from functools import cached_property
from pathlib import Path

from harness.errors import nearest
from harness.yamlfile import display

SUFFIXES = (".tflite", ".lite", ".bin")
_NAMED = ".tflite"
_LISTED = 20


def slug(stem: str) -> str:
    """A name for a model file: what is not a letter, a digit, '.', '_' or '-' becomes '_'."""
    return re.sub(r"[^A-Za-z0-9._-]+", "_", stem)


def is_file(path: Path) -> bool:
    """Whether a file is there and may be looked at, whatever a user wrote as its path."""
    return _holds(Path.is_file, path)


def _holds(check: Callable[[Path], bool], path: Path) -> bool:
    try:
        return check(path)
    except (OSError, ValueError):  # too long, a NUL in it, a folder that is closed to us
        return False


class Catalogue:
    """The models that a suite can name.

    Names are those of `.tflite` files, without the suffix, in the suite's folder, in `models/` beside that folder and
    in `models/` of the root folder; the first file of a name counts. Paths are relative to the suite's folder.
    """

    def __init__(self, folder: Path, rootdir: Path | None = None) -> None:
        self._folder = folder
        folders = [folder, folder.parent / "models", *([rootdir / "models"] if rootdir else [])]
        self._folders = list(dict.fromkeys(place.resolve() for place in folders))

    @cached_property
    def names(self) -> dict[str, Path]:
        """Every known name with its file, sorted by name."""
        found: dict[str, Path] = {}
        for folder in self._folders:
            for path in sorted(folder.glob(f"*{_NAMED}")):
                if path.is_file():
                    found.setdefault(slug(path.stem), path)
        return dict(sorted(found.items()))

    def find(self, pattern: str) -> list[Path]:
        """The files that a name, a path or a glob of either means, sorted; none if there are none."""
        if is_file(self._folder / pattern):
            return [self._folder / pattern]
        if "\0" in pattern:
            return []  # in no file's name, and glob would raise
        if "/" in pattern:
            # Not Path.glob: it takes no absolute pattern.
            found = glob.glob(pattern, root_dir=self._folder, recursive=True)  # noqa: PTH207
            paths = (self._folder / name for name in sorted(found))
            return [path for path in paths if path.suffix in SUFFIXES and is_file(path)]
        wanted = pattern.removesuffix(_NAMED)
        return [path for name, path in self.names.items() if name == wanted or fnmatchcase(name, wanted)]

    def unknown(self, pattern: str, shown: str, *, hint: bool) -> str:
        """Words for a pattern that means no file: what there is, and what may have been meant.

        Args:
            pattern: that was looked for.
            shown: how to call it in the message.
            hint: whether the message may tell how the pattern differs from what there is.
        """
        place = self._folder / pattern
        if "/" in pattern:
            if _holds(Path.is_dir, place):
                return f"{shown} is a folder; name its files, e.g. with '/*{_NAMED}'"
            beside = [path.name for path in place.parent.iterdir()] if _holds(Path.is_dir, place.parent) else []
            return f"no such file: {shown}{nearest(place.name, beside) if hint else ''}"
        folders = ", ".join(display(folder) for folder in self._folders if folder.is_dir())
        meant = nearest(pattern, self.names) if hint else ""
        return f"no model called {shown}{meant or ';'} models in {folders}: {_listed(self.names)}"


def _listed(names: Iterable[str]) -> str:
    known = list(names)
    more = f" and {len(known) - _LISTED} more" if len(known) > _LISTED else ""
    return ", ".join(known[:_LISTED]) + more if known else "none"
