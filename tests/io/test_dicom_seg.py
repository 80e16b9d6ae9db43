"""Labels to DICOM segmentations, seen by highdicom's reader and by hand."""

from __future__ import annotations

import logging
import subprocess
import sys
import warnings
import zipfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import highdicom
import nrrd
import numpy as np
import pydicom
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageCms
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes
from pydicom.uid import generate_uid
from tests.io.dicom_files import ID, NAME, axial, save, slice_of
from tests.io.seg_files import frames_of

from napari_monai import io
from napari_monai.errors import FormatError, VolumeWarning, WriteError
from napari_monai.io.dicom import cielab, seg_codes
from napari_monai.volume import LabelClass, LabelVolume, Provenance, Volume

STUDY, SPACE = generate_uid(), generate_uid()
CLASSES = (
    LabelClass(1, "liver", "#dd8265"),
    LabelClass(2, "kidney_left", "#b17a65"),
    LabelClass(3, "Leberrand ä", None),
)
MODEL = Provenance("automatic", "organs-3d", "2.1")
HEIGHTS = [10, 12.5, 15, 17.5, 20, 22.5]
SERIES = ["ct_head", "compressed_jpegls", "enhanced_fieldmap", "ct_tilted"]


def labelled(volume: Volume, **options: Any) -> LabelVolume:
    """Return labels 0 to 3 in blobs on the volume's grid; some slices are empty."""
    shape = volume.grid.shape
    z, y, x = np.ogrid[: shape[0], : shape[1], : shape[2]]
    array = ((x // 3 + 2 * (y // 4) + z) % 7).astype(np.uint8)
    array[array > 3] = 0
    if shape[0] > 3:
        array[[0, 2]] = 0
    chosen: dict[str, Any] = {"classes": CLASSES, "made_by": MODEL, "name": "organs", **options}
    return LabelVolume(array, volume.grid, meta=volume.meta, **chosen)


def made(heights: Sequence[float] = HEIGHTS, **elements: Any) -> list[Dataset]:
    known = {"StudyInstanceUID": STUDY, "FrameOfReferenceUID": SPACE}
    chosen = {**known, **elements}
    return axial(heights, **{k: v for k, v in chosen.items() if v is not None or k not in known})


def oblique() -> list[Dataset]:
    """Return slices that lean away from every axis of the patient, of a size that no byte fits."""
    row, column = np.array((0.8, 0.36, 0.48)), np.array((-0.6, 0.48, 0.64))
    normal = np.cross(row, column)
    return [
        slice_of(
            (-50, 20, 30) + 2.4 * k * normal,
            orientation=(*row, *column),
            number=k + 1,
            pixels=np.zeros((7, 5), np.uint16),
            StudyInstanceUID=STUDY,
            FrameOfReferenceUID=SPACE,
        )
        for k in range(6)
    ]


def only(folder: Path) -> Volume:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", VolumeWarning)
        return io.read_series(folder)[0]


def written(path: Path, labels: LabelVolume, **options: Any) -> list[str]:
    """Write labels, and return what is warned of."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        io.write(path, labels, **options)
    assert all(w.category is VolumeWarning for w in caught), [str(w.message) for w in caught]
    return [str(w.message) for w in caught]


def assert_holds(path: Path, labels: LabelVolume) -> None:
    """Check by hand that a file holds just these labels, each voxel where it belongs."""
    array = labels.numpy()
    seen = np.zeros(array.shape, int)
    for frame in frames_of(path):
        rows, columns = frame.voxels.shape
        corners = np.array([(0, 0), (rows - 1, 0), (0, columns - 1)])
        k = round(float(labels.grid.world_to_index(frame.world(corners))[0, 0]))
        places = labels.grid.index_to_world([(k, *c) for c in corners])
        np.testing.assert_allclose(places, frame.world(corners), atol=1e-3)  # mm
        values = array[k] == frame.segment if frame.segment else array[k]
        np.testing.assert_array_equal(frame.voxels, values)
        seen[k] += frame.voxels > 0
    np.testing.assert_array_equal(seen, array > 0)  # all of them, and once


def assert_refers(path: Path, sources: Sequence[Dataset]) -> None:
    """Check that every frame names the source slice that lies in its very place."""
    made = pydicom.dcmread(path)
    known = {str(s.SOPInstanceUID): s for s in sources}
    assert {made.StudyInstanceUID} == {s.StudyInstanceUID for s in sources}
    assert {made.FrameOfReferenceUID} == {
        s.get("FrameOfReferenceUID", made.FrameOfReferenceUID) for s in sources
    }
    for frame in frames_of(path):
        ((uid, number),) = frame.sources
        source = known[uid]
        if number is None:
            position = source.ImagePositionPatient
        else:
            group = source.PerFrameFunctionalGroupsSequence[number - 1]
            position = group.PlanePositionSequence[0].ImagePositionPatient
        np.testing.assert_allclose(frame.position, np.array(position, float), atol=1e-9)
    (series,) = made.ReferencedSeriesSequence
    assert series.SeriesInstanceUID == sources[0].SeriesInstanceUID
    for references in (series.ReferencedInstanceSequence, made.SourceImageSequence):
        uids = [str(r.ReferencedSOPInstanceUID) for r in references]
        assert len(set(uids)) == len(uids)
        assert set(uids) <= set(known)
        assert {r.ReferencedSOPClassUID for r in references} == {sources[0].SOPClassUID}


def assert_reads_back(path: Path, labels: LabelVolume) -> None:
    found = io.read(path)
    assert isinstance(found, LabelVolume)
    assert (found.classes, found.kind, found.made_by) == (labels.classes, "classes", MODEL)
    placed = io.reference.labels_on(found, [labels])
    np.testing.assert_array_equal(placed.numpy(), labels.numpy())
    assert io.read(path, labels=True).grid == found.grid


@pytest.mark.parametrize("labelmap", [False, True], ids=["binary", "labelmap"])
class TestRoundTrip:
    @pytest.mark.parametrize("name", SERIES)
    def test_real_series(
        self, shared_data: Path, tmp_path: Path, name: str, labelmap: bool
    ) -> None:
        folder = shared_data / "dicom" / name
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", VolumeWarning)
            volumes = io.read_series(folder)
        sources = [pydicom.dcmread(p) for p in folder.iterdir() if p.name != "DIRFILE"]
        for number, volume in enumerate(volumes):
            labels, path = labelled(volume), tmp_path / f"{number}.dcm"
            said = written(path, labels, labelmap=labelmap)
            remarks = {"ct_tilted": "gantry was tilted", "compressed_jpegls": "FrameOfReferenceUID"}
            assert [remarks[name] in s for s in said] == [True] * (name in remarks)
            assert_holds(path, labels)
            assert_refers(path, [s for s in sources if "Rows" in s])
            assert_reads_back(path, labels)

    def test_oblique_slices_of_odd_size(self, tmp_path: Path, labelmap: bool) -> None:
        sources = oblique()
        labels = labelled(only(save(tmp_path / "in", sources)))
        assert written(tmp_path / "x.dcm", labels, labelmap=labelmap) == []
        assert_holds(tmp_path / "x.dcm", labels)
        assert_refers(tmp_path / "x.dcm", sources)
        assert_reads_back(tmp_path / "x.dcm", labels)

    @pytest.mark.parametrize("name", ["enhanced_fieldmap", "oblique"])
    def test_highdicom_reads_the_same(
        self, shared_data: Path, tmp_path: Path, name: str, labelmap: bool
    ) -> None:
        folder = shared_data / "dicom" / name
        labels = labelled(only(save(tmp_path / "in", oblique()) if name == "oblique" else folder))
        path = tmp_path / "x.dcm"
        written(path, labels, labelmap=labelmap)
        volume = highdicom.seg.segread(path).get_volume(combine_segments=True)
        affine = np.diag((-1, -1, 1, 1)) @ volume.affine  # to RAS
        found = np.zeros_like(labels.numpy())
        at = np.argwhere(volume.array)
        index = labels.grid.world_to_index(at @ affine[:3, :3].T + affine[:3, 3])
        np.testing.assert_allclose(index, np.rint(index), atol=1e-3)
        found[tuple(np.rint(index).astype(int).T)] = volume.array[tuple(at.T)]
        np.testing.assert_array_equal(found, labels.numpy())

    def test_one_slice(self, tmp_path: Path, labelmap: bool) -> None:
        labels = labelled(only(save(tmp_path / "in", made([10]))))
        written(tmp_path / "x.dcm", labels, labelmap=labelmap)
        found = io.read(tmp_path / "x.dcm")
        assert found.grid.is_close(labels.grid)
        np.testing.assert_array_equal(found.numpy(), labels.numpy())


def test_dcmqi_reads_the_same(shared_data: Path, tmp_path: Path) -> None:
    dcmqi = pytest.importorskip("dcmqi", reason="needs dcmqi, which is not among the extras")
    tool = Path(dcmqi.__file__).parent / "bin" / "segimage2itkimage"
    labels = labelled(only(shared_data / "dicom" / "ct_head"))
    for labelmap in (False, True):
        written(tmp_path / "x.dcm", labels, labelmap=labelmap)
        arguments = ["--inputDICOM", "x.dcm", "--outputDirectory", ".", "--mergeSegments"]
        subprocess.run([tool, *arguments], cwd=tmp_path, check=True, capture_output=True)
        array, header = nrrd.read(tmp_path / "1.nrrd")
        at = np.argwhere(array)
        lps = at @ header["space directions"] + header["space origin"]
        index = labels.grid.world_to_index(lps * (-1, -1, 1))
        np.testing.assert_allclose(index, np.rint(index), atol=1e-3)
        found = np.zeros_like(labels.numpy())
        found[tuple(np.rint(index).astype(int).T)] = array[tuple(at.T)]
        np.testing.assert_array_equal(found, labels.numpy())


class TestWhatItSays:
    def test_segments(self, tmp_path: Path) -> None:
        labels = labelled(only(save(tmp_path / "in", made())))
        written(tmp_path / "x.dcm", labels)
        liver, kidney, other = pydicom.dcmread(tmp_path / "x.dcm").SegmentSequence
        assert [s.SegmentLabel for s in (liver, kidney, other)] == [c.name for c in CLASSES]
        assert [s.SegmentNumber for s in (liver, kidney, other)] == [1, 2, 3]
        codes_ = [s.SegmentedPropertyTypeCodeSequence[0] for s in (liver, kidney, other)]
        assert [c.CodeValue for c in codes_] == ["10200004", "64033007", "85756007"]
        assert {c.CodingSchemeDesignator for c in codes_} == {"SCT"}
        side = codes_[1].SegmentedPropertyTypeModifierCodeSequence[0]
        assert side.CodeMeaning == "Left"
        assert liver.SegmentAlgorithmType == "AUTOMATIC"
        assert liver.SegmentAlgorithmName == "organs-3d"
        about = liver.SegmentationAlgorithmIdentificationSequence[0]
        assert (about.AlgorithmName, about.AlgorithmVersion) == ("organs-3d", "2.1")
        assert "RecommendedDisplayCIELabValue" not in other

    @pytest.mark.parametrize("labelmap", [False, True], ids=["binary", "labelmap"])
    @pytest.mark.parametrize(
        ("made_by", "kind", "name"),
        [
            (None, "AUTOMATIC", "unknown"),
            (Provenance("manual"), "MANUAL", None),
            (Provenance("semiautomatic", "organs"), "SEMIAUTOMATIC", "organs"),
        ],
    )
    def test_how_they_were_made(
        self,
        tmp_path: Path,
        made_by: Provenance | None,
        kind: str,
        name: str | None,
        labelmap: bool,
    ) -> None:
        labels = labelled(only(save(tmp_path / "in", made())), made_by=made_by)
        written(tmp_path / "x.dcm", labels, labelmap=labelmap)
        first = pydicom.dcmread(tmp_path / "x.dcm").SegmentSequence[0]
        assert first.SegmentAlgorithmType == kind
        assert first.get("SegmentAlgorithmName") == name
        assert io.read(tmp_path / "x.dcm").made_by == made_by or made_by is None

    def test_a_class_without_voxels_is_kept(self, tmp_path: Path) -> None:
        labels = labelled(only(save(tmp_path / "in", made())))
        bare = replace(labels, data=np.where(labels.numpy() == 1, 1, 0).astype(np.uint8))
        written(tmp_path / "x.dcm", bare)
        assert io.read(tmp_path / "x.dcm").classes == CLASSES

    def test_no_voxel_at_all(self, tmp_path: Path) -> None:
        labels = labelled(only(save(tmp_path / "in", made())))
        written(tmp_path / "x.dcm", replace(labels, data=np.zeros_like(labels.numpy())))
        found = io.read(tmp_path / "x.dcm")
        assert found.grid.is_close(labels.grid)
        assert not found.numpy().any()

    def test_numbers_that_binary_cannot_have(self, tmp_path: Path) -> None:
        labels = labelled(only(save(tmp_path / "in", made())))
        array = np.array([0, 2, 7, 0], np.int64)[labels.numpy()]
        named = (LabelClass(2, "liver"), LabelClass(7, "spleen"))
        odd = replace(labels, data=array, classes=named)
        (said,) = written(tmp_path / "b.dcm", odd)
        assert "classes 2, 7 become 1, 2" in said
        assert [c.name for c in io.read(tmp_path / "b.dcm").classes] == ["liver", "spleen"]
        assert written(tmp_path / "l.dcm", odd, labelmap=True) == []
        found = io.read(tmp_path / "l.dcm")
        assert found.classes == named
        np.testing.assert_array_equal(found.numpy(), array)

    @pytest.mark.parametrize("labelmap", [False, True], ids=["binary", "labelmap"])
    def test_objects(self, tmp_path: Path, labelmap: bool) -> None:
        volume = only(save(tmp_path / "in", made()))
        array = np.arange(6 * 30).reshape(volume.grid.shape).astype(np.int32)
        named = (LabelClass(1, "nucleus", "#00ff00"),)
        labels = labelled(volume, kind="instances", classes=named)
        labels = replace(labels, data=array)
        said = written(tmp_path / "x.dcm", labels, labelmap=labelmap)
        assert ["179 segments" in s and "--labelmap" in s for s in said] == [True] * (not labelmap)
        found = io.read(tmp_path / "x.dcm")
        assert (found.kind, found.classes[0].name) == ("instances", "nucleus")
        np.testing.assert_array_equal(found.numpy(), array)
        first = pydicom.dcmread(tmp_path / "x.dcm").SegmentSequence[-1]
        assert first.SegmentLabel == "nucleus 179"
        assert first.SegmentedPropertyTypeCodeSequence[0].CodeMeaning == "Nucleus"

    def test_no_object_was_found(self, tmp_path: Path) -> None:
        volume = only(save(tmp_path / "in", made()))
        labels = labelled(volume, kind="instances", classes=(LabelClass(1, "nucleus"),))
        written(tmp_path / "x.dcm", replace(labels, data=np.zeros(volume.grid.shape, np.uint16)))
        assert not io.read(tmp_path / "x.dcm").numpy().any()

    def test_the_patient_is_carried_and_never_named(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        private = {"PatientName": "Müller", "PatientSex": "female", "PatientBirthDate": "unknown",
                   "SpecificCharacterSet": "ISO_IR 100", "PatientID": ID}  # fmt: skip
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # pydicom's, of the values that are not valid
            save(tmp_path / "in", made(**private))
        labels = labelled(only(tmp_path / "in"))
        caplog.clear()  # of what pydicom said when the series was made
        with caplog.at_level(logging.DEBUG):
            said = written(tmp_path / "x.dcm", labels)
        assert said == []
        assert not any(w in caplog.text for w in ("Müller", ID, "female"))
        made_ = pydicom.dcmread(tmp_path / "x.dcm")
        assert (made_.PatientName, made_.PatientID) == ("Müller", ID)
        assert (made_.PatientSex, made_.PatientBirthDate) == ("", "")
        assert made_.SegmentSequence[2].SegmentLabel == "Leberrand ä"
        found = io.read(tmp_path / "x.dcm")
        assert not any(w in f"{found.name} {found.meta}" for w in ("Müller", ID))

    def test_elements_of_the_patient_that_are_missing(self, tmp_path: Path) -> None:
        labels = labelled(only(save(tmp_path / "in", made(PatientID=None, PatientName=None))))
        written(tmp_path / "x.dcm", labels)
        assert pydicom.dcmread(tmp_path / "x.dcm").PatientID == ""

    def test_the_first_of_several_time_points(self, tmp_path: Path) -> None:
        sources = [
            made_
            for t in (1, 2)
            for made_ in made(TemporalPositionIdentifier=t, AcquisitionNumber=t)
        ]
        series = only(save(tmp_path / "in", sources))
        assert series.times == 2
        (said,) = written(tmp_path / "x.dcm", labelled(series.at_time(0)))
        assert "2 time points; the segmentation refers to the slices of the first" in said
        assert_refers(tmp_path / "x.dcm", sources)
        uids = {s[0] for f in frames_of(tmp_path / "x.dcm") for s in f.sources}
        assert uids <= {s.SOPInstanceUID for s in sources[: len(HEIGHTS)]}

    def test_a_series_in_a_zip(self, tmp_path: Path) -> None:
        sources = made()
        save(tmp_path / "in", sources)
        with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
            for file in sorted((tmp_path / "in").iterdir()):
                archive.write(file, file.name)
        labels = labelled(io.read(tmp_path / "a.zip"))
        written(tmp_path / "x.dcm", labels)
        assert_holds(tmp_path / "x.dcm", labels)
        assert_refers(tmp_path / "x.dcm", sources)


class TestRefusals:
    @pytest.mark.parametrize(
        ("elements", "says"),
        [
            ({"StudyInstanceUID": None}, "lack a StudyInstanceUID"),
            ({"SOPInstanceUID": "1.2.3"}, "have one SOPInstanceUID"),
        ],
        ids=["no study", "one UID for all"],
    )
    def test_headers(self, tmp_path: Path, elements: dict[str, Any], says: str) -> None:
        labels = labelled(only(save(tmp_path / "in", made(**elements))))
        with pytest.raises(FormatError, match=rf"x\.dcm: .*{says}.*seg\.nrrd") as caught:
            io.write(tmp_path / "x.dcm", labels)
        assert not any(w in str(caught.value) for w in (*NAME.split("^"), ID))
        assert not (tmp_path / "x.dcm").exists()

    @pytest.mark.parametrize(
        ("change", "says"),
        [
            (lambda v: replace(v, meta={}), r"--reference FOLDER"),
            (lambda v: replace(v, grid=v.grid.crop((0, 0, 1), v.grid.shape)), "voxel for voxel"),
            (lambda v: replace(v, data=v.numpy()[:4], grid=v.grid.crop((0, 0, 0), (4, 6, 5))),
             "voxel for voxel"),
            (lambda v: replace(v, data=v.numpy().astype(np.int8) - 1), "-1 is no number"),
            (lambda v: replace(v, data=v.numpy()[None], leading="t"), "one time point"),
            (lambda v: replace(v, data=v.numpy() * 0, classes=()), "no voxel above 0"),
            (lambda v: Volume(v.data, v.grid, meta=v.meta), "labels=True"),
        ],
        ids=["no series", "moved", "cropped", "negative", "time", "nothing", "image"],
    )  # fmt: skip
    def test_labels(self, tmp_path: Path, change: Any, says: str) -> None:
        labels = labelled(only(save(tmp_path / "in", made())))
        with pytest.raises(FormatError, match=says) as caught:
            io.write(tmp_path / "x.dcm", change(labels))
        assert "\n" not in str(caught.value)
        assert not (tmp_path / "x.dcm").exists()

    def test_files_that_are_gone(self, tmp_path: Path) -> None:
        labels = labelled(only(save(tmp_path / "in", made())))
        next((tmp_path / "in").iterdir()).unlink()
        with pytest.raises(WriteError, match="have changed or are gone"):
            io.write(tmp_path / "x.dcm", labels)

    def test_a_mosaic(self, shared_data: Path, tmp_path: Path) -> None:
        volume = only(shared_data / "dicom" / "mosaic_axial")
        with pytest.raises(FormatError, match=r"mosaic.*seg\.nrrd"):
            io.write(tmp_path / "x.dcm", labelled(volume.at_time(0)))

    def test_a_picture(self, tmp_path: Path, sample_data: Path) -> None:
        labels = io.read(sample_data / "nuclei_2d_truth.tif", labels=True)
        with pytest.raises(FormatError, match="series that its labels lie on"):
            io.write(tmp_path / "x.dcm", labels)

    def test_too_many_objects(self, tmp_path: Path) -> None:
        size = np.zeros((300, 300), np.uint16)
        volume = only(save(tmp_path / "in", made([10], pixels=size)))
        array = np.arange(90_000, dtype=np.int32).reshape(1, 300, 300)
        labels = replace(labelled(volume, kind="instances", classes=()), data=array)
        with pytest.raises(FormatError, match=r"up to 65535 segments.*has 89999"):
            io.write(tmp_path / "x.dcm", labels, labelmap=True)

    def test_highdicom_is_missing(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        labels = labelled(only(save(tmp_path / "in", made())))
        monkeypatch.setitem(sys.modules, "highdicom.seg", None)
        with pytest.raises(WriteError, match=r'pip install "napari-monai\[seg\]"'):
            io.write(tmp_path / "x.dcm", labels)

    @pytest.mark.parametrize("ending", [".dicom", ".ima", ".zip"])
    def test_other_endings_are_read_only(self, tmp_path: Path, ending: str) -> None:
        labels = labelled(only(save(tmp_path / "in", made())))
        with pytest.raises(FormatError, match="read only"):
            io.write(tmp_path / f"x{ending}", labels)

    def test_labelmap_is_of_dicom_only(self, tmp_path: Path) -> None:
        labels = labelled(only(save(tmp_path / "in", made())))
        with pytest.raises(FormatError, match=r"write \.dcm"):
            io.write(tmp_path / "x.nii.gz", labels, labelmap=True)


class TestColours:
    @given(st.integers(0, 2**24 - 1))
    def test_every_colour_comes_back(self, number: int) -> None:
        assert cielab.to_hex(cielab.from_hex(f"#{number:06x}")) == f"#{number:06x}"

    def test_as_a_colour_management_system_has_them(self) -> None:
        steps = np.linspace(0, 255, 6).astype(np.uint8)
        rgb = np.stack(np.meshgrid(steps, steps, steps), -1).reshape(-1, 1, 3)
        profiles = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
        change = ImageCms.buildTransform(*profiles, "RGB", "LAB")
        shown = np.asarray(ImageCms.applyTransform(Image.fromarray(rgb), change))[:, 0]
        lightness, others = shown[:, :1] * (100 / 255), shown[:, 1:].view(np.int8)
        numbers = [cielab.from_hex("#" + bytes(c).hex()) for c in rgb[:, 0]]
        found = np.array(numbers) / 65535 * (100, 255, 255) - (0, 128, 128)
        np.testing.assert_allclose(found, np.hstack([lightness, others]), atol=1.2)

    @pytest.mark.parametrize(
        ("colour", "lab"),
        [
            ("#ffffff", (100, 0, 0)),
            ("#000000", (0, 0, 0)),
            ("#808080", (53.585, 0, 0)),
            ("#ff0000", (54.29, 80.81, 69.89)),
            ("#00ff00", (87.82, -79.29, 80.99)),
            ("#0000ff", (29.57, 68.30, -112.03)),
        ],
    )
    def test_known_values(self, colour: str, lab: tuple[float, ...]) -> None:
        found = np.array(cielab.from_hex(colour)) / 65535 * (100, 255, 255) - (0, 128, 128)
        np.testing.assert_allclose(found, lab, atol=0.05)

    @given(st.tuples(*[st.integers(0, 65535)] * 3))
    def test_any_numbers_are_a_colour(self, numbers: tuple[int, int, int]) -> None:
        assert len(bytes.fromhex(cielab.to_hex(numbers)[1:])) == 3


class TestCodes:
    def test_all_are_codes_of_dicom(self) -> None:
        every = (getattr(codes.SCT, name) for name in dir(codes.SCT))
        known = {(c.value, c.meaning) for c in every if hasattr(c, "meaning")}
        tables = seg_codes._TABLES
        ours = {pair for table, category in tables for pair in (*table.values(), category)}
        assert ours | {seg_codes.LEFT, seg_codes.RIGHT} <= known

    @pytest.mark.parametrize(
        ("name", "meaning", "side"),
        [
            ("liver", "Liver", None),
            ("Right Kidney", "Kidney", "Right"),
            ("lung_upper", "Tissue", None),
            ("left ventricle", "Left ventricle", None),
            ("adrenal_gland_left", "Adrenal gland", "Left"),
            ("left and right", "Tissue", None),
            ("nuclei", "Nucleus", None),
            ("tumour", "Neoplasm", None),
            ("", "Tissue", None),
        ],
    )
    def test_names(self, name: str, meaning: str, side: str | None) -> None:
        found = seg_codes.meaning_of(name)
        assert (found.type[1], found.side[1] if found.side else None) == (meaning, side)
