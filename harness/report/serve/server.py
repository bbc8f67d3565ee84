"""The web server of a folder of runs. It listens on this computer alone, and only reads."""

from __future__ import annotations

import base64
import functools
import gzip
import mimetypes
import sys
from collections.abc import Callable, Mapping
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

from harness.errors import UsageError
from harness.report.page.library import chart_library
from harness.report.serve import pages
from harness.report.serve.trends import Runs

HOST = "127.0.0.1"
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; script-src 'self'; img-src 'self' data:; connect-src 'none'"
_ARTIFACT_POLICY = "default-src 'none'; sandbox"
"""For what a device may have written: nothing in it is executed, and it reads no other run."""
_OWN_PAGES = ("index.html", "qualification.html")  # they state a policy of their own
_HTML = "text/html; charset=utf-8"
_SCRIPT = "text/javascript; charset=utf-8"
_CHUNK = 1 << 20


class RunsServer(ThreadingHTTPServer):
    """Serves the runs of a folder until `shutdown`."""

    daemon_threads = True

    def __init__(self, folder: Path, port: int) -> None:
        """Bind to a port of this computer; 0 takes a free one.

        Raises:
            UsageError: there is no such folder, or the port is taken.
        """
        if not folder.is_dir():
            raise UsageError(f"{folder}: is no folder; name one that holds runs")
        self.runs = Runs(folder.resolve())
        try:
            super().__init__((HOST, port), _Handler)
        except (OSError, OverflowError) as error:
            why = str(getattr(error, "strerror", None) or error).rstrip(".")
            raise UsageError(f"port {port} cannot be used: {why}; name another with --port") from None

    def handle_error(self, request: object, client_address: object) -> None:
        """A browser that goes away in the middle of a file is nothing to tell of."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)  # type: ignore[arg-type]

    @property
    def address(self) -> str:
        """Where a browser finds it."""
        return f"http://{HOST}:{self.server_address[1]}/"


@functools.cache
def _charts() -> str:
    return gzip.decompress(base64.b64decode(chart_library().packed)).decode("utf-8")


class _Handler(BaseHTTPRequestHandler):
    server: RunsServer
    server_version = "harness"
    sys_version = ""

    def do_GET(self) -> None:
        self._answer(body=True)

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def log_message(self, *_: object) -> None:
        """Nothing: a person's terminal shows the address, and no line per file."""

    def _answer(self, *, body: bool) -> None:
        # A page elsewhere that points a name of its own at this computer must not read the runs.
        if self.headers.get("Host", "").rpartition(":")[0] not in (HOST, "localhost"):
            self.send_error(HTTPStatus.FORBIDDEN)
            return
        address = urlsplit(self.path)
        made: dict[str, Callable[[], tuple[str, str]]] = {
            "/": lambda: (_HTML, pages.runs_page(*self.server.runs.all())),
            "/chart.js": lambda: (_SCRIPT, _charts()),
            "/trend.js": lambda: (_SCRIPT, (Path(__file__).parent / "trend.js").read_text(encoding="utf-8")),
        }
        if address.path == "/trends":
            self._trends({key: values[0] for key, values in parse_qs(address.query).items()}, body=body)
        elif address.path in made:
            self._send(*made[address.path](), body=body)
        elif address.path == "/favicon.ico":  # browsers ask for it; reports name none
            self.send_response(HTTPStatus.NO_CONTENT)
            self.end_headers()
        elif address.path.startswith("/runs/"):
            self._file(unquote(address.path.removeprefix("/runs/")), body=body)
        else:
            self.send_error(HTTPStatus.NOT_FOUND)

    def _trends(self, asked: Mapping[str, str], *, body: bool) -> None:
        series, cell = self.server.runs.series(), asked.get("cell")
        if cell is None:
            page = asked.get("page", "")
            number = int(page) if page.isdecimal() and len(page) < 9 else 1
            waiting = self.server.runs.all()[1]
            self._send(_HTML, pages.trends_page(series, waiting, asked.get("q", ""), number), body=body)
        elif cell in series:
            self._send(_HTML, pages.cell_page(cell, series[cell]), body=body)
        else:
            self.send_error(HTTPStatus.NOT_FOUND, "no run has this cell")

    def _send(self, kind: str, text: str, *, body: bool) -> None:
        data = text.encode("utf-8", "replace")
        self._head(kind, len(data), _POLICY)
        if body:
            self.wfile.write(data)

    def _file(self, name: str, *, body: bool) -> None:
        folder = self.server.runs.folder
        path = (folder / name).resolve() if "\0" not in name else folder
        if not path.is_relative_to(folder) or not path.is_file():
            self.send_error(HTTPStatus.NOT_FOUND)
            return
        kind = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
        if path.suffix in (".log", ".jsonl", ".md", ".csv"):
            kind = "text/plain; charset=utf-8"
        with path.open("rb") as stream:
            own = path.name in _OWN_PAGES and path.parent.parent == folder
            self._head(kind, path.stat().st_size, None if own else _ARTIFACT_POLICY)
            while body and (chunk := stream.read(_CHUNK)):
                self.wfile.write(chunk)

    def _head(self, kind: str, length: int, policy: str | None) -> None:
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(length))
        self.send_header("X-Content-Type-Options", "nosniff")
        self.send_header("Cache-Control", "no-cache")
        if policy:
            self.send_header("Content-Security-Policy", policy)
        self.end_headers()
