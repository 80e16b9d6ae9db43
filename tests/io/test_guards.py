"""Hostile files and folders of every format: one line or a said fallback, and no memory."""

from __future__ import annotations

import contextlib
import gzip
import json
import os
import struct
import subprocess
import sys
import tempfile
import warnings
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import nibabel as nib
import numpy as np
import pydicom
import pytest
import tifffile
from tests.io.dicom_files import axial, save, slice_of

from napari_monai import io
from napari_monai.cli import main
from napari_monai.errors import ReadError, VolumeWarning
from napari_monai.grid import Grid
from napari_monai.volume import Volume

HUGE = 30000


def nifti(path: Path) -> None:
    header = nib.Nifti1Header()
    header.set_data_shape((HUGE, HUGE, HUGE))
    header.set_data_dtype("u1")
    header["magic"], header["vox_offset"] = header.single_magic, 352
    content = header.binaryblock + bytes(2000)
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)


def nrrd(path: Path, encoding: str) -> None:
    voxels = gzip.compress(bytes(2000)) if encoding == "gzip" else bytes(2000)
    path.write_bytes(
        f"NRRD0004\ntype: uchar\ndimension: 3\nsizes: {HUGE} {HUGE} {HUGE}\nencoding: {encoding}"
        "\n\n".encode()
        + voxels
    )


def metaimage(path: Path, packed: str) -> None:
    voxels = zlib.compress(bytes(2000)) if packed == "True" else bytes(2000)
    path.write_bytes(
        f"ObjectType = Image\nNDims = 3\nDimSize = {HUGE} {HUGE} {HUGE}\nElementType = MET_UCHAR\n"
        f"CompressedData = {packed}\nElementDataFile = LOCAL\n".encode()
        + voxels
    )


def numpy_file(path: Path) -> None:
    text = f"{{'descr': '|u1', 'fortran_order': False, 'shape': ({HUGE}, {HUGE}, {HUGE}), }}\n"
    head = b"\x93NUMPY\1\0" + struct.pack("<H", len(text)) + text.encode()
    path.write_bytes(head + bytes(2000))


def tiff(path: Path, compression: str | None) -> None:
    """Write one page, and make it 30000 rows of 30000 columns by its tags."""
    tifffile.imwrite(path, np.zeros((40, 40), "u1"), compression=compression)
    content = bytearray(path.read_bytes())
    (where,) = struct.unpack_from("<I", content, 4)
    (count,) = struct.unpack_from("<H", content, where)
    for entry in range(where + 2, where + 2 + 12 * count, 12):
        (tag,) = struct.unpack_from("<H", content, entry)
        if tag in (256, 257, 278):  # columns, rows, rows of a strip
            struct.pack_into("<HHII", content, entry, tag, 4, 1, HUGE)
    path.write_bytes(bytes(content))


def png(path: Path) -> None:
    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(
            ">I", zlib.crc32(kind + content))  # fmt: skip

    head = struct.pack(">IIBBBBB", 2 * HUGE, 2 * HUGE, 8, 0, 0, 0, 0)
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(bytes(2000)))
        + chunk(b"IEND", b"")
    )  # fmt: skip


def bmp(path: Path) -> None:
    head = struct.pack("<IiiHHIIiiII", 40, HUGE, HUGE, 1, 24, 0, 0, 0, 0, 0, 0)
    path.write_bytes(b"BM" + struct.pack("<IHHI", 2054, 0, 0, 54) + head + bytes(2000))


def dicom(path: Path, packed: bool) -> None:
    made = slice_of()
    if packed:
        made.compress(pydicom.uid.RLELossless)
    made.Rows, made.Columns, made.NumberOfFrames = HUGE, HUGE, HUGE
    made.save_as(path)


def ome_zarr(path: Path) -> None:
    """Write an image whose only chunk would be all of it."""
    path.mkdir()
    shape = [HUGE] * 3
    axes = [{"name": n, "type": "space"} for n in "zyx"]
    scale = [{"type": "scale", "scale": [1, 1, 1]}]
    multiscales = [{"version": "0.4", "axes": axes,
                    "datasets": [{"path": "0", "coordinateTransformations": scale}]}]  # fmt: skip
    (path / ".zgroup").write_text('{"zarr_format": 2}')
    (path / ".zattrs").write_text(json.dumps({"multiscales": multiscales}))
    (path / "0").mkdir()
    (path / "0" / ".zarray").write_text(json.dumps({
        "zarr_format": 2, "shape": shape, "chunks": shape, "dtype": "|u1", "compressor": None,
        "fill_value": 0, "order": "C", "filters": None, "dimension_separator": "/",
    }))  # fmt: skip


ABSURD: dict[str, Callable[[Path], None]] = {
    "a.nii": nifti,
    "a.nii.gz": nifti,
    "raw.nrrd": lambda path: nrrd(path, "raw"),
    "gzip.nrrd": lambda path: nrrd(path, "gzip"),
    "raw.mha": lambda path: metaimage(path, "False"),
    "zlib.mha": lambda path: metaimage(path, "True"),
    "a.npy": numpy_file,
    "raw.tif": lambda path: tiff(path, None),
    "zlib.tif": lambda path: tiff(path, "zlib"),
    "a.png": png,
    "a.bmp": bmp,
    "raw.dcm": lambda path: dicom(path, False),
    "rle.dcm": lambda path: dicom(path, True),
    "a.ome.zarr": ome_zarr,
}
# Reads each file with no more memory than what Python and the libraries have, and some.
READER = """
import json, resource, sys, warnings
import nibabel, nrrd, numpy, PIL.Image, pydicom.pixels.decoders, tifffile, zarr
from napari_monai import io
from napari_monai.errors import NapariMonaiError
import napari_monai.io.dicom
warnings.simplefilter("ignore")
with open("/proc/self/statm") as file:
    used = int(file.read().split()[0]) * resource.getpagesize()
limit = used + 200 * 2**20
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
found = {}
for path in sys.argv[1:]:
    try:
        volume = io.read(path)
        block = volume.data[0, 0, :10] if volume.grid.ndim == 3 else volume.numpy()
        found[path] = "read"
    except NapariMonaiError as error:
        found[path] = f"{type(error).__name__}: {error}"
    except BaseException as error:
        found[path] = f"NOT OURS: {type(error).__name__}: {error}"
print(json.dumps(found))
"""


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs Linux")
def test_absurd_sizes_ask_for_no_memory(tmp_path: Path) -> None:
    paths = [tmp_path / name for name in ABSURD]
    for path, make in zip(paths, ABSURD.values(), strict=True):
        make(path)
    command = [sys.executable, "-c", READER, *map(str, paths)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    for path in paths:
        said = found[str(path)]
        assert said.startswith("ReadError: "), (path.name, said)
        assert path.name in said
        assert "\n" not in said


def mixed(folder: Path) -> None:
    """Fill a folder with good images of each format."""
    volume = Volume(np.arange(60).reshape(3, 5, 4).astype("u1"), Grid.from_spacing((3, 5, 4)))
    for ending in (".nii.gz", ".nrrd", ".mha", ".tif", ".npz"):
        io.write(folder / f"good{ending}", volume)
    save(folder / "series", axial([0, 2, 4]))


def test_a_folder_of_traps(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Everything that can be read is; what cannot is named; nothing waits, loops or crashes."""
    folder = tmp_path / "in"
    folder.mkdir()
    mixed(folder)
    for name, make in ABSURD.items():
        make(folder / f"bad-{name}")
    for ending in (".nii", ".nii.gz", ".nrrd", ".mha", ".tif", ".npy", ".npz", ".png", ".dcm",
                   ".zip", ""):  # fmt: skip
        (folder / f"empty{ending}").write_bytes(b"")
        (folder / f"text{ending}").write_text("this is no image\n" * 20)
    (folder / "wrong.nii.gz").write_bytes((folder / "good.tif").read_bytes())
    (folder / "names.nhdr").write_text(
        "NRRD0004\ntype: uchar\ndimension: 2\nsizes: 2 2\nencoding: raw\ndata file: /etc/passwd\n"
    )
    (folder / "names.mhd").write_text(
        "ObjectType = Image\nNDims = 2\nDimSize = 2 2\nElementType = MET_UCHAR\n"
        "ElementDataFile = ../../../../etc/passwd\n"
    )
    if hasattr(os, "mkfifo"):
        os.mkfifo(folder / "pipe.nii")
        os.mkfifo(folder / "pipe.dcm")
    (folder / "loop").symlink_to(folder)
    (folder / "series" / "up").symlink_to(folder)
    (folder / "gone.tif").symlink_to(tmp_path / "gone.tif")
    assert main(["convert", str(folder), str(tmp_path / "out")]) == 1
    lines = capsys.readouterr().err.splitlines()
    written = sorted(p.name for p in (tmp_path / "out").iterdir())
    assert [n for n in written if n.startswith("3_")] == ["3_THORAX.nii.gz"]
    assert len([n for n in written if n.startswith("good")]) == 5
    assert len(written) == 6, written
    said = "\n".join(lines)
    of_formats = [n for n in ABSURD if not n.endswith(".dcm")]
    for name in (*(f"bad-{n}" for n in of_formats), "wrong.nii.gz", "names.nhdr", "names.mhd"):
        assert f"{folder / name}" in said, name
    for name in ("bad-raw.dcm", "bad-rle.dcm", "pipe.dcm", "loop", "up"):  # in one line together
        assert name in said or "more" in said, name
    assert all(line.startswith("napari-monai: ") for line in lines)


@contextlib.contextmanager
def without_privileges() -> Iterator[None]:
    """Drop root's right to read everything for a while."""
    root = hasattr(os, "geteuid") and os.geteuid() == 0
    if root:
        os.seteuid(65534)
    try:
        yield
    finally:
        if root:
            os.seteuid(0)


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="needs permissions")
def test_folders_and_files_without_permission() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        save(folder / "open", axial([0, 2, 4]))
        save(folder / "closed", axial([6, 8], SeriesInstanceUID="1.9"))
        (folder / "closed").chmod(0)
        (folder / "secret.dcm").write_bytes((folder / "open" / "000.dcm").read_bytes())
        (folder / "secret.dcm").chmod(0)
        try:
            with without_privileges(), warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                (volume,) = io.read_all(folder)
                with pytest.raises(ReadError, match="closed cannot be looked into: Perm"):
                    io.read_all(folder / "closed")
                with pytest.raises(ReadError, match="Permission denied"):
                    io.read(folder / "secret.dcm")
        finally:
            (folder / "closed").chmod(0o755)
        assert volume.grid.shape[0] == 3
        said = " ".join(str(w.message) for w in caught)
        assert all(w.category is VolumeWarning for w in caught)
        assert "closed (cannot be looked into" in said
        assert "secret.dcm (cannot be opened: Permission denied)" in said


@pytest.mark.parametrize("ending", [".nii.gz", ".nrrd", ".npz", ".png", ".zip"])
def test_a_flipped_bit_in_what_has_a_checksum(tmp_path: Path, ending: str) -> None:
    """No voxel of a damaged file is shown as if it were right."""
    path = tmp_path / f"a{ending}"
    random = np.random.default_rng(8)
    shape = (60, 70) if ending == ".png" else (4, 60, 70)
    if ending == ".zip":
        import shutil

        made = [slice_of((0, 0, k), number=k, pixels=random.integers(0, 999, (60, 70), "u2"))
                for k in range(4)]  # fmt: skip
        shutil.make_archive(str(path.with_suffix("")), "zip", save(tmp_path / "in", made))
    else:
        io.write(path, Volume(random.integers(0, 255, shape, "u1"), Grid.from_spacing(shape)))
    content = bytearray(path.read_bytes())
    whole = io.read(path).numpy()
    content[len(content) // 3] ^= 4
    path.write_bytes(bytes(content))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            found = io.read_all(path)
        except ReadError:
            return
    assert ending == ".zip"  # the slice that is damaged is left out, and said
    assert any("damaged" in str(w.message) for w in caught)
    assert sum(v.grid.shape[0] for v in found) < len(whole)
