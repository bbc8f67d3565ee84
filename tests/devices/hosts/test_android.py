"""Android phones behind a host: through the real adb, server and sshd."""

from __future__ import annotations

import hashlib

from tests.devices.hosts.conftest import Rack


def test_a_phone_behind_a_host_does_jobs(rack: Rack) -> None:
    bench = rack.bench(rack.phones.add("pixel-8"))
    facts = bench.connect()
    assert (facts["host"], facts["emulated"]) == ("rack", True)
    output = bench.run("echo hello; echo 42 >out/answer")
    assert (output.exit_code, output.stdout.strip()) == (0, "hello")
    assert (output.folder / "answer").read_text() == "42\n"
    bench.device.close()


def test_large_files_cross_the_link_once_for_all_phones_of_a_host(rack: Rack) -> None:
    large = bytes(range(256)) * 4096
    name = hashlib.sha256(large).hexdigest()
    benches = [rack.bench(rack.phones.add(kind)) for kind in ("pixel-8", "galaxy-s23")]
    for bench in benches:
        bench.connect()
        output = bench.run("cmp data.bin data.bin && wc -c <data.bin", bench.file(large))
        assert output.stdout.strip() == str(len(large))
        assert output.transfer_bytes >= len(large), "that is what moved to the phone"
        assert name in bench.stored
    assert rack.host.cache.problem == ""
    assert rack.kept[name] == len(large)
    assert rack.host.bytes_led()[0] < len(large) / 2, "it went into the host's cache, not through a port"
    for bench in benches:
        bench.device.close()
