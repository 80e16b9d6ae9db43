"""What is worth looking at: planted faults are found, with their reasons, and nothing else."""

from __future__ import annotations

import nibabel as nib
import numpy as np
import pytest

from napari_monai.errors import VolumeError
from napari_monai.labels import runs
from napari_monai.labels.measure import measure
from napari_monai.labels.review import (
    Finding,
    disagreeing_objects,
    disagreeing_slices,
    next_finding,
    odd_objects,
    odd_slices,
    ranked,
    uncertain_objects,
    uncertain_slices,
)


def _squares(side=4, rows=4, columns=5, gap=3):
    """Return equal squares, numbered from 1, none of them at the border."""
    labels = np.zeros((rows * (side + gap) + gap, columns * (side + gap) + gap), np.uint16)
    for number in range(rows * columns):
        y, x = ((side + gap) * n + gap for n in divmod(number, columns))
        labels[y : y + side, x : x + side] = number + 1
    return labels


def _told(findings):
    return [(f.key, f.reason) for f in findings]


class TestObjects:
    def test_equal_ones_are_not_odd(self):
        assert odd_objects(measure(_squares(), spacing=(1, 1))) == ()

    def test_sizes_shapes_and_pieces(self):
        labels = _squares()
        labels[3:9, 3:8] = 1  # 30 instead of 16
        labels[labels == 2] = 0
        labels[4, 12] = 2  # a single pixel
        labels[labels == 20] = 0
        labels[27, 18:34] = 20  # as large, but a line
        labels[12, 12] = 3  # away from the rest of it
        found = odd_objects(measure(labels, spacing=(1, 1)))
        assert sorted(_told(found)) == [
            ("object 1", "area 1.9 times the median"),
            ("object 2", "area 6 % of the median"),
            ("object 20", "roundness 0.12, the median is 0.95"),
            ("object 3", "roundness 0.34, the median is 0.95; in 2 pieces"),
        ]
        assert all(0.5 <= f.score <= 1 for f in found)
        assert [f.score for f in found] == sorted((f.score for f in found), reverse=True)
        assert next(f for f in found if f.number == 2).at == (4, 12)

    def test_what_the_border_cuts_may_be_small(self):
        labels = _squares()
        small = labels.copy()
        small[labels == 7] = 0
        small[0, 15:17] = 7
        assert odd_objects(measure(small, spacing=(1, 1))) == ()
        large = labels.copy()
        large[:, :3] = 7
        large[labels == 7] = 0
        assert _told(odd_objects(measure(large, spacing=(1, 1)))) == [
            ("object 7", "area 5.8 times the median")
        ]

    def test_of_few_the_pieces_alone(self):
        labels = np.array([[1, 0, 1, 0, 2, 2, 2, 2, 2, 2]])
        assert _told(odd_objects(measure(labels, spacing=(1, 1)))) == [("object 1", "in 2 pieces")]

    def test_classes_have_sizes_of_their_own(self):
        labels = _squares()
        labels[3:9, 3:8] = 1
        table = measure(labels, spacing=(1, 1))
        assert odd_objects(table)[0].key == "object 1"
        assert odd_objects(table, kind="classes") == ()

    def test_volumes_are_called_so(self):
        labels = np.stack([np.zeros_like(_squares()), _squares(), np.zeros_like(_squares())])
        labels[1, 3:20, 3:20] = 1
        found = odd_objects(measure(labels, spacing=(3, 1, 1)))
        assert found[0].reason.startswith("volume 18 times the median")

    def test_uncertain_ones(self):
        labels = np.array([[1, 1, 0, 2, 2]])
        table = measure(labels, spacing=(1, 1), image=np.array([[0.1, 0.3, 0.9, 0.6, 0.62]]))
        found = uncertain_objects(table)
        assert _told(found) == [
            ("object 2", "mean uncertainty 0.61"),
            ("object 1", "mean uncertainty 0.20"),
        ]
        assert found[0].score == pytest.approx(0.61)
        assert [f.number for f in uncertain_objects(table, least=0.5)] == [2]
        with pytest.raises(VolumeError, match="measure it with the map"):
            uncertain_objects(measure(labels, spacing=(1, 1)))

    @pytest.mark.parametrize(
        ("kind", "told"),
        [
            ("classes", [
                ("object 2", "model has nothing like it"),
                ("object 3", "model has nothing like it"),
                ("object 1", "expert and model differ in 25 % of it"),
            ]),
            ("instances", [
                ("object 3", "model has nothing like it"),
                ("object 1", "expert and model differ in 25 % of it"),
            ]),
        ],
    )  # fmt: skip
    def test_disagreement(self, kind, told):
        labels = np.array([[1, 1, 1, 1, 0, 2, 2, 0, 3]])
        model = np.array([[1, 1, 1, 0, 0, 5, 5, 0, 0]])
        found = disagreeing_objects(labels, model, kind=kind, who=("expert", "model"))
        assert _told(found) == told
        assert found[-1].score == pytest.approx(0.25)
        assert found[0].at in ((0, 5.5), (0, 8))
        assert disagreeing_objects(labels, labels) == ()

    def test_disagreement_by_slabs_with_large_numbers(self, monkeypatch):
        monkeypatch.setattr(runs, "PART", 1)
        labels = np.zeros((4, 3, 3), np.int32)
        labels[:, 1] = 2_000_000_000
        model = labels.copy()
        model[3] = 0
        found = disagreeing_objects(labels, model)
        assert _told(found) == [("object 2000000000", "labels and model differ in 25 % of it")]
        assert found[0].at == (1.5, 1, 1)


def _tube(areas):
    """Return a class with so many pixels on each slice."""
    labels = np.zeros((len(areas), 10, 10), np.uint8)
    for plane, area in enumerate(areas):
        labels[plane].reshape(-1)[:area] = 3
    return labels


class TestSlices:
    @pytest.mark.parametrize(
        ("areas", "told"),
        [
            pytest.param([0, 9, 20, 30, 40, 45, 44, 30, 12, 3, 0], [], id="smooth"),
            pytest.param(
                [0, 20, 22, 24, 0, 24, 22, 20, 0],
                [("slice 4", "liver is missing here, but there before and after")],
                id="one-missing",
            ),
            pytest.param(
                [20, 22, 0, 0, 0, 24, 22],
                [("slice 2", "liver is missing on 3 slices from here, but there before and after")],
                id="three-missing",
            ),
            pytest.param(
                [40, 42, 44, 11, 44, 42, 40],
                [("slice 3", "area of liver 25 % of that on the slices beside it")],
                id="small",
            ),
            pytest.param(
                [20, 20, 20, 90, 20, 20, 20],
                [("slice 3", "area of liver 4.5 times that on the slices beside it")],
                id="large",
            ),
            pytest.param([1, 0, 0, 0], [], id="one-slice"),
            pytest.param([0, 0, 0], [], id="nothing"),
        ],
    )
    def test_gaps_and_jumps(self, areas, told):
        found = odd_slices(_tube(areas), names={3: "liver"})
        assert _told(found) == told
        assert all(f.at[0] == f.number for f in found)

    def test_a_fault_in_organs_is_all_that_is_found(self, shared_data):
        organs = np.asarray(nib.load(shared_data / "ct" / "organs.nii.gz").dataobj)
        organs = np.ascontiguousarray(organs.T).astype(np.uint8)
        assert odd_slices(organs) == ()
        faulty = organs.copy()
        where = np.flatnonzero((organs == 5).any(axis=(1, 2)))
        middle = int(where[len(where) // 2])
        faulty[middle][organs[middle] == 5] = 0
        rows, columns = np.nonzero(organs[middle + 9] == 5)
        half = len(rows) // 2
        faulty[middle + 9, rows[:half], columns[:half]] = 0
        found = odd_slices(faulty, names={5: "liver"})
        assert [f.number for f in found] == [middle, middle + 9]
        assert all(f.reason.startswith(("liver is missing", "area of liver")) for f in found)

    def test_several_classes_and_slabs(self, monkeypatch):
        monkeypatch.setattr(runs, "PART", 1)
        labels = _tube([20, 20, 0, 20, 20])
        labels[[0, 1, 3, 4], 9] = 7
        assert _told(odd_slices(labels)) == [
            ("slice 2", "label 3 is missing here, but there before and after; "
                        "label 7 is missing here, but there before and after"),
        ]  # fmt: skip
        (only,) = odd_slices(labels, values=[7])
        assert only.reason.startswith("label 7")
        assert only.at == (2, 9, 4.5)

    def test_nothing_to_say_of_objects_and_pictures(self):
        many = np.zeros((3, 20, 20), np.uint16)
        many[[0, 2]] = np.arange(1, 401).reshape(20, 20)
        assert odd_slices(many) == ()
        assert odd_slices(many[0]) == ()
        assert len(odd_slices(many % 100)) == 1

    def test_uncertain_ones(self):
        labels = np.zeros((3, 4, 4), np.uint8)
        labels[1, 1, 1:3] = 1
        unsure = np.zeros(labels.shape)
        unsure[1, 1, 1:3] = 0.2, 0.4
        unsure[2, 3, 0] = 0.9  # of what is missing
        found = uncertain_slices(labels, unsure)
        assert _told(found) == [
            ("slice 2", "mean uncertainty 0.90"),
            ("slice 1", "mean uncertainty 0.30"),
        ]
        assert found[0].at == (2, 3, 0)
        assert found[1].at == (1, 1, pytest.approx(5 / 3))
        assert [f.number for f in uncertain_slices(labels, unsure, least=0.5)] == [2]

    def test_disagreement(self):
        labels = _tube([50, 50, 50, 50, 4])
        model = labels.copy()
        model[1].reshape(-1)[25:50] = 0
        model[4] = 0
        found = disagreeing_slices(labels, model, who=("first", "second"))
        assert _told(found) == [
            ("slice 1", "first and second differ in 50 % of this slice"),
            ("slice 4", "first and second differ in 100 % of this slice"),
        ]
        assert [f.score for f in found] == pytest.approx([0.5, 4 / 50])
        assert found[1].at == (4, 0, 1.5)

    @pytest.mark.parametrize("search", [uncertain_slices, disagreeing_slices])
    def test_shapes_fit(self, search):
        with pytest.raises(VolumeError, match="cannot be compared"):
            search(np.zeros((2, 2, 2), int), np.zeros((2, 2, 3), int))


def _finding(key, score=0.5, reason="x"):
    what, number = key.split()
    return Finding(what, int(number), score, reason, (0.0, 0.0))


class TestOrder:
    def test_several_reasons_for_one(self):
        found = ranked(
            [_finding("object 1", 0.5, "a"), _finding("slice 1", 0.7, "b")],
            [_finding("object 1", 0.6, "c")],
        )
        assert [(f.key, f.reason, round(f.score, 9)) for f in found] == [
            ("object 1", "c; a", 0.8),
            ("slice 1", "b", 0.7),
        ]

    @pytest.mark.parametrize(
        ("told", "key"),
        [
            pytest.param({}, "object 1", id="first"),
            pytest.param({"after": "object 1"}, "object 2", id="next"),
            pytest.param({"after": "object 3"}, "object 1", id="round"),
            pytest.param({"after": "object 9"}, "object 1", id="gone"),
            pytest.param({"after": "object 1", "done": {"object 2"}}, "object 3", id="not-done"),
            pytest.param({"after": "object 1", "back": True}, "object 3", id="back"),
            pytest.param({"back": True}, "object 3", id="last"),
            pytest.param({"after": "object 2", "done": {"object 1", "object 3"}}, "object 2",
                         id="itself"),
        ],
    )  # fmt: skip
    def test_next(self, told, key):
        findings = [_finding(f"object {n}") for n in (1, 2, 3)]
        assert next_finding(findings, **told).key == key

    def test_all_done(self):
        assert next_finding([_finding("object 1")], done=["object 1"]) is None
        assert next_finding([]) is None
