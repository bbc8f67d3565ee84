"""docs/compatibility.md says what the tables say."""

from __future__ import annotations

import re

from harness.plan.compatibility import profiles
from harness.plan.compatibility.profile import OpRule
from tests.conftest import ROOT

PAGE = (ROOT / "docs" / "compatibility.md").read_text(encoding="utf-8")


def test_every_version_is_on_the_page() -> None:
    found = {tuple(row) for row in re.findall(r"^\| ([A-Z0-9_]+) \| (\S+) \| (\S+) \|$", PAGE, re.MULTILINE)}
    mldrift, classic = profiles()
    names = mldrift.ops.keys() | classic.ops.keys()
    assert found == {(name, shown(mldrift.ops.get(name)), shown(classic.ops.get(name))) for name in names}


def shown(rule: OpRule | None) -> str:
    if rule is None:
        return "no"
    return "any" if rule.version is None else str(rule.version)


def test_every_profile_is_on_the_page() -> None:
    for profile in profiles():
        assert f"| `{profile.name}` |" in PAGE
    assert "**not checked here**" in PAGE
