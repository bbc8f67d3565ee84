from __future__ import annotations

import http.client
import threading
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest

from harness.cli import main
from harness.errors import UsageError
from harness.report import write
from harness.report.serve import pages
from harness.report.serve.server import RunsServer
from harness.report.serve.trends import Point, Runs, changes
from tests.report.sample import cell_row, matrix_of

CELL = "release::yamnet[pixel-8:gpu-fp16]"


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """Three nights of one cell: right, right after an update of the phone, wrong."""
    folder = tmp_path / "reports"
    for day, outcome, build in (("18", "PASS", "A"), ("19", "PASS", "B"), ("20", "FAIL", "B")):
        matrix = matrix_of([cell_row("yamnet", outcome=outcome, reason="<b>wrong</b>" if outcome == "FAIL" else None)])
        matrix["run"]["id"] = f"202611{day}T010000Z-release"
        matrix["run"]["started"] = f"2026-11-{day}T01:00:00Z"
        matrix["devices"][0]["facts"]["build"] = build
        write.write_all(matrix, folder / matrix["run"]["id"])
    (folder / "latest").symlink_to("20261120T010000Z-release")
    (folder / "20261121T010000Z-broken").mkdir()
    (folder / "20261121T010000Z-broken" / "matrix.json").write_text("{")
    (tmp_path / "secret.txt").write_text("secret")
    return folder


@pytest.fixture
def server(runs: Path) -> Iterator[RunsServer]:
    with RunsServer(runs, 0) as serving:
        thread = threading.Thread(target=serving.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        yield serving
        serving.shutdown()
        thread.join()


def get(server: RunsServer, path: str, host: str = "127.0.0.1") -> tuple[int, str]:
    port = server.server_address[1]
    connection = http.client.HTTPConnection("127.0.0.1", int(port), timeout=60)
    connection.putrequest("GET", path, skip_host=True)
    connection.putheader("Host", f"{host}:{port}")
    connection.endheaders()
    answer = connection.getresponse()
    text = answer.read().decode()
    connection.close()
    return answer.status, text


def test_runs_newest_first_each_with_its_report(server: RunsServer) -> None:
    status, page = get(server, "/")
    assert status == 200
    names = [f"202611{day}T010000Z-release" for day in (20, 19, 18)]
    assert sorted(names, key=page.index) == names
    assert "the file may have been cut short" in page, "a run that cannot be read says so"
    status, report = get(server, f"/runs/{names[0]}/index.html")
    assert status == 200
    assert "yamnet" in report


def test_a_trend_shows_what_changed_around_the_cell(server: RunsServer) -> None:
    status, page = get(server, "/trends")
    assert status == 200
    assert "yamnet[pixel-8:gpu-fp16]" in page
    status, page = get(server, f"/trends?cell={quote(CELL)}")
    assert status == 200
    assert "system: Android 16 A → Android 16 B" in page
    assert "&lt;b&gt;wrong&lt;/b&gt;" in page
    assert "<b>wrong" not in page
    assert get(server, "/trends?cell=another")[0] == 404
    assert "Chart" in get(server, "/chart.js")[1]
    assert get(server, "/trend.js")[0] == 200


@pytest.mark.parametrize(
    "path",
    [
        "/runs/../secret.txt",
        "/runs/%2e%2e/secret.txt",
        "/runs/%2e%2e%2fsecret.txt",
        "/runs//etc/passwd",
        "/runs/latest/../../secret.txt",
        "/runs/%00",
        "/runs/",
        "/secret.txt",
    ],
)
def test_nothing_outside_the_folder_is_served(server: RunsServer, path: str) -> None:
    assert get(server, path)[0] == 404


def test_what_a_device_wrote_is_not_executed(runs: Path, server: RunsServer) -> None:
    run = runs / "20261120T010000Z-release"
    (run / "artifacts").mkdir()
    for name in ("index.html", "log.svg"):
        (run / "artifacts" / name).write_text("<script>alert(1)</script>")
        assert policy(server, f"/runs/{run.name}/artifacts/{name}") == "default-src 'none'; sandbox"
    assert policy(server, f"/runs/{run.name}/index.html") is None, "the report has its own"


def policy(server: RunsServer, path: str) -> str | None:
    connection = http.client.HTTPConnection("127.0.0.1", int(server.server_address[1]), timeout=60)
    connection.request("HEAD", path)
    found = connection.getresponse().getheader("Content-Security-Policy")
    connection.close()
    return found


def test_another_sites_name_for_this_computer_is_refused(server: RunsServer) -> None:
    assert get(server, "/", host="evil.example")[0] == 403
    assert get(server, "/", host="localhost")[0] == 200


def test_what_cannot_be_served_says_so(tmp_path: Path, server: RunsServer) -> None:
    with pytest.raises(UsageError, match="is no folder"):
        RunsServer(tmp_path / "none", 0)
    with pytest.raises(UsageError, match="--port"):
        RunsServer(tmp_path, int(server.server_address[1]))


def test_a_run_that_was_written_again_is_read_again(runs: Path) -> None:
    known = Runs(runs)
    assert [point.outcome for point in known.series()[CELL]] == ["PASS", "PASS", "FAIL"]
    matrix = matrix_of([cell_row("yamnet", outcome="ERROR", reason="a longer reason than before")])
    write.write_all(matrix, runs / "20261120T010000Z-release")
    assert [point.outcome for point in known.series()[CELL]] == ["PASS", "PASS", "ERROR"]


def test_many_new_runs_are_read_behind_the_scenes(runs: Path) -> None:
    known = Runs(runs, at_once=1)
    assert known.all() == ([], 4), "whoever asks does not wait"
    for _ in range(600):
        found, waiting = known.all()
        if not waiting:
            break
        threading.Event().wait(0.1)
    assert [run.name[:8] for run in found] == ["20261121", "20261120", "20261119", "20261118"]
    assert "3 runs are being read" not in pages.runs_page(found, waiting)
    assert "2 more runs are being read" in pages.runs_page(found[:2], 2)


def test_trends_of_many_cells_are_found_by_words_and_come_in_pages(runs: Path) -> None:
    (points,) = Runs(runs).series().values()
    series = {f"release::model-{number}[pixel-8:gpu]": points for number in range(pages.PAGE + 1)}
    first = pages.trends_page(series)
    assert first.count("/trends?cell=") == pages.PAGE
    assert "page 1 of 2" in first
    last = pages.trends_page(series, page=9)
    assert last.count("/trends?cell=") == 1
    assert "page 2 of 2" in last
    found = pages.trends_page(series, words="MODEL-500 fail")
    assert found.count("/trends?cell=") == 1
    assert "page" not in found.partition("<main>")[2]
    hostile = pages.trends_page(series, words='"><script>')
    assert "<script>" not in hostile
    assert "0 cells" in hostile


def test_words_and_pages_come_from_the_address(server: RunsServer) -> None:
    assert "1 cell<" in get(server, "/trends?q=YAMNET+fail&page=-1")[1]
    assert "0 cells<" in get(server, "/trends?q=yamnet+pass&page=99999999999")[1]


def test_what_changed_is_told_across_a_run_that_broke_off() -> None:
    def point(**conditions: str) -> Point:
        return Point("run", "2026-11-20T01:00:00Z", "PASS", "", 1.0, 0.0, conditions)

    found = changes([point(runtime="2.2"), point(), point(runtime="2.3"), point(runtime="2.3")])
    assert found == [(), (), ("runtime: 2.2 → 2.3",), ()]


def test_ctrl_c_is_how_it_ends(runs: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def interrupted(_: RunsServer) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(RunsServer, "serve_forever", interrupted)
    assert main(["report", "serve", str(runs), "--port", "0"]) == 0
    assert "http://127.0.0.1:" in capsys.readouterr().out
