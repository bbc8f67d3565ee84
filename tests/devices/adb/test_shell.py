"""Shell commands: on phones of every kind, and with replies that no adbd gives."""

from __future__ import annotations

import threading

import pytest

from harness.devices.adb.errors import AdbProtocolError, DeviceLostError, DeviceTimeoutError, RemoteError
from tests.devices.adb.conftest import CLOCK, Rig
from tests.devices.adb.scripted import Talk, packet, scripted

OUT, ERR, EXIT = 1, 2, 3


@pytest.mark.parametrize("code", [0, 3, 255])
def test_output_and_exit_code(rig: Rig, code: int) -> None:
    result = rig.device.shell(f"echo one; echo two # a remark\nexit {code}", 10)
    assert (result.text, result.stderr, result.exit_code) == ("one\ntwo\n", b"", code)


def test_streams_are_apart_where_the_device_can(rig: Rig) -> None:
    result = rig.device.shell("echo out; echo err >&2", 10)
    both = result.stdout + result.stderr
    assert sorted(both.split()) == [b"err", b"out"]
    assert result.stderr == (b"err\n" if rig.v2 else b"")


def test_a_killed_command_has_128_plus_its_signal(rig: Rig) -> None:
    assert rig.device.shell("sh -c 'kill -9 $$'", 10).exit_code == 128 + 9


def test_output_without_a_line_end_is_kept_as_it_is(rig: Rig) -> None:
    assert rig.device.shell("printf 'a\\n\\n b'", 10).stdout == b"a\n\n b"


def test_big_output_comes_whole_and_fast(rig: Rig) -> None:
    start = CLOCK.monotonic()
    result = rig.device.shell("head -c 4000000 /dev/zero | tr '\\0' x", 30)
    assert (len(result.stdout), set(result.stdout)) == (4_000_000, {ord("x")})
    assert CLOCK.monotonic() - start < 15


def test_more_output_than_allowed_is_an_error_and_nothing_is_cut_off(rig: Rig) -> None:
    with pytest.raises(RemoteError, match="more than 1000 bytes"):
        rig.device.shell("head -c 5000 /dev/zero", 10, limit=1000)
    assert len(rig.device.shell("head -c 1000 /dev/zero", 10, limit=1000).stdout) == 1000
    assert rig.device.alive()


def test_input_reaches_the_command(modern: Rig) -> None:
    content = bytes(range(256)) * 2000
    assert modern.device.shell("cat", 20, stdin=content).stdout == content


def test_input_that_nobody_reads_does_not_hide_the_exit_code(modern: Rig) -> None:
    assert modern.device.shell("exit 5", 20, stdin=bytes(3_000_000)).exit_code == 5


def test_input_needs_shell_v2(rig: Rig) -> None:
    if rig.v2:
        assert rig.device.shell("cat", 10, stdin=b"x").stdout == b"x"
    else:
        with pytest.raises(RemoteError, match="takes no input"):
            rig.device.shell("cat", 10, stdin=b"x")


def test_a_command_that_is_too_long_is_refused_in_words(rig: Rig) -> None:
    longest = 60_000 if rig.v2 else 4_000
    with pytest.raises(RemoteError, match="push it as a script") as caught:
        rig.device.shell("true " + "x" * longest, 10)
    assert str(longest) in str(caught.value)
    assert rig.device.shell("true " + "x" * (longest - 100), 10).exit_code == 0


def test_a_chatty_command_ends_at_the_deadline(rig: Rig) -> None:
    start = CLOCK.monotonic()
    with pytest.raises(DeviceTimeoutError, match=r"within 0\.7 s"):
        rig.device.shell("while :; do echo again; done", 0.7, limit=1 << 40)
    assert CLOCK.monotonic() - start < 5


def test_a_silent_command_ends_at_the_deadline(rig: Rig) -> None:
    start = CLOCK.monotonic()
    with pytest.raises(DeviceTimeoutError):
        rig.device.shell("exec sleep 30", 0.5)
    assert CLOCK.monotonic() - start < 5


def test_one_device_from_many_threads(modern: Rig) -> None:
    results: list[tuple[int, str]] = []

    def ask(number: int) -> None:
        results.extend((number, modern.device.shell(f"echo {number}", 30).text) for _ in range(5))

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(results) == sorted((number, f"{number}\n") for number in range(8) for _ in range(5))


def test_packets_may_arrive_byte_by_byte() -> None:
    def script(talk: Talk, asked: str) -> None:
        assert asked == "shell,v2,raw:ls"
        talk.dribble(b"OKAY" + packet(OUT, b"on") + packet(ERR, b"w") + packet(OUT, b"e") + packet(EXIT, b"\7"))
        talk.wait_for_the_end()

    with scripted(script) as server:
        result = server.device().shell("ls", 10)
    assert (result.stdout, result.stderr, result.exit_code) == (b"one", b"w", 7)


@pytest.mark.parametrize(
    "reply",
    [packet(9, b"x"), packet(EXIT, b""), packet(EXIT, b"\0\0"), b"HTTP/1.1 400 Bad Request\r\n"],
    ids=["unknown kind", "no exit code", "two exit codes", "another protocol"],
)
def test_a_reply_that_is_none_of_adb(reply: bytes) -> None:
    with (
        scripted(lambda talk, _: talk.say(b"OKAY" + reply)) as server,
        pytest.raises(AdbProtocolError, match="unexpected reply"),
    ):
        server.device().shell("ls", 10)


@pytest.mark.parametrize(
    "reply",
    [b"", packet(OUT, b"half")[:-2], packet(OUT, b"whole"), packet(OUT, b"x")[:3], packet(EXIT, b"\0")[:-1]],
    ids=["at once", "in a packet", "between packets", "in a header", "before the exit code"],
)
def test_an_end_without_exit_code_is_a_loss(reply: bytes) -> None:
    with (
        scripted(lambda talk, _: talk.say(b"OKAY" + reply)) as server,
        pytest.raises(DeviceLostError, match=r"^pixel: .*in the middle of 'ls'"),
    ):
        server.device().shell("ls", 10)


def test_old_output_without_its_last_line_is_a_loss() -> None:
    with (
        scripted(lambda talk, _: talk.say(b"OKAYhalf of\r\n"), features=()) as server,
        pytest.raises(DeviceLostError),
    ):
        server.device().shell("ls", 10)


@pytest.mark.parametrize(("end", "output"), [(b"\r\n", b"a\nb\n"), (b"\n", b"a\r\nb\r\n")])
def test_line_ends_of_old_terminals_are_mended_only_where_there_are_any(end: bytes, output: bytes) -> None:
    def script(talk: Talk, asked: str) -> None:
        word = asked.rpartition("echo ")[2].partition(":")[0]
        talk.say(b"OKAYa\r\nb\r\n" + word.encode() + b":4" + end)

    with scripted(script, features=()) as server:
        result = server.device().shell("ls", 10)
    assert (result.stdout, result.exit_code) == (output, 4)


def test_output_cannot_fake_the_exit_code_of_an_old_device() -> None:
    def script(talk: Talk, asked: str) -> None:
        word = asked.rpartition("echo ")[2].partition(":")[0].encode()
        talk.say(b"OKAY" + word + b":0\n" + word + b":3\n")

    with scripted(script, features=()) as server:
        assert server.device().shell("ls", 10).exit_code == 3


def test_interrupting_ends_a_blocked_call_at_once(rig: Rig) -> None:
    timer = threading.Timer(0.3, rig.device.interrupt)
    timer.start()
    start = CLOCK.monotonic()
    with pytest.raises(DeviceLostError, match="from our side"):
        rig.device.shell("exec sleep 20", 15)
    timer.join()
    assert CLOCK.monotonic() - start < 5
    assert rig.device.alive(), "the next call is not concerned"
