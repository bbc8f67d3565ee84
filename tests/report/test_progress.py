from __future__ import annotations

import io
import re
import threading
from datetime import datetime, timezone

import pytest
from rich.console import Console

from harness.report.progress import LiveProgress, Pace, PlainProgress, finished_line
from tests.report import sample
from tests.report.sample import attempt_row, cell_row


class StillClock:
    """A clock that moves only when told."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def now(self) -> datetime:
        return datetime(2026, 11, 20, tzinfo=timezone.utc)

    def monotonic(self) -> float:
        return self.seconds

    def sleep(self, seconds: float) -> None:
        self.seconds += seconds

    def wait(self, event: threading.Event, seconds: float) -> bool:
        self.seconds += seconds
        return event.is_set()


def test_a_finished_cell_is_one_line() -> None:
    row = cell_row("mobilenet_v1", "this-machine", "gpu", speedup=4.2, of_range=1.2e-5)
    assert row["latency"] is not None
    row["latency"]["median_us"] = 12_300.0
    assert finished_line(row, 3, 12) == (
        "[ 3/12] PASS         mobilenet_v1 this-machine:gpu  12.3 ms  4.2x  0.0012% of range"
    )


def test_a_cell_that_does_not_pass_says_why_on_its_line() -> None:
    row = cell_row(outcome="ERROR", reason="the runner\nwas killed", median_us=None)
    assert finished_line(row, 12, 12) == (
        "[12/12] ERROR        blazeface_mlkit_v1 pixel-8:gpu-fp16  the runner was killed"
    )
    broken = cell_row(outcome="FAIL", of_range=None, nonfinite=1240)
    assert "1240 output values are NaN or infinite" in finished_line(broken, 1, 1)


def test_a_line_holds_the_first_clause_of_a_long_reason() -> None:
    row = cell_row(
        outcome="UNSUPPORTED", reason="no GPU adapter was found; install a driver, or name one", median_us=None
    )
    assert (
        finished_line(row, 1, 1) == "[1/1] UNSUPPORTED  blazeface_mlkit_v1 pixel-8:gpu-fp16  no GPU adapter was found"
    )


def test_models_stand_in_one_column_whatever_the_outcome() -> None:
    lines = [finished_line(cell_row("m", outcome=outcome), 1, 1) for outcome in ("PASS", "MARGINAL", "UNSUPPORTED")]
    assert len({line.index("m pixel-8") for line in lines}) == 1


def test_plain_progress_writes_a_line_per_cell_and_message() -> None:
    lines: list[str] = []
    progress = PlainProgress(lines.append)
    progress.start({"pixel-8": 2})
    row = cell_row()
    progress.cell_started(row["id"], "pixel-8")
    progress.stage(row["id"], "transfer")
    progress.cell_finished(row, 1, 2)
    progress.message("too\twarm")
    with progress.paused():
        pass
    progress.stop()
    assert lines == ["2 cells on 1 device", finished_line(row, 1, 2), "too warm"]
    PlainProgress(lines.append).start({"pixel-8": 1})
    assert lines[-1] == "1 cell on 1 device"


def test_plain_progress_speaks_ascii_where_it_must() -> None:
    lines: list[str] = []
    PlainProgress(lines.append, unicode=False).cell_finished(cell_row(median_us=500.0), 1, 1)
    assert lines[0].isascii()
    assert " us " in lines[0]


def test_plain_lines_of_many_threads_never_mix() -> None:
    written: list[str] = []
    inside = threading.Semaphore(1)

    def write_line(line: str) -> None:
        assert inside.acquire(blocking=False), "two threads were inside write_line"
        written.append(line)
        inside.release()

    progress = PlainProgress(write_line)
    row = cell_row()

    def work() -> None:
        for _ in range(50):
            progress.cell_finished(row, 1, 1)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(written) == 400


def pace(planned: dict[str, int], machines: dict[str, str] | None = None, **finished: list[tuple[float, ...]]) -> Pace:
    result = Pace(planned, machines or {})
    for device, cells in finished.items():
        for attempts in cells:
            row = cell_row(device=device)
            row["attempts"] = [attempt_row(seconds=one) for one in attempts]
            result.add(row)
    return result


def test_time_left_is_unknown_before_anything_was_measured() -> None:
    assert pace({"a": 3}).left() is None
    assert pace({"a": 3}, a=[()]).left() is None


def test_time_left_is_that_of_the_slowest_device() -> None:
    assert pace({"a": 3, "b": 3}, a=[(10.0,)], b=[(4.0,)]).left() == pytest.approx(20.0)


def test_rounds_and_retries_of_a_cell_count_together() -> None:
    assert pace({"a": 3}, a=[(2.0, 2.0, 2.0), (6.0, 2.0, 4.0)]).left() == pytest.approx(9.0)


def test_a_device_without_a_finished_cell_is_taken_as_fast_as_the_others() -> None:
    assert pace({"a": 2, "b": 5}, a=[(10.0,)]).left() == pytest.approx(50.0)


def test_devices_of_one_machine_take_turns() -> None:
    machines = {"a": "desk", "b": "desk"}
    assert pace({"a": 3, "b": 3}, machines, a=[(10.0,)], b=[(4.0,)]).left() == pytest.approx(28.0)


def test_nothing_is_left_at_the_end() -> None:
    assert pace({"a": 1}, a=[(10.0,)]).left() == 0.0


@pytest.fixture
def screen() -> io.StringIO:
    return io.StringIO()


@pytest.fixture
def console(screen: io.StringIO) -> Console:
    return Console(file=screen, force_terminal=True, width=100, height=20, no_color=True, legacy_windows=False)


def shown(progress: LiveProgress) -> str:
    """What the live lines say now."""
    paper = io.StringIO()
    Console(file=paper, width=100, height=20).print(progress._render())
    return paper.getvalue()


def test_live_progress_shows_counts_time_left_and_busy_devices(console: Console) -> None:
    clock = StillClock()
    progress = LiveProgress(console, clock)
    rows = sample.make_matrix()["cells"]
    progress.start(dict.fromkeys(sample.DEVICES, 18))
    try:
        progress.cell_started(rows[0]["id"], rows[0]["device"])
        progress.cell_finished(rows[0], 1, 36)
        progress.cell_started(rows[1]["id"], rows[1]["device"])
        progress.stage(rows[1]["id"], "round 1 of 2")
        clock.sleep(7)
        text = shown(progress)
    finally:
        progress.stop()
    assert "1/36 cells" in text
    # 17 and 18 cells left at two rounds of 4.2 s each
    assert "about 2 min 32 s left" in text
    assert "1 PASS" in text
    assert re.search(r"this-machine  mobilenet_v1_1.0_224 gpu-fp16  round 1 of 2 +7 s", text)


def test_finished_cells_scroll_by_and_the_live_lines_go_away(console: Console, screen: io.StringIO) -> None:
    progress = LiveProgress(console, StillClock())
    progress.start({"pixel-8": 1})
    progress.cell_finished(cell_row(), 1, 1)
    progress.message("hello")
    with progress.paused():
        console.file.write("pytest speaks\n")
    progress.stop()
    progress.stop()
    text = screen.getvalue()
    assert "blazeface_mlkit_v1 pixel-8:gpu-fp16" in text
    assert "hello" in text
    assert "pytest speaks" in text
    assert text.rstrip().endswith("\x1b[2K")  # erased at the end


def test_a_finished_cell_takes_one_line_even_where_it_does_not_fit(screen: io.StringIO) -> None:
    narrow = Console(file=screen, force_terminal=True, width=50, height=20, no_color=True, legacy_windows=False)
    progress = LiveProgress(narrow, StillClock())
    progress.cell_finished(cell_row(outcome="ERROR", reason="a long story about a lost device"), 1, 1)
    lines = re.sub(r"\x1b\[[0-9;]*m", "", screen.getvalue()).splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("[1/1] ERROR        blazeface_…it_v1 pixel-8:gp")
    assert lines[0].endswith("…")


def test_where_a_line_must_be_cut_its_figures_stay(screen: io.StringIO) -> None:
    narrow = Console(file=screen, force_terminal=True, width=90, height=20, no_color=True, legacy_windows=False)
    row = cell_row("mobilenet_v1_0.25_224_float_with_metadata", median_us=1000.0, speedup=4.2, of_range=2.6e-6)
    LiveProgress(narrow, StillClock()).cell_finished(row, 1, 1)
    (line,) = re.sub(r"\x1b\[[0-9;]*m", "", screen.getvalue()).splitlines()
    assert len(line) == 90
    assert re.search(r"  mobilenet_v1…etadata pixel-8:gpu-fp16  \S+ ms  4.2x  0.00026% of range$", line)


def test_more_busy_devices_than_lines_are_counted(console: Console) -> None:
    progress = LiveProgress(console, StillClock())
    progress.start({f"d{number}": 1 for number in range(50)})
    try:
        for number in range(50):
            progress.cell_started(f"s::m[d{number}:cpu]", f"d{number}")
        text = shown(progress)
    finally:
        progress.stop()
    assert "and 40 more devices busy" in text
    assert len(text.splitlines()) == 13


def test_live_progress_takes_calls_from_many_threads(console: Console, screen: io.StringIO) -> None:
    progress = LiveProgress(console, StillClock())
    progress.start({f"d{number}": 10 for number in range(8)})

    def work(device: str) -> None:
        for index in range(10):
            row = cell_row(f"m{index}", device)
            progress.cell_started(row["id"], device)
            progress.stage(row["id"], "busy")
            progress.cell_finished(row, index + 1, 80)

    threads = [threading.Thread(target=work, args=(f"d{number}",)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    progress.stop()
    assert len(re.findall(r"m\d d\d:gpu-fp16", screen.getvalue())) == 80
