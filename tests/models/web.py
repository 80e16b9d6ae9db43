"""A web server on this machine that does what servers do: breaks off, redirects, resumes."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

Answer = Callable[["Handler"], None]


class Handler(BaseHTTPRequestHandler):
    """Answers as the site's function for the path says."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        site: Site = self.server.site  # type: ignore[attr-defined]
        site.asked.append((self.path, self.headers.get("Range")))
        self.close_connection = True
        answer = site.answers.get(self.path)
        if answer is None:
            self.send(404)
        else:
            answer(self)

    def send(self, status: int, body: bytes = b"", length: int | None = None, **head: str) -> None:
        """Send an answer; ``length`` promises another size than it has."""
        self.send_response(status)
        self.send_header("Content-Length", str(len(body) if length is None else length))
        for name, value in head.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@dataclass
class Site:
    """The answers of the server by path, and what it was asked: path and range."""

    address: str
    answers: dict[str, Answer] = field(default_factory=dict)
    asked: list[tuple[str, str | None]] = field(default_factory=list)

    def url(self, path: str) -> str:
        """Return the address of a path."""
        return self.address + path

    def offer(self, path: str, content: bytes, *, breaks: int = 0, etag: str = '"1"') -> None:
        """Offer a file that can be resumed; the first ``breaks`` answers end half-way."""
        left = [breaks]

        def answer(handler: Handler) -> None:
            asked = handler.headers.get("Range")
            same = handler.headers.get("If-Range", etag) == etag
            start = int(asked.removeprefix("bytes=").rstrip("-")) if asked and same else 0
            rest = content[start:]
            head = {"ETag": etag}
            if start:
                head["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
            sent = rest[: len(rest) // 2] if left[0] > 0 else rest
            left[0] -= 1
            handler.send(206 if start else 200, sent, len(rest), **head)

        self.answers[path] = answer

    def redirect(self, path: str, to: str) -> None:
        """Send whoever asks for a path somewhere else."""
        self.answers[path] = lambda handler: handler.send(302, Location=to)


@contextmanager
def serving() -> Iterator[Site]:
    """Give a site that answers as long as the block lasts."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    site = Site(f"http://127.0.0.1:{server.server_port}")
    server.site = site  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield site
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
