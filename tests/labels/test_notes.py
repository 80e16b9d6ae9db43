"""Notes on labels: what is marked, how it goes with objects, and the file beside the labels."""

from __future__ import annotations

import json
import os
import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_monai.errors import VolumeWarning, WriteError
from napari_monai.labels.measure import measure
from napari_monai.labels.notes import (
    Note,
    Notes,
    followed,
    notes_path,
    read_notes,
    write_notes,
)
from napari_monai.volume import LabelClass

FULL = Notes(
    classes=(
        LabelClass(1, "liver", "#ff0080", visible=False),
        LabelClass(300, "α \"x\"", None, locked=True),
    ),
    objects={12: Note(True, ("ask", "größer"), (1.0, 2.5, 3.0)), 7: Note(False, ("unsure",))},
    slices={0: Note(True), 40: Note(False, ("gap",))},
    corrected=frozenset([3, 4, 9]),
    at="object 12",
)  # fmt: skip


class TestMarks:
    def test_marking_makes_new_notes(self):
        none = Notes()
        notes = none.marked("object", 3, done=True, centroid=(1.0, 2.0))
        notes = notes.marked("object", 3, flags=("ask",)).marked("slice", 8, done=True)
        assert notes.of("object", 3) == Note(True, ("ask",), (1.0, 2.0))
        assert notes.of("slice", 3) == Note()
        assert notes.done == {"object 3", "slice 8"}
        assert none == Notes()

    def test_what_says_nothing_is_left_out(self):
        notes = Notes().marked("object", 3, done=True, centroid=(1.0, 2.0))
        assert notes.marked("object", 3, done=False) == Notes()
        assert Notes().marked("slice", 3, flags=()) == Notes()

    def test_slices_and_place_add_up(self):
        notes = Notes().with_corrected([3, 4]).with_corrected([4, 9]).looking_at("slice 4")
        assert (notes.corrected, notes.at) == ({3, 4, 9}, "slice 4")

    def test_classes_are_shown_and_locked_as_noted(self):
        classes = (LabelClass(1, "Leber", "#000000"), LabelClass(2, "spleen", locked=True))
        assert FULL.seen(classes) == (
            LabelClass(1, "Leber", "#000000", visible=False),
            LabelClass(2, "spleen", locked=True),
        )

    def test_frozen_through_and_through(self):
        objects = {3: Note(True)}
        notes = Notes(objects=objects)
        objects[4] = Note(True)
        assert list(notes.objects) == [3]
        with pytest.raises(TypeError):
            notes.objects[5] = Note()


def _dots(*places):
    """Return objects of 3 x 3 pixels around places, numbered from 1, 0 to leave a number out."""
    labels = np.zeros((30, 30), np.uint8)
    for number, place in enumerate(places, start=1):
        if place:
            y, x = place
            labels[y - 1 : y + 2, x - 1 : x + 2] = number
    return measure(labels, spacing=(1, 2))


class TestFollowing:
    notes = (
        Notes()
        .marked("object", 1, done=True, centroid=(5.0, 5.0))
        .marked("object", 2, flags=("ask",), centroid=(5.0, 15.0))
    )

    @pytest.mark.parametrize(
        ("places", "numbers"),
        [
            pytest.param([(5, 5), (5, 15)], {1: 1, 2: 2}, id="as-it-was"),
            pytest.param([(5, 15), (5, 5)], {1: 2, 2: 1}, id="swapped"),
            pytest.param([0, 0, (5, 5), (5, 15)], {1: 3, 2: 4}, id="renumbered"),
            pytest.param([(6, 5), (5, 16)], {1: 1, 2: 2}, id="moved-a-little"),
            pytest.param([(5, 5), (20, 20)], {1: 1}, id="another-one-has-the-number"),
            pytest.param([(5, 5)], {1: 1}, id="deleted"),
            pytest.param([], {}, id="all-deleted"),
        ],
    )
    def test_by_number_and_place(self, places, numbers):
        table = _dots(*places)
        found = followed(self.notes, table)
        assert {n: (note.done, note.flags) for n, note in found.objects.items()} == {
            number: (self.notes.of("object", old).done, self.notes.of("object", old).flags)
            for old, number in numbers.items()
        }
        for number, note in found.objects.items():
            assert note.centroid == tuple(table.centroid[table.row(number)])

    def test_merged_objects_have_one_note(self):
        labels = np.zeros((30, 30), np.uint8)
        labels[4:7, 4:17] = 2
        found = followed(self.notes, measure(labels, spacing=(1, 1)))
        assert {n: note.flags for n, note in found.objects.items()} in ({2: ()}, {2: ("ask",)})

    def test_a_note_of_what_is_gone_does_not_go_to_a_long_neighbour(self):
        labels = np.zeros((30, 30), np.uint8)
        labels[2:24, 9:12] = 2
        notes = Notes().marked("object", 1, done=True, centroid=(12.5, 6.0))  # beside it
        assert not followed(notes, measure(labels, spacing=(1, 1))).objects

    def test_a_note_without_a_place_stays_with_its_number(self):
        notes = Notes().marked("object", 2, done=True).marked("object", 9, done=True)
        found = followed(notes, _dots((5, 5), (20, 20)))
        assert {n: note.centroid for n, note in found.objects.items()} == {2: (20.0, 20.0)}

    def test_of_many_only_those_that_moved_are_others(self):
        before, after = _dots((5, 5), (5, 15), (20, 20)), _dots((5, 5), (6, 15), (20, 20))
        objects = {n: Note(True, (), tuple(before.centroid[n - 1])) for n in (3, 1, 2)}
        found = followed(Notes(objects=objects), after)
        assert list(found.objects) == [1, 2, 3]
        assert found.objects[1] is objects[1]
        assert found.objects[3] is objects[3]
        assert found.objects[2].centroid == (6.0, 15.0)

    def test_where_nothing_is_left_no_note_is(self):
        assert not followed(self.notes, _dots(())).objects

    def test_the_rest_is_as_it_was(self):
        found = followed(FULL, _dots((5, 5)))
        assert (found.classes, found.slices) == (FULL.classes, FULL.slices)
        assert (found.corrected, found.at) == (FULL.corrected, FULL.at)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(
                ["classes", "objects", "slices", "corrected", "at", "number", "name", "colour", "1"]
                + ["visible", "locked", "done", "flags", "centroid", "x"]
            ),
            inner,
            max_size=6,
        )
    ),
    max_leaves=30,
)


class TestFile:
    @pytest.mark.parametrize("name", ["organs.nii.gz", "organs.seg.nrrd", "organs.ome.zarr"])
    def test_comes_back(self, tmp_path, name):
        labels = tmp_path / name
        write_notes(labels, FULL)
        assert os.listdir(tmp_path) == [f"{name}.notes.json"]
        assert notes_path(labels) == tmp_path / f"{name}.notes.json"
        assert read_notes(str(labels)) == FULL

    def test_there_need_be_none(self, tmp_path):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert read_notes(tmp_path / "labels.tif") == Notes()

    def test_nothing_to_say_leaves_no_file(self, tmp_path):
        labels = tmp_path / "labels.tif"
        write_notes(labels, Notes())
        write_notes(labels, FULL)
        write_notes(labels, Notes())
        assert os.listdir(tmp_path) == []

    @pytest.mark.parametrize(
        ("content", "why"),
        [
            pytest.param(b"", "damaged", id="empty"),
            pytest.param(b'{"format": "napari-mo', "damaged", id="cut"),
            pytest.param(b"\xff\xfe\x00", "damaged", id="bytes"),
            pytest.param(b"[" * 100_000, "damaged", id="deep"),
            pytest.param(b"[1, 2]", "something else", id="list"),
            pytest.param(b'{"format": "other"}', "something else", id="other"),
            pytest.param(
                b'{"format": "napari-monai notes", "format_version": 2}', "another version",
                id="newer",
            ),
        ],
    )  # fmt: skip
    def test_what_cannot_be_read_is_said_and_kept(self, tmp_path, content, why):
        labels = tmp_path / "labels.tif"
        notes_path(labels).write_bytes(content)
        with pytest.warns(VolumeWarning, match=why):
            assert read_notes(labels) == Notes()
        write_notes(labels, FULL)
        assert read_notes(labels) == FULL
        assert (tmp_path / "labels.tif.notes.json.unread").read_bytes() == content

    @given(JSON)
    def test_any_json_makes_notes(self, tmp_path_factory, values):
        labels = tmp_path_factory.mktemp("notes") / "labels.tif"
        said = values if isinstance(values, dict) else {"classes": values, "objects": values}
        told = {**said, "format": "napari-monai notes", "format_version": 1}
        notes_path(labels).write_text(json.dumps(told), encoding="utf-8")
        notes = read_notes(labels)
        write_notes(labels, notes)
        assert read_notes(labels) == notes

    @pytest.mark.parametrize(
        ("part", "kept"),
        [
            ({"classes": [{"number": 1, "name": "a", "colour": "red"}, {"number": 0, "name": "b"},
                          {"number": True, "name": "c"}, "x", {"name": "d"}]},
             Notes(classes=(LabelClass(1, "a"),))),
            ({"objects": {"3": {"done": True, "centroid": [1, "x"]}, "x": {"done": True}, "4": 5}},
             Notes(objects={3: Note(True)})),
            ({"corrected": [1, -1, "2", 3.5, True, 4]}, Notes(corrected=frozenset([1, 4]))),
            ({"at": 3, "slices": []}, Notes()),
        ],
        ids=["classes", "objects", "corrected", "at"],
    )  # fmt: skip
    def test_what_is_wrong_in_it_is_left_out(self, tmp_path, part, kept):
        labels = tmp_path / "labels.tif"
        said = {"format": "napari-monai notes", "format_version": 1, **part}
        notes_path(labels).write_text(json.dumps(said), encoding="utf-8")
        assert read_notes(labels) == kept

    def test_a_folder_that_is_not_there(self, tmp_path):
        with pytest.raises(WriteError, match="save the labels in a folder of yours"):
            write_notes(tmp_path / "gone" / "labels.tif", FULL)

    def test_an_older_file_stays_when_writing_fails(self, tmp_path, monkeypatch):
        labels = tmp_path / "labels.tif"
        write_notes(labels, FULL)

        def full(_handle):
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(os, "fsync", full)
        with pytest.raises(WriteError, match="No space left"):
            write_notes(labels, Notes(at="slice 1"))
        assert read_notes(labels) == FULL
        assert os.listdir(tmp_path) == ["labels.tif.notes.json"]

    def test_no_file_of_an_image(self, tmp_path):
        from napari_monai import io

        labels = tmp_path / "labels.tif"
        write_notes(labels, FULL)
        assert list(io.images_in(tmp_path)) == []
