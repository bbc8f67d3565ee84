"""`harness ...`: exit codes of what was typed wrongly; each command's own tests are with its room."""

from __future__ import annotations

import pytest

from harness.cli import main


@pytest.mark.parametrize(
    "words", [["doctr"], [], ["fetch", "ios"], ["doctor", "--record"], ["report", "--writ", "--x"]]
)
def test_what_was_typed_wrongly_is_no_interruption(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as raised:
        main(words)
    assert raised.value.code == 4
    error = capsys.readouterr().err
    assert error.startswith("usage: harness")
    assert "Traceback" not in error
