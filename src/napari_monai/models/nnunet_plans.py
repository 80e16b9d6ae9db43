"""What nnU-Net's ``plans.json`` and ``dataset.json`` say, in the words of our description.

Plans of version 2.0 (``UNet_class_name``) and those since 2.4 (``architecture``). Arrays are in
nnU-Net's order: as the file stores them, the slowest axis first, and never turned.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

from ..errors import ModelError, did_you_mean
from ..preprocess import Operation
from ..volume import LabelClass
from .parts import Activation, Inferer, Outputs

Json = Mapping[str, Any]

# Readers that turn the image until its axes run to the patient's right, anterior and superior.
_TURNING = ("NibabelIOWithReorient", "SimpleITKIOWithReorient")
_TURNED = "SAR"
# What their readers give as the voxel size has no unit: that which such images usually have.
_UNITS = {"Tiff3DIO": "µm"}
_EPSILON = 1e-8
# What a CT's normalisation needs, and numbers that leave another channel as it is.
_CT = {"percentile_00_5": -3e38, "percentile_99_5": 3e38, "mean": 0.0, "std": 1.0}
_SCHEMES = ("CT", "ZScore", "No", "RescaleTo01", "RGBTo01")
_RESAMPLING = "resample_data_or_seg_to_shape"
_NO_RESAMPLING = "no_resampling_data_or_seg_to_shape"


@dataclass(frozen=True)
class Configuration:
    """One configuration of the plans, such as ``3d_fullres``, with what it inherits.

    Attributes
    ----------
    plans, dataset
        The two files.
    name
        Of the configuration.
    values
        What it says.
    """

    plans: Json
    dataset: Json
    name: str
    values: Json

    @classmethod
    def of(cls, plans: Json, dataset: Json, name: str) -> Configuration:
        """Return the configuration of a name; raises ModelError where there is none."""
        known = need(plans, "configurations", dict)
        values: dict[str, Any] = {}
        step, visited = name, []
        while True:
            if step not in known:
                raise ModelError(
                    f"plans.json has no configuration {step!r}. {did_you_mean(step, known)}"
                )
            if step in visited:
                raise ModelError(f"plans.json: configuration {step!r} inherits from itself.")
            visited.append(step)
            values = {**known[step], **values}
            if "inherits_from" not in known[step]:
                return cls(plans, dataset, name, values)
            step = known[step]["inherits_from"]

    # -- the network ----------------------------------------------------------------------------

    @property
    def window(self) -> tuple[int, ...]:
        """Size of a patch."""
        return tuple(int(n) for n in need(self.values, "patch_size", list))

    @property
    def architecture(self) -> tuple[str, dict[str, Any]]:
        """Name of the network's class, and its arguments; of old plans as new ones say it."""
        if "architecture" in self.values:
            told = need(self.values, "architecture", dict)
            return need(told, "network_class_name", str), dict(need(told, "arch_kwargs", dict))
        values, dims = self.values, len(self.window)
        name = need(values, "UNet_class_name", str)
        convolutions = need(values, "n_conv_per_stage_encoder", list)
        first = need(values, "UNet_base_num_features", int)
        most = need(values, "unet_max_num_features", int)
        residual = name == "ResidualEncoderUNet"
        return name, {
            "n_stages": len(convolutions),
            "features_per_stage": [min(first * 2**i, most) for i in range(len(convolutions))],
            "conv_op": f"torch.nn.modules.conv.Conv{dims}d",
            "kernel_sizes": need(values, "conv_kernel_sizes", list),
            "strides": need(values, "pool_op_kernel_sizes", list),
            "n_blocks_per_stage" if residual else "n_conv_per_stage": convolutions,
            "n_conv_per_stage_decoder": need(values, "n_conv_per_stage_decoder", list),
            "conv_bias": True,
            "norm_op": f"torch.nn.modules.instancenorm.InstanceNorm{dims}d",
            "norm_op_kwargs": {"eps": 1e-5, "affine": True},
            "dropout_op": None,
            "dropout_op_kwargs": None,
            "nonlin": "torch.nn.LeakyReLU",
            "nonlin_kwargs": {"inplace": True},
        }

    @property
    def size_multiple(self) -> tuple[int, ...]:
        """What the sides of a window must be multiples of: the product of the strides."""
        dims = len(self.window)
        strides = self.architecture[1].get("strides", 1)
        levels = strides if isinstance(strides, (list, tuple)) else [strides]
        each = [s if isinstance(s, (list, tuple)) else [s] * dims for s in levels]
        return tuple(prod(int(s[axis]) for s in each) for axis in range(dims))

    def inferer(self, mirror_axes: Sequence[int] | None) -> Inferer:
        """Return how the network runs; ``mirror_axes``: those that the checkpoint allows."""
        axes = tuple(sorted(int(a) for a in mirror_axes or ()))
        return Inferer(
            self.window,
            flips=bool(axes),
            steps="nnunet",
            average="logits",
            mirror_axes=axes,
            padding="zeros",
        )

    # -- the image ------------------------------------------------------------------------------

    @property
    def channels(self) -> tuple[str, ...]:
        """Name of each channel of the image."""
        told = self.dataset.get("channel_names", self.dataset.get("modality"))
        if not isinstance(told, dict) or not told:
            raise ModelError("dataset.json names no channels (channel_names).")
        return tuple(str(told[key]) for key in sorted(told, key=int))

    @property
    def preprocess(self) -> tuple[Operation, ...]:
        """What is done with an image, in order: turn, crop, normalise, resample."""
        return (
            self._turning(),
            Operation("crop_nonzero"),
            *self._normalisation(),
            *self._resampling(),
        )

    @property
    def _reader(self) -> str:
        return str(self.plans.get("image_reader_writer", "SimpleITKIO"))

    def _turning(self) -> Operation:
        axes = [int(a) for a in self.plans.get("transpose_forward", (0, 1, 2))]
        if self._reader in _TURNING:
            return Operation("orientation", {"codes": "".join(_TURNED[a] for a in axes)})
        return Operation("transpose", {"axes": axes, "stored": True})

    def _normalisation(self) -> list[Operation]:
        """Return what normalises the channels, those of each scheme together.

        Where only what is not 0 counts comes first: later there is no telling.
        """
        count = len(self.channels)
        masks = self.values.get("use_mask_for_norm", [False] * count)
        if not len(self._schemes) == len(masks) == count:
            raise ModelError(
                f"plans.json has {len(self._schemes)} normalization_schemes for {count} channels "
                "of dataset.json."
            )
        masked = [
            m and s == "ZScoreNormalization" for s, m in zip(self._schemes, masks, strict=True)
        ]
        operations = []
        for scheme, mask in sorted(set(zip(self._schemes, masked, strict=True)), key=_masked_first):
            which = [i for i in range(count) if (self._schemes[i], masked[i]) == (scheme, mask)]
            operations += self._normalised(scheme, mask, which)
        return operations

    @property
    def _schemes(self) -> list[str]:
        return [str(s) for s in need(self.values, "normalization_schemes", list)]

    def _normalised(self, scheme: str, mask: bool, which: list[int]) -> list[Operation]:
        """Return what normalises some channels by one scheme, and leaves the others."""
        count = len(self.channels)
        some = {} if len(which) == count else {"channels": which}
        if scheme == "CTNormalization":
            told = {i: self._intensities(i) for i in which}
            low, high, mean, std = (
                [float(need(told[i], key)) if i in told else other for i in range(count)]
                for key, other in _CT.items()
            )
            return [
                Operation("clip", {"minimum": low, "maximum": high}),
                Operation("zscore", {"mean": mean, "std": [max(s, _EPSILON) for s in std], **some}),
            ]
        if scheme == "ZScoreNormalization":
            return [Operation("zscore", {"mask": mask, **some})]
        if scheme == "RescaleTo01Normalization":
            return [Operation("scale_minmax", {"per_channel": True})]
        if scheme == "RGBTo01Normalization":
            gain = [1 / 255 if i in which else 1.0 for i in range(count)]
            return [Operation("scale_linear", {"gain": gain})]
        return []  # NoNormalization, or one that `blockers` names

    def _intensities(self, channel: int) -> Json:
        told = self.plans.get("foreground_intensity_properties_per_channel")
        if told is None:
            told = self.plans.get("foreground_intensity_properties_by_modality", {})
        found = told.get(str(channel)) if isinstance(told, dict) else None
        if not isinstance(found, dict):
            raise ModelError(
                f"plans.json has no foreground_intensity_properties_per_channel of {channel}."
            )
        return found

    def _resampling(self) -> list[Operation]:
        spacing = [float(s) for s in need(self.values, "spacing", list)]
        natural = self._reader == "NaturalImage2DIO" and set(spacing) == {1.0}
        if natural or self._resampler != _RESAMPLING:
            return []
        told = self.values.get("resampling_fn_data_kwargs", {})
        apart = told.get("force_separate_z")
        return [
            Operation(
                "spacing",
                {
                    "spacing": spacing,
                    "unit": _UNITS.get(self._reader, "mm"),
                    "order": int(told.get("order", 3)),
                    "align": "extent",
                    "separate_z": "auto" if apart is None else bool(apart),
                    "order_z": int(told.get("order_z", 0)),
                },
            )
        ]

    @property
    def _resampler(self) -> str:
        return str(self.values.get("resampling_fn_data", _RESAMPLING))

    # -- the labels -----------------------------------------------------------------------------

    @property
    def labels(self) -> dict[str, Any]:
        """What each label or region is called, and its number or numbers."""
        told = need(self.dataset, "labels", dict)
        return {str(name): value for name, value in told.items() if name != "ignore"}

    @property
    def regions(self) -> bool:
        """Whether the network tells regions that overlap, and not classes."""
        return any(isinstance(v, (list, tuple)) and len(v) > 1 for v in self.labels.values())

    def outputs(self) -> tuple[Outputs, tuple[LabelClass, ...]]:
        """Return what the network gives, and the classes of the labels."""
        if not self.regions:
            # By their place and not by their number, as nnU-Net writes them.
            names = sorted(self.labels, key=lambda name: _numbers(self.labels[name])[0])
            outputs = Outputs("classes", tuple(names), ("softmax",), home="logits")
            return outputs, tuple(LabelClass(i, n) for i, n in enumerate(names) if i)
        names = [name for name, value in self.labels.items() if set(_numbers(value)) != {0}]
        order = tuple(int(n) for n in need(self.dataset, "regions_class_order", list))
        if len(order) != len(names):
            raise ModelError(
                f"dataset.json has {len(order)} numbers in regions_class_order for "
                f"{len(names)} regions."
            )
        sigmoids: tuple[Activation, ...] = tuple("sigmoid" for _ in names)
        outputs = Outputs("classes", tuple(names), sigmoids, home="logits", regions=order)
        last = dict(zip(order, names, strict=True))
        return outputs, tuple(LabelClass(number, last[number]) for number in sorted(last))

    # -- what stands in the way -----------------------------------------------------------------

    @property
    def blockers(self) -> tuple[str, ...]:
        """Why the configuration cannot run, one line each."""
        found = []
        before = self.values.get("previous_stage")
        if before:
            found.append(
                f"{self.name} is the second stage of a cascade: it needs the labels of {before}, "
                "which alone can run here."
            )
        if self._resampler not in (_RESAMPLING, _NO_RESAMPLING):
            found.append(f"Images are resampled by {self._resampler}, which is not known here.")
        schemes = [scheme.removesuffix("Normalization") for scheme in dict.fromkeys(self._schemes)]
        found += [
            f"Images are normalised by {scheme}, which is not known here."
            for scheme in schemes
            if scheme not in _SCHEMES
        ]
        if "RescaleTo01" in schemes and len(schemes) > 1:
            found.append("Only some of the channels are scaled from 0 to 1: that cannot be done.")
        manager = self.plans.get("label_manager", "LabelManager")
        if manager != "LabelManager":
            found.append(f"Labels are made by {manager}, which is not known here.")
        return tuple(found)


def need(values: Json, key: str, kind: type | None = None) -> Any:
    """Return what stands at a key of plans or dataset; raises ModelError where it does not."""
    if key not in values:
        raise ModelError(f"nnU-Net's plans.json or dataset.json has no {key}.")
    found = values[key]
    if kind is not None and not isinstance(found, kind):
        raise ModelError(f"{key} of nnU-Net's files is no {kind.__name__}: {str(found)[:60]}.")
    return found


def _masked_first(kind: tuple[str, bool]) -> tuple[bool, str]:
    return not kind[1], kind[0]


def _numbers(value: Any) -> list[int]:
    return [int(n) for n in value] if isinstance(value, (list, tuple)) else [int(value)]
