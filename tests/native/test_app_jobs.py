"""The app of an iPhone does jobs: its records are delegate_bench's, and app.json says how the phone was."""

from __future__ import annotations

import json
import signal
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness.clock import SystemClock
from tests.native.bench import Array, Bench
from tests.native.phone_app import FAKE_MODEL, Ended, PhoneApp, job_id, wait_until

ONE, TWO, THREE = job_id(1), job_id(2), job_id(3)


def bench_job(
    app: PhoneApp, identity: str, model: Path, inputs: list[list[Array]], *arguments: str, **env: str
) -> tuple[list[str], list[dict[str, Any]]]:
    """A job that measures `model`, put where the app finds it; its arguments and its files."""
    files = [app.store(model.read_bytes())]
    files += [app.store(np.ascontiguousarray(array).tobytes()) for sample in inputs for array in sample]
    words = ["--model", files[0]["path"], *arguments, "--samples", str(len(inputs))]
    if len(files) > 1:
        words += ["--input", *(entry["path"] for entry in files[1:])]
    app.put(identity, words, files, **env)
    return words, files


def ok(ended: Ended, identity: str) -> dict[str, Any]:
    """The record of a job that went well."""
    assert (ended.code, ended.app["exit_code"], ended.app["error"]) == (0, 0, None), ended
    assert (ended.result["status"], ended.result["run_id"], ended.done) == ("ok", identity, identity)
    return ended.result


def test_a_job_without_arguments_gives_facts_alone(phone_app: PhoneApp) -> None:
    phone_app.state(
        thermal_state="serious",
        low_power_mode=True,
        battery_level=0.25,
        charging=False,
        system={"name": "iOS", "version": "16.4", "machine": "iPhone14,5"},
        metal_device="Emulated GPU",
    )
    ended = phone_app.job(ONE, [])
    assert (ended.code, ended.done, ended.result) == (0, ONE, {})
    assert not phone_app.is_running()
    app = ended.app
    assert (app["schema"], app["id"], app["exit_code"], app["error"]) == (1, ONE, None, None)
    assert app["app"] == {
        "bundle": "com.example.delegatebench",
        "version": "1.0",
        "build": "1",
        "sha256": phone_app.store(phone_app.program.read_bytes())["sha256"],
        "bytes": phone_app.program.stat().st_size,
    }
    library = Path(phone_app.environ["EMULATED_APP_LIBRARY"])
    assert app["runtime"] == {
        "version": "1.2.3",
        "sha256": phone_app.store(library.read_bytes())["sha256"],
        "bytes": library.stat().st_size,
    }
    assert app["system"] == {"name": "iOS", "version": "16.4", "machine": "iPhone14,5"}
    assert (app["metal_device"], app["emulated"], app["jobs_before"]) == ("Emulated GPU", True, 0)
    assert app["hottest"] == "serious"
    for state in (app["before"], app["after"]):
        assert state.pop("footprint_bytes") > 0
        assert state == {
            "thermal_state": "serious",
            "low_power_mode": True,
            "battery_level": 0.25,
            "charging": False,
        }


def test_what_nobody_knows_is_null(faked_app: PhoneApp) -> None:
    app = faked_app.job(ONE, []).app
    footprint = app["before"].pop("footprint_bytes")
    assert footprint > 0
    assert set(app["before"].values()) == {None}
    assert (app["metal_device"], app["hottest"]) == (None, None)
    assert app["system"]["name"]


def test_outputs_are_those_of_delegate_bench(phone_app: PhoneApp, bench: Bench, models: Path) -> None:
    model = models / "float/blazeface_mlkit_v1.tflite"
    inputs = bench.inputs(model, samples=2)
    expected = bench.run(model, "--runs", "2", inputs=inputs)
    bench_job(phone_app, ONE, model, inputs, "--runs", "4")
    record = ok(phone_app.once(ONE), ONE)
    assert (len(record["invoke_us"]), record["runs_total"], record["outputs_repeatable"]) == (4, 4, True)
    assert record["peak_rss_bytes"] >= record["rss_end_bytes"] > 0
    assert len(record["outputs"]) == len(expected.ok()["outputs"])
    for entry in expected.record["outputs"]:
        assert (phone_app.out(ONE) / entry["file"]).read_bytes() == (expected.out / entry["file"]).read_bytes()
    assert set(record) == set(expected.record), "one vocabulary everywhere"


def test_a_model_on_the_gpu(phone_app: PhoneApp, bench: Bench, models: Path, gpu: dict[str, str]) -> None:
    model = models / "odd/delegate_compatibility_test.tflite"
    inputs = bench.inputs(model)
    expected = bench.run(model, "--runs", "0", inputs=inputs)
    bench_job(phone_app, ONE, model, inputs, "--accelerator", "gpu", "--precision", "fp32", **gpu)
    record = ok(phone_app.once(ONE), ONE)
    assert (record["all_on_accelerator"], record["gpu_environment"]) == (True, True)
    assert record["adapter"]
    output = np.fromfile(phone_app.out(ONE) / "s0_o0.bin", np.float32)
    np.testing.assert_allclose(output, expected.output(0).ravel(), rtol=1e-5, atol=1e-5)


def test_jobs_in_one_process_share_nothing(
    phone_app: PhoneApp, bench: Bench, models: Path, gpu: dict[str, str]
) -> None:
    """CPU, GPU, CPU."""
    face, small = models / "float/blazeface_mlkit_v1.tflite", models / "odd/delegate_compatibility_test.tflite"
    inputs = {model: bench.inputs(model) for model in (face, small)}
    alone = {}
    on_gpu = ("--accelerator", "gpu")
    queue: list[tuple[Path, tuple[str, ...]]] = [(face, ()), (small, on_gpu), (face, ())]
    for model, arguments in queue[:2]:
        bench_job(phone_app, ONE, model, inputs[model], *arguments, **(gpu if arguments else {}))
        alone[model] = [entry["crc32"] for entry in ok(phone_app.once(ONE), ONE)["outputs"]]
    with phone_app.opened() as process:
        phone_app.put(TWO, [])
        phone_app.wait_for(TWO, process)
        for number, (model, arguments) in enumerate(queue):
            identity = job_id(10 + number)
            bench_job(phone_app, identity, model, inputs[model], *arguments, **(gpu if arguments else {}))
            app = phone_app.wait_for(identity, process)
            assert (app["jobs_before"], app["exit_code"], app["error"]) == (number, 0, None), "the probe is none"
            record = phone_app.result(identity)
            assert [entry["crc32"] for entry in record["outputs"]] == alone[model]
            assert record["peak_rss_bytes"] > 0


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_long_queue_holds_on_to_nothing(phone_app: PhoneApp, bench: Bench, models: Path) -> None:
    """Files stay open and memory stays taken at most once, not once per job."""
    model = models / "float/blazeface_mlkit_v1.tflite"
    inputs = bench.inputs(model)
    footprints, files = [], []
    with phone_app.opened() as process:
        for number in range(12):
            bench_job(phone_app, job_id(number), model, inputs, "--runs", "1")
            footprints.append(phone_app.wait_for(job_id(number), process)["before"]["footprint_bytes"])
            files.append(sum(1 for _ in Path(f"/proc/{process.pid}/fd").iterdir()))
    assert max(files[1:]) <= files[1] + 4, files  # `done` is there before a job's own files are closed
    assert footprints[-1] < footprints[3] + 4 * model.stat().st_size, footprints


def test_a_hot_moment_in_the_middle_of_a_job_is_told(faked_app: PhoneApp) -> None:
    """Before and after it the phone is as cool as ever."""
    faked_app.state(thermal_state="nominal")
    model, values = faked_app.store(FAKE_MODEL), faked_app.store(bytes(8))
    words = ["--model", model["path"], "--runs", "10000000", "--max-seconds", "60", "--input", values["path"]]
    with faked_app.opened() as process:
        faked_app.put(ONE, words, [model, values])
        wait_until(lambda: faked_app.measures(ONE))
        faked_app.state(thermal_state="critical")
        SystemClock().sleep(3.0)  # it looks twice a second
        faked_app.state(thermal_state="nominal")
        process.send_signal(signal.SIGSEGV)
        wait_until(lambda: faked_app.done() == ONE)
    app = faked_app.app(ONE)
    assert (app["before"]["thermal_state"], app["hottest"], app["after"]) == ("nominal", "critical", None)


def test_a_job_during_which_the_app_left_the_front_is_worth_nothing(faked_app: PhoneApp) -> None:
    model, values = faked_app.store(FAKE_MODEL), faked_app.store(bytes(8))
    words = ["--model", model["path"], "--runs", "10000000", "--max-seconds", "0.5", "--input", values["path"]]
    with faked_app.opened() as process:
        faked_app.put(ONE, words, [model, values])
        wait_until(lambda: faked_app.measures(ONE))
        process.send_signal(signal.SIGSTOP)
        process.send_signal(signal.SIGCONT)
        app = faked_app.wait_for(ONE, process)
        assert (app["error"]["kind"], app["exit_code"]) == ("interrupted", 0)
        assert faked_app.result(ONE)["status"] == "ok", "the core noticed nothing"
        faked_app.put(TWO, words, [model, values])
        assert faked_app.wait_for(TWO, process)["error"] is None


def test_a_job_that_is_done_is_not_done_again(faked_app: PhoneApp) -> None:
    faked_app.job(ONE, [])
    (faked_app.out(ONE) / "app.json").unlink()
    with faked_app.opened() as process:
        faked_app.put(ONE, [])
        faked_app.put(TWO, [])
        faked_app.wait_for(TWO, process)
        (faked_app.documents / "done").unlink()  # somebody clears up, and job.json goes last
        faked_app.put(TWO, [])
        (faked_app.out(TWO) / "app.json").unlink()
        faked_app.put(THREE, [])
        faked_app.wait_for(THREE, process)
    assert faked_app.app(ONE) == {}
    assert faked_app.app(TWO) == {}


def test_variables_end_with_their_job(faked_app: PhoneApp) -> None:
    """A job that fails by its variable, and one without it that does not."""
    model, values = faked_app.store(FAKE_MODEL), faked_app.store(bytes(8))
    words = ["--model", model["path"], "--input", values["path"]]
    with faked_app.opened() as process:
        for number in range(4):
            faked_app.put(job_id(number), words, [model, values], **({} if number % 2 else {"FAKE_LITERT": "fail_run"}))
            assert faked_app.wait_for(job_id(number), process)["exit_code"] == (0 if number % 2 else 16)


def test_another_s_job_is_left_alone(faked_app: PhoneApp) -> None:
    assert (faked_app.once(ONE).code, faked_app.done()) == (75, None)
    faked_app.put(TWO, [])
    ended = faked_app.once(ONE)
    assert (ended.code, ended.app, ended.done) == (75, {}, None)
    assert json.loads((faked_app.documents / "job.json").read_bytes())["id"] == TWO
