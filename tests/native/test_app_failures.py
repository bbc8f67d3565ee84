"""Whatever a job, the runtime or the system does to the app, there is a true record and a done marker."""

from __future__ import annotations

import json
import random
import signal
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.native.bench import Bench
from tests.native.phone_app import FAKE_MODEL, Ended, PhoneApp, job_id, wait_until

ONE, TWO, THREE = job_id(1), job_id(2), job_id(3)
linux = pytest.mark.skipif(sys.platform != "linux", reason="needs Linux's limits")


def crashed(app: PhoneApp, ended: Ended, identity: str, stage: str, number: int | None) -> dict[str, Any]:
    """The record of a run that ended in a crash, told the same way in both files."""
    assert (ended.code, ended.done, app.is_running()) == (30, identity, False), ended
    assert (ended.app["exit_code"], ended.app["after"]) == (30, None)
    assert ended.app["before"]["footprint_bytes"] > 0
    assert (ended.result["status"], ended.result["run_id"]) == ("error", identity)
    for error in (ended.error, ended.result["error"]):
        assert (error["kind"], error["stage"], error["signal"]) == ("crash", stage, number)
    assert ended.result["error"]["exit_code"] == 30
    return ended.result


@pytest.mark.parametrize(
    ("misbehave", "kind", "code"),
    [
        ("fail_environment", "runtime_library", 10),
        ("fail_model", "model", 12),
        ("fail_compile", "compile", 14),
        ("fail_buffer", "run", 16),
        ("fail_run", "run", 16),
        ("say_variable fail_compile", "unsupported", 20),
        ("unranked", "unsupported", 20),
    ],
)
def test_the_core_s_own_failures_are_in_its_record(faked_app: PhoneApp, misbehave: str, kind: str, code: int) -> None:
    ended = faked_app.run_fake(ONE, misbehave=misbehave)
    assert (ended.code, ended.app["exit_code"], ended.app["error"], ended.done) == (code, code, None, ONE)
    assert (ended.result["error"]["kind"], ended.result["error"]["exit_code"]) == (kind, code)
    assert ended.app["after"]["footprint_bytes"] > 0


def test_a_gpu_that_is_not_there_and_an_input_too_many(faked_app: PhoneApp) -> None:
    ended = faked_app.run_fake(ONE, "--accelerator", "gpu", misbehave="cpu_only")
    assert (ended.code, ended.result["error"]["kind"]) == (13, "accelerator_unavailable")
    ended = faked_app.run_fake(TWO, "--accelerator", "gpu", "--backend", "metal")
    assert (ended.code, ended.result["error"]["kind"]) == (13, "accelerator_unavailable")
    assert "'GPU OpenCL'" in ended.result["error"]["message"]
    assert faked_app.run_fake(THREE, "--samples", "2").code == 15


@pytest.mark.parametrize("where", ["environment", "model", "compile", "buffer", "run"])
@pytest.mark.parametrize(("how", "number"), [("abort", signal.SIGABRT), ("segv", signal.SIGSEGV)])
def test_a_crash_is_told_with_its_stage_and_signal(
    faked_app: PhoneApp, where: str, how: str, number: signal.Signals
) -> None:
    stage = {"model": "load_model", "buffer": "buffers", "run": "first_run"}.get(where, where)
    ended = faked_app.run_fake(ONE, misbehave=f"{how}_{where}")
    record = crashed(faked_app, ended, ONE, stage, number)
    assert record["error"]["signal_name"] == number.name
    assert record["runtime_bytes"] > 0
    assert record["peak_rss_bytes"] > 0
    assert ("options xnnpack" in record["stderr_tail"]) == (where in {"compile", "buffer", "run"})


@linux
def test_a_crash_without_memory_to_tell_of_it(faked_app: PhoneApp) -> None:
    """The records that were prepared beforehand."""
    ended = faked_app.run_fake(ONE, misbehave="starve_run")
    record = crashed(faked_app, ended, ONE, "first_run", signal.SIGABRT)
    assert record["error"]["signal_name"] == "SIGABRT"
    assert "too damaged to say more" in record["error"]["message"]
    assert ended.app["app"]["bundle"] == "com.example.delegatebench"
    assert ended.app["id"] == ONE


def test_a_runtime_that_calls_exit_has_not_succeeded(faked_app: PhoneApp) -> None:
    ended = faked_app.run_fake(ONE, misbehave="exit_compile")
    assert (
        "ended the app before there was a result" in crashed(faked_app, ended, ONE, "compile", None)["error"]["message"]
    )


def test_a_hang_ends_at_the_time_limit(faked_app: PhoneApp) -> None:
    ended = faked_app.run_fake(ONE, "--timeout", "1.5", misbehave="hang_run")
    assert (ended.code, ended.done, ended.error["kind"], ended.error["stage"]) == (31, ONE, "timeout", "first_run")
    assert (ended.app["exit_code"], ended.result["error"]["kind"]) == (31, "timeout")
    assert ended.app["after"]["footprint_bytes"] > 0
    assert "options xnnpack" in ended.result["stderr_tail"]


@linux
def test_a_memory_bomb_is_ended_at_its_limit(phone_app: PhoneApp, bench: Bench, models: Path) -> None:
    """3-D convolution with a scratch tensor of gigabytes; its inputs are holes in files, so they cost nothing."""
    model = models / "odd/conv3d_huge_im2col.bin"
    names = []
    for tensor in bench.run(model, "--describe").ok()["signature_details"][0]["inputs"]:
        names.append(f"{tensor['index']}.bin")
        with (phone_app.documents / names[-1]).open("wb") as stream:
            stream.truncate(tensor["bytes"])
    limit = 500 << 20
    file = phone_app.store(model.read_bytes())
    words = ["--model", file["path"], "--memory-limit", str(limit), "--output-limit", "0", "--timeout", "60"]
    ended = phone_app.job(ONE, [*words, "--input", *names], [file])
    assert (ended.code, ended.done, ended.error["kind"]) == (32, ONE, "memory")
    assert ended.result["peak_rss_bytes"] > limit


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--runs", "many"], "--runs needs a whole number"),
        (["--accelerator", "npu"], "does not know 'npu'"),
        (["--model", "store/x", "--precision", "fp16"], "are for the GPU"),
        (["stray"], "unexpected 'stray'"),
    ],
)
def test_options_that_are_wrong(faked_app: PhoneApp, words: list[str], said: str) -> None:
    ended = faked_app.job(ONE, words)
    assert (ended.code, ended.app["exit_code"], ended.error["kind"], ended.done) == (2, 2, "usage", ONE)
    assert said in ended.error["message"]
    assert ended.result == {}


@pytest.mark.parametrize("harm", ["other content", "other size", "gone"])
def test_a_file_that_is_not_the_job_s(faked_app: PhoneApp, harm: str) -> None:
    model = faked_app.store(FAKE_MODEL)
    path = faked_app.documents / model["path"]
    if harm == "gone":
        path.unlink()
    else:
        path.write_bytes(FAKE_MODEL[:-1] + b"x" * (1 if harm == "other content" else 2))
    ended = faked_app.job(ONE, ["--model", model["path"]], [model])
    assert (ended.code, ended.app["exit_code"], ended.done, ended.result) == (65, None, ONE, {})
    assert (ended.error["kind"], ended.error["path"]) == ("file", model["path"])
    assert model["path"] in ended.error["message"]
    assert not faked_app.is_running()


GOOD: dict[str, Any] = {"schema": 1, "id": ONE, "arguments": [], "files": [], "env": {}}
FILE = {"path": "store/x", "bytes": 1, "sha256": "0" * 64}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "not a value"),
        ("{", "a key is missing"),
        ('{"schema": 1', "a comma or a closing bracket is missing"),
        ('{"a": 1, "a": 1}', "a key that is there twice"),
        ('{"a": "\\ud800"}', "a \\u that is no character"),
        ('{"a": 01}', "not a value"),
        ("[" * 40, "too many levels"),
        ("[]", "it is not a table"),
        ({**GOOD, "id": "1"}, "`id` is not 16 hexadecimal digits"),
        ({**GOOD, "schema": 2}, "`schema` is not 1"),
        ({**GOOD, "arguments": "--runs"}, "`arguments` is not a list"),
        ({**GOOD, "arguments": [1]}, "`arguments` has something that is no text"),
        ({**GOOD, "arguments": ["--out", "x"]}, "an option that the app gives itself"),
        ({**GOOD, "files": [{**FILE, "path": "../x"}]}, "leads out of Documents"),
        ({**GOOD, "files": [{**FILE, "path": "/x"}]}, "leads out of Documents"),
        ({**GOOD, "files": [{**FILE, "path": "store//x"}]}, "leads out of Documents"),
        ({**GOOD, "files": [{**FILE, "bytes": -1}]}, "`bytes` is no size"),
        ({**GOOD, "files": [{**FILE, "bytes": 0.5}]}, "`bytes` is no size"),
        ({**GOOD, "files": [{**FILE, "sha256": "0"}]}, "`sha256` is not 64 hexadecimal digits"),
        ({**GOOD, "env": {"A=B": "1"}}, "a name that no variable can have"),
        ({**GOOD, "env": {"A": 1}}, "a value that is no text"),
    ],
)
def test_a_job_that_is_none_is_told_in_words(faked_app: PhoneApp, text: Any, said: str) -> None:
    faked_app.put_text((text if isinstance(text, str) else json.dumps(text)).encode())
    ended = faked_app.once(ONE)
    assert (ended.code, ended.app["exit_code"], ended.error["kind"], ended.done) == (65, None, "job", ONE)
    assert said in ended.error["message"]


def test_an_open_app_survives_a_job_that_is_none(faked_app: PhoneApp) -> None:
    """Without an id that can be read, the words are beside job.json."""
    beside = faked_app.documents / "app.json"
    with faked_app.opened() as process:
        for number, text in enumerate([b"{]", b"\xff", b"{}"]):
            beside.unlink(missing_ok=True)
            faked_app.put_text(text)
            wait_until(beside.exists)
            assert json.loads(beside.read_bytes())["error"]["kind"] == "job"
            faked_app.put(job_id(10 + number), [])
            assert faked_app.wait_for(job_id(10 + number), process)["error"] is None
        faked_app.put_text(json.dumps({**GOOD, "files": 3}).encode())
        assert faked_app.wait_for(ONE, process)["error"]["kind"] == "job"
        faked_app.put(TWO, [])
        assert faked_app.wait_for(TWO, process)["error"] is None


def test_damaged_jobs_never_harm_the_app(faked_app: PhoneApp) -> None:
    """What Python does not read as JSON the app does not either; whatever it is, the app ends in order."""
    generator = random.Random(4)
    whole = json.dumps({**GOOD, "env": {"NAME": "\u00e4\n\U0001f600"}, "files": [], "more": [1e3, -0.5, None, True]})
    refused = 0
    for _ in range(150):
        text = bytearray(whole.encode())
        for _ in range(generator.choice((1, 1, 2, 5))):
            position = generator.randrange(len(text))
            text[position : position + generator.choice((0, 1, 1, 8))] = generator.choice(
                (b"", b'"', b"\\", b"{", b"]", b",", b"\0", b"\xc3", b"\\u", b"9", bytes([generator.randrange(256)]))
            )
        faked_app.put_text(bytes(text))
        ended = faked_app.once(ONE)
        assert ended.code in {0, 2, 65, 75}, (ended, bytes(text))
        try:
            json.loads(bytes(text).decode())
        except ValueError:
            assert (ended.code, ended.error["kind"]) == (65, "job"), bytes(text)
            refused += 1
    assert refused > 50


def test_a_job_that_the_system_ended_is_told_by_the_next_start(faked_app: PhoneApp) -> None:
    faked_app.state(fault={"signal": int(signal.SIGKILL), "stage": "first_run"})
    ended = faked_app.run_fake(ONE, misbehave="hang_run")
    assert (ended.code, ended.app, ended.done, faked_app.is_running()) == (-signal.SIGKILL, {}, None, True)
    faked_app.state()
    assert faked_app.once(TWO).code == 75
    app = faked_app.app(ONE)
    assert (app["error"]["kind"], app["error"]["signal"], app["exit_code"]) == ("crash", None, None)
    assert app["error"]["message"] == "the app ended during this job, and nothing says why"
    assert (faked_app.done(), faked_app.is_running()) == (ONE, False)


def test_a_job_that_was_finished_is_no_crash_to_the_next_start(faked_app: PhoneApp) -> None:
    """The app was ended between its report and the end of its marker."""
    faked_app.run_fake(ONE)
    (faked_app.documents / "done").unlink()
    (faked_app.documents / "running").write_text(ONE)
    assert faked_app.once(TWO).code == 75
    assert (faked_app.app(ONE)["error"], faked_app.done(), faked_app.is_running()) == (None, ONE, False)
    (faked_app.documents / "running").write_text("no id")
    assert faked_app.once(TWO).code == 75
    assert not faked_app.is_running()


def test_a_crash_while_clearing_up_does_not_undo_the_job(faked_app: PhoneApp) -> None:
    model, values = faked_app.store(FAKE_MODEL), faked_app.store(bytes(8))
    faked_app.put(ONE, ["--model", model["path"], "--input", values["path"]], [model, values])
    ended = faked_app.once(ONE, {"FAKE_LITERT": "abort_destroy"})
    assert (ended.code, ended.done, faked_app.is_running()) == (-signal.SIGABRT, ONE, False)
    assert (ended.app["error"], ended.app["exit_code"], ended.result["status"]) == (None, 0, "ok")


@pytest.mark.parametrize("stage", ["load_runtime", "run", "result"])
def test_a_fault_of_the_emulated_phone_strikes_at_its_stage(phone_app: PhoneApp, models: Path, stage: str) -> None:
    """However short the stage."""
    phone_app.state(fault={"signal": int(signal.SIGBUS), "stage": stage})
    model = phone_app.store((models / "odd/delegate_compatibility_test.tflite").read_bytes())
    described = phone_app.job(ONE, ["--model", model["path"], "--describe"], [model])
    if stage == "load_runtime":
        crashed(phone_app, described, ONE, stage, signal.SIGBUS)
        return
    inputs = [phone_app.store(bytes(t["bytes"])) for t in described.result["signature_details"][0]["inputs"]]
    words = ["--model", model["path"], "--runs", "0", "--input", *(entry["path"] for entry in inputs)]
    crashed(phone_app, phone_app.job(TWO, words, [model, *inputs]), TWO, stage, signal.SIGBUS)


def test_an_app_that_crashes_before_it_begins_leaves_nothing(faked_app: PhoneApp) -> None:
    faked_app.state(fault={"signal": int(signal.SIGSEGV), "stage": "launch"})
    ended = faked_app.run_fake(ONE)
    assert (ended.code, ended.app, ended.done, faked_app.is_running()) == (-signal.SIGSEGV, {}, None, False)


def test_documents_that_cannot_be_written(faked_app: PhoneApp) -> None:
    (faked_app.documents / "out").write_text("in the way")
    ended = faked_app.job(ONE, [])
    assert (ended.code, ended.done) == (73, None)
    assert "cannot write in Documents" in ended.said
