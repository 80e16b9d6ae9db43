"""Made series of every kind through ``convert``, against places and values from tags alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom.dataset import Dataset
from tests.io.dicom_files import (
    ID,
    NAME,
    SHAPE,
    Frame,
    axial,
    enhanced_of,
    mosaic_of,
    mr_slice,
    save,
    slice_of,
    stack_of,
)
from tests.io.dicom_oracle import assert_all_there, planes_of_folder, written_in

from napari_monai.cli import main

C16, S16 = float(np.cos(np.radians(16))), float(np.sin(np.radians(16)))
DOUBLE = np.linalg.qr(np.array([[0.9, 0.2, -0.3], [-0.1, 0.95, 0.3], [0.3, -0.2, 0.9]]))[0]
ORIENTATIONS = {
    "axial": (1, 0, 0, 0, 1, 0),
    "coronal": (1, 0, 0, 0, 0, -1),
    "sagittal": (0, 1, 0, 0, 0, -1),
    "prone": (-1, 0, 0, 0, -1, 0),
    "feet first": (-1, 0, 0, 0, 1, 0),
    "oblique": (C16, S16, 0, -S16, C16, 0),
    "oblique coronal": (1, 0, 0, 0, S16, -C16),
    "oblique sagittal": (S16, C16, 0, 0, 0, -1),
    "double oblique": tuple(DOUBLE[:, 0]) + tuple(DOUBLE[:, 1]),
}
Sizes = list[tuple[int, ...]]


def converted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], *, says: str = "", copies: int = 0
) -> Sizes:
    """Convert the series in ``tmp_path / "in"``, and check all of it.

    Returns (times, slices) of each file, sorted.
    """
    out = tmp_path / "out"
    assert main(["convert", str(tmp_path / "in"), str(out)]) == 0
    printed = capsys.readouterr()
    lines = printed.err.splitlines()
    assert says in printed.err, printed.err
    assert len(lines) == bool(says), lines
    assert_all_there(planes_of_folder(tmp_path / "in"), out, copies=copies)
    every = printed.out + printed.err + "".join(p.name for p in out.iterdir())
    for secret in (*NAME.split("^"), ID):
        assert secret not in every
    # NIfTIs are (time, slice, row, column, colour).
    return sorted((w.values.shape[0], w.values.shape[1]) for w in written_in(out))


def tilted(degrees: float) -> list[Dataset]:
    """Return slices of a gantry that leans: rows and columns turn, positions go straight up."""
    cosine, sine = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    return [
        slice_of((-9, 7, 2.5 * k), orientation=(1, 0, 0, 0, cosine, -sine), number=k + 1)
        for k in range(7)
    ]


def times(count: int, **each: Callable[[int, int], Any]) -> list[Dataset]:
    """Return three slices at each of some time points; elements from (time, slice)."""
    return [
        mr_slice(
            (0, 0, 3 * k), number=t * 3 + k + 1, **{name: of(t, k) for name, of in each.items()}
        )
        for t in range(count)
        for k in range(3)
    ]


@pytest.mark.parametrize("name", ORIENTATIONS)
@pytest.mark.parametrize("way", [1, -1], ids=["up", "down"])
def test_orientations(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, way: int
) -> None:
    save(tmp_path / "in", stack_of(5, orientation=ORIENTATIONS[name])[::way])
    assert converted(tmp_path, capsys) == [(1, 5)]


def blank(made: list[Dataset], *keywords: str) -> list[Dataset]:
    for one in made:
        for keyword in keywords:
            setattr(one, keyword, "")
    return made


def jittered(made: list[Dataset], by: float) -> list[Dataset]:
    random = np.random.default_rng(1)
    for one in made:
        moved = np.array(one.ImagePositionPatient, float) + random.uniform(-by, by, 3)
        one.ImagePositionPatient = [f"{x:.6f}" for x in moved]
    return made


def same(made: list[Dataset], **elements: Any) -> list[Dataset]:
    for one in made:
        for key, value in elements.items():
            setattr(one, key, value)
    return made


LOCALIZER = ["ORIGINAL", "PRIMARY", "LOCALIZER"]
SPLIT = "not evenly spaced"
UNLIKE = "do not have the same slices"
CASES: dict[str, tuple[Callable[[], list[Dataset]], Sizes, str]] = {
    "tilt": (lambda: tilted(18), [(1, 7)], ""),
    "tilt the other way": (lambda: tilted(-25), [(1, 7)], ""),
    "tilt from above": (lambda: tilted(12)[::-1], [(1, 7)], ""),
    "tilt with a gap": (lambda: [*tilted(18)[:3], *tilted(18)[4:]], [(1, 3), (1, 3)], SPLIT),
    "thin": (lambda: axial([0.003 * k for k in range(6)], PixelSpacing=[0.003] * 2), [(1, 6)], ""),
    "thick with jitter": (lambda: jittered(stack_of(9), 0.01), [(1, 9)], ""),
    "one missing": (lambda: axial([0, 2, 4, 8, 10, 12]), [(1, 3), (1, 3)], SPLIT),
    "several missing": (lambda: axial([0, 2, 6, 8, 10, 16, 18]), [(1, 2), (1, 2), (1, 3)], SPLIT),
    "one missing of many": (
        lambda: axial([0.5 * k for k in range(80) if k != 70]), [(1, 9), (1, 70)], SPLIT),
    "one slice": (lambda: axial([7]), [(1, 1)], ""),
    "two slices": (lambda: axial([7, 12]), [(1, 2)], ""),
    "spacing between slices is wrong": (
        lambda: axial([0, 2, 4], SpacingBetweenSlices=5, SliceThickness=7), [(1, 3)], ""),
    "no instance numbers": (lambda: blank(stack_of(5), "InstanceNumber"), [(1, 5)], ""),
    "one instance number": (lambda: same(stack_of(5), InstanceNumber=1), [(1, 5)], ""),
    "other slice locations": (lambda: same(stack_of(5), SliceLocation=3), [(1, 5)], ""),
    "echoes by number": (
        lambda: times(2, EchoNumbers=lambda t, k: t + 1), [(1, 3), (1, 3)], ""),
    "echoes by time": (
        lambda: times(3, EchoTime=lambda t, k: 2.3 * t + 1), [(1, 3)] * 3, ""),
    "temporal positions": (
        lambda: times(4, TemporalPositionIdentifier=lambda t, k: t + 1), [(4, 3)], ""),
    "temporal positions, numbers mixed up": (
        lambda: times(4, TemporalPositionIdentifier=lambda t, k: t + 1,
                      InstanceNumber=lambda t, k: (7 * (3 * t + k)) % 12), [(4, 3)], ""),
    "acquisitions": (lambda: times(4, AcquisitionNumber=lambda t, k: t + 1), [(4, 3)], ""),
    "acquisition times of each slice": (
        lambda: times(3, AcquisitionTime=lambda t, k: f"1015{10 * t + 2 * k:02d}.25"),
        [(3, 3)], ""),
    "trigger times": (lambda: times(5, TriggerTime=lambda t, k: 40.0 * t), [(5, 3)], ""),
    "trigger times of each slice": (
        lambda: times(5, TriggerTime=lambda t, k: 40.0 * t + k), [(5, 3)], ""),
    "b-values": (
        lambda: times(4, DiffusionBValue=lambda t, k: (0.0, 50.0, 400.0, 800.0)[t]), [(4, 3)], ""),
    "nothing but repeated positions": (
        lambda: blank(times(3), "InstanceNumber"), [(3, 3)], ""),
    "magnitude, phase, real, imaginary": (
        lambda: times(4, ImageType=lambda t, k: ["ORIGINAL", "PRIMARY", "MPRI"[t]]),
        [(1, 3)] * 4, ""),
    "water and fat": (
        lambda: times(2, ImageType=lambda t, k: ["DERIVED", "PRIMARY", "WF"[t]]),
        [(1, 3)] * 2, ""),
    "one time point has fewer": (
        lambda: times(3, TemporalPositionIdentifier=lambda t, k: t)[:-1], [(1, 2), (2, 3)], UNLIKE),
    "one position again": (
        lambda: [*axial([0, 2, 4, 6]), slice_of((-3, 4, 4), number=9)], [(1, 1), (1, 4)], UNLIKE),
    "localizer": (
        lambda: [*axial([0, 2, 4]), slice_of((0, -200, 300), orientation=(1, 0, 0, 0, 0, -1),
                                             number=9, ImageType=LOCALIZER)],
        [(1, 1), (1, 3)], ""),
    "three planes": (
        lambda: [*stack_of(3), *stack_of(3, orientation=ORIENTATIONS["coronal"]),
                 *stack_of(3, orientation=ORIENTATIONS["sagittal"])], [(1, 3)] * 3, ""),
    "blocks of the spine": (
        lambda: [*stack_of(3, orientation=(1, 0, 0, 0, C16, S16)),
                 *stack_of(4, start=(0, 0, 60), orientation=(1, 0, 0, 0, C16, -S16))],
        [(1, 3), (1, 4)], ""),
    "two fields side by side": (
        lambda: [*stack_of(3), *stack_of(3, start=(200, 11.5, 5.125))], [(1, 3), (1, 3)], ""),
    "other spacing": (
        lambda: [*axial([0, 2, 4]), *axial([10, 12], PixelSpacing=[0.5, 0.5])],
        [(1, 2), (1, 3)], ""),
    "other size": (
        lambda: [*axial([0, 2, 4]), *axial([10, 12], pixels=np.ones((4, 9), "<u2"))],
        [(1, 2), (1, 3)], ""),
    "both greys": (
        lambda: [*axial([0, 2, 4]), *axial([6, 8], PhotometricInterpretation="MONOCHROME1")],
        [(1, 2), (1, 3)], ""),
    "enhanced": (
        lambda: [enhanced_of([Frame((1, 2, 3.5 * k)) for k in range(5)])], [(1, 5)], ""),
    "enhanced, nothing shared": (
        lambda: [enhanced_of([Frame((1, 2, -3.5 * k)) for k in range(5)], shared=False)],
        [(1, 5)], ""),
    "enhanced, every frame its rescale": (
        lambda: [enhanced_of([Frame((1, 2, 3 * k), rescale=(0.3 + k, -k)) for k in range(4)])],
        [(1, 4)], ""),
    "enhanced, stacks": (
        lambda: [enhanced_of(
            [Frame((1, 2, 3 * k)) for k in range(3)]
            + [Frame((1, 2 * k, 3), ORIENTATIONS["coronal"], stack="2") for k in range(4)])],
        [(1, 3), (1, 4)], ""),
    "enhanced, echoes": (
        lambda: [enhanced_of([Frame((1, 2, 3 * k), echo=e) for k in range(3) for e in (5, 9.5)])],
        [(1, 3)] * 2, ""),
    "enhanced, magnitude and phase": (
        lambda: [enhanced_of([Frame((1, 2, 3 * k), kind=e) for k in range(3) for e in "MP"])],
        [(1, 3)] * 2, ""),
    "enhanced, time": (
        lambda: [enhanced_of([Frame((1, 2, 3 * k), time=t) for k in range(3) for t in (2, 1, 3)])],
        [(3, 3)], ""),
    "enhanced, b-values": (
        lambda: [enhanced_of([Frame((1, 2, 3 * k), b=b) for b in (0, 500) for k in range(3)])],
        [(2, 3)], ""),
    "enhanced, a gap": (
        lambda: [enhanced_of([Frame((1, 2, z)) for z in (0, 2, 4, 10, 12)])],
        [(1, 2), (1, 3)], SPLIT),
    "enhanced, one file each": (
        lambda: [enhanced_of([Frame((1, 2, 3 * k))], InstanceNumber=k) for k in range(3)],
        [(1, 3)], ""),
    "enhanced, frames in any order": (
        lambda: [enhanced_of([Frame((1, 2, 3 * k)) for k in (3, 0, 4, 1, 2)])], [(1, 5)], ""),
    "mosaic": (lambda: [mosaic_of(7)], [(1, 7)], ""),
    "mosaic, first kind of header": (lambda: [mosaic_of(7, second=False)], [(1, 7)], ""),
    "mosaic, full": (lambda: [mosaic_of(9)], [(1, 9)], ""),
    "mosaic, two slices": (lambda: [mosaic_of(2)], [(1, 2)], ""),
    "mosaic, one slice": (lambda: [mosaic_of(1)], [(1, 1)], ""),
    **{f"mosaic, {name}": (
        lambda name=name: [mosaic_of(5, orientation=ORIENTATIONS[name])], [(1, 5)], "")
       for name in ("coronal", "sagittal", "oblique", "double oblique")},
    **{f"mosaic, {name}, against the normal": (
        lambda name=name: [mosaic_of(5, orientation=ORIENTATIONS[name], flip=True)], [(1, 5)], "")
       for name in ("axial", "coronal", "sagittal", "oblique")},
    "mosaics in time": (
        lambda: [mosaic_of(5, AcquisitionNumber=t + 1, InstanceNumber=t + 1) for t in range(4)],
        [(4, 5)], ""),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_kinds(tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str) -> None:
    make, sizes, says = CASES[name]
    save(tmp_path / "in", make())
    assert converted(tmp_path, capsys, says=says) == sizes


def assert_not_mixed(folder: Path, keys: Sequence[Sequence[float]]) -> None:
    """Check that every time point of the one file in a folder has slices of one key alone.

    Voxels of slice and key (k) are all ``10 * key number + slice``.
    """
    (written,) = written_in(folder)
    found = sorted(tuple(sorted(set(time.ravel().tolist()))) for time in written.values)
    assert found == [tuple(10 * n + k for k in range(3)) for n, _ in enumerate(keys)]


def flat(value: int) -> np.ndarray:
    return np.full(SHAPE, value, "<u2")


STATES = [(0.0,), (500.0, 1, 0, 0), (500.0, 0, 1, 0), (1000.0, 1, 0, 0)]


@pytest.mark.parametrize("how", ["standard", "siemens", "ge", "inversion", "flip"])
def test_states_are_not_mixed_in_a_time_point(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], how: str
) -> None:
    made = []
    order = np.random.default_rng(4).permutation(len(STATES) * 3)
    for n, (b, *direction) in enumerate(STATES):
        for k in range(3):
            one = mr_slice((0, 0, 3 * k), pixels=flat(10 * n + k), number=int(order[n * 3 + k]) + 1)
            if how == "standard":
                one.DiffusionBValue = b
                if direction:
                    one.DiffusionGradientOrientation = direction
            elif how == "siemens":
                block = one.private_block(0x19, "SIEMENS MR HEADER", create=True)
                block.add_new(0x0C, "IS", str(int(b) + n))
            elif how == "ge":
                block = one.private_block(0x43, "GEMS_PARM_01", create=True)
                block.add_new(0x39, "IS", [1_000_000_000 + int(b) + n, 8, 0, 0])
            elif how == "inversion":
                one.InversionTime = 100 * n + 50
            else:
                one.FlipAngle = 5 * n + 2
            made.append(one)
    save(tmp_path / "in", made)
    assert converted(tmp_path, capsys) == [(4, 3)]
    assert_not_mixed(tmp_path / "out", STATES)


def test_dimensions_of_an_enhanced_file_are_not_mixed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    order = np.random.default_rng(5).permutation(12).tolist()
    frames = [Frame((0, 0, 3.0 * (i % 3)), index=(1, i % 3 + 1, i // 3 + 1)) for i in order]
    made = enhanced_of(frames)
    made.DimensionIndexSequence = []
    for pointer in (0x00209056, 0x00209057, 0x00209128):  # stack, position in it, time
        item = Dataset()
        item.DimensionIndexPointer = pointer
        made.DimensionIndexSequence.append(item)
    pixels = np.stack([flat(10 * (i // 3) + i % 3) for i in order])
    made.PixelData = pixels.tobytes()
    save(tmp_path / "in", [made])
    assert converted(tmp_path, capsys) == [(4, 3)]
    assert_not_mixed(tmp_path / "out", range(4))


def test_small_voxels_do_not_fall_together(tmp_path: Path) -> None:
    save(tmp_path / "in", axial([0.002 * k for k in range(6)], PixelSpacing=[0.002] * 2))
    assert main(["convert", str(tmp_path / "in"), str(tmp_path / "out")]) == 0
    (written,) = written_in(tmp_path / "out")
    assert written.values.shape[1] == 6


def rotated(degrees: float) -> tuple[float, ...]:
    cosine, sine = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    return (cosine, sine, 0, -sine, cosine, 0)


@pytest.mark.parametrize("turn", [1e-4, 0.02, 0.2, 1])
def test_slices_that_turn_a_little(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], turn: float
) -> None:
    """Whatever is taken together, the oracle allows no voxel more than the tolerance."""
    made = [
        slice_of((0, 0, round(2.03 * k, 1)), orientation=rotated(turn * k), number=k + 1,
                 pixels=np.full((40, 30), k, "<u2"))
        for k in range(6)
    ]  # fmt: skip
    save(tmp_path / "in", made)
    out = tmp_path / "out"
    assert main(["convert", str(tmp_path / "in"), str(out)]) == 0
    capsys.readouterr()
    assert_all_there(planes_of_folder(tmp_path / "in"), out)


class TestMosaicsWithoutTheirHeader:
    def test_no_count_is_a_picture_without_a_place(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        made = mosaic_of(7)
        made.remove_private_tags()
        save(tmp_path / "in", [made])
        assert main(["convert", str(tmp_path / "in"), str(tmp_path / "out")]) == 0
        assert "a mosaic of slices, but the header" in capsys.readouterr().err
        assert [p.suffix for p in (tmp_path / "out").iterdir()] == [".tif"]

    @pytest.mark.parametrize("element", [0x0A, 0x29], ids=["number", "slice times"])
    def test_the_other_places_of_the_count(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str], element: int
    ) -> None:
        made = mosaic_of(7)
        expected = planes_of_folder(save(tmp_path / "whole", [made]))
        made.remove_private_tags()
        block = made.private_block(0x19, "SIEMENS MR HEADER", create=True)
        if element == 0x0A:
            block.add_new(element, "US", 7)
        else:
            block.add_new(element, "FD", [0.1 * k for k in range(7)])
        save(tmp_path / "in", [made])
        assert main(["convert", str(tmp_path / "in"), str(tmp_path / "out")]) == 0
        assert "their order may be reversed" in capsys.readouterr().err
        assert_all_there(expected, tmp_path / "out")

    def test_an_enhanced_file_that_was_a_mosaic(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        made = enhanced_of([Frame((1, 2, 3 * k)) for k in range(4)])
        made.ImageType = ["ORIGINAL", "PRIMARY", "M", "ND", "MOSAIC"]
        save(tmp_path / "in", [made])
        assert converted(tmp_path, capsys) == [(1, 4)]
