"""Get a file from a web address: checked, tried again where the line breaks, and gone on with.

Only http and https are followed, to wherever they lead. What has arrived stays as ``.part`` until
the file is whole, so that a download that broke off or was cancelled goes on where it was, as far
as the server says that the file is still the same.
"""

from __future__ import annotations

import hashlib
import http.client
import json
import os
import queue
import re
import shutil
import ssl
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Generator, Mapping
from contextlib import closing, suppress
from dataclasses import dataclass
from email.message import Message
from pathlib import Path
from typing import Any

import psutil

from ..errors import ReadError
from ..events import BytesDone, Event, Said, Started

# No network that is shared is as large: a mistyped address, or an attack.
MOST_BYTES = 20 * 10**9
RETRIES = 5
_TIMEOUT = 30.0  # seconds without a byte
_LONGEST_PAUSE = 30.0
_PIECE = 1 << 18
_SAY_EVERY = 0.1
_KEPT_SECONDS = 7 * 24 * 3600  # a part that nobody goes on with
# Of the server, or of one before it, that is busy or starting: worth another try.
_PASSING = frozenset({408, 425, 429, 500, 502, 503, 504})

_LINE_BROKE = (
    urllib.error.URLError,
    http.client.HTTPException,
    ssl.SSLError,
    ConnectionError,
    TimeoutError,
)

_AHEAD = 16  # pieces that wait to be written

Steps = Generator[Event, None, "Fetched"]
Arriving = Generator[Any, None, None]


@dataclass(frozen=True)
class Fetched:
    """A file that has arrived: where it lies, in a folder of its own, and its SHA-256."""

    path: Path
    sha256: str


def is_url(text: str) -> bool:
    """Whether a text is a web address rather than a path."""
    return re.match(r"[A-Za-z][A-Za-z0-9+.-]+://", text) is not None


def download_steps(
    url: str,
    folder: Path,
    *,
    sha256: str | None = None,
    most: int = MOST_BYTES,
    retries: int = RETRIES,
    pause: float = 1.0,
) -> Steps:
    """Download a file, saying how far it is; the generator's result is the file.

    Closing the generator stops at once, and keeps what has arrived for the next time.

    Parameters
    ----------
    url
        A http or https address. Redirects are followed, but not from https to http.
    folder
        Where to put it: into a folder of its own inside this one.
    sha256
        What its SHA-256 has to be, where that is known.
    most
        Bytes that it may have.
    retries
        How often to try again without a byte between.
    pause
        Seconds before the first new try; doubled each time.

    Raises
    ------
    ReadError
        In one line: no such address, no such file, too large, no room on the disk, another
        SHA-256 than it has to be, or the line broke too often.
    """
    _check(url)
    _forget_old(folder)
    try:
        place = _claim(folder / hashlib.sha256(url.encode()).hexdigest()[:16])
        part = _Part(place, url, sha256, most)
        yield from _patiently(part, retries, pause)
        return part.finish()
    except ReadError:
        raise
    except OSError as error:
        raise ReadError(f"{url} cannot be kept in {folder} ({_reason(error)}).") from None


class _Part:
    """What has arrived of a file, and how to get the rest."""

    def __init__(self, place: Path, url: str, sha256: str | None, most: int) -> None:
        self.url = url
        self.done = 0
        self._place, self._wanted, self._most = place, sha256, most
        self._file, self._notes = place / "data.part", place / "part.json"
        self._hash = hashlib.sha256()
        self._name = _file_name(urllib.parse.urlsplit(url).path)
        self._validator = ""
        self._total: int | None = None

    def read_old(self) -> Generator[Event, None, None]:
        """Take up what an earlier download left, if it can be told whether it still fits."""
        with suppress(OSError, ValueError, KeyError, TypeError):
            self._validator = str(json.loads(self._notes.read_text("utf-8"))["validator"])
        self._hash, self.done = hashlib.sha256(), 0
        if not self._file.exists() or not (self._validator or self._wanted):
            return
        with self._file.open("rb") as file:
            while piece := file.read(_PIECE):
                self._hash.update(piece)
                self.done += len(piece)
                yield Event()

    def headers(self) -> dict[str, str]:
        """Return what to ask for: the rest, if the file is still the same."""
        asked = {"User-Agent": "napari-monai", "Accept-Encoding": "identity"}
        if self.done:
            asked["Range"] = f"bytes={self.done}-"
            if self._validator:
                asked["If-Range"] = self._validator
        return asked

    def receive(self, arriving: Arriving) -> Generator[Event, None, None]:
        """Write what comes; raises ConnectionError if it ends too early."""
        while (response := next(arriving)) is None:
            yield Event()
        self._begin(response.status, response.headers)
        unit, size = ("kB", 1000) if (self._total or 0) < 10**7 else ("MB", 10**6)
        if self._total is not None:
            yield Started(-(-self._total // size), unit)
        said = 0.0
        self._file.touch()
        with self._file.open("r+b") as file:
            file.seek(self.done)
            file.truncate()
            for piece in arriving:
                if piece is not None:
                    self._check_size(self.done + len(piece))
                    file.write(piece)
                    self._hash.update(piece)
                    self.done += len(piece)
                    if time.monotonic() - said < _SAY_EVERY:
                        continue
                said = time.monotonic()
                if self._total is None:
                    yield Event()
                else:
                    yield BytesDone(self.done // size, -(-self._total // size))
        if self._total is not None and self.done != self._total:
            raise ConnectionError(f"{self.done} of {self._total} bytes came")

    def _begin(self, status: int, headers: Message) -> None:
        """Take the size and the name from the answer; start over where it is the whole file."""
        begin = re.match(r"bytes (\d+)-\d+/(\d+|\*)", headers.get("Content-Range", ""))
        if status == 206 and (begin is None or int(begin[1]) != self.done):
            self.forget()
            raise ConnectionError("it sent another part than was asked for")
        if status != 206 and self.done:
            self._hash, self.done = hashlib.sha256(), 0
        length = headers.get("Content-Length", "")
        self._total = self.done + int(length) if length.isdigit() else None
        self._check_size(self._total or 0)
        free = shutil.disk_usage(self._place).free
        if self._total is not None and self._total - self.done > free:
            need = (self._total - self.done) / 1e9
            raise ReadError(
                f"{self.url} has {need:.1f} GB to come, {self._place} has room for "
                f"{free / 1e9:.1f} GB: make room there."
            )
        etag = headers.get("ETag", "")
        # A weak one does not promise the same bytes.
        self._validator = etag if etag.startswith('"') else headers.get("Last-Modified", "")
        self._notes.write_text(json.dumps({"url": self.url, "validator": self._validator}), "utf-8")
        self._name = _file_name(headers.get_filename() or "") or self._name

    def _check_size(self, size: int) -> None:
        if size > self._most:
            self.forget()
            raise ReadError(
                f"{self.url} is larger than {self._most / 1e9:g} GB: it is no model, or raise the "
                "limit."
            )

    def forget(self) -> None:
        """Take away what has arrived."""
        self._hash, self.done, self._validator = hashlib.sha256(), 0, ""
        self._file.unlink(missing_ok=True)
        self._notes.unlink(missing_ok=True)

    def finish(self) -> Fetched:
        """Check what has arrived, and give it its name."""
        found = self._hash.hexdigest()
        if self._wanted is not None and found != self._wanted.lower():
            self.forget()
            raise ReadError(
                f"{self.url} has the sha256 {found}, not {self._wanted}: it is damaged or another "
                "file; ask whoever gave you the address."
            )
        path = self._place / (self._name or "download")
        os.replace(self._file, path)
        self._notes.unlink(missing_ok=True)
        return Fetched(path, found)


def _patiently(part: _Part, retries: int, pause: float) -> Generator[Event, None, None]:
    """Try until all has arrived, or nothing more comes."""
    yield from part.read_old()
    failures = 0
    while True:
        before = part.done
        try:
            with closing(_arriving(part.url, part.headers())) as arriving:
                yield from part.receive(arriving)
                return
        except urllib.error.HTTPError as error:
            problem, wait = f"HTTP {error.code} {error.reason}".strip(), _retry_after(error)
            error.close()
            if error.code == 416:  # what is here is no part of what is there now
                part.forget()
            elif error.code not in _PASSING:
                raise ReadError(f"{part.url} cannot be had ({problem}): check it.") from None
        except _LINE_BROKE as error:
            problem, wait = _reason(error), 0.0
            if isinstance(getattr(error, "reason", None), ssl.SSLCertVerificationError):
                raise ReadError(f"{part.url} has no certificate to trust ({problem}).") from None
        failures = 1 if part.done > before else failures + 1
        if failures > retries:
            raise ReadError(
                f"{part.url} cannot be had ({problem}): check the connection and try again."
            ) from None
        wait = min(max(wait, pause * 2 ** (failures - 1)), _LONGEST_PAUSE)
        yield Said(f"The download broke off ({problem}): trying again.")
        yield from _sleep(wait)


def _arriving(url: str, headers: Mapping[str, str]) -> Arriving:
    """Yield the answer of a server, then its bytes, and ``None`` whenever nothing comes.

    A thread beside does the waiting, so that whoever has enough need not wait with it.
    """
    found: queue.Queue[Any] = queue.Queue(_AHEAD)
    stopped = threading.Event()

    def put(item: Any) -> None:
        while not stopped.is_set():
            with suppress(queue.Full):
                found.put(item, timeout=_SAY_EVERY)
                return

    def work() -> None:
        try:
            with closing(_open(url, headers)) as response:
                put(response)
                piece = b"more"
                while piece and not stopped.is_set():
                    piece = response.read1(_PIECE)
                    put(piece)
        except Exception as error:  # for the thread that waits for it
            put(error)

    threading.Thread(target=work, daemon=True).start()
    try:
        while True:
            try:
                item = found.get(timeout=_SAY_EVERY)
            except queue.Empty:
                yield None
                continue
            if isinstance(item, Exception):
                raise item
            if item == b"":
                return
            yield item
    finally:
        stopped.set()


def _open(url: str, headers: Mapping[str, str]) -> Any:
    request = urllib.request.Request(url, headers=dict(headers))
    # Put together here: what urllib makes by itself also opens files and FTP.
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler(),
        urllib.request.HTTPHandler(),
        urllib.request.HTTPSHandler(),
        urllib.request.HTTPDefaultErrorHandler(),
        urllib.request.HTTPErrorProcessor(),
        _Redirects(),
    ):
        opener.add_handler(handler)
    return opener.open(request, timeout=_TIMEOUT)


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows to http and https only, and from https to https only."""

    def redirect_request(
        self, req: urllib.request.Request, fp: Any, code: int, msg: str, headers: Any, newurl: str
    ) -> urllib.request.Request | None:
        """Return the request to go on with."""
        scheme = urllib.parse.urlsplit(newurl).scheme
        if scheme != "https" and (scheme != "http" or req.type == "https"):
            fp.close()
            raise ReadError(f"{req.full_url} leads to {newurl}, which is not followed.")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _check(url: str) -> None:
    try:
        parts = urllib.parse.urlsplit(url)
        ours = parts.scheme in ("http", "https") and bool(parts.hostname)
    except ValueError:
        ours = False
    if not ours or re.search(r"[\x00-\x20\x7f]", url):
        raise ReadError(f"{url!r} is no web address: it has to begin with https:// or http://.")


def _file_name(text: str) -> str:
    """Return the last part of a path as a name that any file system takes."""
    name = urllib.parse.unquote(text).replace("\\", "/").rsplit("/", 1)[-1]
    return re.sub(r"[^A-Za-z0-9._-]+", "_", name).strip("._")[-100:]


def _retry_after(error: urllib.error.HTTPError) -> float:
    said = error.headers.get("Retry-After", "")
    return float(said) if said.isdigit() else 0.0


def _reason(error: BaseException) -> str:
    reason = getattr(error, "reason", None) or getattr(error, "strerror", None) or error
    return str(reason).splitlines()[0] if str(reason) else type(error).__name__


def _sleep(seconds: float) -> Generator[Event, None, None]:
    """Wait, in short steps between which the work can be cancelled."""
    until = time.monotonic() + seconds
    while (left := until - time.monotonic()) > 0:
        time.sleep(min(left, 0.1))
        yield Event()


def _claim(place: Path) -> Path:
    """Return the folder to download into, or another one if a running program is at it."""
    with suppress(OSError, ValueError):
        other = int((place / "pid").read_text())
        if other != os.getpid() and psutil.pid_exists(other):
            place = place.with_name(f"{place.name}-{os.getpid()}")
    place.mkdir(parents=True, exist_ok=True)
    (place / "pid").write_text(str(os.getpid()))
    return place


def _forget_old(folder: Path) -> None:
    """Take away parts that nobody went on with."""
    if not folder.is_dir():
        return
    for place in folder.iterdir():
        with suppress(OSError):
            if place.is_dir() and time.time() - place.stat().st_mtime > _KEPT_SECONDS:
                shutil.rmtree(place)
