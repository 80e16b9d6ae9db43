"""MetaImage: against literal bytes and SimpleITK, files beside the header, hostile files."""

from __future__ import annotations

import contextlib
import gzip
import os
import warnings
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.space import ORIENTATIONS, grid

from napari_monai import io
from napari_monai.errors import FormatError, ReadError, VolumeWarning, WriteError
from napari_monai.grid import Grid
from napari_monai.volume import LabelClass, LabelVolume, Volume

VOXELS = np.arange(4 * 5 * 6, dtype=np.int16).reshape((4, 5, 6), order="F") - 7
BASE = {
    "ObjectType": "Image",
    "NDims": "3",
    "BinaryData": "True",
    "BinaryDataByteOrderMSB": "False",
    "CompressedData": "False",
    "TransformMatrix": "0 1 0 0 0 1 1 0 0",
    "Offset": "10 20 30",
    "CenterOfRotation": "0 0 0",
    "AnatomicalOrientation": "ASR",
    "ElementSpacing": "2 3 4",
    "DimSize": "4 5 6",
    "ElementType": "MET_SHORT",
    "ElementDataFile": "LOCAL",
}
# The first row is the direction of the first axis: towards posterior, then superior, then left.
SPACE = Grid((4, 5, 6), np.array([[0, 0, -4, -10], [-2, 0, 0, -20], [0, 3, 0, 30], [0, 0, 0, 1.0]]))


def text(changes: dict[str, str | None] | None = None) -> bytes:
    fields = {**BASE, **(changes or {})}
    where = fields.pop("ElementDataFile")
    lines = [f"{k} = {v}\n" for k, v in fields.items() if v is not None]
    return ("".join(lines) + f"ElementDataFile = {where}\n").encode()


def put(
    path: Path, changes: dict[str, str | None] | None = None, body: bytes | None = None
) -> Path:
    path.write_bytes(text(changes) + (VOXELS.tobytes(order="F") if body is None else body))
    return path


TYPES = ["CHAR", "UCHAR", "SHORT", "USHORT", "INT", "UINT", "LONG", "ULONG", "LONG_LONG",
         "ULONG_LONG", "FLOAT", "DOUBLE"]  # fmt: skip

LITERAL = (
    b"ObjectType = Image\nNDims = 2\nBinaryData = True\nBinaryDataByteOrderMSB = True\n"
    b"ElementSpacing = 0.5 0.25\nDimSize = 3 2\nElementType = MET_USHORT\n"
    b"ElementDataFile = LOCAL\n\x00\x01\x00\x02\x00\x03\x01\x00\x01\x01\x01\x02"
)


def test_a_literal_file(tmp_path: Path) -> None:
    (tmp_path / "a.mha").write_bytes(LITERAL)
    found = io.read(tmp_path / "a.mha")
    assert found.numpy().tolist() == [[1, 2, 3], [256, 257, 258]]
    assert found.grid == Grid.from_spacing((2, 3), (0.25, 0.5), unit="mm")


def test_the_bytes_we_write(tmp_path: Path) -> None:
    array = np.array([[1, 2, 3], [256, 257, 258]], ">u2")
    io.write(tmp_path / "a.mha", Volume(array, Grid.from_spacing((2, 3), (0.25, 0.5), unit="mm")))
    assert (tmp_path / "a.mha").read_bytes() == (
        b"ObjectType = Image\nNDims = 2\nBinaryData = True\nBinaryDataByteOrderMSB = False\n"
        b"CompressedData = False\nTransformMatrix = 1.0 0.0 0.0 1.0\nOffset = 0.0 0.0\n"
        b"CenterOfRotation = 0.0 0.0\nElementSpacing = 0.5 0.25\nDimSize = 3 2\n"
        b"AnatomicalOrientation = ???\nDistanceUnits = mm\nElementType = MET_USHORT\n"
        b"ElementDataFile = LOCAL\n\x01\x00\x02\x00\x03\x00\x00\x01\x01\x01\x02\x01"
    )


class TestSpace:
    def test_rows_are_directions(self, tmp_path: Path) -> None:
        found = io.read(put(tmp_path / "a.mha"))
        assert found.grid == SPACE
        np.testing.assert_array_equal(found.numpy(), VOXELS)

    @pytest.mark.parametrize(
        "names", [("Orientation", "Position"), ("Rotation", "Origin")], ids=str
    )
    def test_other_names(self, tmp_path: Path, names: tuple[str, str]) -> None:
        changes: dict[str, str | None] = {"TransformMatrix": None, "Offset": None}
        changes |= {names[0]: BASE["TransformMatrix"], names[1]: BASE["Offset"]}
        changes |= {"ElementSpacing": None, "ElementSize": "2 3 4"}
        assert io.read(put(tmp_path / "a.mha", changes)).grid == SPACE

    def test_centre_of_rotation_changes_nothing(self, tmp_path: Path) -> None:
        assert io.read(put(tmp_path / "a.mha", {"CenterOfRotation": "5 6 7"})).grid == SPACE

    @pytest.mark.parametrize(("said", "unit"), [("um", "µm"), ("cm", "cm"), ("?", "pixel")])
    def test_units(self, tmp_path: Path, said: str, unit: str) -> None:
        assert io.read(put(tmp_path / "a.mha", {"DistanceUnits": said})).grid.unit == unit

    @pytest.mark.parametrize(
        "changes",
        [{"ElementSpacing": "nan 3 4"}, {"ElementSpacing": "0 3 4"}, {"Offset": "inf 0 0"},
         {"TransformMatrix": "1 0 0 1 0 0 0 0 1"}, {"TransformMatrix": "0 0 0 0 0 0 0 0 0"}],
        ids=str,
    )  # fmt: skip
    def test_that_is_none(self, tmp_path: Path, changes: Any) -> None:
        put(tmp_path / "a.mha", changes)
        with pytest.warns(VolumeWarning, match="only the voxel size"):
            found = io.read(tmp_path / "a.mha")
        assert not found.grid.anatomical
        assert found.grid.spacing[1:] == (3, 4)

    def test_written_again_to_the_digit(self, tmp_path: Path) -> None:
        matrix = "0.96 0.28 0 -0.28 0.96 0 0 0 1"
        put(tmp_path / "a.mha", {"TransformMatrix": matrix, "ElementSpacing": "0.70 1.10 3"})
        volume = io.read(tmp_path / "a.mha")
        labels = LabelVolume(np.ones((4, 5, 6), np.uint8), volume.grid, meta=volume.meta)
        io.write(tmp_path / "b.mha", labels)
        assert f"TransformMatrix = {matrix}\n".encode() in (tmp_path / "b.mha").read_bytes()
        assert io.read(tmp_path / "b.mha", labels=True).grid == volume.grid

    @pytest.mark.parametrize("codes", ORIENTATIONS)
    def test_every_orientation(self, tmp_path: Path, codes: str) -> None:
        space = grid((4, 5, 6), codes, (1.1, 2.2, 3.3), tilt=0.28)
        io.write(tmp_path / "a.mha", Volume(VOXELS, space))
        found = io.read(tmp_path / "a.mha")
        assert found.grid.is_close(space, tolerance=1e-12)
        np.testing.assert_array_equal(found.numpy(), VOXELS)


class TestAgainstSimpleITK:
    @pytest.fixture
    def sitk(self) -> Any:
        return pytest.importorskip("SimpleITK", reason="an oracle for geometry")

    @pytest.mark.parametrize("packed", [False, True])
    @pytest.mark.parametrize("extension", [".mha", ".mhd"])
    def test_what_it_writes(self, tmp_path: Path, sitk: Any, extension: str, packed: bool) -> None:
        image = sitk.GetImageFromArray(VOXELS.T)
        image.SetSpacing((1.1, 2.2, 3.3))
        image.SetOrigin((10, 20, 30))
        image.SetDirection((0.96, -0.28, 0, 0.28, 0.96, 0, 0, 0, 1))
        path = tmp_path / f"a{extension}"
        sitk.WriteImage(image, str(path), useCompression=packed)
        found = io.read(path)
        np.testing.assert_array_equal(found.numpy(), VOXELS)
        assert found.grid.anatomical
        lps = np.array(image.TransformIndexToPhysicalPoint((3, 4, 5)))
        np.testing.assert_allclose(found.grid.index_to_world((3, 4, 5)), lps * (-1, -1, 1))

    @pytest.mark.parametrize("labels", [False, True])
    @pytest.mark.parametrize("extension", [".mha", ".mhd"])
    @pytest.mark.parametrize("codes", ["LPS", "PSR", "IRA"])
    def test_what_we_write(
        self, tmp_path: Path, sitk: Any, codes: str, extension: str, labels: bool
    ) -> None:
        space = grid((4, 5, 6), codes, (1.1, 2.2, 3.3), tilt=0.28)
        array = (VOXELS + 7).astype(np.uint8)
        classes = tuple(LabelClass(n, f"class {n} " + "x" * 60, "#102030") for n in range(1, 300))
        volume = LabelVolume(array, space, classes=classes) if labels else Volume(array, space)
        path = tmp_path / f"a{extension}"
        io.write(path, volume)
        image = sitk.ReadImage(str(path))
        np.testing.assert_array_equal(sitk.GetArrayFromImage(image), array.T)
        lps = np.array(image.TransformIndexToPhysicalPoint((3, 4, 5)))
        np.testing.assert_allclose(lps * (-1, -1, 1), space.index_to_world((3, 4, 5)))
        sitk.WriteImage(image, str(tmp_path / "b.mha"))
        theirs, ours = (
            next(r for r in p.read_bytes().split(b"\n") if r.startswith(b"AnatomicalOrientation"))
            for p in (tmp_path / "b.mha", path)
        )
        assert theirs == ours

    def test_colour(self, tmp_path: Path, sitk: Any) -> None:
        array = np.arange(3 * 20, dtype=np.uint8).reshape(3, 4, 5)
        io.write(tmp_path / "a.mha", Volume(array, Grid.from_spacing((4, 5)), "c", rgb=True))
        image = sitk.ReadImage(str(tmp_path / "a.mha"))
        np.testing.assert_array_equal(np.moveaxis(sitk.GetArrayFromImage(image), -1, 0), array)

    def test_time(self, tmp_path: Path, sitk: Any) -> None:
        array = np.arange(2 * 120, dtype=np.int16).reshape(2, 4, 5, 6)
        volume = Volume(array, Grid.from_spacing((4, 5, 6)), "t", time_step=0.5)
        io.write(tmp_path / "a.mha", volume)
        image = sitk.ReadImage(str(tmp_path / "a.mha"))
        np.testing.assert_array_equal(sitk.GetArrayFromImage(image), array)
        assert image.GetSpacing()[3] == 0.5


class TestVoxels:
    @pytest.mark.parametrize("code", TYPES)
    @pytest.mark.parametrize("big", [False, True])
    def test_types(self, tmp_path: Path, code: str, big: bool) -> None:
        kinds = {"CHAR": "i1", "SHORT": "i2", "INT": "i4", "LONG": "i4", "LONG_LONG": "i8"}
        kind = {"FLOAT": "f4", "DOUBLE": "f8"}.get(code) or (
            kinds.get(code) or kinds[code[1:]].replace("i", "u")
        )
        array = np.arange(120).reshape(4, 5, 6).astype((">" if big else "<") + kind)
        changes = {"ElementType": f"MET_{code}", "BinaryDataByteOrderMSB": str(big)}
        put(tmp_path / "a.mha", changes, array.tobytes(order="F"))
        found = io.read(tmp_path / "a.mha")
        assert found.dtype == array.dtype
        np.testing.assert_array_equal(found.numpy(), array)

    @pytest.mark.parametrize("pack", [zlib.compress, gzip.compress], ids=["zlib", "gzip"])
    def test_compressed(self, tmp_path: Path, pack: Any) -> None:
        body = pack(VOXELS.tobytes(order="F"))
        put(tmp_path / "a.mha", {"CompressedData": "True"}, body)
        np.testing.assert_array_equal(io.read(tmp_path / "a.mha").numpy(), VOXELS)

    def test_text(self, tmp_path: Path) -> None:
        body = " ".join(map(str, VOXELS.ravel(order="F"))).encode()
        put(tmp_path / "a.mha", {"BinaryData": "False"}, body)
        np.testing.assert_array_equal(io.read(tmp_path / "a.mha").numpy(), VOXELS)

    def test_channels(self, tmp_path: Path) -> None:
        array = np.arange(2 * 120, dtype=np.int16).reshape(2, 4, 5, 6)
        put(tmp_path / "a.mha", {"ElementNumberOfChannels": "2"}, array.tobytes(order="F"))
        found = io.read(tmp_path / "a.mha")
        assert found.leading == "c"
        np.testing.assert_array_equal(found.numpy(), array)

    def test_time(self, tmp_path: Path) -> None:
        array = np.arange(2 * 120, dtype=np.int16).reshape(4, 5, 6, 2)
        changes: dict[str, str | None] = {
            "NDims": "4", "DimSize": "4 5 6 2", "ElementSpacing": "2 3 4 0.5",
            "TransformMatrix": "0 1 0 0 0 0 1 0 1 0 0 0 0 0 0 1", "Offset": "10 20 30 0",
        }  # fmt: skip
        found = io.read(put(tmp_path / "a.mha", changes, array.tobytes(order="F")))
        assert (found.leading, found.time_step, found.grid) == ("t", 0.5, SPACE)
        np.testing.assert_array_equal(found.numpy(), np.moveaxis(array, -1, 0))


class TestFilesBeside:
    def test_header_size(self, tmp_path: Path) -> None:
        body = VOXELS.tobytes(order="F")
        for size, before in (("5", b"12345"), ("-1", b"of any length")):
            (tmp_path / "v.raw").write_bytes(before + body)
            changes = {"ElementDataFile": "v.raw", "HeaderSize": size}
            found = io.read(put(tmp_path / "a.mhd", changes, b""))
            assert isinstance(found.data, np.memmap)
            np.testing.assert_array_equal(found.numpy(), VOXELS)

    @pytest.mark.parametrize("said", ["s%03d.raw 1 6 1", "LIST\n" + "\n".join(
        f"s{i:03}.raw" for i in range(1, 7))], ids=["pattern", "list"])  # fmt: skip
    def test_several(self, tmp_path: Path, said: str) -> None:
        for i in range(6):
            (tmp_path / f"s{i + 1:03}.raw").write_bytes(VOXELS[..., i].tobytes(order="F"))
        found = io.read(put(tmp_path / "a.mhd", {"ElementDataFile": said}, b""))
        np.testing.assert_array_equal(found.numpy(), VOXELS)

    @pytest.mark.parametrize("name", ["/etc/passwd", "../v.raw", "inner/v.raw", "..", "",
                                      "C:\\v.raw", "LIST\n" + "/etc/passwd"])  # fmt: skip
    def test_elsewhere(self, tmp_path: Path, name: str) -> None:
        put(tmp_path / "a.mhd", {"ElementDataFile": name}, b"")
        with pytest.raises(ReadError, match="only files in the folder of the header"):
            io.read(tmp_path / "a.mhd")

    def test_missing(self, tmp_path: Path) -> None:
        put(tmp_path / "a.mhd", {"ElementDataFile": "v.raw"}, b"")
        with pytest.raises(ReadError, match=r"needs v\.raw beside it"):
            io.read(tmp_path / "a.mhd")

    def test_written(self, tmp_path: Path) -> None:
        io.write(tmp_path / "a.mhd", Volume(VOXELS, SPACE))
        assert sorted(os.listdir(tmp_path)) == ["a.mhd", "a.raw"]
        assert (tmp_path / "a.raw").read_bytes() == VOXELS.tobytes(order="F")
        io.write(tmp_path / "a.mhd", Volume(VOXELS + 1, SPACE))  # its own voxels are replaced
        np.testing.assert_array_equal(io.read(tmp_path / "a.mhd").numpy(), VOXELS + 1)
        io.write(tmp_path / "b.mhd", LabelVolume(VOXELS, SPACE))
        assert zlib.decompress((tmp_path / "b.zraw").read_bytes()) == VOXELS.tobytes(order="F")

    def test_the_voxels_of_another_are_left_alone(self, tmp_path: Path) -> None:
        (tmp_path / "a.raw").write_bytes(b"precious")
        with pytest.raises(WriteError, match=r"a\.raw exists and does not belong to a\.mhd"):
            io.write(tmp_path / "a.mhd", Volume(VOXELS, SPACE))
        assert (tmp_path / "a.raw").read_bytes() == b"precious"
        assert os.listdir(tmp_path) == ["a.raw"]


def test_what_it_cannot_hold(tmp_path: Path) -> None:
    complex_voxels = Volume(np.zeros((4, 5), np.complex64), Grid.from_spacing((4, 5)))
    with pytest.raises(FormatError, match="holds no complex64"):
        io.write(tmp_path / "a.mha", complex_voxels)
    assert os.listdir(tmp_path) == []


class TestHostileFiles:
    @pytest.mark.parametrize("packed", ["True", "False"])
    @pytest.mark.parametrize("size", ["30000 30000 30000", f"{2**40} {2**40} {2**40}"])
    def test_absurd_sizes(self, tmp_path: Path, packed: str, size: str) -> None:
        put(tmp_path / "a.mha", {"DimSize": size, "CompressedData": packed})
        with pytest.raises(ReadError, match="truncated or damaged"):
            io.read(tmp_path / "a.mha")

    def test_cut_short_or_flipped(self, tmp_path: Path) -> None:
        body = zlib.compress(np.random.default_rng(0).bytes(240))
        flipped = bytearray(body)
        flipped[len(body) // 2] ^= 1
        for damaged in (body[:-1], body[:-30], bytes(flipped)):
            put(tmp_path / "a.mha", {"CompressedData": "True"}, damaged)
            with pytest.raises(ReadError):
                io.read(tmp_path / "a.mha")

    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"NDims": "2"}, "DimSize"),
            ({"DimSize": "4 5 0"}, "DimSize"),
            ({"DimSize": "4 5 x"}, "DimSize"),
            ({"NDims": "5", "DimSize": "2 2 2 2 2"}, "has 5 axes"),
            ({"ElementType": "MET_STRING"}, "ElementType"),
            ({"ElementSpacing": "1 2"}, "ElementSpacing"),
            ({"TransformMatrix": "1 0 0"}, "TransformMatrix"),
            ({"Offset": "a b c"}, "Offset"),
            ({"ElementNumberOfChannels": "0"}, "ElementNumberOfChannels"),
            ({"HeaderSize": "-2"}, "HeaderSize"),
            ({"ObjectType": "Tube"}, "holds a Tube, not an image"),
            ({"ElementDataFile": "s%d 1"}, "ElementDataFile|beside it"),
        ],
        ids=str,
    )
    def test_damaged_fields(self, tmp_path: Path, changes: Any, message: str) -> None:
        put(tmp_path / "a.mha", changes)
        with pytest.raises(ReadError, match=message):
            io.read(tmp_path / "a.mha")

    @settings(max_examples=300)
    @given(data=st.data())
    def test_fuzzed_fields(
        self, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
    ) -> None:
        more = ["HeaderSize", "ElementNumberOfChannels", "DistanceUnits", "LabelKind"]
        name = data.draw(st.sampled_from([*BASE, *more]))
        odd = st.one_of(
            st.text(max_size=30),
            st.sampled_from(["nan nan nan", "1e999 1 1", "-1", "LIST", "1e308 1 1", "0 0 0", "4",
                             "classes", "True", "%d 1 2", "9" * 5000]),
        )  # fmt: skip
        path = tmp_path_factory.mktemp("fuzz") / "a.mha"
        value = data.draw(odd).replace("\n", " ").replace("\r", " ")
        path.write_bytes(text({name: value}) + VOXELS.tobytes(order="F"))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", VolumeWarning)
            with contextlib.suppress(ReadError):
                io.read(path).numpy()
