"""MONAI bundles written by hand, and what MONAI's own evaluator makes of them: the oracle."""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import nibabel
import nibabel.processing
import numpy as np
import numpy.typing as npt
import torch

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # of old ways of torch; MONAI would take it for missing
    import ignite.engine  # noqa: F401

from napari_monai.inference import segment
from napari_monai.io import read as read_image
from napari_monai.models import Model
from napari_monai.models.monai_bundle import read
from napari_monai.settings import InferenceSettings
from napari_monai.volume import Volume

Step = dict[str, Any]
UNET: Step = {
    "_target_": "UNet",
    "spatial_dims": 3,
    "in_channels": 1,
    "out_channels": 3,
    "channels": [4, 8],
    "strides": [2],
    "norm": "batch",
}
LOAD: list[Step] = [
    {"_target_": "LoadImaged", "keys": "image"},
    {"_target_": "EnsureChannelFirstd", "keys": "image"},
]
HOME: Step = {
    "_target_": "Invertd",
    "keys": "pred",
    "transform": "@preprocessing",
    "orig_keys": "image",
    "nearest_interp": False,
    "to_tensor": True,
}
SOFTMAX: Step = {"_target_": "Activationsd", "keys": "pred", "softmax": True}
SIGMOID: Step = {"_target_": "Activationsd", "keys": "pred", "sigmoid": True}
ARGMAX: Step = {"_target_": "AsDiscreted", "keys": "pred", "argmax": True}
HALF: Step = {"_target_": "AsDiscreted", "keys": "pred", "threshold": 0.5}
WINDOWS: Step = {
    "_target_": "SlidingWindowInferer",
    "roi_size": [16, 16, 16],
    "sw_batch_size": 2,
    "overlap": 0.25,
}


def save_step(dtype: str = "float32") -> Step:
    """Return the step that writes what MONAI found."""
    return {
        "_target_": "SaveImaged",
        "keys": "pred",
        "output_dir": "$@bundle_root + '/eval'",
        "output_postfix": "seg",
        "output_dtype": dtype,
        "separate_folder": False,
        "print_log": False,
    }


def network_of(definition: Step, seed: int = 0) -> torch.nn.Module:
    """Return MONAI's network with random weights whose maps are neither flat nor noise."""
    from monai.bundle import ConfigParser

    torch.manual_seed(seed)
    parser = ConfigParser({"network_def": definition})
    network: torch.nn.Module = parser.get_parsed_content("network_def").eval()
    return network


def write_bundle(
    folder: Path,
    *,
    before: Sequence[Step] = (),
    after: Sequence[Step] = (SOFTMAX, ARGMAX),
    network: Step = UNET,
    inferer: Step = WINDOWS,
    names: Sequence[str] | None = None,
    data: str = "$[{'image': i} for i in @files]",
    load: Sequence[Step] = LOAD,
    more: Mapping[str, Any] | None = None,
    seed: int = 0,
) -> Path:
    """Write a bundle with random weights and return its folder."""
    outputs = network.get("out_channels", 1)
    config = {
        "imports": ["$import glob"],
        "bundle_root": ".",
        "device": "$torch.device('cpu')",
        "files": [],
        "network_def": network,
        "network": "$@network_def.to(@device)",
        "preprocessing": {"_target_": "Compose", "transforms": [*load, *before]},
        "dataset": {"_target_": "Dataset", "data": data, "transform": "@preprocessing"},
        "dataloader": {"_target_": "DataLoader", "dataset": "@dataset", "batch_size": 1},
        "inferer": inferer,
        "postprocessing": {"_target_": "Compose", "transforms": [*after, save_step()]},
        "evaluator": {
            "_target_": "SupervisedEvaluator",
            "device": "@device",
            "val_data_loader": "@dataloader",
            "network": "@network",
            "inferer": "@inferer",
            "postprocessing": "@postprocessing",
        },
        "checkpointloader": {
            "_target_": "CheckpointLoader",
            "load_path": "$@bundle_root + '/models/model.pt'",
            "load_dict": {"model": "@network"},
        },
        "initialize": ["$@checkpointloader(@evaluator)"],
        "run": ["$@evaluator.run()"],
        **(more or {}),
    }
    labels = names or [f"class {i}" for i in range(outputs)]
    metadata = {
        "version": "0.1.0",
        "name": "A test",
        "network_data_format": {
            "inputs": {"image": {"modality": "CT", "num_channels": network.get("in_channels", 1)}},
            "outputs": {
                "pred": {"channel_def": {str(i): name for i, name in enumerate(labels)}},
            },
        },
    }
    (folder / "configs").mkdir(parents=True)
    (folder / "models").mkdir()
    (folder / "configs" / "inference.json").write_text(json.dumps(config))
    (folder / "configs" / "metadata.json").write_text(json.dumps(metadata))
    torch.save(network_of(network, seed).state_dict(), folder / "models" / "model.pt")
    return folder


def image(
    folder: Path,
    *,
    shape: Sequence[int] = (21, 26, 18),
    spacing: Sequence[float] = (1.0, 1.0, 1.0),
    turn: str = "RAS",
    channels: int = 1,
    empty: bool = False,
    seed: int = 1,
    name: str = "image.nii.gz",
) -> Path:
    """Write blobs on noise as NIfTI, whose axes run as ``turn`` says; return its path."""
    random = np.random.default_rng(seed)
    blobs = random.normal(0, 1, (channels, *shape))
    for axis in range(1, blobs.ndim):
        blobs = sum(np.roll(blobs, k, axis) for k in (-1, 0, 1)) / 3
    if empty:  # air about a body
        inside = np.zeros(shape, bool)
        inside[4:-3, 5:-6, 2:-4] = True
        blobs = np.where(inside, blobs, -9.0)
    values = np.moveaxis(blobs * 400 + 100, 0, -1)
    values = values[..., 0] if channels == 1 else values
    wanted = nibabel.orientations.axcodes2ornt(turn)
    affine = np.zeros((4, 4))
    for axis, (world, sign) in enumerate(wanted):
        affine[int(world), axis] = sign * spacing[axis]
    affine[:, 3] = (5.0, -7.0, 3.0, 1.0)
    made = nibabel.Nifti1Image(values.astype(np.float32), affine)
    made.header.set_xyzt_units("mm")
    nibabel.save(made, folder / name)
    return folder / name


def ours(folder: Path, volume: Path | Volume) -> npt.NDArray[Any]:
    """Return the labels that our engine gives with a bundle, in the file's axes."""
    model = read(folder)
    assert not model.description.blockers
    return labels_of(model, volume)


def labels_of(model: Model, volume: Path | Volume) -> npt.NDArray[Any]:
    """Return the labels of a model on the CPU in full precision."""
    source = volume if isinstance(volume, Volume) else read_image(volume)
    settings = InferenceSettings(device="cpu", precision="float32")
    return segment(source, model, settings=settings).numpy()


def parsed(folder: Path, files: Sequence[Any]) -> Any:
    """Return MONAI's own parser with a bundle's configuration for these images."""
    from monai.bundle import ConfigParser

    parser = ConfigParser()
    parser.read_config(str(folder / "configs" / "inference.json"))
    parser["bundle_root"] = str(folder)
    parser["files"] = list(files)
    return parser


def monais(folder: Path, files: Sequence[Path] | Sequence[Sequence[Path]]) -> npt.NDArray[Any]:
    """Return what MONAI's own evaluator writes, run from the bundle's configuration."""
    names = [str(f) if isinstance(f, Path) else [str(one) for one in f] for f in files]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        parser = parsed(folder, names)
        parser.get_parsed_content("initialize")
        parser.get_parsed_content("run")
    written = list((folder / "eval").glob("*seg*"))
    assert len(written) == 1
    made = nibabel.load(written[0])
    first = files[0] if isinstance(files[0], Path) else files[0][0]
    native = nibabel.load(first)
    if made.shape != native.shape[:3] or not np.allclose(made.affine, native.affine):
        # MONAI leaves what nobody inverts on the network's own grid.
        grid = (native.shape[:3], native.affine)
        made = nibabel.processing.resample_from_to(made, grid, order=0, mode="nearest")
    return np.asarray(made.dataobj)
