"""Files as phones need them, made up: programs by their headers alone, archives, releases; and a server for them."""

from __future__ import annotations

import hashlib
import struct
import threading
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

LINKER = "/system/bin/linker64"
MACHINES = {"arm64-v8a": 183, "armeabi-v7a": 40, "x86_64": 62}


def elf(
    machine: int = 183,
    *,
    loader: str | None = LINKER,
    wide: bool = True,
    kind: int = 3,
    align: int = 16384,
    body: bytes = b"",
) -> bytes:
    """An ELF file with a segment to load, and one that names its loader (ELF specification, figures 1-3 and 2-1)."""
    path = b"" if loader is None else loader.encode() + b"\0"
    identity = b"\x7fELF" + bytes((2 if wide else 1, 1, 1)) + bytes(9)
    count = 1 if loader is None else 2
    if wide:
        start = 64 + 56 * count
        header = struct.pack("<HHIQQQIHHHHHH", kind, machine, 1, 0, 64, 0, 0, 64, 56, count, 0, 0, 0)
        load = struct.pack("<IIQQQQQQ", 1, 5, 0, 0, 0, start, start, align)
        interpreter = struct.pack("<IIQQQQQQ", 3, 4, start, 0, 0, len(path), len(path), 1)
    else:
        start = 52 + 32 * count
        header = struct.pack("<HHIIIIIHHHHHH", kind, machine, 1, 0, 52, 0, 0, 52, 32, count, 0, 0, 0)
        load = struct.pack("<IIIIIIII", 1, 0, 0, 0, start, start, 5, align)
        interpreter = struct.pack("<IIIIIIII", 3, start, 0, 0, len(path), len(path), 4, 1)
    return identity + header + load + (interpreter if path else b"") + path + body


def phone_elf(abi: str, body: bytes = b"") -> bytes:
    """A program for phones of an ABI."""
    wide = abi != "armeabi-v7a"
    return elf(MACHINES[abi], loader=LINKER if wide else "/system/bin/linker", wide=wide, body=body)


def aar(path: Path, *abis: str, version: str | None = "2.3.0", gpu: bool = True) -> Path:
    """An archive as LiteRT's: libraries per ABI, and what is of no use outside an app."""
    with zipfile.ZipFile(path, "w") as archive:
        stated = f' android:versionName="{version}"' if version else ""
        archive.writestr("AndroidManifest.xml", f'<manifest package="com.example"{stated}></manifest>')
        archive.writestr("classes.jar", b"classes")
        for abi in abis:
            names = ["libLiteRt.so", "liblitert_jni.so", *(["libLiteRtClGlAccelerator.so"] if gpu else [])]
            for name in names:
                archive.writestr(f"jni/{abi}/{name}", f"{name} for {abi}")
    return path


def release(folder: Path, *abis: str, version: str = "2.3.0", names: tuple[str, ...] = ()) -> Path:
    """A release's folder, as .github/workflows/release.yml makes it."""
    folder.mkdir(parents=True, exist_ok=True)
    for abi in abis:
        (folder / f"delegate_bench-{abi}").write_bytes(phone_elf(abi))
        aar(folder / f"litert-{version}-{abi}.zip", abi, version=None)
    for name in names:
        (folder / name).write_bytes(name.encode())
    write_sums(folder)
    return folder


def write_sums(folder: Path) -> None:
    """SHA256SUMS of what is in a folder."""
    files = sorted(path for path in folder.iterdir() if path.name != "SHA256SUMS")
    (folder / "SHA256SUMS").write_text("".join(f"{sha(path.read_bytes())}  {path.name}\n" for path in files))


def sha(data: bytes) -> str:
    """SHA-256."""
    return hashlib.sha256(data).hexdigest()


@dataclass
class Server:
    """A web server on this machine.

    Attributes:
        url: of its root.
        folder: whose files it serves.
        asked: "METHOD path" of every request.
        redirects: path -> link.
        cut: paths whose files break off after that many bytes.
        silent: paths that are served without their size.
        forbidden_methods: that are answered with 405.
    """

    url: str
    folder: Path
    asked: list[str] = field(default_factory=list)
    redirects: dict[str, str] = field(default_factory=dict)
    cut: dict[str, int] = field(default_factory=dict)
    silent: set[str] = field(default_factory=set)
    forbidden_methods: set[str] = field(default_factory=set)

    def gets(self) -> list[str]:
        """The paths that were fetched."""
        return [line.partition(" ")[2] for line in self.asked if line.startswith("GET ")]


@contextmanager
def serving(folder: Path) -> Iterator[Server]:
    """A server of a folder's files, with faults that can be set."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path = self.path.partition("?")[0]
            state.asked.append(f"{self.command} {self.path}")
            file = folder / path.lstrip("/")
            if self.command in state.forbidden_methods:
                self.send_error(405)
            elif path in state.redirects:
                self.send_response(302)
                self.send_header("Location", state.redirects[path])
                self.end_headers()
            elif not file.is_file():
                self.send_error(404)
            else:
                data = file.read_bytes()
                self.send_response(200)
                if path not in state.silent:
                    self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                if self.command == "GET":
                    self.wfile.write(data[: state.cut.get(path, len(data))])

        do_HEAD = do_GET

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    state = Server(f"http://127.0.0.1:{server.server_port}/", folder)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield state
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
