"""NumPy files: what an array without a description is, and what an archive keeps."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from napari_monai import io
from napari_monai.errors import ReadError
from napari_monai.grid import Grid
from napari_monai.io import numpy_file
from napari_monai.volume import Volume


@pytest.mark.parametrize(
    ("shape", "dtype", "leading", "rgb", "grid"),
    [
        ((5, 6), "<f4", "", False, (5, 6)),
        ((4, 5, 6), ">i2", "", False, (4, 5, 6)),
        ((5, 6, 3), "u1", "c", True, (5, 6)),
        ((5, 6, 4), "u1", "c", True, (5, 6)),
        ((5, 6, 3), "<u2", "", False, (5, 6, 3)),
        ((4, 5, 6, 3), "u1", "c", True, (4, 5, 6)),
        ((2, 4, 5, 6), "<f8", "t", False, (4, 5, 6)),
        ((2, 3, 4, 5, 6), "<f8", "tc", False, (4, 5, 6)),
        ((5, 6), "?", "", False, (5, 6)),
    ],
    ids=str,
)
def test_what_an_array_is(
    tmp_path: Path, shape: tuple[int, ...], dtype: str, leading: str, rgb: bool, grid: Any
) -> None:
    array = np.random.default_rng(0).integers(0, 2, shape).astype(dtype)
    np.save(tmp_path / "a.npy", array)
    volume = io.read(tmp_path / "a.npy")
    assert (volume.leading, volume.rgb, volume.grid.shape) == (leading, rgb, grid)
    assert volume.dtype == dtype
    found = np.moveaxis(volume.numpy(), 0, -1) if rgb else volume.numpy()
    np.testing.assert_array_equal(found, array)
    io.write(tmp_path / "b.npy", volume)
    assert (tmp_path / "b.npy").read_bytes() == (tmp_path / "a.npy").read_bytes()


def test_fortran_order(tmp_path: Path) -> None:
    array = np.asfortranarray(np.arange(120).reshape(4, 5, 6))
    np.save(tmp_path / "a.npy", array)
    np.testing.assert_array_equal(io.read(tmp_path / "a.npy").numpy(), array)


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros(5), "1 axes"),
        (np.zeros((1,) * 6), "6 axes"),
        (np.zeros((0, 5)), "no voxels"),
        (np.zeros((2, 2), complex), "made of numbers"),
        (np.array([["a", "b"]]), "made of numbers"),
        (np.zeros((2, 2), [("x", "u1"), ("y", "f4")]), "made of numbers"),
        (np.array([[{}, {}]]), "cannot be read as NumPy"),
    ],
    ids=["1d", "6d", "empty", "complex", "text", "records", "objects"],
)
def test_no_image(tmp_path: Path, array: Any, message: str) -> None:
    np.save(tmp_path / "a.npy", array, allow_pickle=True)
    with pytest.raises(ReadError, match=message):
        io.read(tmp_path / "a.npy")


def test_objects_are_never_unpickled(tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> Any:
            return Path.touch, (tmp_path / "sprung",)

    np.save(tmp_path / "a.npy", np.array([[Trap()]]), allow_pickle=True)
    np.savez(tmp_path / "a.npz", x=np.array([[Trap()]]))
    for name in ("a.npy", "a.npz"):
        with pytest.raises(ReadError):
            io.read(tmp_path / name)
    assert not (tmp_path / "sprung").exists()


def test_large_ones_are_mapped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    array = np.arange(120).reshape(4, 5, 6)
    np.save(tmp_path / "a.npy", array)
    monkeypatch.setattr(numpy_file, "LAZY_FROM", 0)
    volume = io.read(tmp_path / "a.npy")
    assert isinstance(volume.data, np.memmap)
    np.testing.assert_array_equal(volume.numpy(), array)


@pytest.mark.parametrize("missing", ["affine", "unit", "leading", "rgb"])
def test_a_description_with_a_gap(tmp_path: Path, missing: str) -> None:
    io.write(tmp_path / "a.npz", Volume(np.zeros((3, 4)), Grid.from_spacing((3, 4))))
    with np.load(tmp_path / "a.npz") as arrays:
        data, said = arrays["data"], json.loads(str(arrays["napari_monai"][()]))
    del said[missing]
    np.savez(tmp_path / "a.npz", data=data, napari_monai=np.array(json.dumps(said)))
    with pytest.raises(ReadError, match=missing):
        io.read(tmp_path / "a.npz")


def test_an_archive_without_images(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", x=np.zeros(3))
    with pytest.raises(ReadError, match="holds no image"):
        io.read(tmp_path / "a.npz")


def test_a_bomb(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "a.npz", data=np.zeros((50, 50)))
    with zipfile.ZipFile(tmp_path / "a.npz") as archive:
        size = archive.infolist()[0].file_size
    content = (tmp_path / "a.npz").read_bytes()
    claimed = (size * 10**5).to_bytes(4, "little")
    (tmp_path / "a.npz").write_bytes(content.replace(size.to_bytes(4, "little"), claimed))
    with pytest.raises(ReadError):
        io.read(tmp_path / "a.npz")
