"""NRRD: against pynrrd and SimpleITK, headers of other programs, segmentations, hostile files."""

from __future__ import annotations

import bz2
import contextlib
import gzip
import os
import warnings
from pathlib import Path
from typing import Any

import nrrd
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.space import grid

from napari_monai import io
from napari_monai.errors import FormatError, ReadError, VolumeWarning
from napari_monai.grid import Grid
from napari_monai.io import raw
from napari_monai.volume import LabelClass, LabelVolume, Volume

VOXELS = np.arange(4 * 5 * 6, dtype=np.int16).reshape((4, 5, 6), order="F") - 7
BASE = {
    "type": "short",
    "dimension": "3",
    "space": "left-posterior-superior",
    "sizes": "4 5 6",
    "space directions": "(2,0,0) (0,3,0) (0,0,4)",
    "space origin": "(10,20,30)",
    "kinds": "domain domain domain",
    "endian": "little",
    "encoding": "raw",
}


def text(changes: dict[str, str | None] | None = None, *pairs: str) -> bytes:
    fields = {**BASE, **(changes or {})}
    lines = ["NRRD0004", "# a comment", *(f"{k}: {v}" for k, v in fields.items() if v is not None)]
    return ("\n".join([*lines, *pairs]) + "\n\n").encode()


def put(path: Path, changes: dict[str, str | None] | None = None, *pairs: str,
        voxels: Any = VOXELS) -> Path:  # fmt: skip
    path.write_bytes(text(changes, *pairs) + voxels.tobytes(order="F"))
    return path


class TestAgainstPynrrd:
    @pytest.mark.parametrize("encoding", ["raw", "gzip", "bzip2", "ascii"])
    @pytest.mark.parametrize("dtype", ["u1", "<i2", ">u2", "<f4", ">f8", "<i8"])
    def test_what_it_writes(self, tmp_path: Path, encoding: str, dtype: str) -> None:
        array = (np.arange(24).reshape(2, 3, 4) * 5).astype(dtype)
        header = {
            "space": "right-anterior-superior",
            "space directions": np.diag([1.5, 2.5, 3.5]),
            "space origin": [1.0, 2.0, 3.0],
            "encoding": encoding,
        }
        nrrd.write(str(tmp_path / "a.nrrd"), array, header)
        found = io.read(tmp_path / "a.nrrd")
        np.testing.assert_array_equal(found.numpy(), array)
        assert found.dtype.itemsize == array.dtype.itemsize
        expected = np.diag([1.5, 2.5, 3.5, 1])
        expected[:3, 3] = 1, 2, 3
        assert found.grid == Grid((2, 3, 4), expected)

    @pytest.mark.parametrize("encoding", ["raw", "gzip", "bzip2", "ascii"])
    def test_detached(self, tmp_path: Path, encoding: str) -> None:
        nrrd.write(str(tmp_path / "a.nhdr"), VOXELS, {"encoding": encoding}, detached_header=True)
        assert len(os.listdir(tmp_path)) == 2
        found = io.read(tmp_path / "a.nhdr")
        np.testing.assert_array_equal(found.numpy(), VOXELS.T)  # no patient: (z, y, x)

    @pytest.mark.parametrize("codes", ["LPS", "RAS", "SPR"])
    def test_what_we_write(self, tmp_path: Path, codes: str) -> None:
        space = grid((4, 5, 6), codes, (1.1, 2.2, 3.3), tilt=0.28)
        io.write(tmp_path / "a.nrrd", Volume(VOXELS, space))
        data, header = nrrd.read(str(tmp_path / "a.nrrd"))
        np.testing.assert_array_equal(data, VOXELS)
        assert header["space"] == "left-posterior-superior"
        ras = np.array([-1, -1, 1])
        np.testing.assert_array_equal(header["space directions"].T * ras[:, None],
                                      space.affine[:3, :3])  # fmt: skip
        np.testing.assert_array_equal(header["space origin"] * ras, space.origin)
        assert io.read(tmp_path / "a.nrrd").grid == space

    def test_time_and_channels(self, tmp_path: Path) -> None:
        array = np.arange(2 * 3 * 4 * 5 * 6, dtype=np.uint16).reshape(2, 3, 4, 5, 6)
        volume = Volume(array, Grid.from_spacing((4, 5, 6)), "tc", time_step=0.25)
        io.write(tmp_path / "a.nrrd", volume)
        data, header = nrrd.read(str(tmp_path / "a.nrrd"))
        np.testing.assert_array_equal(data, array.T)
        assert header["kinds"] == ["domain", "domain", "domain", "vector", "time"]
        np.testing.assert_array_equal(header["spacings"], [np.nan] * 4 + [0.25])


def test_simpleitk_puts_it_in_the_same_place(tmp_path: Path) -> None:
    sitk = pytest.importorskip("SimpleITK", reason="an oracle for geometry")
    space = grid((4, 5, 6), "PSR", (1.1, 2.2, 3.3), tilt=0.28)
    io.write(tmp_path / "a.nrrd", Volume(VOXELS, space))
    image = sitk.ReadImage(str(tmp_path / "a.nrrd"))
    np.testing.assert_array_equal(sitk.GetArrayFromImage(image), VOXELS.T)
    lps = image.TransformIndexToPhysicalPoint((3, 4, 5))
    np.testing.assert_allclose(lps * np.array([-1, -1, 1]), space.index_to_world((3, 4, 5)))
    sitk.WriteImage(image, str(tmp_path / "b.nrrd"), useCompression=True)
    found = io.read(tmp_path / "b.nrrd")
    assert found.grid.is_close(space, tolerance=1e-9)
    np.testing.assert_array_equal(found.numpy(), VOXELS)


class TestSpace:
    @pytest.mark.parametrize(
        ("space", "signs"),
        [
            ("left-posterior-superior", (-1, -1, 1)),
            ("LPS", (-1, -1, 1)),
            ("right-anterior-superior", (1, 1, 1)),
            ("RAS", (1, 1, 1)),
            ("left-anterior-superior", (-1, 1, 1)),
        ],
    )
    def test_of_a_patient(self, tmp_path: Path, space: str, signs: Any) -> None:
        found = io.read(put(tmp_path / "a.nrrd", {"space": space}))
        expected = np.diag([2.0 * signs[0], 3.0 * signs[1], 4, 1])
        expected[:3, 3] = np.array([10, 20, 30]) * signs
        assert found.grid == Grid((4, 5, 6), expected, "mm", True)
        np.testing.assert_array_equal(found.numpy(), VOXELS)

    @pytest.mark.parametrize(
        "changes",
        [
            {"space": None, "space directions": None, "space origin": None,
             "spacings": "2 3 4", "axis mins": "10 20 30", "units": '"um" "um" "um"'},
            {"space": None, "space dimension": "3", "space units": '"um" "um" "um"'},
            {"space": "3D-right-handed", "space units": '"microns" "microns" "microns"'},
            {"space": None, "space dimension": "3", "space units": '"µm" "nm" "mm"',
             "space directions": "(2,0,0) (0,3000,0) (0,0,.004)",
             "space origin": "(10,20000,.03)"},
        ],
        ids=["spacings", "directions", "3D-right-handed", "three units"],
    )  # fmt: skip
    def test_of_a_stack(self, tmp_path: Path, changes: Any) -> None:
        found = io.read(put(tmp_path / "a.nrrd", changes))
        expected = Grid.from_spacing((6, 5, 4), (4, 3, 2), unit="µm", origin=(30, 20, 10))
        assert found.grid.is_close(expected, tolerance=1e-9)
        assert not found.grid.anatomical
        np.testing.assert_array_equal(found.numpy(), VOXELS.T)

    def test_nothing_said(self, tmp_path: Path) -> None:
        gone = dict.fromkeys(("space", "space directions", "space origin", "kinds"))
        assert io.read(put(tmp_path / "a.nrrd", gone)).grid == Grid.from_spacing((6, 5, 4))

    def test_cells_start_at_their_edge(self, tmp_path: Path) -> None:
        gone = dict.fromkeys(("space", "space directions", "space origin", "kinds"))
        changes = {**gone, "spacings": "2 3 4", "axis mins": "0 0 0", "centers": "cell cell cell"}
        found = io.read(put(tmp_path / "a.nrrd", changes))
        assert found.grid == Grid.from_spacing((6, 5, 4), (4, 3, 2), unit="mm", origin=(2, 1.5, 1))

    @pytest.mark.parametrize(
        "directions",
        ["(nan,0,0) (0,3,0) (0,0,4)", "(0,0,0) (0,3,0) (0,0,4)", "(2,0,0) (2,0,0) (0,0,4)"],
        ids=["nan", "zero", "singular"],
    )
    def test_that_is_none(self, tmp_path: Path, directions: str) -> None:
        put(tmp_path / "a.nrrd", {"space directions": directions})
        with pytest.warns(VolumeWarning, match="only the voxel size"):
            found = io.read(tmp_path / "a.nrrd")
        assert not found.grid.anatomical
        assert found.grid.spacing[2] == 4

    def test_unknown_unit(self, tmp_path: Path) -> None:
        put(tmp_path / "a.nrrd", {"space units": '"furlong" "furlong" "furlong"'})
        with pytest.warns(VolumeWarning, match="'furlong' is not known; mm"):
            assert io.read(tmp_path / "a.nrrd").grid.unit == "mm"


class TestAxes:
    @pytest.mark.parametrize(
        ("changes", "pairs", "leading", "rgb"),
        [
            ({"kinds": "RGB-color domain domain domain", "space directions": "none {}"},
             (), "c", True),
            ({"kinds": "vector domain domain domain", "space directions": "none {}"},
             (), "c", False),
            ({"kinds": "list domain domain domain", "space directions": "none {}"}, (), "c", False),
            ({"kinds": "list domain domain domain", "space directions": "none {}"},
             ("MultiVolume.FrameIdentifyingDICOMTagName:=TriggerTime",), "t", False),
            ({"kinds": "list domain domain domain", "space directions": "none {}",
              "units": '"s" "" "" ""'}, (), "t", False),
            ({"kinds": None, "space directions": "none {}"}, (), "c", False),
            ({"kinds": "time domain domain domain", "space directions": "none {}"}, (), "t", False),
        ],
        ids=["RGB", "vector", "list", "multivolume", "seconds", "no kinds", "time"],
    )  # fmt: skip
    def test_in_front(
        self, tmp_path: Path, changes: dict[str, Any], pairs: Any, leading: str, rgb: bool
    ) -> None:
        array = np.random.default_rng(0).integers(0, 255, (3, 4, 5, 6), dtype=np.uint8)
        changes["space directions"] = changes["space directions"].format(BASE["space directions"])
        more = {"dimension": "4", "sizes": "3 4 5 6", "type": "uchar", **changes}
        found = io.read(put(tmp_path / "a.nrrd", more, *pairs, voxels=array))
        assert (found.leading, found.rgb) == (leading, rgb)
        np.testing.assert_array_equal(found.numpy(), array)
        assert found.grid == io.read(put(tmp_path / "b.nrrd")).grid

    def test_time_as_the_fourth_axis_of_space(self, tmp_path: Path) -> None:
        array = np.zeros((4, 5, 6, 2), np.int16)
        changes = {
            "dimension": "4", "sizes": "4 5 6 2", "kinds": None,
            "space": "left-posterior-superior-time",
            "space directions": "(2,0,0,0) (0,3,0,0) (0,0,4,0) (0,0,0,500)",
            "space origin": "(10,20,30,0)", "space units": '"mm" "mm" "mm" "ms"',
        }  # fmt: skip
        found = io.read(put(tmp_path / "a.nrrd", changes, voxels=array))
        assert (found.leading, found.time_step) == ("t", 0.5)
        assert found.grid == io.read(put(tmp_path / "b.nrrd")).grid

    @pytest.mark.parametrize(
        ("sizes", "kinds"),
        [("2 2 4 5 6", "list vector domain domain domain"), ("2 2 2 2 2", "domain " * 5),
         ("120", "domain")],
        ids=["two lists", "five of space", "one"],
    )  # fmt: skip
    def test_too_many_or_few(self, tmp_path: Path, sizes: str, kinds: str) -> None:
        n = len(sizes.split())
        gone = dict.fromkeys(("space", "space directions", "space origin"))
        changes = {**gone, "dimension": str(n), "sizes": sizes, "kinds": kinds, "type": "uchar"}
        put(tmp_path / "a.nrrd", changes, voxels=np.zeros(480, np.uint8))
        with pytest.raises(ReadError, match="not 2 or 3 axes of space"):
            io.read(tmp_path / "a.nrrd")


class TestDataFiles:
    def read(self, folder: Path, **changes: str) -> Volume:
        (folder / "a.nhdr").write_bytes(text({k.replace("_", " "): v for k, v in changes.items()}))
        return io.read(folder / "a.nhdr")

    def test_beside(self, tmp_path: Path) -> None:
        (tmp_path / "v.raw").write_bytes(VOXELS.tobytes(order="F"))
        found = self.read(tmp_path, data_file="./v.raw")
        assert isinstance(found.data, np.memmap)
        np.testing.assert_array_equal(found.numpy(), VOXELS)

    def test_skips(self, tmp_path: Path) -> None:
        body = VOXELS.tobytes(order="F")
        (tmp_path / "v").write_bytes(b"line\nline\nxxx" + body)
        found = self.read(tmp_path, data_file="v", line_skip="2", byte_skip="3")
        np.testing.assert_array_equal(found.numpy(), VOXELS)
        (tmp_path / "v").write_bytes(b"of any length" + body)
        found = self.read(tmp_path, data_file="v", byte_skip="-1")
        np.testing.assert_array_equal(found.numpy(), VOXELS)
        (tmp_path / "v").write_bytes(b"line\n" + gzip.compress(b"xxx" + body))
        found = self.read(tmp_path, data_file="v", encoding="gzip", line_skip="1", byte_skip="3")
        np.testing.assert_array_equal(found.numpy(), VOXELS)

    @pytest.mark.parametrize("said", ["s%03d.raw 1 6 1", "LIST\n" + "\n".join(
        f"s{i:03}.raw" for i in range(1, 7))], ids=["pattern", "list"])  # fmt: skip
    def test_several(self, tmp_path: Path, said: str) -> None:
        for i in range(6):
            (tmp_path / f"s{i + 1:03}.raw").write_bytes(VOXELS[..., i].tobytes(order="F"))
        np.testing.assert_array_equal(self.read(tmp_path, data_file=said).numpy(), VOXELS)

    @pytest.mark.parametrize("name", [
        "/etc/passwd", "../secret.raw", "inner/v.raw", "..", ".", "", "C:\\v.raw", "..\\v.raw",
        "LIST\n/etc/passwd", "../s%d.raw 1 1 1", "v.raw\0",
    ])  # fmt: skip
    def test_elsewhere(self, tmp_path: Path, name: str) -> None:
        (tmp_path / "secret.raw").write_bytes(bytes(240))
        folder = tmp_path / "here"
        (folder / "inner").mkdir(parents=True)
        (folder / "inner" / "v.raw").write_bytes(bytes(240))
        with pytest.raises(ReadError, match="only files in the folder of the header"):
            self.read(folder, data_file=name)

    def test_missing_or_no_file(self, tmp_path: Path) -> None:
        with pytest.raises(ReadError, match=r"needs v\.raw beside it"):
            self.read(tmp_path, data_file="v.raw")
        os.mkfifo(tmp_path / "v.raw")
        with pytest.raises(ReadError, match="that is not a file"):
            self.read(tmp_path, data_file="v.raw")

    @pytest.mark.parametrize("said", ["s%d%n.raw 1 6 1", "s%s.raw 1 6 1", "s%9999d.raw 1 6 1",
                                      "s%d.raw 1 99999999 1", "s%d.raw 1 6 0"])  # fmt: skip
    def test_odd_patterns(self, tmp_path: Path, said: str) -> None:
        with pytest.raises(ReadError, match=r"no pattern of names|counts its files"):
            self.read(tmp_path, data_file=said)


class TestSegmentations:
    SPACE = grid((4, 5, 6), "LPS", (2, 3, 4))

    def labels(self) -> LabelVolume:
        array = np.zeros((4, 5, 6), np.uint16)
        array[1:3, 2:4, 5] = 1
        array[0, 0, 0] = 300
        classes = (LabelClass(1, "liver", "#dd8265"), LabelClass(300, "tumour"))
        return LabelVolume(array, self.SPACE, classes=classes)

    def test_what_slicer_needs(self, tmp_path: Path) -> None:
        io.write(tmp_path / "a.seg.nrrd", self.labels())
        data, header = nrrd.read(str(tmp_path / "a.seg.nrrd"))
        np.testing.assert_array_equal(data, self.labels().numpy())
        assert header["type"] == "short"
        expected = {
            "Segment0_ID": "Segment_1", "Segment0_Name": "liver", "Segment0_LabelValue": "1",
            "Segment0_Layer": "0", "Segment0_Extent": "1 2 2 3 5 5",
            "Segment0_Color": "0.866667 0.509804 0.396078", "Segment0_ColorAutoGenerated": "0",
            "Segment1_ID": "Segment_300", "Segment1_Name": "tumour", "Segment1_LabelValue": "300",
            "Segment1_Extent": "0 0 0 0 0 0", "Segment1_ColorAutoGenerated": "1",
            "Segmentation_MasterRepresentation": "Binary labelmap",
            "Segmentation_ContainedRepresentationNames": "Binary labelmap|",
            "Segmentation_ReferenceImageExtentOffset": "0 0 0",
        }  # fmt: skip
        assert expected.items() <= dict(header).items()
        found = io.read(tmp_path / "a.seg.nrrd", labels=True)
        assert found.grid == self.SPACE
        assert found.classes[0] == LabelClass(1, "liver", "#dd8265")
        assert found.name == "a"

    @pytest.mark.parametrize("high", [7, 70000, 2**31 - 1])
    def test_labels_without_names(self, tmp_path: Path, high: int) -> None:
        array = np.zeros((4, 5, 6), np.int64)
        array[3, 4, 5] = high
        io.write(tmp_path / "a.seg.nrrd", LabelVolume(array, self.SPACE))
        _, header = nrrd.read(str(tmp_path / "a.seg.nrrd"))
        assert header["Segment0_Extent"] == "3 3 4 4 5 5"
        found = io.read(tmp_path / "a.seg.nrrd", labels=True)
        np.testing.assert_array_equal(found.numpy(), array)
        assert [(c.number, c.name) for c in found.classes] == [(high, f"label {high}")]

    def test_of_a_picture(self, tmp_path: Path) -> None:
        array = np.arange(20, dtype=np.uint8).reshape(4, 5)
        volume = LabelVolume(array, Grid.from_spacing((4, 5), (3, 2), unit="µm"))
        io.write(tmp_path / "a.seg.nrrd", volume)
        data, header = nrrd.read(str(tmp_path / "a.seg.nrrd"))
        np.testing.assert_array_equal(data[..., 0], array.T)
        assert header["space"] == "left-posterior-superior"
        found = io.read(tmp_path / "a.seg.nrrd", labels=True)
        assert found.grid.spacing[1:] == (3, 2)
        assert (found.grid.unit, found.grid.anatomical) == ("µm", False)

    def test_nothing_segmented(self, tmp_path: Path) -> None:
        io.write(tmp_path / "a.seg.nrrd", LabelVolume(np.zeros((4, 5, 6), bool), self.SPACE))
        found = io.read(tmp_path / "a.seg.nrrd", labels=True)
        assert found.classes == ()
        assert not found.numpy().any()

    @pytest.mark.parametrize(
        ("volume", "message"),
        [
            (Volume(VOXELS, SPACE), r"holds labels, not an image: write \.nrrd"),
            (LabelVolume(VOXELS, SPACE), r"from 0 on, not -7"),
            (LabelVolume(np.zeros((2, 4, 5, 6), int), SPACE, "t"), r"one point in time, not 2"),
        ],
    )
    def test_refused(self, tmp_path: Path, volume: Volume, message: str) -> None:
        with pytest.raises(FormatError, match=message):
            io.write(tmp_path / "a.seg.nrrd", volume)
        assert os.listdir(tmp_path) == []

    def layered(self, path: Path, *pairs: str) -> Path:
        array = np.zeros((2, 4, 5, 6), np.uint8)
        array[0, :2] = 1
        array[1, 1:3] = 1
        changes = {
            "type": "uchar", "dimension": "4", "sizes": "2 4 5 6",
            "kinds": "list domain domain domain",
            "space directions": "none " + BASE["space directions"],
        }  # fmt: skip
        return put(path, changes, *pairs, voxels=array)

    def test_overlapping_layers(self, tmp_path: Path) -> None:
        pairs = ["Segment0_LabelValue:=1", "Segment0_Layer:=0", "Segment0_Name:=one",
                 "Segment1_LabelValue:=1", "Segment1_Layer:=1", "Segment1_ID:=two",
                 "Segment1_Color:=1 0 0.5"]  # fmt: skip
        self.layered(tmp_path / "a.seg.nrrd", *pairs)
        with pytest.warns(VolumeWarning, match="overlap in 30 voxels"):
            found = io.read(tmp_path / "a.seg.nrrd", labels=True)
        assert found.classes == (LabelClass(1, "one"), LabelClass(2, "two", "#ff0080"))
        assert found.numpy()[:, 0, 0].tolist() == [1, 2, 2, 0]

    @pytest.mark.parametrize("pair", ["Segment0_Layer:=5", "Segment0_LabelValue:=x"])
    def test_damaged(self, tmp_path: Path, pair: str) -> None:
        self.layered(tmp_path / "a.seg.nrrd", pair)
        with pytest.raises(ReadError):
            io.read(tmp_path / "a.seg.nrrd")


class TestHostileFiles:
    @pytest.mark.parametrize("encoding", ["raw", "gzip", "bzip2", "ascii"])
    def test_absurd_sizes(self, tmp_path: Path, encoding: str) -> None:
        changes = {"sizes": "30000 30000 30000", "encoding": encoding}
        put(tmp_path / "a.nrrd", changes)
        with pytest.raises(ReadError, match="truncated or damaged"):
            io.read(tmp_path / "a.nrrd")

    def test_more_than_64_bits(self, tmp_path: Path) -> None:
        put(tmp_path / "a.nrrd", {"sizes": f"{2**40} {2**40} {2**40}"})
        with pytest.raises(ReadError, match="truncated or damaged"):
            io.read(tmp_path / "a.nrrd")

    @pytest.mark.parametrize(
        ("encoding", "pack"), [("gzip", gzip.compress), ("bzip2", bz2.compress)]
    )
    def test_more_than_promised(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, encoding: str, pack: Any
    ) -> None:
        monkeypatch.setattr(raw, "LAZY_FROM", 10**5)
        body = pack(bytes(10**8))
        (tmp_path / "a.nrrd").write_bytes(text({"encoding": encoding}) + body)
        with pytest.raises(ReadError, match="far more than the voxels"):
            io.read(tmp_path / "a.nrrd")

    def test_a_bomb_of_the_size_it_promises(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(raw, "memory_budget", lambda: 10**6)
        head = text({"encoding": "bzip2", "sizes": "100 1000 100"})
        (tmp_path / "a.nrrd").write_bytes(head + bz2.compress(bytes(2 * 10**7)))
        with pytest.raises(ReadError, match="more than there is memory for"):
            io.read(tmp_path / "a.nrrd")

    def test_larger_than_memory(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(raw, "memory_budget", lambda: 100)
        head = text({"encoding": "gzip"})
        (tmp_path / "a.nrrd").write_bytes(head + gzip.compress(VOXELS.tobytes(order="F")))
        found = io.read(tmp_path / "a.nrrd")
        assert isinstance(found.data, np.memmap)
        np.testing.assert_array_equal(found.numpy(), VOXELS)

    @pytest.mark.parametrize("encoding", ["gzip", "bzip2"])
    def test_a_flipped_bit_in_the_voxels(self, tmp_path: Path, encoding: str) -> None:
        pack = gzip.compress if encoding == "gzip" else bz2.compress
        body = bytearray(pack(np.random.default_rng(0).bytes(240)))
        body[len(body) // 2] ^= 1
        (tmp_path / "a.nrrd").write_bytes(text({"encoding": encoding}) + body)
        with pytest.raises(ReadError):
            io.read(tmp_path / "a.nrrd")

    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"type": "block"}, "'type' says 'block'"),
            ({"sizes": "4 5"}, "'sizes'"),
            ({"sizes": "4 5 0"}, "'sizes'"),
            ({"sizes": "4 5 x"}, "'sizes'"),
            ({"endian": None}, "'endian'"),
            ({"encoding": "hex"}, "known are raw, gzip, bzip2 and ascii"),
            ({"space directions": "(1,0,0) (0,1,0)"}, "'spacedirections'"),
            ({"space directions": "(1,a,0) (0,1,0) (0,0,1)"}, "'spacedirections'"),
            ({"line skip": "-1"}, "'lineskip'"),
            ({"byte skip": "-2"}, "'byteskip'"),
            ({"encoding": "gzip", "byte skip": "-1"}, "'byteskip'"),
            ({"data file": "LIST"}, "'datafile'"),
        ],
        ids=str,
    )
    def test_damaged_fields(self, tmp_path: Path, changes: Any, message: str) -> None:
        put(tmp_path / "a.nrrd", changes)
        with pytest.raises(ReadError, match=message):
            io.read(tmp_path / "a.nrrd")

    def test_a_newer_version(self, tmp_path: Path) -> None:
        (tmp_path / "a.nrrd").write_bytes(text().replace(b"NRRD0004", b"NRRD0006"))
        with pytest.raises(ReadError, match="version 6; 5 is the newest"):
            io.read(tmp_path / "a.nrrd")

    @settings(max_examples=300)
    @given(data=st.data())
    def test_fuzzed_fields(
        self, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
    ) -> None:
        name = data.draw(st.sampled_from([*BASE, "units", "spacings", "data file", "byte skip",
                                          "line skip", "centerings", "axis mins"]))  # fmt: skip
        odd = st.one_of(
            st.text(max_size=30),
            st.sampled_from(["nan nan nan", "1e999 1 1", "-1", "none none none", "(,)", "() () ()",
                             "none (1,0,0) (0,1,0)", "domain list list", "4 5 6 1", "(1e308,0,0)"]),
        )  # fmt: skip
        path = tmp_path_factory.mktemp("fuzz") / "a.nrrd"
        fields = {name: data.draw(odd).replace("\n", " ").replace("\r", " ")}
        path.write_bytes(
            text(fields).decode().encode("utf-8", "surrogatepass") + VOXELS.tobytes(order="F")
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", VolumeWarning)
            with contextlib.suppress(ReadError):
                io.read(path).numpy()
