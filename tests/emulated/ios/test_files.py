"""AFC and house_arrest of emulated iPhones, byte by byte; other projects' clients are in test_clients."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest

from emulated.ios.apps import OWN_BUNDLE, App
from emulated.ios.lab import IosLab
from emulated.ios.phone import Phone
from tests.emulated.ios import wire
from tests.emulated.ios.wire import Afc, packed, pairs, service, vend

AFC_SERVICE = "com.apple.afc"
HOUSE_ARREST = "com.apple.mobile.house_arrest"


@pytest.fixture
def phone(lab: IosLab) -> Phone:
    return lab.add("iphone-13")


@pytest.fixture
def app(phone: Phone) -> App:
    return phone.apps[OWN_BUNDLE]


@pytest.fixture
def files(lab: IosLab, phone: Phone) -> Iterator[Afc]:
    """The Documents of our app."""
    with vend(lab.address, phone, OWN_BUNDLE) as afc:
        yield afc
    assert phone.failures == []


@pytest.mark.parametrize("size", [0, 1, 65536, 3_000_001])
def test_bytes_go_and_come_as_they_are(files: Afc, phone: Phone, app: App, size: int) -> None:
    content = os.urandom(size)
    assert files.put("/Documents/model", content) == wire.SUCCESS
    assert (app.documents / "model").read_bytes() == content
    assert files.get("/Documents/model") == content
    assert phone.received == [("/Documents/model", size)]


def test_what_is_written_is_counted_once_per_file(files: Afc, phone: Phone) -> None:
    handle = files.open("/Documents/../Documents/log", 5)
    for _ in range(3):
        assert files.status(wire.WRITE, handle, payload=b"12345") == wire.SUCCESS
    assert files.status(wire.CLOSE, handle) == wire.SUCCESS
    files.get("/Documents/log")
    assert phone.received == [("/Documents/log", 15)]


@pytest.mark.parametrize(
    ("mode", "content"),
    [(1, b"content"), (2, b"NEWtent"), (3, b"NEW"), (4, b"NEW"), (5, b"contentNEW"), (6, b"contentNEW")],
)
def test_modes_of_opening(files: Afc, app: App, mode: int, content: bytes) -> None:
    (app.documents / "file").write_bytes(b"content")
    handle = files.open("/Documents/file", mode)
    written = files.status(wire.WRITE, handle, payload=b"NEW")
    assert (written == wire.SUCCESS) == (mode != 1)
    assert (app.documents / "file").read_bytes() == content
    assert files.status(wire.SEEK, handle, 0, 1) == wire.SUCCESS
    assert files.ask(wire.TELL, packed(handle)) == (wire.SUCCESS, packed(1))
    assert (files.status(wire.READ, handle, 9) == wire.SUCCESS) == (mode in (1, 2, 4, 6))


def test_a_seek_may_count_from_the_end(files: Afc, app: App) -> None:
    (app.documents / "file").write_bytes(b"content")
    handle = files.open("/Documents/file")
    assert files.status(wire.SEEK, handle, 2, -3) == wire.SUCCESS
    assert files.read(handle) == b"ent"
    assert files.read(handle) == b""


@pytest.mark.parametrize(
    ("operation", "fields", "status"),
    [
        (wire.INFO, ["/Documents/absent"], wire.NOT_FOUND),
        (wire.INFO, ["/Documents/file/below"], wire.NOT_FOUND),
        (wire.READ_DIR, ["/Documents/absent"], wire.NOT_FOUND),
        (wire.OPEN, [1, "/Documents/absent"], wire.NOT_FOUND),
        (wire.OPEN, [4, "/Documents/absent/file"], wire.NOT_FOUND),
        (wire.OPEN, [1, "/Documents/folder"], wire.IS_FOLDER),
        (wire.OPEN, [3, "/Documents/folder"], wire.IS_FOLDER),
        (wire.OPEN, [9, "/Documents/file"], wire.INVALID_ARGUMENT),
        (wire.REMOVE, ["/Documents/absent"], wire.NOT_FOUND),
        (wire.REMOVE, ["/Documents/folder"], wire.NOT_EMPTY),
        (wire.REMOVE, ["/Documents"], wire.DENIED),
        (wire.REMOVE_ALL, ["/Documents"], wire.DENIED),
        (wire.RENAME, ["/Documents", "/Documents/elsewhere"], wire.DENIED),
        (wire.RENAME, ["/Documents/absent", "/Documents/new"], wire.NOT_FOUND),
        (wire.RENAME, ["/Documents/file"], wire.INVALID_ARGUMENT),
        (wire.MAKE_DIR, ["/Documents/folder"], wire.SUCCESS),
        (wire.MAKE_DIR, ["/Documents/file"], wire.EXISTS),
        (wire.TRUNCATE, [3, "/Documents/absent"], wire.NOT_FOUND),
        (wire.WRITE, [8], wire.INVALID_ARGUMENT),
        (wire.READ, [8, 1], wire.INVALID_ARGUMENT),
        (wire.READ, [8], wire.INVALID_ARGUMENT),
        (wire.CLOSE, [8], wire.INVALID_ARGUMENT),
        (wire.INFO, ["/Documents/" + "x" * 300], wire.INVALID_ARGUMENT),
        (0x16, [], wire.NOT_SUPPORTED),
    ],
)
def test_mistakes_have_their_status(files: Afc, app: App, operation: int, fields: list[int | str], status: int) -> None:
    (app.documents / "file").write_bytes(b"content")
    (app.documents / "folder").mkdir()
    (app.documents / "folder/inside").touch()
    assert files.status(operation, *fields) == status
    assert files.get("/Documents/file") == b"content", "the connection goes on"


def test_a_request_that_is_too_long_is_refused_and_the_next_one_answered(files: Afc) -> None:
    assert files.status(wire.INFO, "/Documents/" + "x" * 70_000) == wire.TOO_MUCH_DATA
    assert files.names("/Documents") == []


def test_what_is_not_afc_ends_the_connection(files: Afc) -> None:
    files.wire.socket.sendall(bytes(40))
    assert files.wire.socket.recv(1) == b""


def test_what_is_known_of_a_file(files: Afc, app: App) -> None:
    (app.documents / "folder").mkdir()
    (app.documents / "folder/file").write_bytes(bytes(5000))
    os.utime(app.documents / "folder/file", ns=(1, 1_700_000_000_123_456_789))
    (app.documents / "link").symlink_to("folder/file")
    known = files.info("/Documents/folder/file")
    assert known["st_size"] == "5000"
    assert known["st_ifmt"] == "S_IFREG"
    assert known["st_mtime"] == "1700000000123456789"
    assert set(known) == {"st_size", "st_blocks", "st_nlink", "st_ifmt", "st_mtime", "st_birthtime"}
    assert files.info("/Documents/folder/")["st_ifmt"] == "S_IFDIR"
    link = files.info("/Documents/link")
    assert (link["st_ifmt"], link["LinkTarget"]) == ("S_IFLNK", "folder/file")
    assert files.names("/Documents") == ["folder", "link"]


def test_files_are_moved_cut_linked_dated_and_removed(files: Afc, app: App) -> None:
    documents = app.documents
    assert files.status(wire.MAKE_DIR, "/Documents/a/b") == wire.SUCCESS
    files.put("/Documents/a/b/part", b"0123456789")
    files.put("/Documents/whole", b"old")
    assert files.status(wire.RENAME, "/Documents/a/b/part", "/Documents/whole") == wire.SUCCESS
    assert (documents / "whole").read_bytes() == b"0123456789"
    assert files.status(wire.TRUNCATE, 4, "/Documents/whole") == wire.SUCCESS
    handle = files.open("/Documents/whole", 2)
    assert files.status(wire.SET_SIZE, handle, 6) == wire.SUCCESS
    assert (documents / "whole").read_bytes() == b"0123\0\0"
    assert files.status(wire.SET_TIME, 1_600_000_000_000_000_000, "/Documents/whole") == wire.SUCCESS
    assert (documents / "whole").stat().st_mtime == 1_600_000_000
    assert files.status(wire.LINK, 1, "/Documents/whole", "/Documents/a/hard") == wire.SUCCESS
    assert (documents / "a/hard").stat().st_nlink == 2
    assert files.status(wire.LINK, 2, "../whole", "/Documents/a/soft") == wire.SUCCESS
    assert files.get("/Documents/a/soft") == b"0123\0\0"
    assert files.status(wire.REMOVE, "/Documents/a/b") == wire.SUCCESS
    assert files.status(wire.REMOVE_ALL, "/Documents/a") == wire.SUCCESS
    assert [one.name for one in documents.iterdir()] == ["whole"]


def test_a_lock_keeps_a_second_client_out(lab: IosLab, phone: Phone, files: Afc) -> None:
    files.put("/Documents/file", b"")
    with vend(lab.address, phone, OWN_BUNDLE) as second:
        ours, theirs = files.open("/Documents/file", 2), second.open("/Documents/file", 2)
        assert files.status(wire.LOCK, ours, 2 | 4) == wire.SUCCESS
        assert second.status(wire.LOCK, theirs, 2 | 4) == wire.WOULD_BLOCK
        assert files.status(wire.LOCK, ours, 8 | 4) == wire.SUCCESS
        assert second.status(wire.LOCK, theirs, 2 | 4) == wire.SUCCESS


# Who may see what.


@pytest.mark.parametrize(
    "path", ["/", "", "/tmp", "/Library", "/Documents/..", "/Documents/../tmp", "/harness-state.json"]
)
@pytest.mark.parametrize("operation", [wire.INFO, wire.READ_DIR])
def test_file_sharing_shows_the_documents_and_nothing_else(files: Afc, operation: int, path: str) -> None:
    assert files.status(operation, path) == wire.DENIED
    assert files.names("/Documents/../Documents/.") == []


def test_a_developer_sees_the_whole_container(lab: IosLab, phone: Phone, app: App) -> None:
    app.file_sharing = False
    with vend(lab.address, phone, OWN_BUNDLE, "VendContainer") as container:
        assert {"Documents", "Library", "tmp"} <= set(container.names("/"))
        assert container.info("/")["st_ifmt"] == "S_IFDIR"
        assert container.put("/tmp/x", b"1") == wire.SUCCESS
        assert container.status(wire.REMOVE_ALL, "/") == wire.DENIED
        assert container.status(wire.INFO, "/..") == wire.DENIED


@pytest.mark.parametrize(
    ("command", "bundle", "sharing", "developer", "error"),
    [
        ("VendDocuments", "com.example.absent", True, True, "ApplicationLookupFailed"),
        ("VendContainer", "com.example.absent", True, True, "ApplicationLookupFailed"),
        ("VendDocuments", OWN_BUNDLE, False, True, "InstallationLookupFailed"),
        ("VendContainer", OWN_BUNDLE, True, False, "InstallationLookupFailed"),
        ("VendEverything", OWN_BUNDLE, True, True, "InvalidCommand"),
    ],
)
def test_house_arrest_refuses(
    lab: IosLab, phone: Phone, app: App, *, command: str, bundle: str, sharing: bool, developer: bool, error: str
) -> None:
    app.file_sharing, app.developer = sharing, developer
    with service(lab.address, phone, HOUSE_ARREST) as connection:
        assert connection.ask(Command=command, Identifier=bundle) == {"Error": error}
        assert connection.socket.recv(1) == b""


# Nobody gets out.

OUTWARDS = [
    "/Documents/../../outside",
    "/Documents/../../../../../../../../../etc/passwd",
    "/../outside/secret",
    "/Documents/absolute/secret",
    "/Documents/relative/secret",
    "/Documents/chain/secret",
    "/Documents/inner/../../../outside/secret",
    "/Documents/file",
]


@pytest.fixture
def outside(app: App) -> Path:
    """A folder beside the container, and links to it in the app's Documents, as an app could make them."""
    folder = app.container.parent / "outside"
    folder.mkdir()
    (folder / "secret").write_bytes(b"secret")
    (app.documents / "absolute").symlink_to(folder)
    (app.documents / "relative").symlink_to("../../outside")
    (app.documents / "chain").symlink_to("relative/.")
    (app.documents / "inner").mkdir()
    (app.documents / "file").symlink_to(folder / "secret")
    return folder


@pytest.mark.parametrize("path", OUTWARDS)
@pytest.mark.parametrize("command", ["VendDocuments", "VendContainer"])
def test_no_path_and_no_link_leads_out(lab: IosLab, phone: Phone, outside: Path, *, command: str, path: str) -> None:
    before = sorted(outside.iterdir())
    with vend(lab.address, phone, OWN_BUNDLE, command) as afc:
        assert afc.put("/Documents/mine", b"mine") == wire.SUCCESS
        assert [afc.status(wire.OPEN, mode, path) for mode in range(1, 7)] == [wire.DENIED] * 6
        assert afc.status(wire.TRUNCATE, 0, path) == wire.DENIED
        assert afc.status(wire.SET_TIME, 0, path) == wire.DENIED
        if path != "/Documents/file":  # these are about the link itself, which is inside
            assert afc.status(wire.INFO, path) == wire.DENIED
            assert afc.status(wire.REMOVE, path) == wire.DENIED
            assert afc.status(wire.REMOVE_ALL, path) == wire.DENIED
            assert afc.status(wire.MAKE_DIR, path + "/new") == wire.DENIED
            assert afc.status(wire.RENAME, "/Documents/mine", path) == wire.DENIED
            assert afc.status(wire.RENAME, path, "/Documents/theirs") == wire.DENIED
            assert afc.status(wire.LINK, 1, path, "/Documents/theirs") == wire.DENIED
            assert afc.status(wire.LINK, 1, "/Documents/mine", path) == wire.DENIED
            assert afc.status(wire.LINK, 2, "mine", path) == wire.DENIED
        assert afc.status(wire.READ_DIR, path) == wire.DENIED
    assert (outside / "secret").read_bytes() == b"secret"
    assert sorted(outside.iterdir()) == before
    assert phone.failures == []


@pytest.mark.parametrize("target", ["/etc", "/Documents", "..", "../../outside", "x/../../tmp", "../Documents/../.."])
def test_no_link_is_made_that_would_lead_out(files: Afc, app: App, target: str) -> None:
    assert files.status(wire.LINK, 2, target, "/Documents/link") == wire.DENIED
    assert list(app.documents.iterdir()) == []


def test_removing_a_folder_leaves_alone_what_links_in_it_mean(files: Afc, app: App, outside: Path) -> None:
    assert files.status(wire.MAKE_DIR, "/Documents/inner/deep") == wire.SUCCESS
    (app.documents / "inner/deep/out").symlink_to(outside)
    assert files.status(wire.REMOVE_ALL, "/Documents/inner") == wire.SUCCESS
    assert not (app.documents / "inner").exists()
    assert (outside / "secret").read_bytes() == b"secret"
    assert files.status(wire.REMOVE, "/Documents/absolute") == wire.SUCCESS
    assert (outside / "secret").exists()


def test_links_in_a_circle_and_special_files_hold_nothing_up(files: Afc, app: App) -> None:
    (app.documents / "circle").symlink_to("circle")
    os.mkfifo(app.documents / "pipe")
    assert files.status(wire.OPEN, 1, "/Documents/circle") == wire.INVALID_ARGUMENT
    assert files.status(wire.OPEN, 1, "/Documents/pipe") == wire.DENIED
    assert files.status(wire.OPEN, 4, "/Documents/pipe") == wire.DENIED
    assert files.info("/Documents/pipe")["st_ifmt"] == "S_IFIFO"


# Room, and other faults.


def test_files_take_room_and_give_it_back(files: Afc, phone: Phone) -> None:
    def free() -> int:
        told = pairs(files.ask(wire.DEVICE)[1])
        assert (told["Model"], told["FSBlockSize"]) == ("iPhone14,5", "4096")
        assert int(told["FSTotalBytes"]) > int(told["FSFreeBytes"]) == phone.free_bytes
        return phone.free_bytes

    before = free()
    files.put("/Documents/a", bytes(1000))
    assert free() == before - 1000
    files.put("/Documents/a", bytes(400))
    assert free() == before - 400
    assert files.status(wire.TRUNCATE, 100, "/Documents/a") == wire.SUCCESS
    files.put("/Documents/b", bytes(50))
    assert free() == before - 150
    assert files.status(wire.RENAME, "/Documents/b", "/Documents/a") == wire.SUCCESS
    assert free() == before - 50
    assert files.status(wire.LINK, 1, "/Documents/a", "/Documents/c") == wire.SUCCESS
    assert files.status(wire.REMOVE, "/Documents/a") == wire.SUCCESS
    assert free() == before - 50
    assert files.status(wire.REMOVE_ALL, "/Documents/c") == wire.SUCCESS
    assert free() == before


def test_a_full_phone_takes_what_fits_and_says_so(files: Afc, phone: Phone, app: App) -> None:
    phone.free_bytes = 100_000
    assert files.put("/Documents/fits", bytes(60_000)) == wire.SUCCESS
    assert files.put("/Documents/too-much", bytes(3_000_000)) == wire.NO_SPACE
    assert (app.documents / "too-much").stat().st_size == 40_000
    assert phone.free_bytes == 0
    handle = files.open("/Documents/fits", 2)
    assert files.status(wire.WRITE, handle, payload=bytes(60_000)) == wire.SUCCESS, "what is there takes no more room"
    assert files.status(wire.SET_SIZE, handle, 60_001) == wire.NO_SPACE
    assert files.status(wire.REMOVE, "/Documents/too-much") == wire.SUCCESS
    assert phone.free_bytes == 40_000
    assert phone.received == [("/Documents/fits", 60_000), ("/Documents/too-much", 40_000)]


def test_a_file_that_shrinks_ends_before_its_size(files: Afc, phone: Phone) -> None:
    files.put("/Documents/result.json", bytes(1001))
    phone.faults.shrinking = "result.json"
    assert files.info("/Documents/result.json")["st_size"] == "1001"
    assert len(files.get("/Documents/result.json")) == 500
    phone.faults.shrinking = None
    assert len(files.get("/Documents/result.json")) == 500


def test_a_path_can_be_denied(files: Afc, phone: Phone) -> None:
    phone.faults.denied = "/Documents/store"
    assert files.status(wire.MAKE_DIR, "/Documents/store") == wire.DENIED
    assert files.status(wire.OPEN, 4, "/Documents/store/x") == wire.DENIED
    assert files.put("/Documents/job.json", b"{}") == wire.SUCCESS


@pytest.mark.parametrize("harm", ["cut_after", "unplug_after"])
def test_a_connection_that_ends_leaves_a_part_of_the_file(files: Afc, phone: Phone, app: App, harm: str) -> None:
    handle = files.open("/Documents/big.part", 3)
    phone.faults.on = HOUSE_ARREST
    setattr(phone.faults, harm, 1_000_000)
    with pytest.raises((EOFError, ConnectionError)):
        files.ask(wire.WRITE, packed(handle), bytes(4_000_000))
    there = (app.documents / "big.part").stat().st_size
    assert 800_000 < there <= 1_000_000


def test_a_silent_phone_answers_nothing_and_keeps_the_connection(files: Afc, phone: Phone) -> None:
    phone.faults.on = HOUSE_ARREST
    phone.faults.silent_after = 1
    files.wire.socket.settimeout(0.3)
    with pytest.raises(TimeoutError):
        files.status(wire.INFO, "/Documents")


def test_apps_to_be_installed_go_into_the_media_folder(lab: IosLab, phone: Phone) -> None:
    with Afc(service(lab.address, phone, AFC_SERVICE)) as media:
        assert media.status(wire.MAKE_DIR, "PublicStaging") == wire.SUCCESS
        assert media.put("PublicStaging/app.ipa", b"x") == wire.SUCCESS
        assert media.names("/") == ["PublicStaging"]
        assert media.status(wire.INFO, "/../containers") == wire.DENIED
    assert phone.received == [("/PublicStaging/app.ipa", 1)]


def test_a_packet_that_lies_about_its_length_ends_the_connection(files: Afc) -> None:
    files.wire.socket.sendall(struct.pack("<8sQQQQ", b"CFA6LPAA", 8, 8, 1, wire.DEVICE))
    assert files.wire.socket.recv(1) == b""
