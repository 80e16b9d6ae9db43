"""nnU-Net's trained folders as its own code writes them, with small networks of random weights."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from napari_monai.networks import build_network, from_nnunet

CT = {"percentile_00_5": -80.0, "percentile_99_5": 240.0, "mean": 62.3, "std": 71.9}
BOTH = {"is_seg": False, "order_z": 0, "force_separate_z": None}


@dataclass(frozen=True)
class Folder:
    """What is to stand in a trained folder; the defaults are a small 3d_fullres."""

    configuration: str = "3d_fullres"
    trainer: str = "nnUNetTrainer"
    patch: Sequence[int] = (16, 16, 16)
    spacing: Sequence[float] = (1.0, 1.0, 1.0)
    strides: Sequence[Any] = ((1, 1, 1), (2, 2, 2))
    kernels: Sequence[Any] = ((3, 3, 3), (3, 3, 3))
    residual: bool = False
    old: bool = False
    schemes: Sequence[str] = ("ZScoreNormalization",)
    masks: Sequence[bool] = (False,)
    channels: Mapping[str, str] = field(default_factory=lambda: {"0": "MRI"})
    labels: Mapping[str, Any] = field(
        default_factory=lambda: {"background": 0, "liver": 1, "tumour": 2}
    )
    order: Sequence[int] | None = None
    forward: Sequence[int] = (0, 1, 2)
    reader: str = "SimpleITKIO"
    mirror: Sequence[int] | None = (0, 1, 2)
    folds: Sequence[int | str] = (0,)
    more: Mapping[str, Any] = field(default_factory=dict)

    @property
    def heads(self) -> int:
        """Number of output channels."""
        return len(self.labels) - (self.order is not None)

    @property
    def architecture(self) -> tuple[str, dict[str, Any]]:
        """Name and arguments of the network, as new plans have them."""
        dims, levels = len(self.patch), len(self.strides)
        count = "n_blocks_per_stage" if self.residual else "n_conv_per_stage"
        name = "ResidualEncoderUNet" if self.residual else "PlainConvUNet"
        return f"dynamic_network_architectures.architectures.unet.{name}", {
            "n_stages": levels,
            "features_per_stage": [min(4 * 2**i, 6) for i in range(levels)],
            "conv_op": f"torch.nn.modules.conv.Conv{dims}d",
            "kernel_sizes": [list(k) for k in self.kernels],
            "strides": [list(s) for s in self.strides],
            count: [2] * levels,
            "n_conv_per_stage_decoder": [2] * (levels - 1),
            "conv_bias": True,
            "norm_op": f"torch.nn.modules.instancenorm.InstanceNorm{dims}d",
            "norm_op_kwargs": {"eps": 1e-05, "affine": True},
            "dropout_op": None,
            "dropout_op_kwargs": None,
            "nonlin": "torch.nn.LeakyReLU",
            "nonlin_kwargs": {"inplace": True},
        }

    @property
    def plans(self) -> dict[str, Any]:
        """What ``plans.json`` holds."""
        name, kwargs = self.architecture
        network: dict[str, Any] = {
            "architecture": {
                "network_class_name": name,
                "arch_kwargs": kwargs,
                "_kw_requires_import": ["conv_op", "norm_op", "dropout_op", "nonlin"],
            }
        }
        if self.old:
            network = {
                "UNet_class_name": name.rpartition(".")[2],
                "UNet_base_num_features": 4,
                "unet_max_num_features": 6,
                "n_conv_per_stage_encoder": [2] * len(self.strides),
                "n_conv_per_stage_decoder": kwargs["n_conv_per_stage_decoder"],
                "num_pool_per_axis": [1] * len(self.patch),
                "pool_op_kernel_sizes": kwargs["strides"],
                "conv_kernel_sizes": kwargs["kernel_sizes"],
            }
        values = {
            "data_identifier": "nnUNetPlans_3d_fullres",
            "preprocessor_name": "DefaultPreprocessor",
            "batch_size": 2,
            "patch_size": list(self.patch),
            "median_image_size_in_voxels": [40.0] * len(self.patch),
            "spacing": list(self.spacing),
            "normalization_schemes": list(self.schemes),
            "use_mask_for_norm": list(self.masks),
            **network,
            "resampling_fn_data": "resample_data_or_seg_to_shape",
            "resampling_fn_seg": "resample_data_or_seg_to_shape",
            "resampling_fn_probabilities": "resample_data_or_seg_to_shape",
            "resampling_fn_data_kwargs": {**BOTH, "order": 3},
            "resampling_fn_seg_kwargs": {**BOTH, "is_seg": True, "order": 1},
            "resampling_fn_probabilities_kwargs": {**BOTH, "order": 1},
            "batch_dice": False,
            **self.more,
        }
        return {
            "dataset_name": "Dataset004_Abdomen",
            "plans_name": "nnUNetPlans",
            "image_reader_writer": self.reader,
            "transpose_forward": list(self.forward),
            "transpose_backward": [int(a) for a in np.argsort(self.forward)],
            "configurations": {self.configuration: values},
            "experiment_planner_used": "ExperimentPlanner",
            "label_manager": "LabelManager",
            "foreground_intensity_properties_per_channel": dict.fromkeys(self.channels, CT),
        }

    @property
    def dataset(self) -> dict[str, Any]:
        """What ``dataset.json`` holds."""
        told: dict[str, Any] = {
            "channel_names": dict(self.channels),
            "labels": dict(self.labels),
            "numTraining": 4,
            "file_ending": ".nii.gz",
        }
        return told if self.order is None else {**told, "regions_class_order": list(self.order)}

    def checkpoint(self, fold: int | str, seed: int) -> dict[str, Any]:
        """Return what a checkpoint holds beside what training needs to go on."""
        network_name, arguments = from_nnunet(
            *self.architecture, in_channels=len(self.channels), out_channels=self.heads
        )
        torch.manual_seed(seed)
        network = build_network(network_name, arguments)
        weights = network.state_dict()
        for key, tensor in weights.items():
            if "seg_layers" in key:  # sure enough for probabilities from 0 to 1
                tensor *= 6
        return {
            "network_weights": weights,
            "optimizer_state": {"state": {}, "param_groups": [{"lr": 0.01}]},
            "grad_scaler_state": None,
            "logging": {"mean_fg_dice": [np.float64(0.5), np.float32(0.6)]},
            "_best_ema": np.float64(0.7),
            "current_epoch": 1000,
            "init_args": {
                "plans": self.plans,
                "configuration": self.configuration,
                "fold": fold,
                "dataset_json": self.dataset,
                "device": torch.device("cpu"),
            },
            "trainer_name": self.trainer,
            "inference_allowed_mirroring_axes": None if self.mirror is None else tuple(self.mirror),
        }

    def write(self, parent: Path) -> Path:
        """Write the folder into that of its dataset; return it."""
        folder = parent / f"{self.trainer}__nnUNetPlans__{self.configuration}"
        folder.mkdir(parents=True)
        (folder / "plans.json").write_text(json.dumps(self.plans))
        (folder / "dataset.json").write_text(json.dumps(self.dataset))
        for seed, fold in enumerate(self.folds):
            (folder / f"fold_{fold}").mkdir()
            torch.save(self.checkpoint(fold, seed), folder / f"fold_{fold}/checkpoint_final.pth")
        return folder


PLANE: dict[str, Any] = {
    "configuration": "2d",
    "patch": (24, 20),
    "spacing": (1.0, 1.0),
    "strides": ((1, 1), (2, 2)),
    "kernels": ((3, 3), (3, 3)),
    "mirror": (0, 1),
}
FLAT: dict[str, Any] = {
    "patch": (6, 20, 16),
    "spacing": (4.0, 1.0, 1.0),
    "strides": ((1, 1, 1), (1, 2, 2)),
    "kernels": ((1, 3, 3), (3, 3, 3)),
}
FOLDERS = {
    "3d": Folder(mirror=None),
    "3d-mirrored": Folder(),
    "3d-ct": Folder(schemes=("CTNormalization",), channels={"0": "CT"}),
    "3d-resampled": Folder(spacing=(1.4, 0.9, 1.1), mirror=(1,)),
    "3d-old-plans": Folder(old=True),
    "3d-residual": Folder(residual=True, folds=("all",)),
    "anisotropic": Folder(**FLAT),
    "anisotropic-old-plans-folds": Folder(**FLAT, old=True, folds=(0, 1, 2)),
    "transposed": Folder(**FLAT, forward=(2, 0, 1), mirror=(0, 2)),
    "turned": Folder(reader="NibabelIOWithReorient", spacing=(1.2, 1.0, 0.9)),
    "regions": Folder(
        labels={"background": 0, "whole": (1, 2, 3), "core": (2, 3), "enhancing": 3},
        order=(1, 2, 3),
        folds=(0, 1),
    ),
    "channels": Folder(
        channels={"0": "CT", "1": "PET", "2": "other"},
        schemes=("CTNormalization", "ZScoreNormalization", "NoNormalization"),
        masks=(False, True, False),
    ),
    "masked": Folder(masks=(True,)),
    "from-0-to-1": Folder(schemes=("RescaleTo01Normalization",)),
    "2d": Folder(**PLANE),
    "2d-resampled": Folder(**{**PLANE, "spacing": (0.8, 1.3)}, folds=(0, 1)),
    "larger-than-the-image": Folder(patch=(40, 40, 48), strides=((1, 1, 1), (2, 2, 2))),
}
