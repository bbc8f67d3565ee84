from __future__ import annotations

import errno
from pathlib import Path

import pytest

from harness.paths import write_atomically
from harness.report import html, matrix, write
from tests.report import sample


def test_all_reports_are_written(tmp_path: Path) -> None:
    written = write.write_all(sample.make_matrix(), tmp_path / "run")
    assert [path.name for path in written] == ["matrix.json", "matrix.csv", "matrix.md", "metrics.prom", "index.html"]
    assert sorted(path.name for path in (tmp_path / "run").iterdir()) == sorted(path.name for path in written)
    assert matrix.load(tmp_path / "run") == sample.make_matrix()


def test_one_report_that_fails_does_not_lose_the_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path, data: bytes) -> None:
        if path.name == "matrix.csv":
            raise OSError(errno.ENOSPC, "No space left on device")
        write_atomically(path, data)

    monkeypatch.setattr("harness.report.write.write_atomically", full)
    with pytest.raises(
        write.ReportError, match=r"matrix\.csv: No space left on device.*written: matrix\.json"
    ) as caught:
        write.write_all(sample.make_matrix(), tmp_path)
    assert [path.name for path in caught.value.written] == ["matrix.json", "matrix.md", "metrics.prom", "index.html"]
    left = sorted(path.name for path in tmp_path.iterdir())
    assert left == ["index.html", "matrix.json", "matrix.md", "metrics.prom"]


def test_a_report_that_cannot_be_made_keeps_the_old_one(tmp_path: Path) -> None:
    write.write_all(sample.make_matrix(), tmp_path)
    before = (tmp_path / "matrix.json").read_bytes()
    broken = sample.make_matrix()
    broken["cells"][0]["notes"] = [float("nan")]  # type: ignore[list-item]
    with pytest.raises(write.ReportError, match=r"matrix\.json: .*cells\[0\]\.notes\[0\] is nan"):
        write.write_all(broken, tmp_path)
    assert (tmp_path / "matrix.json").read_bytes() == before


def test_sums_are_checked_before_anything_is_written(tmp_path: Path) -> None:
    content = sample.make_matrix()
    content["summary"]["planned"] += 1
    with pytest.raises(matrix.MatrixError):
        write.write_all(content, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_views_of_a_matrix_that_was_read_leave_it_alone(tmp_path: Path) -> None:
    (tmp_path / "matrix.json").write_text("kept")
    written = write.write_views(sample.make_matrix(), tmp_path)
    assert [path.name for path in written] == ["matrix.csv", "matrix.md", "metrics.prom", "index.html"]
    assert (tmp_path / "matrix.json").read_text() == "kept"


def test_text_that_is_no_unicode_does_not_lose_a_report(tmp_path: Path) -> None:
    content = sample.make_matrix()
    content["cells"][0] |= {"notes": ["\udcff"], "reason": "\ud800"}
    assert len(write.write_all(content, tmp_path)) == 5
    assert html.render(content)


def make_run(reports: Path, name: str) -> Path:
    folder = reports / name
    write.write_all(sample.matrix_of([sample.cell_row()]), folder)
    return folder


def test_latest_points_at_the_newest_run(tmp_path: Path) -> None:
    for name in ("run-1", "run-2"):
        latest = write.point_latest(tmp_path, make_run(tmp_path, name))
        assert latest.is_symlink()
        assert latest.readlink() == Path(name)  # relative: the folder may be moved
    assert sorted(path.name for path in tmp_path.iterdir()) == ["latest", "run-1", "run-2"]
    assert matrix.load(latest)["summary"]["pass"] == 1


def test_without_symbolic_links_latest_is_a_text_file_that_can_be_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: Path, target: object, target_is_directory: bool = False) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(Path, "symlink_to", refuse)
    for name in ("run-1", "run-2"):
        latest = write.point_latest(tmp_path, make_run(tmp_path, name))
    assert latest.read_text() == "run-2\n"
    assert matrix.load(latest)["summary"]["pass"] == 1


def test_a_real_folder_called_latest_is_not_destroyed(tmp_path: Path) -> None:
    (tmp_path / "latest").mkdir()
    (tmp_path / "latest" / "keep").touch()
    with pytest.raises(IsADirectoryError):
        write.point_latest(tmp_path, make_run(tmp_path, "run-1"))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["latest", "run-1"]
    assert (tmp_path / "latest" / "keep").exists()
