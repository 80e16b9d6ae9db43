"""DICOM segmentations of other makers: written here with pydicom alone, read as labels."""

from __future__ import annotations

import contextlib
import shutil
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset
from pydicom.uid import DeflatedExplicitVRLittleEndian, RLELossless
from tests.io.dicom_files import ID, NAME, axial, save
from tests.io.seg_files import Mask, segment, segmentation

from napari_monai import io
from napari_monai.errors import NapariMonaiError, ReadError, VolumeWarning
from napari_monai.io.contents import contents
from napari_monai.volume import LabelClass, LabelVolume

SHAPE = (5, 7)
TWO = [segment(1, "liver"), segment(2, "spleen")]


def mask(seed: int) -> Mask:
    return np.random.default_rng(seed).integers(0, 2, SHAPE).astype(np.uint8)


def at(z: float) -> tuple[float, float, float]:
    return (-3.0, 4.0, z)


def read(path: Path, made: Dataset, *, says: str | None = None) -> LabelVolume:
    """Save and read; check what is warned of, and that no patient is named."""
    made.save_as(path, enforce_file_format=True)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        found = io.read(path)
    texts = [str(w.message) for w in caught]
    assert [says in t for t in texts] == [True] if says else texts == []
    assert isinstance(found, LabelVolume)
    assert not any(w in " ".join([found.name, *texts]) for w in (*NAME.split("^"), ID))
    return found


def test_bits_of_two_segments_and_a_gap(tmp_path: Path) -> None:
    a, b, c = mask(1), mask(2), mask(3)
    b[c > 0] = 0
    made = segmentation([(1, at(10), a), (1, at(20), c), (2, at(20), b)], gap=2.5)
    found = read(tmp_path / "x.dcm", made)
    expected = np.zeros((5, *SHAPE), np.uint8)
    expected[0], expected[4] = a, c + 2 * b
    np.testing.assert_array_equal(found.numpy(), expected)
    np.testing.assert_allclose(found.grid.origin, (3, -4, 10))
    np.testing.assert_allclose(found.grid.spacing, (2.5, 0.8, 0.7))
    assert found.grid.orientation == "SPL"
    assert found.classes == (LabelClass(1, "part 1"), LabelClass(2, "part 2"))
    assert found.name == "9 Organs"


@pytest.mark.parametrize(
    ("heights", "slices"),
    [((0, 2, 5), 6), ((0, 3, 6, 12), 5), ((5, 0), 2), ((1,), 1)],
    ids=["gcd of two and three", "one is missing", "downwards", "one slice"],
)
def test_steps_that_the_file_does_not_say(
    tmp_path: Path, heights: tuple[float, ...], slices: int
) -> None:
    made = segmentation([(1, at(z), mask(int(z))) for z in heights])
    found = read(tmp_path / "x.dcm", made)
    assert found.grid.shape[0] == slices
    step = found.grid.spacing[0]
    assert step == pytest.approx(2.5 if slices == 1 else np.ptp(heights) / (slices - 1))
    for z in heights:
        k = round((z - min(heights)) / step)
        np.testing.assert_array_equal(found.numpy()[k], mask(int(z)))


def test_a_tilted_gantry_stays_a_shear(tmp_path: Path) -> None:
    made = segmentation([(1, (0, 0.9 * k, 3 * k), mask(k)) for k in (0, 1, 3)], gap=3.0)
    found = read(tmp_path / "x.dcm", made)
    assert found.grid.shape == (4, *SHAPE)
    np.testing.assert_allclose(found.grid.affine[:3, 0], (0, -0.9, 3), atol=1e-9)


def test_oblique_frames(tmp_path: Path) -> None:
    row, column = np.array((0.8, 0.36, 0.48)), np.array((-0.6, 0.48, 0.64))
    step = 2.4 * np.cross(row, column)
    frames = [(1, tuple(step * k + (1, 2, 3)), mask(k)) for k in (2, 0, 1)]
    found = read(tmp_path / "x.dcm", segmentation(frames, orientation=(*row, *column)))
    lps = (1, 2, 3) + 2 * step + 4 * 0.8 * column + 6 * 0.7 * row
    np.testing.assert_allclose(found.grid.index_to_world((2, 4, 6)), lps * (-1, -1, 1), atol=1e-6)
    np.testing.assert_array_equal(found.numpy(), [mask(0), mask(1), mask(2)])


def test_where_segments_overlap_the_last_is_on_top(tmp_path: Path) -> None:
    a, b = mask(1), mask(2)
    frames = [(2, at(0), b), (1, at(0), a)]
    both = int((a & b).sum())
    found = read(tmp_path / "x.dcm", segmentation(frames), says=f"overlap in {both} voxels")
    np.testing.assert_array_equal(found.numpy()[0], np.where(b, 2, a))


@pytest.mark.parametrize(("top", "kind"), [(255, "PROBABILITY"), (100, "OCCUPANCY")])
def test_half_of_a_fraction_is_inside(tmp_path: Path, top: int, kind: str) -> None:
    values = np.linspace(0, top, 35).astype(np.uint8).reshape(SHAPE)
    made = segmentation(
        [(1, at(0), values)],
        kind="FRACTIONAL",
        SegmentationFractionalType=kind,
        MaximumFractionalValue=top,
    )
    found = read(tmp_path / "x.dcm", made, says=f"fractional ({kind.lower()}): voxels of half")
    np.testing.assert_array_equal(found.numpy()[0], values >= top / 2)


class TestLabelMaps:
    @pytest.mark.parametrize("dtype", ["u1", "<u2"])
    @pytest.mark.parametrize("packed", ["plain", "RLE", "deflated"])
    def test_numbers_are_kept(self, tmp_path: Path, dtype: str, packed: str) -> None:
        top = 200 if dtype == "u1" else 40_000
        numbers = [np.array([0, 3, top], dtype)[mask(k) + mask(k + 1)] for k in range(3)]
        made = segmentation(
            [(0, at(2.5 * k), n) for k, n in enumerate(numbers)],
            kind="LABELMAP",
            segments=[segment(0, "Background"), segment(3, "liver"), segment(top, "spleen")],
        )
        if packed == "RLE":
            made.compress(RLELossless, encoding_plugin="pydicom", generate_instance_uid=False)
        elif packed == "deflated":
            made.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
        found = read(tmp_path / "x.dcm", made)
        np.testing.assert_array_equal(found.numpy(), numbers)
        assert found.classes == (LabelClass(3, "liver"), LabelClass(top, "spleen"))

    def test_a_background_of_another_number(self, tmp_path: Path) -> None:
        numbers = np.where(mask(1), 4, 9).astype(np.uint8)
        made = segmentation(
            [(0, at(0), numbers)], kind="LABELMAP", segments=[segment(4)], PixelPaddingValue=9
        )
        np.testing.assert_array_equal(read(tmp_path / "x.dcm", made).numpy()[0], 4 * mask(1))

    def test_colours_of_a_palette(self, tmp_path: Path) -> None:
        made = segmentation(
            [(0, at(0), mask(1) * 2)],
            kind="LABELMAP",
            segments=[segment(1), segment(2)],
            PhotometricInterpretation="PALETTE COLOR",
        )
        for name, values in (
            ("Red", (0, 255, 16, 0)),
            ("Green", (0, 1, 32, 0)),
            ("Blue", (0, 2, 48, 0)),
        ):
            setattr(made, f"{name}PaletteColorLookupTableDescriptor", [4, 0, 8])
            setattr(made, f"{name}PaletteColorLookupTableData", bytes(values))
        found = read(tmp_path / "x.dcm", made)
        assert [c.colour for c in found.classes] == ["#ff0102", "#102030"]
        np.testing.assert_array_equal(found.numpy()[0], mask(1) * 2)


def test_colours_and_how_they_were_made(tmp_path: Path) -> None:
    lab = [35578, 53665, 50857]  # red
    one = segment(1, "liver", RecommendedDisplayCIELabValue=lab)
    one.SegmentAlgorithmType, one.SegmentAlgorithmName = "SEMIAUTOMATIC", "levelset"
    found = read(tmp_path / "x.dcm", segmentation([(1, at(0), mask(1))], segments=[one]))
    assert found.classes[0].colour is not None
    red, green, blue = bytes.fromhex(found.classes[0].colour[1:])
    assert (red, green < 8, blue < 8) == (255, True, True)
    assert found.made_by is not None
    assert (found.made_by.how, found.made_by.algorithm) == ("semiautomatic", "levelset")


def test_without_a_place_it_is_a_picture(tmp_path: Path) -> None:
    made = segmentation([(1, at(0), mask(1))])
    del made.PerFrameFunctionalGroupsSequence[0].PlanePositionSequence
    found = read(tmp_path / "x.dcm", made)
    assert not found.grid.anatomical
    np.testing.assert_array_equal(found.numpy(), mask(1))


def test_beside_its_series(tmp_path: Path) -> None:
    save(tmp_path, axial([0, 2.5, 5]))
    for n in (1, 2):
        made = segmentation([(1, at(0), mask(n))], SeriesInstanceUID="1.2.3")
        made.save_as(tmp_path / f"seg{n}.dcm", enforce_file_format=True)
    image, *labels = io.read_all(tmp_path)
    assert image.grid.shape == (3, 6, 5)
    assert not isinstance(image, LabelVolume)
    for n, found in enumerate(labels, 1):
        assert isinstance(found, LabelVolume)
        np.testing.assert_array_equal(found.numpy()[0], mask(n))
    assert len(list(io.images_in(tmp_path))) == 3
    assert len(io.series_in(tmp_path, segmentations=False)) == 1
    assert io.read(tmp_path / "seg2.dcm").source == tmp_path / "seg2.dcm"


class TestRefusals:
    @pytest.mark.parametrize(
        ("frames", "options", "says"),
        [
            ([(1, at(z), mask(1)) for z in (0, 1, 2.45, 9.17)], {}, "not evenly spaced"),
            ([(1, at(0), mask(1)), (1, at(1e6), mask(1))], {"gap": 0.5}, "not evenly spaced"),
            ([(3, at(0), mask(1))], {"segments": TWO}, "without its segment 3"),
            ([(1, at(0), mask(1))], {"segments": [*TWO, segment(1)]}, "two segments of one number"),
            ([(1, at(0), mask(1))], {"TotalPixelMatrixColumns": 9}, "whole slide"),
            ([(1, at(0), mask(1))], {"NumberOfFrames": 2}, r"damaged|truncated"),
            ([(1, at(0), mask(1))], {"SegmentSequence": []}, "without its segment 1"),
        ],
        ids=["uneven", "far apart", "unknown segment", "twice", "slide", "frames", "no segments"],
    )
    def test_damage(self, tmp_path: Path, frames: Any, options: dict[str, Any], says: str) -> None:
        made = segmentation(frames, **options)
        made.save_as(tmp_path / "x.dcm", enforce_file_format=True)
        with pytest.raises(ReadError, match=says) as caught:
            io.read(tmp_path / "x.dcm")
        assert "\n" not in str(caught.value)

    def test_frames_that_are_not_parallel(self, tmp_path: Path) -> None:
        made = segmentation([(1, at(0), mask(1)), (1, at(1), mask(1))])
        plane = Dataset()
        plane.ImageOrientationPatient = [0, 1, 0, 0, 0, 1]
        made.PerFrameFunctionalGroupsSequence[0].PlaneOrientationSequence = [plane]
        made.save_as(tmp_path / "x.dcm", enforce_file_format=True)
        with pytest.raises(ReadError, match="not parallel"):
            io.read(tmp_path / "x.dcm")

    def test_a_bad_one_beside_a_good_series_is_said(self, tmp_path: Path) -> None:
        save(tmp_path, axial([0, 2.5, 5]))
        made = segmentation([(3, at(0), mask(1))], segments=TWO)
        made.save_as(tmp_path / "bad.dcm", enforce_file_format=True)
        with pytest.warns(VolumeWarning, match=r"passed over bad\.dcm \(.*segment 3"):
            (image,) = io.read_all(tmp_path)
        assert image.grid.shape == (3, 6, 5)

    @pytest.mark.parametrize("kind", ["BINARY", "LABELMAP"])
    def test_every_truncation(self, tmp_path: Path, kind: str) -> None:
        made = segmentation([(1, at(0), mask(1)), (1, at(1), mask(2))], kind=kind)
        path = tmp_path / "x.dcm"
        made.save_as(path, enforce_file_format=True)
        whole = path.read_bytes()
        for end in range(0, len(whole) - 2, 13):
            path.write_bytes(whole[:end])
            with pytest.raises(NapariMonaiError):
                io.read(path)

    @settings(max_examples=150)
    @given(
        st.lists(st.tuples(st.integers(132, 2000), st.integers(0, 255)), min_size=1, max_size=4),
        st.sampled_from(["BINARY", "LABELMAP", "FRACTIONAL"]),
    )
    def test_damaged_bytes(
        self, tmp_path_factory: pytest.TempPathFactory, damage: list[tuple[int, int]], kind: str
    ) -> None:
        path = tmp_path_factory.mktemp("damaged") / "x.dcm"
        made = segmentation([(1, at(0), mask(1)), (1, at(1), mask(2))], kind=kind)
        made.save_as(path, enforce_file_format=True)
        content = bytearray(path.read_bytes())
        for place, value in damage:
            content[place % len(content)] = value
        path.write_bytes(content)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", VolumeWarning)
            with contextlib.suppress(NapariMonaiError):
                assert io.read(path).data.size < 2**20


@pytest.mark.parametrize("name", ["liver_1frame.dcm", "liver_expb_1frame.dcm"])
def test_a_segmentation_of_another_maker(name: str) -> None:
    path = get_testdata_file(name, download=False)
    if path is None:
        pytest.skip("this pydicom brings no segmentation")
    made = pydicom.dcmread(str(path))
    found = io.read(str(path))
    assert isinstance(found, LabelVolume)
    assert [c.name for c in found.classes] == [s.SegmentLabel for s in made.SegmentSequence]
    np.testing.assert_array_equal(found.numpy()[0], made.pixel_array)


@pytest.mark.parametrize("zipped", [False, True], ids=["folder", "zip"])
def test_listed_as_labels_beside_its_series(tmp_path: Path, zipped: bool) -> None:
    folder = tmp_path / "study"
    folder.mkdir()
    save(folder, axial([0, 2.5, 5]))
    made = segmentation([(1, at(0), mask(1)), (1, at(5), mask(2))], SeriesInstanceUID="1.2.3")
    made.save_as(folder / "seg.dcm", enforce_file_format=True)
    place = folder
    if zipped:
        place = Path(shutil.make_archive(str(tmp_path / "study"), "zip", folder))
    image, labels = contents(place)
    assert (image.kind, labels.kind) == ("image", "labels")
    (found,) = labels.read()
    assert isinstance(found, LabelVolume)
    expected = io.read(folder / "seg.dcm")
    assert found.grid == expected.grid == labels.grid
    np.testing.assert_array_equal(found.numpy(), expected.numpy())
