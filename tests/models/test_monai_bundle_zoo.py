"""Bundles by name, from a server of our own on this machine."""

from __future__ import annotations

import hashlib
import http.server
import io
import json
import threading
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from napari_monai.errors import ModelError, ModelNotFoundError, ReadError, WriteError
from napari_monai.models import bundle_zoo
from napari_monai.models.bundle_zoo import download, zoo


class Server:
    """What lies on the server, and what it was asked for."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.files: dict[str, bytes] = {}
        self.failures: dict[str, int] = {}
        self.asked: list[str] = []

    def url(self, name: str) -> str:
        return f"{self.address}/{name}"

    def serve(self, name: str, version: str, content: bytes, checksum: str | None = None) -> str:
        """Put a bundle into the list; return the address of the list."""
        entries = json.loads(self.files.get("index.json", b"{}"))
        self.files[f"{name}_v{version}.zip"] = content
        entries[f"{name}_v{version}"] = {
            "checksum": checksum or hashlib.sha1(content).hexdigest(),
            "source": self.url(f"{name}_v{version}.zip"),
        }
        self.files["index.json"] = json.dumps(entries).encode()
        return self.url("index.json")


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self.answer(body=False)

        def do_GET(self) -> None:
            self.answer(body=True)

        def answer(self, *, body: bool) -> None:
            name = self.path.lstrip("/")
            if body:
                state.asked.append(name)
            content = state.files.get(name)
            if body and state.failures.get(name, 0) > 0:
                state.failures[name] -= 1
                self.send_error(503)
                return
            if content is None:
                self.send_error(404)
                return
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            if body:
                self.wfile.write(content)

        def log_message(self, *args: Any) -> None:
            pass

    monkeypatch.setattr(bundle_zoo, "_PAUSE", 0.01)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as found:
        state = Server(f"http://127.0.0.1:{found.server_address[1]}")
        thread = threading.Thread(target=found.serve_forever, daemon=True)
        thread.start()
        yield state
        found.shutdown()
        thread.join()


def archive(files: dict[str, str | bytes]) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as made:
        for name, value in files.items():
            made.writestr(name, value)
    return content.getvalue()


def bundle(name: str = "spleen", **more: str | bytes) -> bytes:
    return archive(
        {
            f"{name}/configs/metadata.json": '{"version": "0.1.0"}',
            f"{name}/configs/inference.json": "{}",
            **{f"{name}/{path}": value for path, value in more.items()},
        }
    )


def left(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.glob("*"))


def test_the_latest_version_comes_with_progress(server: Server, tmp_path: Path) -> None:
    server.serve("spleen", "0.9.0", bundle(x="old"))
    index = server.serve("spleen", "0.10.1", bundle(x="new", y=b"0" * 100_000))
    told: list[tuple[int, int]] = []

    folder = download(
        "spleen", tmp_path / "m", index=index, progress=lambda a, b: told.append((a, b))
    )

    assert folder == tmp_path / "m" / "spleen"
    assert (folder / "x").read_text() == "new"
    assert left(tmp_path / "m") == ["spleen"]
    size = len(server.files["spleen_v0.10.1.zip"])
    assert told[-1] == (size, size)


def test_a_version_or_an_address_may_be_named(server: Server, tmp_path: Path) -> None:
    server.serve("spleen", "0.9.0", bundle(x="old"))
    index = server.serve("spleen", "0.10.1", bundle(x="new"))

    old = download("spleen", tmp_path, version="0.9.0", index=index)
    assert (old / "x").read_text() == "old"
    new = download("spleen", tmp_path, url=server.url("spleen_v0.10.1.zip"))
    assert (new / "x").read_text() == "new"
    assert zoo(index) == {"spleen": ("0.9.0", "0.10.1")}


def test_a_server_that_fails_at_first_is_asked_again(server: Server, tmp_path: Path) -> None:
    index = server.serve("spleen", "1.0", bundle())
    server.failures["spleen_v1.0.zip"] = 2

    assert download("spleen", tmp_path, index=index).is_dir()
    assert server.asked.count("spleen_v1.0.zip") == 3


def test_a_server_that_keeps_failing_is_left_alone(server: Server, tmp_path: Path) -> None:
    index = server.serve("spleen", "1.0", bundle())
    server.failures["spleen_v1.0.zip"] = 9

    with pytest.raises(ReadError, match=r"503.*try again later"):
        download("spleen", tmp_path, index=index)

    assert server.asked.count("spleen_v1.0.zip") == 3
    assert left(tmp_path) == []


def test_another_sum_is_refused(server: Server, tmp_path: Path) -> None:
    index = server.serve("spleen", "1.0", bundle(), checksum="0" * 40)

    with pytest.raises(ReadError, match="its sum is not 0000"):
        download("spleen", tmp_path, index=index)

    assert left(tmp_path) == []


def test_what_was_there_stays_when_a_download_fails(server: Server, tmp_path: Path) -> None:
    index = server.serve("spleen", "1.0", bundle(x="good"))
    download("spleen", tmp_path, index=index)
    server.serve("spleen", "2.0", b"no zip")

    with pytest.raises(ModelError, match="zip"):
        download("spleen", tmp_path, index=index)

    assert (tmp_path / "spleen" / "x").read_text() == "good"
    assert left(tmp_path) == ["spleen"]


def test_what_is_no_bundle_is_not_replaced(server: Server, tmp_path: Path) -> None:
    index = server.serve("spleen", "1.0", bundle())
    (tmp_path / "spleen").mkdir()
    (tmp_path / "spleen" / "mine.txt").write_text("mine")

    with pytest.raises(WriteError, match="exists and is no bundle"):
        download("spleen", tmp_path, index=index)

    assert (tmp_path / "spleen" / "mine.txt").read_text() == "mine"


class CancelError(Exception):
    pass


def test_a_cancelled_download_leaves_nothing(server: Server, tmp_path: Path) -> None:
    index = server.serve("spleen", "1.0", bundle())

    def cancel(done: int, total: int) -> None:
        raise CancelError

    with pytest.raises(CancelError):
        download("spleen", tmp_path, index=index, progress=cancel)

    for thread in threading.enumerate():
        if thread.name.endswith("(_work)"):
            thread.join(10)
    assert left(tmp_path) == []


def test_weights_beside_the_archive_are_fetched(server: Server, tmp_path: Path) -> None:
    server.files["big.pt"] = b"weights" * 1000
    listing = (
        "large_files:\n"
        f"- path: models/model.pt\n  url: {server.url('big.pt')}\n"
        f"  hash_val: {hashlib.md5(server.files['big.pt']).hexdigest()}\n  hash_type: md5\n"
    )
    index = server.serve("spleen", "1.0", bundle(**{"large_files.yml": listing}))

    folder = download("spleen", tmp_path, index=index)

    assert (folder / "models" / "model.pt").read_bytes() == server.files["big.pt"]


@pytest.mark.parametrize(
    ("path", "url", "line"),
    [
        pytest.param("../../escaped", "http://x", "outside of the bundle", id="path"),
        pytest.param("/tmp/escaped", "http://x", "outside of the bundle", id="root"),
        pytest.param("models/model.pt", "file:///etc/hostname", "no address of the web", id="url"),
    ],
)
def test_large_files_stay_in_the_bundle(
    path: str, url: str, line: str, server: Server, tmp_path: Path
) -> None:
    listing = json.dumps({"large_files": [{"path": path, "url": url}]})
    index = server.serve("spleen", "1.0", bundle(**{"large_files.json": listing}))

    with pytest.raises((ModelError, ReadError), match=line):
        download("spleen", tmp_path / "in" / "m", index=index)

    assert left(tmp_path / "in" / "m") == []
    assert left(tmp_path / "in") == ["m"]


@pytest.mark.parametrize(
    ("name", "version", "line"),
    [
        pytest.param("spleeen", None, "Did you mean 'spleen'", id="name"),
        pytest.param("spleen", "7.0", "has no version 7.0. The latest are 1.0", id="version"),
        pytest.param("../spleen", None, "is no name of a bundle", id="path"),
    ],
)
def test_names_that_the_zoo_lacks(
    name: str, version: str | None, line: str, server: Server, tmp_path: Path
) -> None:
    index = server.serve("spleen", "1.0", bundle())

    with pytest.raises(ModelNotFoundError, match=line):
        download(name, tmp_path, version=version, index=index)


def test_archives_that_are_no_bundle_or_attack(server: Server, tmp_path: Path) -> None:
    server.files["none.zip"] = archive({"readme.txt": "nothing"})
    server.files["up.zip"] = archive({"../escaped": "x", "a/configs/metadata.json": "{}"})

    with pytest.raises(ModelError, match="is no MONAI bundle"):
        download("none", tmp_path / "m", url=server.url("none.zip"))
    with pytest.raises(ModelError, match="leaves its folder"):
        download("up", tmp_path / "m", url=server.url("up.zip"))
    assert left(tmp_path / "m") == []
    assert left(tmp_path) == ["m"]


def test_no_server_and_no_folder(server: Server, tmp_path: Path) -> None:
    with pytest.raises(ReadError, match="cannot be fetched"):
        download("spleen", tmp_path, index="http://127.0.0.1:9/index.json")
    with pytest.raises(ReadError, match="404"):
        zoo(server.url("nothing.json"))
    (tmp_path / "file").write_text("")
    with pytest.raises(WriteError, match="cannot be written"):
        download("spleen", tmp_path / "file")
