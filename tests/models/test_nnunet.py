"""nnU-Net's trained folders: what they say, what they give, and what stands in their way."""

from __future__ import annotations

import json
import os
import shutil
import zipfile
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from scipy import ndimage
from tests.models import nnunet_oracle
from tests.models.nnunet_folders import FLAT, FOLDERS, PLANE, Folder

import napari_monai as nm
from napari_monai.errors import ModelError
from napari_monai.inference import segment, segment_steps
from napari_monai.models import Operation, load_model, nnunet
from napari_monai.settings import InferenceSettings
from napari_monai.volume import LabelClass, Volume

EXACT = InferenceSettings(device="cpu", precision="float32", probabilities=True)
SPACINGS = {"anisotropic": (1.0, 1.1, 4.5), "transposed": (1.0, 1.1, 4.5)}
SMALL = Folder(mirror=None, patch=(8, 8, 8))


def _images(folder: Path, spec: Folder, spacing=(1.0, 1.1, 1.3)) -> list[Path]:
    """Write a file for each channel: noise in a box of zeros without a corner, towards LAS."""
    affine = np.diag([-spacing[0], spacing[1], spacing[2], 1.0])
    affine[:3, 3] = 5, -7, 11
    files = []
    for channel in range(len(spec.channels)):
        noise = np.random.default_rng(channel).normal(size=(25, 23, 19))
        smooth = ndimage.gaussian_filter(noise, 1.5)
        image = np.round(smooth / smooth.std() * 100 + 60).astype(np.int16)
        image[:3], image[:, :2], image[:, :, -2:], image[:9, :8] = 0, 0, 0, 0
        files.append(folder / f"case_{channel:04d}.nii.gz")
        nib.save(nib.Nifti1Image(image, affine), files[-1])
    return files


def _together(files: list[Path]) -> Volume:
    volumes = [nm.read(file) for file in files]
    if len(volumes) == 1:
        return volumes[0]
    return Volume(np.stack([v.data for v in volumes]), volumes[0].grid, leading="c")


def _segmented(volume: Volume, folder: Path):
    """Return labels and probabilities, (channel, i, j, k)."""
    *_, last = segment_steps(volume, nnunet.read(folder), settings=EXACT)
    return last.labels.numpy(), np.asarray(last.probabilities.data)


def _spacing(name: str):
    return next((s for key, s in SPACINGS.items() if key in name), (1.0, 1.1, 1.3))


# -- what it gives ---------------------------------------------------------------------------------

_ORACLE = [n for n in FOLDERS if n not in ("turned", "from-0-to-1", "3d-residual")]


@pytest.mark.parametrize("name", _ORACLE)
def test_labels_and_probabilities_are_those_of_its_algorithm(tmp_path, name):
    spec = FOLDERS[name]
    folder = spec.write(tmp_path / "Dataset004_Abdomen")
    volume = _together(_images(tmp_path, spec, _spacing(name)))
    image = volume.data if volume.leading else volume.data[None]
    labels, probabilities = nnunet_oracle.predict(
        spec, folder, image.transpose(0, 3, 2, 1), volume.grid.spacing[::-1]
    )
    found, p = _segmented(volume, folder)
    assert len(np.unique(labels)) >= 3
    np.testing.assert_array_equal(found, labels.transpose(2, 1, 0))
    np.testing.assert_allclose(p, probabilities.transpose(0, 3, 2, 1), atol=1e-5)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", FOLDERS)
def test_labels_and_probabilities_are_those_of_its_predictor(tmp_path, monkeypatch, name):
    for variable in ("nnUNet_raw", "nnUNet_preprocessed", "nnUNet_results"):
        monkeypatch.setenv(variable, str(tmp_path))
    module = pytest.importorskip(
        "nnunetv2.inference.predict_from_raw_data", reason="compares with nnunetv2 where it is"
    )
    monkeypatch.setattr(module, "torch", _Float32())
    spec = FOLDERS[name]
    folder = spec.write(tmp_path / "Dataset004_Abdomen")
    files = _images(tmp_path, spec, _spacing(name))
    predictor = module.nnUNetPredictor(
        device=torch.device("cpu"), perform_everything_on_device=False, allow_tqdm=False
    )
    predictor.initialize_from_trained_model_folder(str(folder), spec.folds)
    reader = predictor.plans_manager.image_reader_writer_class()
    image, properties = reader.read_images([str(f) for f in files])
    labels, p = predictor.predict_single_npy_array(image, properties, None, None, True)
    labels, p = labels.transpose(2, 1, 0), p.transpose(0, 3, 2, 1)
    if "Reorient" in spec.reader:  # stored towards LAS, read towards RAS
        labels, p = labels[::-1], p[:, ::-1]
    found, probabilities = _segmented(_together(files), folder)
    np.testing.assert_array_equal(found, labels)
    np.testing.assert_allclose(probabilities, p, atol=1e-5)


class _Float32:
    """PyTorch, but for sums of windows in float32: nnU-Net takes float16 and loses digits."""

    half = torch.float32

    def __getattr__(self, name):
        return getattr(torch, name)


def test_axes_are_taken_as_the_file_stores_them(tmp_path):
    """Not turned, whatever the affine says; and the slowest first, however they are counted."""
    folder = replace(FOLDERS["anisotropic"], mirror=None).write(tmp_path / "Dataset004_Abdomen")
    (file,) = _images(tmp_path, FOLDERS["anisotropic"], SPACINGS["anisotropic"])
    volume = nm.read(file)
    expected, _ = _segmented(volume, folder)
    how = type(volume.grid.reorientation_to())((2, 1, 0), (False,) * 3)
    counted = Volume(volume.data.T, volume.grid.reoriented(how))
    np.testing.assert_array_equal(_segmented(counted, folder)[0], expected.T)
    sideways = np.diag([0, 0, 0, 1.0])
    sideways[[1, 2, 0], [0, 1, 2]] = volume.grid.spacing
    turned = Volume(volume.data, type(volume.grid)(volume.grid.shape, sideways))
    np.testing.assert_array_equal(_segmented(turned, folder)[0], expected)


def test_a_picture_is_one_slice(tmp_path):
    plane = replace(
        Folder(**PLANE), channels={"0": "R", "1": "G", "2": "B"}, masks=(False,) * 3,
        schemes=("RGBTo01Normalization",) * 3, reader="NaturalImage2DIO",
    )  # fmt: skip
    folder = plane.write(tmp_path / "Dataset004_Abdomen")
    model = nnunet.read(folder)
    assert model.description.inputs.colour
    data = np.random.default_rng(0).integers(0, 255, (3, 40, 33)).astype(np.uint8)
    volume = Volume(data, nm.Grid.from_spacing((40, 33)), leading="c", rgb=True)
    found = segment(volume, model, settings=EXACT).numpy()
    spec = replace(plane, schemes=("NoNormalization",) * 3)
    labels, _ = nnunet_oracle.predict(spec, folder, data[:, None] / 255, (999.0, 1.0, 1.0))
    np.testing.assert_array_equal(found, labels[0])


# -- what it says ----------------------------------------------------------------------------------


def test_description(tmp_path):
    told = nnunet.read(FOLDERS["anisotropic"].write(tmp_path / "Dataset004_Abdomen")).description
    assert (told.name, told.title) == (
        "Dataset004_Abdomen-3d_fullres",
        "Abdomen (nnU-Net 3d_fullres)",
    )
    assert told.network.name == "plain_conv_unet"
    assert told.network.arguments["kernel_sizes"] == [[1, 3, 3], [3, 3, 3]]
    assert told.inputs.channels == ("MRI",)
    assert told.inputs.modality == "MR"
    assert told.inputs.size_multiple == (1, 2, 2)
    assert told.inferer.window == (6, 20, 16)
    assert (told.inferer.steps, told.inferer.average, told.inferer.padding) == (
        "nnunet",
        "logits",
        "zeros",
    )
    assert (told.inferer.flips, told.inferer.mirror_axes) == (True, (0, 1, 2))
    assert (told.outputs.channels, told.outputs.home) == (
        ("background", "liver", "tumour"),
        "logits",
    )
    assert told.labels == (LabelClass(1, "liver"), LabelClass(2, "tumour"))
    assert [o.name for o in told.preprocess] == ["transpose", "crop_nonzero", "zscore", "spacing"]
    assert (told.trust, told.blockers) == ("data_only", ())
    assert "Isensee" in told.citations[0]


def test_old_plans_say_the_same(tmp_path):
    new = nnunet.read(Folder(**FLAT).write(tmp_path / "new")).description
    old = nnunet.read(Folder(**FLAT, old=True).write(tmp_path / "old")).description
    assert old.network == new.network
    assert old.preprocess == new.preprocess


def test_regions_have_the_numbers_that_they_write(tmp_path):
    told = nnunet.read(FOLDERS["regions"].write(tmp_path / "Dataset004_Abdomen")).description
    assert told.outputs.channels == ("whole", "core", "enhancing")
    assert told.outputs.activation == ("sigmoid",) * 3
    assert told.outputs.regions == (1, 2, 3)
    assert [c.name for c in told.labels] == ["whole", "core", "enhancing"]


def test_an_ignore_label_is_none_of_the_classes(tmp_path):
    labels = {"background": 0, "liver": 1, "ignore": 2}
    spec = replace(SMALL, labels=labels)
    folder = spec.write(tmp_path / "d")
    checkpoint = replace(spec, labels={"background": 0, "liver": 1}).checkpoint(0, 0)
    torch.save(checkpoint, folder / "fold_0/checkpoint_final.pth")
    told = nnunet.read(folder).description
    assert told.blockers == ()
    assert told.outputs.channels == ("background", "liver")


def test_what_only_some_channels_need_leaves_the_others(tmp_path):
    told = nnunet.read(FOLDERS["channels"].write(tmp_path / "d")).description
    zscores = [o.parameters for o in told.preprocess if o.name == "zscore"]
    # Where only what is not 0 counts comes first: a CT's 0 is no 0 any more afterwards.
    assert [z["channels"] for z in zscores] == [[1], [0]]
    assert [z.get("mask", False) for z in zscores] == [True, False]


def test_configurations_inherit(tmp_path):
    folder = SMALL.write(tmp_path / "d")
    plans = json.loads((folder / "plans.json").read_text())
    base = plans["configurations"].pop("3d_fullres")
    plans["configurations"] |= {
        "base": base,
        "3d_fullres": {"inherits_from": "base", "patch_size": [4, 8, 8]},
    }
    (folder / "plans.json").write_text(json.dumps(plans))
    assert nnunet.read(folder).description.inferer.window == (4, 8, 8)
    plans["configurations"]["base"]["inherits_from"] = "3d_fullres"
    (folder / "plans.json").write_text(json.dumps(plans))
    with pytest.raises(ModelError, match="inherits from itself"):
        nnunet.read(folder)


def test_batch_norm_of_its_own_trainer(tmp_path):
    spec = replace(SMALL, trainer="nnUNetTrainerBN")
    folder = spec.write(tmp_path / "d")
    name, arguments = spec.architecture
    arguments |= {"norm_op": "torch.nn.modules.batchnorm.BatchNorm3d"}
    network = nm.networks.from_nnunet(name, arguments, in_channels=1, out_channels=3)
    weights = nm.networks.build_network(*network).state_dict()
    torch.save(
        {**spec.checkpoint(0, 0), "network_weights": weights},
        folder / "fold_0/checkpoint_final.pth",
    )
    assert nnunet.read(folder).description.blockers == ()
    nnunet.read(folder).load_network()


# -- where it lies ---------------------------------------------------------------------------------


def _zipped(folder: Path, target: Path) -> Path:
    with zipfile.ZipFile(target, "w") as archive:
        for file in sorted(folder.rglob("*")):
            archive.write(file, file.relative_to(folder.parent))
    return target


@pytest.fixture
def dataset(tmp_path) -> Path:
    """Return a dataset's folder of two configurations, the one of three folds."""
    folder = tmp_path / "results" / "Dataset004_Abdomen"
    replace(SMALL, folds=(0, 1, "all"), trainer="nnUNetTrainerNoMirroring").write(folder)
    Folder(**PLANE, trainer="nnUNetTrainerNoMirroring").write(folder)
    return folder


@pytest.mark.parametrize("where", ["trained", "dataset", "results", "zip", "zip-of-one"])
def test_layouts(tmp_path, dataset, where):
    trained = dataset / "nnUNetTrainerNoMirroring__nnUNetPlans__3d_fullres"
    path = {
        "trained": lambda: trained,
        "dataset": lambda: dataset,
        "results": lambda: dataset.parent,
        "zip": lambda: _zipped(dataset, tmp_path / "m.zip"),
        "zip-of-one": lambda: _zipped(trained, tmp_path / "m.zip"),
    }[where]()
    assert nnunet.sniff(path)
    model = load_model(path)
    assert model.origin == "nnunet"
    assert model.description.inferer.window == (8, 8, 8)
    assert [w.path for w in model.description.weights] == [
        "fold_0/checkpoint_final.pth",
        "fold_1/checkpoint_final.pth",
    ]
    assert len(model.load_networks()) == 2


def test_what_is_asked_for(dataset):
    model = nnunet.read(dataset, configuration="2d")
    assert model.description.inputs.spatial_dims == 2
    model = nnunet.read(dataset, folds=("all",))
    assert [w.path for w in model.description.weights] == ["fold_all/checkpoint_final.pth"]
    for options, line in (
        ({"configuration": "3d_lowres"}, "has no configuration '3d_lowres'"),
        ({"folds": (7,)}, "has no checkpoint_final.pth of fold 7"),
        ({"checkpoint": "best"}, r"has no checkpoint_best.pth. Did you mean 'checkpoint_final.p"),
    ):
        with pytest.raises(ModelError, match=line):
            nnunet.read(dataset, **options)


def test_several_datasets_are_not_chosen_from(dataset):
    shutil.copytree(dataset, dataset.parent / "Dataset005_Other")
    with pytest.raises(ModelError, match=r"\(Dataset004_Abdomen, Dataset005_Other\): choose one"):
        nnunet.read(dataset.parent)


def test_other_folders_are_none(tmp_path):
    assert not nnunet.sniff(tmp_path)
    (tmp_path / "plans.json").write_text("{}")
    assert not nnunet.sniff(tmp_path)
    with pytest.raises(ModelError, match=r"needs plans\.json, dataset\.json and fold_0"):
        nnunet.read(tmp_path)


# -- what stands in the way ------------------------------------------------------------------------

_OTHER_NETWORK = {
    "architecture": {"network_class_name": "somebody.nets.SwinUMamba", "arch_kwargs": {}}
}


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        pytest.param(
            {"more": {"previous_stage": "3d_lowres"}},
            "second stage of a cascade: it needs the labels of 3d_lowres",
            id="cascade",
        ),
        pytest.param({"more": _OTHER_NETWORK}, "SwinUMamba cannot be used", id="network"),
        pytest.param(
            {"schemes": ("OwnNormalization",)}, "normalised by Own, which", id="normalisation"
        ),
        pytest.param(
            {"more": {"resampling_fn_data": "resample_torch_fornnunet"}},
            "resampled by resample_torch_fornnunet",
            id="resampling",
        ),
    ],
)
def test_blockers(tmp_path, changes, line):
    spec = replace(SMALL, **changes)
    folder = tmp_path / "d"
    if "more" in changes and "architecture" in changes["more"]:
        folder = SMALL.write(folder)
        (folder / "plans.json").write_text(json.dumps(spec.plans))
    else:
        folder = spec.write(folder)
    model = nnunet.read(folder)
    (blocker,) = model.description.blockers
    assert line in blocker
    with pytest.raises(ModelError) as caught:
        model.load_network()
    assert str(caught.value) == blocker


def test_a_trainer_with_a_network_of_its_own(tmp_path):
    spec = replace(SMALL, trainer="nnUNetTrainerWide")
    folder = spec.write(tmp_path / "d")
    checkpoint = spec.checkpoint(0, 0)
    weights = checkpoint["network_weights"]
    checkpoint["network_weights"] = {"stem.weight": torch.zeros(3), **weights}
    torch.save(checkpoint, folder / "fold_0/checkpoint_final.pth")
    (blocker,) = nnunet.read(folder).description.blockers
    expected = "The trainer nnUNetTrainerWide has a network of its own: stem.weight is left over."
    assert blocker == expected


@pytest.mark.parametrize(
    ("file", "text", "line"),
    [
        ("plans.json", "{", "cannot be read"),
        ("plans.json", "[]", "none of nnU-Net's files"),
        ("plans.json", "{}", "has no configurations"),
        ("plans.json", '{"configurations": {"3d_fullres": [1]}}', "not as nnU-Net writes it"),
        ("plans.json", '{"configurations": {"2d": {}}}', "has no configuration '3d_fullres'"),
        ("dataset.json", '{"labels": {"background": []}}', "not as nnU-Net writes it"),
        ("dataset.json", '{"labels": {"background": 0}}', "names no channels"),
        ("dataset.json", '{"channel_names": {"0": "CT"}}', "has no labels"),
    ],
)
def test_damaged_files_are_told_in_one_line(tmp_path, file, text, line):
    folder = SMALL.write(tmp_path / "d")
    (folder / file).write_text(text)
    with pytest.raises(ModelError, match=line) as caught:
        nnunet.read(folder)
    assert "\n" not in str(caught.value)


class _Attack:
    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self):
        return os.mkdir, (str(self.marker),)


def test_nothing_in_a_checkpoint_runs(tmp_path):
    folder = SMALL.write(tmp_path / "d")
    marker = tmp_path / "marker"
    torch.save(
        {**SMALL.checkpoint(0, 0), "logging": _Attack(marker)},
        folder / "fold_0/checkpoint_final.pth",
    )
    with pytest.raises(ModelError, match="could run code"):
        nnunet.read(folder)
    assert not marker.exists()


def test_operations_of_other_readers(tmp_path):
    turned = nnunet.read(FOLDERS["turned"].write(tmp_path / "a")).description
    assert turned.preprocess[0] == Operation("orientation", {"codes": "SAR"})
    stored = nnunet.read(FOLDERS["transposed"].write(tmp_path / "b")).description
    assert stored.preprocess[0] == Operation("transpose", {"axes": [2, 0, 1], "stored": True})
