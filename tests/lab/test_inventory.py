from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from harness.errors import UsageError
from harness.lab.inventory import Inventory, auto_inventory, load_inventory, open_inventory
from harness.lab.spec import AndroidSpec, IosSpec, LocalSpec, SshSpec

ENV = {"HARNESS_KEY": "secret.key", "HARNESS_CORE": "3", "HARNESS_WORD": "s3cret"}

LAB = """\
version: 1
runners: {benchmark_model: {arm64-v8a: {path: bin/benchmark_model, sha256: AAA}}}
runtimes: {litert-2.2.0: {wheel: 2.2.0}, release-aar: {aar: litert-2.3.0.aar, sha256: BBB}, built: {path: /opt/litert}}
hosts:
  rack-2: {ssh: lab@rack-2.example, identity: ${HARNESS_KEY}}
devices:
  - {name: this-machine, kind: local, cores: [0, "${HARNESS_CORE}"]}
  - {name: this-machine-fp16, kind: local, env: {VK_ICD_FILENAMES: lvp.json}, machine: desk}
  - {name: pixel-8, kind: android, serial: EXAMPLE8P065R, labels: [flagship], limits: {temperature: 38, battery: 30},
     adb_server: "localhost:5038", root: /data/local/tmp/lab, may_reboot: true, power: [uhubctl, -a, cycle]}
  - {kind: android, serial: "*", exclude: [R5CT]}
  - {kind: android, serial: "*", host: rack-2, required: true}
  - {name: s23, kind: android, any: [A1, B2]}
  - {name: iphone-13, kind: ios, udid: 0000-1, bundle: com.example.delegatebench, usbmuxd: /var/run/usbmuxd}
  - {name: rpi5, kind: ssh, address: pi@rpi5.example, required: false}
""".replace("AAA", "a" * 64).replace("BBB", "b" * 64)


def lab(tmp_path: Path, text: str) -> Inventory:
    path = tmp_path / "devices.yaml"
    path.write_text(text)
    (tmp_path / "secret.key").touch()
    return load_inventory(path, environ=ENV)


def message(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> str:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError) as caught:
        lab(tmp_path, text)
    return str(caught.value)


def test_the_whole_contract(tmp_path: Path) -> None:
    found = lab(tmp_path, LAB)
    assert [spec.name for spec in found.specs] == [
        "this-machine",
        "this-machine-fp16",
        "pixel-8",
        "",
        "",
        "s23",
        "iphone-13",
        "rpi5",
    ]
    assert [type(spec) for spec in found.specs] == [
        LocalSpec,
        LocalSpec,
        AndroidSpec,
        AndroidSpec,
        AndroidSpec,
        AndroidSpec,
        IosSpec,
        SshSpec,
    ]
    local, other, pixel, anything, elsewhere, pool, iphone, board = found.specs
    assert local.cores == (0, 3)
    assert (other.env, other.machine) == ({"VK_ICD_FILENAMES": "lvp.json"}, "desk")
    assert isinstance(pixel, AndroidSpec)
    assert (pixel.identity, pixel.labels, pixel.adb_server) == ("EXAMPLE8P065R", ("flagship",), "localhost:5038")
    assert (pixel.limits.temperature, pixel.limits.battery) == (38.0, 30.0)
    assert (pixel.root, pixel.may_reboot, pixel.power) == ("/data/local/tmp/lab", True, ("uhubctl", "-a", "cycle"))
    assert isinstance(anything, AndroidSpec)
    assert (anything.wildcard, anything.required, anything.exclude) == (True, False, ("R5CT",))
    assert isinstance(elsewhere, AndroidSpec)
    assert (elsewhere.host, elsewhere.required, elsewhere.may_reboot) == ("rack-2", True, False)
    assert isinstance(pool, AndroidSpec)
    assert (pool.any, pool.identity, pool.wildcard) == (("A1", "B2"), None, False)
    assert isinstance(iphone, IosSpec)
    assert (iphone.identity, iphone.bundle, iphone.required) == ("0000-1", "com.example.delegatebench", True)
    assert (board.identity, board.required, board.kind) == ("pi@rpi5.example", False, "ssh")
    assert found.hosts["rack-2"].identity == str(tmp_path / "secret.key")
    assert "secret.key" not in repr(found)


def test_origins_paths_and_hash(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    found = lab(tmp_path, LAB)
    assert [spec.origin for spec in found.specs][:4] == [f"devices.yaml:{line}" for line in (7, 8, 9, 11)]
    assert found.path == tmp_path / "devices.yaml"
    assert len(found.sha256) == 64
    program = found.runners["benchmark_model"]["aarch64-android"]
    assert program.path == str(tmp_path / "bin" / "benchmark_model")
    assert program.origin == "devices.yaml:2: runners.benchmark_model.arm64-v8a"
    assert found.runtimes["release-aar"].aar == str(tmp_path / "litert-2.3.0.aar")
    assert found.runtimes["built"].path == "/opt/litert"


def test_specs_never_change(tmp_path: Path) -> None:
    with pytest.raises(ValidationError):
        lab(tmp_path, LAB).specs[0].name = "other"


def test_runtimes_by_name_or_version(tmp_path: Path) -> None:
    found = lab(tmp_path, LAB)
    assert found.runtime("litert-2.2.0").wheel == "2.2.0"
    assert found.runtime("2.1.5").wheel == "2.1.5"
    assert auto_inventory().runtime("2.4.0rc1").wheel == "2.4.0rc1"
    with pytest.raises(UsageError) as caught:
        found.runtime("litert-2.2")
    assert str(caught.value) == (
        "no runtime called 'litert-2.2' in devices.yaml; did you mean 'litert-2.2.0'? "
        "'runtimes' has: litert-2.2.0, release-aar, built; "
        "add it there, or name a version of the ai-edge-litert wheel, such as 2.2.0"
    )


def test_auto_is_this_machine_and_whatever_phones_are_plugged_in(tmp_path: Path) -> None:
    here, phones, iphones = open_inventory("auto").specs
    assert (here.name, here.kind, here.required, here.origin) == ("this-machine", "local", True, "")
    assert (phones.kind, phones.wildcard, phones.required) == ("android", True, False)
    assert (iphones.kind, iphones.wildcard, iphones.required, iphones.origin) == ("ios", True, False, "")
    (tmp_path / "x.yaml").write_text("version: 1\ndevices: [{name: a, kind: local}]\n")
    assert [spec.name for spec in open_inventory(str(tmp_path / "x.yaml")).specs] == ["a"]


HEAD = "version: 1\ndevices:\n"


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        (
            "{name: x, kind: android, serail: 1}",
            "devices.yaml:3: devices[0].serail: unknown key; did you mean 'serial'?",
        ),
        (
            "{name: x, kind: android, serial: a, udid: b}",
            "devices.yaml:3: devices[0].udid: unknown key; known here: adb_server, any, cores, env, exclude, host, "
            "kind, labels, limits, machine, may_reboot, name, power, required, root, serial",
        ),
        ("{name: x, kind: andriod}", "devices.yaml:3: devices[0].kind: expected one of local, android, ios, ssh, got "),
        ("{name: x, kind: andriod}", "'andriod'; did you mean 'android'?"),
        ("{name: x}", "devices.yaml:3: devices[0]: required key 'kind' is missing"),
        (
            "{name: x, knd: local}",
            "devices.yaml:3: devices[0]: required key 'kind' is missing; is 'knd' meant to be it?",
        ),
        ("{kind: local}", "devices.yaml:3: devices[0]: required key 'name' is missing"),
        ("{kind: android, name: x}", "devices.yaml:3: devices[0]: required key 'serial' is missing"),
        ("{kind: ios, name: x}", "devices.yaml:3: devices[0]: required key 'udid' is missing"),
        ("{kind: ios, name: x, udid: y, rsd: 127.0.0.1}", "devices.yaml:3: devices[0].rsd: expected host:port"),
        ("{kind: ssh, name: x}", "devices.yaml:3: devices[0]: required key 'address' is missing"),
        ("{kind: android, serial: y}", "devices.yaml:3: devices[0]: required key 'name' is missing"),
        (
            "{kind: android, name: x, serial: y, any: [z]}",
            "devices.yaml:3: devices[0]: give 'serial' or 'any', not both",
        ),
        ("{kind: android, name: x, serial: '*'}", "devices.yaml:3: devices[0]: an entry with '*' has no name: its "),
        ("{kind: android, name: x, serial: y, exclude: [z]}", "devices.yaml:3: devices[0]: 'exclude' goes with '*'"),
        (
            "{kind: android, serial: '*', may_reboot: true}",
            "devices.yaml:3: devices[0]: a device found by '*' is never",
        ),
        (
            "{kind: android, name: x, serial: 123}",
            "devices.yaml:3: devices[0].serial: expected text, got 123; put it in quotes",
        ),
        (
            "{kind: android, name: x, serial: -s}",
            "devices.yaml:3: devices[0].serial: expected text without spaces that does not start with '-', got '-s'",
        ),
        (
            "{kind: android, name: x, serial: 'a ${HARNESS_WORD}'}",
            "devices.yaml:3: devices[0].serial: expected text without spaces that does not start with '-', "
            "got 'a ${HARNESS_WORD}'",
        ),
        (
            "{kind: local, name: x, limits: {battery: '${HARNESS_WORD}'}}",
            "devices.yaml:3: devices[0].limits.battery: expected a number, got '${HARNESS_WORD}'",
        ),
        (
            "{kind: '${HARNESS_WORD}', name: x}",
            "devices.yaml:3: devices[0].kind: expected one of local, android, ios, ssh, got '${HARNESS_WORD}'",
        ),
        (
            "{kind: local, name: x, limits: {battery: 130}}",
            "devices.yaml:3: devices[0].limits.battery: expected a number of at most 100, got 130",
        ),
        (
            "{kind: local, name: x, limits: {temprature: 38}}",
            "devices.yaml:3: devices[0].limits.temprature: unknown key; did you mean 'temperature'?",
        ),
        ("{kind: local, name: x, limits: 38}", "devices.yaml:3: devices[0].limits: expected a mapping, got 38"),
        ("{kind: local, name: x, labels: a}", "devices.yaml:3: devices[0].labels: expected a list, got 'a'"),
        ("{kind: local, name: x, labels: }", "devices.yaml:3: devices[0].labels: expected a list, got nothing"),
        (
            "{kind: local, name: x, required: maybe}",
            "devices.yaml:3: devices[0].required: expected true or false, got 'maybe'",
        ),
        (
            "{kind: local, name: x, cores: [one]}",
            "devices.yaml:3: devices[0].cores[0]: expected a whole number, got 'one'",
        ),
        (
            "{kind: local, name: x y}",
            "devices.yaml:3: devices[0].name: expected a name of letters, digits, '.', '_' and '-', got 'x y'",
        ),
        (
            "{kind: local, name: x, env: {a-b: c}}",
            "devices.yaml:3: devices[0].env.a-b: expected the name of an environment variable, got 'a-b'",
        ),
        ("{kind: local, name: x, env: {A: 1}}", "devices.yaml:3: devices[0].env.A: expected text, got 1; put it in "),
        ("this-machine", "devices.yaml:3: devices[0]: expected a mapping, got 'this-machine'"),
        (
            "{kind: android, name: x, serial: y, host: rack-2}",
            "devices.yaml:3: devices[0].host: no host called 'rack-2'; 'hosts' has: none",
        ),
    ],
)
def test_a_bad_device(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, entry: str, expected: str) -> None:
    found = message(tmp_path, monkeypatch, f"{HEAD}  - {entry}\n")
    assert expected in found
    assert "\n" not in found
    assert "s3cret" not in found


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("version: 1\n", "devices.yaml:1: required key 'devices' is missing"),
        ("version: 1\ndevices: []\n", "devices.yaml:2: devices: expected at least 1 item, got none"),
        ("version: 1\ndevices:\n", "devices.yaml:2: devices: expected a list, got nothing"),
        (
            "version: 1\nruntime: {}\ndevices: [{kind: local, name: x}]\n",
            "devices.yaml:2: runtime: unknown key; did you mean 'runtimes'?",
        ),
        (
            "version: 1\nruntimes: {a: {wheel: 2.2}}\ndevices: [{kind: local, name: x}]\n",
            "devices.yaml:2: runtimes.a.wheel: expected text, got 2.2; put it in quotes",
        ),
        (
            "version: 1\nruntimes: {a: {wheel: latest}}\ndevices: [{kind: local, name: x}]\n",
            "devices.yaml:2: runtimes.a.wheel: expected a version such as 2.2.0, got 'latest'",
        ),
        (
            "version: 1\nruntimes:\n  a: {wheel: 2.2.0, path: x}\ndevices: [{kind: local, name: x}]\n",
            "devices.yaml:3: runtimes.a: a runtime has exactly one of the keys wheel, aar and path",
        ),
        (
            "version: 1\nruntimes:\n  a: {wheel: 2.2.0, sha256: x}\ndevices: [{kind: local, name: x}]\n",
            "devices.yaml:3: runtimes.a.sha256: expected a SHA-256: 64 hexadecimal digits in lower case, got 'x'",
        ),
        (
            "version: 1\nhosts: {a b: {ssh: x}}\ndevices: [{kind: local, name: x}]\n",
            "devices.yaml:2: hosts[\"a b\"]: expected a name of letters, digits, '.', '_' and '-', got 'a b'",
        ),
        (
            "version: 1\ndevices:\n  - {name: x, kind: local}\n  - {kind: local,\n     name: x}\n",
            "devices.yaml:5: devices[1].name: duplicate name 'x' (first at devices.yaml:3)",
        ),
    ],
)
def test_a_bad_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, expected: str) -> None:
    assert message(tmp_path, monkeypatch, text) == expected


def test_a_near_host_is_suggested(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = "version: 1\nhosts: {rack-2: {ssh: a}}\ndevices: [{kind: android, serial: '*', host: rack-3}]\n"
    expected = "devices.yaml:3: devices[0].host: no host called 'rack-3'; did you mean 'rack-2'? 'hosts' has: rack-2"
    assert message(tmp_path, monkeypatch, text) == expected


def test_every_problem_has_a_line_in_the_order_of_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = f"{HEAD}  - {{name: a, kind: local, lables: [x]}}\n  - {{kind: android,\n     serial: 1, root: tmp}}\n"
    assert message(tmp_path, monkeypatch, text).splitlines() == [
        "devices.yaml:3: devices[0].lables: unknown key; did you mean 'labels'?",
        "devices.yaml:5: devices[1].serial: expected text, got 1; put it in quotes",
        "devices.yaml:5: devices[1].root: expected an absolute folder on the device, of letters, "
        "digits, '.', '_', '-' and '/', got 'tmp'",
    ]


def runners(tmp_path: Path, entries: str) -> Inventory:
    return lab(tmp_path, f"version: 1\nrunners:\n  benchmark_model: {entries}\ndevices: [{{name: a, kind: local}}]\n")


def test_programs_have_the_name_of_a_target_or_of_an_abi(tmp_path: Path) -> None:
    found = runners(tmp_path, "{armeabi-v7a: {path: a}, x86_64: {path: b}, aarch64-android: {path: c}}")
    placed = {target: source.path for target, source in found.runners["benchmark_model"].items()}
    assert placed == {
        "armv7-android": str(tmp_path / "a"),
        "x86_64-android": str(tmp_path / "b"),
        "aarch64-android": str(tmp_path / "c"),
    }


def test_programs_by_link(tmp_path: Path) -> None:
    text = f"{{arm64-v8a: {{url: 'https://example.invalid/${{HARNESS_WORD}}/x?a=b', sha256: {'a' * 64}}}}}"
    source = runners(tmp_path, text).runners["benchmark_model"]["aarch64-android"]
    assert (source.url, source.path) == ("https://example.invalid/s3cret/x?a=b", None)
    assert source.shown_url == "https://example.invalid/${HARNESS_WORD}/x"
    assert "s3cret" not in repr(source)


@pytest.mark.parametrize(
    ("entries", "expected"),
    [
        ("{arm64-v8a: {}}", ".arm64-v8a: a program has exactly one of the keys path and url"),
        (
            f"{{arm64-v8a: {{path: x, url: 'https://a/b', sha256: {'a' * 64}}}}}",
            ".arm64-v8a: a program has exactly one of the keys path and url",
        ),
        (
            "{arm64-v8a: {url: 'https://a/b'}}",
            ".arm64-v8a: 'url' needs 'sha256': what is downloaded is run, so that its content has to be known",
        ),
        (
            f"{{arm64-v8a: {{url: 'a/b', sha256: {'a' * 64}}}}}",
            ".arm64-v8a.url: expected a link that starts with https://, http:// or file:///, got 'a/b'",
        ),
        (
            f"{{arm64-v8a: {{url: 'ftp://a/b', sha256: {'a' * 64}}}}}",
            ".arm64-v8a.url: expected a link that starts with https://, http:// or file:///, got 'ftp://a/b'",
        ),
        (
            "{arm64-v8a: {path: x}, aarch64-android: {path: y}}",
            ".aarch64-android: 'aarch64-android' and 'arm64-v8a' are the same target",
        ),
        (
            "{arm64-v8: {path: x}}",
            ".arm64-v8: no target is called 'arm64-v8'; did you mean 'arm64-v8a'? known here: x86_64-linux, "
            "aarch64-linux, armv7-linux, aarch64-macos, x86_64-macos, aarch64-android, armv7-android, x86_64-android, "
            "arm64-v8a, armeabi-v7a, x86_64",
        ),
    ],
)
def test_bad_programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, entries: str, expected: str) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError) as caught:
        runners(tmp_path, entries)
    assert str(caught.value) == f"devices.yaml:3: runners.benchmark_model{expected}"


def test_a_target_that_our_runner_is_not_built_for_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "devices.yaml"
    runners = "runners:\n  delegate_bench: {x86-64-linux: {path: mine}}\n"
    path.write_text(f"version: 1\n{runners}devices:\n  - {{name: a, kind: local}}\n")
    with pytest.raises(UsageError) as caught:
        load_inventory(path)
    assert "devices.yaml:3: runners.delegate_bench.x86-64-linux: no target is called" in str(caught.value)
    assert "did you mean 'x86_64-linux'" in str(caught.value)


def test_key_files_are_found_beside_the_file_or_at_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "id").touch()
    text = "version: 1\nhosts: {rack: {ssh: x, identity: ~/id}}\n"
    text += "devices: [{kind: ssh, name: pi, address: pi, identity: secret.key}]\n"
    found = lab(tmp_path, text)
    assert found.hosts["rack"].identity == str(tmp_path / "home" / "id")
    (board,) = found.specs
    assert isinstance(board, SshSpec)
    assert board.key == str(tmp_path / "secret.key")


def test_key_files_that_do_not_exist_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = "version: 1\nhosts: {rack: {ssh: x, identity: nokey}}\n"
    text += "devices:\n  - {kind: ssh, name: pi, address: pi, identity: '${HARNESS_WORD}'}\n"
    words = "expected a private key (`ssh-keygen` makes one)"
    assert message(tmp_path, monkeypatch, text).splitlines() == [
        f"devices.yaml:2: hosts.rack.identity: no file 'nokey': {words}",
        f"devices.yaml:4: devices[0].identity: no file '${{HARNESS_WORD}}': {words}",
    ]
