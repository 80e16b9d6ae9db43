"""A job put into files: what the other process reads is what was handed over."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from napari_monai import LabelVolume, TrainingSettings, Volume, load_model, read, write
from napari_monai.errors import SettingsError, TrainingError, WriteError
from napari_monai.events import Said
from napari_monai.grid import Grid
from napari_monai.training.handing import Job, hand_over, with_parts
from napari_monai.training.shares import Share
from napari_monai.volume import LabelClass

TURNED = np.array([[0, -2.0, 0.1, 5], [-1.9, 0, 0, 3], [0, 0.2, 3, 9], [0, 0, 0, 1]])


def handed(job: Job, folder: Path) -> dict[str, Any]:
    """Return what the run file says of a job."""
    folder.mkdir(exist_ok=True)
    list(hand_over(job, folder))
    run: dict[str, Any] = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    return run


def pair(name: str = "ct 1/2") -> tuple[Volume, LabelVolume]:
    rng = np.random.default_rng(0)
    grid = Grid((4, 5, 6), TURNED)
    image = Volume(rng.integers(0, 99, (2, 4, 5, 6)), grid, "c", ("a", "b"), name=name)
    labels = rng.integers(-1, 3, (4, 5, 6)).astype(np.int32)
    classes = (LabelClass(1, "liver", "#ff0000"), LabelClass(2, "Milz"))
    return image, LabelVolume(labels, grid, classes=classes, name=f"{name} organs")


def test_layers_arrive_with_space_names_and_what_is_not_labelled(tmp_path: Path) -> None:
    image, labels = pair()
    run = handed(Job(pairs=[(image, labels)]), tmp_path / "run")
    assert not any(Path(path).is_absolute() for path in (*run["images"], *run["labels"]))
    moved = (tmp_path / "run").rename(tmp_path / "moved")
    found = read(moved / run["images"][0])
    truth = read(moved / run["labels"][0], labels=True)
    np.testing.assert_array_equal(found.numpy(), image.numpy())
    np.testing.assert_array_equal(truth.numpy(), labels.numpy())
    assert found.grid.is_close(image.grid)
    assert truth.grid.is_close(image.grid)
    assert (found.leading, found.channel_names, found.name) == ("c", ("a", "b"), "ct 1_2")
    assert (truth.classes, truth.kind) == (labels.classes, "classes")


def test_large_images_are_not_packed_and_read_where_they_are_needed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    image, labels = pair()
    for module in ("training.handing", "io.numpy_file"):
        monkeypatch.setattr(f"napari_monai.{module}.LAZY_FROM", 1000)
    run = handed(Job(pairs=[(image, labels)]), tmp_path / "run")
    found = read(tmp_path / "run" / run["images"][0])
    assert isinstance(found.data, np.memmap)
    np.testing.assert_array_equal(found.numpy(), image.numpy())
    truth = read(tmp_path / "run" / run["labels"][0], labels=True)
    assert not isinstance(truth.data, np.memmap)


def test_files_stay_where_they_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    image, labels = pair()
    write(tmp_path / "a.npz", image)
    write(tmp_path / "b.npz", labels)
    monkeypatch.chdir(tmp_path)
    job = Job(pairs=[(Path("a.npz"), "b.npz")], validation=[(image, labels)], unlabelled=["."])
    run = handed(job, tmp_path / "run")
    assert run["images"] == [str(tmp_path / "a.npz")]
    assert run["labels"] == [str(tmp_path / "b.npz")]
    assert run["unlabelled"] == [str(tmp_path)]
    assert len(run["val_images"]) == len(run["val_labels"]) == 1
    assert read(tmp_path / "run" / run["val_labels"][0], labels=True).classes == labels.classes


def test_a_job_of_files_alone_has_nothing_to_say(tmp_path: Path) -> None:
    (tmp_path / "a").touch()
    events = hand_over(Job(pairs=[(tmp_path / "a", tmp_path / "a")]), tmp_path)
    assert not [event for event in events if isinstance(event, Said)]


def test_slabs_and_corrected_slices_are_kept(tmp_path: Path) -> None:
    image, labels = pair()
    shares = [
        Share(image, labels, axis=0, start=1, stop=3, outside=True),
        Share(image, labels, corrected=frozenset({3, 1})),
        Share(image, labels),
    ]
    run = handed(Job(pairs=shares), tmp_path)
    files = list(zip(run["images"], run["labels"], strict=True))
    found = with_parts(files, run["shares"])
    assert found[0] == Share(*files[0], axis=0, start=1, stop=3, outside=True)
    assert found[1] == Share(*files[1], corrected=frozenset({1, 3}))
    assert found[2] == files[2]
    assert with_parts(files, ()) == files


@pytest.mark.parametrize(
    "parts", [[{}], [{"axis": 0}, {"axes": 1}], [{}, {"corrected": ["x"]}]], ids=str
)
def test_parts_that_are_none_are_one_line(parts: list[dict[str, Any]]) -> None:
    with pytest.raises(SettingsError, match="take the shares out") as caught:
        with_parts([("a", "b"), ("c", "d")], parts)
    assert "\n" not in str(caught.value)


def test_the_rest_of_a_job_is_in_the_run_file(tmp_path: Path) -> None:
    model = load_model("nuclei-2d")
    settings = TrainingSettings(steps=7, patch=(8, 8))
    job = Job(pairs=[pair()], model=model, settings=settings, name="mine", card={"title": "T"})
    run = handed(job, tmp_path)
    assert TrainingSettings.from_json(run["settings"]) == settings
    assert (run["from"], run["name"], run["card"]) == ("nuclei-2d", "mine", {"title": "T"})
    assert run["command"] == "train"


@pytest.mark.parametrize("given", ["path", "model"])
def test_a_model_of_no_store_is_named_by_its_folder(tmp_path: Path, given: str) -> None:
    shipped = load_model("nuclei-2d")
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    for file in shipped.folder.iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    model = folder if given == "path" else load_model(folder)
    assert handed(Job(pairs=[pair()], model=model), tmp_path / "run")["from"] == str(folder)


def test_what_cannot_be_handed_over_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=r"missing\.tif does not exist"):
        list(hand_over(Job(pairs=[(tmp_path / "missing.tif", "b.tif")]), tmp_path))
    (tmp_path / "data").write_text("in the way")
    with pytest.raises(WriteError, match="cannot be written"):
        list(hand_over(Job(pairs=[pair()]), tmp_path))
    assert not (tmp_path / "run.json").exists()
