"""Pairs from layers and files, which of their slices count, and files that belong together."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from napari.layers import Image, Labels
from tests.napari_edge.affines import affine_of

import napari_monai as nm
from napari_monai._napari.finetune_curves import Progress, StepsDone, rows
from napari_monai._napari.finetune_data import IGNORED, Row, counted, take
from napari_monai._napari.finetune_files import images_among, match, pair_up
from napari_monai._napari.finetune_steps import Wanted, handed
from napari_monai._napari.kept_notes import NOTES
from napari_monai._napari.layers import image_layers, labels_layer
from napari_monai.errors import TrainingError
from napari_monai.events import EpochDone, Started, StepDone
from napari_monai.grid import Grid
from napari_monai.labels.notes import Notes, write_notes
from napari_monai.settings import TrainingSettings


def stack() -> np.ndarray:
    """Return labels of 4 slices, 3 x 5: objects on the slices 1 and 2 alone."""
    labels = np.zeros((4, 3, 5), np.uint8)
    labels[1, 1, 1:3] = 1
    labels[2, 0, 4] = 2
    return labels


def row(labels: np.ndarray, corrected: tuple[int, ...] = (), **settings: Any) -> Row:
    image = Image(np.zeros(labels.shape, np.uint8), name="image")
    metadata = {NOTES: Notes(corrected=frozenset(corrected))} if corrected else {}
    return Row(image, Labels(labels, name="labels", metadata=metadata), **settings)


def labelled_slices(labels: Any) -> list[int]:
    """Return the slices along the first axis that count."""
    return [at for at, here in enumerate(labels.numpy()) if (here != IGNORED).all()]


# -- which slices count ---------------------------------------------------------------------------


def test_slices_are_counted() -> None:
    one = row(stack(), (2, 3, 9))
    assert one.slices == 4
    assert one.labelled() == {1, 2}
    assert one.corrected() == {2, 3}, "the tenth is gone"


@pytest.mark.parametrize(
    ("which", "expected"), [("all", [0, 1, 2, 3]), ("labelled", [1, 2]), ("corrected", [0, 3])]
)
def test_slices_that_do_not_count_are_ignored(which: Any, expected: list[int]) -> None:
    taken = take(row(stack(), (0, 3)), None, [])
    _, labels = counted(taken, which, IGNORED)
    assert isinstance(labels, nm.LabelVolume)
    assert labelled_slices(labels) == expected
    for at in expected:
        np.testing.assert_array_equal(labels.numpy()[at], stack()[at])


def test_the_number_of_the_settings_is_the_ignored_one() -> None:
    taken = take(row(stack(), (2,)), None, [])
    labels = counted(taken, "corrected", 255)[1].numpy()  # type: ignore[union-attr]
    assert labels.dtype == np.uint8
    assert (labels[[0, 1, 3]] == 255).all()
    assert not (labels[2] == 255).any()


def test_what_is_painted_later_is_not_taken() -> None:
    one = row(stack())
    taken = take(one, None, [])
    one.labels.data[...] = 7  # type: ignore[union-attr]
    np.testing.assert_array_equal(counted(taken, "all", IGNORED)[1].numpy(), stack())  # type: ignore[union-attr]


def test_pairs_for_validation_count_whole() -> None:
    taken = take(row(stack(), (2,), validation=True), None, [])
    labels = counted(taken, "corrected", IGNORED)[1]
    assert labelled_slices(labels) == [0, 1, 2, 3]


def test_pairs_without_corrected_slices_count_whole() -> None:
    labels = counted(take(row(stack()), None, []), "corrected", IGNORED)[1]
    assert labelled_slices(labels) == [0, 1, 2, 3]


def test_pictures_count_whole() -> None:
    labels = counted(take(row(stack()[1]), None, []), "labelled", IGNORED)[1]
    np.testing.assert_array_equal(labels.numpy(), stack()[1])  # type: ignore[union-attr]


def test_labels_without_any_are_refused() -> None:
    taken = take(row(stack() * 0), None, [])
    with pytest.raises(TrainingError, match="labels: no slice that counts"):
        counted(taken, "labelled", IGNORED)


@pytest.mark.parametrize("codes", ["LPI", "RAS", "ASL"])
def test_slices_are_axial_whatever_the_axes_of_the_file(codes: str) -> None:
    """What is slice 1 of the canvas is found by its height in the file."""
    size = {"L": 3, "R": 3, "P": 4, "A": 4, "S": 5, "I": 5}
    shape = tuple(size[code] for code in codes)
    grid = Grid(shape, affine_of(codes), unit="mm", anatomical=True)
    axis = next(n for n, code in enumerate(codes) if code in "SI")
    image = nm.Volume(np.zeros(shape, np.uint8), grid, name="ct")
    truth = nm.LabelVolume(np.ones(shape, np.uint8), grid, name="organs")
    (shown, settings, _), *_ = image_layers(image)
    data, look, _ = labels_layer(truth)
    noted = {**look["metadata"], NOTES: Notes(corrected=frozenset({1}))}
    pair = Row(Image(shown, **settings), Labels(data, **{**look, "metadata": noted}))
    _, labels = counted(take(pair, None, []), "corrected", IGNORED)
    assert isinstance(labels, nm.LabelVolume)
    assert labels.grid.shape == shape
    kept = np.unique(np.argwhere(labels.numpy() == 1)[:, axis])
    # The canvas runs from the feet up or down as its first axis says: inferior first.
    height = grid.index_to_world(np.eye(3)[[axis]] * np.arange(5)[:, None])[:, 2]
    assert kept.tolist() == [int(np.argsort(-height)[1])]


def test_slices_of_files_by_their_notes(tmp_path: Path) -> None:
    image, labels = tmp_path / "a.tif", tmp_path / "a_labels.tif"
    tifffile.imwrite(image, np.zeros((4, 3, 5), np.uint8), photometric="minisblack")
    tifffile.imwrite(labels, stack(), photometric="minisblack")
    write_notes(labels, Notes(corrected=frozenset({0, 2})))
    one = Row(image, labels)
    assert one.corrected() == {0, 2}
    source, found = counted(take(one, None, []), "corrected", IGNORED)
    assert source == image
    assert labelled_slices(found) == [0, 2]
    assert counted(take(one, None, []), "all", IGNORED) == (image, labels)


# -- files ----------------------------------------------------------------------------------------


def touch(folder: Path, *names: str) -> None:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        tifffile.imwrite(path, np.zeros((2, 2), np.uint8))


@pytest.mark.parametrize(
    ("files", "pairs"),
    [
        (["images/a.tif", "labels/a.tif"], [("images/a.tif", "labels/a.tif")]),
        (["a.tif", "a_labels.tif", "b.tif"], [("a.tif", "a_labels.tif")]),
        (["a_img.tif", "a_mask.png.tif", "x.txt.tif"], []),
        (["imgs/a_image.tif", "masks/a_mask.tif"], [("imgs/a_image.tif", "masks/a_mask.tif")]),
        (
            ["1.tif", "2.tif", "gt/1.tif", "gt/2.tif"],
            [("1.tif", "gt/1.tif"), ("2.tif", "gt/2.tif")],
        ),
    ],
    ids=["folders", "endings", "other names", "both", "beside"],
)
def test_pairs_in_a_folder(tmp_path: Path, files: list[str], pairs: list[tuple[str, str]]) -> None:
    touch(tmp_path, *files)
    if not pairs:
        with pytest.raises(TrainingError, match="no image with labels of the same name"):
            pair_up([tmp_path])
        return
    found = pair_up([tmp_path])
    assert [tuple(str(p.relative_to(tmp_path)) for p in pair) for pair in found.pairs] == pairs
    assert len(found.alone) == len(files) - 2 * len(pairs)


def test_what_is_left_out_is_said(tmp_path: Path) -> None:
    touch(tmp_path, "a.tif", "a_seg.tif", "b.tif")
    assert pair_up([tmp_path]).words == "1 pair found; left out, without a partner: b.tif."


def test_two_folders(tmp_path: Path) -> None:
    touch(tmp_path, "x/a.tif", "x/b.tif", "y/b.tif")
    found = match(tmp_path / "x", tmp_path / "y")
    assert found.pairs == ((tmp_path / "x/b.tif", tmp_path / "y/b.tif"),)
    assert found.alone == (tmp_path / "x/a.tif",)


def test_images_among_files_and_folders(tmp_path: Path) -> None:
    folder = tmp_path / "no labels"
    touch(folder, "a.tif", "a_mask.tif", "masks/b.tif", "images/b.tif")
    assert images_among([folder]) == (folder / "a.tif", folder / "images/b.tif")
    chosen = folder / "a_mask.tif"
    assert images_among([chosen]) == (chosen,), "a person knows better"
    (tmp_path / "empty").mkdir()
    with pytest.raises(TrainingError, match="empty: no image that can be read"):
        images_among([tmp_path / "empty"])


def test_images_without_labels_are_handed_over_beside_the_pairs(tmp_path: Path) -> None:
    image = Image(np.full((3, 5), 9, np.uint8), name="alone")
    rows_ = [row(stack()), Row(image, None), Row(tmp_path / "a.tif", None)]
    assert [one.use for one in rows_] == ["training", "no labels", "no labels"]
    assert [(one.slices, one.corrected(), one.labelled()) for one in rows_[1:]] == [
        (0, frozenset(), frozenset())
    ] * 2
    taken = tuple(take(one, None, []) for one in rows_)
    data = handed(Wanted(None, taken, "labelled", TrainingSettings(), "new"))
    assert len(data.pairs) == 1
    assert data.validation == []
    layer, file = data.unlabelled
    assert isinstance(layer, nm.Volume)
    np.testing.assert_array_equal(layer.numpy(), image.data)
    assert file == tmp_path / "a.tif"


# -- curves ---------------------------------------------------------------------------------------


def steps(*numbers: int, loss: float = 1.0) -> StepsDone:
    return StepsDone(tuple(StepDone(n, 100, loss, 1e-3) for n in numbers))


def epoch(step: int, scores: dict[str, float], *, best: bool = True) -> EpochDone:
    return EpochDone(step, 100, 0.5, 0.4, scores, best, 1.0)


def test_curves_hold_what_was_said() -> None:
    progress = Progress()
    assert not progress.take(Started(100, "steps"))
    assert progress.take(steps(1, 2, 3))
    assert progress.take(epoch(3, {"Dice": 0.5, "Dice liver": 0.7}))
    assert progress.take(epoch(6, {"Dice": 0.4}, best=False))
    assert progress.train == [(1, 1.0), (2, 1.0), (3, 1.0)]
    assert progress.held_out == [(3, 0.4), (6, 0.4)]
    assert progress.scores == {"Dice": [(3, 0.5), (6, 0.4)], "Dice liver": [(3, 0.7)]}
    assert progress.best_step == 3


def test_long_trainings_have_few_points() -> None:
    progress = Progress()
    for start in range(1, 5001, 10):
        progress.take(steps(*range(start, start + 10), loss=start / 5000))
    assert 200 <= len(progress.train) <= 400
    values = np.array(progress.train)
    assert (np.diff(values[:, 0]) > 0).all()
    np.testing.assert_allclose(values[:, 1], values[:, 0] / 5000, atol=0.01)


def test_steps_that_are_done_again_replace_the_first() -> None:
    progress = Progress()
    progress.take(steps(1, 2, 3, 4))
    progress.take(epoch(4, {"AP": 0.9}))
    progress.take(steps(3, 4, loss=2.0))
    progress.take(epoch(4, {"AP": 0.1}))
    assert progress.train == [(1, 1.0), (2, 1.0), (3, 2.0), (4, 2.0)]
    assert progress.scores == {"AP": [(4, 0.1)]}


def test_the_losses_of_a_warm_start_go() -> None:
    progress = Progress()
    progress.take(Started(50, "steps of the warm start"))
    progress.take(steps(1, 2, loss=9.0))
    progress.take(Started(100, "steps"))
    progress.take(steps(1))
    assert progress.train == [(1, 1.0)]


def test_of_many_classes_the_worst_are_drawn() -> None:
    progress = Progress()
    scores = {"Dice": 0.5, **{f"Dice {n}": n / 10 for n in range(9)}}
    progress.take(epoch(1, scores))
    assert progress.drawn == ["Dice", *(f"Dice {n}" for n in range(5))]


def test_scores_before_and_after() -> None:
    before, after = {"AP": 0.5, "AP50": float("nan")}, {"AP": 0.625, "AP50": 0.75, "new": 1.0}
    assert list(rows(before, after)) == [
        ("AP", "0.500", "0.625", "+0.125"),
        ("AP50", "", "0.750", ""),
        ("new", "", "1.000", ""),
    ]
