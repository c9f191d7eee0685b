"""Serve the explorer's page to this machine only, and answer it for nodes that were not traced."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock
from urllib.parse import parse_qs, urlsplit

from ..errors import LrpError
from .packing import compress, pack_traces
from .scene import Traces

HOST = "127.0.0.1"


@dataclass(frozen=True)
class LivePage:
    """A page and what answers it.

    Args:
        page: The page as text, written with `live=LIVE`.
        trace: Traces one node of one target; raises a LrpError if it cannot.
        token: A secret that is part of every address: other pages in the browser do not know it.
    """

    page: str
    trace: Callable[[int, int], Traces]
    token: str = field(default_factory=lambda: secrets.token_urlsafe(16))
    lock: Lock = field(default_factory=Lock)

    def answer(self, host: str, address: str) -> tuple[HTTPStatus, str, str]:
        """Return status, kind and text of the answer to one request."""
        parts = urlsplit(address)
        token, _, rest = parts.path.lstrip("/").partition("/")
        if host.rpartition(":")[0] not in (HOST, "localhost"):
            return HTTPStatus.FORBIDDEN, "text/plain", "this page is served to this machine only"
        if not secrets.compare_digest(token.encode(), self.token.encode()):
            return HTTPStatus.NOT_FOUND, "text/plain", "there is no such page"
        if rest == "":
            return HTTPStatus.OK, "text/html", self.page
        if rest == "trace":
            return self._trace(parse_qs(parts.query))
        return HTTPStatus.NOT_FOUND, "text/plain", "there is no such page"

    def _trace(self, said: dict[str, list[str]]) -> tuple[HTTPStatus, str, str]:
        try:
            target, node = (int(said[name][0]) for name in ("target", "node"))
        except (KeyError, ValueError):
            return HTTPStatus.BAD_REQUEST, "text/plain", "give target and node as numbers"
        try:
            with self.lock:  # programs of one engine run one after the other
                return HTTPStatus.OK, "text/plain", compress(pack_traces(self.trace(target, node)))
        except LrpError as error:
            return HTTPStatus.BAD_REQUEST, "text/plain", str(error)


LIVE = "./"  # addresses of answers are beside that of the page


def serve(live: LivePage, port: int = 0) -> ThreadingHTTPServer:
    """Return a server of a page, bound to 127.0.0.1; `serve_forever` starts it.

    Args:
        live: The page.
        port: 0 takes any that is free.
    """

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, kind, text = live.answer(self.headers.get("Host", ""), self.path)
            data = text.encode()
            self.send_response(status)
            self.send_header("Content-Type", f"{kind}; charset=utf-8")
            self.send_header("Content-Length", str(len(data)))
            self.send_header("Cache-Control", "no-store")
            self.send_header("X-Content-Type-Options", "nosniff")
            self.send_header("Referrer-Policy", "no-referrer")
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing: the address holds the token."""

    server = ThreadingHTTPServer((HOST, port), Handler)
    server.daemon_threads = True
    return server


def address_of(server: ThreadingHTTPServer, live: LivePage) -> str:
    """Return the address of the page, token included."""
    return f"http://{HOST}:{server.server_address[1]}/{live.token}/"
