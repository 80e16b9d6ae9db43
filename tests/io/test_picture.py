"""PNG, JPEG and BMP against Pillow: modes, palettes, orientation, what is lost and said."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from napari_monai import io
from napari_monai.errors import ReadError, VolumeWarning
from napari_monai.grid import Grid
from napari_monai.volume import LabelVolume, Volume


def pixels(*shape: int, dtype: str = "u1") -> npt.NDArray[Any]:
    high = np.iinfo(dtype).max
    return np.random.default_rng(2).integers(0, high, shape, endpoint=True).astype(dtype)


def chunk(name: bytes, content: bytes) -> bytes:
    check = struct.pack(">I", zlib.crc32(name + content))
    return struct.pack(">I", len(content)) + name + content + check


def png(array: npt.NDArray[Any], *, kind: int) -> bytes:
    """Return a PNG by hand: Pillow writes not all that the standard allows."""
    height, width = array.shape[:2]
    bits = array.dtype.itemsize * 8
    rows = [b"\0" + row.astype(array.dtype.newbyteorder(">")).tobytes() for row in array]
    head = struct.pack(">IIBBBBB", width, height, bits, kind, 0, 0, 0)
    body = zlib.compress(b"".join(rows))
    parts = chunk(b"IHDR", head) + chunk(b"IDAT", body) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + parts


class TestModes:
    @pytest.mark.parametrize("extension", [".png", ".bmp"])
    @pytest.mark.parametrize(
        ("shape", "mode"), [((5, 7), "L"), ((5, 7, 3), "RGB")], ids=["grey", "colour"]
    )
    def test_as_pillow(
        self, tmp_path: Path, shape: tuple[int, ...], mode: str, extension: str
    ) -> None:
        array = pixels(*shape)
        Image.fromarray(array).save(tmp_path / f"a{extension}")
        volume = io.read(tmp_path / f"a{extension}")
        assert volume.rgb == (mode == "RGB")
        found = np.moveaxis(volume.numpy(), 0, -1) if volume.rgb else volume.numpy()
        np.testing.assert_array_equal(found, array)
        assert volume.grid == Grid.from_spacing((5, 7))

    def test_sixteen_bits(self, tmp_path: Path) -> None:
        array = pixels(5, 7, dtype="u2")
        (tmp_path / "a.png").write_bytes(png(array, kind=0))
        volume = io.read(tmp_path / "a.png")
        assert volume.dtype == np.uint16
        np.testing.assert_array_equal(volume.numpy(), array)
        io.write(tmp_path / "b.png", volume)
        with Image.open(tmp_path / "b.png") as picture:
            assert picture.mode == "I;16"
            np.testing.assert_array_equal(np.array(picture), array)

    @pytest.mark.parametrize(("kind", "samples"), [(2, 3), (6, 4), (4, 2)])
    def test_sixteen_bits_of_colour_are_said_to_be_lost(
        self, tmp_path: Path, kind: int, samples: int
    ) -> None:
        array = pixels(5, 7, samples, dtype="u2")
        (tmp_path / "a.png").write_bytes(png(array, kind=kind))
        with pytest.warns(VolumeWarning, match=r"16 bits a colour; 8 were read\. Save it as TIFF"):
            volume = io.read(tmp_path / "a.png")
        assert volume.dtype == np.uint8
        if kind != 4:
            np.testing.assert_array_equal(
                np.moveaxis(volume.numpy(), 0, -1), (array >> 8).astype("u1")
            )

    @pytest.mark.parametrize("extension", [".png", ".bmp"])
    def test_one_bit(self, tmp_path: Path, extension: str) -> None:
        mask = pixels(5, 7) > 100
        Image.fromarray(mask).save(tmp_path / f"a{extension}")
        np.testing.assert_array_equal(io.read(tmp_path / f"a{extension}").numpy(), mask * 255)
        found = io.read(tmp_path / f"a{extension}", labels=True)
        np.testing.assert_array_equal(found.numpy(), mask)

    @pytest.mark.parametrize("transparent", [False, True])
    def test_palette(self, tmp_path: Path, transparent: bool) -> None:
        numbers = pixels(5, 7) % 4
        picture = Image.fromarray(numbers).convert("P")
        picture.putdata(numbers.ravel().tolist())
        picture.putpalette([0, 0, 0, 255, 0, 0, 0, 255, 0, 0, 0, 255])
        options = {"transparency": 0} if transparent else {}
        picture.save(tmp_path / "a.png", **options)
        volume = io.read(tmp_path / "a.png")
        assert volume.channels == (4 if transparent else 3)
        colours = np.array([[0, 0, 0], [255, 0, 0], [0, 255, 0], [0, 0, 255]], np.uint8)
        np.testing.assert_array_equal(np.moveaxis(volume.numpy()[:3], 0, -1), colours[numbers])
        np.testing.assert_array_equal(io.read(tmp_path / "a.png", labels=True).numpy(), numbers)

    def test_transparency_is_a_channel_of_colour_not_of_grey(self, tmp_path: Path) -> None:
        array = pixels(5, 7, 4)
        Image.fromarray(array).save(tmp_path / "a.png")
        np.testing.assert_array_equal(
            np.moveaxis(io.read(tmp_path / "a.png").numpy(), 0, -1), array
        )
        grey = Image.fromarray(array[..., 0]).convert("LA")
        grey.save(tmp_path / "b.png")
        np.testing.assert_array_equal(io.read(tmp_path / "b.png").numpy(), array[..., 0])

    def test_printers_colours(self, tmp_path: Path) -> None:
        Image.fromarray(pixels(16, 16, 4)).convert("RGB").convert("CMYK").save(
            tmp_path / "a.jpg", quality=100
        )
        assert io.read(tmp_path / "a.jpg").channels == 3

    def test_a_wrong_name(self, tmp_path: Path) -> None:
        array = pixels(5, 7)
        Image.fromarray(array).save(tmp_path / "a.jpg", format="PNG")
        np.testing.assert_array_equal(io.read(tmp_path / "a.jpg").numpy(), array)

    @pytest.mark.parametrize("orientation", range(1, 9))
    @pytest.mark.parametrize("extension", [".jpg", ".png"])
    def test_it_stands_as_the_camera_says(
        self, tmp_path: Path, extension: str, orientation: int
    ) -> None:
        array = np.zeros((16, 32), np.uint8)
        array[:8, :8] = 255
        exif = Image.Exif()
        exif[274] = orientation
        Image.fromarray(array).save(tmp_path / f"a{extension}", exif=exif, quality=100)
        turned = {
            1: array, 2: array[:, ::-1], 3: array[::-1, ::-1], 4: array[::-1],
            5: array.T, 6: array.T[:, ::-1], 7: array.T[::-1, ::-1], 8: array.T[::-1],
        }[orientation]  # fmt: skip
        found = io.read(tmp_path / f"a{extension}").numpy()
        np.testing.assert_allclose(found, turned, atol=3)


class TestWriting:
    @pytest.mark.parametrize(
        ("dtype", "stored"), [("?", "L"), ("u1", "L"), ("<u2", "I;16"), ("<i4", "I;16")]
    )
    def test_labels(self, tmp_path: Path, dtype: str, stored: str) -> None:
        numbers = np.array([[0, 1], [1, 0]]).astype(dtype)
        io.write(tmp_path / "a.png", LabelVolume(numbers, Grid.from_spacing((2, 2))))
        with Image.open(tmp_path / "a.png") as picture:
            assert picture.mode == stored
            np.testing.assert_array_equal(np.array(picture), numbers)

    def test_a_mask_as_an_image_is_seen(self, tmp_path: Path) -> None:
        mask = np.array([[False, True]])
        io.write(tmp_path / "a.png", Volume(mask, Grid.from_spacing((1, 2))))
        np.testing.assert_array_equal(io.read(tmp_path / "a.png").numpy(), [[0, 255]])

    def test_one_slice_one_time_one_channel(self, tmp_path: Path) -> None:
        array = pixels(1, 1, 1, 5, 7)
        volume = Volume(array, Grid.from_spacing((1, 5, 7)), "tc")
        io.write(tmp_path / "a.png", volume)
        np.testing.assert_array_equal(io.read(tmp_path / "a.png").numpy(), array[0, 0, 0])


class TestDamage:
    def test_a_bomb(self, tmp_path: Path) -> None:
        body = chunk(b"IDAT", zlib.compress(bytes(1000)))
        head = chunk(b"IHDR", struct.pack(">IIBBBBB", 12000, 12000, 8, 0, 0, 0, 0))
        (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n" + head + body + chunk(b"IEND", b""))
        with pytest.raises(ReadError, match="promises 144000000 bytes of voxels, the file holds"):
            io.read(tmp_path / "a.png")

    def test_too_many_pixels(self, tmp_path: Path) -> None:
        head = chunk(b"IHDR", struct.pack(">IIBBBBB", 60000, 60000, 8, 0, 0, 0, 0))
        (tmp_path / "a.png").write_bytes(
            b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", b"x" * 100) + chunk(b"IEND", b"")
        )
        with pytest.raises(ReadError, match="pixels: convert it to an uncompressed TIFF"):
            io.read(tmp_path / "a.png")

    def test_a_large_picture_is_no_attack(self, tmp_path: Path) -> None:
        array = np.zeros((9600, 9600), np.uint8)  # more than Pillow opens without a warning
        array[9599, 9599] = 7
        (tmp_path / "a.png").write_bytes(png(array, kind=0))
        assert io.read(tmp_path / "a.png").numpy()[9599, 9599] == 7

    def test_a_checksum_that_does_not_fit(self, tmp_path: Path) -> None:
        content = bytearray(png(pixels(5, 7), kind=0))
        content[-16] ^= 1  # of the pixels' chunk
        (tmp_path / "a.png").write_bytes(content)
        with pytest.raises(ReadError, match="checksum"):
            io.read(tmp_path / "a.png")

    @pytest.mark.parametrize(
        ("content", "what"),
        [
            (b"hello, I am a text\n", "it is a text"),
            (b"II*\0" + bytes(100), "it is a TIFF"),
            (b"PK\x03\x04" + bytes(100), "it is a zip file"),
            (b"\xff\xfe\x00\x01" * 30, "damaged or something else"),
        ],
    )
    def test_what_it_is(self, tmp_path: Path, content: bytes, what: str) -> None:
        (tmp_path / "a.png").write_bytes(content)
        with pytest.raises(ReadError, match=rf"a\.png is not a PNG, JPEG or BMP.*{what}"):
            io.read(tmp_path / "a.png")


def test_real_pictures(shared_data: Path, tmp_path: Path) -> None:
    folder = shared_data / "nuclei2d" / "val" / "fluorescence"
    for path in sorted((folder / "images").glob("*.png"))[:10]:
        volume = io.read(path)
        with Image.open(path) as picture:
            found = np.moveaxis(volume.numpy(), 0, -1) if volume.rgb else volume.numpy()
            np.testing.assert_array_equal(found, np.array(picture))
        labels = io.read(folder / "labels" / path.name, labels=True)
        assert labels.grid.shape == volume.grid.shape
        for extension in (".png", ".tif", ".npy", ".nii.gz"):
            io.write(tmp_path / f"a{extension}", labels)
            again = io.read(tmp_path / f"a{extension}", labels=True)
            np.testing.assert_array_equal(
                again.grid.reorientation_to().apply(again.numpy()), labels.numpy()
            )
