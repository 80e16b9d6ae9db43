"""Downloads from a real server on this machine: whole, broken off, redirected, refused."""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.request import Request

import pytest
from tests.models.web import Site, serving

from napari_monai.errors import ReadError
from napari_monai.events import BytesDone, Event, Said, Started
from napari_monai.models.download import Fetched, _Redirects, download_steps, is_url

CONTENT = bytes(range(256)) * 8000  # 2 MB
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def site() -> Iterator[Site]:
    with serving() as site:
        yield site


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "downloads"


def fetch(url: str, folder: Path, **options: object) -> tuple[Fetched, list[Event]]:
    """Download and return the result and all that was said meanwhile."""
    said: list[Event] = []
    steps = download_steps(url, folder, pause=0.01, **options)  # type: ignore[arg-type]
    while True:
        try:
            said.append(next(steps))
        except StopIteration as stop:
            return stop.value, said


def test_a_file_arrives_whole_with_progress(site: Site, folder: Path) -> None:
    site.offer("/models/cells.zip", CONTENT)
    found, said = fetch(site.url("/models/cells.zip"), folder)
    assert found.path.name == "cells.zip"
    assert found.path.read_bytes() == CONTENT
    assert found.sha256 == SHA256
    assert Started(2048, "kB") in said
    assert [e for e in said if isinstance(e, BytesDone)]
    assert sorted(p.name for p in found.path.parent.iterdir()) == ["cells.zip", "pid"]


def test_one_that_breaks_off_goes_on_where_it_was(site: Site, folder: Path) -> None:
    site.offer("/a.bin", CONTENT, breaks=3)
    found, said = fetch(site.url("/a.bin"), folder)
    assert found.path.read_bytes() == CONTENT
    assert found.sha256 == SHA256
    half, quarter = len(CONTENT) // 2, len(CONTENT) // 4
    assert [r for _, r in site.asked] == [
        None,
        f"bytes={half}-",
        f"bytes={half + quarter}-",
        f"bytes={half + quarter + quarter // 2}-",
    ]
    assert len([e for e in said if isinstance(e, Said)]) == 3


def test_a_cancelled_one_is_gone_on_with(site: Site, folder: Path) -> None:
    site.offer("/a.bin", CONTENT, breaks=1)
    steps = download_steps(site.url("/a.bin"), folder, pause=0.01)
    while not isinstance(next(steps), Said):
        pass
    steps.close()
    found, _ = fetch(site.url("/a.bin"), folder)
    assert [r for _, r in site.asked] == [None, f"bytes={len(CONTENT) // 2}-"]
    assert found.sha256 == SHA256


def test_a_server_that_falls_silent_does_not_keep_one_waiting(site: Site, folder: Path) -> None:
    go_on = threading.Event()

    def answer(handler):  # type: ignore[no-untyped-def]
        handler.send_response(200)
        handler.send_header("Content-Length", str(2 * len(CONTENT)))
        handler.end_headers()
        handler.wfile.write(CONTENT)
        go_on.wait(60)

    site.answers["/a.bin"] = answer
    steps = download_steps(site.url("/a.bin"), folder)
    try:
        while not (isinstance(event := next(steps), BytesDone) and event.done == 2048):
            pass
        began = time.monotonic()
        steps.close()
        assert time.monotonic() - began < 5
    finally:
        go_on.set()


def test_one_that_changed_meanwhile_starts_over(site: Site, folder: Path) -> None:
    site.offer("/a.bin", CONTENT, breaks=1)
    steps = download_steps(site.url("/a.bin"), folder, pause=0.01)
    while not isinstance(next(steps), Said):
        pass
    steps.close()
    site.offer("/a.bin", CONTENT[::-1][:1000], etag='"2"')
    found, _ = fetch(site.url("/a.bin"), folder)
    assert found.path.read_bytes() == CONTENT[::-1][:1000]


def test_a_part_longer_than_the_file_is_thrown_away(site: Site, folder: Path) -> None:
    site.offer("/a.bin", CONTENT, breaks=1)
    steps = download_steps(site.url("/a.bin"), folder, pause=0.01)
    while not isinstance(next(steps), Said):
        pass
    steps.close()

    def answer(handler):  # type: ignore[no-untyped-def]
        asked = handler.headers.get("Range")
        handler.send(416) if asked else handler.send(200, b"short")

    site.answers["/a.bin"] = answer
    assert fetch(site.url("/a.bin"), folder)[0].path.read_bytes() == b"short"


def test_a_server_that_is_busy_is_asked_again(site: Site, folder: Path) -> None:
    busy = iter([503, 429, 500])

    def answer(handler):  # type: ignore[no-untyped-def]
        status = next(busy, 200)
        handler.send(status, CONTENT if status == 200 else b"later")

    site.answers["/a.bin"] = answer
    assert fetch(site.url("/a.bin"), folder)[0].sha256 == SHA256
    assert len(site.asked) == 4


def test_retries_end(site: Site, folder: Path) -> None:
    site.answers["/a.bin"] = lambda handler: handler.send(503)
    with pytest.raises(ReadError, match=r"HTTP 503.*try again"):
        fetch(site.url("/a.bin"), folder, retries=2)
    assert len(site.asked) == 3


def test_nobody_answers(folder: Path) -> None:
    with serving() as site:
        gone = site.url("/a.bin")
    with pytest.raises(ReadError, match="cannot be had"):
        fetch(gone, folder, retries=1)


def test_what_is_not_there_is_not_asked_for_again(site: Site, folder: Path) -> None:
    with pytest.raises(ReadError, match="HTTP 404"):
        fetch(site.url("/a.bin"), folder)
    assert len(site.asked) == 1


def test_a_redirect_is_followed(site: Site, folder: Path) -> None:
    site.offer("/there/b.zip", CONTENT)
    site.redirect("/a", "/there/b.zip")
    found, _ = fetch(site.url("/a"), folder)
    assert found.sha256 == SHA256


@pytest.mark.parametrize("to", ["file:///etc/passwd", "ftp://127.0.0.1/a", "data:,hello"])
def test_a_redirect_to_anything_else_is_not(site: Site, folder: Path, to: str) -> None:
    site.redirect("/a", to)
    with pytest.raises(ReadError, match=r"is not (followed|allowed)"):
        fetch(site.url("/a"), folder)
    assert len(site.asked) == 1


def test_a_redirect_does_not_give_up_encryption() -> None:
    request = Request("https://a.b/c")
    with pytest.raises(ReadError, match="is not followed"):
        _Redirects().redirect_request(request, io.BytesIO(), 302, "", {}, "http://a.b/c")
    further = _Redirects().redirect_request(request, io.BytesIO(), 302, "", {}, "https://c.d/e")
    assert further is not None
    assert further.full_url == "https://c.d/e"


def test_redirects_in_a_ring_end(site: Site, folder: Path) -> None:
    site.redirect("/a", "/b")
    site.redirect("/b", "/a")
    with pytest.raises(ReadError, match="cannot be had"):
        fetch(site.url("/a"), folder)


@pytest.mark.parametrize(
    "url", ["file:///etc/passwd", "ftp://x/y", "https://", "http://a b/", "http://[", "/etc/passwd"]
)
def test_what_is_no_web_address(folder: Path, url: str) -> None:
    with pytest.raises(ReadError, match="is no web address"):
        fetch(url, folder)
    assert not folder.exists()


def test_the_sha256_has_to_be_the_one_that_is_known(site: Site, folder: Path) -> None:
    site.offer("/a.bin", CONTENT)
    assert fetch(site.url("/a.bin"), folder, sha256=SHA256.upper())[0].sha256 == SHA256
    with pytest.raises(ReadError, match=f"has the sha256 {SHA256}, not 0000"):
        fetch(site.url("/a.bin"), folder, sha256="0" * 64)
    assert not list(folder.glob("*/data.part"))


@pytest.mark.parametrize("told", [True, False], ids=["said", "not said"])
def test_a_file_that_is_too_large(site: Site, folder: Path, told: bool) -> None:
    def answer(handler):  # type: ignore[no-untyped-def]
        handler.send_response(200)
        if told:
            handler.send_header("Content-Length", str(len(CONTENT)))
        handler.end_headers()
        with contextlib.suppress(ConnectionError):
            handler.wfile.write(CONTENT)

    site.answers["/a.bin"] = answer
    with pytest.raises(ReadError, match=r"is larger than 0\.001 GB"):
        fetch(site.url("/a.bin"), folder, most=1_000_000)
    assert not list(folder.glob("*/data.part"))
    assert len(site.asked) == 1


def test_a_file_whose_size_is_not_said(site: Site, folder: Path) -> None:
    def answer(handler):  # type: ignore[no-untyped-def]
        handler.send_response(200)
        handler.end_headers()
        handler.wfile.write(CONTENT)

    site.answers["/a.bin"] = answer
    found, said = fetch(site.url("/a.bin"), folder)
    assert found.sha256 == SHA256
    assert not [e for e in said if isinstance(e, Started)]


@pytest.mark.parametrize(
    ("path", "head", "name"),
    [
        ("/x/net.zip?token=1", {}, "net.zip"),
        ("/x", {"Content_Disposition": 'attachment; filename="organs.zip"'}, "organs.zip"),
        ("/x", {"Content_Disposition": 'attachment; filename="../../evil.sh"'}, "evil.sh"),
        ("/x", {"Content_Disposition": 'attachment; filename="..\\\\..\\\\evil"'}, "evil"),
        ("/", {}, "download"),
        ("/..%2F..%2Fevil", {}, "evil"),
    ],
)
def test_the_name(site: Site, folder: Path, path: str, head: dict[str, str], name: str) -> None:
    site.answers[path] = lambda handler: handler.send(200, b"x", **head)
    found, _ = fetch(site.url(path), folder)
    assert found.path.name == name
    assert found.path.parent.parent == folder


def test_parts_that_nobody_wants_are_cleared_away(site: Site, folder: Path) -> None:
    old = folder / "0123456789abcdef"
    old.mkdir(parents=True)
    long_ago = time.time() - 30 * 24 * 3600
    os.utime(old, (long_ago, long_ago))
    site.offer("/a.bin", b"x")
    fetch(site.url("/a.bin"), folder)
    assert not old.exists()


def test_no_room(site: Site, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import shutil

    full = shutil.disk_usage(folder.parent)._replace(free=1000)
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: full)
    site.offer("/a.bin", CONTENT)
    with pytest.raises(ReadError, match="make room"):
        fetch(site.url("/a.bin"), folder)


def test_what_is_an_address_and_what_a_path() -> None:
    assert is_url("https://a.b/c.zip")
    assert is_url("ftp://a.b/c.zip")
    assert not is_url("C:\\models\\a.zip")
    assert not is_url("models/a.zip")
    assert not is_url("monai:spleen")
