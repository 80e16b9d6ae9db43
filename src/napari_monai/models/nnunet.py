"""nnU-Net v2's trained folders: ``plans.json``, ``dataset.json`` and a checkpoint for each fold.

Also the dataset's folder above it, with a folder ``trainer__plans__configuration`` for each
configuration, as nnU-Net and TotalSegmentator store them; and zips of any of these. Isensee et
al., "nnU-Net: a self-configuring method for deep learning-based biomedical image segmentation",
Nature Methods 18, 203-211, 2021.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from ..errors import ModelError, NetworkError, did_you_mean
from . import archive
from .description import ModelDescription
from .nnunet_plans import Configuration, need
from .parts import Inputs, NetworkSpec, WeightsFile

if TYPE_CHECKING:
    import torch

    from .store import Model

PLANS, DATASET = "plans.json", "dataset.json"
_CITATION = (
    "Isensee, F., Jaeger, P. F., Kohl, S. A. A., Petersen, J., Maier-Hein, K. H.: nnU-Net: a "
    "self-configuring method for deep learning-based biomedical image segmentation. Nature "
    "Methods 18, 203-211 (2021)."
)
# Which configuration is read where a folder holds several and none is asked for.
_PREFERRED = ("3d_fullres", "3d_lowres", "2d")
# How deep the trained folders lie under the folder of all results.
_DEPTH = 2
_MODALITIES = {
    "CT": ("ct", "cbct"),
    "MR": ("mr", "mri", "t1", "t2", "t1w", "t2w", "t1c", "t1ce", "t1gd", "flair", "adc", "dwi"),
}


def sniff(path: Path) -> bool:
    """Whether a path is a trained folder, one that holds some, or a zip of one."""
    if path.is_file():
        names = [PurePosixPath(name) for name in archive.member_names(path)]
        homes = {n.parent for n in names if n.name == PLANS}
        homes &= {n.parent for n in names if n.name == DATASET}
        return any(n.suffix == ".pth" and n.parent.parent in homes for n in names)
    return bool(_trained(path))


def read(
    path: Path,
    *,
    configuration: str | None = None,
    folds: Sequence[int | str] | None = None,
    checkpoint: str = "final",
) -> Model:
    """Return the model of a trained folder; its folds are the members of an ensemble.

    Parameters
    ----------
    path
        A trained folder, the folder of its dataset, or a zip of one of them.
    configuration
        Which one to take where there are several, such as ``"3d_fullres"``: that by default.
    folds
        Which to take, such as ``(0, 1)`` or ``("all",)``; by default all numbered ones.
    checkpoint
        ``"final"``, ``"best"`` or ``"latest"``.

    Raises
    ------
    ModelError
        If there is no such model, or its files are damaged. One that cannot run has the reasons
        as its ``blockers``.
    """
    from .checkpoints import read_checkpoint
    from .store import Model

    folder = _choose(archive.unpacked(path), configuration)
    files = _checkpoints(folder, folds, checkpoint)
    plans, dataset = (_json(folder / name) for name in (PLANS, DATASET))
    first = read_checkpoint(files[0].read_bytes(), files[0])
    if not isinstance(first, Mapping) or "network_weights" not in first:
        raise ModelError(f"{files[0]} is no checkpoint of nnU-Net: it has no network_weights.")
    try:
        description = _description(folder, files, plans, dataset, first)
    except ModelError as error:
        raise ModelError(f"{folder}: {error}") from None
    except (TypeError, ValueError, LookupError, AttributeError) as error:
        line = " ".join(str(error).split())[:80]
        raise ModelError(
            f"{folder}: {PLANS} or {DATASET} is not as nnU-Net writes it ({line}): get the model "
            "again."
        ) from None
    return Model(description, folder, "nnunet")


def _description(
    folder: Path, files: Sequence[Path], plans: Mapping[str, Any], dataset: Mapping[str, Any],
    checkpoint: Mapping[str, Any],
) -> ModelDescription:  # fmt: skip
    """Return what a model is, from its files and its first checkpoint."""
    told = checkpoint.get("init_args")
    name = told.get("configuration") if isinstance(told, Mapping) else None
    config = Configuration.of(plans, dataset, name or folder.name.rpartition("__")[2])
    trainer = str(checkpoint.get("trainer_name", ""))
    outputs, labels = config.outputs()
    blockers = config.blockers
    network = NetworkSpec(config.architecture[0].rpartition(".")[2], {})
    tensors: Mapping[str, torch.Tensor] = checkpoint["network_weights"]
    prefix = _prefix(tensors)
    if not blockers:
        heads = len(outputs.channels)
        network, blockers = _network(config, heads, tensors, prefix, trainer)
    dataset_name = str(plans.get("dataset_name", folder.parent.name))
    return ModelDescription(
        name=re.sub(r"[^A-Za-z0-9._-]+", "-", f"{dataset_name}-{config.name}").strip("-._"),
        title=f"{_plain(dataset_name)} (nnU-Net {config.name})",
        version=str(dataset.get("release", "1")),
        description=str(dataset.get("description", "")) or f"nnU-Net trained on {dataset_name}.",
        licence=str(dataset.get("licence", dataset.get("license", "unknown"))),
        citations=(_CITATION, *_texts(dataset.get("reference"))),
        network=network,
        weights=tuple(
            WeightsFile(
                file.relative_to(folder).as_posix(),
                archive.file_sha256(file),
                loader="torch",
                key="network_weights",
                prefix=prefix,
            )
            for file in files
        ),
        inputs=Inputs(
            config.channels,
            len(config.window),
            colour=set(need(config.values, "normalization_schemes")) == {"RGBTo01Normalization"}
            and len(config.channels) == 3,
            size_multiple=config.size_multiple,
            modality=_modality(config.channels),
        ),
        preprocess=config.preprocess,
        inferer=config.inferer(checkpoint.get("inference_allowed_mirroring_axes")),
        outputs=outputs,
        labels=labels,
        blockers=blockers,
        training={"trainer": trainer, "plans": str(plans.get("plans_name", ""))},
    )


def _network(
    config: Configuration, heads: int, tensors: Mapping[str, torch.Tensor], prefix: str,
    trainer: str,
) -> tuple[NetworkSpec, tuple[str, ...]]:  # fmt: skip
    """Return the network of the plans; or one of its name, and why it cannot be used."""
    from ..networks import from_nnunet

    class_name, arguments = config.architecture
    short = class_name.rpartition(".")[2]
    if trainer == "nnUNetTrainerBN":
        dims = len(config.window)
        arguments["norm_op"] = f"torch.nn.modules.batchnorm.BatchNorm{dims}d"
        arguments["norm_op_kwargs"] = {"eps": 1e-5, "affine": True}
    try:
        name, complete = from_nnunet(
            class_name, arguments, in_channels=len(config.channels), out_channels=heads
        )
    except NetworkError as error:
        return NetworkSpec(short, {}), (str(error),)
    network = NetworkSpec(name, complete)
    strange = _strange(network, tensors, prefix)
    if strange:
        line = f"The trainer {trainer or 'that is not named'} has a network of its own: {strange}."
        return network, (line,)
    return network, ()


def _strange(network: NetworkSpec, tensors: Mapping[str, torch.Tensor], prefix: str) -> str:
    """Return what of the weights does not fit the network; nothing where all does."""
    import torch

    from ..networks import build_network

    with torch.device("meta"):
        wanted = build_network(network.name, network.arguments).state_dict()
    found = {name.removeprefix(prefix): tensor for name, tensor in tensors.items()}
    for name, tensor in wanted.items():
        if name not in found:
            return f"{name} is missing"
        if tuple(found[name].shape) != tuple(tensor.shape):
            return f"{name} is of shape {tuple(found[name].shape)}, not {tuple(tensor.shape)}"
    return next((f"{name} is left over" for name in found if name not in wanted), "")


# -- folders ------------------------------------------------------------------------------------


def _is_trained(folder: Path) -> bool:
    if not ((folder / PLANS).is_file() and (folder / DATASET).is_file()):
        return False
    return any(folder.glob("fold_*/*.pth"))


def _trained(folder: Path, depth: int = _DEPTH) -> list[Path]:
    """Return the trained folders at a path or not far below it."""
    if _is_trained(folder):
        return [folder]
    if depth == 0:
        return []
    try:
        below = sorted(f for f in folder.iterdir() if f.is_dir() and not f.name.startswith("."))
    except OSError:
        return []
    if depth == _DEPTH:  # nobody searches the disk: only where the names are nnU-Net's
        below = [f for f in below if f.name.startswith("Dataset") or f.name.count("__") == 2]
    else:
        below = [f for f in below if f.name.count("__") == 2]
    return [found for f in below for found in _trained(f, depth - 1)]


def _choose(path: Path, configuration: str | None) -> Path:
    """Return the trained folder that is meant."""
    found = _trained(path)
    if not found:
        raise ModelError(
            f"{path} is no trained folder of nnU-Net: it needs {PLANS}, {DATASET} and fold_0."
        )
    if found == [path] and configuration is None:
        return path
    datasets = {folder.parent for folder in found}
    if len(datasets) > 1:
        names = ", ".join(sorted(d.name for d in datasets))
        raise ModelError(f"{path} holds models of several datasets ({names}): choose one folder.")
    of = {folder: _configuration(folder) for folder in found}
    if configuration is None:
        known = [name for name in _PREFERRED if name in of.values()]
        configuration = known[0] if known else of[found[0]]
    if configuration not in of.values():
        raise ModelError(
            f"{path} has no configuration {configuration!r}. "
            f"{did_you_mean(configuration, set(of.values()))}"
        )
    fitting = [folder for folder in found if of[folder] == configuration]
    if len(fitting) > 1:
        raise ModelError(
            f"{path} holds {configuration} of several trainers or plans "
            f"({', '.join(f.name for f in fitting)}): choose one folder."
        )
    return fitting[0]


def _configuration(folder: Path) -> str:
    """Return the configuration that a trained folder is of, by its name or its plans."""
    if folder.name.count("__") == 2:
        return folder.name.rpartition("__")[2]
    known = list(_json(folder / PLANS).get("configurations", {}))
    return str(known[0]) if len(known) == 1 else folder.name


def _checkpoints(
    folder: Path, folds: Sequence[int | str] | None, checkpoint: str
) -> tuple[Path, ...]:
    """Return the checkpoint of each fold that is wanted."""
    name = f"checkpoint_{checkpoint}.pth"
    there = sorted(p.parent.name.removeprefix("fold_") for p in folder.glob(f"fold_*/{name}"))
    if not there:
        others = sorted({p.name for p in folder.glob("fold_*/*.pth")})
        raise ModelError(f"{folder} has no {name}. {did_you_mean(name, others)}")
    if folds is None:
        wanted = [f for f in there if f != "all"] or ["all"]
    else:
        wanted = [str(f) for f in folds]
    for fold in wanted:
        if fold not in there:
            raise ModelError(f"{folder} has no {name} of fold {fold}. {did_you_mean(fold, there)}")
    return tuple(folder / f"fold_{fold}" / name for fold in wanted)


def _json(file: Path) -> dict[str, Any]:
    try:
        values = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        line = " ".join(str(error).split())[:120]
        raise ModelError(f"{file} cannot be read ({line}): get the model again.") from None
    if not isinstance(values, dict):
        raise ModelError(f"{file} is none of nnU-Net's files: get the model again.")
    return values


# -- words --------------------------------------------------------------------------------------


def _prefix(tensors: Mapping[str, Any]) -> str:
    """Return what parallel or compiled training puts before every tensor's name."""
    for prefix in ("module.", "_orig_mod."):
        if all(name.startswith(prefix) for name in tensors):
            return prefix
    return ""


def _modality(channels: Sequence[str]) -> str:
    words = [re.split(r"[\s_-]+", name.lower()) for name in channels]
    for modality, known in _MODALITIES.items():
        if all(any(word in known for word in some) for some in words):
            return modality
    return ""


def _plain(dataset: str) -> str:
    """Return a dataset's name without its number: ``Dataset004_Hippocampus``."""
    return re.sub(r"^Dataset\d+_", "", dataset).replace("_", " ") or dataset


def _texts(value: object) -> tuple[str, ...]:
    return (value,) if isinstance(value, str) and value else ()
