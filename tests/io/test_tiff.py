"""TIFF against tifffile and Pillow: axes, sizes, units, compression, large files."""

from __future__ import annotations

import gc
import struct
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import tifffile
from PIL import Image

from napari_monai import io
from napari_monai.errors import FormatError, ReadError, VolumeWarning
from napari_monai.grid import Grid
from napari_monai.io import tiff, tiff_write
from napari_monai.io.lazy import LazyArray
from napari_monai.volume import LabelVolume, Volume

LENGTHS = {"T": 2, "C": 5, "Z": 4, "Y": 6, "X": 7, "S": 3}


def voxels(*shape: int, dtype: str = "<u2") -> npt.NDArray[Any]:
    array = np.random.default_rng(5).integers(0, 200, shape)
    return array.astype(dtype)


def of_axes(axes: str, dtype: str = "<u2") -> npt.NDArray[Any]:
    return voxels(*(LENGTHS[a] for a in axes), dtype=dtype)


class TestAxes:
    @pytest.mark.parametrize(
        "axes",
        ["YX", "ZYX", "TYX", "CYX", "TZYX", "ZTYX", "CZYX", "ZCYX", "TCZYX", "TZCYX", "CTZYX",
         "ZCTYX", "CYXZ", "YXC", "XY"],
    )  # fmt: skip
    def test_any_order(self, tmp_path: Path, axes: str) -> None:
        array = of_axes(axes)
        tifffile.imwrite(
            tmp_path / "a.tif", array, metadata={"axes": axes}, photometric="minisblack"
        )
        volume = io.read(tmp_path / "a.tif")
        ours = [a for a in "TCZYX" if a in axes]
        assert volume.leading.upper() == "".join(a for a in ours if a in "TC")
        expected = array.transpose([axes.index(a) for a in ours])
        np.testing.assert_array_equal(volume.numpy(), expected)

    @pytest.mark.parametrize(
        ("shape", "leading"),
        [((6, 7), ""), ((9, 6, 7), ""), ((2, 9, 6, 7), "t"), ((2, 8, 9, 6, 7), "tc")],
        ids=str,
    )
    def test_nobody_said(self, tmp_path: Path, shape: tuple[int, ...], leading: str) -> None:
        array = voxels(*shape)
        tifffile.imwrite(tmp_path / "a.tif", array, photometric="minisblack")
        volume = io.read(tmp_path / "a.tif")
        assert volume.leading == leading
        np.testing.assert_array_equal(volume.numpy(), array)

    @pytest.mark.filterwarnings("ignore:.*are stored as RGB:DeprecationWarning")
    @pytest.mark.parametrize("slices", [3, 4])
    def test_few_slices_are_no_colours(self, tmp_path: Path, slices: int) -> None:
        array = voxels(slices, 6, 7)
        tifffile.imwrite(tmp_path / "a.tif", array)  # which takes them for RGB
        volume = io.read(tmp_path / "a.tif")
        assert (volume.leading, volume.grid.ndim) == ("", 3)
        np.testing.assert_array_equal(volume.numpy(), array)
        numbers = array.astype(np.uint8)
        tifffile.imwrite(tmp_path / "b.tif", numbers)
        found = io.read(tmp_path / "b.tif", labels=True)
        np.testing.assert_array_equal(found.numpy(), numbers)

    @pytest.mark.parametrize("order", ["<", ">"])
    @pytest.mark.parametrize("axes", ["YX", "ZYX", "TZCYX", "TZYX", "ZCYX"])
    def test_imagej(self, tmp_path: Path, axes: str, order: str) -> None:
        array = of_axes(axes)
        tifffile.imwrite(
            tmp_path / "a.tif", array, imagej=True, metadata={"axes": axes}, byteorder=order
        )
        volume = io.read(tmp_path / "a.tif")
        ours = [a for a in "TCZYX" if a in axes]
        expected = array.transpose([axes.index(a) for a in ours])
        np.testing.assert_array_equal(volume.numpy(), expected)

    def test_positions_are_no_space(self, tmp_path: Path) -> None:
        tifffile.imwrite(tmp_path / "a.tif", voxels(2, 6, 7), metadata={"axes": "PYX"})
        with pytest.raises(ReadError, match="an axis 'P' of 2 that is neither"):
            io.read(tmp_path / "a.tif")

    def test_several_images(self, tmp_path: Path) -> None:
        first, second = voxels(4, 6, 7), voxels(9, 8, dtype="u1")
        with tifffile.TiffWriter(tmp_path / "a.ome.tif", ome=True) as file:
            file.write(first, metadata={"axes": "ZYX", "Name": "lid", "PhysicalSizeX": 0.5,
                                        "PhysicalSizeZ": 3})  # fmt: skip
            file.write(second, metadata={"axes": "YX", "Name": "eye", "PhysicalSizeX": 2})
        lid, eye = io.read_all(tmp_path / "a.ome.tif")
        assert (lid.name, eye.name) == ("a lid", "a eye")
        assert (lid.grid.spacing, eye.grid.spacing) == ((3, 0.5, 0.5), (2, 2))
        np.testing.assert_array_equal(lid.numpy(), first)
        np.testing.assert_array_equal(eye.numpy(), second)
        np.testing.assert_array_equal(io.read(tmp_path / "a.ome.tif").numpy(), first)

    def test_the_first_level_of_a_pyramid(self, tmp_path: Path) -> None:
        array = voxels(64, 64)
        with tifffile.TiffWriter(tmp_path / "a.ome.tif", ome=True) as file:
            file.write(array, subifds=1, metadata={"axes": "YX", "PhysicalSizeX": 0.5})
            file.write(array[::2, ::2], subfiletype=1)
        (volume,) = io.read_all(tmp_path / "a.ome.tif")
        np.testing.assert_array_equal(volume.numpy(), array)


class TestColour:
    @pytest.mark.parametrize("dtype", ["u1", "<u2"])
    @pytest.mark.parametrize("samples", [3, 4])
    def test_picture(self, tmp_path: Path, samples: int, dtype: str) -> None:
        array = voxels(6, 7, samples, dtype=dtype)
        tifffile.imwrite(tmp_path / "a.tif", array, photometric="rgb")
        volume = io.read(tmp_path / "a.tif")
        assert (volume.rgb, volume.leading) == (True, "c")
        assert volume.channel_names == ("red", "green", "blue", "alpha")[:samples]
        np.testing.assert_array_equal(np.moveaxis(volume.numpy(), 0, -1), array)

    def test_planes(self, tmp_path: Path) -> None:
        array = voxels(3, 6, 7, dtype="u1")
        tifffile.imwrite(tmp_path / "a.tif", array, photometric="rgb", planarconfig="separate")
        volume = io.read(tmp_path / "a.tif")
        assert volume.rgb
        np.testing.assert_array_equal(volume.numpy(), array)

    @pytest.mark.parametrize("axes", ["ZYXS", "TYXS", "TZYXS"])
    def test_stacks(self, tmp_path: Path, axes: str) -> None:
        array = of_axes(axes, "u1")
        tifffile.imwrite(
            tmp_path / "a.tif", array, photometric="rgb", metadata={"axes": axes}, ome=True
        )
        volume = io.read(tmp_path / "a.tif")
        assert volume.rgb
        assert volume.leading == ("tc" if "T" in axes else "c")
        np.testing.assert_array_equal(
            np.moveaxis(volume.numpy(), volume.leading.index("c"), -1), array
        )

    @pytest.mark.parametrize("samples", [2, 5])
    def test_bands_are_channels(self, tmp_path: Path, samples: int) -> None:
        array = voxels(6, 7, samples, dtype="u1")
        tifffile.imwrite(tmp_path / "a.tif", array, photometric="minisblack", planarconfig="contig")
        volume = io.read(tmp_path / "a.tif")
        assert (volume.rgb, volume.channels) == (False, samples)
        np.testing.assert_array_equal(np.moveaxis(volume.numpy(), 0, -1), array)

    def test_channels_in_colour_are_all_channels(self, tmp_path: Path) -> None:
        array = voxels(2, 6, 7, 3, dtype="u1")
        tifffile.imwrite(
            tmp_path / "a.tif", array, photometric="rgb", ome=True, metadata={"axes": "CYXS"}
        )
        volume = io.read(tmp_path / "a.tif")
        assert (volume.rgb, volume.channels) == (False, 6)
        np.testing.assert_array_equal(volume.numpy()[4], array[1, :, :, 1])

    def test_palette(self, tmp_path: Path) -> None:
        array = voxels(6, 7, dtype="u1")
        colours = np.random.default_rng(1).integers(0, 2**16, (3, 256), dtype=np.uint16)
        tifffile.imwrite(tmp_path / "a.tif", array, photometric="palette", colormap=colours)
        volume = io.read(tmp_path / "a.tif")
        assert volume.rgb
        with Image.open(tmp_path / "a.tif") as picture:
            expected = np.array(picture.convert("RGB"))
        np.testing.assert_array_equal(np.moveaxis(volume.numpy(), 0, -1), expected)
        np.testing.assert_array_equal(io.read(tmp_path / "a.tif", labels=True).numpy(), array)

    @pytest.mark.parametrize("dtype", ["u1", "?"])
    def test_white_is_zero(self, tmp_path: Path, dtype: str) -> None:
        array = voxels(6, 7, dtype="u1") if dtype == "u1" else voxels(6, 7) > 100
        tifffile.imwrite(tmp_path / "a.tif", array, photometric="miniswhite")
        volume = io.read(tmp_path / "a.tif")
        np.testing.assert_array_equal(volume.numpy(), ~array)
        np.testing.assert_array_equal(io.read(tmp_path / "a.tif", labels=True).numpy(), array)


class TestSizes:
    def test_ome(self, tmp_path: Path) -> None:
        metadata = {
            "axes": "TCZYX",
            "PhysicalSizeX": 200, "PhysicalSizeXUnit": "nm",
            "PhysicalSizeY": 0.3, "PhysicalSizeYUnit": "µm",
            "PhysicalSizeZ": 1,
            "TimeIncrement": 20, "TimeIncrementUnit": "ms",
            "Channel": {"Name": list("abcde")},
        }  # fmt: skip
        tifffile.imwrite(tmp_path / "a.tif", of_axes("TCZYX"), ome=True, metadata=metadata)
        volume = io.read(tmp_path / "a.tif")
        assert volume.grid.unit == "nm"
        np.testing.assert_allclose(volume.grid.spacing, (1000, 300, 200))
        assert volume.time_step == pytest.approx(0.02)
        assert volume.channel_names == tuple("abcde")

    @pytest.mark.parametrize(
        ("unit", "spacing"),
        [("Å", (0.05, "nm")), ("in", (12.7, "mm")), ("reference frame", (0.5, "pixel")),
         ("pixel", (0.5, "pixel")), ("cm", (0.5, "cm"))],
    )  # fmt: skip
    def test_units_of_ome(self, tmp_path: Path, unit: str, spacing: tuple[float, str]) -> None:
        metadata = {"axes": "YX"}
        for axis in "XY":
            metadata |= {f"PhysicalSize{axis}": 0.5, f"PhysicalSize{axis}Unit": unit}
        tifffile.imwrite(tmp_path / "a.tif", voxels(6, 7), ome=True, metadata=metadata)
        grid = io.read(tmp_path / "a.tif").grid
        assert (grid.spacing[0], grid.unit) == (pytest.approx(spacing[0]), spacing[1])

    @pytest.mark.parametrize("unit", ["um", "micron", "\\u00B5m"])
    def test_imagej(self, tmp_path: Path, unit: str) -> None:
        metadata = {"axes": "TZYX", "spacing": 3.0, "unit": unit, "finterval": 0.5}
        tifffile.imwrite(
            tmp_path / "a.tif", voxels(2, 4, 6, 7), imagej=True, resolution=(4, 8),
            metadata=metadata,
        )  # fmt: skip
        volume = io.read(tmp_path / "a.tif")
        assert volume.grid.spacing == (3, 0.125, 0.25)
        assert (volume.grid.unit, volume.time_step) == ("µm", 0.5)

    def test_imagej_without_a_unit(self, tmp_path: Path) -> None:
        tifffile.imwrite(tmp_path / "a.tif", voxels(4, 6, 7), imagej=True,
                         metadata={"axes": "ZYX", "spacing": 3.0})  # fmt: skip
        grid = io.read(tmp_path / "a.tif").grid
        assert (grid.spacing, grid.unit) == ((3, 1, 1), "pixel")

    @pytest.mark.parametrize(
        ("resolution", "unit", "spacing"),
        [
            ((20000, 40000), "CENTIMETER", (0.25, 0.5)),
            ((25400, 25400), "INCH", (1, 1)),
            ((72, 72), "INCH", None),
            ((300, 300), "INCH", None),
            ((118.11, 118.11), "CENTIMETER", None),
            ((1, 1), "INCH", None),
            ((20000, 20000), "NONE", None),
        ],
    )
    def test_resolution(
        self, tmp_path: Path, resolution: Any, unit: str, spacing: tuple[float, float] | None
    ) -> None:
        tifffile.imwrite(
            tmp_path / "a.tif", voxels(6, 7), resolution=resolution, resolutionunit=unit
        )
        grid = io.read(tmp_path / "a.tif").grid
        assert grid.unit == ("pixel" if spacing is None else "µm")
        np.testing.assert_allclose(grid.spacing, spacing or (1, 1))

    def test_the_distance_of_slices_is_not_known(self, tmp_path: Path) -> None:
        metadata = {"axes": "ZYX", "PhysicalSizeX": 0.25, "PhysicalSizeY": 0.5}
        tifffile.imwrite(tmp_path / "a.tif", voxels(4, 6, 7), ome=True, metadata=metadata)
        with pytest.warns(VolumeWarning, match=r"how far apart its slices are: 0\.25 µm"):
            grid = io.read(tmp_path / "a.tif").grid
        assert grid.spacing == (0.25, 0.5, 0.25)

    def test_damaged_xml(self, tmp_path: Path) -> None:
        tifffile.imwrite(tmp_path / "a.tif", voxels(6, 7), ome=True, metadata={"axes": "YX"})
        content = (tmp_path / "a.tif").read_bytes().replace(b"<Pixels", b"<Pixel<")
        (tmp_path / "a.tif").write_bytes(content)
        with pytest.warns(VolumeWarning, match="damaged OME description"):
            volume = io.read(tmp_path / "a.tif")
        np.testing.assert_array_equal(volume.numpy(), voxels(6, 7))


class TestWriting:
    def test_as_tifffile_reads_it(self, tmp_path: Path) -> None:
        array = of_axes("TCZYX")
        grid = Grid.from_spacing((4, 6, 7), (3, 0.5, 0.1 + 0.2), unit="µm")
        io.write(tmp_path / "a.tif", Volume(array, grid, "tc", tuple("abcde"), time_step=1.5))
        with tifffile.TiffFile(tmp_path / "a.tif") as file:
            (series,) = file.series
            assert series.axes == "TCZYX"
            np.testing.assert_array_equal(series.asarray(), array)
            pixels = tifffile.xml2dict(file.ome_metadata)["OME"]["Image"]["Pixels"]
            x = file.pages.first.tags["XResolution"].value
            assert x[0] / x[1] == pytest.approx(1e4 / 0.3, rel=1e-6)
        assert pixels["PhysicalSizeX"] == 0.1 + 0.2
        assert (pixels["PhysicalSizeZ"], pixels["PhysicalSizeZUnit"]) == (3, "µm")
        assert (pixels["TimeIncrement"], pixels["TimeIncrementUnit"]) == (1.5, "s")
        assert [c["Name"] for c in pixels["Channel"]] == list("abcde")

    def test_pixels_without_a_size_are_given_none(self, tmp_path: Path) -> None:
        io.write(tmp_path / "a.tif", Volume(voxels(6, 7), Grid.from_spacing((6, 7))))
        with tifffile.TiffFile(tmp_path / "a.tif") as file:
            assert "PhysicalSize" not in file.ome_metadata

    def test_labels_are_small(self, tmp_path: Path) -> None:
        numbers = np.zeros((20, 200, 200), np.uint16)
        numbers[5:15, 50:150, 50:150] = 7
        io.write(tmp_path / "a.tif", LabelVolume(numbers, Grid.from_spacing(numbers.shape)))
        assert (tmp_path / "a.tif").stat().st_size < numbers.nbytes / 20
        np.testing.assert_array_equal(tifffile.imread(tmp_path / "a.tif"), numbers)

    @pytest.mark.parametrize(
        ("numbers", "stored"),
        [([0, 2**31 - 1], "int32"), ([0, 2**32 - 1], "uint32"), ([-5, 3], "int32")],
    )
    def test_large_integers(self, tmp_path: Path, numbers: list[int], stored: str) -> None:
        array = np.array([numbers], np.int64)
        io.write(tmp_path / "a.tif", LabelVolume(array, Grid.from_spacing((1, 2))))
        found = tifffile.imread(tmp_path / "a.tif")
        assert found.dtype == stored
        np.testing.assert_array_equal(found, array)

    def test_integers_that_tiff_lacks(self, tmp_path: Path) -> None:
        array = np.array([[-1, 2**40]])
        with pytest.raises(FormatError, match=r"int64 voxels that size: write \.npz"):
            io.write(tmp_path / "a.tif", Volume(array, Grid.from_spacing((1, 2))))

    @pytest.mark.parametrize(
        ("axes", "rgb", "labels"),
        [(a, False, False) for a in ("ZYX", "CZYX", "TYX", "TCZYX", "CYX")]
        + [(a, True, False) for a in ("CZYX", "TCZYX", "CYX")]
        + [(a, False, True) for a in ("ZYX", "TYX", "TZYX")],
    )
    def test_large_ones_plane_by_plane(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, axes: str, rgb: bool, labels: bool
    ) -> None:
        monkeypatch.setattr(tiff_write, "LAZY_FROM", 0)
        monkeypatch.setattr(tiff_write, "_BIG_FROM", 0)
        lengths = {**LENGTHS, "C": 3 if rgb else 5}
        array = voxels(*(lengths[a] for a in axes), dtype=">u2")
        leading = "".join(a for a in axes if a in "TC").lower()
        grid = Grid.from_spacing(array.shape[len(leading) :], unit="mm")
        made: dict[str, Any] = {"data": array, "grid": grid, "leading": leading}
        volume = LabelVolume(**made) if labels else Volume(**made, rgb=rgb)
        io.write(tmp_path / "a.tif", volume)
        with tifffile.TiffFile(tmp_path / "a.tif") as file:
            assert file.is_bigtiff
            assert len(file.series) == 1
        found = io.read(tmp_path / "a.tif", labels=labels)
        assert (found.leading, found.rgb, found.grid) == (leading, rgb, grid)
        np.testing.assert_array_equal(found.numpy(), array)


def with_pillow(*pages: npt.NDArray[Any], compression: str) -> Callable[[Path], None]:
    def save(path: Path) -> None:
        first, *rest = (Image.fromarray(p) for p in pages)
        first.save(path, save_all=True, append_images=rest, compression=compression)

    return save


class TestCompression:
    @pytest.mark.parametrize("compression", ["zlib", "lzma"])
    @pytest.mark.parametrize("predictor", [False, True])
    @pytest.mark.parametrize("dtype", ["u1", ">u2", "<i4"])
    def test_by_tifffile(
        self, tmp_path: Path, dtype: str, predictor: bool, compression: str
    ) -> None:
        array = voxels(4, 50, 60, dtype=dtype)
        tifffile.imwrite(tmp_path / "a.tif", array, compression=compression, predictor=predictor,
                         tile=(16, 32), byteorder=">", photometric="minisblack")  # fmt: skip
        np.testing.assert_array_equal(io.read(tmp_path / "a.tif").numpy(), array)

    @pytest.mark.parametrize("compression", ["tiff_lzw", "packbits", "tiff_deflate", "zstd"])
    @pytest.mark.parametrize("shape", [(50, 60), (50, 60, 3)], ids=["grey", "colour"])
    def test_by_pillow(self, tmp_path: Path, shape: tuple[int, ...], compression: str) -> None:
        array = voxels(*shape, dtype="u1")
        with_pillow(array, compression=compression)(tmp_path / "a.tif")
        volume = io.read(tmp_path / "a.tif")
        assert volume.rgb == (len(shape) == 3)
        found = np.moveaxis(volume.numpy(), 0, -1) if volume.rgb else volume.numpy()
        np.testing.assert_array_equal(found, array)

    @pytest.mark.parametrize("dtype", ["<u2", "<f4"])
    def test_stacks_by_pillow(self, tmp_path: Path, dtype: str) -> None:
        array = voxels(4, 50, 60, dtype=dtype)
        with_pillow(*array, compression="tiff_lzw")(tmp_path / "a.tif")
        found = io.read(tmp_path / "a.tif")
        assert found.dtype == dtype
        np.testing.assert_array_equal(found.numpy(), array)

    def test_fax_is_not_inverted_twice(self, tmp_path: Path) -> None:
        array = voxels(50, 60) > 100
        with_pillow(array, compression="group4")(tmp_path / "a.tif")
        np.testing.assert_array_equal(io.read(tmp_path / "a.tif").numpy(), array)

    def test_what_nothing_here_knows(self, tmp_path: Path) -> None:
        tifffile.imwrite(tmp_path / "a.tif", voxels(5, 6))
        content = (tmp_path / "a.tif").read_bytes()
        before, after = (struct.pack("<HHII", 259, 3, 1, code) for code in (1, 34712))
        assert before in content
        (tmp_path / "a.tif").write_bytes(content.replace(before, after))
        with pytest.raises(ReadError, match=r"JPEG2000: install the package imagecodecs, or"):
            io.read(tmp_path / "a.tif")


class TestLarge:
    @pytest.mark.parametrize("order", ["<", ">"])
    @pytest.mark.parametrize("bigtiff", [False, True])
    def test_uncompressed_is_mapped(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, order: str, bigtiff: bool
    ) -> None:
        array = of_axes("TZCYX")
        tifffile.imwrite(tmp_path / "a.tif", array, byteorder=order, bigtiff=bigtiff,
                         metadata={"axes": "TZCYX"}, photometric="minisblack")  # fmt: skip
        monkeypatch.setattr(tiff, "LAZY_FROM", 0)
        volume = io.read(tmp_path / "a.tif")
        assert isinstance(volume.data, np.memmap)
        np.testing.assert_array_equal(volume.numpy(), array.transpose(0, 2, 1, 3, 4))

    @pytest.mark.parametrize("axes", ["ZYX", "TZCYX", "YXS"])
    def test_compressed_is_read_as_it_is_sliced(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, axes: str
    ) -> None:
        array = of_axes(axes, "u1")
        photometric = "rgb" if "S" in axes else "minisblack"
        tifffile.imwrite(tmp_path / "a.tif", array, compression="zlib", ome=True,
                         metadata={"axes": axes}, photometric=photometric)  # fmt: skip
        expected = io.read(tmp_path / "a.tif").numpy()
        monkeypatch.setattr(tiff, "LAZY_FROM", 0)
        volume = io.read(tmp_path / "a.tif")
        assert isinstance(volume.data, LazyArray)
        np.testing.assert_array_equal(volume.numpy(), expected)
        np.testing.assert_array_equal(volume.data[..., 1, ::-1], expected[..., 1, ::-1])
        io.write(tmp_path / "b.tif", volume)
        np.testing.assert_array_equal(io.read(tmp_path / "b.tif").numpy(), expected)
        with warnings.catch_warnings():
            warnings.simplefilter("error", ResourceWarning)
            del volume
            gc.collect()
        (tmp_path / "a.tif").unlink()

    def test_damage_that_shows_late(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        array = voxels(4, 64, 64)
        tifffile.imwrite(tmp_path / "a.tif", array, compression="zlib", photometric="minisblack")
        with tifffile.TiffFile(tmp_path / "a.tif") as file:
            at = file.pages[2].dataoffsets[0]
        content = bytearray((tmp_path / "a.tif").read_bytes())
        content[at : at + 40] = bytes(40)
        (tmp_path / "a.tif").write_bytes(content)
        monkeypatch.setattr(tiff, "LAZY_FROM", 0)
        volume = io.read(tmp_path / "a.tif")
        np.testing.assert_array_equal(volume.data[1], array[1])
        with pytest.raises(ReadError, match=r"a\.tif cannot be read any further"):
            volume.data[2]
        with pytest.raises(ReadError):
            io.write(tmp_path / "b.tif", volume)
        assert not (tmp_path / "b.tif").exists()

    @pytest.mark.skipif(sys.platform != "linux", reason="sparse files, /proc")
    def test_five_gigabytes_in_little_memory(self, tmp_path: Path) -> None:
        path = tmp_path / "a.tif"
        array: Any = tifffile.memmap(
            path, shape=(1300, 1000, 2000), dtype=np.uint16, bigtiff=True,
            metadata={"axes": "ZYX"}, photometric="minisblack",
        )  # fmt: skip
        array[700, 3, 4] = 9
        del array
        code = (
            "import sys; from napari_monai import io;"
            "v = io.read(sys.argv[1]); assert v.grid.shape == (1300, 1000, 2000);"
            "assert v.data[700, 3].max() == 9;"
            'print(open("/proc/self/status").read().split("VmHWM:")[1].split()[0])'
        )
        done = subprocess.run(
            [sys.executable, "-c", code, str(path)], check=True, capture_output=True
        )
        assert int(done.stdout) < 300_000  # kB


class TestDamage:
    def test_more_voxels_than_the_file_can_hold(self, tmp_path: Path) -> None:
        tifffile.imwrite(tmp_path / "a.tif", voxels(50, 60), compression="zlib", metadata=None)
        content = (tmp_path / "a.tif").read_bytes()
        for tag, length in ((256, 60), (257, 50)):
            entry = struct.pack("<HHI", tag, 4, 1)
            assert entry + struct.pack("<I", length) in content
            content = content.replace(
                entry + struct.pack("<I", length), entry + struct.pack("<I", 10**5)
            )
        (tmp_path / "a.tif").write_bytes(content)
        with pytest.raises(ReadError, match=r"promises 20000000000 bytes"):
            io.read(tmp_path / "a.tif")

    @pytest.mark.parametrize(
        ("width", "message"),
        [(0, r"holds no image"), (10**8, r"promises 10000000000 bytes")],
        ids=["none", "far too many"],
    )
    def test_a_width_that_cannot_be(self, tmp_path: Path, width: int, message: str) -> None:
        tifffile.imwrite(tmp_path / "a.tif", voxels(50, 60), metadata=None)
        content = (tmp_path / "a.tif").read_bytes()
        entry = struct.pack("<HHI", 256, 4, 1)
        content = content.replace(entry + struct.pack("<I", 60), entry + struct.pack("<I", width))
        (tmp_path / "a.tif").write_bytes(content)
        with pytest.raises(ReadError, match=message):
            io.read(tmp_path / "a.tif")

    def test_pages_in_a_circle_end(self, tmp_path: Path) -> None:
        tifffile.imwrite(tmp_path / "a.tif", voxels(5, 6), metadata=None)
        content = bytearray((tmp_path / "a.tif").read_bytes())
        (first,) = struct.unpack("<I", content[4:8])
        (count,) = struct.unpack("<H", content[first : first + 2])
        link = first + 2 + 12 * count
        content[link : link + 4] = content[4:8]
        (tmp_path / "a.tif").write_bytes(content)
        np.testing.assert_array_equal(io.read(tmp_path / "a.tif").numpy(), voxels(5, 6))

    def test_complex_numbers(self, tmp_path: Path) -> None:
        tifffile.imwrite(tmp_path / "a.tif", np.zeros((5, 6), np.complex64))
        with pytest.raises(ReadError, match="made of numbers"):
            io.read(tmp_path / "a.tif")

    def test_what_tifffile_logs_stays_inside(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
    ) -> None:
        tifffile.imwrite(tmp_path / "a.tif", voxels(5, 6), ome=True)
        content = (tmp_path / "a.tif").read_bytes().replace(b"<Pixels", b"<Pixel<")
        (tmp_path / "a.tif").write_bytes(content)
        with pytest.warns(VolumeWarning):
            io.read(tmp_path / "a.tif")
        assert capfd.readouterr() == ("", "")
        assert not caplog.records
