"""Bundles by their name in MONAI's model zoo: fetched, checked, unpacked, and nothing of them run.

Files come through MONAI's own ``download_url`` with its check of the sum that the zoo gives.
"""

from __future__ import annotations

import contextlib
import http.client
import logging
import os
import re
import shutil
import tempfile
import threading
import time
import urllib.error
import urllib.request
import uuid
import warnings
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from ..errors import ModelError, ModelNotFoundError, ReadError, WriteError, did_you_mean
from .archive import extract
from .bundle_config import read_config_file

#: The zoo's list of its bundles: name and version to address and sum.
INDEX = "https://raw.githubusercontent.com/Project-MONAI/model-zoo/dev/models/model_info.json"
ATTEMPTS = 3
# Told (bytes so far, bytes in all or 0); what it raises ends the download.
Progress = Callable[[int, int], None]

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
_ENTRY = re.compile(r"(.+)_v(\d[\w.]*)")
_PAUSE = 1.0  # seconds before the second attempt; twice as long before each further one
_LOOK = 0.1  # seconds between two looks at how far a download is
_SUMS = {32: "md5", 40: "sha1", 64: "sha256", 128: "sha512"}


def download(
    name: str,
    target: Path,
    *,
    url: str | None = None,
    version: str | None = None,
    progress: Progress | None = None,
    index: str | None = None,
) -> Path:
    """Fetch a bundle of the model zoo and return its folder, ``target / name``.

    Parameters
    ----------
    name
        The bundle's name, such as ``"spleen_ct_segmentation"``.
    target
        Folder in which the bundle's own is made; a finished one of that name is replaced.
    url
        Address of the bundle's zip, where it is not in the zoo; its sum is then not known.
    version
        One of the zoo's; the latest when left out.
    progress
        Told from time to time how many bytes have come of how many, 0 where that is not known.
        An exception from it ends the download and leaves nothing behind.
    index
        Address of the zoo's list; `INDEX` when left out.

    Raises
    ------
    ModelNotFoundError
        If the zoo has no such name or version.
    ReadError
        If the server cannot be reached, or what came has another sum.
    ModelError
        If the archive is no bundle or could harm.
    WriteError
        If the folder cannot be written.
    """
    if not _NAME.fullmatch(name):
        raise ModelNotFoundError(f"{name!r} is no name of a bundle: letters, digits, '_' and '-'.")
    stage = _stage(target)
    try:
        checksum = ""
        if url is None:
            url, checksum = _look_up(_read_index(index or INDEX, stage), name, version)
        archive = stage / "bundle.zip"
        _fetch(url, archive, checksum, progress)
        extract(archive, stage / "unpacked")
        folder = _bundle_inside(stage / "unpacked", url)
        _fetch_large_files(folder, stage, progress)
        return _move(folder, target / name)
    finally:
        shutil.rmtree(stage, ignore_errors=True)


def zoo(index: str | None = None) -> dict[str, tuple[str, ...]]:
    """Return the names of the zoo's bundles with their versions, the latest last.

    Raises ReadError if the zoo's list cannot be fetched.
    """
    stage = _stage(Path(tempfile.gettempdir()))
    try:
        entries = _read_index(index or INDEX, stage)
    finally:
        shutil.rmtree(stage, ignore_errors=True)
    return {name: tuple(versions) for name, versions in sorted(entries.items())}


def _stage(target: Path) -> Path:
    try:
        target.mkdir(parents=True, exist_ok=True)
        return Path(tempfile.mkdtemp(dir=target, prefix=".download-"))
    except OSError as error:
        reason = error.strerror or error
        raise WriteError(f"{target} cannot be written ({reason}): choose another folder.") from None


def _move(folder: Path, final: Path) -> Path:
    """Move a complete bundle to its place; an earlier one goes only when it is there."""
    old = folder.parent / f".old-{uuid.uuid4().hex}"
    try:
        if final.exists():
            if not (final / "configs" / "metadata.json").is_file():
                raise WriteError(f"{final} exists and is no bundle: choose another folder.")
            os.replace(final, old)
        os.replace(folder, final)
    except WriteError:
        raise
    except OSError as error:
        reason = error.strerror or error
        raise WriteError(f"{final} cannot be written ({reason}): choose another folder.") from None
    return final


def _read_index(index: str, stage: Path) -> dict[str, dict[str, Mapping[str, Any]]]:
    """Return the zoo's entries by name and version, the latest last."""
    file = stage / "index.json"
    _fetch(index, file, "", None)
    entries: dict[str, dict[str, Mapping[str, Any]]] = {}
    try:
        values = read_config_file(file)
    except ModelError:
        raise ReadError(f"{index} is no list of bundles: check the address.") from None
    for key, value in values.items():
        found = _ENTRY.fullmatch(key)
        if found and isinstance(value, Mapping) and isinstance(value.get("source"), str):
            entries.setdefault(found[1], {})[found[2]] = value
    return {
        name: dict(sorted(versions.items(), key=lambda item: _rank(item[0])))
        for name, versions in entries.items()
    }


def _rank(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version))


def _look_up(
    entries: Mapping[str, Mapping[str, Mapping[str, Any]]], name: str, version: str | None
) -> tuple[str, str]:
    """Return the address and the sum of a bundle."""
    if name not in entries:
        raise ModelNotFoundError(
            f"No bundle named {name!r} in the model zoo. {did_you_mean(name, entries)}"
        )
    versions = entries[name]
    wanted = version or list(versions)[-1]
    if wanted not in versions:
        known = ", ".join(list(versions)[-5:])
        raise ModelNotFoundError(f"{name} has no version {wanted}. The latest are {known}.")
    entry = versions[wanted]
    checksum = entry.get("checksum")
    if not isinstance(checksum, str) or len(checksum) not in _SUMS:
        raise ReadError(f"The model zoo gives no sum of {name} {wanted}: give its url instead.")
    return str(entry["source"]), checksum


def _fetch(url: str, file: Path, checksum: str, progress: Progress | None) -> None:
    """Fetch a file, again where the connection fails."""
    if urlsplit(url).scheme not in ("http", "https"):
        raise ReadError(f"{url} is no address of the web: it begins with https://.")
    for attempt in range(ATTEMPTS):
        if attempt:
            time.sleep(_PAUSE * 2 ** (attempt - 1))
        try:
            _Download(url, file, checksum).run(progress)
            return
        except urllib.error.HTTPError as error:
            error.close()
            problem = f"{error.code} {error.reason}"
            if 400 <= error.code < 500 and error.code not in (408, 429):
                break
        except (OSError, http.client.HTTPException) as error:
            problem = str(getattr(error, "reason", None) or error) or type(error).__name__
        except _OtherSumError:
            problem = f"its sum is not {checksum}"
        except RuntimeError as error:
            problem = " ".join(str(error).split())[:120]
    raise ReadError(f"{url} cannot be fetched ({problem}): try again later.")


class _OtherSumError(Exception):
    """What came is not what the zoo has."""


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep MONAI from printing what is said elsewhere: that it is done, that there is no sum."""
    logger = logging.getLogger("monai.apps")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


class _Download:
    """MONAI's download of one file, in a thread beside, looked at as the file grows.

    It cannot be stopped: one that is given up goes on by itself and then leaves nothing behind.
    """

    def __init__(self, url: str, file: Path, checksum: str) -> None:
        self.url, self.file, self.checksum = url, file, checksum
        self.error: Exception | None = None
        self.given_up = threading.Event()
        # The name of the file that grows, which MONAI has in a temporary folder of its own.
        self.token = f"{uuid.uuid4().hex}{file.suffix}"

    def run(self, progress: Progress | None) -> None:
        """Download; raises what went wrong, or what ``progress`` raises."""
        worker = threading.Thread(target=self._work, daemon=True)
        total = _length(self.url) if progress is not None else 0
        worker.start()
        try:
            while worker.is_alive():
                worker.join(_LOOK)
                if progress is not None:
                    progress(self._so_far(), total)
        except BaseException:
            self.given_up.set()
            raise
        if self.error is not None:
            raise self.error

    def _work(self) -> None:
        from monai.apps.utils import HashCheckError, download_url

        beside = self.file.with_name(self.token)
        try:
            kind = _SUMS.get(len(self.checksum), "sha256")
            with _quiet():
                download_url(self.url, beside, self.checksum or None, kind, progress=False)
            if not self.given_up.is_set():
                os.replace(beside, self.file)
        except HashCheckError:
            self.error = _OtherSumError()
        except Exception as error:  # handed to the caller's thread
            self.error = error
        if self.given_up.is_set():
            shutil.rmtree(self.file.parent, ignore_errors=True)

    def _so_far(self) -> int:
        if self.file.exists():
            return self.file.stat().st_size
        for growing in Path(tempfile.gettempdir()).glob(f"*/{self.token}"):
            try:
                return growing.stat().st_size
            except OSError:
                break
        return 0


def _length(url: str) -> int:
    """Return how many bytes an address has, 0 where the server does not say."""
    try:
        request = urllib.request.Request(url, method="HEAD")
        with urllib.request.urlopen(request, timeout=20) as answer:
            return int(answer.headers.get("Content-Length") or 0)
    except (OSError, ValueError, http.client.HTTPException):
        return 0


def _bundle_inside(folder: Path, url: str) -> Path:
    """Return the folder of an archive that is a bundle: the archive's own, or the one in it."""
    for place in (folder, *sorted(p for p in folder.iterdir() if p.is_dir())):
        if (place / "configs" / "metadata.json").is_file():
            return place
    raise ModelError(f"{url} is no MONAI bundle: it has no configs/metadata.json.")


def _fetch_large_files(folder: Path, stage: Path, progress: Progress | None) -> None:
    """Fetch the files that a bundle names beside its archive, such as its weights."""
    for suffix in (".yml", ".yaml", ".json"):
        listing = folder / f"large_files{suffix}"
        if not listing.is_file():
            continue
        entries = read_config_file(listing).get("large_files")
        for entry in entries if isinstance(entries, list) else []:
            path, url = (entry.get(k) if isinstance(entry, dict) else None for k in ("path", "url"))
            if not isinstance(path, str) or not isinstance(url, str):
                raise ModelError(f"{listing.name} names no path and url: get the bundle again.")
            file = (folder / path).resolve()
            if not file.is_relative_to(folder.resolve()) or file == folder.resolve():
                raise ModelError(f"{listing.name} names a path outside of the bundle: {path!r}.")
            if not file.is_file() or file.stat().st_size < 1024:
                file.parent.mkdir(parents=True, exist_ok=True)
                _fetch(url, stage / "large", str(entry.get("hash_val") or ""), progress)
                os.replace(stage / "large", file)
