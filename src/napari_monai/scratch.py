"""Where the results of a run grow: in memory, or in a folder that outlives a killed run."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from .errors import WriteError
from .joining import Joined
from .volume import ArrayLike, Volume

STATE = "state.json"

# Voxels of a chunk along each of the last axes of an array on disk.
_CHUNK = 64
# Planes of an image that stand for all of it, where it has no file.
_PLANES = 16


class Scratch:
    """Arrays of a run by name, and how far it has come.

    Parameters
    ----------
    folder
        Where the arrays are kept, as zarr; ``None`` keeps them in memory.

    Raises
    ------
    WriteError
        If the folder cannot be written.
    """

    def __init__(self, folder: Path | None) -> None:
        self.folder = folder
        self.key = ""
        self._arrays: dict[str, Any] = {}

    def begin(self, key: str) -> dict[str, Any]:
        """Return the state of an earlier run with this key, or start anew and return none."""
        self.key = key
        if self.folder is None:
            return {}
        try:
            state = json.loads((self.folder / STATE).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            state = {}
        if isinstance(state, dict) and state.pop("key", None) == key:
            return state
        self.clear()
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise WriteError(f"{self.folder} cannot be made ({error.strerror}).") from None
        self.save({})
        return {}

    def save(self, state: Mapping[str, Any]) -> None:
        """Keep how far the run has come; what was written to the arrays before is on disk."""
        if self.folder is None:
            return
        beside = self.folder / f"{STATE}.new"
        beside.write_text(json.dumps({"key": self.key, **state}), encoding="utf-8")
        beside.replace(self.folder / STATE)

    def array(self, name: str, shape: Sequence[int], dtype: npt.DTypeLike) -> Any:
        """Return an array by its name: zeros at first, else what an earlier run left in it."""
        if name not in self._arrays:
            if self.folder is None:
                self._arrays[name] = np.zeros(tuple(shape), dtype)
            else:
                self._arrays[name] = self._on_disk(self.folder / name, shape, dtype)
        return self._arrays[name]

    def _on_disk(self, path: Path, shape: Sequence[int], dtype: npt.DTypeLike) -> Any:
        import zarr
        from zarr.codecs import BloscCodec

        if path.is_dir():
            found = zarr.open_array(path, mode="r+")
            if found.shape == tuple(shape) and found.dtype == np.dtype(dtype):
                return found
            shutil.rmtree(path)
        lead = max(0, len(shape) - 3)
        chunks = (1,) * lead + tuple(min(n, _CHUNK) for n in shape[lead:])
        if len(shape) - lead == 2:
            chunks = (*chunks[:lead], *(min(n, 8 * _CHUNK) for n in shape[lead:]))
        # One level of compression: labels shrink a hundredfold, probabilities hardly.
        return zarr.create_array(
            path,
            shape=tuple(shape),
            chunks=chunks,
            dtype=np.dtype(dtype),
            fill_value=0,
            compressors=BloscCodec(cname="lz4", clevel=1),
        )

    def drop(self, name: str) -> None:
        """Forget an array."""
        self._arrays.pop(name, None)
        if self.folder is not None:
            shutil.rmtree(self.folder / name, ignore_errors=True)

    def clear(self) -> None:
        """Remove the folder with all that is in it."""
        self._arrays.clear()
        if self.folder is not None:
            shutil.rmtree(self.folder, ignore_errors=True)


def key_of(volume: Volume, *told: Any) -> str:
    """Return what stands for an image and all that was told of a run on it.

    A file is known by its path, size and time, another image by some of its voxels; of joined
    images each counts.
    """
    digest = hashlib.sha256(repr((volume.data.shape, str(volume.dtype), volume.leading)).encode())
    digest.update(volume.grid.affine.tobytes())
    joined = volume.data.volumes if isinstance(volume.data, Joined) else (volume,)
    for one in joined:
        _add_voxels(digest, one)
    digest.update(json.dumps(told, sort_keys=True, default=str).encode())
    return digest.hexdigest()


def _add_voxels(digest: hashlib._Hash, volume: Volume) -> None:
    if volume.source is not None and volume.source.exists():
        stat = volume.source.stat()
        digest.update(repr((str(volume.source.resolve()), stat.st_size, stat.st_mtime_ns)).encode())
    else:
        n = volume.data.shape[0]
        for i in sorted({int(i) for i in np.linspace(0, n - 1, _PLANES)}):
            digest.update(np.ascontiguousarray(_plane(volume.data, i)).tobytes())


def _plane(data: ArrayLike, index: int) -> npt.NDArray[Any]:
    return np.asarray(data[index])
