"""``train``: a real training of a few steps, its files, and going on with it."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from tests.cli.bright import save_png, squares

from napari_monai import Grid, LabelVolume, TrainingSettings, Volume, models
from napari_monai.cli import main
from napari_monai.models import load_model
from napari_monai.training import fine_tune
from napari_monai.training.checkpoint import load_checkpoint
from napari_monai.training.handing import Job, hand_over
from napari_monai.training.run_folder import ask_to_stop, claimed
from napari_monai.training.shares import Share

SMALL = [
    "--network-arguments",
    '{"channels": [4, 8], "strides": [2], "num_res_units": 1}',
    "--patch",
    "16,16",
    "--batch-size",
    "2",
    "--validate-every",
    "2",
    "--device",
    "cpu",
]


@pytest.fixture
def data(tmp_path):
    """Write four images and labels, one pair more on each side without a partner."""
    generator = np.random.default_rng(0)
    for number in range(4):
        corners = [tuple(generator.integers(0, 16, 2))]
        labels = squares((24, 24), corners)
        image = np.where(labels > 0, 200, 40) + generator.integers(0, 20, labels.shape)
        folder = tmp_path / ("train" if number < 3 else "val")
        save_png(folder / "images" / f"{number}.png", image)
        save_png(folder / "labels" / f"{number}.png", labels)
    return tmp_path


def arguments(data, *more, validation=True):
    folders = {"--images": "train/images", "--labels": "train/labels"}
    if validation:
        folders |= {"--val-images": "val/images", "--val-labels": "val/labels"}
    given = [text for flag, name in folders.items() for text in (flag, str(data / name))]
    return ["train", *given, "--output", str(data / "out"), *SMALL, *more]


def test_training_writes_a_model_that_loads(data, capsys):
    assert main(arguments(data, "--steps", "4", "--name", "cells")) == 0
    out = capsys.readouterr().out.splitlines()
    assert [line.split()[1] for line in out if line.startswith("step ")] == ["2/4", "4/4"]
    path = out[-1].split(": ")[0]
    model = load_model(Path(path))
    assert model.name == "cells"
    model.load_network("cpu")
    run = json.loads((data / "out" / "run.json").read_text())
    assert run["command"] == "train"
    assert run["settings"]["steps"] == 4
    assert run["images"] == [str(data / "train/images")]


def test_a_training_goes_on_with_resume_only(data, capsys):
    assert main(arguments(data, "--steps", "2")) == 0
    assert main(arguments(data, "--steps", "2")) == 2
    (line,) = [x for x in capsys.readouterr().err.splitlines() if "error" in x]
    assert "--resume" in line
    assert main(["train", "--output", str(data / "out"), "--resume"]) == 0
    assert main(["train", "--output", str(data / "new"), "--resume"]) == 2
    assert "no training to go on with" in capsys.readouterr().err


def test_interrupt_says_how_to_go_on(data, monkeypatch, capsys):
    from napari_monai.cli import train

    def stop_at_validation(scores):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(train, "_scores", stop_at_validation)
        assert main(arguments(data, "--steps", "4")) == 130
    err = capsys.readouterr().err
    assert f"napari-monai train --output {data / 'out'} --resume" in err
    assert main(["train", "--output", str(data / "out"), "--resume"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "4/4" in lines[-2]


def test_files_without_a_partner_are_said(data, capsys):
    save_png(data / "train/images/9.png", squares((24, 24)))
    assert main(arguments(data, "--steps", "1")) == 0
    warnings = [x for x in capsys.readouterr().err.splitlines() if "warning" in x]
    assert any("without labels: 9.png" in line for line in warnings)


def test_the_card_is_that_of_the_model(data, capsys):
    card = data / "card.json"
    card.write_text('{"title": "My cells", "licence": "CC0-1.0"}')
    assert main(arguments(data, "--steps", "1", "--card", str(card))) == 0
    path = capsys.readouterr().out.splitlines()[-1].split(": ")[0]
    assert load_model(Path(path)).description.title == "My cells"


@pytest.mark.parametrize(
    ("more", "code", "words"),
    [
        pytest.param(["--steps", "0"], 2, "Steps is 0", id="setting"),
        pytest.param(["--from", "no-such-model"], 1, "no-such-model", id="model"),
        pytest.param(["--card", "missing.json"], 2, "missing.json", id="card"),
        pytest.param(["--labels", "a", "b"], 2, "--images names 1 folders", id="folders"),
    ],
)
def test_what_cannot_be_trained_is_one_line_and_nothing_is_written(more, code, words, data, capsys):
    assert main(arguments(data, *more)) == code
    (line,) = capsys.readouterr().err.splitlines()
    assert words in line
    assert not (data / "out").exists()


def test_no_pair_is_one_line(data, capsys):
    given = ["--images", str(data / "train/images"), "--labels", str(data / "val/labels")]
    assert main(["train", *given, "--output", str(data / "out")]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert "no names in common" in line


def test_without_validation_the_last_state_is_kept_and_no_score_is_made_up(data, capsys):
    flags = ["--steps", "2", "--validation-part", "0"]
    assert main(arguments(data, *flags, validation=False)) == 0
    step, last = capsys.readouterr().out.splitlines()
    assert step.startswith("step 2/2")
    assert "validation" not in step
    assert "nan" not in step
    assert "not validated" in last


def test_scribbles_and_losses_are_told_by_flags_and_kept_in_the_run(data, capsys):
    for path in data.glob("train/labels/*.png"):
        labels = np.zeros((24, 24), np.uint8)
        labels[8:10, 8:10], labels[20:22] = 1, 2
        save_png(path, labels)
    flags = (
        "--target classes --ignore-label 0 --background-label 2 --loss focal --focal-gamma 1 "
        "--class-weights balanced --steps 2"
    )
    assert main(arguments(data, *flags.split(), validation=False)) == 0
    run = json.loads((data / "out" / "run.json").read_text())["settings"]
    assert (run["ignore_label"], run["background_label"]) == (0, 2)
    assert (run["loss"], run["focal_gamma"], run["class_weights"]) == ("focal", 1.0, "balanced")
    assert [c.number for c in load_model(data / "out/model").description.labels] == [1]
    assert main(["train", "--output", str(data / "out"), "--resume"]) == 0
    capsys.readouterr()
    again = ["train", "--settings", str(data / "out/run.json"), "--output", str(data / "b")]
    assert main([*again, "--ignore-label", "2"]) == 2
    assert "Label 2 cannot be both ignored and the background" in capsys.readouterr().err


def averaged(folder):
    return load_checkpoint(folder)["average"]


def test_files_are_taken_in_their_order_and_a_run_is_repeated_to_the_weight(data, capsys):
    files = [str(data / f"train/images/{n}.png") for n in (2, 0)]
    labels = [path.replace("images", "labels") for path in files]
    given = ["--images", *files, "--labels", *labels, *SMALL, "--steps", "2"]
    assert main(["train", *given, "--output", str(data / "a")]) == 0
    assert json.loads((data / "a/run.json").read_text())["images"] == files
    again = ["train", "--settings", str(data / "a/run.json"), "--output", str(data / "b")]
    assert main(again) == 0
    a, b = averaged(data / "a"), averaged(data / "b")
    assert all(torch.equal(a[name], b[name]) for name in a)


def test_what_was_begun_in_the_viewer_is_repeated_here(data, capsys):
    generator = np.random.default_rng(0)
    labels = np.zeros((6, 24, 24), np.int32)
    labels[1:5, 3:9, 4:10], labels[1:4, 14:20, 13:22] = 1, 2
    grid = Grid.from_spacing(labels.shape, (2.0, 1.0, 1.0), unit="µm")
    image = np.where(labels > 0, 200, 40) + generator.integers(0, 20, labels.shape)
    pair = Volume(image.astype(np.uint8), grid, name="stack"), LabelVolume(labels, grid)
    settings = TrainingSettings(
        network_arguments=SMALL[1], patch=(4, 16, 16), batch_size=2, steps=2, device="cpu"
    )
    share = Share(*pair, corrected=frozenset({2, 3}))
    job = Job(pairs=[share], settings=settings, name="mine")
    (data / "run").mkdir()
    list(hand_over(job, data / "run"))
    (data / "run").rename(data / "moved")
    assert (
        main(["train", "--settings", str(data / "moved/run.json"), "--output", str(data / "a")])
        == 0
    )
    list(fine_tune(None, [share], settings=settings, output=data / "b", name="mine"))
    a, b = averaged(data / "a"), averaged(data / "b")
    assert all(torch.equal(a[name], b[name]) for name in a)
    run = json.loads((data / "a/run.json").read_text())
    assert run["shares"] == [{"corrected": [2, 3]}]
    assert Path(run["images"][0]).is_absolute()


def test_the_model_goes_into_the_store_where_that_is_asked_for(data, capsys):
    flags = ["--steps", "1", "--name", "cells", "--store", "--validation-part", "0"]
    assert main(arguments(data, *flags, validation=False)) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "cells is in your store"
    assert load_model("cells").description.training["images"] == 3


def test_a_folder_that_another_process_trains_in_is_one_line(data, capsys):
    with claimed(data / "out"):
        assert main(arguments(data, "--steps", "1")) == 1
    (line,) = [x for x in capsys.readouterr().err.splitlines() if "error" in x]
    assert "is under way in it" in line


def test_images_without_labels_that_are_not_there_are_one_line(data, capsys):
    assert main(arguments(data, "--unlabelled", str(data / "none"))) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert "none does not exist" in line


@pytest.mark.slow
def test_several_processes_share_the_work(data, capfd):
    assert main(arguments(data, "--steps", "2", "--processes", "2")) == 0
    out = capfd.readouterr().out.splitlines()
    assert [line.split()[1] for line in out if line.startswith("step ")] == ["2/2"]
    load_model(data / "out/model").load_network("cpu")
    assert main(["train", "--output", str(data / "out"), "--resume"]) == 0
    assert (
        main(arguments(data, "--steps", "2", "--output", str(data / "b"), "--processes", "3")) == 1
    )
    error = capfd.readouterr().err.splitlines()[-1]
    assert "A batch of 2 patches cannot be shared by 3 processes" in error


def test_told_to_end_it_keeps_its_last_state_and_says_how_to_go_on(data, monkeypatch, capsys):
    from napari_monai.cli import train

    def told_at_validation(scores):
        signal.raise_signal(signal.SIGTERM)
        return "a score"

    before = signal.getsignal(signal.SIGTERM)
    with monkeypatch.context() as patch:
        patch.setattr(train, "_scores", told_at_validation)
        assert main(arguments(data, "--steps", "4")) == 130
    assert signal.getsignal(signal.SIGTERM) is before
    assert f"napari-monai train --output {data / 'out'} --resume" in capsys.readouterr().err
    assert load_checkpoint(data / "out")["step"] == 2
    assert main(["train", "--output", str(data / "out"), "--resume"]) == 0


def test_who_asks_for_an_end_while_torch_is_imported_is_heard(data, monkeypatch, capsys):
    assert main(arguments(data, "--steps", "2", "--name", "parent")) == 0
    load = models.load_model

    def asked_meanwhile(name):
        ask_to_stop(data / "again")
        return load(name)

    monkeypatch.setattr(models, "load_model", asked_meanwhile)
    given = arguments(data, "--steps", "4", "--from", str(data / "out/model"))
    given[given.index(str(data / "out"))] = str(data / "again")
    assert main(given) == 0
    assert "Stopped as asked after step 0" in capsys.readouterr().err
    load(data / "again/model").load_network("cpu")
    assert load_checkpoint(data / "again")["step"] == 0
    monkeypatch.undo()
    ask_to_stop(data / "again")  # of a training that was killed before it heard of it
    assert main(["train", "--output", str(data / "again"), "--resume"]) == 0
    assert load_checkpoint(data / "again")["step"] == 4


def test_a_check_says_what_would_be_done_and_trains_nothing(data, capsys):
    given = arguments(data, "--check", "--steps", "4")
    given[given.index("--output") : given.index("--output") + 2] = []
    assert main(given) == 0
    out, err = capsys.readouterr()
    assert "unet in 2D, " in out
    assert "4 of 2 patches of 16 x 16" in out
    assert "error" not in err
    save_png(data / "train/labels/0.png", squares((20, 20)))
    assert main(given) == 1
    assert "error: 0:" in capsys.readouterr().err
    assert sorted(p.name for p in data.iterdir()) == ["train", "val"]


def test_changed_images_are_shown(data, capsys):
    picture = data / "changes.png"
    assert main(arguments(data, "--show-augmentation", str(picture), "--steps", "4")) == 0
    with Image.open(picture) as image:
        assert image.mode == "RGB"
        assert image.width > image.height > 100
    assert not (data / "out").exists()
