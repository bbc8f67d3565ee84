from __future__ import annotations

from pathlib import Path

import pytest

from harness.errors import UsageError
from harness.plan.waivers import load_waivers

GOOD = """\
version: 1
waivers:
  - id: W-1
    owner: vision team
    reason: boxes are off by a pixel, fixed in the next model
    ticket: VIS-12
    expires: 2026-12-31
    scope: {model: "*blaze*", delegate: "gpu-*", gate: max_abs_of_range}
"""


def written(folder: Path, text: str) -> Path:
    path = folder / "waivers.yaml"
    path.write_text(text)
    return path


def test_a_waiver_says_who_why_until_when_and_for_what(tmp_path: Path) -> None:
    (waiver,) = load_waivers(written(tmp_path, GOOD))
    assert waiver["owner"] == "vision team"
    assert waiver["expires"] == "2026-12-31"
    assert (waiver["model"], waiver["device"], waiver["delegate"], waiver["gate"]) == (
        "*blaze*",
        "*",
        "gpu-*",
        "max_abs_of_range",
    )
    assert waiver["origin"].endswith("waivers.yaml:3")


def test_a_file_without_waivers_is_fine(tmp_path: Path) -> None:
    assert load_waivers(written(tmp_path, "version: 1\nwaivers: []\n")) == []


@pytest.mark.parametrize(
    ("old", "new", "line", "words"),
    [
        ("    owner: vision team\n", "", 3, "required key 'owner' is missing"),
        ("expires: 2026-12-31", "expires: 31.12.2026", 7, "expected a day such as 2026-12-31, got '31.12.2026'"),
        ("expires: 2026-12-31", "expires: 2026-02-30", 7, "expected a day such as 2026-12-31"),
        ("expires", "expiry", 7, "unknown key; did you mean 'expires'?"),
        ("delegate: ", "delegat: ", 8, "unknown key; did you mean 'delegate'?"),
        ('{model: "*blaze*", delegate: "gpu-*", gate: max_abs_of_range}', "{}", 8, "every failure there is"),
        ('{model: "*blaze*", delegate: "gpu-*", gate: max_abs_of_range}', '{model: "**"}', 8, "every failure there is"),
        ("version: 1", "version: 2", 1, "this harness reads version 1"),
    ],
)
def test_mistakes_name_file_and_line(tmp_path: Path, old: str, new: str, line: int, words: str) -> None:
    assert old in GOOD
    with pytest.raises(UsageError) as caught:
        load_waivers(written(tmp_path, GOOD.replace(old, new)))
    assert f"waivers.yaml:{line}" in str(caught.value)
    assert words in str(caught.value)


def test_two_waivers_of_one_name_are_refused(tmp_path: Path) -> None:
    twice = GOOD + GOOD[GOOD.index("  - id") :]
    with pytest.raises(UsageError, match=r"waivers\.yaml:9: .*'W-1' is the id of an earlier waiver"):
        load_waivers(written(tmp_path, twice))
