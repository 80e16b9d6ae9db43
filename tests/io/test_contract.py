"""What holds for every format: round trips, one-line errors, files that are never half-written."""

from __future__ import annotations

import errno
import itertools
import os
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_monai import io
from napari_monai.errors import (
    FormatError,
    NapariMonaiError,
    ReadError,
    VolumeWarning,
    WriteError,
)
from napari_monai.grid import Grid
from napari_monai.io import files
from napari_monai.volume import LabelClass, LabelKind, LabelVolume, Volume

INTEGERS = ["u1", "i1", "<u2", ">u2", "<i2", ">i2", "<u4", ">u4", "<i4", ">i4"]
FLOATS = ["<f4", ">f4", "<f8", ">f8"]
ALL = [*INTEGERS, *FLOATS]
EXACT = [
    ".nii",
    ".nii.gz",
    ".nrrd",
    ".mha",
    ".mhd",
    ".tif",
    ".ome.tif",
    ".npz",
]  # space, time, channels
CLASSES = [".nrrd", ".seg.nrrd", ".mha", ".npz"]  # names and colours
# Which number types each extension holds for images, and for labels.
TYPES = {
    **dict.fromkeys([*EXACT, ".npy"], (ALL, INTEGERS)),
    ".png": (["u1", "<u2", ">u2"], ["u1", "<u2", ">u2", "<i4", ">i4"]),
    ".bmp": (["u1"], ["u1", "<i4"]),
}
AXES = {"2d": ((5, 7), ""), "3d": ((4, 5, 7), ""), "3d+t": ((3, 4, 5, 7), "t"),
        "2d+t": ((3, 5, 7), "t"), "2d+c": ((2, 5, 7), "c"), "3d+c": ((2, 4, 5, 7), "c"),
        "2d+t+c": ((3, 2, 5, 7), "tc"), "3d+t+c": ((3, 2, 4, 5, 7), "tc")}  # fmt: skip


def voxels(shape: tuple[int, ...], dtype: str, high: int | None = None) -> npt.NDArray[Any]:
    """Return random voxels over the whole range of the type, both ends included."""
    kind, random = np.dtype(dtype), np.random.default_rng(7)
    if kind.kind == "f":
        return random.normal(scale=1e3, size=shape).astype(kind)
    limits = np.iinfo(kind)
    top = limits.max if high is None else min(high, limits.max)
    low = limits.min if high is None else 0
    array = random.integers(low, top, shape, endpoint=True, dtype=kind.newbyteorder("="))
    array.flat[0], array.flat[-1] = low, top
    return array.astype(kind)


def stack(axes: str = "3d", dtype: str = "u1", **options: Any) -> Volume:
    shape, leading = AXES[axes]
    n = len(shape) - len(leading)
    grid = Grid.from_spacing(shape[len(leading) :], (2.5, 0.3, 0.1 + 0.2)[-n:], unit="µm")
    return Volume(voxels(shape, dtype), grid, leading, **options)


def labels(shape: tuple[int, ...] = (5, 7), dtype: str = "u1", high: int = 255) -> LabelVolume:
    return LabelVolume(voxels(shape, dtype, high), Grid.from_spacing(shape))


def shown(volume: Volume) -> npt.NDArray[Any]:
    """Return the voxels as they are displayed, time and channels first."""
    return volume.grid.reorientation_to().apply(volume.numpy())


def assert_same_voxels(found: Volume, expected: Volume) -> None:
    assert found.dtype.kind == expected.dtype.kind
    assert found.dtype.itemsize == expected.dtype.itemsize
    np.testing.assert_array_equal(shown(found), shown(expected))


def round_trip(folder: Path, extension: str, volume: Volume) -> Volume:
    path = folder / f"image{extension}"
    io.write(path, volume)
    beside = {"image.raw", "image.zraw"} if extension == ".mhd" else set()
    assert set(os.listdir(folder)) - beside == {path.name}
    return io.read(path, labels=isinstance(volume, LabelVolume))


class TestRoundTrips:
    @pytest.mark.parametrize(
        ("extension", "dtype"), [(e, d) for e, (images, _) in TYPES.items() for d in images]
    )
    def test_every_number_type(self, tmp_path: Path, extension: str, dtype: str) -> None:
        volume = stack("2d", dtype)
        assert_same_voxels(round_trip(tmp_path, extension, volume), volume)

    @pytest.mark.parametrize(
        ("extension", "dtype"), [(e, d) for e, (_, numbers) in TYPES.items() for d in numbers]
    )
    def test_labels_keep_their_numbers(self, tmp_path: Path, extension: str, dtype: str) -> None:
        high = 255 if extension == ".bmp" else 65535 if extension == ".png" else 2**31 - 1
        volume = labels((5, 7), dtype, high)
        found = round_trip(tmp_path, extension, volume)
        assert isinstance(found, LabelVolume)
        np.testing.assert_array_equal(shown(found), shown(volume))

    @pytest.mark.parametrize("dtype", ["?", "f2", "<u8", ">i8"])
    @pytest.mark.parametrize("extension", EXACT)
    def test_types_that_few_formats_have(self, tmp_path: Path, extension: str, dtype: str) -> None:
        array = np.arange(35).reshape(5, 7).astype(dtype)
        volume = Volume(array, Grid.from_spacing((5, 7)))
        found = round_trip(tmp_path, extension, volume)
        np.testing.assert_array_equal(shown(found), array)
        if dtype != "f2":
            assert found.dtype.kind in "iub"
            whole = LabelVolume(array, volume.grid)
            (tmp_path / f"image{extension}").unlink()
            np.testing.assert_array_equal(shown(round_trip(tmp_path, extension, whole)), array)

    @pytest.mark.parametrize("axes", AXES)
    @pytest.mark.parametrize("extension", EXACT)
    def test_axes_sizes_and_names(self, tmp_path: Path, extension: str, axes: str) -> None:
        volume = stack(axes, "<i2", time_step=0.7)
        found = round_trip(tmp_path, extension, volume)
        if found.grid.ndim > volume.grid.ndim:  # NIfTI has time behind three axes
            assert found.grid.oriented().shape[0] == 1
            found = Volume(
                shown(found)[..., 0, :, :], volume.grid, found.leading, time_step=found.time_step
            )
        assert found.leading == volume.leading
        assert_same_voxels(found, volume)
        assert found.name == "image"
        nifti = extension.startswith(".nii")  # keeps 32 bits
        spacing = found.grid.oriented().spacing
        if nifti:
            np.testing.assert_allclose(spacing, volume.grid.spacing, rtol=1e-6)
        else:
            assert spacing == volume.grid.spacing
        assert (found.grid.unit, found.grid.anatomical) == ("µm", False)
        if "t" in volume.leading:
            assert found.time_step == pytest.approx(0.7)
        if extension not in (".nii", ".nii.gz"):
            assert found.grid == volume.grid

    @pytest.mark.parametrize("unit", ["nm", "µm", "mm", "cm", "m", "pixel"])
    @pytest.mark.parametrize("extension", EXACT)
    def test_units(self, tmp_path: Path, extension: str, unit: str) -> None:
        grid = Grid.from_spacing((4, 5, 7), (2, 0.5, 0.25), unit=unit)
        found = round_trip(tmp_path, extension, Volume(voxels((4, 5, 7), "u1"), grid))
        spacing = found.grid.oriented().spacing
        lacking = {".ni": ("nm", "cm"), ".mh": ("nm", "m")}
        if unit in lacking.get(extension[:3], ()):
            spacing = found.grid.oriented().spacing_in(unit)
        else:
            assert found.grid.unit == unit
        np.testing.assert_allclose(spacing, grid.spacing, rtol=1e-6)

    @pytest.mark.parametrize("channels", [3, 4])
    @pytest.mark.parametrize("extension", [*EXACT, ".npy", ".png", ".bmp"])
    def test_colour(self, tmp_path: Path, extension: str, channels: int) -> None:
        volume = Volume(voxels((channels, 5, 7), "u1"), Grid.from_spacing((5, 7)), "c", rgb=True)
        if extension == ".bmp" and channels == 4:
            with pytest.raises(FormatError, match=r"transparency.*\.png"):
                round_trip(tmp_path, extension, volume)
            return
        found = round_trip(tmp_path, extension, volume)
        assert found.rgb
        assert_same_voxels(found, volume)

    @pytest.mark.parametrize("extension", [".nii.gz", ".nrrd", ".mha", ".tif", ".npz", ".npy"])
    def test_colour_stacks(self, tmp_path: Path, extension: str) -> None:
        grid = Grid.from_spacing((4, 5, 7))
        volume = Volume(voxels((3, 4, 5, 7), "u1"), grid, "c", rgb=True)
        found = round_trip(tmp_path, extension, volume)
        assert (found.rgb, found.leading) == (True, "c")
        assert_same_voxels(found, volume)

    @pytest.mark.parametrize("extension", [".nrrd", ".mha", ".tif", ".npz"])
    def test_channel_names(self, tmp_path: Path, extension: str) -> None:
        volume = stack("3d+c", channel_names=("DAPI", "α-tubulin <&>"))
        assert round_trip(tmp_path, extension, volume).channel_names == volume.channel_names

    @pytest.mark.parametrize("kind", ["classes", "instances"])
    @pytest.mark.parametrize("extension", CLASSES)
    def test_class_names_and_colours(self, tmp_path: Path, extension: str, kind: LabelKind) -> None:
        volume = LabelVolume(
            voxels((4, 5, 7), "u1", 3),
            Grid.from_spacing((4, 5, 7)),
            classes=(
                LabelClass(1, "liver", "#ff0080"),
                LabelClass(2, "α: \\ = #:= 'x' \"y\"", "#123456"),
                LabelClass(3, "not in it", None if extension != ".seg.nrrd" else "#000000"),
            ),
            kind=kind,
        )
        found = round_trip(tmp_path, extension, volume)
        assert isinstance(found, LabelVolume)
        assert (found.classes, found.kind) == (volume.classes, kind)
        assert_same_voxels(found, volume)
        image = io.read(tmp_path / f"image{extension}")
        assert isinstance(image, LabelVolume)  # the file says so itself

    @pytest.mark.parametrize("kind", ["classes", "instances"])
    @pytest.mark.parametrize("extension", [*CLASSES, ".tif", ".ome.tif", ".ome.zarr"])
    def test_hidden_and_locked_classes(
        self, tmp_path: Path, extension: str, kind: LabelKind
    ) -> None:
        classes = (
            LabelClass(1, "liver", "#ff0080", visible=False),
            LabelClass(2, "spleen", "#123456", locked=True),
            LabelClass(3, "heart", "#00ff00", visible=False, locked=True),
            LabelClass(5, "lung", "#00ffff"),
        )
        grid = Grid.from_spacing((4, 5, 7))
        volume = LabelVolume(voxels(grid.shape, "u1", 3), grid, classes=classes, kind=kind)
        path = tmp_path / f"labels{extension}"
        io.write(path, volume)
        found = io.read(path, labels=True)
        assert isinstance(found, LabelVolume)
        assert found.classes == classes

    @pytest.mark.parametrize("codes", ["RAS", "LPS", "PSR"])
    @pytest.mark.parametrize(
        "extension", [".tif", ".png", ".npy", ".nii.gz", ".nrrd", ".mha", ".npz"]
    )
    def test_a_patient_looks_the_same(self, tmp_path: Path, extension: str, codes: str) -> None:
        depth = 1 if extension == ".png" else 4
        grid = Grid((7, 5, depth), np.diag([2, 3, 4, 1])).oriented(codes)
        volume = Volume(voxels(grid.shape, "u1"), grid)
        found = round_trip(tmp_path, extension, volume)
        np.testing.assert_array_equal(shown(found).reshape(shown(volume).shape), shown(volume))
        if extension == ".tif":
            assert found.grid.spacing == (4, 3, 2)
            assert found.grid.unit == "mm"
        elif extension in (".nii.gz", ".nrrd", ".mha", ".npz"):
            assert found.grid == volume.grid

    def test_jpeg_is_near(self, tmp_path: Path) -> None:
        ramp = np.tile(np.arange(64, dtype=np.uint8) * 3, (64, 1))
        grid = Grid.from_spacing((64, 64))
        grey = round_trip(tmp_path, ".jpg", Volume(ramp, grid))
        np.testing.assert_allclose(grey.numpy(), ramp, atol=4)
        (tmp_path / "image.jpg").unlink()
        colour = Volume(np.stack([ramp, ramp.T, ramp[::-1]]), grid, "c", rgb=True)
        found = round_trip(tmp_path, ".jpg", colour)
        assert np.abs(found.numpy().astype(int) - colour.numpy()).mean() < 4

    @pytest.mark.parametrize("extension", [".nii", ".tif", ".npz"])
    def test_a_file_written_over_itself(self, tmp_path: Path, extension: str) -> None:
        volume = stack("3d", "<i2")
        path = tmp_path / f"image{extension}"
        io.write(path, volume)
        io.write(path, io.read(path))
        assert_same_voxels(io.read(path), volume)


class TestWhatAFormatCannotHold:
    @pytest.mark.parametrize(
        ("name", "volume", "message"),
        [
            ("a.jpg", labels(), r"JPEG changes the numbers of labels: write \.png or \.tif"),
            ("a.png", labels(dtype="<i4", high=65536), r"PNG holds labels from 0 to 65535, not 0 "
             r"to 65536: write \.tif"),
            ("a.bmp", labels(dtype="<u2", high=256), r"0 to 255.*write \.png or \.tif"),
            ("a.png", labels((3, 5, 7)), r"not 3 slices: write \.tif or \.nii\.gz"),
            ("a.png", LabelVolume(np.full((5, 7), -1), Grid.from_spacing((5, 7))), "not -1 to -1"),
            ("a.png", stack("3d"), r"one picture, not 4 slices"),
            ("a.bmp", stack("2d+t"), r"one picture, not 3: write \.tif"),
            ("a.png", stack("2d+c"), r"not 2 channels: write \.tif"),
            ("a.png", stack("2d", "<f4"), r"PNG holds no float32 pixels: write \.tif"),
            ("a.jpg", stack("2d", "<u2"), r"JPEG holds no uint16 pixels"),
            ("a.npy", stack("2d+t"), r"which axis is time: write \.npz"),
            ("a.npy", stack("3d+c"), r"which axis is the channel: write \.npz"),
        ],
    )  # fmt: skip
    def test_says_the_cure(self, tmp_path: Path, name: str, volume: Volume, message: str) -> None:
        with pytest.raises(FormatError, match=message) as caught:
            io.write(tmp_path / name, volume)
        assert "\n" not in str(caught.value)
        assert os.listdir(tmp_path) == []


class TestNames:
    @pytest.mark.parametrize(
        ("name", "extension", "stem", "format_name"),
        [
            ("ct.nii.gz", ".nii.gz", "ct", "NIfTI"),
            ("a.b.OME.TIF", ".ome.tif", "a.b", "TIFF"),
            ("a.tiff", ".tiff", "a", "TIFF"),
            ("my.scan.nii", ".nii", "my.scan", "NIfTI"),
            ("x.JPEG", ".jpeg", "x", "JPEG"),
            ("pair.hdr", ".hdr", "pair", "NIfTI or ANALYZE pair"),
        ],
    )
    def test_the_longest_extension_wins(
        self, name: str, extension: str, stem: str, format_name: str
    ) -> None:
        assert io.extension_of(name) == extension
        assert io.stem_of(name) == stem
        assert io.format_of(name).name == format_name

    @pytest.mark.parametrize(
        ("name", "cure"),
        [
            ("a.tff", "Did you mean '.tiff'?"),
            ("a.nii.rar", "the extension '.rar' is not known"),
            ("a.dcm2", "Known: .bmp"),
            ("README", "the name has no extension. Known: .bmp"),
            (".png", "the name has no extension"),
        ],
    )
    @pytest.mark.parametrize("verb", ["read", "write"])
    def test_an_unknown_extension_names_the_known(
        self, tmp_path: Path, name: str, cure: str, verb: str
    ) -> None:
        path = tmp_path / name
        path.write_bytes(b"x")
        with pytest.raises(FormatError) as caught:
            io.read(path) if verb == "read" else io.write(path, stack("2d"))
        assert cure in str(caught.value)
        for known in (".nii.gz", ".ome.tif", ".png", ".npy"):
            assert known in str(caught.value)
        assert path.read_bytes() == b"x"

    def test_what_is_only_read(self, tmp_path: Path) -> None:
        with pytest.raises(FormatError, match=r"\.hdr is read only\. Write one of: \.bmp"):
            io.write(tmp_path / "a.hdr", stack("3d"))

    def test_extensions_belong_to_one_format(self) -> None:
        extensions = [e for f in io.FORMATS for e in f.extensions]
        assert len(set(extensions)) == len(extensions)
        assert set(io.known_extensions(writes=True)) < set(io.known_extensions())


READABLE = [
    ".nii",
    ".nii.gz",
    ".nrrd",
    ".mha",
    ".mha",
    ".tif",
    ".npy",
    ".npz",
    ".png",
    ".jpg",
    ".bmp",
]


def good_file(path: Path) -> Path:
    """Write an image with enough structure that damage shows."""
    shape = (24, 20) if path.suffix in (".png", ".jpg", ".bmp") else (3, 24, 20)
    io.write(path, Volume(voxels(shape, "u1"), Grid.from_spacing(shape)))
    return path


def assert_one_line(error: BaseException, path: Path) -> None:
    text = str(error)
    assert text.startswith(str(path))
    assert "\n" not in text
    assert text.endswith((".", "?"))


class TestBrokenFiles:
    @pytest.mark.parametrize("extension", READABLE)
    def test_missing(self, tmp_path: Path, extension: str) -> None:
        with pytest.raises(ReadError, match=r"There is no file .*a\..*Check its name"):
            io.read(tmp_path / f"a{extension}")

    @pytest.mark.parametrize("extension", READABLE)
    def test_a_folder(self, tmp_path: Path, extension: str) -> None:
        folder = tmp_path / f"a{extension}"
        folder.mkdir()
        with pytest.raises(ReadError, match=r"is a folder: .*read_all"):
            io.read(folder)
        with pytest.raises(WriteError, match="is a folder"):
            io.write(folder, stack("2d"))

    @pytest.mark.parametrize("content", [b"", b"hello\n" * 200, bytes(3000), b"\x1f\x8b" * 400],
                             ids=["empty", "text", "zeros", "like gzip"])  # fmt: skip
    @pytest.mark.parametrize("extension", [*READABLE, ".hdr", ".img"])
    def test_something_else(self, tmp_path: Path, extension: str, content: bytes) -> None:
        path = tmp_path / f"a{extension}"
        path.write_bytes(content)
        with pytest.raises(ReadError) as caught:
            io.read(path)
        assert_one_line(caught.value, path)

    @pytest.mark.parametrize("extension", READABLE)
    def test_truncated_anywhere(self, tmp_path: Path, extension: str) -> None:
        path = good_file(tmp_path / f"a{extension}")
        content = path.read_bytes()
        spare = 4 if extension == ".png" else 0  # the checksum of its end mark
        for size in {*range(1, len(content) - spare, 41), len(content) - spare - 1}:
            path.write_bytes(content[:size])
            with pytest.raises(ReadError) as caught:
                io.read(path)
            assert_one_line(caught.value, path)

    @pytest.mark.parametrize("extension", READABLE)
    @settings(max_examples=60)
    @given(data=st.data())
    def test_damaged_anywhere(
        self, tmp_path_factory: pytest.TempPathFactory, extension: str, data: st.DataObject
    ) -> None:
        path = good_file(tmp_path_factory.mktemp("damaged") / f"a{extension}")
        content = bytearray(path.read_bytes())
        for _ in range(data.draw(st.integers(1, 4))):
            at = data.draw(st.integers(0, len(content) - 1))
            content[at] = data.draw(st.integers(0, 255))
        path.write_bytes(bytes(content))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", VolumeWarning)
            try:
                volume = io.read(path)
                if volume.nbytes < 2**24:
                    volume.numpy()
            except ReadError as error:
                assert_one_line(error, path)

    @pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
    def test_a_pipe_does_not_wait(self, tmp_path: Path) -> None:
        os.mkfifo(tmp_path / "a.nii")
        with pytest.raises(ReadError, match="not a file"):
            io.read(tmp_path / "a.nii")

    @pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read")
    def test_no_permission(self, tmp_path: Path) -> None:
        path = good_file(tmp_path / "a.nii")
        path.chmod(0)
        with pytest.raises(ReadError, match="Permission denied"):
            io.read(path)


class TestAsLabels:
    @pytest.mark.parametrize("extension", [".nii.gz", ".tif", ".npy"])
    def test_whole_numbers_with_a_point(self, tmp_path: Path, extension: str) -> None:
        path = tmp_path / f"a{extension}"
        array = np.array([[0.0, 1], [2, 70000]])
        io.write(path, Volume(array, Grid.from_spacing((2, 2))))
        found = io.read(path, labels=True)
        assert isinstance(found, LabelVolume)
        assert found.dtype == np.int32
        np.testing.assert_array_equal(shown(found), array)

    @pytest.mark.parametrize("odd", [0.5, np.nan, np.inf, 1e12])
    def test_numbers_that_are_no_labels(self, tmp_path: Path, odd: float) -> None:
        path = tmp_path / "a.tif"
        io.write(path, Volume(np.array([[0.0, odd]]), Grid.from_spacing((1, 2))))
        with pytest.raises(ReadError, match=r"a\.tif holds .*: labels are whole numbers"):
            io.read(path, labels=True)

    def test_a_grey_picture_saved_in_colour(self, tmp_path: Path) -> None:
        grey = voxels((5, 7), "u1")
        grid = Grid.from_spacing((5, 7))
        io.write(tmp_path / "a.png", Volume(np.stack([grey] * 3), grid, "c", rgb=True))
        np.testing.assert_array_equal(io.read(tmp_path / "a.png", labels=True).numpy(), grey)
        io.write(tmp_path / "b.png", Volume(voxels((3, 5, 7), "u1"), grid, "c", rgb=True))
        with pytest.raises(ReadError, match="3 numbers a voxel"):
            io.read(tmp_path / "b.png", labels=True)

    def test_an_archive_keeps_what_it_was(self, tmp_path: Path) -> None:
        io.write(tmp_path / "a.npz", labels())
        assert isinstance(io.read(tmp_path / "a.npz"), LabelVolume)


class TestFolders:
    def test_all_that_can_be_read(self, tmp_path: Path) -> None:
        for name in ("b.png", "a.tif", "c.nii.gz", ".hidden.png"):
            io.write(tmp_path / name, labels())
        (tmp_path / "notes.txt").write_text("hello")
        (tmp_path / "inner.tif").mkdir()
        assert [v.name for v in io.read_all(tmp_path)] == ["a", "b", "c"]
        assert [v.name for v in io.read_all(tmp_path / "a.tif")] == ["a"]
        found = io.read_all(tmp_path, labels=True)
        assert all(isinstance(v, LabelVolume) for v in found)

    def test_broken_ones_are_said(self, tmp_path: Path) -> None:
        io.write(tmp_path / "a.png", labels())
        (tmp_path / "b.png").write_text("hello")
        with pytest.warns(VolumeWarning, match=r"Passed over: .*b\.png is not a PNG"):
            assert len(io.read_all(tmp_path)) == 1

    def test_nothing_to_read(self, tmp_path: Path) -> None:
        (tmp_path / "notes.txt").write_text("hello")
        with pytest.raises(ReadError, match=r"holds no image that can be read\. Known: \.bmp"):
            io.read_all(tmp_path)
        with pytest.raises(ReadError, match="There is no file"):
            io.read_all(tmp_path / "missing.png")

    def test_many_in_one_file(self, tmp_path: Path) -> None:
        np.savez(tmp_path / "a.npz", first=np.zeros((4, 5)), second=np.ones((3, 4, 5)), x=3)
        assert [v.name for v in io.read_all(tmp_path / "a.npz")] == ["a first", "a second"]
        assert io.read(tmp_path / "a.npz").grid.shape == (4, 5)


class FullDisk:
    """Voxels that the disk has no room for any more halfway through."""

    shape, dtype = (4, 300, 300), np.dtype(np.uint8)

    def __init__(self, failure: BaseException) -> None:
        self.failure = failure

    def __getitem__(self, key: Any) -> Any:
        raise self.failure


class TestWriting:
    @pytest.mark.parametrize("failure", [
        OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt(), MemoryError(),
    ], ids=["full disk", "interrupt", "memory"])  # fmt: skip
    @pytest.mark.parametrize(
        "extension", [".nii", ".nii.gz", ".nrrd", ".mha", ".tif", ".npy", ".npz"]
    )
    def test_a_failure_leaves_the_older_file(
        self, tmp_path: Path, extension: str, failure: BaseException
    ) -> None:
        path = tmp_path / f"a{extension}"
        path.write_bytes(b"the older file")
        volume = Volume(FullDisk(failure), Grid.from_spacing(FullDisk.shape))
        expected = NapariMonaiError if isinstance(failure, Exception) else type(failure)
        with pytest.raises(expected):
            io.write(path, volume)
        assert path.read_bytes() == b"the older file"
        assert os.listdir(tmp_path) == [path.name]

    def test_no_folder(self, tmp_path: Path) -> None:
        with pytest.raises(WriteError, match=r"There is no folder .*deep: make it"):
            io.write(tmp_path / "deep" / "a.tif", stack("2d"))

    def test_a_link_stays_a_link(self, tmp_path: Path) -> None:
        (tmp_path / "real").mkdir()
        link = tmp_path / "link.png"
        link.symlink_to(tmp_path / "real" / "target.png")
        io.write(link, labels())
        assert link.is_symlink()
        assert os.listdir(tmp_path / "real") == ["target.png"]

    def test_the_usual_permissions(self, tmp_path: Path) -> None:
        (tmp_path / "plain").write_bytes(b"")
        io.write(tmp_path / "a.png", labels())
        assert (tmp_path / "a.png").stat().st_mode == (tmp_path / "plain").stat().st_mode

    def test_a_folder_that_takes_no_file_is_said_of_the_file(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_bytes(b"")
        path = tmp_path / "file" / "x.csv"
        with pytest.raises(NotADirectoryError, match=r"x\.csv") as found, files.replacing(path):
            pass
        assert found.value.filename == str(path)

    def test_replacing_shows_the_new_file_only_when_complete(self, tmp_path: Path) -> None:
        path = tmp_path / "a.txt"
        path.write_text("old")
        with files.replacing(path) as beside:
            beside.write_text("new")
            assert path.read_text() == "old"
        assert path.read_text() == "new"
        assert os.listdir(tmp_path) == ["a.txt"]


def test_labels_written_twice_are_the_same_bytes(tmp_path: Path) -> None:
    for extension, name in itertools.product((".nii.gz", ".nrrd", ".mha", ".png", ".npy"), "ab"):
        io.write(tmp_path / f"{name}{extension}", labels())
    for extension in (".nii.gz", ".nrrd", ".mha", ".png", ".npy"):
        one, two = ((tmp_path / f"{n}{extension}").read_bytes() for n in "ab")
        assert one == two
