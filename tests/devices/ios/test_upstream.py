"""Jobs of upstream's app, which knows no job ids: on the stand-in for it."""

from __future__ import annotations

import secrets
import threading

import pytest

from emulated.ios.apps import UPSTREAM_BUNDLE
from harness.devices.base import Job
from harness.devices.ios.errors import AppMissingError
from tests.conftest import MODELS
from tests.devices.android.conftest import until
from tests.devices.ios.bench import Bench, Plug, Running, bench, file, plug

__all__ = ["bench", "plug"]

pytestmark = pytest.mark.timeout(200)


def upstreams(**keys: str) -> Job:
    """Time the model that adds; `keys` are more flags."""
    model = file("model.tflite", MODELS / "ops" / "add.tflite")
    flags = {"graph": "@@model.tflite@@", "num_runs": "3", "min_secs": "0", "warmup_min_secs": "0", **keys}
    flags["result_file_path"] = "@@out@@/result.pb"
    words = tuple(f"--{name}={value}" for name, value in flags.items())
    return Job(secrets.token_hex(8), (model,), words, app="ios_app", env={"MARK": "here"})


def left(bench: Bench) -> list[str]:
    """Files that are left in the app's Documents, but for the store."""
    documents = bench.phone.apps[UPSTREAM_BUNDLE].documents
    found = [path.relative_to(documents) for path in documents.rglob("*") if path.is_file()]
    return sorted(str(path) for path in found if path.parts[0] != "store")


def test_flags_are_launch_arguments_and_files_come_back(bench: Bench) -> None:
    job = upstreams()
    output = bench.run(job)
    assert (output.exit_code, output.timed_out) == (0, False)
    assert sorted(path.name for path in output.folder.iterdir()) == ["benchmark.done", "benchmark.log", "result.pb"]
    process = bench.phone.processes.history[-1]
    (model,) = job.files
    assert f"--graph=store/{model.sha256}" in process.arguments
    assert f"--result_file_path=out/{job.id}/result.pb" in process.arguments
    assert left(bench) == []


def test_the_marker_of_another_job_is_not_taken_for_this_one_s(bench: Bench) -> None:
    documents = bench.phone.apps[UPSTREAM_BUNDLE].documents
    (documents / "benchmark.done").write_text("0")
    (documents / "benchmark.log").write_text("of another job")
    output = bench.run(upstreams(graph="store/nothing"))
    assert output.exit_code == 1
    assert "of another job" not in (output.folder / "benchmark.log").read_text()


def test_an_app_that_dies_leaves_no_marker(bench: Bench) -> None:
    bench.phone.faults.crash_at_start.add(UPSTREAM_BUNDLE)
    output = bench.run(upstreams())
    assert (output.exit_code, output.timed_out) == (1, False)
    assert not (output.folder / "benchmark.done").exists()
    assert "ended during the job" in output.stderr


def test_the_deadline_ends_it(bench: Bench) -> None:
    running = Running(bench, upstreams(min_secs="60"), 90)
    running.thread.start()
    until((bench.phone.apps[UPSTREAM_BUNDLE].documents / "benchmark.log").exists, 60)
    running.expire()
    assert running.output().timed_out
    until(lambda: bench.phone.processes.live == [])
    assert left(bench) == []


def test_an_app_that_is_not_there(bench: Bench) -> None:
    del bench.phone.apps[UPSTREAM_BUNDLE]
    with pytest.raises(AppMissingError, match=UPSTREAM_BUNDLE):
        bench.run(upstreams())


def test_by_hand_it_reads_its_flags_from_a_file(plug: Plug, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harness.devices.ios.run._TAKEN", 0.1)
    bench = plug("iphone-17", launcher="manual")
    bench.phone.apps.pop("com.example.delegatebench")
    bench.connect()

    def person() -> None:
        until(lambda: bench.told, 60)
        assert "LiteRTBenchmark" in bench.told[-1]
        bench.phone.open_app(UPSTREAM_BUNDLE)

    threading.Thread(target=person, daemon=True).start()
    assert bench.run(upstreams()).exit_code == 0
    assert left(bench) == []
